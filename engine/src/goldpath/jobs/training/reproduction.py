"""Rebuild a former training from what it logged, and compare rows, search and model."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from goldpath.contract import Contract, parse_contract
from goldpath.errors import CheckFailedError
from goldpath.jobs.training.checks import rows_digest
from goldpath.jobs.training.inputs import FLOORS, INPUTS_FILE, library_versions
from goldpath.jobs.training.record import predictions_digest
from goldpath.jobs.training.segment_search import find_best
from goldpath.jobs.training.stages import preparing_steps
from goldpath.jobs.training.work import TrainingWork
from goldpath.judging.segments.evaluation import evaluation_of
from goldpath.learning.decision.choice import Decided
from goldpath.learning.search import fit, unseen_scores
from goldpath.learning.segments.limits import least
from goldpath.learning.splitting import rows_to_search
from goldpath.learning.text.sizes import sizes_of
from goldpath.presentation import step, trial_progress
from goldpath.privacy.erasure import uses_rows
from goldpath.registry.layout import CONTRACT_FILE
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.registry.training_run import TrainingRun
from goldpath.reports import write_report
from goldpath.settings import DecisionSettings, Settings, TrainingSettings

REPORT_FILE = "reproduction.json"
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Reproduction:
    """A training beside its repetition.

    Attributes:
        run_id: The former run.
        reproduced: Whether the main metric agrees to 1e-9, and the number of segments.
        metric: The main metric.
        logged: Its value then.
        value: Its value now.
        same_rows: Whether training and test rows are the same, value for value.
        same_choice: Whether the search chose the same family and parameters.
        same_predictions: Whether all predictions of the test rows agree to nine digits.
        other_libraries: Libraries whose version is another one now: `name then -> now`.
        commit: The code's commit then; a plus says that files differed from it.
        gold_snapshot: The data's snapshot.
    """

    run_id: str
    reproduced: bool
    metric: str
    logged: float
    value: float
    same_rows: bool
    same_choice: bool
    same_predictions: bool
    other_libraries: tuple[str, ...]
    commit: str
    gold_snapshot: int


@uses_rows
def reproduce(settings: Settings, contract: Contract, run_id: str) -> Reproduction:
    """Train again as a run did: its snapshot, contract, settings and number of trials.

    Args:
        settings: Where the lake and the registry are; the run's own training settings are used.
        contract: Names the registered model.
        run_id: An MLflow run of a training, or a version's number.

    Raises:
        RegistryError: If there is no such training, or it did not come to its evaluation.
        CheckFailedError: If the outcome is another one; says what differs.
    """
    manager = MLflowManager(settings, contract)
    if run_id.isdigit():
        run_id = manager.version(run_id).run_id
    run = TrainingRun(manager, run_id)
    missing = [
        name for name in ("extract", "features", "train", "evaluate") if not run.is_done(name)
    ]
    if missing:
        raise RegistryError(
            f"the run {run_id} is no finished training: it lacks {', '.join(missing)}",
            "take the run id from reports/training.json or from `registry show`",
        )
    former = TrainingWork(settings, contract, manager, run)
    if former.found.ensemble is not None:
        raise RegistryError(
            f"the run {run_id} is a search of AutoML, which is not rebuilt here",
            "run it again: automl --trials N --run-id NAME; without a budget of seconds the same "
            "data and seed give the same model",
        )
    result = _train_again(former)
    write_report(settings.reports / REPORT_FILE, asdict(result))
    if not result.reproduced:
        chosen = "family or other parameters" if contract.has_target else "number of segments"
        raise CheckFailedError(
            f"{result.metric} was {result.logged:.10f} and is {result.value:.10f}"
            + ("" if result.same_rows else "; the rows are not the same")
            + ("" if result.same_choice else f"; the search chose another {chosen}")
            + "".join(f"; {change}" for change in result.other_libraries),
            "make the environment of that commit (git checkout, make setup); persons who were "
            "forgotten since are missing from the rows for good",
        )
    return result


def _clusters_tried(
    settings: Mapping[str, Any], trials: int, contract: Contract
) -> Mapping[str, Any]:
    """Of a clustering the numbers of segments that were tried before the clock stopped it."""
    if contract.has_target:
        return {}
    fewest, _ = settings["clusters"]
    return {"clusters": (fewest, fewest + trials - 1)}


def _train_again(former: TrainingWork) -> Reproduction:
    manager, run_id = former.manager, former.run.run_id
    text = manager.read_text(run_id, CONTRACT_FILE)
    inputs = json.loads(manager.read_text(run_id, INPUTS_FILE))
    found, judged, divided = former.found, former.judged, former.divided
    # The clock stopped that search; the number of its trials stops this one.
    limits = TrainingSettings(
        **{
            "search_rows": found.searched_rows or max(found.learned_rows, 100),  # all, once
            **inputs["settings"],
            "trials": found.trials,
            "timeout_seconds": math.inf,
            **_clusters_tried(inputs["settings"], found.trials, former.contract),
        }
    )
    # A run of before there were decisions has none.
    decision = DecisionSettings(**inputs.get("decision", {}))
    settings = former.settings.model_copy(update={"training": limits, "decision": decision})
    preparing = preparing_steps(settings)
    if (names := [each.__name__ for each in preparing]) != inputs["steps"]:
        raise RegistryError(
            f"the run {run_id} had the steps {', '.join(inputs['steps']) or 'none'} of this "
            f"project's own before its search; now they are {', '.join(names) or 'none'}",
            f"git checkout {inputs['commit'] or 'of that day'}, make setup",
        )
    contract = Decided().of(parse_contract(text))  # the search knew of no decision yet
    work = TrainingWork(settings, contract, manager, former.run, preparing, verify=False)
    definitions = work.definitions
    step(f"reading the snapshot {work.extracted.snapshot_id}")
    split, rows = work.split, work.train_rows
    searched = rows_to_search(rows, work.contract, limits)
    step(f"searching again: {limits.trials} trials on {len(searched)} rows")
    with trial_progress(limits.trials) as show_trial:
        again = find_best(
            searched,
            contract,
            limits,
            lambda trial, best: show_trial(trial.number + 1, best),
            definitions=definitions,
            floors=inputs.get(FLOORS) or least(settings.validation.thresholds),
        )
    parameters = again.parameters
    decided = work.decided(
        lambda: unseen_scores(
            searched, work.contract, again.family, parameters, limits, definitions
        )
    )
    same_number = True
    if not contract.has_target:
        # Numbers and names are those of then: today's champion may have others.
        named, decided = found.parameters["labels"], found.decided
        same_number = parameters["clusters"] == found.parameters["clusters"]
        if not same_number:
            of_now = {each: f"segment_{each}" for each in range(1, parameters["clusters"] + 1)}
            named, decided = [*of_now.values()], Decided(segments=of_now)
        parameters = {**parameters, "labels": named}
    contract = decided.of(contract)
    sizes = sizes_of(limits)
    model = fit(rows, contract, again.family, parameters, limits.seed, definitions, sizes)
    evaluation = evaluation_of(model, split.train, split.test, limits, definitions)
    now = library_versions()
    return Reproduction(
        run_id=run_id,
        reproduced=same_number and abs(evaluation.score.value - judged.value) <= TOLERANCE,
        metric=evaluation.score.metric,
        logged=judged.value,
        value=evaluation.score.value,
        same_rows=(rows_digest(rows), rows_digest(split.test))
        == (found.learned_digest, divided.test_digest),
        same_choice=(again.family, dict(parameters)) == (found.family, dict(found.parameters)),
        same_predictions=predictions_digest(evaluation.predictions) == judged.predictions_digest,
        other_libraries=tuple(
            f"{name} {then} -> {now.get(name, 'absent')}"
            for name, then in inputs["libraries"].items()
            if now.get(name) != then
        ),
        commit=inputs["commit"],
        gold_snapshot=work.extracted.snapshot_id,
    )
