"""Open alerts and the service's traffic, as Alertmanager and Prometheus know them."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

from goldpath.errors import ProjectError
from goldpath.services.alerting.alertmanager_api import AlertmanagerError, firing_alerts
from goldpath.services.processes import HOST
from goldpath.settings import Settings

TIMEOUT_SECONDS = 3
HOURS, STEP_SECONDS = 6, 300
FIX = "make monitoring-up"
PREDICTIONS = 'route=~"(/models/[^/]+)?/predict.*"'
"""As the alert rules choose them: probes and scrapes would hide that nobody asks."""

# A proxy of the environment must not answer for 127.0.0.1.
_direct = build_opener(ProxyHandler({}))


class PrometheusError(ProjectError):
    """Prometheus does not answer, or what answers is something else."""


@dataclass(frozen=True)
class OpenAlert:
    """An alert that fires.

    Attributes:
        alert: Its name.
        source: Whose rows; empty where it is about none.
        state: active, suppressed, pending or firing.
        since: When it began.
        summary: What it says.
        model: Which further model it is about; empty where it is the main one, or none.
    """

    alert: str
    source: str
    state: str
    since: str
    summary: str
    model: str = ""

    @property
    def is_firing(self) -> bool:
        """Whether people are told of it: it is neither silenced nor pending."""
        return self.state in ("active", "firing")

    @property
    def named(self) -> str:
        """Its name, with what it is about."""
        about = [self.source, f"model {self.model}" if self.model else ""]
        said = ", ".join(filter(None, about))
        return f"{self.alert} ({said})" if said else self.alert


@dataclass(frozen=True)
class OpenAlerts:
    """The alerts that fire now.

    Attributes:
        said_by: Who was asked: Alertmanager, or Prometheus in its place.
        alerts: The alerts.
        note: Why Alertmanager was not asked, or did not answer.
    """

    said_by: str
    alerts: tuple[OpenAlert, ...]
    note: str = ""


@dataclass(frozen=True)
class ServiceTraffic:
    """A model's predictions as Prometheus saw them in the last hours.

    Attributes:
        is_up: Whether its last scrape succeeded; None where Prometheus watches none.
        times: When.
        requests: Requests for predictions a second, at each time; NaN where nothing is known.
        errors: Those answered with 5xx.
        latency: Milliseconds that 99 % of them took at most.
    """

    is_up: bool | None
    times: tuple[datetime, ...]
    requests: tuple[float, ...]
    errors: tuple[float, ...]
    latency: tuple[float, ...]


def open_alerts(settings: Settings) -> OpenAlerts:
    """The alerts that fire: what Alertmanager holds, or else what Prometheus' rules say.

    Raises:
        PrometheusError: If neither answers.
    """
    try:
        found = firing_alerts(settings)
    except AlertmanagerError as error:
        return _alerts_of_rules(settings, error.message)
    return OpenAlerts(
        "Alertmanager",
        tuple(
            OpenAlert(each.alert, each.source, each.state, each.since, each.summary, each.model)
            for each in found
        ),
    )


def service_traffic(settings: Settings, now: datetime) -> ServiceTraffic:
    """What Prometheus knows of the model's predictions in the last hours.

    Raises:
        PrometheusError: If it does not answer.
    """
    up = _ask(settings, "query", query='up{job="service"}')["result"]
    start = now.replace(second=0, microsecond=0) - timedelta(hours=HOURS)
    steps = HOURS * 3600 // STEP_SECONDS + 1
    times = tuple(start + timedelta(seconds=STEP_SECONDS * number) for number in range(steps))
    # A series of the main model has no label `model`, which is what an empty value matches.
    asked = f'{PREDICTIONS}, model="{settings.model}"'
    slowest = f"sum by (le) (rate(ml_request_seconds_bucket{{{asked}}}[5m]))"
    return ServiceTraffic(
        is_up=any(each["value"][1] == "1" for each in up) if up else None,
        times=times,
        requests=_series(settings, f"sum(rate(ml_requests_total{{{asked}}}[5m]))", times),
        errors=_series(
            settings, f'sum(rate(ml_requests_total{{{asked}, status=~"5.."}}[5m]))', times
        ),
        latency=_series(settings, f"histogram_quantile(0.99, {slowest}) * 1000", times),
    )


def _alerts_of_rules(settings: Settings, why: str) -> OpenAlerts:
    alerts = _ask(settings, "alerts")["alerts"]
    return OpenAlerts(
        "Prometheus",
        tuple(
            OpenAlert(
                alert=str(each["labels"].get("alertname", "")),
                source=str(each["labels"].get("source", "")),
                state=str(each["state"]),
                since=str(each["activeAt"])[:19],
                summary=str(each["annotations"].get("summary", "")),
                model=str(each["labels"].get("model", "")),
            )
            for each in alerts
        ),
        note=f"Nobody is told of them: {why}",
    )


def _series(settings: Settings, expression: str, times: tuple[datetime, ...]) -> tuple[float, ...]:
    found = _ask(
        settings,
        "query_range",
        query=expression,
        start=str(times[0].timestamp()),
        end=str(times[-1].timestamp()),
        step=str(STEP_SECONDS),
    )["result"]
    values = {
        round(moment): float(value) for moment, value in (found[0]["values"] if found else ())
    }
    return tuple(values.get(round(time.timestamp()), float("nan")) for time in times)


def _ask(settings: Settings, path: str, **parameters: str) -> Any:
    place = f"{HOST}:{settings.monitoring.prometheus_port}"
    url = f"http://{place}/api/v1/{path}?{urlencode(parameters)}"
    try:
        with _direct.open(url, timeout=TIMEOUT_SECONDS) as answer:
            return json.load(answer)["data"]
    except (OSError, HTTPException) as error:
        why = getattr(error, "reason", error)
        raise PrometheusError(f"Prometheus does not answer at {place}: {why}", FIX) from error
    except (ValueError, KeyError, TypeError) as error:
        raise PrometheusError(
            f"what answers at {place} is not Prometheus",
            "stop that program, or take another port (monitoring.prometheus_port)",
        ) from error
