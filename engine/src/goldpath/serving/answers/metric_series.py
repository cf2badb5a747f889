"""What `GET /metrics` shows of a project's own metrics; several workers count into one folder."""

import logging
import time
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from goldpath.features.row.tracing import Row
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.serving.answers.own_fields import Prediction
from goldpath.serving.answers.service_metric import ServiceMetric

FAILURES = "ml_own_metric_failures"
"""Counts figures that a project's function did not give; only there with own metrics."""

WARNING_SECONDS = 10

Measure = Callable[[Row, Prediction], None]
"""Counts one prediction."""

log = logging.getLogger(__name__)


class MetricSeries:
    """The series of one model.

    Args:
        metrics: The project's.
        registry: Holds the series.
        model: A further model: each of its series has the label `model`.

    Raises:
        ProjectDefinitionError: If two metrics would be shown under one name.
    """

    def __init__(
        self, metrics: Sequence[ServiceMetric], registry: CollectorRegistry, model: str = ""
    ) -> None:
        self._metrics = metrics
        self._model = [model] if model else []
        labels = [*(["model"] if model else []), "model_version"]
        self._series = [_series(each, labels, registry) for each in metrics]
        if metrics:
            self._failures = Counter(
                FAILURES,
                "Figures of the project's own metrics that its function did not give.",
                [*labels[:-1], "metric"],
                registry=registry,
            )
        self._warned = float("-inf")

    def of_version(self, model_version: str) -> Measure | None:
        """What counts the predictions of a version; None without metrics of the project's own."""
        if not self._metrics:
            return None
        labels = (*self._model, model_version)
        counted = [
            (each, _keep(series, labels), self._failures.labels(*self._model, each.name))
            for each, series in zip(self._metrics, self._series, strict=True)
        ]

        def measure(row: Row, prediction: Prediction) -> None:
            for metric, keep, failures in counted:
                try:
                    keep(metric.value(row, prediction))
                except Exception as error:  # noqa: BLE001  the answer is given all the same
                    failures.inc()
                    self._say(metric, error)

        return measure

    def _say(self, metric: ServiceMetric, error: Exception) -> None:
        """Say it now and then: thousands a second may fail."""
        now = time.monotonic()
        if now - self._warned >= WARNING_SECONDS:
            log.warning(
                "%s: the metric has no figure of a prediction; %s counts such",
                place_of(metric.function), f"{FAILURES}_total", exc_info=error,
            )  # fmt: skip
            self._warned = now


def _series(
    metric: ServiceMetric, labels: Sequence[str], registry: CollectorRegistry
) -> Counter | Gauge | Histogram:
    name, said = metric.name, metric.described
    try:
        if metric.kind == "counter":
            return Counter(name, said, labels, registry=registry)
        if metric.kind == "gauge":
            return Gauge(name, said, labels, registry=registry, multiprocess_mode="mostrecent")
        buckets = metric.buckets or Histogram.DEFAULT_BUCKETS
        return Histogram(name, said, labels, registry=registry, buckets=buckets)
    except ValueError as error:  # `risk` is a counter, which is shown as risk_total, and risk_total
        raise ProjectDefinitionError(
            f"{place_of(metric.function)}: {name} is shown like another metric: {error}",
            "give the function another name",
        ) from error


def _keep(series: Counter | Gauge | Histogram, labels: Sequence[str]) -> Callable[[float], None]:
    if isinstance(series, Gauge):  # before its first figure it would show 0
        return lambda figure: series.labels(*labels).set(figure)
    of_version = series.labels(*labels)
    return of_version.inc if isinstance(of_version, Counter) else of_version.observe
