"""What a model has to beat: a model that ignores the features, or a series' own last season."""

from typing import Any

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.learning.frames import model_frame, target_values
from goldpath.learning.scoring import LoadedModel

IGNORANT = "ignores the features"


class SeasonalNaive:
    """Repeats the value of a season ago; the training rows' mean where that one is missing.

    Args:
        column: The feature that is the value of a season ago.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self._mean = np.nan

    def fit(self, _: pd.DataFrame, target: np.ndarray) -> "SeasonalNaive":
        """Learn the mean."""
        self._mean = float(np.mean(target))
        return self

    def predict(self, frame: pd.DataFrame) -> Any:
        """The values of a season ago, shape (rows,)."""
        return frame[self._column].fillna(self._mean).to_numpy()


def baseline_model(train: pd.DataFrame, contract: Contract) -> LoadedModel:
    """The seasonal-naive forecast of a series, else a model that ignores the features.

    Args:
        train: The rows that the candidate learns from.
        contract: The candidate's.
    """
    from sklearn.dummy import DummyClassifier, DummyRegressor

    forecast = contract.forecast
    model: Any
    if forecast is not None:
        model = SeasonalNaive(forecast.naive_column(contract.target.column))
    elif contract.problem == "classification":
        model = DummyClassifier(strategy="prior")
    else:
        model = DummyRegressor()
    model.fit(model_frame(train, contract), target_values(train, contract))
    return LoadedModel(pipeline=model, contract=contract)


def baseline_rule(contract: Contract) -> str:
    """What the baseline does, behind "it" or "the baseline"."""
    if not contract.has_target:
        return "is noise: rows of the same ranges whose columns know nothing of each other"
    if contract.forecast is None:
        return IGNORANT
    return (
        f"is the seasonal-naive forecast: the value of {contract.target.column} "
        f"{contract.forecast.season} before"
    )


def baseline_name(contract: Contract) -> str:
    """What the baseline is, by itself: a model, or a forecast."""
    rule = baseline_rule(contract)
    return f"a model that {rule}" if rule == IGNORANT else rule.removeprefix("is ")
