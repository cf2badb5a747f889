"""Two models in one project: they share rows, and mix nothing else."""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from goldpath.contract import ContractError, load_contract
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.refresh import refresh, refresh_all
from goldpath.jobs.data.report import write_figures
from goldpath.jobs.data.versions import list_versions
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.privacy.forgetting import forget
from goldpath.jobs.privacy.person_export import export_person
from goldpath.jobs.upkeep.log_compaction import compact_logs
from goldpath.jobs.upkeep.materialization import materialize_all
from goldpath.jobs.upkeep.status import project_status
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import (
    gold_table,
    predictions_table,
    quarantine_table,
    served_table,
    silver_table,
)
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.sample.customers import write_sample
from goldpath.serving.api import create_app
from goldpath.serving.metrics.reports import TEXTFILE
from goldpath.serving.schemas import example_row
from goldpath.settings import Settings

from ..api.examples import TestClient
from ..prepared_projects import PreparedProjects
from ..two_models import REVENUE, TARGET, add_revenue_column, contract_of, revenue, train_both

PREDICT = f"/models/{REVENUE}/predict"
SHIFT = {"monthly_charges": 2.0}


@pytest.fixture
def churn(prepared_projects: PreparedProjects) -> Settings:
    """The main model's settings; those of the other are `revenue(churn)`."""
    return prepared_projects.restore(train_both)[0]


@pytest.fixture
def service(churn: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(churn)) as client:
        yield client


def rows_of(settings: Settings, table: Any) -> int:
    lakehouse = open_lakehouse(settings)
    snapshot = lakehouse.snapshot(table)
    return snapshot.rows if snapshot else 0


def features(settings: Settings) -> dict[str, Any]:
    return example_row(contract_of(settings))


def test_both_models_learn_from_the_rows_that_are_stored_once(churn: Settings) -> None:
    own, other = contract_of(churn), contract_of(revenue(churn))
    layers = [each for each in open_lakehouse(churn).tables() if each.layer == "bronze"]

    again = refresh_all(churn, own)

    assert [str(each) for each in layers] == ["bronze.customer_churn"]
    assert other.dataset == "customer_churn_revenue"
    assert (again.new_batches, again.recomputed) == (0, ())
    assert (again.models[REVENUE].new_batches, again.models[REVENUE].recomputed) == (0, ())
    assert again.models[REVENUE].bronze_rows == again.bronze_rows


def test_each_model_leaves_the_figures_of_its_own_tables(churn: Settings) -> None:
    write_figures(churn, contract_of(churn), refresh_all(churn, contract_of(churn)))

    folder = (churn.reports / TEXTFILE).parent
    main, other = (
        (folder / f"{name}.prom").read_text() for name in ("goldpath", f"goldpath-{REVENUE}")
    )
    gold = rows_of(churn, gold_table(contract_of(revenue(churn))))
    assert 'ml_data_rows{kind="gold",source="customer_churn"}' in main
    assert REVENUE not in main
    of = f'kind="gold",model="{REVENUE}",source="customer_churn_revenue"'
    assert f"ml_data_rows{{{of}}} {gold}.0" in other


def test_a_layers_table_of_a_further_model_is_its_own_and_bronze_that_of_all(
    churn: Settings,
) -> None:
    other = revenue(churn)
    found = [list_versions(other, contract_of(other), layer) for layer in ("bronze", "gold")]

    assert [{each.table for each in some.versions} for some in found] == [
        {"bronze.customer_churn"},
        {"gold.customer_churn_revenue"},
    ]


def test_a_missing_label_of_one_model_costs_the_other_no_row(churn: Settings) -> None:
    own, other = contract_of(churn), contract_of(revenue(churn))

    assert rows_of(churn, quarantine_table(other)) > rows_of(churn, quarantine_table(own))
    assert rows_of(churn, silver_table(own)) > rows_of(churn, silver_table(other))


def test_new_rows_reach_the_gold_table_of_both(churn: Settings) -> None:
    own, other = contract_of(churn), contract_of(revenue(churn))
    before = [rows_of(churn, gold_table(each)) for each in (own, other)]
    file = churn.root / own.source.path
    write_sample(file, 1_500, 8, {})
    add_revenue_column(file)

    refresh(revenue(churn), other)  # takes the rows in for both

    done = refresh_all(churn, own)

    assert (done.new_batches, bool(done.recomputed)) == (0, True)
    assert [rows_of(churn, gold_table(each)) > 0 for each in (own, other)] == [True, True]
    assert before != [rows_of(churn, gold_table(each)) for each in (own, other)]
    assert done.models[REVENUE].recomputed == ()


def test_each_model_has_its_own_versions_reports_and_settings(churn: Settings) -> None:
    other = revenue(churn)

    for settings, problem in ((churn, "classification"), (other, "regression")):
        contract = contract_of(settings)
        champion = MLflowManager(settings, contract).champion_version()
        report = json.loads((settings.reports / "training.json").read_text())
        card = (settings.reports / "model_card.md").read_text()
        assert champion is not None
        assert (champion.name, contract.problem) == (contract.dataset, problem)
        assert report["model"] == contract.dataset
        assert contract.dataset.replace("_", "\\_") in card or contract.dataset in card
    assert (other.reports, churn.reports) == (
        churn.root / "reports/revenue",
        churn.root / "reports",
    )
    assert (other.training.cv_folds, churn.training.cv_folds) == (2, 3)


def test_the_other_models_target_is_no_feature(churn: Settings) -> None:
    contract = contract_of(revenue(churn))

    assert contract.target.column == TARGET
    assert "churned" not in contract.feature_names
    assert "nobody knows it" in contract.ignored["churned"]


def test_batches_and_drift_checks_do_not_mix(churn: Settings) -> None:
    other = revenue(churn)
    shifted = churn.root / "shifted.csv"
    write_sample(shifted, 1_000, 9, SHIFT)

    scored = predict_batch(other, contract_of(other), shifted, "night")
    found = check_drift(other, contract_of(other), None, html=False)

    assert scored.table == "predictions.customer_churn_revenue"
    assert found.verdict == "drift"
    assert "estimated without labels: mae" in found.estimated_quality
    assert (other.reports / "drift.json").is_file()
    assert not (churn.reports / "drift.json").exists()
    assert rows_of(churn, predictions_table(contract_of(churn))) == 0


def test_one_service_answers_for_both(churn: Settings, service: TestClient) -> None:
    row = features(churn)

    main = service.post("/predict", json={"features": row}).json()
    one = service.post(PREDICT, json={"features": row}).json()
    several = service.post(f"{PREDICT}/batch", json={"instances": [row, row]}).json()
    facts = service.get(f"/models/{REVENUE}/model").json()

    assert main["prediction"] in ("no", "yes")
    assert isinstance(one["prediction"], float)
    assert one["model_name"] == "customer_churn_revenue"
    assert [each["prediction"] for each in several["predictions"]] == [one["prediction"]] * 2
    assert service.get(f"/models/{REVENUE}/ready").json()["ready"]
    assert (facts["problem"], facts["target"]) == ("regression", TARGET)
    assert "make serve MODEL=revenue" in facts["left_to_app"]


def test_a_wrong_field_is_explained_by_the_models_own_contract(
    churn: Settings, service: TestClient
) -> None:
    answer = service.post(PREDICT, json={"features": {**features(churn), "region": "moon"}})

    assert answer.status_code == 422
    assert "north" in answer.json()["errors"][0]["fix"]


def test_metrics_name_the_further_model(churn: Settings, service: TestClient) -> None:
    for path in ("/predict", PREDICT, PREDICT):
        service.post(path, json={"features": features(churn)})

    lines = service.get("/metrics").text.splitlines()
    counts = [line for line in lines if line.startswith("ml_predictions_total")]

    further = [line for line in counts if 'model="revenue"' in line]
    assert [line.rpartition(" ")[2] for line in further] == ["2.0"]
    assert sum(float(line.rpartition(" ")[2]) for line in counts if line not in further) == 1
    assert lines.count("# TYPE ml_predictions_total counter") == 1


def test_requests_count_once_under_the_route_and_the_model_that_answer(
    churn: Settings, service: TestClient
) -> None:
    row = features(churn)
    for path, fields in ((PREDICT, row), (PREDICT, row), (PREDICT, {}), ("/predict", row)):
        service.post(path, json={"features": fields})

    figures = figures_of(service)
    own = f'model="{REVENUE}"'
    answered = f'{own},route="{PREDICT}"'

    assert figures["ml_requests_total"] == {
        f'method="POST",{own},route="{PREDICT}",status="200"': 2,
        f'method="POST",{own},route="{PREDICT}",status="422"': 1,
        'method="POST",route="/predict",status="200"': 1,
    }
    assert figures["ml_request_seconds_count"] == {answered: 3, 'route="/predict"': 1}
    assert figures["ml_validation_errors_total"] == {answered: 1}
    shown = service.get("/pipeline/metrics").json()["serving"]
    asked = [each for each in shown["requests"] if "predict" in each["route"] and each["requests"]]
    assert [(each["route"], each["requests"]) for each in asked] == [("/predict", 1)]
    assert shown["validation_errors"] == 0, "the service's page is about the main model"


def figures_of(service: TestClient) -> dict[str, dict[str, float]]:
    """The series above zero by metric; without requests to what is no prediction."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(service.get("/metrics").text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{said}"' for name, said in sorted(sample.labels.items()))
            if sample.value and "metrics" not in labels:
                found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_predictions_are_logged_apart_and_reach_tables_of_their_own(churn: Settings) -> None:
    other = revenue(churn)
    with TestClient(create_app(churn)) as service:
        for path in ("/predict", PREDICT, PREDICT):
            service.post(path, json={"features": features(churn)})

    for settings in (churn, other):
        compact_logs(settings, contract_of(settings), seal=True)

    assert rows_of(churn, served_table(contract_of(churn))) == 1
    assert rows_of(churn, served_table(contract_of(other))) == 2


def test_a_further_model_is_served_alone_like_a_main_one(churn: Settings) -> None:
    with TestClient(create_app(revenue(churn))) as service:
        answer = service.post("/predict", json={"features": features(churn)}).json()
        facts = service.get("/model").json()
        metrics = service.get("/metrics").text

    assert answer["model_name"] == "customer_churn_revenue"
    assert facts["left_to_app"] is None
    assert 'ml_model_loaded{model="revenue",model_version="1"} 1.0' in metrics


def test_a_further_model_without_champion_disturbs_nobody(churn: Settings) -> None:
    other = revenue(churn)
    MLflowManager(other, contract_of(other)).remove_alias("champion")
    with TestClient(create_app(churn)) as service:
        missing = service.post(PREDICT, json={"features": features(churn)})
        ready = service.get(f"/models/{REVENUE}/ready")
        main = service.post("/predict", json={"features": features(churn)})

    assert (missing.status_code, ready.status_code, main.status_code) == (503, 503, 200)
    assert missing.json()["fix"] == "make promote MODEL=revenue"


def test_a_broken_contract_names_its_file_and_disturbs_nobody(churn: Settings) -> None:
    file = churn.root / "models" / REVENUE / "project.yaml"
    file.write_text("problem: regression\ntarget: {column: churned, classes: [a, b]}\n")

    with pytest.raises(ContractError, match=r"models/revenue/project\.yaml: .*has no classes"):
        load_contract(churn.root, REVENUE)
    status = project_status(churn, contract_of(churn))
    with TestClient(create_app(churn)) as service:
        broken = service.post(PREDICT, json={"features": features(churn)})
        main = service.post("/predict", json={"features": features(churn)})

    assert "models/revenue/project.yaml" in status.models[REVENUE]
    assert (broken.status_code, main.status_code) == (503, 200)
    assert "models/revenue/project.yaml" in broken.json()["detail"]


def test_a_broken_model_is_explained_to_those_who_may_predict_only(churn: Settings) -> None:
    (churn.root / "models" / REVENUE / "project.yaml").write_text("target: {}\n")
    closed = churn.model_copy(update={"environment": "production"})

    with TestClient(create_app(closed)) as service:
        answers = [service.post(PREDICT, json={}), service.get(f"/models/{REVENUE}/ready")]
    with TestClient(create_app(churn)) as service:
        known = service.post(PREDICT, json={})
        routes = figures_of(service)["ml_requests_total"]

    assert [each.status_code for each in answers] == [401, 401]
    assert known.status_code == 503
    assert known.json()["detail"].startswith(f"models/{REVENUE}/project.yaml: target.column")
    assert [each for each in routes if f'route="/models/{REVENUE}/{{rest:path}}"' in each]


def test_status_lists_all_models(churn: Settings) -> None:
    said = project_status(churn, contract_of(churn)).models

    assert list(said) == [REVENUE]
    assert "regression of monthly_revenue; champion: version 1" in said[REVENUE]


def test_a_person_is_forgotten_in_what_all_models_hold(churn: Settings) -> None:
    own, other = contract_of(churn), revenue(churn)
    materialize_all(churn, own)
    lakehouse = open_lakehouse(churn)
    rows = lakehouse.read(gold_table(contract_of(other))).limit(1)
    person = str(lakehouse.collect(rows)["customer_id"][0].as_py())
    with TestClient(create_app(churn)) as service:
        service.post(PREDICT, json={"customer_id": person})

    exported = export_person(churn, own, person, churn.root / "person.json")
    done = forget(churn, own, person, yes=True)

    assert {"gold.customer_churn", "gold.customer_churn_revenue"} <= set(done.rows)
    assert (exported.prediction_log, done.prediction_log) == (1, 1)
    assert set(done.online_store) == {"entity_features", "entity_features@revenue"}
    assert done.not_searched == ()


def test_a_person_is_forgotten_in_the_logs_of_a_model_whose_folder_is_gone(
    churn: Settings,
) -> None:
    own, other = contract_of(churn), contract_of(revenue(churn))
    materialize_all(churn, own)
    lakehouse = open_lakehouse(churn)
    rows = lakehouse.read(gold_table(other)).limit(1)
    person = str(lakehouse.collect(rows)["customer_id"][0].as_py())
    with TestClient(create_app(churn)) as service:
        answer = service.post(PREDICT, json={"customer_id": person}).json()
        label = {"prediction_id": answer["prediction_id"], "label": 20.5}
        service.post(f"/models/{REVENUE}/feedback", json=label)
    shutil.rmtree(churn.root / "models" / REVENUE)

    exported = export_person(churn, own, person, churn.root / "person.json")
    done = forget(churn, own, person, yes=True)

    assert (exported.prediction_log, exported.feedback) == (1, 1)
    assert (done.prediction_log, done.feedback) == (1, 1)
    assert "entity_features@revenue" in done.online_store
    assert "gold.customer_churn_revenue" in done.not_searched
    logs = [each for each in (churn.root / "logs").rglob("*") if each.is_file()]
    assert not any(person in each.read_text(errors="replace") for each in logs)


def test_an_erasure_waits_for_a_model_that_cannot_be_read_and_says_so(churn: Settings) -> None:
    (churn.root / "models" / REVENUE / "project.yaml").write_text("problem: [\n")

    with pytest.raises(ContractError, match=r"models/revenue/project\.yaml") as caught:
        forget(churn, contract_of(churn), "C-1", yes=True)
    assert "nobody is forgotten or exported until this is corrected" in caught.value.message
