"""The service's Prometheus metrics, and the figures that drift checks and training leave in files.

Several workers count into files of one folder (`PROMETHEUS_MULTIPROC_DIR`, which must be set
before prometheus_client is imported), so whichever worker is scraped answers for all.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..contract import Contract

MULTIPROCESS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
NO_MODEL = "none"
REGRESSION_LABEL = "value"
# Dashboards and alert rules are tested against these names.
METRIC_NAMES = (
    "ml_requests_total",
    "ml_request_seconds",
    "ml_predictions_total",
    "ml_model_loaded",
    "ml_prediction_log_failures_total",
    "ml_validation_errors_total",
    "ml_drift_detected",
    "ml_drift_column_effect",
    "ml_drift_checked_timestamp_seconds",
    "ml_drift_rows",
    "ml_model_test_metric",
)
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
PREDICTION_ROUTES = ("/predict", "/predict/batch")
_METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})

# One `_created` series beside each counter doubles what Prometheus keeps, and nothing reads it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The metrics of one app.

    Args:
        contract: Names the classes that are counted.
        reports: Folder of `drift.json` and `training.json`; need not exist.
    """

    def __init__(self, contract: Contract, reports: Path) -> None:
        self._labels = contract.target.classes or (REGRESSION_LABEL,)
        self._is_regression = contract.problem == "regression"
        self._reports = ReportCollector(reports)
        own = CollectorRegistry()
        self._own = own
        self._requests = Counter(
            "ml_requests", "Requests answered.", ["route", "method", "status"], registry=own
        )
        self._seconds = Histogram(
            "ml_request_seconds", "Time to answer.", ["route"], registry=own, buckets=BUCKETS
        )
        self._predictions = Counter(
            "ml_predictions", "Rows scored.", ["model_version", "prediction"], registry=own
        )
        self._loaded = Gauge(
            "ml_model_loaded",
            "1 for the model version that serves.",
            ["model_version"],
            registry=own,
            multiprocess_mode="livemax",
        )
        self._log_failures = Counter(
            "ml_prediction_log_failures", "Predictions that could not be logged.", registry=own
        )
        self._invalid = Counter(
            "ml_validation_errors", "Requests that the contract refused.", ["route"], registry=own
        )
        # A counter that starts at its first event hides that event from rate().
        for route in PREDICTION_ROUTES:
            self._requests.labels(route, "POST", "200")
            self._invalid.labels(route)
        self._loaded.labels(NO_MODEL).set(0)
        self._version = NO_MODEL

    def request_answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer; methods and routes that do not exist share a label each."""
        known = method if method in _METHODS else "other"
        self._requests.labels(route, known, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def request_timer(self, route: str) -> Callable[[float], None]:
        """What counts one answer with status 200 to a POST, without looking labels up each time."""
        answered = self._requests.labels(route, "POST", "200")
        seconds = self._seconds.labels(route)

        def count(took: float) -> None:
            answered.inc()
            seconds.observe(took)

        return count

    def prediction_counters(self, model_version: str) -> Mapping[str, Callable[[float], None]]:
        """What counts rows of a model version, by their predicted label."""
        return {label: self._predictions.labels(model_version, label).inc for label in self._labels}

    def validation_failed(self, route: str) -> None:
        """Count a request that the contract refused."""
        self._invalid.labels(route).inc()

    def predicted(self, model_version: str, values: Iterable[object]) -> None:
        """Count the rows of one request by what was predicted."""
        for value in values:
            label = REGRESSION_LABEL if self._is_regression else str(value)
            self._predictions.labels(model_version, label).inc()

    def log_failed(self, predictions: int) -> None:
        """Count predictions that are not in the prediction log."""
        self._log_failures.inc(predictions)

    def model_loaded(self, model_version: str) -> None:
        """State which version serves now."""
        self._loaded.labels(self._version).set(0)
        self._loaded.labels(model_version).set(1)
        self._version = model_version
        for label in self._labels:
            self._predictions.labels(model_version, label)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format, over all workers."""
        folder = os.environ.get(MULTIPROCESS_FOLDER)
        if folder:
            registry = CollectorRegistry()
            _forget_dead_workers(Path(folder))
            MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        else:
            registry = self._own
        reports = CollectorRegistry()
        reports.register(self._reports)
        return generate_latest(registry) + generate_latest(reports)


class RequestMetrics:
    """Measures every request (pure ASGI); the route's template is the label, never the path."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and measure it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500  # stays where the app fails before it answers

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            seconds = time.perf_counter() - started
            self.metrics.request_answered(route_of(scope), scope["method"], status, seconds)


class ReportCollector(Collector):
    """Reads `drift.json` and `training.json` at each scrape.

    They are written by other processes: a file that is missing, half written or of another form
    is absent from the metrics.

    Args:
        folder: The reports' folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def collect(self) -> Iterator[Metric]:
        """The figures as gauges; none where the file or the value is missing."""
        drift = _read_json(self.folder / "drift.json")
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
        training = _read_json(self.folder / "training.json")
        value = _number(training.get("value"))
        if value is not None and training.get("metric"):
            family = GaugeMetricFamily(
                "ml_model_test_metric",
                "The last training's score on its test rows.",
                labels=["metric"],
            )
            family.add_metric([str(training["metric"])], value)
            yield family


def route_of(scope: Scope) -> str:
    """The template of the route that answers, `unmatched` where there is none."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=value)


def _read_json(file: Path) -> Mapping[str, Any]:
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


def _forget_dead_workers(folder: Path) -> None:
    """Drop the gauges of workers that were killed; Uvicorn has no hook for it. Counters stay."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not _is_alive(int(pid)):
            mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
