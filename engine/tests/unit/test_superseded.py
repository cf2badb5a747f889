"""A new champion ends the alarms about the former one, and never breaks off what has happened."""

import json
import os
from pathlib import Path

import pytest

from goldpath.errors import NothingToDoError
from goldpath.jobs.drift.superseded import supersede_verdicts
from goldpath.jobs.retraining.admission import require_about, standing_verdict
from goldpath.model_version import ModelVersion
from goldpath.serving.metrics.reports import TEXTFILE


def alarm(reports: Path) -> Path:
    """A verdict of drift on version 1."""
    file = reports / "drift" / "service.json"
    file.parent.mkdir(parents=True)
    column = {"name": "charges", "effect": 0.5, "limit": 0.1, "weight": 2.0}
    said = {"columns": [column], "moved_and_matters": [column]}
    file.write_text(json.dumps({"verdict": "drift", "model_version": "1", **said}))
    return file


def test_an_alarm_about_another_version_ends(tmp_path: Path) -> None:
    file = alarm(tmp_path)

    supersede_verdicts(tmp_path, "churn", "1")
    assert json.loads(file.read_text())["verdict"] == "drift"

    supersede_verdicts(tmp_path, "churn", "2")
    assert json.loads(file.read_text())["verdict"] == "insufficient"
    figures = (tmp_path / TEXTFILE).read_text()
    assert "ml_drift_column" not in figures, "its columns were compared with the former's rows"


def test_an_alarm_about_the_same_number_of_another_model_ends(tmp_path: Path) -> None:
    file = alarm(tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "model_name": "churn"}))

    supersede_verdicts(tmp_path, "houses", "1")

    assert json.loads(file.read_text())["verdict"] == "insufficient"


def test_a_verdict_on_another_model_asks_for_no_training(tmp_path: Path) -> None:
    file = alarm(tmp_path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "model_name": "churn"}))
    verdict = standing_verdict(tmp_path, "service")

    assert require_about(verdict, ModelVersion("churn", "1", "run", (), {})).version == "1"
    with pytest.raises(NothingToDoError, match="version 1 of churn, and version 1 of houses is"):
        require_about(verdict, ModelVersion("houses", "1", "run", (), {}))


def test_a_report_that_cannot_be_written_is_said_and_not_raised(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = alarm(tmp_path)
    file.with_name(f"{file.name}.{os.getpid()}.part").mkdir()  # stands in the way of the draft

    supersede_verdicts(tmp_path, "churn", "2")

    said = " ".join(capfd.readouterr().err.split())
    assert "alarms about the former champion stay until the next check" in said
    assert json.loads(file.read_text())["verdict"] == "drift"
