"""The local Airflow: a user's own variables count, save those that it needs itself."""

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from goldpath.services import airflow_server
from goldpath.services.airflow_server import LINEAGE_VARIABLE, OVERRULED, own_database
from goldpath.services.otlp.airflow_metrics import metrics_variables


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> airflow_server._Installation:
    for name in ("AIRFLOW__CORE__PARALLELISM", "AIRFLOW__CORE__DAGS_FOLDER"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / ".airflow"
    return airflow_server._Installation(
        tmp_path, home, tmp_path / "dags", home / "passwords.json", "http://127.0.0.1:8081"
    )


def test_a_users_own_variables_come_before_ours(
    installation: airflow_server._Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert environment(installation)["AIRFLOW__CORE__PARALLELISM"] == "4"
    monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", "9")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql+psycopg2://x/airflow")
    monkeypatch.setenv("AIRFLOW__METRICS__METRICS_ALLOW_LIST", "scheduler")

    ours = environment(installation)

    assert ours["AIRFLOW__CORE__PARALLELISM"] == "9"
    assert ours["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == "postgresql+psycopg2://x/airflow"
    assert ours["AIRFLOW__METRICS__METRICS_ALLOW_LIST"] == "scheduler"
    assert ours["AIRFLOW__METRICS__OTEL_ON"] == "True"


def test_a_variable_that_would_lead_elsewhere_is_overruled_and_said(
    installation: airflow_server._Installation,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", "/somewhere/else")
    ours = environment(installation)
    airflow_server._say_overruled(ours)

    assert ours["AIRFLOW__CORE__DAGS_FOLDER"] == str(installation.dags)
    said = " ".join(capsys.readouterr().err.split())
    assert "AIRFLOW__CORE__DAGS_FOLDER of the environment is not used" in said
    assert said.count("is not used") == 1
    assert set(ours) >= OVERRULED


def test_lineage_goes_to_a_file_unless_its_own_variables_say_otherwise(
    installation: airflow_server._Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LINEAGE_VARIABLE, raising=False)
    transport = json.loads(environment(installation)[LINEAGE_VARIABLE])
    assert transport["log_file_path"] == str(installation.root / "logs" / "openlineage.jsonl")

    monkeypatch.setenv("OPENLINEAGE_URL", "http://marquez:5000")
    assert LINEAGE_VARIABLE not in environment(installation)
    monkeypatch.setenv(LINEAGE_VARIABLE, '{"type": "console"}')
    assert environment(installation)[LINEAGE_VARIABLE] == '{"type": "console"}'


def environment(installation: airflow_server._Installation) -> dict[str, str]:
    return airflow_server._environment(
        installation, Path("/opt/airflow/bin"), metrics_variables(9102)
    )


def test_airflows_own_database_waits_for_a_lock(tmp_path: Path) -> None:
    """Five seconds, SQLite's default, are too few on a busy machine: a backfill is refused."""
    engine = create_engine(own_database(tmp_path))

    with engine.connect() as connection:
        waits = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()

    engine.dispose()
    assert waits == 60_000
    assert (tmp_path / "airflow.db").exists()
