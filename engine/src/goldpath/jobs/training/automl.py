"""AutoML on the gold table: training's recipe, with the engine's search in place of Optuna's.

The other steps are training's, a project's own ones included, so a candidate of AutoML has the same
signature, card, drift reference and gate as any other.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib.util import find_spec
from typing import Any

import numpy as np

from goldpath.automl.budget import Budget
from goldpath.automl.experiments.tracking import log_configurations
from goldpath.automl.report import SECONDS as REPORT_SECONDS
from goldpath.automl.report import make_report
from goldpath.automl.report_page import write_report_files
from goldpath.automl.result import AutoMLResult, HistoryPoint
from goldpath.automl.sharing import find_model_parallel
from goldpath.contract import Contract
from goldpath.features.learned import learned_contract
from goldpath.jobs.training.automl_store import AUTOML, held_out_scores, store_ensemble
from goldpath.jobs.training.checks import rows_digest
from goldpath.jobs.training.findings import for_project, in_project
from goldpath.jobs.training.inputs import inputs_digest
from goldpath.jobs.training.record import logged_result
from goldpath.jobs.training.results import EnsembleSearch, Found, TrainingResult
from goldpath.jobs.training.stages import preparing_steps, run_recipe
from goldpath.jobs.training.work import TrainingError, TrainingWork, only_process
from goldpath.judging.limits import require_gates
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.learning.decision.choice import require_tunable
from goldpath.learning.folds import make_folds
from goldpath.learning.frames import model_frame, target_values
from goldpath.learning.scoring import ModelVersion
from goldpath.learning.segments.limits import NOTHING_TO_SEARCH
from goldpath.learning.splitting import row_groups, split_rule
from goldpath.learning.text.sizes import sizes_of
from goldpath.presentation import budget_progress, step
from goldpath.privacy.erasure import uses_rows
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.training_run import INPUTS, find_run, open_run, unfinished_run
from goldpath.settings import Settings

REPORT = "automl"
LEAST_REPORT_SECONDS = 3.0
Progress = Callable[[HistoryPoint], None]


@dataclass(frozen=True)
class SearchPlan:
    """What a search may spend.

    Attributes:
        seconds: Wall time; None with `trials` alone, and then the same seed gives the same model.
        trials: The most configurations.
        processes: How many share the search.
        latency_ms: That the model may take for one row; None for no limit.
    """

    seconds: float | None
    trials: int | None
    processes: int
    latency_ms: float | None = None

    @property
    def budget(self) -> Budget:
        """For the engine."""
        return Budget(seconds=self.seconds, trials=self.trials)


@dataclass(frozen=True)
class AutoMLTraining:
    """A registered ensemble and how it was found.

    Attributes:
        metric: The main metric; more is better.
        value: On the test rows.
        interval: Its 95 % bootstrap interval.
        baseline: The same metric of a model that ignores the features.
        champion: The same metric of the champion of that moment; None where there was none.
        held_out: The ensemble's score on the training rows' folds, and the best single
            configuration's.
        held_out_metric: What these two are: the metric that the search maximised.
        ensemble: The members' weights by family.
        configurations: How many were tried.
        seconds: What the search took, of what it was given.
        expected: Where the held-out score of new rows is expected, with 95 %.
        latency_ms: What the ensemble takes for one row before it is compiled.
        findings: What was found about the rows, what was done because of it, and what is asked.
        left_out: Families that could not be used, and why.
        split: How training and test rows were divided.
        n_train: Training rows.
        n_test: Test rows.
        model: The registered model.
        model_version: The candidate's version.
        semantic_version: What changed against the former version.
        run_id: MLflow's run.
        report: The report as HTML; the same as JSON lies beside it.
    """

    metric: str
    value: float
    interval: tuple[float, float]
    baseline: float
    champion: float | None
    held_out: tuple[float, float]
    held_out_metric: str
    ensemble: dict[str, float]
    configurations: int
    seconds: float
    budget_seconds: float | None
    expected: tuple[float, float] | None
    latency_ms: float | None
    findings: tuple[str, ...]
    left_out: dict[str, str]
    split: str
    n_train: int
    n_test: int
    model: str
    model_version: str
    semantic_version: str
    run_id: str
    report: str


@uses_rows
def run_automl(
    settings: Settings,
    contract: Contract,
    budget_seconds: float | None = None,
    *,
    trials: int | None = None,
    processes: int | None = None,
    latency_ms: float | None = None,
    run_key: str | None = None,
    on_progress: Progress | None = None,
) -> AutoMLTraining:
    """Search all families within a budget, and evaluate and register what was found.

    Args:
        settings: Its `automl` section gives what is not given here, its `training` section the
            folds, the split and the seed.
        contract: What a row is.
        budget_seconds: For the search; the evaluation and the report come on top.
        trials: The most configurations. Alone, without seconds, no clock decides anything, so the
            same data and seed give the same model.
        processes: How many share the search.
        latency_ms: That the model may take for one row, before it is compiled; the setting's where
            seconds are given.
        run_key: Name of this run; a second call with it goes on, or returns what is registered.
        on_progress: Called with the learning curve's newest point after each configuration.

    Raises:
        CheckFailedError: If a feature gives the target away, or the data is not fit.
        NotEnoughDataError: If there are too few rows.
        TrainingError: If another process is at the same run, the run is no AutoML run, or the
            problem is a clustering.
    """
    if not contract.has_target:
        raise TrainingError(*NOTHING_TO_SEARCH)
    if budget_seconds is None and trials is None:
        budget_seconds = settings.automl.budget_seconds
    # Without seconds no clock decides anything, so the limit has to be asked for.
    limit = latency_ms or (settings.automl.latency_ms if budget_seconds is not None else None)
    plan = SearchPlan(budget_seconds, trials, processes or settings.automl.processes, limit)
    manager = MLflowManager(settings, contract)
    if run_key and (existing := manager.version_of_run_key(run_key)):
        step(f"run {run_key} registered version {existing.version} already")
        return _registered(settings, contract, manager, existing)
    work = _open_work(settings, contract, manager, plan, run_key)
    with only_process(settings, work.run), work.run.marked():
        result = run_recipe(work, lambda work: search_ensemble(work, plan, on_progress))
        return _answer(work, result)


def search_ensemble(
    work: TrainingWork, plan: SearchPlan, on_progress: Progress | None = None
) -> Found:
    """The stage `train`: search on the training rows, store the ensemble, write the report."""
    if done := work.run.stage("train", Found):
        return done
    divided, train, contract = work.divided, work.train_rows, work.contract
    require_tunable(contract, work.settings.decision, work.definitions)
    require_gates(contract, work.settings, work.definitions)
    step(f"train: {_spoken(plan)} on {len(train)} rows")
    frame, target = model_frame(train, contract), target_values(train, contract)
    with budget_progress(plan.seconds) as show:

        def after_each(point: HistoryPoint) -> None:
            show(point.elapsed, point.tried, point.ensemble_score)
            if on_progress is not None:
                on_progress(point)

        found = find_model_parallel(
            frame,
            target,
            "regression" if contract.problem == "regression" else "classification",
            plan.budget,
            processes=plan.processes,
            latency_ms=plan.latency_ms,
            metric="r2" if contract.problem == "regression" else "roc_auc",
            seed=work.settings.training.seed,
            texts=contract.text_features,
            text_sizes=sizes_of(work.settings.training),
            on_progress=after_each,
            on_finding=lambda finding: step(for_project(finding).sentence),
            **_folds(work),
        )
    found = in_project(found)
    store_ensemble(work.manager, work.run.run_id, contract, found)
    _report(work, plan, found)
    weights: dict[str, float] = {}
    for entry in found.leaderboard:
        if entry.weight > 0:
            weights[entry.family] = weights.get(entry.family, 0.0) + round(entry.weight, 4)
    decided = work.decided(lambda: held_out_scores(contract, found))
    states = Counter(entry.state for entry in found.leaderboard)
    result = Found(
        family=AUTOML,
        parameters={
            "ensemble": ", ".join(f"{name} {weight:g}" for name, weight in weights.items()),
            "budget_seconds": plan.seconds,
            "budget_trials": plan.trials,
            "processes": plan.processes,
        },
        score=found.score,
        fold_scores=tuple(found.best.fold_scores),
        trials=len(found.leaderboard),
        pruned=states["pruned"],
        learned_rows=len(train),
        learned_digest=rows_digest(train) if work.preparing else divided.train_digest,
        ensemble=EnsembleSearch(
            weights=weights,
            best_single=found.best_single_score,
            seconds=found.seconds,
            budget_seconds=plan.seconds,
            left_out=dict(found.left_out),
            findings=tuple(finding.sentence for finding in found.findings),
            expected=found.interval,
            latency_ms=found.latency_ms,
        ),
        threshold=decided.threshold,
        unsure=decided.unsure,
        prediction_interval=decided.interval,
        thresholds=decided.thresholds,
        groups=decided.groups,
    )
    work.run.finish_stage("train", result)
    return result


def _folds(work: TrainingWork) -> dict[str, Any]:
    """Which rows judge: training's folds where time decides, whole groups where rows repeat.

    Without either, the engine may split small tables several times, which makes larger bags, and
    looks for an order and for groups itself, unless the settings say that rows are divided at
    random. Copies of rows stay together then, and are no answer to what it looks for.
    """
    train, contract, limits = work.train_rows, work.contract, work.settings.training
    rule = split_rule(train, contract, limits)
    if rule == "time":
        return {"folds": make_folds(train, contract, limits)}
    groups = row_groups(train, contract, limits)
    if rule == "group":
        return {"groups": groups}
    together = {} if groups is None else {"together": groups}
    told = {} if limits.split == "auto" else {"time_ordered": False, "groups": False}
    return {**together, **told}


def _report(work: TrainingWork, plan: SearchPlan, found: AutoMLResult) -> None:
    """Write and log the report; its plots show the model on rows that the search never saw."""
    test, contract = work.split.test, work.contract
    step("train: writing the report")
    report = make_report(
        found,
        model_frame(test, contract),
        target_values(test, contract),
        title=contract.dataset,
        budget_seconds=plan.seconds,
        rows_seen=False,
        explain=find_spec("shap") is not None,
        seconds=float(np.clip((plan.seconds or 0) / 4, LEAST_REPORT_SECONDS, REPORT_SECONDS)),
    )
    for file in write_report_files(report, work.settings.reports, REPORT):
        work.manager.log_file(work.run.run_id, file, AUTOML)
    with work.manager.translate("logging the configurations"):
        log_configurations(
            work.manager.client, work.manager.experiment_id(), work.run.run_id, report.leaderboard
        )


def _open_work(
    settings: Settings,
    contract: Contract,
    manager: MLflowManager,
    plan: SearchPlan,
    run_key: str | None,
) -> TrainingWork:
    """The run of this name, or one with the same inputs that was killed; else a new one."""
    contract = learned_contract(settings, contract)
    snapshot = gold_snapshot(open_lakehouse(settings), contract)
    preparing = preparing_steps(settings)
    inputs = inputs_digest(settings, contract, snapshot.snapshot_id, preparing)
    digest = sha256(f"{AUTOML} {plan} {inputs}".encode()).hexdigest()
    run = find_run(manager, run_key) if run_key else unfinished_run(manager, digest)
    if run is None:
        key = run_key or f"automl-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
        run = open_run(manager, key, {INPUTS: digest, "kind": AUTOML})
    else:
        step(f"going on with the run {run.run_id}")
        trained = run.stage("train", Found)
        if trained is not None and trained.ensemble is None:
            raise TrainingError(
                f"the run {run_key} is a training that searched without AutoML",
                "choose another --run-id",
            )
    return TrainingWork(settings, contract, manager, run, preparing)


def _answer(work: TrainingWork, result: TrainingResult) -> AutoMLTraining:
    found = work.found
    if found.ensemble is None:
        raise TrainingError(
            f"version {result.model_version} was registered under this run id without AutoML",
            "choose another --run-id",
        )
    return AutoMLTraining(
        metric=result.metric,
        value=result.value,
        interval=result.interval,
        baseline=result.baseline,
        champion=result.champion,
        held_out=(found.score, found.ensemble.best_single),
        held_out_metric=work.search_metric,
        ensemble=dict(found.ensemble.weights),
        configurations=found.trials,
        seconds=found.ensemble.seconds,
        budget_seconds=found.ensemble.budget_seconds,
        expected=found.ensemble.expected,
        latency_ms=found.ensemble.latency_ms,
        findings=found.ensemble.findings,
        left_out=dict(found.ensemble.left_out),
        split=result.split,
        n_train=result.n_train,
        n_test=result.n_test,
        model=result.model,
        model_version=result.model_version,
        semantic_version=result.semantic_version,
        run_id=result.run_id,
        report=work.settings.shown(work.settings.reports / f"{REPORT}.html"),
    )


def _registered(
    settings: Settings, contract: Contract, manager: MLflowManager, version: ModelVersion
) -> AutoMLTraining:
    run = open_run(manager, version.tags["run_key"], {})
    work = TrainingWork(settings, contract, manager, run)
    return _answer(work, logged_result(settings, manager, version))


def _spoken(plan: SearchPlan) -> str:
    parts = [
        f"{plan.seconds:g} s" if plan.seconds is not None else "",
        f"{plan.trials} configurations" if plan.trials is not None else "",
        f"{plan.processes} processes" if plan.processes > 1 else "",
    ]
    return ", ".join(part for part in parts if part)
