"""Alertmanager's configuration, made from `monitoring.alerts`.

One message an incident: alerts of one name, one model and one source of rows are one group, and one
more message says that it is over.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from goldpath.errors import ProjectError
from goldpath.services.processes import HOST
from goldpath.settings import MonitoringSettings, Settings
from goldpath.settings.monitoring import AlertRoute, AlertSettings
from goldpath.settings.section import place_of_value

RULES = "infra/prometheus/rules"
NOBODY, RETRAIN = "nobody", "retrain"
RETRAINED_FOR = ("DriftDetected", "LiveQualityLow")
"""Alerts after which a model is trained again."""

TRIAL = "trial"
"""Label of a test message: it reaches people, and sets nothing off."""

GROUP = ("alertname", "model", "source")
GROUP_WAIT, GROUP_INTERVAL = "2s", "30s"
"""How long an incident waits for further alerts of its group, and news of it for the next."""

ASK_AGAIN = "1h"
"""While drift lasts a retraining is asked for again: the first may have been refused."""

PASSED_ON = ("teams", "webhook")
"""Ways that go through the receiver: Debian's Alertmanager knows no Teams, and its API shows the
address of a webhook, which is a secret, to whoever asks."""

HIDDEN_BY_DOWN = ("HighErrorShare", "HighLatency", "ModelLoadFailing", "PredictionLogFailing")
"""They look back over minutes, and would be further messages of a service that is down."""

HIDDEN = (
    ("ServiceDown", HIDDEN_BY_DOWN, "instance"),
    ("AirflowDown", ("AirflowSchedulerSilent", "AirflowQueueStuck"), "instance"),
    ("AirflowSchedulerSilent", ("AirflowQueueStuck",), "instance"),
    # Airflow itself tells of a failed run; the metrics do where it could not.
    ("PipelineFailed", ("AirflowRunFailed",), "source"),
)
"""A critical alert, those that would be further messages of it, and the label that they share."""

CRITICAL, WARNING = "critical", "warning"

TITLE = (
    '{{ if eq .Status "resolved" }}Resolved{{ else }}{{ or .CommonLabels.severity "alert" }}'
    "{{ end }}: {{ .GroupLabels.alertname }}"
    "{{ with .GroupLabels.model }} of {{ . }}{{ end }}"
    "{{ with .GroupLabels.source }} ({{ . }}){{ end }}"
)


class RouteError(ProjectError):
    """A route of alerts could tell nobody."""


def token_file(settings: Settings) -> Path:
    """Holds what Alertmanager must show the receiver, which makes it anew at each start."""
    return settings.run_directory / "prometheus" / "receiver.token"


def configuration(monitoring: MonitoringSettings, token: Path) -> dict[str, Any]:
    """The whole configuration; it holds secrets.

    Args:
        monitoring: Names routes, owners and the ports.
        token: The file of the receiver's token; Alertmanager reads it for each message.

    Raises:
        RouteError: If a route could tell nobody.
    """
    alerts = monitoring.alerts
    require_addresses(alerts)
    routes: list[dict[str, Any]] = []
    receivers: list[dict[str, Any]] = [{"name": NOBODY}]
    if monitoring.retrain.automatic:
        asks = {**_to_receiver(monitoring, RETRAIN, token), "send_resolved": False}
        receivers.append({"name": RETRAIN, "webhook_configs": [asks]})
        routes.append(
            {
                "receiver": RETRAIN,
                "matchers": [f"alertname=~{_quoted('|'.join(RETRAINED_FOR))}", f'{TRIAL}=""'],
                "repeat_interval": ASK_AGAIN,
                "continue": True,
            }
        )
    for number, route in enumerate(alerts.routes, 1):
        name = f"{number}-{route.to}"
        receivers.append({"name": name, **_channel(route, monitoring, token)})
        routes.append({"receiver": name, "matchers": list(_matchers(route)), "continue": True})
    return {
        "global": {"resolve_timeout": "5m"},
        "route": {
            "receiver": NOBODY,
            "group_by": list(GROUP),
            "group_wait": GROUP_WAIT,
            "group_interval": GROUP_INTERVAL,
            "repeat_interval": f"{max(1, round(alerts.repeat_hours * 60))}m",
            "routes": routes,
        },
        "receivers": receivers,
        "inhibit_rules": list(_inhibitions(alerts.routes)),
    }


def require_addresses(alerts: AlertSettings) -> None:
    """Refuse a route that could tell nobody.

    It is asked where Alertmanager is configured, not where settings are read: a service or a task
    has no need of these secrets.

    Raises:
        RouteError: If the variable that a route needs is missing, or of another form.
    """
    urls = {
        "slack": ("slack_url", alerts.slack_url),
        "teams": ("teams_url", alerts.teams_url),
        "webhook": ("webhook_url", alerts.webhook_url),
    }
    for route in alerts.routes:
        if route.to == "email":
            given = {"smtp_server": alerts.smtp_server, "smtp_from": alerts.smtp_from}
        else:
            name, url = urls[route.to]
            given = {name: url.get_secret_value()}
        for name, value in given.items():
            variable = f"MLOPS_MONITORING__ALERTS__{name.upper()}"
            if not value:
                raise RouteError(
                    f"monitoring.alerts.routes has {route.to}, and {name} is empty",
                    f"set {variable}, in .env",
                )
            if name.endswith("_url") and not value.startswith(("http://", "https://")):
                raise RouteError(f"{variable} is no http(s) address", "correct it")
    host, _, port = alerts.smtp_server.rpartition(":")
    if alerts.smtp_server and not (host and port.isdigit()):
        raise RouteError(
            f"monitoring.alerts.smtp_server is {alerts.smtp_server!r}",
            "write host:port, such as mail.local:587",
        )


def needs_receiver(monitoring: MonitoringSettings) -> bool:
    """Whether alerts go through a process of ours: to Teams, a webhook, or a retraining."""
    return monitoring.retrain.automatic or any(
        route.to in PASSED_ON for route in monitoring.alerts.routes
    )


def as_text(values: Mapping[str, Any]) -> str:
    """The configuration as YAML that Alertmanager reads: JSON is YAML, too."""
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def runbook_link(alerts: AlertSettings, runbook: str) -> str:
    """Where a runbook can be read."""
    return f"{alerts.runbooks.rstrip('/')}/{runbook}" if alerts.runbooks and runbook else runbook


def _inhibitions(routes: Sequence[AlertRoute]) -> Iterator[dict[str, Any]]:
    """Hide an alert behind another where each route that takes it takes the other, too.

    Alertmanager inhibits before it routes: whoever is told of the hidden alert alone would hear
    nothing. Severities are those of the team's rules, so each pair is written by severity.
    """
    for source, targets, label in HIDDEN:
        for severity in (CRITICAL, WARNING):
            hidden = [
                target
                for target in targets
                if all(
                    _takes(route, source, CRITICAL)
                    for route in routes
                    if _takes(route, target, severity)
                )
            ]
            if hidden:
                yield {
                    "source_matchers": [f"alertname={_quoted(source)}", f'severity="{CRITICAL}"'],
                    "target_matchers": [
                        f"alertname=~{_quoted('|'.join(hidden))}",
                        f'severity="{severity}"',
                    ],
                    "equal": [label],
                }


def _takes(route: AlertRoute, alert: str, severity: str) -> bool:
    return alert in (route.alerts or (alert,)) and route.severity in (None, severity)


def _matchers(route: AlertRoute) -> Iterator[str]:
    if route.alerts:
        names = "|".join(re.escape(name) for name in route.alerts)
        yield f"alertname=~{_quoted(names)}"
    if route.severity:
        yield f'severity="{route.severity}"'


def _to_receiver(monitoring: MonitoringSettings, path: str, token: Path) -> dict[str, Any]:
    """A webhook to the receiver, which takes nothing without its token."""
    return {
        "url": f"http://{HOST}:{monitoring.receiver_port}/{path}",
        "http_config": {"authorization": {"credentials_file": str(token)}},
    }


def _channel(route: AlertRoute, monitoring: MonitoringSettings, token: Path) -> dict[str, Any]:
    """The part of a receiver that says how it is told."""
    alerts = monitoring.alerts
    if route.to == "slack":
        slack = {
            "api_url": alerts.slack_url.get_secret_value(),
            "send_resolved": True,
            "title": TITLE,
            "title_link": "",
            "text": _text(alerts),
            "fallback": TITLE,
            "color": '{{ if eq .Status "resolved" }}good{{ else }}danger{{ end }}',
        }
        return {"slack_configs": [slack]}
    if route.to == "email":
        return {"email_configs": [_email(route, alerts)]}
    return {
        "webhook_configs": [{**_to_receiver(monitoring, route.to, token), "send_resolved": True}]
    }


def _email(route: AlertRoute, alerts: AlertSettings) -> dict[str, Any]:
    host = alerts.smtp_server.rpartition(":")[0]
    email: dict[str, Any] = {
        "to": route.address,
        "from": alerts.smtp_from,
        "smarthost": alerts.smtp_server,
        "send_resolved": True,
        # A server on this machine has no certificate that anybody could check.
        "require_tls": host not in (HOST, "localhost"),
        "headers": {"Subject": TITLE},
        "html": "",
        "text": _text(alerts),
    }
    if alerts.smtp_username:
        email["auth_username"] = alerts.smtp_username
        email["auth_password"] = alerts.smtp_password.get_secret_value()
    return email


def _text(alerts: AlertSettings) -> str:
    """The message: what happened, the runbook, and whose it is."""
    runbook = runbook_link(alerts, "{{ .CommonAnnotations.runbook }}")
    owners = "".join(
        f"{{{{ if eq .GroupLabels.alertname {_quoted(alert)} }}}}\n"
        f"Owner: {{{{ {_quoted(owner)} }}}}{{{{ end }}}}"
        for alert, owner in alerts.owners.items()
    )
    return (
        "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ end }}"
        f"{{{{ if .CommonAnnotations.runbook }}}}Runbook: {runbook}{{{{ end }}}}{owners}"
    )


def _quoted(text: str) -> str:
    """A string of Go's and of Alertmanager's matchers, which know no escapes by surrogates."""
    return json.dumps(text, ensure_ascii=False)


def unknown_owners(settings: Settings) -> tuple[str, ...]:
    """A sentence for each alert that has an owner and no rule among the project's.

    A Prometheus of somebody else's may have it, so that it is said and not refused.
    """
    rules = "\n".join(
        file.read_text("utf-8") for file in sorted((settings.root / RULES).glob("*.yml"))
    )
    known = re.findall(r"^\s*- alert: *(\w+)", rules, re.MULTILINE)
    return tuple(
        place_of_value(settings.root, "", "monitoring", "alerts", "owners", name)
        + f": alerts.owners names {name}, and no rule in {RULES} does; "
        f"there are: {', '.join(known)}"
        for name in settings.monitoring.alerts.owners
        if known and name not in known
    )
