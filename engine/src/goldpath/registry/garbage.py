"""Purging deleted runs, but never one that a registered version needs.

`mlflow gc` purges every deleted run and does not look whether a version was made from it. Here the
runs that may go are worked out first, and only these are named to it.
"""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from goldpath.registry.connection import RegistryConnection
from goldpath.registry.recording import record_change
from goldpath.registry.stores.store import LEDGER_RUN, RegistryError

DAY = 86_400.0
PAGE = 1000
RUNS_AT_ONCE = 200
PARENT = "mlflow.parentRunId"


@dataclass(frozen=True)
class Garbage:
    """What may go and what must stay.

    Attributes:
        purgeable: Deleted runs that nothing needs.
        kept: Deleted runs that a version or the ledger needs, and why.
        purged: Whether the former were purged.
    """

    purgeable: tuple[str, ...]
    kept: dict[str, str]
    purged: bool = False


def find_garbage(connection: RegistryConnection, older_than_days: float) -> Garbage:
    """Sort the deleted runs into those that may go and those that must stay."""
    needed = _needed_runs(connection)
    purgeable, kept = [], {}
    for run in _deleted_runs(connection):
        run_id = run.info.run_id
        ended = (run.info.end_time or run.info.start_time or 0) / 1000
        if reason := needed.get(run_id):
            kept[run_id] = reason
        elif LEDGER_RUN in run.data.tags:
            kept[run_id] = "the ledger of alias moves"
        elif time.time() - ended >= older_than_days * DAY:
            purgeable.append(run_id)
    return Garbage(tuple(sorted(purgeable)), kept)


def collect_garbage(
    connection: RegistryConnection,
    model_name: str,
    older_than_days: float,
    backend_store_uri: str | None,
) -> Garbage:
    """Purge what may go.

    Args:
        connection: The registry.
        model_name: The registered model whose record it is.
        older_than_days: Runs that ended later stay.
        backend_store_uri: The server's database, which MLflow purges from; not needed on SQLite.

    Raises:
        RegistryError: If a server's database is not named, or MLflow refuses.
    """
    found = find_garbage(connection, older_than_days)
    uri = connection.uri
    backend = backend_store_uri or (None if connection.is_server else uri)
    if backend is None:
        raise RegistryError(
            "MLflow purges runs in the server's database, which its HTTP API does not reach",
            "give --backend-store-uri, with MLflow's artifact settings, or run it on the server",
        )
    runs = list(found.purgeable)
    for start in range(0, len(runs), RUNS_AT_ONCE):
        _purge(connection, runs[start : start + RUNS_AT_ONCE], backend)
    if runs:
        record_change(
            connection.settings,
            connection.store,
            model_name,
            "purged",
            None,
            {"runs": len(runs)},
        )
    return Garbage(found.purgeable, found.kept, purged=True)


def _purge(connection: RegistryConnection, runs: list[str], backend: str) -> None:
    # The list is made again right before: a version may have been registered meanwhile.
    needed = _needed_runs(connection)
    runs = [run for run in runs if run not in needed]
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", backend]
    done = subprocess.run(
        [*command, "--tracking-uri", connection.uri, "--run-ids", ",".join(runs)],
        cwd=connection.settings.root,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise RegistryError(f"mlflow gc failed: {lines[-1][:300]}", "see: mlflow gc --help")


def _needed_runs(connection: RegistryConnection) -> dict[str, str]:
    """Runs behind a version of any registered model, with the runs these are children of."""
    needed: dict[str, str] = {}
    for model in connection.store.models():
        for version in connection.store.versions(model.name):
            reason = f"{model.name} version {version.version}"
            if version.run_id:
                needed.setdefault(version.run_id, reason)
            if run_id := _source_run(connection, version.source):
                needed.setdefault(run_id, reason)
    for run_id, reason in list(needed.items()):
        run = connection.store.run(run_id)
        if run is not None and (parent := run.tags.get(PARENT)):
            needed.setdefault(parent, f"parent of a run of {reason}")
    return needed


def _source_run(connection: RegistryConnection, source: str) -> str | None:
    """The run that stored a logged model; None where the source is none or it is gone."""
    from mlflow.exceptions import MlflowException

    if not source.startswith("models:/m-"):
        return None
    try:
        model = connection.client.get_logged_model(source.removeprefix("models:/"))
        return str(model.source_run_id)
    except MlflowException:
        return None


def _deleted_runs(connection: RegistryConnection) -> list[Any]:
    from mlflow.entities import ViewType

    found: list[Any] = []
    with connection.translate("listing deleted runs"):
        experiments = connection.client.search_experiments(view_type=ViewType.ALL)
        token = None
        while True:
            page = connection.client.search_runs(
                [item.experiment_id for item in experiments],
                run_view_type=ViewType.DELETED_ONLY,
                max_results=PAGE,
                page_token=token,
            )
            found += page
            token = page.token
            if not token:
                return found
