"""What was pushed, added up: counts, times and states of several processes as one table.

Each process sends what is new since its last message (delta temporality), so that the figures of
one that has ended stay in the sum, and no two overwrite each other.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_DELTA,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

STALE_SECONDS = 300.0
"""A state that nobody renews for so long is no longer known."""

UNITS = {"ms": "_milliseconds", "s": "_seconds", "By": "_bytes"}
"""What the names of Prometheus end with, by OpenTelemetry's unit."""

NOT_DELTA = (
    "is a running total, which cannot be told from that of another process: set "
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta where it is pushed"
)

Series = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name, and its labels in order."""


class Figures(Collector):
    """The series so far, as prometheus_client collects them.

    Args:
        clock: The time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[Series, float] = {}
        self._times: dict[Series, tuple[int, float]] = {}
        self._states: dict[Series, tuple[float, float]] = {}
        self._refused: set[str] = set()
        self._lock = threading.Lock()

    def add(self, request: ExportMetricsServiceRequest) -> list[str]:
        """Add what a process pushed.

        Returns:
            A line for each metric that cannot be added up, once.
        """
        metrics = [
            metric
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        ]
        with self._lock:
            return [
                f"{each.name} is left out: {why}" for each in metrics if (why := self._add(each))
            ]

    def collect(self) -> Iterator[Family]:
        """Every series, by metric."""
        with self._lock:
            now = self._clock()
            fresh = {
                series: (value, told)
                for series, (value, told) in self._states.items()
                if now - told < STALE_SECONDS
            }
            self._states = fresh
            samples = [
                *(("gauge", one, {"": value}) for one, (value, _) in fresh.items()),
                *(("counter", one, {"_total": value}) for one, value in self._counts.items()),
                *(
                    ("summary", one, {"_count": float(count), "_sum": total})
                    for one, (count, total) in self._times.items()
                ),
            ]
        samples.sort(key=lambda sample: sample[:2])
        for (kind, name), found in groupby(samples, key=lambda sample: (sample[0], sample[1][0])):
            family = Family(name, "Pushed by OpenTelemetry.", kind)
            for _, (_, labels), values in found:
                for ending, value in values.items():
                    family.add_sample(f"{name}{ending}", dict(labels), value)
            yield family

    def _add(self, metric: Metric) -> str:
        """Why a metric cannot be added; empty where it was, or where that was said before."""
        kind = metric.WhichOneof("data")
        if kind == "gauge":
            self._know(metric, metric.gauge.data_points)
        elif kind == "sum" and not metric.sum.is_monotonic:
            self._know(metric, metric.sum.data_points)
        elif kind == "sum" and metric.sum.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA:
            self._count(metric, metric.sum.data_points)
        elif kind == "histogram" and (
            metric.histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
        ):
            self._time(metric, metric.histogram.data_points)
        elif kind == "exponential_histogram" and (
            metric.exponential_histogram.aggregation_temporality == AGGREGATION_TEMPORALITY_DELTA
        ):
            self._time(metric, metric.exponential_histogram.data_points)
        elif metric.name not in self._refused:
            self._refused.add(metric.name)
            return NOT_DELTA if kind else "it has no data"
        return ""

    def _know(self, metric: Metric, points: Sequence[NumberDataPoint]) -> None:
        for point in points:
            self._states[_series(metric, point.attributes)] = (_value(point), self._clock())

    def _count(self, metric: Metric, points: Sequence[NumberDataPoint]) -> None:
        for point in points:
            series = _series(metric, point.attributes)
            self._counts[series] = self._counts.get(series, 0.0) + _value(point)

    def _time(
        self,
        metric: Metric,
        points: Sequence[HistogramDataPoint] | Sequence[ExponentialHistogramDataPoint],
    ) -> None:
        for point in points:
            series = _series(metric, point.attributes)
            count, total = self._times.get(series, (0, 0.0))
            self._times[series] = (count + point.count, total + point.sum)


def _series(metric: Metric, attributes: Sequence[KeyValue]) -> Series:
    name = re.sub(r"[^a-zA-Z0-9_]", "_", metric.name) + UNITS.get(metric.unit, "")
    labels = {re.sub(r"[^a-zA-Z0-9_]", "_", each.key): _text(each) for each in attributes}
    return name, tuple(sorted(labels.items()))


def _text(attribute: KeyValue) -> str:
    kind = attribute.value.WhichOneof("value")
    return str(getattr(attribute.value, kind)) if kind else ""


def _value(point: NumberDataPoint) -> float:
    return float(point.as_int if point.WhichOneof("value") == "as_int" else point.as_double)
