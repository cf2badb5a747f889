"""Whether a model treats the groups that the contract names alike.

Two classes: the rates of true and of false positives (equalised odds, Hardt et al. 2016) are
judged, and the share of rows that are called positive is reported. More classes: accuracy.
Regression: mean error and mean absolute error, in standard deviations of the target.

Of a version with thresholds by group, the same rates are shown beside those of one threshold for
all, with what the difference costs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from goldpath.contract import Feature
from goldpath.judging.evidence import Evidence
from goldpath.judging.validation_report import ValidationResult, ValidationStatus
from goldpath.learning.decision.chosen import metric_named
from goldpath.learning.decision.groups import RATES, counted_rows, described, meaning, names_of
from goldpath.learning.decision.threshold import DecisionRule
from goldpath.learning.metrics import metric_value
from goldpath.learning.predictions import BY_PAIRS, Predictions

FAIRNESS_CHECK, GROUPS_CHECK = "bias", "thresholds by group"
FALSE_ALARMS = 0.01
"""Over all pairs of groups, metrics and columns together (Bonferroni)."""

MOST_DISTINCT = 5
QUARTERS = (0.25, 0.5, 0.75)
MISSING, OTHERS = "(missing)", "(others)"


@dataclass(frozen=True)
class RowMetric:
    """A metric that is a mean over rows.

    Attributes:
        name: Its name.
        values: What is averaged, shape (rows,).
        counted: Which rows count, shape (rows,).
        is_rate: Whether the values are 0 or 1.
        judged: Whether a difference between groups may fail the model.
    """

    name: str
    values: np.ndarray
    counted: np.ndarray
    is_rate: bool
    judged: bool = True


@dataclass(frozen=True)
class Gap:
    """The difference of one metric between two groups of a column, with its interval."""

    column: str
    metric: str
    higher: str
    lower: str
    difference: float
    interval: tuple[float, float]

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.column}: {self.metric} of {self.higher} is {self.difference:.3f} "
            f"[{low:.3f}, {high:.3f}] above {self.lower}"
        )


def check_fairness(evidence: Evidence) -> ValidationResult | None:
    """Compare every two groups of each column in `fairness_groups`.

    The model fails where a difference is surely above the limit, that is, the lower end of its
    interval is; it warns where the difference alone is above. Small groups are not judged.
    """
    columns = evidence.contract.fairness_groups
    if not columns:
        return None
    limit, smallest = evidence.validation.group_difference, evidence.validation.minimum_group_rows
    metrics = row_metrics(evidence)
    details: dict[str, dict[str, float | str]] = {}
    pairs: list[tuple[str, RowMetric, str, str, Mapping[str, np.ndarray]]] = []
    unjudged = []
    for column in columns:
        groups = group_labels(evidence.rows[column], evidence.contract.by_name[column])
        details |= group_figures(column, groups, metrics)
        before = len(pairs)
        for metric in metrics:
            sizes = groups[metric.counted].value_counts()
            names = [str(name) for name in sizes.index[sizes >= smallest]]
            if metric.judged:
                samples = _samples(metric, groups.to_numpy(), names)
                pairs += [(column, metric, a, b, samples) for a, b in combinations(names, 2)]
        if len(pairs) == before:
            unjudged.append(column)
    if unjudged:
        return ValidationResult(
            FAIRNESS_CHECK,
            ValidationStatus.NOT_ENOUGH_DATA,
            f"{', '.join(unjudged)}: fewer than two groups have the {smallest} rows "
            "that each metric needs",
            threshold=limit,
            details=details,
        )
    gaps = [_gap(*pair, FALSE_ALARMS / len(pairs)) for pair in pairs]
    return _judge(gaps, limit, details)


def check_group_thresholds(evidence: Evidence) -> ValidationResult | None:
    """Show what a version's thresholds by group do on the judged rows.

    It warns where the rate that they are for surely differs by more than the tolerance, where there
    are too few rows to say, and where no group has enough rows for one. It never fails the model.
    """
    groups, common = evidence.contract.decision_groups, evidence.contract.decision_threshold
    if groups is None or common is None:
        return None
    column = groups.column
    names = names_of(evidence.rows[column].tolist(), evidence.contract.by_name[column])
    before = _with_one_threshold(evidence, common)
    gaps = _gaps_of_rate(evidence, names) if groups.thresholds else []
    said = described(groups, common)
    if groups.thresholds:
        found = str(max(gaps, key=_width)) if gaps else "too few rows here to compare the groups"
        said = f"{found}; {_cost(evidence, before)}; {said}. {meaning(groups)}"
    is_unknown = groups.gaps is None or bool(groups.thresholds and not gaps)
    is_wide = any(gap.interval[0] > groups.tolerance for gap in gaps)
    return ValidationResult(
        GROUPS_CHECK,
        ValidationStatus.WARNING if is_unknown or is_wide else ValidationStatus.PASSED,
        said,
        score=max(map(_width, gaps), default=None),
        threshold=groups.tolerance,
        details=_beside_one_threshold(evidence, names, before),
    )


def _with_one_threshold(evidence: Evidence, common: float) -> Predictions:
    """The decisions at the threshold that rows of no group have."""
    found = evidence.predictions
    answers = np.column_stack([1 - np.asarray(found.scores), found.scores])
    places = DecisionRule(common).labels(answers)
    labels = np.take(evidence.contract.target.classes, places).tolist()
    return Predictions(labels, found.probabilities, found.scores)


def _beside_one_threshold(
    evidence: Evidence, names: np.ndarray, before: Predictions
) -> dict[str, dict[str, float | str]]:
    """The rates of each group that the version names, of all others, and of those without one."""
    groups, positive = evidence.contract.decision_groups, _is_positive(evidence, evidence.truth)
    lines, small = ({}, {}) if groups is None else (groups.thresholds, groups.small)
    named = {name: name for name in (*sorted(lines), *small)} | {None: MISSING}
    shown = np.array([named.get(name, OTHERS) for name in names], dtype=object)
    details: dict[str, dict[str, float | str]] = {}
    decisions = [_is_positive(evidence, found.values) for found in (before, evidence.predictions)]
    for name in (*named.values(), OTHERS):
        if not (rows := shown == name).any():
            continue
        row = details[name] = {
            "rows": float(rows.sum()),
            "threshold": f"{lines[name]:.4g}" if name in lines else "the common one",
        }
        then, now = (_rates(called[rows], positive[rows]) for called in decisions)
        for rate, value in now.items():
            row |= {f"{rate}, one threshold": then[rate], rate: value}
    return details


def _rates(called: np.ndarray, positive: np.ndarray) -> dict[str, float]:
    """What is shown of a group's decisions."""
    return {
        "selection rate": _mean(called),
        "true positive rate": _mean(called[positive]),
        "precision": _mean(positive[called]),
    }


def _gaps_of_rate(evidence: Evidence, names: np.ndarray) -> list[Gap]:
    """The differences of the rate that the thresholds are for, between groups with enough rows."""
    groups, positive = evidence.contract.decision_groups, _is_positive(evidence, evidence.truth)
    if groups is None:
        return []
    counted = counted_rows(groups.criterion, positive)
    called = _is_positive(evidence, evidence.predictions.values).astype("float64")
    rate = RowMetric(RATES[groups.criterion], called, counted, is_rate=True)
    least = evidence.validation.minimum_group_rows
    enough = [name for name in groups.thresholds if (counted & (names == name)).sum() >= least]
    pairs, samples = list(combinations(enough, 2)), _samples(rate, names, enough)
    return [_gap(groups.column, rate, *pair, samples, FALSE_ALARMS / len(pairs)) for pair in pairs]


def _cost(evidence: Evidence, before: Predictions) -> str:
    """Metrics of decisions, each beside what one threshold gives on the same rows."""
    contract, definitions = evidence.contract, evidence.definitions
    tuned = contract.decision_groups.metric if contract.decision_groups else ""
    own = [each for each in (definitions.metric, *definitions.metrics) if each is not None]
    chosen = {each.name: each for each in own if "decided" in each.inputs}
    for name in (tuned, "accuracy"):
        if name in BY_PAIRS and name not in chosen:
            metric = metric_named(name, definitions, contract, "decision.tune_for")
            chosen |= {} if metric is None else {name: metric}
    said = []
    for name, metric in chosen.items():
        now, then = (
            metric_value(contract, evidence.truth, found, metric, evidence.rows)
            for found in (evidence.predictions, before)
        )
        said.append(f"{name} {now:.4g} ({then:.4g} with one threshold)")
    return ", ".join(said)


def _is_positive(evidence: Evidence, labels: Sequence[Any] | np.ndarray) -> np.ndarray:
    is_positive: np.ndarray = np.asarray(labels, dtype=str) == evidence.contract.target.positive
    return is_positive


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _width(gap: Gap) -> float:
    return gap.difference


def row_metrics(evidence: Evidence) -> list[RowMetric]:
    """The metrics that suit the problem."""
    contract, everyone = evidence.contract, np.ones(len(evidence.rows), dtype=bool)
    if contract.problem == "regression":
        spread = float(np.std(evidence.truth)) or 1.0
        errors = (
            np.asarray(evidence.predictions.values, dtype="float64") - evidence.truth
        ) / spread
        return [
            RowMetric("mean error", errors, everyone, is_rate=False),
            RowMetric("mean absolute error", np.abs(errors), everyone, is_rate=False),
        ]
    predicted = np.asarray(evidence.predictions.values, dtype=str)
    truth = evidence.truth.astype(str)
    right = (predicted == truth).astype("float64")
    if not contract.is_binary:
        return [RowMetric("accuracy", right, everyone, is_rate=True)]
    called = (predicted == contract.target.positive).astype("float64")
    positive = truth == contract.target.positive
    return [
        RowMetric("true positive rate", called, positive, is_rate=True),
        RowMetric("false positive rate", called, ~positive, is_rate=True),
        RowMetric("selection rate", called, everyone, is_rate=True, judged=False),
        RowMetric("accuracy", right, everyone, is_rate=True, judged=False),
    ]


def group_labels(values: pd.Series, feature: Feature) -> pd.Series:
    """Each row's group: the value, or for a number of many values its quarter."""
    if not feature.is_numeric or values.nunique() <= MOST_DISTINCT:
        return values.astype(object).where(values.notna(), MISSING).astype(str)
    numbers = pd.to_numeric(values.astype(object).where(values.notna(), np.nan)).astype("float64")
    edges = np.unique(np.nanquantile(numbers, QUARTERS))
    names = [f"below {edges[0]:.6g}"]
    names += [f"{low:.6g} to {high:.6g}" for low, high in pairwise(edges)]
    names.append(f"{edges[-1]:.6g} and above")
    places = np.searchsorted(edges, numbers.fillna(0.0), "right")
    labels = np.asarray(names, dtype=object)[places]
    return pd.Series(np.where(numbers.isna(), MISSING, labels), index=values.index)


def group_figures(
    column: str, groups: pd.Series, metrics: list[RowMetric]
) -> dict[str, dict[str, float | str]]:
    """Every metric of every group, and each metric's largest difference, by fairlearn."""
    from fairlearn.metrics import MetricFrame, count

    positions = np.arange(len(groups))

    def mean_of(metric: RowMetric) -> object:
        def mean(rows: pd.Series, _: pd.Series) -> float:
            chosen = np.asarray(rows)[metric.counted[np.asarray(rows)]]
            return float(metric.values[chosen].mean()) if len(chosen) else float("nan")

        return mean

    frame = MetricFrame(
        metrics={"rows": count, **{metric.name: mean_of(metric) for metric in metrics}},
        y_true=positions,
        y_pred=positions,
        sensitive_features=pd.Series(groups.to_numpy(), name=column),
    )
    found: dict[str, dict[str, float | str]] = {
        f"{column} = {name}": {str(key): float(value) for key, value in row.items()}
        for name, row in frame.by_group.iterrows()
    }
    differences: Mapping[str, float] = frame.difference(method="between_groups").to_dict()
    found[f"{column}: largest difference"] = {
        name: float(value) for name, value in differences.items() if name != "rows"
    }
    return found


def rate_interval(hits: float, rows: int, quantile: float) -> tuple[float, float]:
    """A rate's interval (Wilson 1927), which holds for small groups and rates near 0 or 1."""
    rate, square = hits / rows, quantile**2
    middle = (rate + square / (2 * rows)) / (1 + square / rows)
    half = (
        quantile * np.sqrt(rate * (1 - rate) / rows + square / (4 * rows**2)) / (1 + square / rows)
    )
    return float(middle - half), float(middle + half)


def _samples(metric: RowMetric, groups: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """A metric's values by group, which are looked for once and not for each pair."""
    values, of = metric.values[metric.counted], groups[metric.counted]
    return {name: values[of == name] for name in names}


def _gap(
    column: str,
    metric: RowMetric,
    first: str,
    second: str,
    samples: Mapping[str, np.ndarray],
    alarms: float,
) -> Gap:
    """Rates: Newcombe's hybrid interval (1998, method 10). Means: Welch's."""
    from scipy.stats import norm, t

    high, low = sorted((first, second), key=lambda name: -float(samples[name].mean()))
    above, below = samples[high], samples[low]
    difference = float(above.mean() - below.mean())
    if metric.is_rate:
        quantile = float(norm.ppf(1 - alarms / 2))
        a_low, a_high = rate_interval(float(above.sum()), len(above), quantile)
        b_low, b_high = rate_interval(float(below.sum()), len(below), quantile)
        down = np.hypot(above.mean() - a_low, b_high - below.mean())
        up = np.hypot(a_high - above.mean(), below.mean() - b_low)
    else:
        parts = [float(sample.var(ddof=1)) / len(sample) for sample in (above, below)]
        squares = sum(
            part**2 / (len(sample) - 1) for part, sample in zip(parts, (above, below), strict=True)
        )
        freedom = sum(parts) ** 2 / squares if squares else 1.0
        down = up = float(t.ppf(1 - alarms / 2, freedom)) * np.sqrt(sum(parts))
    interval = (difference - float(down), difference + float(up))
    return Gap(column, metric.name, high, low, difference, interval)


def _judge(
    gaps: list[Gap], limit: float, details: dict[str, dict[str, float | str]]
) -> ValidationResult:
    widest = max(gaps, key=lambda gap: gap.difference)
    sure = [gap for gap in gaps if gap.interval[0] > limit]
    status, said = ValidationStatus.PASSED, str(widest)
    if sure:
        status = ValidationStatus.FAILED
        said = "; ".join(map(str, sorted(sure, key=lambda gap: -gap.difference)[:3]))
    elif widest.difference > limit:
        status, said = ValidationStatus.WARNING, f"{widest}, which may be chance"
    return ValidationResult(
        FAIRNESS_CHECK,
        status,
        f"{said}; at most {limit:g}",
        score=widest.difference,
        threshold=limit,
        details=details,
    )
