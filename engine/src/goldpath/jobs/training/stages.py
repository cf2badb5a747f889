"""A training from its recipe: the engine's five steps, and a project's own between them.

`train` does them all. One by one they are commands and Airflow's tasks, under the names extract,
features, train, evaluate and register; the sixth is `deployment.deploy`. A stage begins with the
project's own steps that stand before it, so that a schedule of the five names does the whole
recipe; register also does those after it.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from goldpath.contract import Contract
from goldpath.features.learned import learned_contract
from goldpath.jobs.step_order import Step, checked_steps
from goldpath.jobs.training.inputs import inputs_digest
from goldpath.jobs.training.own_result import as_returned, log_values, plain_values
from goldpath.jobs.training.record import logged_result
from goldpath.jobs.training.results import (
    Divided,
    Extracted,
    Found,
    Judged,
    OwnResult,
    TrainingResult,
)
from goldpath.jobs.training.steps import (
    evaluate_candidate,
    extract,
    prepare_features,
    register_candidate,
    search_and_fit,
)
from goldpath.jobs.training.work import (
    STAGES,
    TrainingError,
    TrainingWork,
    not_done,
    only_process,
)
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.registry.layout import RUN_KEY
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.training_run import INPUTS, find_run, open_run, unfinished_run
from goldpath.settings import Settings

STEPS: tuple[Step, ...] = (
    extract,
    prepare_features,
    search_and_fit,
    evaluate_candidate,
    register_candidate,
)
STAGE_OF = dict(zip(STEPS, STAGES, strict=True))
DEPLOY = "deploy"

StageResult = Extracted | Divided | Found | Judged | TrainingResult


def training_steps(settings: Settings) -> tuple[Step, ...]:
    """The recipe: the project's, or the engine's own steps.

    Raises:
        ProjectDefinitionError: If a step is missing, misplaced or cannot be used.
    """
    handed_over = settings.project.definitions.training
    return checked_steps(handed_over, STEPS, "training", {*STAGES, DEPLOY})


def preparing_steps(settings: Settings) -> tuple[Step, ...]:
    """The project's own steps before the search, which may change what is learned from."""
    steps = training_steps(settings)
    return tuple(each for each in steps[: steps.index(search_and_fit)] if each not in STAGE_OF)


@uses_rows
def train(settings: Settings, contract: Contract, run_key: str | None = None) -> TrainingResult:
    """Do a training's recipe: search, evaluate and register a candidate.

    Args:
        settings: Its `training` section, and the project with the recipe.
        contract: What a row is.
        run_key: Name of this run. A second call with it goes on where the first one stopped;
            where it was registered, its result comes back. Without a name, a run with the same
            data, contract and settings that was killed is taken up again.

    Raises:
        CheckFailedError: If a feature gives the target away, or the data is not fit.
        NotEnoughDataError: If there are too few rows.
        TrainingError: If another process is at the same run.
        ProjectDefinitionError: If the recipe or a step of the project cannot be used.
    """
    manager = MLflowManager(settings, contract)
    ends_with_the_version = training_steps(settings)[-1] is register_candidate
    if run_key and ends_with_the_version and (existing := manager.version_of_run_key(run_key)):
        step(f"run {run_key} registered version {existing.version} already")
        return logged_result(settings, manager, existing)
    work = open_work(settings, contract, manager, run_key)
    with only_process(settings, work.run), work.run.marked():
        return run_recipe(work)


@uses_rows
def run_stage(settings: Settings, contract: Contract, stage: str, run_key: str) -> StageResult:
    """One stage in a process of its own; what it did before comes back.

    Args:
        settings: Its `training` section, and the project with the recipe.
        contract: What a row is.
        stage: extract, features, train, evaluate or register.
        run_key: The training's name, the same for all of its stages.

    Raises:
        TrainingError: If a former stage is missing.
        ProjectDefinitionError: If the recipe or a step of the project cannot be used.
    """
    steps = training_steps(settings)
    engine_step = STEPS[STAGES.index(stage)]
    place = steps.index(engine_step)
    first = place
    while first > 0 and steps[first - 1] not in STAGE_OF:
        first -= 1
    work = open_work(settings, contract, MLflowManager(settings, contract), run_key)
    with only_process(settings, work.run), work.run.marked():
        for own_step in steps[first:place]:
            run_own_step(work, steps, own_step)
        result: StageResult = engine_step(work)
        for own_step in steps[place + 1 :] if engine_step is register_candidate else ():
            run_own_step(work, steps, own_step)
        return result


@uses_rows
def run_step(settings: Settings, contract: Contract, name: str, run_key: str) -> Any:
    """One step of the recipe in a process of its own; what it did before comes back.

    Args:
        settings: Its `training` section, and the project with the recipe.
        contract: What a row is.
        name: The function's name.
        run_key: The training's name, the same for all of its steps.

    Raises:
        TrainingError: If there is no such step, or a former one is missing.
        ProjectDefinitionError: If the recipe or a step of the project cannot be used.
    """
    steps = training_steps(settings)
    found = next((each for each in steps if each.__name__ == name), None)
    if found is None:
        raise TrainingError(
            f"the training has no step {name}",
            f"its steps are {', '.join(each.__name__ for each in steps)}",
        )
    work = open_work(settings, contract, MLflowManager(settings, contract), run_key)
    with only_process(settings, work.run), work.run.marked():
        return found(work) if found in STAGE_OF else run_own_step(work, steps, found)


def run_recipe(
    work: TrainingWork, search: Callable[[TrainingWork], Found] = search_and_fit
) -> TrainingResult:
    """Every step of the recipe in its order.

    Args:
        work: The training.
        search: What stands in the place of `search_and_fit`.
    """
    steps = training_steps(work.settings)
    for each in steps[: steps.index(register_candidate)]:
        if each is search_and_fit:
            search(work)
        elif each in STAGE_OF:
            each(work)
        else:
            run_own_step(work, steps, each)
    result = register_candidate(work)
    for each in steps[steps.index(register_candidate) + 1 :]:
        run_own_step(work, steps, each)
    return result


def run_own_step(work: TrainingWork, steps: tuple[Step, ...], own_step: Step) -> Any:
    """A step of the project's own: done once in a training, then stored and logged.

    Numbers that it returns become metrics of the MLflow run under their names, texts and truth
    values become tags; None is stored only. The whole is stored under the function's name.

    Raises:
        TrainingError: If a former step is missing, or a later one is done.
        ProjectDefinitionError: If it failed, or returned what cannot be stored.
    """
    name, run = own_step.__name__, work.run
    if stored := run.stage(name, OwnResult):
        return as_returned(own_step, stored.values)
    place = steps.index(own_step)
    for former in steps[:place]:
        if not _is_done(work, former):
            raise not_done(STAGE_OF.get(former, former.__name__))
    if any(_is_done(work, later) for later in steps[place + 1 :]):
        raise TrainingError(
            f"this training has gone past the step {name}",
            "the steps of Model(training=…) were changed: start another training (another "
            "--run-id)",
        )
    step(f"{name}: a step of this project")
    if follows := place > steps.index(register_candidate):
        run.reopen()  # so that a call without a run id takes up what fails here
    returned, learned = work.call(own_step)
    values = plain_values(own_step, returned)
    log_values(work.manager, run.run_id, values or {})
    run.finish_stage(name, OwnResult(values, learned))
    if follows and own_step is steps[-1]:
        work.manager.finish_run(run.run_id)
    return returned


def open_work(
    settings: Settings, contract: Contract, manager: MLflowManager, run_key: str | None
) -> TrainingWork:
    """The training of this name, new or already begun."""
    contract = learned_contract(settings, contract)
    snapshot = gold_snapshot(open_lakehouse(settings), contract)
    preparing = preparing_steps(settings)
    digest = inputs_digest(settings, contract, snapshot.snapshot_id, preparing)
    run = find_run(manager, run_key) if run_key else unfinished_run(manager, digest)
    if run is not None:
        step(f"going on with the training {run.run_id}")
    else:
        key = run_key or f"local-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        run = open_run(manager, key, {INPUTS: digest})
    return TrainingWork(settings, contract, manager, run, preparing)


def _is_done(work: TrainingWork, each: Step) -> bool:
    if each is register_candidate:
        return work.manager.version_of_run_key(work.run.tags[RUN_KEY]) is not None
    return work.run.is_done(STAGE_OF.get(each, each.__name__))
