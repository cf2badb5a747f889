"""What is asked of a running Alertmanager: alerts, silences, and a message to try the routes."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from goldpath.errors import CheckFailedError, ProjectError
from goldpath.services.alerting.alertmanager import alertmanager_url
from goldpath.services.alerting.configuration import TRIAL
from goldpath.settings import Settings

TIMEOUT_SECONDS = 10
DELIVERY_SECONDS = 20.0
POLL_SECONDS = 0.5
TRIAL_SECONDS = 5
"""After this the trial is over, and the message that says so is sent."""

SENT = "alertmanager_notification_requests_total"
FAILED = "alertmanager_notification_requests_failed_total"
CHANNELS = {"slack": "slack", "email": "email", "webhook": "webhook", "teams": "webhook"}
"""What Alertmanager calls the ways of telling somebody."""

# A proxy of the environment must not answer for 127.0.0.1.
_direct = build_opener(ProxyHandler({}))


class AlertmanagerError(ProjectError):
    """Alertmanager does not answer, or refuses what it is asked."""


@dataclass(frozen=True)
class ShownAlert:
    """An alert that fires; one about the main model, or about none, has an empty model."""

    alert: str
    source: str
    model: str
    state: str
    since: str
    summary: str
    runbook: str


@dataclass(frozen=True)
class Silence:
    """Alerts that nobody is told of for a while."""

    id: str
    alerts: str
    until: str
    by: str
    comment: str


@dataclass(frozen=True)
class TrialMessage:
    """What came of a trial message.

    Attributes:
        alert: The alert's name.
        delivered: Messages that were taken, by the kind of channel.
    """

    alert: str
    delivered: dict[str, int]


def firing_alerts(settings: Settings) -> list[ShownAlert]:
    """The alerts that fire now; a silenced one has the state `suppressed`.

    Raises:
        AlertmanagerError: If Alertmanager does not answer.
    """
    return [
        ShownAlert(
            alert=str(each["labels"].get("alertname", "")),
            source=str(each["labels"].get("source", "")),
            model=str(each["labels"].get("model", "")),
            state=str(each["status"]["state"]),
            since=str(each["startsAt"])[:19],
            summary=str(each["annotations"].get("summary", "")),
            runbook=str(each["annotations"].get("runbook", "")),
        )
        for each in _call(settings, "GET", "alerts")
    ]


def active_silences(settings: Settings) -> list[Silence]:
    """The silences that hold now.

    Raises:
        AlertmanagerError: If Alertmanager does not answer.
    """
    return [
        Silence(
            id=str(each["id"]),
            alerts=", ".join(f"{one['name']}={one['value']}" for one in each["matchers"]),
            until=str(each["endsAt"])[:19],
            by=str(each["createdBy"]),
            comment=str(each["comment"]),
        )
        for each in _call(settings, "GET", "silences")
        if each["status"]["state"] == "active"
    ]


def silence(
    settings: Settings,
    alert: str,
    hours: float,
    comment: str,
    by: str,
    source: str = "",
    *,
    every_model: bool = False,
) -> Silence:
    """Tell nobody of a model's alert for a while; it goes on firing.

    Args:
        settings: Names Alertmanager's port, and the model.
        alert: The alert's name.
        hours: For how long.
        comment: Why.
        by: Who says so.
        source: Only of this source of rows.
        every_model: Of the other models, too.

    Raises:
        AlertmanagerError: If Alertmanager does not answer.
    """
    now = datetime.now(UTC)
    until = now + timedelta(hours=hours)
    named = {
        "alertname": alert,
        # An alert of the main model has no such label, which is what an empty value matches.
        **({} if every_model else {"model": settings.model}),
        **({"source": source} if source else {}),
    }
    answer = _call(
        settings,
        "POST",
        "silences",
        {
            "matchers": [
                {"name": name, "value": value, "isRegex": False, "isEqual": True}
                for name, value in named.items()
            ],
            "startsAt": now.isoformat(),
            "endsAt": until.isoformat(),
            "createdBy": by,
            "comment": comment,
        },
    )
    shown = ", ".join(f"{name}={value}" for name, value in named.items())
    return Silence(str(answer["silenceID"]), shown, f"{until:%Y-%m-%dT%H:%M:%S}", by, comment)


def end_silence(settings: Settings, identity: str) -> None:
    """Let a silence end now.

    Raises:
        AlertmanagerError: If there is none of this id, or Alertmanager does not answer.
    """
    _call(settings, "DELETE", f"silence/{quote(identity, safe='')}")


def send_trial(settings: Settings, alert: str, severity: str) -> TrialMessage:
    """Send a message along the routes, and wait until each has been taken.

    It carries the label `trial`, so that it sets nothing off.

    Args:
        settings: Names the routes and Alertmanager's port.
        alert: The name that routes choose by.
        severity: The severity that routes choose by.

    Raises:
        AlertmanagerError: If no route is for such an alert, or Alertmanager does not answer.
        CheckFailedError: If a receiver does not take it.
    """
    routes = [
        route
        for route in settings.monitoring.alerts.routes
        if (not route.alerts or alert in route.alerts) and route.severity in (None, severity)
    ]
    if not routes:
        raise AlertmanagerError(
            f"no route of monitoring.alerts.routes is for {alert} of severity {severity}",
            "add one to config/monitoring.yaml, then: make monitoring-up",
        )
    expected: dict[str, int] = {}
    for route in routes:
        expected[CHANNELS[route.to]] = expected.get(CHANNELS[route.to], 0) + 1
    before = _notifications(settings)
    now = datetime.now(UTC)
    _call(
        settings,
        "POST",
        "alerts",
        [
            {
                "labels": {
                    "alertname": alert,
                    "severity": severity,
                    TRIAL: f"{now:%Y%m%dT%H%M%S}",
                    "source": f"trial {now:%H:%M:%S}",  # a group, and so a message, of its own
                },
                "annotations": {
                    "summary": "This is a trial message: nothing has happened.",
                    "runbook": f"docs/monitoring.md#{alert.lower()}",
                },
                "startsAt": now.isoformat(),
                "endsAt": (now + timedelta(seconds=TRIAL_SECONDS)).isoformat(),
            }
        ],
    )
    deadline = time.monotonic() + DELIVERY_SECONDS
    while time.monotonic() < deadline:
        after = _notifications(settings)
        sent, failed = (
            {kind: after[kind][n] - before[kind][n] for kind in expected} for n in (0, 1)
        )
        if any(failed.values()):
            break
        if all(sent[kind] >= count for kind, count in expected.items()):
            return TrialMessage(alert, sent)
        time.sleep(POLL_SECONDS)
    log = settings.shown(settings.run_directory / "prometheus-alertmanager.log")
    raise CheckFailedError(
        f"the trial message was not taken by: "
        f"{', '.join(kind for kind in expected if failed[kind] or sent[kind] < expected[kind])}",
        f"{log} says why",
    )


def _notifications(settings: Settings) -> dict[str, tuple[int, int]]:
    """How many messages were sent and how many failed since Alertmanager began, by kind."""
    from prometheus_client.parser import text_string_to_metric_families

    request = Request(f"{alertmanager_url(settings)}/metrics")  # noqa: S310  the address is ours
    content = _fetch(request)
    try:
        families = list(text_string_to_metric_families(content.decode()))
    except ValueError as error:
        raise _no_alertmanager(request, content) from error
    found = {kind: [0, 0] for kind in CHANNELS.values()}
    for family in families:
        for sample in family.samples:
            kind = sample.labels.get("integration", "")
            if kind in found and sample.name in (SENT, FAILED):
                found[kind][sample.name == FAILED] += int(sample.value)
    # Failed tries are counted as sent, too.
    return {kind: (sent - failed, failed) for kind, (sent, failed) in found.items()}


def _call(settings: Settings, method: str, path: str, body: object = None) -> Any:
    request = Request(  # noqa: S310  the address is ours
        f"{alertmanager_url(settings)}/api/v2/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    content = _fetch(request)
    try:
        return json.loads(content) if content else None
    except ValueError as error:
        raise _no_alertmanager(request, content) from error


def _no_alertmanager(request: Request, content: bytes) -> AlertmanagerError:
    return AlertmanagerError(
        f"what answers at {request.host} is not Alertmanager: {content[:80]!r}",
        "stop that program, or take another port (monitoring.alertmanager_port)",
    )


def _fetch(request: Request) -> bytes:
    try:
        with _direct.open(request, timeout=TIMEOUT_SECONDS) as response:
            content: bytes = response.read()
            return content
    except HTTPError as error:
        with error:
            text = error.read().decode(errors="replace")
        raise AlertmanagerError(
            f"Alertmanager answered {error.code} to {request.method} {request.selector}: "
            f"{text[:300]}",
            "look at the command's words",
        ) from error
    except (OSError, HTTPException) as error:
        raise AlertmanagerError(
            f"Alertmanager does not answer at {request.host}: {error}", "make monitoring-up"
        ) from error
