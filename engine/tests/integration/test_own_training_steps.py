"""Steps of a project in a real training: done once, logged, and able to change what is learned.

All trainings share one lake and one registry, under run ids of their own.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from goldpath import Model, Project, TrainingWork, training
from goldpath.contract import Contract, load_contract
from goldpath.errors import CheckFailedError
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.training.automl import run_automl
from goldpath.jobs.training.reproduction import reproduce
from goldpath.jobs.training.stages import run_stage, run_step, train
from goldpath.jobs.training.work import STAGES, TrainingError
from goldpath.registry.layout import REFERENCE_FILE
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings

from ..conftest import forget_variables, make_project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("own-steps")]

ROWS = 1000
calls: list[str] = []


@dataclass(frozen=True)
class Verdict:
    gain: float
    word: str


def half(work: TrainingWork) -> dict[str, float]:
    """Learn from half of the training rows."""
    calls.append("half")
    rows = work.train_rows
    work.learn_from(rows.sample(frac=0.5, random_state=work.settings.training.seed))
    return {"kept_share": len(work.train_rows) / len(rows)}


def look(work: TrainingWork) -> dict[str, Any]:
    calls.append("look")
    return {"seen_rows": len(work.train_rows), "mood": "calm", "ready": True, "nothing": None}


def judge(work: TrainingWork) -> Verdict:
    calls.append("judge")
    share = work.result_of(half)["kept_share"]
    return Verdict(work.judged.value - work.judged.baseline, f"learned from {share:.0%}")


def tell(work: TrainingWork) -> None:
    calls.append(f"tell {work.result_of(judge).word}")


def team(result: Mapping[str, Any]) -> dict[str, str]:
    return {"team": "retention", "family": result["family"]}


def title(result: Mapping[str, Any]) -> str:
    return f"{result['n_train']} rows, {result['metric']} {result['value']:.2f}"


def recipe(
    before_search: Sequence[Callable[..., Any]] = (half, look),
    after_search: Sequence[Callable[..., Any]] = (),
    at_the_end: Sequence[Callable[..., Any]] = (),
) -> list[Callable[..., Any]]:
    return [
        training.extract,
        training.prepare_features,
        *before_search,
        training.search_and_fit,
        *after_search,
        training.evaluate_candidate,
        training.register_candidate,
        *at_the_end,
    ]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    forget_variables()
    settings = make_project(tmp_path_factory.mktemp("own-steps"))
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, ROWS, 5, {})
    refresh(settings, contract)
    return settings


Make = Callable[..., Settings]


@pytest.fixture
def made(lake: Settings, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Settings of a project with these definitions."""
    monkeypatch.setenv("MLOPS_TRAINING__TRIALS", "2")
    calls.clear()

    def make(**definitions: Any) -> Settings:
        project = Project(models={"churn": partial(Model, **definitions)})
        return load_settings(lake.root, project)

    return make


@pytest.fixture
def contract(lake: Settings) -> Contract:
    return load_contract(lake.root)


def stored(manager: MLflowManager, run_id: str, name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(manager.read_text(run_id, f"stages/{name}.json"))
    return values


def test_own_steps_are_done_logged_and_change_what_is_learned(
    made: Make, contract: Contract, tmp_path: Path
) -> None:
    steps = [*recipe(at_the_end=(tell,))]
    steps.insert(steps.index(training.register_candidate), judge)
    settings = made(training=steps, tags=team, description=title)

    result = train(settings, contract, "whole")

    assert calls == ["half", "look", "judge", "tell learned from 50%"]
    manager = MLflowManager(settings, contract)
    divided = stored(manager, result.run_id, "features")
    assert result.n_train == round(divided["train_rows"] / 2)
    assert result.n_test == divided["test_rows"]
    run = manager.client.get_run(result.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["kept_share"] == pytest.approx(0.5, abs=0.01)
    assert run.data.metrics["seen_rows"] == result.n_train
    assert run.data.metrics["gain"] == pytest.approx(result.value - result.baseline)
    tags = run.data.tags
    assert (tags["mood"], tags["ready"], tags["word"]) == ("calm", "true", "learned from 50%")
    assert "nothing" not in tags
    assert stored(manager, result.run_id, "look")["values"]["nothing"] is None

    version = manager.version(result.model_version)
    assert tags["team"] == version.tags["team"] == "retention"
    assert version.tags["family"] == result.family
    described = manager.client.get_model_version(contract.model_name, version.version)
    assert described.description == f"{result.n_train} rows, roc_auc {result.value:.2f}"

    # Sampled rows are not what the service will see: the drift check compares with the test rows.
    file = manager.download_artifact(result.run_id, REFERENCE_FILE, tmp_path)
    assert len(pd.read_parquet(file)) == result.n_test

    calls.clear()
    assert train(settings, contract, "whole") == result
    assert calls == []


def test_a_step_that_fails_is_named_and_the_training_goes_on_after_it(
    made: Make, contract: Contract
) -> None:
    undisturbed = train(made(training=recipe()), contract, "undisturbed")
    calls.clear()
    broken = [True]

    def stumble(work: TrainingWork) -> dict[str, str]:
        if broken:
            raise ValueError("no such thing")
        return {"winner": work.found.family}

    settings = made(training=recipe(after_search=(stumble,)))
    place = r"test_own_training_steps\.py:\d+: stumble failed in line \d+: ValueError: no such"
    with pytest.raises(ProjectDefinitionError, match=place):
        train(settings, contract, "stumbled")
    manager = MLflowManager(settings, contract)
    assert manager.version_of_run_key("stumbled") is None
    assert calls == ["half", "look"]

    broken.clear()
    result = train(made(training=recipe(after_search=(stumble,))), contract, "stumbled")

    # `half` is called again, since its rows are not stored; what is done is not done twice.
    assert calls == ["half", "look", "half"]
    assert result.predictions_digest == undisturbed.predictions_digest
    assert (result.n_train, result.value) == (undisturbed.n_train, undisturbed.value)
    trials = manager.client.search_runs(
        [manager.experiment_id()], f"tags.`mlflow.parentRunId` = '{result.run_id}'"
    )
    assert len(trials) == 2
    assert manager.client.get_run(result.run_id).data.tags["winner"] == result.family


def test_the_five_stages_do_the_own_steps_too(made: Make, contract: Contract) -> None:
    settings = made(training=recipe(before_search=(half, look), at_the_end=(tell_all,)))
    for stage in STAGES:
        run_stage(settings, contract, stage, "by-stage")
    assert [name for name in calls if name != "half"] == ["look", "tell all"]
    by_stage = train(settings, contract, "by-stage")
    at_once = train(settings, contract, "at-once")
    assert by_stage.predictions_digest == at_once.predictions_digest


def tell_all(work: TrainingWork) -> None:
    calls.append("tell all")


def test_any_step_is_run_by_its_name_in_its_place(made: Make, contract: Contract) -> None:
    settings = made(training=recipe())
    with pytest.raises(TrainingError, match="no step wait") as error:
        run_step(settings, contract, "wait", "one-by-one")
    assert "extract, prepare_features, half, look, search_and_fit" in error.value.fix
    with pytest.raises(TrainingError, match="'extract' of this training was not done"):
        run_step(settings, contract, "half", "one-by-one")
    run_step(settings, contract, "extract", "one-by-one")
    run_step(settings, contract, "prepare_features", "one-by-one")
    with pytest.raises(TrainingError, match="'half' of this training was not done"):
        run_step(settings, contract, "look", "one-by-one")

    first = run_step(settings, contract, "half", "one-by-one")
    assert run_step(settings, contract, "half", "one-by-one") == first
    assert calls == ["half"]

    # A step that is new in the middle of a training would have been left out of its beginning.
    run_step(settings, contract, "look", "one-by-one")
    changed = made(training=recipe(before_search=(half, tell_all, look)))
    with pytest.raises(TrainingError, match="has gone past the step tell_all"):
        run_step(changed, contract, "tell_all", "one-by-one")


def test_rows_that_come_out_otherwise_in_a_later_process_are_refused(
    made: Make, contract: Contract
) -> None:
    seeds = [1, 2]

    def drawn(work: TrainingWork) -> None:
        work.learn_from(work.train_rows.sample(frac=0.5, random_state=seeds.pop(0)))

    settings = made(training=recipe(before_search=(drawn,)))
    for name in ("extract", "prepare_features", "drawn"):
        run_step(settings, contract, name, "unseeded")
    with pytest.raises(TrainingError, match="drawn gives other rows to learn from"):
        run_step(settings, contract, "search_and_fit", "unseeded")


def test_rows_are_replaced_before_the_search_only(made: Make, contract: Contract) -> None:
    def late(work: TrainingWork) -> None:
        work.learn_from(work.train_rows)

    settings = made(training=recipe((), (late,)))
    with pytest.raises(TrainingError, match="late, which does not stand before search_and_fit"):
        train(settings, contract, "late")


def test_a_run_with_own_steps_is_reproduced(made: Make, contract: Contract) -> None:
    settings = made(training=recipe())
    former = train(settings, contract, "former")

    result = reproduce(settings, contract, former.run_id)
    assert (result.reproduced, result.same_rows, result.same_predictions) == (True, True, True)

    def half(work: TrainingWork) -> None:
        work.learn_from(work.train_rows.sample(frac=0.5, random_state=99))

    with pytest.raises(CheckFailedError, match="the rows are not the same"):
        reproduce(made(training=recipe(before_search=(half, look))), contract, former.run_id)
    with pytest.raises(RegistryError, match=r"had the steps half, look .*; now they are none"):
        reproduce(made(), contract, former.run_id)


def test_a_search_of_automl_follows_the_recipe_too(
    made: Make, contract: Contract, tmp_path: Path
) -> None:
    settings = made(training=recipe())
    found = run_automl(settings, contract, trials=2, run_key="searched")
    manager = MLflowManager(settings, contract)
    assert calls == ["half", "look"]
    assert found.n_train == round(stored(manager, found.run_id, "features")["train_rows"] / 2)
    file = manager.download_artifact(found.run_id, REFERENCE_FILE, tmp_path)
    assert len(pd.read_parquet(file)) == found.n_test


@pytest.mark.parametrize(
    ("definitions", "message"),
    [
        ({"tags": lambda result: {"run_key": "mine"}}, "returned run_key, which the engine sets"),
        ({"tags": lambda result: {"rows": result["n_train"]}}, "tags that are not texts by name"),
        ({"tags": lambda result: result["no such value"]}, "failed in line .* KeyError"),
        ({"description": lambda result: None}, "a NoneType as the version's description"),
    ],
)
def test_tags_and_a_description_that_cannot_be_used_leave_no_version(
    made: Make, contract: Contract, definitions: dict[str, Any], message: str
) -> None:
    # One run for all: its search is done once, and each failure leaves it to the next call.
    with pytest.raises(ProjectDefinitionError, match=message):
        train(made(**definitions), contract, "unnamed")
    assert MLflowManager(made(), contract).version_of_run_key("unnamed") is None
