"""The data sets of the AutoML benchmark, and how each is split; both engines read them from here.

`development` sets are those that the engine was tuned on; no choice was made by its scores on the
`reported` ones. The `structured` ones are split as they would be used, by time or by group, and no
engine is told: their tables are given as they come. What `wandering_level` showed led to the search
for columns that say how far the time has gone. Synthetic sets are drawn anew for each seed.
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
STRUCTURED = (
    "bike_by_time",
    "wandering_level",
    "housing_by_block",
    "patients",
)
"""The first two are judged on newer rows, the others on new groups."""


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
    if name in STRUCTURED:
        return _as_it_comes(*SPLIT_SOURCES[name](seed))
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


def _as_it_comes(features: pd.DataFrame, target: np.ndarray, is_test: np.ndarray) -> Data:
    """A split that keeps the rows' order; test rows of one group lie side by side."""
    return Data(
        "regression",
        features[~is_test].reset_index(drop=True),
        features[is_test].reset_index(drop=True),
        target[~is_test],
        target[is_test],
    )


def losses(data: Data, predictions: np.ndarray) -> np.ndarray:
    """Each test row's part of the score: squared error, or log loss."""
    if data.problem == "regression":
        return np.asarray((data.test_target - predictions) ** 2)
    chosen = predictions[np.arange(len(data.test_target)), data.test_target]
    return np.asarray(-np.log(np.clip(chosen, 1e-15, 1)))


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


Split = tuple[pd.DataFrame, np.ndarray, np.ndarray]


def _bike_by_time(seed: int) -> Split:  # noqa: ARG001
    """The hourly table with its year and month; the last tenths are the test rows."""
    frame, target = _bike_sharing(0)
    return frame, target, np.arange(len(frame)) >= (1 - TEST_SHARE) * len(frame)


def _wandering_level(seed: int) -> Split:
    """A sensor whose level wanders, with a date: 3 000 days."""
    random = np.random.default_rng(seed)
    rows = 3_000
    level = np.zeros(rows)
    for step in range(1, rows):
        level[step] = 0.97 * level[step - 1] + random.normal(scale=0.5)
    frame = pd.DataFrame(
        {
            "date": pd.date_range("2015-01-01", periods=rows).strftime("%Y-%m-%d"),
            "reading": level + random.normal(size=rows),
            **{f"x{k}": random.normal(size=rows) for k in range(5)},
        }
    )
    target = level + frame["x0"] + np.sin(2 * frame["x1"]) + random.normal(scale=0.3, size=rows)
    return frame, target.to_numpy(), np.arange(rows) >= (1 - TEST_SHARE) * rows


def _housing_by_block(seed: int) -> Split:
    """California's districts by cells of a quarter of a degree: test cells are new."""
    frame, target = _california_housing(0)
    cell = (
        "C"
        + (4 * frame["longitude"] + 600).round().astype(int).astype(str)
        + (4 * frame["latitude"]).round().astype(int).astype(str)
    )
    is_test = _some_groups(cell, seed)
    frame = frame.drop(columns=["longitude", "latitude"]).assign(cell_id=cell)
    order = np.argsort(cell.to_numpy(), kind="stable")
    return frame.iloc[order].reset_index(drop=True), target[order], is_test[order]


def _patients(seed: int) -> Split:
    """Visits of 300 patients, each with a level of his own; test patients are new."""
    random = np.random.default_rng(seed)
    patient = np.repeat(np.arange(300), random.integers(3, 20, 300))
    rows, age = len(patient), random.integers(20, 90, 300)[patient]
    frame = pd.DataFrame(
        {
            "patient_id": [f"P{number:04}" for number in patient],
            "age": age,
            "height": random.normal(170, 9, 300)[patient].round(1),
            **{f"x{k}": random.normal(size=rows) for k in range(5)},
        }
    )
    target = 1.5 * random.normal(size=300)[patient] + age / 30 + frame["x0"] * frame["x1"]
    target += random.normal(scale=0.7, size=rows)
    return frame, target.to_numpy(), _some_groups(frame["patient_id"], seed)


def _some_groups(group: "pd.Series[str]", seed: int) -> np.ndarray:
    values = np.unique(group)
    chosen = np.random.default_rng(seed).permutation(values)[: int(TEST_SHARE * len(values))]
    return np.isin(group, chosen)


SPLIT_SOURCES: dict[str, Callable[[int], Split]] = {
    "bike_by_time": _bike_by_time,
    "wandering_level": _wandering_level,
    "housing_by_block": _housing_by_block,
    "patients": _patients,
}
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
