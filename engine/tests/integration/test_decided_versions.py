"""A training draws the line where the settings say, and the version keeps it."""

from collections.abc import Callable

import numpy as np
import pytest

from goldpath.contract import Contract, load_contract
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.training.automl import run_automl
from goldpath.jobs.training.reproduction import reproduce
from goldpath.jobs.training.stages import train
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import read_gold
from goldpath.learning.splitting import split_rows
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.sample.customers import write_sample
from goldpath.settings import DecisionSettings, Settings

from ..conftest import forget_variables, make_project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("decided-versions")]

ROWS = 1500


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    forget_variables()
    settings = make_project(tmp_path_factory.mktemp("decided"))
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, ROWS, 5, {})
    refresh(settings, contract)
    training = settings.training.model_copy(
        update={"trials": 1, "families": ("linear",), "bootstrap_samples": 100, "parity_rows": 1000}
    )
    validation = settings.validation.model_copy(update={"stability_folds": 0})
    return settings.model_copy(update={"training": training, "validation": validation})


def deciding(settings: Settings, metric: str = "", **decision: object) -> Settings:
    training = settings.training.model_copy(update={"metric": metric})
    return settings.model_copy(
        update={"training": training, "decision": DecisionSettings.model_validate(decision)}
    )


def test_a_version_keeps_the_threshold_that_was_tuned_for_the_values(lake: Settings) -> None:
    contract = load_contract(lake.root)
    tuned = deciding(lake, "value", values={"tp": 80, "fp": -10}, tune_for="value")

    after = train(tuned, contract, "tuned")

    assert after.metric == "value"
    assert after.threshold is not None
    assert after.threshold < 0.4, "a call costs an eighth of what it may bring"
    manager = MLflowManager(tuned, contract)
    version = manager.version(after.model_version)
    assert version.tags["decision_threshold"] == f"{after.threshold:.9g}"
    for model in (manager.load(version), manager.load_for_serving(version)):
        assert model.contract.decision_threshold == after.threshold
    assert reproduce(tuned, contract, after.run_id).same_predictions


@pytest.mark.parametrize("search", [train, run_automl], ids=["train", "automl"])
def test_by_capacity_that_share_of_new_rows_is_decided(
    lake: Settings, search: Callable[..., object]
) -> None:
    contract: Contract = load_contract(lake.root)
    settings = deciding(lake, capacity=0.1)
    run = f"capacity-{search.__name__}"
    if search is train:
        train(settings, contract, run)
    else:
        run_automl(settings, contract, trials=2, processes=1, run_key=run)
    manager = MLflowManager(settings, contract)
    version = manager.version_of_run_key(run)
    assert version is not None
    model = manager.load(version)
    gold = read_gold(open_lakehouse(lake), contract)
    test = split_rows(gold, contract, settings.training).test

    found = model.predict(test)

    positive = np.array(found.values) == contract.target.positive
    assert 0.04 < positive.mean() < 0.2
    assert (positive == (np.array(found.scores) > model.contract.decision_threshold)).all()
