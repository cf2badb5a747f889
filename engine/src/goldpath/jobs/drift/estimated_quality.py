"""Does it matter? What a window says about quality before labels come: an estimate, and named so.

Of two classes the area under the ROC curve and of more the accuracy, both by the probabilities; of
a number the mean absolute error, by a model of the errors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from goldpath.contract import Contract
from goldpath.drift.bins import Floats
from goldpath.drift.compared import PREDICTION
from goldpath.drift.estimates.confidence import (
    Estimate,
    Tallies,
    estimate_accuracy,
    estimate_area,
    rounded_probabilities,
    tally,
)
from goldpath.drift.estimates.losses import FEWEST_ROWS, LossModel

LOSS = "_absolute_error"
"""A column of the reference's rows: how far off a model is that did not see the row."""

CALIBRATION = "calibration_error"
SCORE = "score"
BLIND = "it assumes that the same rows have the same {what} as before (no concept drift)"


@dataclass(frozen=True)
class QualityEstimate:
    """The estimate of the newest window, or why there is none.

    Attributes:
        message: As a sentence.
        metric: What is estimated.
        value: It in the window; None where there is no estimate.
        interval: Its 95 % interval.
        reference: It on the rows that the model is compared with; of more than two classes in its
            test.
        difference: The window's less the reference's.
        calibration_error: Of the version's test rows; None where its training recorded none.
        calibration_limit: With a larger error there is no estimate.
        explained: Of a number: the share of the errors' variance that the rows explain.
    """

    message: str
    metric: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    reference: float | None = None
    difference: float | None = None
    calibration_error: float | None = None
    calibration_limit: float | None = None
    explained: float | None = None


class QualityEstimator:
    """Estimates the quality of windows of one version.

    Args:
        contract: Says what is predicted.
        tested: The metrics of the version's run, by name.
        reference: Rows of the reference with their predictions; of a number with their errors.
        limit: Largest calibration error of the test rows with which an estimate is made.
        columns: The columns of the rows to come: errors are learned by these.
    """

    def __init__(
        self,
        contract: Contract,
        tested: Mapping[str, float],
        reference: pa.Table,
        limit: float,
        columns: Sequence[str],
    ) -> None:
        self.limit = limit
        self.calibration_error = tested.get(f"test_{CALIBRATION}")
        self._is_number = contract.problem == "regression"
        self._is_binary = contract.is_binary
        self._tested, self._rows = tested, reference
        self._columns = [name for name in columns if name in reference.column_names]
        self.metric = "mae" if self._is_number else "roc_auc" if self._is_binary else "accuracy"
        self.why_not = self._why_no_loss() if self._is_number else self._why_not_calibrated()
        if not contract.has_target:
            self.metric, self.why_not = "none", "segments have no true labels"

    def signals(self, rows: pa.Table, scores: Floats) -> dict[str, Floats]:
        """What each row says about quality, by name; nothing where there is no estimate.

        Args:
            rows: The features and the prediction.
            scores: The prediction's score.
        """
        if self.why_not:
            return {}
        if not self._is_number:
            return {SCORE: rounded_probabilities(scores)}
        return self._losses.expected(rows.select(self._columns)) if rows.num_rows else {}

    def estimate(self, found: Tallies) -> Estimate | None:
        """The estimate of some rows; None where there is none."""
        if self.why_not or not found:
            return None
        if self._is_number:
            return self._losses.estimate(found)
        confidences = found[SCORE]
        if confidences.rows == 0:
            return None
        return estimate_area(confidences) if self._is_binary else estimate_accuracy(confidences)

    def report(self, newest: Tallies) -> QualityEstimate:
        """The estimate of the newest window beside the reference's."""
        found, reference = self.estimate(newest), self._reference
        if found is None or reference is None:
            return QualityEstimate(
                f"no estimate of quality: {self.why_not or 'the rows expect one class only'}",
                self.metric,
                calibration_error=self.calibration_error,
                calibration_limit=self.limit,
            )
        difference = found.value - reference
        low, high = found.interval
        where = "in its test" if self.metric == "accuracy" else "on the reference"
        if self._is_number:
            explained = self._losses.explained
            sure = f"the rows explain {explained:.0%} of the variance of errors"
        else:
            explained = None
            sure = (
                f"calibration error {self.calibration_error:.4f} on the test rows, at most "
                f"{self.limit:g}"
            )
        return QualityEstimate(
            message=(
                f"estimated without labels: {self.metric} {found.value:.4f} ({low:.4f} to "
                f"{high:.4f}), {reference:.4f} {where}, difference {difference:+.4f}; {sure}; "
                f"{BLIND.format(what='errors' if self._is_number else 'labels')}"
            ),
            metric=self.metric,
            value=found.value,
            interval=found.interval,
            reference=reference,
            difference=difference,
            calibration_error=self.calibration_error,
            calibration_limit=self.limit,
            explained=explained,
        )

    @cached_property
    def _losses(self) -> LossModel:
        return LossModel(self._rows.select(self._columns), _numbers(self._rows[LOSS]))

    @cached_property
    def _reference(self) -> float | None:
        if self.why_not:
            return None
        if self._is_number:
            return float(_numbers(self._rows[LOSS]).mean())
        if not self._is_binary:
            return self._tested.get("test_accuracy")
        scores = rounded_probabilities(_numbers(self._rows[PREDICTION]))
        estimate = estimate_area(tally(scores))
        return None if estimate is None else estimate.value

    def _why_no_loss(self) -> str:
        if LOSS not in self._rows.column_names:
            return "the version's reference has no errors, as an older goldpath trained it"
        found = self._rows.num_rows - self._rows[LOSS].null_count
        if found < FEWEST_ROWS:
            return f"errors are learned from {FEWEST_ROWS} rows of the reference; it has {found}"
        self._rows = self._rows.filter(self._rows[LOSS].is_valid())
        return ""

    def _why_not_calibrated(self) -> str:
        if self.calibration_error is None or not np.isfinite(self.calibration_error):
            return f"the version's run has no test_{CALIBRATION}"
        if self.calibration_error > self.limit:
            return (
                f"calibration error {self.calibration_error:.4f} on the test rows, at most "
                f"{self.limit:g} (monitoring.calibration_error_limit), so its probabilities do not "
                "say how often they are right"
            )
        return ""


def _numbers(column: pa.ChunkedArray) -> Floats:
    found: Floats = column.cast(pa.float64()).to_numpy().astype(np.float64)
    return found
