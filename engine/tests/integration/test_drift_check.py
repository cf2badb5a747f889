"""The drift check as a person runs it: a champion, rows from three places, a verdict on disk."""

import json
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pyarrow as pa
import pytest
from prometheus_client.parser import text_string_to_metric_families

from goldpath import Model, Project
from goldpath.contract import Contract
from goldpath.drift.profile import REJECTED_ROWS, DriftError
from goldpath.errors import NotEnoughDataError
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.upkeep.log_compaction import compact_logs
from goldpath.monitor.drift_windows import read_drift
from goldpath.sample.customers import write_sample
from goldpath.serving.log.personal import PersonalValues
from goldpath.serving.metrics.reports import TEXTFILE
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog
from goldpath.settings import Settings, load_settings

from ..conftest import Trained

pytestmark = pytest.mark.slow


def customers(settings: Settings, drift: dict[str, float], rows: int = 1500) -> Path:
    file = settings.root / "data" / "now.csv"
    write_sample(file, rows, 99, drift)
    return file


def report_of(settings: Settings) -> dict[str, object]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    text = (settings.reports / "drift.json").read_text(encoding="utf-8")
    values = json.loads(text, parse_constant=refuse)
    assert isinstance(values, dict)
    return values


def log_predictions(
    settings: Settings,
    contract: Contract,
    rows: int,
    version: str,
    personal: PersonalValues | None = None,
    start: datetime | None = None,
) -> None:
    """What a service leaves that answered the same customer again and again."""
    values = {"number": 10.0, "integer": 20, "boolean": True}
    features = {
        f.name: f.categories[0] if f.categories else None if f.nullable else values[f.type]
        for f in contract.features
    }
    start = start or datetime.now(UTC)
    PredictionLog(settings.root / settings.serving.prediction_log, personal=personal).write(
        [
            LoggedPrediction(
                prediction_id=f"{version}-{start:%d}-{number}",
                at=(start + timedelta(milliseconds=number)).isoformat(),
                model_version=version,
                features=features,
                prediction="no",
                score=0.1,
            )
            for number in range(rows)
        ]
    )


def test_customers_like_those_of_the_training_are_no_drift(
    copied: Settings, trained: Trained
) -> None:
    result = check_drift(copied, trained.contract, customers(copied, {}), html=False)

    assert (result.verdict, result.exit_code, result.drifted_columns) == ("ok", 0, {})
    assert result.rejected_rows > 0  # the sample brings bad rows, as many as the training data had
    report = report_of(copied)
    assert (report["verdict"], report["exit_code"], report["html"]) == ("ok", 0, None)
    json.dumps(asdict(result), allow_nan=False)  # what --json prints


def test_shifted_customers_are_drift_and_the_report_says_how_much(
    copied: Settings, trained: Trained
) -> None:
    data = customers(copied, {"monthly_charges": 1.0})

    result = check_drift(copied, trained.contract, data, html=False)

    assert (result.verdict, result.exit_code) == ("drift", 1)
    assert next(iter(result.drifted_columns)) == "monthly_charges"
    report = report_of(copied)
    assert report["model_version"] == trained.candidate.model_version
    assert datetime.fromisoformat(str(report["checked_at"])).tzinfo is not None
    columns = report["columns"]
    assert isinstance(columns, list)
    named = {column["name"]: column for column in columns}
    expected = {*trained.contract.feature_names, "prediction", REJECTED_ROWS}
    assert set(named) == expected
    assert named["monthly_charges"]["effect"] == pytest.approx(1.0, abs=0.15)
    assert named["monthly_charges"]["drifted"] is True
    assert named["age"]["drifted"] is False
    assert (copied.root / str(report["plot"])).is_file()


def test_a_column_that_the_project_leaves_out_is_not_compared(
    copied: Settings, trained: Trained
) -> None:
    def compared(rows: pa.Table) -> pa.Table:
        return rows.drop_columns(["monthly_charges", "prediction"])

    project = Project(models={"churn": lambda: Model(compared=compared)})
    settings = load_settings(copied.root, project)

    result = check_drift(
        settings, trained.contract, customers(copied, {"monthly_charges": 1.0}), html=True
    )

    assert "monthly_charges" not in result.drifted_columns
    columns = report_of(copied)["columns"]
    assert isinstance(columns, list)
    names = {column["name"] for column in columns}
    assert {*trained.contract.feature_names, "prediction"} - names == {"monthly_charges"}


def test_personal_columns_that_are_not_logged_are_left_out(
    copied: Settings, trained: Trained
) -> None:
    contract = trained.contract.model_copy(update={"personal": ("age", "contract")})
    version = trained.candidate.model_version
    log_predictions(copied, contract, 1000, version, PersonalValues(copied, contract))

    check_drift(copied, contract, None, html=True)

    columns = report_of(copied)["columns"]
    assert isinstance(columns, list)
    named = {column["name"]: column for column in columns}
    assert {*contract.feature_names, "prediction"} - set(named) == {"age", "contract"}
    assert named["prediction"]["drifted"], "the scores of the log, which are all the same"


def test_few_customers_give_no_verdict(copied: Settings, trained: Trained) -> None:
    result = check_drift(copied, trained.contract, customers(copied, {}, rows=100), html=False)

    assert (result.verdict, result.exit_code) == ("insufficient", 3)
    assert report_of(copied)["exit_code"] == 3


def test_page_is_written_and_no_older_page_stays_beside_a_newer_verdict(
    copied: Settings, trained: Trained
) -> None:
    data = customers(copied, {"monthly_charges": 1.0})

    first = check_drift(copied, trained.contract, data, html=True)
    assert first.html == "reports/drift.html"
    page = (copied.root / first.html).read_text(encoding="utf-8")
    assert f"DRIFT: {first.message}" in unescape(page)

    second = check_drift(copied, trained.contract, data, html=False)
    assert second.html is None
    assert not (copied.root / first.html).exists()


def test_file_that_breaks_the_contract_is_drift_although_its_good_rows_are_clean(
    copied: Settings, trained: Trained
) -> None:
    data = customers(copied, {})
    header, *rows = data.read_text(encoding="utf-8").splitlines()
    place = header.split(",").index("contract")
    broken = []
    for number, row in enumerate(rows):
        fields = row.split(",")
        if number % 4 == 0:
            fields[place] = "three-year"
        broken.append(",".join(fields))
    data.write_text("\n".join([header, *broken]) + "\n", encoding="utf-8")

    result = check_drift(copied, trained.contract, data, html=False)

    assert result.exit_code == 1
    assert list(result.drifted_columns) == [REJECTED_ROWS]


def test_file_without_a_usable_row_is_not_enough_data(copied: Settings, trained: Trained) -> None:
    data = customers(copied, {})
    header, *rows = data.read_text(encoding="utf-8").splitlines()
    data.write_text("\n".join([header, *("," * header.count(",") for _ in rows)]), encoding="utf-8")

    with pytest.raises(NotEnoughDataError, match="refuses all"):
        check_drift(copied, trained.contract, data, html=False)


def test_newest_batch_run_is_checked_where_no_file_is_named(
    copied: Settings, trained: Trained
) -> None:
    predict_batch(copied, trained.contract, customers(copied, {"age": 2.0}), "older")
    predict_batch(copied, trained.contract, None, "newer")

    result = check_drift(copied, trained.contract, None, html=False)

    assert result.source.startswith("batch run newer (")
    assert result.verdict == "insufficient", "its rows are those of the training"


def test_who_scores_in_batches_only_has_series_too(copied: Settings, trained: Trained) -> None:
    predict_batch(copied, trained.contract, customers(copied, {"monthly_charges": 1.0}), "moved")

    assert check_drift(copied, trained.contract, None, html=False).exit_code == 1

    text = (copied.reports / TEXTFILE).read_text(encoding="utf-8")
    samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
    (detected,) = [each for each in samples if each.name == "ml_drift_detected"]
    assert (detected.labels, detected.value) == ({"source": "batch"}, 1.0)
    charges = {"source": "batch", "column": "monthly_charges"}
    effect, limit = (
        next(each.value for each in samples if (each.name, each.labels) == (name, charges))
        for name in ("ml_drift_column_effect", "ml_drift_column_limit")
    )
    assert effect > limit


def test_rows_of_the_training_are_never_called_free_of_drift(
    copied: Settings, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = predict_batch(copied, trained.contract)
    assert scored.training_rows == scored.rows
    result = check_drift(copied, trained.contract, None, html=True)
    assert (result.verdict, result.exit_code, result.rows) == ("insufficient", 3, 0)
    assert result.training_rows == scored.rows
    assert "nothing new to compare" in result.message
    report = report_of(copied)
    assert (report["training_rows"], report["plot"], report["html"]) == (scored.rows, None, None)
    assert (report["verdict"], report["exit_code"]) == ("insufficient", 3)
    assert "ml_drift_detected" not in gauges_of(copied)

    source = copied.root / trained.contract.source.path
    again = check_drift(copied, trained.contract, source, html=False)
    assert (again.verdict, again.exit_code, again.rows) == ("insufficient", 3, 0)

    both = copied.root / "data" / "both.csv"
    new = customers(copied, {"monthly_charges": 1.0}).read_text().split("\n", 1)[1]
    both.write_text(source.read_text() + new)
    mixed = predict_batch(copied, trained.contract, both, "mixed")
    assert 0 < mixed.training_rows < mixed.rows
    result = check_drift(copied, trained.contract, None, html=False)
    assert (result.verdict, result.rows) == ("drift", mixed.rows - mixed.training_rows)
    judged_at = state_of(copied, "batch")["judged_at"]

    # As beside a hundred times as many rows of the training: enough new rows are judged.
    monkeypatch.setattr("goldpath.jobs.drift.check.NEWS", 1.0)
    later = datetime.now(UTC) + timedelta(days=30)
    same = check_drift(copied, trained.contract, None, html=False, now=later)
    assert same.verdict == "drift"
    assert any("the same batch run" in note for note in same.notes)
    # A batch that has stopped is not judged anew by whoever looks at it again.
    assert state_of(copied, "batch")["judged_at"] == judged_at

    # A run that is made again under its name is another one, be its rows as many.
    predict_batch(copied, trained.contract, both, "mixed")
    anew = check_drift(copied, trained.contract, None, html=False, now=later)
    assert (anew.rows, anew.source) == (same.rows, same.source)
    assert not any("the same batch run" in note for note in anew.notes)
    assert state_of(copied, "batch")["judged_at"] == later.isoformat(timespec="seconds")
    few = copied.model_copy(
        update={"monitoring": copied.monitoring.model_copy(update={"minimum_rows": 10**6})}
    )
    nothing = check_drift(few, trained.contract, None, html=False, source="batch")
    assert (nothing.rows, nothing.exit_code) == (0, 3)

    # The alarm goes on, since nothing was learned of it; the pages say both.
    assert "was drift: monthly_charges" in nothing.message
    state = state_of(copied, "batch")
    assert (state["verdict"], state["message"]) == ("drift", same.message)
    assert state["nothing_compared"] == {
        "checked_at": report_of(copied)["checked_at"],
        "message": nothing.message,
    }
    figures = gauges_of(copied)
    assert figures["ml_drift_detected"] == 1
    assert (
        figures["ml_drift_checked_timestamp_seconds"]
        >= (figures["ml_drift_judged_timestamp_seconds"])
    )
    found = read_drift(copied.reports, "batch", trained.contract.model_name)
    assert found is not None
    assert found.nothing_compared is not None


def gauges_of(settings: Settings, source: str = "batch") -> dict[str, float]:
    """The figures of a source that have no other label."""
    text = (settings.reports / TEXTFILE).read_text(encoding="utf-8")
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels == {"source": source}
    }


def test_what_was_just_scored_is_checked_whatever_the_log_holds(
    copied: Settings, trained: Trained
) -> None:
    version = trained.candidate.model_version
    before = datetime.now(UTC) - timedelta(hours=1)
    log_predictions(copied, trained.contract, 300, version, start=before)
    predict_batch(copied, trained.contract, customers(copied, {"monthly_charges": 1.0}), "batch")

    result = check_drift(copied, trained.contract, None, html=False)

    assert result.source.startswith("batch run batch")
    assert "monthly_charges" in result.drifted_columns
    named = check_drift(copied, trained.contract, None, html=False, source="service")
    assert named.source.startswith("300 predictions of the service since ")
    table = check_drift(copied, trained.contract, None, html=False, source="table")
    assert table.source.startswith("gold.")
    with pytest.raises(DriftError, match="--source file without --data"):
        check_drift(copied, trained.contract, None, html=False, source="file")


def test_service_log_goes_before_a_batch_run_that_is_older(
    copied: Settings, trained: Trained
) -> None:
    predict_batch(copied, trained.contract, None, "batch")
    log_predictions(copied, trained.contract, 300, trained.candidate.model_version)

    result = check_drift(copied, trained.contract, None, html=False)

    assert result.source.startswith("300 predictions of the service since ")
    assert result.verdict == "drift"  # one and the same customer, three hundred times
    assert "prediction" in result.drifted_columns


def test_what_was_moved_into_the_lake_is_still_judged(copied: Settings, trained: Trained) -> None:
    version = trained.candidate.model_version
    log_predictions(copied, trained.contract, 300, version)
    now = datetime.now(UTC) + timedelta(minutes=6)
    before = check_drift(copied, trained.contract, None, html=False, now=now)
    assert compact_logs(copied, trained.contract).predictions == 300

    after = check_drift(copied, trained.contract, None, html=False, now=now)

    assert after == before


def state_of(settings: Settings, source: str) -> dict[str, object]:
    values = json.loads((settings.reports / "drift" / f"{source}.json").read_text())
    assert isinstance(values, dict)
    return values


def test_days_of_the_service_are_windows_and_what_a_batch_says_clears_nothing(
    copied: Settings, trained: Trained
) -> None:
    """The same customer again and again since yesterday; before that the service had hardly any."""
    version, contract = trained.candidate.model_version, trained.contract
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    log_predictions(copied, contract, 20, version, start=today - timedelta(days=5))
    for day, rows in ((3, 300), (2, 320), (1, 310)):
        log_predictions(
            copied, contract, rows, version, start=today - timedelta(days=day, hours=-3)
        )

    result = check_drift(copied, contract, None, html=False, source="service", now=today)

    assert (result.verdict, result.exit_code, result.rows) == ("drift", 1, 310)
    assert "in 3 of the last 3 windows" in result.message
    assert datetime.fromisoformat(result.since) == today - timedelta(days=3)
    assert result.window.startswith(f"{today - timedelta(days=1):%Y-%m-%d} 00:00")
    assert result.calibration == "iid"

    predict_batch(copied, contract, customers(copied, {}), "fresh")
    assert check_drift(copied, contract, None, html=False, source="batch").verdict == "ok"
    service, batch = state_of(copied, "service"), state_of(copied, "batch")
    assert (service["verdict"], batch["verdict"]) == ("drift", "ok")
    history = service["history"]
    assert isinstance(history, list)
    assert [entry["state"] for entry in history] == ["insufficient", "alarm", "alarm", "alarm"]

    # No window has ended since that check, so its verdict is repeated; hours later as well.
    repeated = check_drift(
        copied, contract, None, html=False, source="service", now=today + timedelta(hours=9)
    )
    assert (repeated.verdict, repeated.message) == ("drift", result.message)
    assert any("its verdict is repeated" in note for note in repeated.notes)

    # The next day has ended without a prediction: there is nothing to compare, and no "no drift".
    silent = check_drift(
        copied, contract, None, html=False, source="service", now=today + timedelta(days=1, hours=6)
    )
    assert (silent.verdict, silent.exit_code, silent.rows) == ("insufficient", 3, 0)
    assert f"no predictions in the windows of 1d since {today:%Y-%m-%d} 00:00" in silent.message
    assert "was drift: " in silent.message
    assert gauges_of(copied, "service")["ml_drift_detected"] == 1
    assert state_of(copied, "service")["history"] == history

    # Nothing older is pooled in: where nothing was scored of late, that is said.
    later = today + timedelta(days=30)
    with pytest.raises(NotEnoughDataError, match="0 predictions of the service since"):
        check_drift(copied, contract, None, html=False, source="service", now=later)
    report = report_of(copied)
    assert (report["exit_code"], report["kind"]) == (3, "service")
    assert "0 predictions of the service since" in str(report["message"])


def test_a_version_without_a_profile_is_never_called_free_of_drift(
    copied: Settings, trained: Trained
) -> None:
    (profile,) = copied.root.rglob("profile.npz")
    profile.unlink()

    with pytest.raises(DriftError, match=r"has no drift profile \(drift/profile.npz\)") as raised:
        check_drift(copied, trained.contract, customers(copied, {}), html=False)
    assert (raised.value.exit_code, "make train-local" in raised.value.fix) == (2, True)
    assert not (copied.reports / "drift.json").exists()


def test_other_windows_than_those_of_the_training_ask_to_train_again(
    copied: Settings, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_MONITORING__WINDOW", "1w")

    with pytest.raises(DriftError, match=r"monitoring\.window is '1w'") as raised:
        check_drift(load_settings(copied.root), trained.contract, customers(copied, {}), html=False)
    assert "monitoring.window: 1d" in raised.value.fix


def test_log_of_a_few_rows_does_not_hide_a_batch_run(copied: Settings, trained: Trained) -> None:
    predict_batch(copied, trained.contract, None, "batch")
    log_predictions(copied, trained.contract, 3, trained.candidate.model_version)

    found = check_drift(copied, trained.contract, None, html=False)
    assert found.source.startswith("batch run batch")


def test_a_batch_of_training_rows_does_not_hide_what_the_service_scored(
    copied: Settings, trained: Trained
) -> None:
    before = datetime.now(UTC) - timedelta(minutes=5)
    version = trained.candidate.model_version
    log_predictions(copied, trained.contract, 300, version, start=before)
    predict_batch(copied, trained.contract, None, "newer")

    found = check_drift(copied, trained.contract, None, html=False)
    assert found.source.startswith("300 predictions of the service since ")


def test_predictions_of_another_version_are_not_judged_by_the_champion(
    copied: Settings, trained: Trained
) -> None:
    log_predictions(copied, trained.contract, 300, "41")

    with pytest.raises(NotEnoughDataError) as raised:
        check_drift(copied, trained.contract, None, html=False)
    assert "make batch-predict" in raised.value.fix


def test_project_without_a_champion_says_which_command_brings_one(
    project: Settings, trained: Trained
) -> None:
    with pytest.raises(DriftError) as raised:
        check_drift(project, trained.contract, None, html=False)
    assert raised.value.fix == "make train-local"
    assert raised.value.exit_code == 2
    assert not (project.reports / "drift.json").exists()
