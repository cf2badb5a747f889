"""Training again because of drift: who asks, which rule says no, and what comes of a yes."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from goldpath.errors import CheckFailedError, NotEnoughDataError, NothingToDoError
from goldpath.jobs.batch.training_rows import (
    UnknownTrainingRowsError,
    known_training_rows,
    training_rows,
)
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.drift.superseded import supersede_verdicts
from goldpath.jobs.retraining import retrain as retraining
from goldpath.jobs.retraining.admission import require_labelled_rows, require_pause
from goldpath.jobs.retraining.ledger import Ledger, LedgerError, Retraining
from goldpath.jobs.retraining.retrain import admit, hand_over, retrain
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import gold_table
from goldpath.registry.layout import SNAPSHOT_TAG
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.sample.customers import write_sample
from goldpath.serving.metrics.reports import TEXTFILE
from goldpath.settings import Settings, load_settings
from goldpath.settings.monitoring import RetrainSettings

from ..conftest import Trained

SHIFT = {"monthly_charges": 1.0, "support_tickets": 0.8}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

pytestmark = pytest.mark.slow


def deliver(settings: Settings, trained: Trained, rows: int, drift: dict[str, float]) -> Path:
    """Next month's extract: other customers, with labels."""
    file = settings.root / trained.contract.source.path
    write_sample(file, rows, 31, drift)
    return file


def drifted(settings: Settings, trained: Trained) -> None:
    """A drift check that found a shift."""
    file = settings.root / "data" / "now.csv"
    write_sample(file, 1500, 99, SHIFT)
    assert check_drift(settings, trained.contract, file, html=False).verdict == "drift"


def decision(settings: Settings) -> dict[str, str]:
    values: dict[str, str] = json.loads((settings.reports / "retraining.json").read_text())
    return values


def outcomes(ledger: Ledger) -> list[str]:
    return [each.outcome for each in ledger.read()]


def earlier(*hours_ago: float) -> list[Retraining]:
    return [
        Retraining(
            str(ago), (NOW - timedelta(hours=ago)).isoformat(), "service", "", "1", "promoted"
        )
        for ago in hours_ago
    ]


def test_drift_leads_to_a_new_champion_whose_rows_are_the_reference(
    copied: Settings, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_TRAINING__TRIALS", "2")
    copied = load_settings(copied.root)
    drifted(copied, trained)
    deliver(copied, trained, 3500, SHIFT)

    result = retrain(copied, trained.contract)

    assert (result.outcome, result.former_champion) == ("promoted", "1")
    manager = MLflowManager(copied, trained.contract)
    champion = manager.champion_version()
    assert champion is not None
    assert champion.version == result.model_version != "1"
    (record,) = Ledger(copied.root).read()
    assert (record.outcome, record.detail, record.source) == ("promoted", champion.version, "file")
    assert "monthly_charges" in record.reason
    assert decision(copied)["outcome"] == "promoted"
    # The alarm was about the former champion, and nobody has looked at the new one yet.
    state = json.loads((copied.reports / "drift" / "file.json").read_text())
    assert state["verdict"] == "insufficient"
    assert f"version {champion.version} took the place of version 1" in state["message"]
    figures = (copied.reports / TEXTFILE).read_text()
    assert 'ml_drift_detected{source="file"}' not in figures
    assert f'ml_data_rows{{kind="gold",source="{trained.contract.dataset}"}}' in figures
    with pytest.raises(NothingToDoError, match="the last verdict is no drift"):
        retrain(copied, trained.contract, "file")
    # Now rows are compared with those that the new champion was trained on: half of them shifted.
    again = check_drift(copied, trained.contract, copied.root / "data" / "now.csv", html=False)
    assert again.model_version == champion.version
    assert again.reference_rows > 4000
    report = json.loads((copied.reports / "drift.json").read_text())
    (charges,) = (each for each in report["columns"] if each["name"] == "monthly_charges")
    assert charges["effect"] < 0.7  # 1.0 before


def test_rows_without_a_label_or_against_the_contract_are_no_reason_to_train(
    copied: Settings, trained: Trained
) -> None:
    drifted(copied, trained)
    file = deliver(copied, trained, 2000, SHIFT)
    header, *lines = file.read_text().splitlines()
    unlabelled = [line.rpartition(",")[0] + "," for line in lines[:1000]]
    wrong = [line.replace("month-to-month", "for ever") for line in lines[1000:]]
    right = [line for line in lines[1000:] if "month-to-month" not in line][:150]
    wrong = [line for line in wrong if "for ever" in line]
    file.write_text("\n".join([header, *unlabelled, *wrong, *right]) + "\n")

    with pytest.raises(NotEnoughDataError) as error:
        retrain(copied, trained.contract)

    assert "rows with a label that version 1 was not trained on" in error.value.message
    assert "churned" in error.value.message  # what is missing, and of how many rows
    assert "contract" in error.value.message
    assert Ledger(copied.root).read() == []
    assert decision(copied)["outcome"] == "refused"
    assert decision(copied)["message"] == str(error.value)
    assert MLflowManager(copied, trained.contract).newest_version().version == "1"  # type: ignore[union-attr]


def test_without_new_rows_the_model_would_be_the_same(copied: Settings, trained: Trained) -> None:
    drifted(copied, trained)

    with pytest.raises(NotEnoughDataError, match="0 rows with a label that version 1"):
        retrain(copied, trained.contract)


def test_without_drift_or_after_a_rollback_nothing_is_trained(
    copied: Settings, trained: Trained
) -> None:
    with pytest.raises(NothingToDoError, match="service has no verdict yet"):
        retrain(copied, trained.contract, "service")
    drifted(copied, trained)
    file = copied.reports / "drift.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "model_version": "7"}))

    with pytest.raises(NothingToDoError, match="about version 7, and version 1 is champion"):
        retrain(copied, trained.contract)

    assert decision(copied)["outcome"] == "refused"


def test_lost_quality_asks_as_drift_does(copied: Settings, trained: Trained) -> None:
    file = copied.reports / "feedback.json"
    quality = {"verdict": "low", "model_version": "1", "message": "quality has fallen: 0.6"}
    file.write_text(json.dumps({"quality": quality}))
    deliver(copied, trained, 3500, SHIFT)

    result = admit(copied, trained.contract, "labels")

    assert (result.outcome, result.source) == ("handed over", "labels")
    assert result.reason == "quality has fallen: 0.6"
    with pytest.raises(CheckFailedError, match=r"the last one began 0\.0 hours ago"):
        admit(copied, trained.contract, "labels")
    assert admit(copied, trained.contract, "labels", force=True).outcome == "handed over"
    supersede_verdicts(copied.reports, trained.contract.model_name, "2")
    with pytest.raises(NothingToDoError, match="version 2 took the place of version 1"):
        admit(copied, trained.contract, "labels", force=True)


def test_a_refusal_of_the_gate_counts_and_an_interruption_does_not(
    copied: Settings, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    drifted(copied, trained)
    deliver(copied, trained, 3500, SHIFT)

    def refuse(*_: object) -> None:
        raise CheckFailedError("the gate refused version 2")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(retraining, "train", refuse)
    with pytest.raises(CheckFailedError, match="the gate refused"):
        retrain(copied, trained.contract)
    with pytest.raises(CheckFailedError, match=r"cooldown_hours is 168"):
        retrain(copied, trained.contract)
    monkeypatch.setattr(retraining, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        retrain(copied, trained.contract, force=True)

    records = Ledger(copied.root).read()
    assert [record.outcome for record in records] == ["refused", "interrupted"]
    assert decision(copied)["outcome"] == "interrupted"
    assert records[0].detail == "the gate refused version 2"
    assert records[1].ended


def test_two_at_once_are_one(copied: Settings, trained: Trained) -> None:
    with (
        Ledger(copied.root).only_one(),
        pytest.raises(CheckFailedError, match="another one is running"),
    ):
        retrain(copied, trained.contract)


def test_a_scheduler_that_cannot_begin_is_said(copied: Settings, trained: Trained) -> None:
    drifted(copied, trained)
    deliver(copied, trained, 3500, SHIFT)

    def begin() -> str:
        raise OSError("nobody answers")

    with pytest.raises(Exception, match="could not be begun: nobody answers"):
        hand_over(copied, trained.contract, "newest", begin)

    assert [record.outcome for record in Ledger(copied.root).read()] == ["failed"]


@pytest.mark.parametrize(
    ("hours_ago", "rules", "said"),
    [
        ((), {"budget": 0}, "0 of 0 in the last 30 days"),
        ((167.9,), {}, "again from 2026-03-01 12:06 UTC"),
        ((-2.0,), {}, "which is yet to come"),
        ((1.0,), {"cooldown_hours": 2}, "1.0 hours ago"),
        ((170.0, 400.0), {"budget": 2}, "2 of 2 in the last 30 days are spent"),
        ((170.0, 400.0), {"budget": 2}, "again from 2026-03-14 20:00 UTC"),
        ((800.0,), {"budget": 0}, "0 of 0 in the last 30 days"),
    ],
)
def test_cooldown_and_budget_go_by_the_time_that_has_passed(
    hours_ago: tuple[float, ...], rules: dict[str, float], said: str
) -> None:
    with pytest.raises(CheckFailedError) as error:
        require_pause(RetrainSettings.model_validate(rules), earlier(*hours_ago), NOW)

    assert said in str(error.value)


@pytest.mark.parametrize(
    ("hours_ago", "rules"),
    [
        ((), {}),
        ((168.1,), {}),
        ((170.0, 800.0), {"budget": 2}),
    ],
)
def test_after_the_cooldown_and_within_the_budget_nothing_is_in_the_way(
    hours_ago: tuple[float, ...], rules: dict[str, float]
) -> None:
    require_pause(RetrainSettings.model_validate(rules), earlier(*hours_ago), NOW)


def test_a_stopped_retraining_counts_for_nothing_and_a_killed_one_for_the_budget(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    (killed,) = earlier(1)
    stopped = replace(killed, id="stopped", outcome="interrupted")
    rules = RetrainSettings.model_validate({"budget": 1})
    ledger.begin(stopped)
    require_pause(rules, ledger.read_ended(), NOW)
    ledger.begin(replace(killed, outcome="running"))

    found = ledger.read_ended()

    assert [each.outcome for each in found] == ["interrupted", "killed"] == outcomes(ledger)
    with pytest.raises(CheckFailedError, match="1 of 1 in the last 30 days"):
        require_pause(rules, found, NOW)
    require_pause(RetrainSettings(), found, NOW)


def test_whether_a_retraining_runs_can_be_asked(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert not ledger.is_held()
    assert not list(tmp_path.iterdir())

    with ledger.only_one():
        assert ledger.is_held()
    assert not ledger.is_held()


def test_where_nobody_can_tell_which_rows_are_new_nothing_is_trained(
    copied: Settings, trained: Trained
) -> None:
    drifted(copied, trained)
    deliver(copied, trained, 3500, SHIFT)
    manager = MLflowManager(copied, trained.contract)
    champion = manager.champion_version()
    assert champion is not None
    lakehouse = open_lakehouse(copied)
    rows = lakehouse.collect(lakehouse.read(gold_table(trained.contract)))
    elsewhere = replace(champion, tags={})
    expired = replace(champion, tags={**champion.tags, SNAPSHOT_TAG: "1"})

    for version, said in ((elsewhere, "does not say which data"), (expired, "snapshot")):
        with pytest.raises(UnknownTrainingRowsError, match=said):
            known_training_rows(rows, trained.contract, lakehouse, version)
        assert not training_rows(rows, trained.contract, lakehouse, version).any()
        with pytest.raises(NotEnoughDataError, match="cannot be told which rows are new") as error:
            require_labelled_rows(
                copied, trained.contract, version, refresh(copied, trained.contract)
            )
        assert "train once by hand" in error.value.fix


@pytest.mark.parametrize("line", ["{", '{"id": "1"}', "[]", '{"id": "1", "started": "soon"}'])
def test_a_damaged_ledger_stops_retrainings_and_names_the_line(tmp_path: Path, line: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin(earlier(3)[0])
    with ledger.file.open("a") as output:
        output.write(f"{line}\n")

    with pytest.raises(LedgerError, match="line 2 is damaged"):
        ledger.read()
