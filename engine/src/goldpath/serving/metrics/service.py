"""The service's Prometheus metrics.

Several workers count into files of one folder (`PROMETHEUS_MULTIPROC_DIR`, which must be set
before prometheus_client is imported), so whichever worker is scraped answers for all.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from goldpath.contract import Contract
from goldpath.features.window.online import OUTCOMES, Outcome
from goldpath.serving.answers.metric_series import MetricSeries
from goldpath.serving.answers.service_metric import ServiceMetric
from goldpath.serving.metrics.kept_counts import MULTIPROCESS_FOLDER, KeptCounts
from goldpath.serving.metrics.reports import Joined, ReportCollector
from goldpath.serving.worker_processes import is_alive

NO_MODEL = "none"
REGRESSION_LABEL = "value"
# Dashboards and alert rules are tested against these names.
METRIC_NAMES = (
    "ml_requests_total",
    "ml_request_seconds",
    "ml_requests_in_flight",
    "ml_requests_rate_limited_total",
    "ml_predictions_total",
    "ml_window_lookups_total",
    "ml_shadow_difference",
    "ml_model_loaded",
    "ml_model_load_failures_total",
    "ml_prediction_log_failures_total",
    "ml_validation_errors_total",
    "ml_data_rows",
    "ml_data_source_broken",
    "ml_data_refreshed_timestamp_seconds",
    "ml_data_newest_event_timestamp_seconds",
    "ml_drift_detected",
    "ml_drift_column_effect",
    "ml_drift_column_limit",
    "ml_drift_column_weight",
    "ml_drift_detectable",
    "ml_drift_window_start_timestamp_seconds",
    "ml_drift_checked_timestamp_seconds",
    "ml_drift_judged_timestamp_seconds",
    "ml_drift_unjudged_since_timestamp_seconds",
    "ml_drift_rows",
    "ml_drift_estimated_quality",
    "ml_drift_estimated_quality_reference",
    "ml_model_test_metric",
    "ml_live_metric",
    "ml_live_labelled",
    "ml_live_checked_timestamp_seconds",
    "ml_live_quality_low",
    "ml_live_quality_limit",
    "ml_live_value_mean",
    "ml_live_value",
    "ml_live_value_decisions",
)
# The fast lane answers within tens of microseconds.
BUCKETS = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
SHADOW_BUCKETS = (1e-9, 1e-6, 1e-3, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
PREDICTION_ROUTES = ("/predict", "/predict/batch")
FURTHER_ROUTES = "/models"
"""Before the name and the routes of each further model that is served beside the main one."""
_METHODS = frozenset({"GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"})

# One `_created` series beside each counter doubles what Prometheus keeps, and nothing reads it.
disable_created_metrics()  # type: ignore[no-untyped-call]


Series = TypeVar("Series", Counter, Gauge, Histogram)


class Metrics:
    """The metrics of one app.

    Args:
        contract: Names the classes that are counted.
        reports: Folder of `drift.json` and `training.json`; need not exist.
        model: A further model: each of its series has the label `model`.
        prefix: Before each of its routes, where it is served beside the main model.
        own: The project's own metrics of its predictions.

    Attributes:
        own: Their series.
        beside: The metrics of further models that this service serves, too.
    """

    def __init__(
        self,
        contract: Contract,
        reports: Path,
        model: str = "",
        prefix: str = "",
        own: Sequence[ServiceMetric] = (),
    ) -> None:
        self.beside: list[Metrics] = []
        self._prefix = prefix
        self._labels = contract.target.classes
        if contract.problem == "regression":
            self._labels = (REGRESSION_LABEL,)
        self._is_regression = contract.problem == "regression"
        self._reports = ReportCollector(reports, model)
        registry = CollectorRegistry()
        self.own = MetricSeries(own, registry, model)
        more = ["model"] if model else []
        self._model = [model] if model else []
        self._own = registry
        self._kept = KeptCounts()
        self._requests = Counter(
            "ml_requests",
            "Requests answered.",
            [*more, "route", "method", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "ml_request_seconds",
            "Time to answer.",
            [*more, "route"],
            registry=registry,
            buckets=BUCKETS,
        )
        self._in_flight = Gauge(
            "ml_requests_in_flight",
            "Requests that FastAPI's app is answering.",
            more,
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._rate_limited = Counter(
            "ml_requests_rate_limited",
            "Requests refused since a client sent too many.",
            [*more, "route"],
            registry=registry,
        )
        self._predictions = Counter(
            "ml_predictions",
            "Rows scored.",
            [*more, "model_version", "prediction"],
            registry=registry,
        )
        self._loaded = Gauge(
            "ml_model_loaded",
            "1 for the model version that serves.",
            [*more, "model_version"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._load_failures = Counter(
            "ml_model_load_failures",
            "Attempts to load a model version that failed.",
            more,
            registry=registry,
        )
        self._shadow = Histogram(
            "ml_shadow_difference",
            "How far a shadow's score is from that of the model that answered.",
            [*more, "model_version"],
            registry=registry,
            buckets=SHADOW_BUCKETS,
        )
        self._log_failures = Counter(
            "ml_prediction_log_failures",
            "Predictions that could not be logged.",
            more,
            registry=registry,
        )
        self._windows = Counter(
            "ml_window_lookups",
            "Window features looked up by key: found, of an unknown entity, expired (materialized "
            "longer ago than their ttl), or unavailable.",
            [*more, "outcome"],
            registry=registry,
        )
        self._invalid = Counter(
            "ml_validation_errors",
            "Requests that the contract refused.",
            [*more, "route"],
            registry=registry,
        )
        # A counter that starts at its first event hides that event from rate().
        for route in (prefix + each for each in PREDICTION_ROUTES):
            self._of(self._requests, route, "POST", "200")
            self._of(self._invalid, route)
            self._of(self._rate_limited, route)
        self._count_window = {each: self._of(self._windows, each).inc for each in OUTCOMES}
        self._of(self._loaded, NO_MODEL).set(0)
        self._version = NO_MODEL

    def request_answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer; methods and routes that do not exist share a label each."""
        known = method if method in _METHODS else "other"
        own = self._owner(route)
        own._of(own._requests, route, known, str(status)).inc()
        own._of(own._seconds, route).observe(seconds)

    def request_begins(self) -> None:
        """Count a request that the app is to answer."""
        self._of(self._in_flight).inc()

    def request_ends(self) -> None:
        """The app has answered, or will not."""
        self._of(self._in_flight).dec()

    def rate_limited(self, route: str) -> None:
        """Count a request that was refused since its client sent too many."""
        own = self._owner(route)
        own._of(own._rate_limited, route).inc()

    def request_timer(self, route: str) -> Callable[[float], None]:
        """What counts the lane's answers with status 200 to a POST, in the event loop's thread."""
        answered = self._of(self._requests, route, "POST", "200")
        return self._kept.timer(answered, self._of(self._seconds, route))

    def prediction_counters(
        self, model_version: str, labels: Sequence[str] = ()
    ) -> Mapping[str, Callable[[float], None]]:
        """What counts the lane's rows of a model version by their predicted label, in its thread.

        Args:
            model_version: The version.
            labels: Its labels; the contract's where not given.
        """
        return {
            label: self._kept.counter(self._of(self._predictions, model_version, label))
            for label in labels or self._labels
        }

    def window_counters(self) -> Mapping[Outcome, Callable[[float], None]]:
        """What counts the window features that the lane looks up, in the event loop's thread."""
        return {each: self._kept.counter(self._of(self._windows, each)) for each in OUTCOMES}

    def window_looked_up(self, outcome: Outcome) -> None:
        """Count a window feature that was looked up for an entity."""
        self._count_window[outcome]()

    def validation_failed(self, route: str) -> None:
        """Count a request that the contract refused."""
        own = self._owner(route)
        own._of(own._invalid, route).inc()

    def predicted(self, model_version: str, values: Iterable[object]) -> None:
        """Count the rows of one request by what was predicted."""
        for value in values:
            label = REGRESSION_LABEL if self._is_regression else str(value)
            self._of(self._predictions, model_version, label).inc()

    def shadow_compared(self, model_version: str, difference: float) -> None:
        """Count a row that a shadow scored, too.

        Args:
            model_version: The shadow.
            difference: Between its score and that of the model that answered.
        """
        self._of(self._shadow, model_version).observe(abs(difference))

    def log_failed(self, predictions: int) -> None:
        """Count predictions that are not in the prediction log."""
        self._of(self._log_failures).inc(predictions)

    def model_loaded(self, model_version: str) -> None:
        """State which version serves now."""
        self._of(self._loaded, self._version).set(0)
        self._of(self._loaded, model_version).set(1)
        self._version = model_version
        for label in self._labels:
            self._of(self._predictions, model_version, label)

    def model_load_failed(self) -> None:
        """Count a version that was to serve and could not be loaded."""
        self._of(self._load_failures).inc()

    def _owner(self, route: str) -> "Metrics":
        """The metrics of the model that answers a route."""
        found = (each for each in self.beside if route.startswith(f"{each._prefix}/"))
        return next(found, self)

    def _of(self, metric: Series, *labels: str) -> Series:
        """A series of a metric, with the label of the model that has one."""
        values = (*self._model, *labels)
        return metric.labels(*values) if values else metric

    def render(self) -> bytes:
        """All metrics in Prometheus' text format, over all workers."""
        reports = CollectorRegistry()
        reports.register(Joined([each._reports for each in (self, *self.beside)]))
        parts = [self.registry(), reports]
        if not os.environ.get(MULTIPROCESS_FOLDER):
            # The project's own metrics; with several workers they lie in the shared folder.
            parts.append(_own_metrics())
        return b"".join(map(generate_latest, parts))

    def registry(self) -> CollectorRegistry:
        """The service's own metrics, over all workers."""
        for each in (self, *self.beside):
            each._kept.hand_over()
        folder = os.environ.get(MULTIPROCESS_FOLDER)
        if not folder and not self.beside:
            return self._own
        if not folder:
            together = CollectorRegistry()
            together.register(Joined([each._own for each in (self, *self.beside)]))
            return together
        registry = CollectorRegistry()
        _forget_dead_workers(Path(folder))
        MultiProcessCollector(registry, folder)  # type: ignore[no-untyped-call]
        return registry


def _own_metrics() -> CollectorRegistry:
    """What the project's code counts in prometheus_client's default registry.

    Left out are the collectors of the process and of Python that the library puts there by itself.
    """
    usual = {PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR}
    registry = CollectorRegistry()
    for collector in list(REGISTRY._collector_to_names):
        if collector not in usual:
            registry.register(collector)
    return registry


def _forget_dead_workers(folder: Path) -> None:
    """Drop the gauges of workers that were killed; Uvicorn has no hook for it. Counters stay."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdecimal() and not is_alive(int(pid)):
            with suppress(FileNotFoundError):  # another worker was asked at the same time
                mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]
