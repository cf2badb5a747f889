"""A training that is killed at any moment, and called again, registers exactly one version."""

import os
import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from goldpath.contract import Contract, load_contract
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.training.stages import train
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings

from ..conftest import make_project
from ..counts import times
from ..killed_work import KILLED, killed_work

pytestmark = pytest.mark.slow

KILLS = times(4, 10)
TRIALS = "6"
IMPORTS = """
from goldpath.jobs.training.stages import train
import duckdb, ibis, mlflow, mlflow.sklearn, optuna, skops.io
import sklearn.ensemble, sklearn.pipeline, matplotlib.figure
import pyiceberg.catalog.sql, pyiceberg.io.pyarrow
ibis.duckdb
"""


def versions(settings: Settings, contract: Contract) -> list[str]:
    client = MLflowManager(settings, contract).client
    found = client.search_model_versions(f"name = '{contract.model_name}'")
    return [str(version.version) for version in found]


def new_project(root: Path) -> tuple[Settings, Contract]:
    # MLflow exports the former project's registry to whatever this process starts or reads.
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    settings = make_project(root)
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, 1500, 7, {})
    refresh(settings, contract)
    return settings, contract


@pytest.mark.soak
def test_kills_leave_one_version_and_the_same_model(tmp_path: Path) -> None:
    variables = {"MLOPS_TRAINING__TRIALS": TRIALS}
    with killed_work(IMPORTS, 'train(settings, contract, "night")', variables) as trainer:
        settings, contract = new_project(tmp_path / "undisturbed")
        assert trainer.run(settings.root) == 0
        undisturbed = train(settings, contract, "night")

        moments = random.Random(20261121)
        kills, hit, projects = 0, 0, 0
        while hit < KILLS and kills < 3 * KILLS:
            settings, contract = new_project(tmp_path / f"killed-{projects}")
            projects += 1
            # A first run makes MLflow's database, which takes longer than the training.
            duration = 4.0
            for _ in range(5):
                started = time.perf_counter()
                code = trainer.run(settings.root, moments.uniform(0.2, duration))
                duration = max(duration, time.perf_counter() - started)
                kills += 1
                hit += code == KILLED
                assert len(versions(settings, contract)) <= 1
            assert trainer.run(settings.root) == 0
            result = train(settings, contract, "night")
            assert versions(settings, contract) == ["1"]
            same = replace(
                result, run_id=undisturbed.run_id, gold_snapshot=undisturbed.gold_snapshot
            )
            assert same == undisturbed
            loaded = MLflowManager(settings, contract)
            assert loaded.load(loaded.version("1")).predict([dict.fromkeys(contract.feature_names)])
    assert hit >= KILLS, f"only {hit} of {kills} trainings were hit"


def test_without_a_name_a_killed_training_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_TRAINING__TRIALS", "3")
    new_project(tmp_path)
    settings, contract = load_settings(tmp_path), load_contract(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "goldpath.jobs.training.record.write_evaluation",
            interrupted,
        )
        with pytest.raises(KeyboardInterrupt):
            train(settings, contract)
    client = MLflowManager(settings, contract).client
    experiment = client.get_experiment_by_name(contract.dataset)
    runs = client.search_runs([experiment.experiment_id], "tags.inputs_digest != ''")
    assert [run.info.status for run in runs] == ["KILLED"]

    result = train(settings, contract)
    assert result.run_id == runs[0].info.run_id
    assert versions(settings, contract) == ["1"]
    # A finished training is not taken up: the next call is a new one.
    assert train(settings, contract).run_id != result.run_id


def interrupted(_: object) -> None:
    raise KeyboardInterrupt
