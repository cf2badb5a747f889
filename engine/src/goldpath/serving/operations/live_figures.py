"""The service's figures as JSON: the metrics of all workers, read for people and scripts."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from prometheus_client.core import Sample
from pydantic import BaseModel, Field

from goldpath.serving.metrics.service import NO_MODEL, Metrics
from goldpath.serving.traffic import Traffic

Role = Literal["champion", "challenger", "shadow"]


class RouteCount(BaseModel):
    """Answers of one kind."""

    route: str
    method: str
    status: int
    requests: int


class Bucket(BaseModel):
    """How many requests took at most so long."""

    at_most_ms: float | None = Field(description="Null: however long.")
    requests: int


class RouteLatency(BaseModel):
    """How long a route's answers took since the service started."""

    route: str
    requests: int
    mean_ms: float | None
    p50_ms: float | None = Field(description="Half of the answers took less.")
    p99_ms: float | None
    buckets: list[Bucket] = Field(description="Cumulative.")


class VersionTraffic(BaseModel):
    """What a model version predicted."""

    model_version: str
    role: Role | None = Field(
        description="What it is for now: the alias' version, a challenger or a shadow; else null."
    )
    wanted_share: float = Field(description="Of the requests, by the traffic plan.")
    rows: int
    share: float = Field(description="Of all rows that were scored.")
    predictions: dict[str, int]


class ShadowTraffic(BaseModel):
    """What a shadow scored beside the model that answered."""

    model_version: str
    rows: int
    mean_difference: float | None


class LiveFigures(BaseModel):
    """What the service has done since it started, over all workers."""

    at: float = Field(description="Seconds since 1970.")
    requests: list[RouteCount]
    latency: list[RouteLatency]
    versions: list[VersionTraffic]
    shadows: list[ShadowTraffic]
    in_flight: int = Field(description="Requests that the app is answering, this one included.")
    validation_errors: int
    rate_limited: int
    model_load_failures: int
    prediction_log_failures: int


def live_figures(metrics: Metrics, traffic: Traffic) -> LiveFigures:
    """Read the metrics of all workers, and this worker's traffic plan."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for family in metrics.registry().collect():
        for sample in family.samples:
            if "model" not in sample.labels or not metrics.beside:  # those of the main model
                found[sample.name].append(sample)

    def total(name: str) -> int:
        return int(sum(sample.value for sample in found[name]))

    return LiveFigures(
        at=time.time(),
        requests=[
            RouteCount(
                route=sample.labels["route"],
                method=sample.labels["method"],
                status=int(sample.labels["status"]),
                requests=int(sample.value),
            )
            for sample in found["ml_requests_total"]
        ],
        latency=_latency(found),
        versions=_versions(found, traffic),
        shadows=_shadows(found),
        in_flight=total("ml_requests_in_flight"),
        validation_errors=total("ml_validation_errors_total"),
        rate_limited=total("ml_requests_rate_limited_total"),
        model_load_failures=total("ml_model_load_failures_total"),
        prediction_log_failures=total("ml_prediction_log_failures_total"),
    )


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """A quantile from a histogram, by linear interpolation inside a bucket as Prometheus does it.

    Args:
        share: Of the values that lie below: 0.5 for the median.
        buckets: Upper bounds, the last of which is infinite, and cumulative counts.

    Returns:
        The value; the largest finite bound where it lies beyond; None where nothing was counted.
    """
    if not buckets or buckets[-1][1] <= 0:
        return None
    rank = share * buckets[-1][1]
    lower, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if bound == float("inf"):
                return lower
            inside = count - below
            return lower + (bound - lower) * ((rank - below) / inside if inside else 1.0)
        lower, below = bound, count
    return lower


def _latency(found: Mapping[str, Sequence[Sample]]) -> list[RouteLatency]:
    buckets: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for sample in found["ml_request_seconds_bucket"]:
        buckets[sample.labels["route"]].append((float(sample.labels["le"]), sample.value))
    sums = _by("route", found["ml_request_seconds_sum"])
    latencies = []
    for route, unsorted in buckets.items():
        counted = sorted(unsorted)
        count = counted[-1][1]
        latencies.append(
            RouteLatency(
                route=route,
                requests=int(count),
                mean_ms=_milliseconds(sums.get(route, 0.0) / count if count else None),
                p50_ms=_milliseconds(quantile(0.5, counted)),
                p99_ms=_milliseconds(quantile(0.99, counted)),
                buckets=[
                    Bucket(
                        at_most_ms=None if bound == float("inf") else _milliseconds(bound),
                        requests=int(value),
                    )
                    for bound, value in counted
                ],
            )
        )
    return latencies


def _versions(found: Mapping[str, Sequence[Sample]], traffic: Traffic) -> list[VersionTraffic]:
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for sample in found["ml_predictions_total"]:
        counts[sample.labels["model_version"]][sample.labels["prediction"]] = int(sample.value)
    roles = _roles(_by("model_version", found["ml_model_loaded"]), traffic)
    for version in roles:
        counts.setdefault(version, {})
    rows = sum(sum(by_label.values()) for by_label in counts.values())
    return [
        VersionTraffic(
            model_version=version,
            role=roles[version][0] if version in roles else None,
            wanted_share=roles[version][1] if version in roles else 0.0,
            rows=sum(by_label.values()),
            share=sum(by_label.values()) / rows if rows else 0.0,
            predictions=by_label,
        )
        for version, by_label in sorted(counts.items())
        if version != NO_MODEL
    ]


def _roles(loaded: Mapping[str, float], traffic: Traffic) -> dict[str, tuple[Role, float]]:
    """What each version that can answer is for, and its share of the requests."""
    plan = traffic.plan
    champions = [version for version, is_loaded in loaded.items() if is_loaded]
    roles: dict[str, tuple[Role, float]] = dict.fromkeys(champions, ("champion", 1 - plan.share))
    for version in traffic.loaded_versions().difference(champions):
        roles[version] = ("challenger" if plan.share else "shadow", plan.share)
    return roles


def _shadows(found: Mapping[str, Sequence[Sample]]) -> list[ShadowTraffic]:
    sums = _by("model_version", found["ml_shadow_difference_sum"])
    return [
        ShadowTraffic(
            model_version=version,
            rows=int(count),
            mean_difference=sums.get(version, 0.0) / count if count else None,
        )
        for version, count in _by("model_version", found["ml_shadow_difference_count"]).items()
    ]


def _by(label: str, samples: Iterable[Any]) -> dict[str, float]:
    return {sample.labels[label]: sample.value for sample in samples}


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 4)
