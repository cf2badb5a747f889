"""A live Airflow whose metadata database cannot be written for a while: locked, or without room."""

import resource
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import psycopg

from goldpath.services.airflow_api import AirflowApi
from goldpath.services.process_table import Family
from goldpath.settings import Settings

from .airflow_kills import DATA, patiently, words_of
from .live_airflow import RUN_SECONDS, instances_of, logs, pid_file, states

HEARTBEAT_SECONDS = 30
"""Airflow calls a scheduler unhealthy that has been silent for longer."""
SQLITE = ".airflow/airflow.db"


def check_locked_database(
    settings: Settings, api: AirflowApi, database: str, seconds: float
) -> None:
    """A run that is asked for before goes on afterwards; a long lock is said.

    Args:
        settings: Of the live project.
        api: Its Airflow.
        database: The file in the project, or a URL of PostgreSQL.
        seconds: How long another connection holds the lock.
    """
    run_id = api.trigger(DATA)
    with locked(settings, database):
        health = watched(api, seconds)
    assert "unhealthy" in health or seconds < 2 * HEARTBEAT_SECONDS, health
    check_recovery(api, run_id)


def check_full_disk(settings: Settings, api: AirflowApi, seconds: float) -> None:
    """None of Airflow's processes can write a byte of a file: the same, with one more restart."""
    run_id = api.trigger(DATA)
    try:
        health = watched(api, seconds, lambda: limit_files(settings, 0))
    finally:
        limit_files(settings, resource.RLIM_INFINITY)
    assert "unhealthy" in health
    check_recovery(api, run_id)


def check_recovery(api: AirflowApi, run_id: str) -> None:
    """The run ends well, and all of Airflow is healthy again."""
    data = patiently(instances_of, api, DATA, run_id)
    assert set(states(data).values()) == {"success"}, f"{states(data)}\n{logs(data)}"
    deadline = time.monotonic() + RUN_SECONDS
    while "unhealthy" in (now := health_of(api)) and time.monotonic() < deadline:
        time.sleep(1)
    assert "unhealthy" not in now


def watched(api: AirflowApi, seconds: float, repeated: Callable[[], None] | None = None) -> str:
    """What Airflow says of itself at the end of some seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if repeated:
            repeated()
        time.sleep(1)
    return health_of(api)


def health_of(api: AirflowApi) -> str:
    """Airflow's own page of its health, as text."""
    return str(api.get("monitor/health"))


@contextmanager
def locked(settings: Settings, database: str) -> Iterator[None]:
    """Nobody else can write, to PostgreSQL no heartbeat; everybody can read."""
    if database == SQLITE:
        file = settings.root / SQLITE
        with closing(sqlite3.connect(file, timeout=60, isolation_level=None)) as own:
            own.execute("BEGIN EXCLUSIVE")
            yield
            own.execute("ROLLBACK")
        return
    with psycopg.connect(database) as connection:
        # Each process of Airflow writes its heartbeat there. One table: two could be a deadlock.
        connection.execute("LOCK TABLE job IN EXCLUSIVE MODE")
        yield


def limit_files(settings: Settings, size: int) -> None:
    """How long a file may become that Airflow's processes write; the commands of tasks may all."""
    for process in Family(pid_file(settings).leaders).living():
        if "customer_churn" not in words_of(process):
            with suppress(ProcessLookupError):
                of_all = (size, resource.RLIM_INFINITY)
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, of_all)
