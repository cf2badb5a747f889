"""The figures that refreshes, drift checks, training and labels leave, as Prometheus metrics."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, write_to_textfile
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

TEXTFILE = "prometheus/goldpath.prom"
"""Among the reports: the figures for Prometheus' node exporter, where no service shows them."""

SOURCE_FIGURES = "data-sources"
"""Among the reports: a file for each source of the lake. A model's name, which is a folder there,
has no hyphen."""


class ReportCollector(Collector):
    """Reads the reports of sources, drift checks, training and labels at each scrape.

    They are written by other processes: a file that is missing, half written or of another form
    is absent from the metrics.

    Args:
        folder: The reports' folder.
        model: A further model, which each figure has as the label `model`.
    """

    def __init__(self, folder: Path, model: str = "") -> None:
        self.folder, self._model = folder, model

    def collect(self) -> Iterator[Metric]:
        """The figures as gauges; none where the file or the value is missing."""
        for family in self._families():
            if self._model:
                family.samples = [
                    each._replace(labels={"model": self._model, **each.labels})
                    for each in family.samples
                ]
            yield family

    def _families(self) -> Iterator[Metric]:
        yield from _of_sources(self.folder / SOURCE_FIGURES)
        yield from _of_drift(self.folder / "drift")
        training = read_json(self.folder / "training.json")
        value = _number(training.get("value"))
        if value is not None and training.get("metric"):
            family = GaugeMetricFamily(
                "ml_model_test_metric",
                "The last training's score on its test rows.",
                labels=["metric"],
            )
            family.add_metric([str(training["metric"])], value)
            yield family
        yield from _of_feedback(read_json(self.folder / "feedback.json"))


class Joined(Collector):
    """Several collectors as one: what one metric has in each of them is one family."""

    def __init__(self, collectors: Sequence[Collector | CollectorRegistry]) -> None:
        self._collectors = collectors

    def collect(self) -> Iterator[Metric]:
        """The families, each once."""
        found: dict[str, Metric] = {}
        for collector in self._collectors:
            for family in collector.collect():
                if family.name in found:
                    found[family.name].samples += family.samples
                else:
                    found[family.name] = family
        yield from found.values()


def write_textfile(folder: Path, model: str = "") -> None:
    """Write the reports' figures as a file for the node exporter's textfile collector.

    Who scores in batches only has no service whose `/metrics` could be read.

    Args:
        folder: The reports' folder.
        model: A further model, whose file lies beside that of the main one.
    """
    file = folder / TEXTFILE
    if model:
        file = folder.parent / f"prometheus/goldpath-{model}.prom"
    file.parent.mkdir(parents=True, exist_ok=True)
    registry = CollectorRegistry()
    registry.register(ReportCollector(folder, model))
    write_to_textfile(str(file), registry)


def _of_sources(folder: Path) -> Iterator[Metric]:
    """What the last refresh of each source of the lake counted."""
    rows = GaugeMetricFamily(
        "ml_data_rows",
        "Rows of a source by what became of them; bronze is all of them.",
        labels=["source", "kind"],
    )
    broken = GaugeMetricFamily(
        "ml_data_source_broken",
        "1 where the last refresh could not read the source.",
        labels=["source"],
    )
    refreshed = GaugeMetricFamily(
        "ml_data_refreshed_timestamp_seconds",
        "When a refresh of the source last ended well.",
        labels=["source"],
    )
    newest = GaugeMetricFamily(
        "ml_data_newest_event_timestamp_seconds",
        "The newest event time of the source's rows.",
        labels=["source"],
    )
    for file in sorted(folder.glob("*.json")):
        figures, name = read_json(file), file.stem
        counts = figures.get("rows")
        for kind, count in counts.items() if isinstance(counts, dict) else ():
            number = _number(count)
            if number is not None:
                rows.add_metric([name, str(kind)], number)
        if "fault" in figures:
            broken.add_metric([name], 1.0 if figures["fault"] else 0.0)
        for family, field in ((refreshed, "refreshed_at"), (newest, "newest_event")):
            time = _timestamp(figures.get(field))
            if time is not None:
                family.add_metric([name], time)
    yield from (family for family in (rows, broken, refreshed, newest) if family.samples)


SOURCES = ("batch", "file", "service", "table")
"""Of a drift check; other files of the folder are none of its."""


def _of_drift(folder: Path) -> Iterator[Metric]:
    """The last check of each source: what one source says clears nothing of another."""

    def family(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
        return GaugeMetricFamily(name, documentation, labels=["source", *labels])

    detected = family("ml_drift_detected", "1 where the last check of the source found drift.")
    effects = family("ml_drift_column_effect", "Size of each column's shift.", "column")
    limits = family("ml_drift_column_limit", "Shift from which on a column counts.", "column")
    weights = family(
        "ml_drift_column_weight",
        "Each column's shift, in multiples of its limit, times its share of the importance.",
        "column",
    )
    checked = family("ml_drift_checked_timestamp_seconds", "When drift was last checked.")
    judged = family(
        "ml_drift_judged_timestamp_seconds",
        "When a check of the source last had a verdict, and not too few rows or none to compare.",
    )
    unjudged = family(
        "ml_drift_unjudged_since_timestamp_seconds",
        "Since when checks of the source give no verdict, where it never had one.",
    )
    rows = family("ml_drift_rows", "Rows of the window that was judged last.")
    starts = family("ml_drift_window_start_timestamp_seconds", "When that window began.")
    seen = family("ml_drift_detectable", "Smallest shift that would have been seen.")
    estimates = family(
        "ml_drift_estimated_quality",
        "Quality of the newest window, estimated from its probabilities without labels.",
        "metric",
    )
    expected = family(
        "ml_drift_estimated_quality_reference", "The same for the model's reference.", "metric"
    )
    for source in SOURCES:
        drift = read_json(folder / f"{source}.json")
        for metric, value in (
            (detected, {"drift": 1.0, "ok": 0.0}.get(str(drift.get("verdict")))),
            (checked, _checked(drift)),
            (judged, _timestamp(drift.get("judged_at"))),
            (unjudged, _timestamp(drift.get("unjudged_since"))),
            (rows, _number(drift.get("rows"))),
            (starts, _timestamp(drift.get("window_start"))),
            (seen, _number(drift.get("detectable"))),
        ):
            if value is not None:
                metric.add_metric([source], value)
        for estimate in _mappings([drift.get("estimate")]):
            for metric, name in ((estimates, "value"), (expected, "reference")):
                value = _number(estimate.get(name))
                if value is not None:
                    metric.add_metric([source, str(estimate.get("metric"))], value)
        for column in _mappings(drift.get("columns")):
            for metric, name in ((effects, "effect"), (limits, "limit")):
                value = _number(column.get(name))
                if value is not None:
                    metric.add_metric([source, str(column.get("name"))], value)
        for column in _mappings(drift.get("moved_and_matters")):
            value = _number(column.get("weight"))
            if value is not None:
                weights.add_metric([source, str(column.get("name"))], value)
    families = (
        detected, effects, limits, weights, checked, judged, unjudged, rows, starts, seen,
        estimates, expected,
    )  # fmt: skip
    yield from (each for each in families if each.samples)


def _checked(drift: Mapping[str, Any]) -> float | None:
    """When the source was checked, be it that there was nothing to compare."""
    nothing = drift.get("nothing_compared")
    told = [drift, nothing] if isinstance(nothing, dict) else [drift]
    times = [_timestamp(each.get("checked_at")) for each in told]
    return max((time for time in times if time is not None), default=None)


def _of_feedback(feedback: Mapping[str, Any]) -> Iterator[Metric]:
    """How each version did by the labels that came back (`logs performance`)."""
    metrics = GaugeMetricFamily(
        "ml_live_metric",
        "Score on the served predictions whose label came back.",
        labels=["model_version", "metric"],
    )
    labelled = GaugeMetricFamily(
        "ml_live_labelled", "Served predictions whose label came back.", labels=["model_version"]
    )
    for version in _mappings(feedback.get("versions")):
        name, count = str(version.get("model_version")), _number(version.get("labelled"))
        if count is not None:
            labelled.add_metric([name], count)
        found = version.get("metrics")
        for metric, value in found.items() if isinstance(found, dict) else ():
            number = _number(value)
            if number is not None:
                metrics.add_metric([name, str(metric)], number)
    yield from (family for family in (metrics, labelled) if family.samples)
    yield from _of_quality(feedback.get("quality"))
    yield from _of_values(_mappings(feedback.get("values")))
    checked = _timestamp(feedback.get("checked_at"))
    if checked is not None:
        yield _gauge(
            "ml_live_checked_timestamp_seconds", "When live performance was last taken.", checked
        )


def _of_values(values: Sequence[Mapping[str, Any]]) -> Iterator[Metric]:
    """What the decisions of the newest day and week with labels were worth."""
    newest = {str(each.get("period")): each for each in values}
    for name, field, documentation in (
        ("ml_live_value_mean", "mean", "Mean worth of decisions with a label, newest period."),
        (
            "ml_live_value",
            "total",
            "What decisions with a label were worth, newest period.",
        ),
        ("ml_live_value_decisions", "labelled", "How many decisions that were."),
    ):
        family = GaugeMetricFamily(name, documentation, labels=["period"])
        for period, each in newest.items():
            value = _number(each.get(field))
            if value is not None:
                family.add_metric([period], value)
        if family.samples:
            yield family


def _of_quality(quality: object) -> Iterator[Metric]:
    """Whether the champion's quality has fallen, and the limit that it was held to."""
    if not isinstance(quality, dict):
        return
    low = {"low": 1.0, "ok": 0.0}.get(str(quality.get("verdict")))
    limit = _number(quality.get("limit"))
    for name, documentation, value in (
        ("ml_live_quality_low", "1 where the champion's labels say that quality has fallen.", low),
        ("ml_live_quality_limit", "What the metric was held to.", limit),
    ):
        if value is not None:
            family = GaugeMetricFamily(name, documentation, labels=["model_version", "metric"])
            family.add_metric(
                [str(quality.get("model_version")), str(quality.get("metric"))], value
            )
            yield family


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)


def read_json(file: Path) -> Mapping[str, Any]:
    """A JSON object; an empty one where the file is missing, torn or holds something else."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _mappings(values: object) -> list[Mapping[str, Any]]:
    return (
        [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    )


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _timestamp(value: object) -> float | None:
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except (ValueError, OverflowError):
        return None
