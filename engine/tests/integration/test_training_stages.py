"""The stages of a training one by one: each once, each refusing what it must."""

import json
from pathlib import Path

import pandas as pd
import pytest

from goldpath.contract import dump_contract, load_contract
from goldpath.errors import CheckFailedError
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.training.deployment import deploy, smoke_test
from goldpath.jobs.training.reproduction import reproduce
from goldpath.jobs.training.results import Extracted
from goldpath.jobs.training.stages import run_stage, train
from goldpath.jobs.training.work import TrainingError
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings

from ..conftest import Trained, make_project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trained")]

STAGES = ("extract", "features", "train", "evaluate", "register")


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MLOPS_TRAINING__TRIALS", "2")
    settings = make_project(tmp_path)
    contract = load_contract(tmp_path)
    write_sample(settings.root / contract.source.path, 1500, 5, {})
    refresh(settings, contract)
    return settings


def test_stages_one_by_one_give_what_train_gives(prepared: Settings) -> None:
    contract = load_contract(prepared.root)
    for stage in STAGES:
        run_stage(prepared, contract, stage, "by-hand")
    by_hand = train(prepared, contract, "by-hand")
    at_once = train(prepared, contract, "at-once")
    assert by_hand.model_version == "1"
    assert at_once.model_version == "2"
    assert by_hand.predictions_digest == at_once.predictions_digest
    assert by_hand.value == pytest.approx(at_once.value, abs=1e-12)


def test_a_stage_that_is_done_returns_what_it_did(prepared: Settings) -> None:
    contract = load_contract(prepared.root)
    first = run_stage(prepared, contract, "extract", "twice")
    assert isinstance(first, Extracted)
    write_sample(prepared.root / contract.source.path, 1600, 6, {})
    assert refresh(prepared, contract).gold_snapshot != first.snapshot_id
    # New data has come, but this training keeps the snapshot that it pinned.
    assert run_stage(prepared, contract, "extract", "twice") == first


def test_a_stage_without_the_former_ones_names_them(prepared: Settings) -> None:
    contract = load_contract(prepared.root)
    with pytest.raises(TrainingError, match=r"'extract'.*was not done"):
        run_stage(prepared, contract, "features", "no-extract")
    run_stage(prepared, contract, "extract", "no-train")
    with pytest.raises(TrainingError, match=r"'train'.*was not done"):
        run_stage(prepared, contract, "evaluate", "no-train")


def test_a_run_is_reproduced_also_after_new_data(prepared: Settings) -> None:
    contract = load_contract(prepared.root)
    former = train(prepared, contract, "former")
    write_sample(prepared.root / contract.source.path, 2500, 6, {})
    refresh(prepared, contract)
    result = reproduce(prepared, contract, former.run_id)
    assert result.same_rows
    assert result.value == pytest.approx(former.value, abs=1e-9)


def test_each_trial_is_a_child_run(prepared: Settings) -> None:
    contract = load_contract(prepared.root)
    result = train(prepared, contract, "children")
    client = MLflowManager(prepared, contract).client
    experiment = client.get_experiment_by_name(contract.dataset)
    children = client.search_runs(
        [experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{result.run_id}'"
    )
    assert sorted(child.info.run_name for child in children) == ["trial-000", "trial-001"]
    families = {child.data.params["family"] for child in children}
    assert families == {"boosting", "linear"}
    folds = client.get_metric_history(children[0].info.run_id, "fold_roc_auc")
    assert len(folds) == prepared.training.cv_folds


def test_rows_of_the_future_are_refused(prepared: Settings) -> None:
    contract = load_contract(prepared.root)
    assert contract.event_time is not None
    file = prepared.root / contract.source.path
    rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    rows.loc[5:7, contract.event_time.column] = "2199-01-01 00:00:00"
    rows.to_csv(file, index=False)
    refresh(prepared, contract)
    with pytest.raises(CheckFailedError, match=r"lie in the future.*2199"):
        train(prepared, contract)


def test_a_delivery_that_is_mostly_quarantined_is_refused(
    prepared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_TRAINING__MAXIMUM_QUARANTINE_SHARE", "0.001")
    settings, contract = load_settings(prepared.root), load_contract(prepared.root)
    with pytest.raises(CheckFailedError, match=r"in quarantine; at most 0%"):
        train(settings, contract)


def test_a_former_run_is_reproduced(trained: Trained) -> None:
    result = reproduce(trained.settings, trained.contract, trained.candidate.run_id)
    assert result.reproduced
    assert (result.same_rows, result.same_choice, result.same_predictions) == (True, True, True)
    assert result.other_libraries == ()
    assert result.value == pytest.approx(trained.candidate.value, abs=1e-9)


def test_a_reproduction_that_differs_says_so(trained: Trained) -> None:
    manager = MLflowManager(trained.settings, trained.contract)
    run_id = trained.candidate.run_id
    stage = manager.read_text(run_id, "stages/evaluate.json")
    altered = {**json.loads(stage), "value": 0.5}
    manager.log_text(run_id, json.dumps(altered), "stages/evaluate.json")
    try:
        with pytest.raises(CheckFailedError, match=r"roc_auc was 0\.5000000000 and is 0\.8"):
            reproduce(trained.settings, trained.contract, "1")
    finally:
        manager.log_text(run_id, stage, "stages/evaluate.json")


def test_a_run_that_is_no_training_cannot_be_reproduced(trained: Trained) -> None:
    manager = MLflowManager(trained.settings, trained.contract)
    other = manager.client.create_run(manager.experiment_id()).info.run_id
    with pytest.raises(RegistryError, match=r"no finished training: it lacks extract"):
        reproduce(trained.settings, trained.contract, other)


def test_the_service_answers_as_the_candidate_does(trained: Trained) -> None:
    manager = MLflowManager(trained.settings, trained.contract)
    candidate = manager.version(trained.candidate.model_version)
    manager.set_alias("staging", candidate.version)
    result = smoke_test(trained.settings, trained.contract, manager, candidate)
    assert result.rows == 20
    assert result.largest_difference <= 1e-9


def test_a_candidate_that_cannot_serve_does_not_become_champion(
    prepared: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = load_contract(prepared.root)
    train(prepared, contract, "good")
    assert deploy(prepared, contract).promoted
    train(prepared, contract, "second")
    # The service checks that a model fits the requests; here the requests changed meanwhile.
    file = prepared.root / "config" / "project.yaml"
    text = file.read_text(encoding="utf-8")
    features = [feature for feature in contract.features if feature.name != "age"]
    changed = contract.model_copy(update={"features": tuple(features)})
    file.write_text(dump_contract(changed), encoding="utf-8")
    try:
        with pytest.raises(CheckFailedError, match=r"failed its smoke test.*another contract"):
            deploy(prepared, changed, "2")
    finally:
        file.write_text(text, encoding="utf-8")
    champion = MLflowManager(prepared, contract).champion_version()
    assert champion is not None
    assert champion.version == "1"
