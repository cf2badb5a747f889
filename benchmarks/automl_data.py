"""The data sets of the AutoML benchmark, and how each is split; both engines read them from here.

`development` sets are those that the engine was tuned on; no choice was made by its scores on the
`reported` ones. Synthetic sets are drawn anew for each seed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.model_selection import train_test_split

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
TEST_SHARE = 0.3
DEVELOPMENT = ("wine", "clusters", "linear", "friedman", "small_linear", "interactions")
REPORTED = (
    "breast_cancer",
    "diabetes",
    "digits",
    "telco_churn",
    "california_housing",
    "bike_sharing",
)


@dataclass(frozen=True)
class Data:
    """One data set, split.

    Attributes:
        problem: `classification` or `regression`.
        train, test: Features.
        train_target, test_target: Class numbers or values.
    """

    problem: str
    train: pd.DataFrame
    test: pd.DataFrame
    train_target: np.ndarray
    test_target: np.ndarray


def load(name: str, seed: int) -> Data:
    """A data set and its split for a seed; classes are stratified.

    Raises:
        FileNotFoundError: For a file of ../shared/data that is not there.
    """
    features, target = SOURCES[name](seed)
    problem = "classification" if np.issubdtype(target.dtype, np.integer) else "regression"
    train, test, train_target, test_target = train_test_split(
        features,
        target,
        test_size=TEST_SHARE,
        random_state=seed,
        stratify=target if problem == "classification" else None,
    )
    return Data(
        problem,
        train.reset_index(drop=True),
        test.reset_index(drop=True),
        train_target,
        test_target,
    )


def score(data: Data, predictions: np.ndarray) -> float:
    """Log loss, or root mean squared error, on the test rows."""
    if data.problem == "regression":
        return float(np.sqrt(np.mean((data.test_target - predictions) ** 2)))
    chosen = predictions[np.arange(len(data.test_target)), data.test_target]
    return float(-np.mean(np.log(np.clip(chosen, 1e-15, 1))))


def baseline(data: Data) -> float:
    """The score of the training rows' mean, or of their shares of classes."""
    if data.problem == "regression":
        return score(data, np.full(len(data.test_target), data.train_target.mean()))
    shares = np.bincount(data.train_target) / len(data.train_target)
    return score(data, np.tile(shares, (len(data.test_target), 1)))


def _own(loader: Callable[[], Any]) -> Callable[[int], tuple[pd.DataFrame, np.ndarray]]:
    def read(seed: int) -> tuple[pd.DataFrame, np.ndarray]:  # noqa: ARG001
        bunch = loader()
        names = [str(name).replace(" ", "_") for name in bunch.feature_names]
        return pd.DataFrame(bunch.data, columns=names), bunch.target

    return read


def _frame(matrix: np.ndarray, target: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    return pd.DataFrame(matrix, columns=[f"x{k}" for k in range(matrix.shape[1])]), target


def _clusters(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    return _frame(
        *datasets.make_classification(
            4000,
            25,
            n_informative=10,
            n_redundant=5,
            n_clusters_per_class=4,
            flip_y=0.05,
            class_sep=0.8,
            random_state=seed,
        )
    )


def _linear(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    return _frame(
        *datasets.make_classification(
            1500,
            20,
            n_informative=8,
            n_redundant=2,
            n_clusters_per_class=1,
            flip_y=0.1,
            random_state=seed,
        )
    )


def _friedman(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    return _frame(*datasets.make_friedman1(3000, 10, noise=1.0, random_state=seed))


def _small_linear(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    return _frame(*datasets.make_regression(400, 12, n_informative=6, noise=60, random_state=seed))


def _interactions(seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Skewed amounts from numbers that interact, and a category."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(18_000, 10))
    category, effect = random.integers(0, 12, 18_000), random.normal(size=12)
    exponent = 0.5 * numbers[:, 0] + np.sin(2 * numbers[:, 1]) * numbers[:, 2] + effect[category]
    frame, target = _frame(numbers, np.exp(0.4 * exponent + 0.2 * random.normal(size=18_000)))
    return frame.assign(category=[f"k{k}" for k in category]), target


def _telco_churn(seed: int) -> tuple[pd.DataFrame, np.ndarray]:  # noqa: ARG001
    frame = pd.read_csv(SHARED / "telco_customer_churn.csv")
    frame["TotalCharges"] = pd.to_numeric(frame["TotalCharges"], errors="coerce")
    target = (frame.pop("Churn") == "Yes").to_numpy().astype(np.int64)
    return frame.drop(columns="customerID"), target


def _california_housing(seed: int) -> tuple[pd.DataFrame, np.ndarray]:  # noqa: ARG001
    frame = pd.read_csv(SHARED / "california_housing.csv", skipinitialspace=True)
    frame = frame.rename(columns=str.strip)
    for name in frame.columns.drop("ocean_proximity"):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
    target = frame.pop("median_house_value").to_numpy(dtype=np.float64)
    return frame.assign(ocean_proximity=frame["ocean_proximity"].str.strip()), target


def _bike_sharing(seed: int) -> tuple[pd.DataFrame, np.ndarray]:  # noqa: ARG001
    frame = pd.read_csv(SHARED / "bike_sharing_hourly.csv")
    target = frame["cnt"].to_numpy(dtype=np.float64)
    return frame.drop(columns=["instant", "dteday", "casual", "registered", "cnt"]), target


SOURCES = {
    "wine": _own(datasets.load_wine),
    "clusters": _clusters,
    "linear": _linear,
    "friedman": _friedman,
    "small_linear": _small_linear,
    "interactions": _interactions,
    "breast_cancer": _own(datasets.load_breast_cancer),
    "diabetes": _own(datasets.load_diabetes),
    "digits": _own(datasets.load_digits),
    "telco_churn": _telco_churn,
    "california_housing": _california_housing,
    "bike_sharing": _bike_sharing,
}
