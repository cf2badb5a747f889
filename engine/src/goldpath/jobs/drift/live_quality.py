"""Whether the champion's quality has fallen since it was judged, by the labels that came back.

No drift check of rows can see that the same rows now have other labels. The newest days whose
labels are enough are compared with the version's own test; older ones would dilute a fall.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from goldpath.contract import Contract
from goldpath.judging.champion import FEWEST_OF_A_CLASS, NORMAL_QUANTILE, delong_areas
from goldpath.judging.fairness import rate_interval
from goldpath.learning.metrics import area_under_roc

if TYPE_CHECKING:
    import pandas as pd

SAMPLES, LEVEL = 400, 0.95
"""Of the bootstrap interval."""
FEWEST_OF_A_NUMBER = 10
"""Fewer squared errors than this say too little about how much they vary."""


@dataclass(frozen=True)
class LiveQuality:
    """The verdict on the champion's live quality.

    Attributes:
        verdict: ok, low, or insufficient.
        message: The verdict as a sentence.
        exit_code: 0, 1 or 3.
        model_version: The champion; empty where there is none.
        metric: What is judged.
        value: It on the newest labels; None where there is no verdict.
        interval: Its 95 % interval.
        limit: What it must reach, or must not exceed.
        tested: It in the version's own test.
        labelled: Labels that were judged.
        since: The first day of their predictions.
    """

    verdict: Literal["ok", "low", "insufficient"]
    message: str
    exit_code: int
    model_version: str
    metric: str
    value: float | None = None
    interval: tuple[float, float] | None = None
    limit: float | None = None
    tested: float | None = None
    labelled: int = 0
    since: str = ""


def judge_quality(
    contract: Contract,
    version: str,
    tested: Mapping[str, float],
    labelled: "pd.DataFrame",
    *,
    drop: float,
    minimum: int,
) -> LiveQuality:
    """The verdict on a version.

    It is low only if the whole interval lies beyond the limit: a few odd labels alarm nobody.

    Args:
        contract: Its problem names the metric: ROC AUC, accuracy, or RMSE.
        version: The champion.
        tested: The metrics of the version's run, by name.
        labelled: Its predictions whose label came back: _day, label, prediction, score.
        drop: By which share of the tested value the live one may be worse.
        minimum: Labels that a verdict takes.
    """
    metric, measure = _measure(contract)
    reference = tested.get(f"test_{metric}")
    if reference is None:
        return insufficient(metric, version, f"version {version} has no test_{metric} to reach")
    newest = _newest(labelled, minimum)
    if len(newest) < minimum:
        found = f"{len(newest)} labels of version {version}; {minimum} are needed"
        return insufficient(metric, version, found)
    value, interval = _with_interval(measure(newest), len(newest))
    if not np.isfinite([value, *interval]).all():
        why = f"the newest {len(newest)} labels of version {version} are all of one class"
        return insufficient(metric, version, why)
    falls = metric != "rmse"
    limit = reference * (1 - drop if falls else 1 + drop)
    is_low = interval[1] < limit if falls else interval[0] > limit
    since = str(newest["_day"].min())
    message = (
        f"{'quality has fallen' if is_low else 'no loss of quality'}: {metric} {value:.4f} "
        f"({interval[0]:.4f} to {interval[1]:.4f}) on the newest {len(newest):,} labels of version "
        f"{version}, predicted since {since}; {reference:.4f} in its test, alarm "
        f"{'below' if falls else 'above'} {limit:.4f}"
    )
    return LiveQuality(
        "low" if is_low else "ok",
        message,
        1 if is_low else 0,
        version,
        metric,
        value,
        interval,
        limit,
        reference,
        len(newest),
        since,
    )


def insufficient(metric: str, version: str, why: str) -> LiveQuality:
    """No verdict, and why."""
    return LiveQuality("insufficient", f"no verdict on quality: {why}", 3, version, metric)


def metric_of(contract: Contract) -> str:
    """The metric that live quality is judged by."""
    if contract.problem == "regression":
        return "rmse"
    return "roc_auc" if contract.is_binary else "accuracy"


def interval_of(contract: Contract, labelled: "pd.DataFrame") -> tuple[float, float] | None:
    """The 95 % interval of that metric on some labelled predictions; None where they are too few.

    It is taken for each day, of which there may be many with many labels, so in closed form: by
    DeLong for the area under the curve, by Wilson for accuracy, by the delta method for RMSE.
    """
    truth, rows = labelled["label"], len(labelled)
    if contract.problem == "regression":
        if rows < FEWEST_OF_A_NUMBER:
            return None
        squares = (labelled["prediction"].to_numpy("float64") - truth.to_numpy("float64")) ** 2
        margin = NORMAL_QUANTILE * float(squares.std(ddof=1)) / rows**0.5
        mean = float(squares.mean())
        return max(0.0, mean - margin) ** 0.5, (mean + margin) ** 0.5
    if not contract.is_binary:
        right = int((labelled["prediction"].to_numpy(str) == truth.to_numpy(str)).sum())
        return rate_interval(right, rows, NORMAL_QUANTILE)
    positive = truth.to_numpy(str) == contract.target.classes[1]
    if min(int(positive.sum()), int((~positive).sum())) < FEWEST_OF_A_CLASS:
        return None
    areas, variance = delong_areas(positive, labelled["score"].to_numpy("float64")[np.newaxis])
    area, margin = float(areas[0]), NORMAL_QUANTILE * float(variance[0, 0]) ** 0.5
    return max(0.0, area - margin), min(1.0, area + margin)


def _newest(labelled: "pd.DataFrame", minimum: int) -> "pd.DataFrame":
    """The rows of the newest days that together have enough."""
    sizes = labelled.groupby("_day").size().sort_index(ascending=False)
    enough = sizes.cumsum().searchsorted(minimum)
    return labelled[labelled["_day"].isin(sizes.index[: enough + 1])]


Rows = np.ndarray


def _measure(contract: Contract) -> tuple[str, Callable[["pd.DataFrame"], Callable[[Rows], float]]]:
    """The metric's name, and what gives it for some of the rows, by their numbers."""

    def errors(rows: "pd.DataFrame") -> Callable[[Rows], float]:
        found = (rows["prediction"].to_numpy("float64") - rows["label"].to_numpy("float64")) ** 2
        return lambda chosen: float(np.sqrt(found[chosen].mean()))

    def hits(rows: "pd.DataFrame") -> Callable[[Rows], float]:
        found = rows["prediction"].to_numpy(str) == rows["label"].to_numpy(str)
        return lambda chosen: float(found[chosen].mean())

    def area(rows: "pd.DataFrame") -> Callable[[Rows], float]:
        positive = rows["label"].to_numpy(str) == contract.target.classes[1]
        scores = rows["score"].to_numpy("float64")
        return lambda chosen: area_under_roc(positive[chosen], scores[chosen])

    metric = metric_of(contract)
    return metric, {"rmse": errors, "accuracy": hits, "roc_auc": area}[metric]


def _with_interval(metric: Callable[[Rows], float], rows: int) -> tuple[float, tuple[float, float]]:
    random = np.random.default_rng(0)
    drawn = np.array([metric(random.integers(0, rows, rows)) for _ in range(SAMPLES)])
    defined = drawn[np.isfinite(drawn)]
    if not len(defined):
        return float("nan"), (float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return metric(np.arange(rows)), (float(low), float(high))
