"""Who is told when a run fails or is late: Alertmanager's routes, see docs/monitoring.md.

A DAG is one incident, however many of its tasks or runs fail: Alertmanager sends one message when
it begins, and one when the next run of the DAG succeeds. Nothing here fails a task.
"""

import json
import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

ALERT, LATE = "PipelineFailed", "PipelineLate"
# Where nobody says that it is over, an incident ends after this.
LASTS = timedelta(days=7)
NOW = timedelta(0)
TIMEOUT_SECONDS = 10

log = logging.getLogger(__name__)


def tell_failure(context: Mapping[str, Any]) -> None:
    """Tell of a task that failed for good; Airflow calls it after the last try."""
    instance, task = context["task_instance"], context["task"]
    by_hand = getattr(task, "by_hand", "")
    if alert := getattr(task, "told_by", ""):
        log.info("A check said no: the alert %s tells of it, not %s", alert, ALERT)
        return
    summary = (
        f"{instance.task_id} of {instance.dag_id} failed in {instance.run_id}, "
        f"try {instance.try_number}; log: {getattr(instance, 'log_url', '')}"
    )
    if by_hand:
        summary += f"; by hand: {by_hand}"
    tell(ALERT, instance.dag_id, summary, lasts=LASTS)


def tell_success(context: Mapping[str, Any]) -> None:
    """Tell that a DAG's incidents are over; Airflow calls it when a run succeeded."""
    dag_id = context["dag"].dag_id
    for alert in (ALERT, LATE):
        tell(alert, dag_id, "", lasts=NOW)


def tell_late(context: Mapping[str, Any]) -> None:
    """Tell of a run that has not ended at its deadline; it goes on."""
    run = context["dag_run"]
    told = f"{run['dag_id']}: {run['dag_run_id']} has not ended in time, and goes on"
    tell(LATE, run["dag_id"], told, lasts=LASTS)


def tell(alert: str, dag_id: str, summary: str, *, lasts: timedelta) -> None:
    """Post an alert to Alertmanager; where it does not take it, the log says that nobody is told.

    Args:
        alert: Its name, by which routes choose.
        dag_id: The incident: the alert's source.
        summary: What happened.
        lasts: How long; nothing for an alert that is over.
    """
    url = os.environ.get("ALERTMANAGER_URL", "")
    if not url:
        log.info("ALERTMANAGER_URL is not set: nobody is told of %s in %s", alert, dag_id)
        return
    now = datetime.now(UTC)
    message = {
        "labels": {"alertname": alert, "severity": "critical", "source": dag_id},
        "annotations": {"summary": summary, "runbook": f"docs/monitoring.md#{alert.lower()}"},
        "startsAt": (now - timedelta(seconds=1)).isoformat(),
        "endsAt": (now + lasts).isoformat(),
    }
    request = Request(  # noqa: S310  the address is the team's own
        f"{url.rstrip('/')}/api/v2/alerts",
        json.dumps([message]).encode(),
        {"Content-Type": "application/json"},
    )
    # A proxy of the environment must not answer for an address inside.
    direct = build_opener(ProxyHandler({}))
    try:
        direct.open(request, timeout=TIMEOUT_SECONDS).close()
    except OSError as error:
        log.warning("Alertmanager at %s: %s; nobody is told of %s", url, error, alert)
    else:
        log.info("%s in %s: Alertmanager at %s knows", alert, dag_id, url)
