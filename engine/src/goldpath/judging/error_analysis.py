"""Where a model errs: its loss on slices of the test rows beside its loss on the others."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.learning.frames import model_frame, target_values
from goldpath.learning.metric import Metric
from goldpath.learning.metrics import metric_value, row_losses
from goldpath.learning.scoring import LoadedModel, Predictions

SMALLEST_SLICE = 30
FEW_NUMBERS = 4
MOST_CATEGORIES = 20
FALSE_DISCOVERY_RATE = 0.05


@dataclass(frozen=True)
class Slice:
    """The rows that have one value, or a range of values, of a feature.

    Attributes:
        name: The feature and its value or range.
        rows: Test rows in it.
        metric: The main metric on them; NaN where it is not defined, as with one class only.
        loss: Mean loss of a row: log loss of a class, absolute error of a value.
        loss_elsewhere: Mean loss of the other rows.
        difference: 95 % interval of `loss - loss_elsewhere` (Welch 1947).
        worse: Whether the loss is higher, beyond the luck of looking at many slices
            (Benjamini & Hochberg 1995, 5 %).
    """

    name: str
    rows: int
    metric: float
    loss: float
    loss_elsewhere: float
    difference: tuple[float, float]
    worse: bool


def analyse_errors(
    model: LoadedModel, test: pd.DataFrame, predictions: Predictions, own: Metric | None = None
) -> tuple[Slice, ...]:
    """Every slice of at least 30 test rows, the worst first.

    Args:
        model: Names the features.
        test: Rows that the model has not seen.
        predictions: What it says about them.
        own: The project's own main metric.
    """
    from scipy.stats import ttest_ind

    contract = model.contract
    truth = target_values(test, contract)
    losses = row_losses(contract, truth, predictions)
    found: list[tuple[Slice, float]] = []
    for name, members in _slices(model_frame(test, contract), contract):
        inside, outside = losses[members], losses[~members]
        test_result = ttest_ind(inside, outside, equal_var=False)
        interval = test_result.confidence_interval(0.95)
        p_value = ttest_ind(inside, outside, equal_var=False, alternative="greater").pvalue
        found.append(
            (
                Slice(
                    name=name,
                    rows=int(members.sum()),
                    metric=metric_value(
                        contract,
                        truth[members],
                        _part(predictions, members),
                        own,
                        test[members],
                    ),
                    loss=float(inside.mean()),
                    loss_elsewhere=float(outside.mean()),
                    difference=(float(interval.low), float(interval.high)),
                    worse=False,
                ),
                float(np.nan_to_num(p_value, nan=1.0)),
            )
        )
    return _flag(found)


def _flag(found: list[tuple[Slice, float]]) -> tuple[Slice, ...]:
    """Benjamini-Hochberg over the slices' one-sided p values."""
    ordered = sorted(p for _, p in found)
    limit = max(
        (
            p
            for rank, p in enumerate(ordered, start=1)
            if p <= FALSE_DISCOVERY_RATE * rank / len(ordered)
        ),
        default=-1.0,
    )
    slices = [Slice(**{**vars(slice_), "worse": p <= limit}) for slice_, p in found]
    return tuple(sorted(slices, key=lambda item: item.loss_elsewhere - item.loss))


def _slices(frame: pd.DataFrame, contract: Contract) -> Iterator[tuple[str, np.ndarray]]:
    """Category values, quarters of numbers, and missing values, each as a mask over the rows."""
    for feature in contract.features:
        column = frame[feature.name]
        masks = [(f"{feature.name} is missing", column.isna().to_numpy())]
        if feature.type == "category":
            masks += [
                (f"{feature.name} = {value}", (column == value).to_numpy())
                for value in column.value_counts().index[:MOST_CATEGORIES]
            ]
        elif feature.is_numeric:  # of a free text hardly two rows have the same one
            masks += _parts_of_numbers(column)
        for name, mask in masks:
            if SMALLEST_SLICE <= mask.sum() <= len(mask) - SMALLEST_SLICE:
                yield name, mask


def _parts_of_numbers(column: pd.Series) -> Iterator[tuple[str, np.ndarray]]:
    """Each value of a number with few, else its quarters."""
    if column.nunique() <= FEW_NUMBERS:
        for value in sorted(column.dropna().unique()):
            yield f"{column.name} = {value:g}", (column == value).to_numpy()
        return
    edges = np.unique(np.nanquantile(column, [0, 0.25, 0.5, 0.75, 1]))
    for low, high in itertools.pairwise(edges):
        upper = (column <= high) if high == edges[-1] else (column < high)
        inside = ((column >= low) & upper).to_numpy()
        yield f"{column.name} in {low:.6g} to {high:.6g}", inside


def _part(predictions: Predictions, members: np.ndarray) -> Predictions:
    """The predictions of some rows."""
    rows = np.flatnonzero(members)
    probabilities = predictions.probabilities
    return Predictions(
        np.asarray(predictions.values, dtype=object)[rows].tolist(),
        None if probabilities is None else probabilities[rows],
        np.asarray(predictions.scores)[rows].tolist(),
    )
