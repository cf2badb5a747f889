"""Row features of a project: in gold, in the model, in batches and in the drift check."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from goldpath import Project, Row, Value, case, row_feature
from goldpath.contract import load_contract
from goldpath.features.learned import learned_contract
from goldpath.features.row.complete import complete_rows
from goldpath.features.row.tracing import RowFeature
from goldpath.jobs.batch.files import predict_file
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.data.report import write_data_report
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.own_definitions import check_definitions
from goldpath.jobs.promotion.promote import promote
from goldpath.jobs.training.stages import train
from goldpath.jobs.upkeep.status import project_status
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import gold_table, predictions_table
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings

from ..conftest import make_project
from ..ready_made import add_ready_made

pytestmark = pytest.mark.slow


@row_feature
def charge_rate(row: Row) -> Value:
    return row.monthly_charges / (row.tenure_months + 1)


@row_feature
def plan(row: Row) -> Value:
    return case(
        ((row.contract == "month-to-month") & (row.tenure_months < 12), "new"), otherwise="settled"
    )


@row_feature
def tickets_a_month(row: Row) -> Value:
    return (row.support_tickets / 3).clip(0, 10).round(2)


def with_features(root: Path, *features: RowFeature) -> Settings:
    return load_settings(root, Project(features=lambda: features))


def test_row_features_go_from_gold_to_batch_and_drift_and_stay_as_they_were_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_TRAINING__TRIALS", "2")
    add_ready_made(make_project(tmp_path))
    settings = with_features(tmp_path, charge_rate, plan, tickets_a_month)
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, 1_500, 7, {})
    lakehouse = open_lakehouse(settings)

    # gold
    refresh(settings, contract)
    gold = lakehouse.collect(lakehouse.read(gold_table(contract)))
    learned = learned_contract(settings, contract)
    computed = complete_rows(gold, learned)
    for name in ("charge_rate", "plan", "tickets_a_month"):
        assert gold[name].to_pylist() == computed[name].to_pylist()
    assert refresh(settings, contract).recomputed == ()
    write_data_report(settings, contract)
    assert "charge_rate" in (settings.reports / "data.html").read_text(encoding="utf-8")

    # training, and what the version stores
    candidate = train(settings, contract, "first")
    promote(settings, contract, candidate.model_version)
    manager = MLflowManager(settings, contract)
    champion = manager.champion_version()
    assert champion is not None
    assert manager.load(champion).contract == learned

    # batch: the table, and a file through the compiled form
    before = predict_batch(settings, contract, run_id="before")
    source = tmp_path / "rows.parquet"
    pq.write_table(gold.select([contract.entity_column, *contract.feature_names]), source)
    predict_file(settings, contract, source, tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    model = manager.load(champion)
    assert written["score"].to_pylist() == pytest.approx(model.predict(gold).scores, abs=1e-12)
    served = manager.load_for_serving(champion)
    assert written["score"].to_pylist() == served.predict(gold).scores  # to the last bit

    # a formula is edited under the champion: its answers do not move
    other = row_feature(name="charge_rate")(lambda row: row.monthly_charges * 0)
    edited = with_features(tmp_path, other, plan)
    assert len(refresh(edited, contract).recomputed) > 0
    after = predict_batch(edited, contract, run_id="after")
    assert after.mean_score == pytest.approx(before.mean_score, abs=1e-12)
    scores = {
        run: lakehouse.collect(
            (rows := lakehouse.read(predictions_table(contract))).filter(rows.run_id == run)
        )
        .sort_by([(contract.entity_column, "ascending"), ("event_time", "ascending")])["score"]
        .to_pylist()
        for run in ("before", "after")
    }
    assert scores["before"] == scores["after"]

    # drift compares the version's own, and status names the difference
    fresh = tmp_path / "data" / "fresh.csv"
    write_sample(fresh, 1_000, 99, {})
    compared = check_drift(edited, contract, fresh, html=False)
    assert (compared.verdict, compared.rows > 900) == ("ok", True)
    status = project_status(edited, contract)
    assert status.row_features == ("charge_rate", "plan")
    assert "charge_rate has another formula" in status.champion
    assert check_definitions(edited, contract).features == ["charge_rate", "plan"]
