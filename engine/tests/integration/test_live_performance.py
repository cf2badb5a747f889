"""Labels find their predictions, wherever both are, and give each version its figures."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from goldpath.cli.app import app
from goldpath.contract import Contract, load_contract, parse_contract
from goldpath.errors import NotEnoughDataError, NothingToDoError
from goldpath.jobs.drift.live_performance import live_performance
from goldpath.jobs.drift.live_quality import LiveQuality, judge_quality
from goldpath.jobs.privacy.forgetting import forget
from goldpath.jobs.privacy.person_export import export_person
from goldpath.jobs.upkeep.log_compaction import compact_logs
from goldpath.jobs.upkeep.log_status import log_status
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import feedback_table, served_table
from goldpath.monitor.charts import quality_card
from goldpath.monitor.quality import read_quality
from goldpath.serving.feedback import FeedbackLog
from goldpath.serving.metrics.service import Metrics
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog
from goldpath.settings import DecisionSettings, Settings, TrainingSettings

from ..conftest import Trained

NOW = datetime.now(UTC)


def identity(number: int) -> str:
    return str(UUID(int=number))


def predict(
    settings: Settings,
    numbers: range,
    *,
    version: str = "1",
    days_ago: int = 0,
    values: tuple[str | float, str | float] = ("no", "yes"),
    entity: str | None = None,
) -> None:
    """Odd numbers are predicted the second value, even ones the first."""
    log = PredictionLog(settings.root / settings.serving.prediction_log)
    at = (NOW - timedelta(days=days_ago)).isoformat()
    log.write(
        [
            LoggedPrediction(
                identity(number),
                at,
                version,
                {},
                values[number % 2],
                values[number % 2] if isinstance(values[0], float) else 0.9 if number % 2 else 0.2,  # type: ignore[arg-type]
                entity,
            )
            for number in numbers
        ]
    )
    log.close()


def label(settings: Settings, labels: dict[int, str | float], at: datetime | None = None) -> None:
    log = FeedbackLog(settings)
    log.write(
        [
            {"prediction_id": identity(number), "label": value, "at": at}
            for number, value in labels.items()
        ]
    )
    log.close()


def test_the_chosen_metric_and_the_value_are_computed_as_the_gate_does(project: Settings) -> None:
    predict(project, range(4))
    label(project, {0: "yes", 1: "yes", 2: "no", 3: "no"})
    chosen = project.model_copy(
        update={
            "training": TrainingSettings(metric="log_loss"),
            "decision": DecisionSettings(values={"tp": 80, "fp": -10}),
        }
    )

    (found,) = live_performance(chosen, load_contract(project.root)).versions

    assert found.metrics["value"] == (80 - 10) / 4
    assert found.metrics["neg_log_loss"] == pytest.approx(-found.metrics["log_loss"])


def test_money_is_told_by_day_and_week_and_by_what_it_is_about(project: Settings) -> None:
    contract = load_contract(project.root)
    predict(project, range(10))
    predict(project, range(10, 14), version="2", days_ago=8)
    predict(project, range(14, 17), days_ago=9)
    label(
        project, {number: "yes" if number < 4 else "no" for number in (*range(4), *range(10, 14))}
    )
    decision = DecisionSettings(values={"tp": 80, "fp": -10}, unit="dollars")

    found = live_performance(project.model_copy(update={"decision": decision}), contract)

    today, before = (f"{NOW - timedelta(days=days):%Y-%m-%d}" for days in (0, 8))
    days = [each for each in found.values if each.period == "day"]
    assert [
        (each.start, each.predictions, each.labelled, each.mean, each.total) for each in days
    ] == [
        (before, 4, 4, -5.0, -20.0),
        (today, 10, 4, 40.0, 160.0),
    ]
    weeks = [each for each in found.values if each.period == "week"]
    assert sum(each.total for each in weeks) == 140.0
    assert {datetime.fromisoformat(each.start).weekday() for each in weeks} == {0}
    assert found.unit == "dollars"
    text = Metrics(contract, project.reports).render().decode()
    assert 'ml_live_value{period="day"} 160.0' in text
    assert 'ml_live_value_mean{period="day"} 40.0' in text
    assert 'ml_live_value_decisions{period="week"} 4.0' in text
    read = read_quality(project.reports, contract.model_name)
    assert read is not None
    assert [each.start for each in quality_card(read).values][-2:] == [today, before]
    assert live_performance(project, contract).values == ()


def test_each_version_has_its_figures(project: Settings) -> None:
    contract = load_contract(project.root)
    predict(project, range(10))
    predict(project, range(10, 20), version="2")
    predict(project, range(20, 24), version="2", days_ago=1)
    label(project, {number: "yes" if number % 2 else "no" for number in range(6)})
    label(project, {11: "yes", 12: "no", 13: "no", 14: "no", 99: "no"})

    result = live_performance(project, contract)

    first, second = result.versions
    assert (first.predictions, first.labelled) == (10, 6)
    assert (first.metrics["accuracy"], first.metrics["roc_auc"]) == (1.0, 1.0)
    assert first.metrics["brier"] == pytest.approx((0.1**2 + 0.2**2) / 2)
    assert (second.predictions, second.labelled) == (14, 4)
    assert second.metrics["accuracy"] == 0.75
    assert [(day.model_version, day.predictions) for day in result.days] == [
        ("1", 10),
        ("2", 4),
        ("2", 10),
    ]
    assert result.days[1].metrics == {}
    assert (result.labels, result.unmatched_labels) == (11, 1)
    report = json.loads((project.reports / "feedback.json").read_text(encoding="utf-8"))
    assert report["versions"][0]["metrics"]["accuracy"] == 1.0
    text = Metrics(contract, project.reports).render().decode()
    assert 'ml_live_metric{metric="accuracy",model_version="2"} 0.75' in text
    assert 'ml_live_labelled{model_version="1"} 6.0' in text


def test_it_is_the_same_before_during_and_after_the_move(project: Settings) -> None:
    contract = load_contract(project.root)
    predict(project, range(8))
    label(project, dict.fromkeys(range(4), "yes"))
    before = live_performance(project, contract)

    folders = [project.serving.prediction_log, project.prediction_log.feedback]
    kept = {
        file: file.read_bytes()
        for folder in folders
        for file in (project.root / folder).glob("*.jsonl")
    }
    result = compact_logs(project, contract)
    assert (result.predictions, result.labels, result.segments) == (8, 4, 2)
    assert live_performance(project, contract) == before
    for file, content in kept.items():
        file.write_bytes(content)  # a run that was killed before it deleted them
    assert live_performance(project, contract) == before
    compact_logs(project, contract)
    status = log_status(project, contract)
    assert (status.predictions_in_lake, status.labels_in_lake, status.segments) == (8, 4, 0)


def test_of_several_labels_the_one_known_last_counts(project: Settings) -> None:
    contract = load_contract(project.root)
    predict(project, range(2))
    label(project, {0: "no", 1: "yes"}, at=NOW)
    label(project, {0: "yes", 1: "no"}, at=NOW - timedelta(days=3))  # late news of an older state
    label(project, {0: "no"}, at=NOW)  # sent again
    result = live_performance(project, contract)
    assert result.versions[0].metrics["accuracy"] == 1.0
    assert (result.labels, result.versions[0].labelled) == (2, 2)


def test_a_regression_is_measured_by_its_errors(project: Settings, tmp_path: Path) -> None:
    contract = parse_contract(
        "dataset: small\nproblem: regression\nsource: {path: rows.csv}\n"
        "target: {column: amount}\nfeatures: [{name: a, type: number}]\n"
    )
    predict(project, range(4), values=(1.0, 3.0))
    label(project, {0: 1.0, 1: 5.0, 2: 1.0, 3: 3.0})
    compact_logs(project, contract)
    (found,) = live_performance(project, contract).versions
    assert found.metrics["rmse"] == pytest.approx(1.0)
    assert found.metrics["mae"] == pytest.approx(0.5)


def test_without_labels_it_says_how_to_send_them(project: Settings) -> None:
    contract = load_contract(project.root)
    predict(project, range(2))
    with pytest.raises(NotEnoughDataError, match="2 predictions, 0 labels") as found:
        live_performance(project, contract)
    assert "/feedback" in found.value.fix
    label(project, {77: "no"})
    with pytest.raises(NotEnoughDataError, match="1 labels"):
        live_performance(project, contract)


def labelled_days(right: float, days: int = 3, each: int = 120) -> pd.DataFrame:
    """Predictions of some days; so many of the labels agree with the score."""
    random = np.random.default_rng(0)
    rows = days * each
    score = random.uniform(size=rows)
    agrees = random.uniform(size=rows) < right
    return pd.DataFrame(
        {
            "_day": np.repeat([f"2026-03-{day + 1:02}" for day in range(days)], each),
            "score": score,
            "prediction": np.where(score > 0.5, "yes", "no"),
            "label": np.where((score > 0.5) == agrees, "yes", "no"),
        }
    )


def judged(project: Settings, labelled: pd.DataFrame, minimum: int = 200) -> LiveQuality:
    tested = {"test_roc_auc": 0.84}
    contract = load_contract(project.root)
    return judge_quality(contract, "3", tested, labelled, drop=0.05, minimum=minimum)


def test_flipped_labels_are_a_loss_of_quality(project: Settings) -> None:
    found = judged(project, labelled_days(0.1))
    assert (found.verdict, found.exit_code) == ("low", 1)
    assert found.value is not None
    assert found.value < 0.2
    assert found.message.startswith("quality has fallen: roc_auc 0.")
    assert "0.8400 in its test, alarm below 0.7980" in found.message
    assert judged(project, labelled_days(0.95)).exit_code == 0


def test_a_fall_is_not_diluted_by_older_labels(project: Settings) -> None:
    before = labelled_days(0.95, days=20)
    now = labelled_days(0.2, days=2).assign(_day=["2026-03-21"] * 120 + ["2026-03-22"] * 120)
    found = judged(project, pd.concat([before, now]))
    assert (found.verdict, found.since, found.labelled) == ("low", "2026-03-21", 240)


def test_too_few_labels_are_no_verdict(project: Settings) -> None:
    found = judged(project, labelled_days(0.1, days=1))
    assert (found.verdict, found.exit_code) == ("insufficient", 3)
    assert "120 labels of version 3; 200 are needed" in found.message
    one_class = judged(project, labelled_days(0.5).assign(label="no"))
    assert (one_class.verdict, one_class.value) == ("insufficient", None)


def test_an_error_is_worse_where_it_is_larger(project: Settings) -> None:
    contract = parse_contract(
        "dataset: small\nproblem: regression\nsource: {path: rows.csv}\n"
        "target: {column: amount}\nfeatures: [{name: a, type: number}]\n"
    )
    errors = np.random.default_rng(0).normal(scale=2, size=300)
    rows = pd.DataFrame({"_day": "2026-03-01", "prediction": errors, "label": 0.0})
    for tested, verdict in ((1.0, "low"), (2.0, "ok"), (9.0, "ok")):
        run = {"test_rmse": tested}
        found = judge_quality(contract, "1", run, rows, drop=0.05, minimum=200)
        assert found.verdict == verdict, tested


@pytest.mark.slow
def test_flipped_labels_of_the_champion_exit_1_and_raise_the_gauge(
    copied: Settings, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(copied, range(400))
    label(copied, {number: "no" if number % 2 else "yes" for number in range(400)})
    monkeypatch.chdir(copied.root)

    finished = CliRunner().invoke(app, ["logs", "performance"])

    assert finished.exit_code == 1
    assert "quality has fallen: roc_auc 0.0000" in finished.output
    text = Metrics(trained.contract, copied.reports).render().decode()
    assert 'ml_live_quality_low{metric="roc_auc",model_version="1"} 1.0' in text
    assert 'ml_live_quality_limit{metric="roc_auc",model_version="1"} 0.' in text


@pytest.mark.parametrize("moved", [False, True])
def test_a_person_is_forgotten_in_log_lake_and_labels(
    project: Settings, contract_with_entity: Contract, moved: bool
) -> None:
    contract = contract_with_entity
    predict(project, range(2), entity="C7-000001")
    predict(project, range(2, 4), entity="C7-000002")
    label(project, {0: "no", 2: "yes"})
    if moved:
        compact_logs(project, contract)
    exported = export_person(project, contract, "C7-000001", project.root / "person.json")
    document = json.loads((project.root / "person.json").read_text(encoding="utf-8"))
    assert exported.feedback == 1
    assert [line["prediction_id"] for line in document["feedback"]] == [identity(0)]

    done = forget(project, contract, "C7-000001", yes=True)

    assert done.feedback == 1
    assert (done.prediction_log, done.rows) == (
        (0, {f"prediction_log.{contract.dataset}": 2}) if moved else (2, {})
    )
    lakehouse = open_lakehouse(project)
    if moved:
        rows = lakehouse.collect(lakehouse.read(served_table(contract))).to_pylist()
        assert {row[contract.entity_column] for row in rows} == {"C7-000002"}
        labels = lakehouse.collect(lakehouse.read(feedback_table(contract))).to_pylist()
        assert [row["prediction_id"] for row in labels] == [identity(2)]
        assert len(lakehouse.snapshots(feedback_table(contract))) == 1
    for folder in ("logs", "lake"):
        for file in (project.root / folder).rglob("*"):
            if file.is_file() and "privacy" not in file.parts:
                assert b"C7-000001" not in file.read_bytes(), file
                if "feedback" in file.parts:
                    assert identity(0).encode() not in file.read_bytes(), file
    with pytest.raises(NothingToDoError):
        export_person(project, contract, "C7-000001", project.root / "none.json")


@pytest.fixture
def contract_with_entity(project: Settings) -> Contract:
    contract = load_contract(project.root)
    assert contract.entity is not None
    return contract
