"""A file without a target: adopted, segmented, gated, served, scored in batches, watched."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from goldpath.adoption.column_profile import AdoptionError
from goldpath.contract import Contract, load_contract
from goldpath.errors import CheckFailedError, NotEnoughDataError
from goldpath.jobs.answer_fields import answered_segments
from goldpath.jobs.batch.files import predict_file
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.adoption import adopt_file
from goldpath.jobs.data.refresh import refresh, refresh_all
from goldpath.jobs.data.report import write_data_report
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.drift.live_performance import live_performance
from goldpath.jobs.models.addition import add_model
from goldpath.jobs.own_definitions import check_definitions
from goldpath.jobs.promotion.promote import promote
from goldpath.jobs.training.automl import run_automl
from goldpath.jobs.training.reproduction import reproduce
from goldpath.jobs.training.results import TrainingResult
from goldpath.jobs.training.segment_search import find_best
from goldpath.jobs.training.stages import train
from goldpath.jobs.training.work import TrainingError
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.serving.api import create_service
from goldpath.serving.automl.bodies import TrainBody
from goldpath.serving.automl.desk import Desk
from goldpath.serving.http.problem_error import ProblemError
from goldpath.settings import Settings, load_settings

from ..api.conftest import until
from ..api.examples import TestClient
from ..conftest import forget_variables
from ..prepared_projects import PreparedProjects
from ..ready_made import add_ready_made
from ..segment_rows import grouped, shapeless

ROWS = 1_200
SEGMENTS = {"segment_1", "segment_2", "segment_3", "segment_4"}


@pytest.fixture
def few_numbers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two to five segments are tried, for whoever loads the settings."""
    monkeypatch.setenv("MLOPS_TRAINING__CLUSTERS", "[2, 5]")
    yield
    forget_variables()


def adopted_rows(settings: Settings, rows: pd.DataFrame, entity: str | None) -> Contract:
    """The rows in the lake, by a contract that was inferred from them."""
    add_ready_made(settings)
    file = settings.root / "customers.csv"
    rows.to_csv(file, index=False)
    adopt_file(settings, file, "", entity, None, "clustering")
    contract = load_contract(settings.root)
    refresh(settings, contract)
    return contract


@dataclass(frozen=True)
class Trained:
    """The version that is champion, and a later one with a name of the owner's."""

    first: TrainingResult
    second: TrainingResult


def segmented(settings: Settings) -> Trained:
    """Adopt four known groups, find them, promote the version, and train again."""
    own = load_settings(settings.root)
    contract = adopted_rows(own, grouped(ROWS)[0], "customer")
    first = train(own, contract, "first")
    promote(own, contract, first.model_version)
    more = {"seed": 7, "segment_names": {2: "loyal"}}
    training = own.training.model_copy(update=more)
    second = train(own.model_copy(update={"training": training}), contract, "second")
    return Trained(first, second)


def classified_and_segmented(settings: Settings) -> Trained:
    """A main model that predicts who stays, and one of the same rows that groups them."""
    own = load_settings(settings.root)
    add_ready_made(own)
    rows, kinds = grouped(ROWS)
    file = own.root / "customers.csv"
    labels = (kinds + np.random.default_rng(3).integers(0, 3, len(kinds))) % 2
    rows.assign(stays=np.where(labels, "yes", "no")).to_csv(file, index=False)
    adopt_file(own, file, "stays", "customer", None, "classification")
    (own.root / "config" / "decision.yaml").write_text("threshold: 0.4\n")
    main = own.root / "config" / "project.yaml"
    main.write_text(f"{main.read_text()}fairness_groups: [plan]\n")
    own = load_settings(settings.root)
    with pytest.raises(AdoptionError, match="TARGET=tenure and PROBLEM=clustering"):
        add_model(own, "groups", "tenure", "clustering")
    added = add_model(own, "groups", "", "clustering")
    said = " ".join(added.notes)
    assert "models/groups/decision.yaml undoes threshold" in said
    assert "fairness_groups without plan: they compare labels" in said
    refresh_all(own, load_contract(own.root))
    groups = load_settings(own.root, own.whole_project, "groups")
    contract = load_contract(own.root, "groups")
    assert "stays" not in contract.feature_names, "a segment must not be the label"
    first = train(groups, contract, "first")
    promote(groups, contract, first.model_version)
    return Trained(first, first)


@pytest.fixture
def project_with_segments(
    few_numbers: None, prepared_projects: PreparedProjects
) -> tuple[Settings, Trained]:
    settings, result = prepared_projects.restore(segmented)
    return load_settings(settings.root), result


def test_the_groups_are_found_described_and_promoted(
    project_with_segments: tuple[Settings, Trained],
) -> None:
    settings, trained = project_with_segments
    result = trained.first
    assert (result.problem_type, result.metric) == ("clustering", "stability")
    assert result.segments is not None
    assert len(result.segments) == 4
    assert result.value > 0.95 > result.baseline
    gate = json.loads((settings.reports / "validation.json").read_text())
    passed = {each["name"]: each["status"] for each in gate["results"]}
    for name in ("stable", "large enough", "more than noise"):
        assert passed[f"segments are {name}"] == "passed"
    assert "beats the baseline" not in passed
    page = (settings.reports / "segments.html").read_text()
    assert "segment_1" in page
    assert "high visits" in page
    assert "segment_names: {1: loyal}" in page
    values = json.loads((settings.reports / "segments.json").read_text())
    assert [each[0] for each in values["tried"]] == [2, 3, 4, 5]
    card = (settings.reports / "model_card.md").read_text()
    assert "## Segments" in card
    assert "tells which segment of similar rows a row belongs to" in card
    report = write_data_report(settings, load_contract(settings.root)).page
    assert "tenure" in (settings.root / report).read_text()
    checked = check_definitions(settings, load_contract(settings.root))
    assert (list(checked.families), checked.metric) == (["segments"], "stability")


def test_the_service_tells_the_segment_and_takes_no_labels(
    project_with_segments: tuple[Settings, Trained], caplog: pytest.LogCaptureFixture
) -> None:
    settings, _ = project_with_segments
    new, kinds = grouped(250, seed=9)
    rows = json.loads(new.drop(columns="customer").to_json(orient="records"))
    with TestClient(create_service(settings, load_contract(settings.root))) as client:
        until(lambda: client.get("/ready").status_code == 200)
        facts = client.get("/model").json()
        assert (facts["problem"], set(facts["classes"])) == ("clustering", SEGMENTS)
        assert facts["engine"] == "encoder", "rows are encoded without pandas"
        one = client.post("/predict", json={"features": rows[0]}).json()
        assert one["prediction"] in SEGMENTS
        assert sum(one["probabilities"].values()) == pytest.approx(1)
        many = client.post("/predict/batch", json={"instances": rows}).json()["predictions"]
        told = [each["prediction"] for each in many]
        assert told[0] == one["prediction"]
        assert adjusted_rand_score(kinds, told) >= 0.95
        label = {"prediction_id": one["prediction_id"], "label": "segment_1"}
        for path, body in (("/feedback", label), ("/feedback/batch", {"labels": [label]})):
            refused = client.post(path, json=body)
            assert refused.status_code == 409
            assert "a segmentation has no labels" in refused.json()["detail"]
        assert client.post("/explain", json={"features": rows[0]}).status_code == 200
        assert client.get("/openapi.json").status_code == 200
        assert facts["target"] == "", "no column is predicted"
        assert "<strong>the segment of similar rows</strong> (clustering)" in client.get("/").text
        counted = client.get("/metrics").text
        assert counted.count("ml_predictions_total{") == len(SEGMENTS)
        assert not [each for each in caplog.records if "lane failed" in each.message]
    contract = load_contract(settings.root)
    served = check_drift(settings, contract, None, html=False, source="service")
    assert (served.verdict, served.rows) == ("ok", 251)
    with pytest.raises(NotEnoughDataError, match="has no labels, so there is no live performance"):
        live_performance(settings, contract)


def test_batches_and_drift_checks_tell_segments(
    project_with_segments: tuple[Settings, Trained],
) -> None:
    settings, _ = project_with_segments
    contract = load_contract(settings.root)
    new, kinds = grouped(400, seed=11)
    file, typed = settings.root / "new.csv", settings.root / "new.parquet"
    new.to_csv(file, index=False)
    new.to_parquet(typed, index=False)
    assert predict_batch(settings, contract).rows == ROWS
    assert predict_batch(settings, contract, file).rows == 400
    scored = settings.root / "scored.parquet"
    assert predict_file(settings, contract, typed, scored).rows == 400
    assert adjusted_rand_score(kinds, pd.read_parquet(scored)["prediction"]) >= 0.95
    assert check_drift(settings, contract, file, html=False).verdict == "ok"
    new.loc[kinds != 2].to_csv(file, index=False)  # one kind of customers is gone
    gone = check_drift(settings, contract, file, html=False)
    assert gone.verdict == "drift"
    assert "prediction" in gone.drifted_columns


def test_a_retraining_keeps_numbers_and_takes_the_owners_names(
    project_with_segments: tuple[Settings, Trained],
) -> None:
    settings, trained = project_with_segments
    first, second = trained.first, trained.second
    contract = load_contract(settings.root)
    manager = MLflowManager(settings, contract)
    assert second.segments == {1: "segment_1", 2: "loyal", 3: "segment_3", 4: "segment_4"}
    given = manager.version(second.model_version).tags["highest_segment"]
    assert given == "4", "a later training begins above it"
    assert second.semantic_version == "2.0.0", "an answer that is called otherwise breaks callers"
    before, after = (manager.load(manager.version(each.model_version)) for each in (first, second))
    rows = grouped(300, seed=3)[0]
    renamed = [
        {"segment_2": "loyal"}.get(str(label), label) for label in before.predict(rows).values
    ]
    assert renamed == after.predict(rows).values
    assert (before.contract.segments or {})[2] == "segment_2", "a signed version keeps its names"
    card = (settings.reports / "model_card.md").read_text()
    assert "agreement with the champion" in card
    run = manager.client.get_run(manager.version(first.model_version).run_id)
    assert run.data.params["search_trials"] == "4", "one for each number of segments"
    asked = {"thresholds": {"smallest_share": 0.3}}  # today's limits would choose otherwise
    stricter = settings.validation.model_copy(update=asked)
    today = settings.model_copy(update={"validation": stricter})
    assert reproduce(today, contract, first.model_version).reproduced


def test_another_number_of_segments_is_not_reproduced(
    project_with_segments: tuple[Settings, Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, trained = project_with_segments

    def two(*given: Any, **more: Any) -> Any:
        return replace(find_best(*given, **more), parameters={"clusters": 2})

    monkeypatch.setattr("goldpath.jobs.training.reproduction.find_best", two)
    with pytest.raises(CheckFailedError, match="the search chose another number of segments"):
        reproduce(settings, load_contract(settings.root), trained.first.model_version)


def test_what_needs_a_target_says_so(project_with_segments: tuple[Settings, Trained]) -> None:
    settings, _ = project_with_segments
    contract = load_contract(settings.root)
    with pytest.raises(TrainingError, match="problem: clustering has none"):
        run_automl(settings, contract, trials=1)
    with pytest.raises(ProblemError, match="problem: clustering has none") as refused:
        Desk(settings, contract).start(TrainBody(trials=1))
    assert refused.value.status_code == 422


def test_answer_fields_are_tried_with_the_champions_segments(
    project_with_segments: tuple[Settings, Trained],
) -> None:
    settings, _ = project_with_segments
    contract = load_contract(settings.root)
    assert set((answered_segments(settings, contract) or {}).values()) == SEGMENTS
    assert "2 to 5" in check_definitions(settings, contract).families["segments"]


@pytest.mark.usefixtures("few_numbers")
def test_rows_without_groups_are_refused_by_the_gate(project: Settings) -> None:
    settings = load_settings(project.root)
    contract = adopted_rows(settings, shapeless(ROWS), None)
    result = train(settings, contract, "noise")
    with pytest.raises(CheckFailedError, match="segments are more than noise") as caught:
        promote(settings, contract, result.model_version)
    assert "these rows fall into no groups" in caught.value.message


def test_segments_are_a_further_model_of_labelled_rows(
    few_numbers: None, prepared_projects: PreparedProjects
) -> None:
    settings, _ = prepared_projects.restore(classified_and_segmented)
    settings = load_settings(settings.root, settings.whole_project, "groups")
    contract = load_contract(settings.root, "groups")
    assert predict_batch(settings, contract, run_id="of-segments").rows == ROWS
    new, kinds = grouped(250, seed=9)
    rows = json.loads(new.drop(columns="customer").to_json(orient="records"))
    main = load_settings(settings.root)
    with TestClient(create_service(main, load_contract(main.root))) as client:
        url = "/models/groups/predict/batch"
        until(lambda: client.get("/models/groups/ready").status_code == 200)
        many = client.post(url, json={"instances": rows}).json()["predictions"]
    assert adjusted_rand_score(kinds, [each["prediction"] for each in many]) >= 0.95
