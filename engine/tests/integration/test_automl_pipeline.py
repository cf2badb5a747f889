"""AutoML on the gold table: a candidate like any other, found by a search within a budget."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from goldpath.contract import load_contract
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.training.automl import AutoMLTraining, run_automl
from goldpath.jobs.training.automl_store import stored_held_out
from goldpath.jobs.training.reproduction import reproduce
from goldpath.jobs.training.stages import run_stage
from goldpath.registry.layout import REFERENCE_FILE
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings

from ..conftest import forget_variables, make_project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("automl-pipeline")]

KEY = "searched"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, AutoMLTraining]:
    forget_variables()
    settings = make_project(tmp_path_factory.mktemp("searched"))
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, 1200, 5, {})
    refresh(settings, contract)
    # Configurations instead of seconds, so that nothing here depends on the machine.
    return settings, run_automl(settings, contract, trials=4, run_key=KEY)


def test_the_candidate_beats_the_baseline_on_rows_it_never_saw(
    searched: tuple[Settings, AutoMLTraining],
) -> None:
    _, found = searched
    assert found.value > found.baseline + 0.1
    assert found.configurations == 4
    assert sum(found.ensemble.values()) == pytest.approx(1, abs=0.01)
    assert found.split.startswith("by time")
    assert found.held_out[0] >= found.held_out[1] - 1e-9


def test_the_registered_ensemble_is_signed_loads_and_predicts_as_it_was_judged(
    searched: tuple[Settings, AutoMLTraining],
) -> None:
    settings, found = searched
    contract = load_contract(settings.root)
    manager = MLflowManager(settings, contract)
    version = manager.version(found.model_version)
    assert manager.verify_signature(version).subject == contract.model_name
    model = manager.load(version)
    rows = [{feature.name: feature.example for feature in contract.features}] * 3
    alone, together = model.predict(rows[:1]), model.predict(rows)
    assert together.scores == pytest.approx(alone.scores * 3, abs=1e-9)


def test_the_drift_reference_holds_predictions_of_unseen_rows(
    searched: tuple[Settings, AutoMLTraining], tmp_path: Path
) -> None:
    settings, found = searched
    manager = MLflowManager(settings, load_contract(settings.root))
    known = stored_held_out(manager, found.run_id, load_contract(settings.root))
    reference = pd.read_parquet(manager.download_artifact(found.run_id, REFERENCE_FILE, tmp_path))
    assert len(reference) == len(known)
    assert np.allclose(np.sort(reference["prediction"]), np.sort(known))
    # With time the older rows are learnt from only, so no model can judge them unseen.
    assert 0.2 * found.n_train < len(known) < found.n_train


def test_a_second_call_changes_nothing(searched: tuple[Settings, AutoMLTraining]) -> None:
    settings, found = searched
    assert run_automl(settings, load_contract(settings.root), trials=4, run_key=KEY) == found


def test_a_later_process_goes_on_with_the_stored_ensemble(
    searched: tuple[Settings, AutoMLTraining],
) -> None:
    settings, found = searched
    contract = load_contract(settings.root)
    for stage in ("extract", "features", "train", "evaluate"):
        done = run_stage(settings, contract, stage, KEY)
        assert done is not None
    other = run_automl(settings, contract, trials=4, run_key="again")
    # No clock decides anything: the same configurations give the same model.
    assert other.value == pytest.approx(found.value, abs=1e-9)
    assert other.model_version != found.model_version


def test_the_report_and_every_configuration_are_in_mlflow(
    searched: tuple[Settings, AutoMLTraining],
) -> None:
    settings, found = searched
    manager = MLflowManager(settings, load_contract(settings.root))
    assert (settings.root / found.report).is_file()
    said = json.loads(manager.read_text(found.run_id, "automl/automl.json"))
    assert len(said["leaderboard"]) == 4
    assert said["rows_seen"] is False
    assert said["judged_on"] == "rows newer than those learned from"
    children = manager.client.search_runs(
        [manager.experiment_id()], f"tags.`mlflow.parentRunId` = '{found.run_id}'"
    )
    assert len(children) == 4


def test_a_search_is_not_rebuilt_as_if_it_were_a_training(
    searched: tuple[Settings, AutoMLTraining],
) -> None:
    settings, found = searched
    with pytest.raises(RegistryError, match="AutoML"):
        reproduce(settings, load_contract(settings.root), found.run_id)
