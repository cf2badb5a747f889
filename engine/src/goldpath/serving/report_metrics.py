"""The figures that drift checks, training and labels leave in files, as Prometheus metrics."""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


class ReportCollector(Collector):
    """Reads `drift.json`, `training.json` and `feedback.json` at each scrape.

    They are written by other processes: a file that is missing, half written or of another form
    is absent from the metrics.

    Args:
        folder: The reports' folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def collect(self) -> Iterator[Metric]:
        """The figures as gauges; none where the file or the value is missing."""
        drift = read_json(self.folder / "drift.json")
        detected = {"drift": 1.0, "ok": 0.0}.get(str(drift.get("verdict")))
        if detected is not None:
            yield _gauge("ml_drift_detected", "1 where the last check found drift.", detected)
        effects = GaugeMetricFamily(
            "ml_drift_column_effect", "Size of each column's shift.", labels=["column"]
        )
        for column in _mappings(drift.get("columns")):
            effect = _number(column.get("effect"))
            if effect is not None:
                effects.add_metric([str(column.get("name"))], effect)
        if effects.samples:
            yield effects
        checked = _timestamp(drift.get("checked_at"))
        if checked is not None:
            yield _gauge(
                "ml_drift_checked_timestamp_seconds", "When drift was last checked.", checked
            )
        rows = _number(drift.get("rows"))
        if rows is not None:
            yield _gauge("ml_drift_rows", "Rows that the last drift check compared.", rows)
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
    checked = _timestamp(feedback.get("checked_at"))
    if checked is not None:
        yield _gauge(
            "ml_live_checked_timestamp_seconds", "When live performance was last taken.", checked
        )


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
