"""Training, step by step: extract, split, search, train, evaluate, register."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from ..contract import Contract, dump_contract
from ..data.connection import open_lakehouse
from ..data.gold_frame import gold_snapshot, read_gold
from ..data.lakehouse import Snapshot
from ..data.leakage import find_leaks
from ..data.privacy import uses_rows
from ..data.sample import true_probabilities
from ..errors import CheckFailedError
from ..model.evaluation import Evaluation, evaluate, plot_evaluation
from ..model.frames import model_frame, target_values
from ..model.metrics import area_under_roc
from ..model.mlflow_manager import CONTRACT_FILE, REFERENCE_FILE, RUN_KEY, MLflowManager
from ..model.scoring import LoadedModel, ModelVersion
from ..model.search import SearchResult, fit, held_out_predictions, search
from ..model.splitting import Split, split_rows
from ..presentation import step, trial_progress
from ..reports import write_report
from ..settings import Settings

SNAPSHOT_TAG = "gold_snapshot"
RESULT_FILE = "training.json"
PLOT_FILE = "evaluation.png"


@dataclass(frozen=True)
class TrainingResult:
    """A registered candidate and what is known of it.

    Attributes:
        problem_type: Classification or regression.
        metric: The main metric; more is better.
        value: On the test rows.
        interval: Its 95 % bootstrap interval.
        baseline: The same metric of a model that ignores the features.
        noise_ceiling: AUC of the true probabilities on the test rows; the generated sample only.
        family: The family that won the search.
        n_train: Training rows.
        n_test: Test rows.
        split: How they were divided.
        model: The registered model.
        model_version: The candidate's version.
        run_id: MLflow's run.
        gold_snapshot: The data that was read.
        plot: ROC, calibration and importances as a PNG.
    """

    problem_type: str
    metric: str
    value: float
    interval: tuple[float, float]
    baseline: float
    noise_ceiling: float | None
    family: str
    n_train: int
    n_test: int
    split: str
    model: str
    model_version: str
    run_id: str
    gold_snapshot: int
    plot: str


@uses_rows
def train(settings: Settings, contract: Contract, run_key: str | None = None) -> TrainingResult:
    """Search, train, evaluate and register a candidate.

    Args:
        settings: Its `training` section.
        contract: What a row is.
        run_key: Name of this run; where a version with it exists, that one's result comes back.

    Raises:
        CheckFailedError: Where a feature gives the target away.
        NotEnoughDataError: Where there are too few rows.
    """
    manager = MLflowManager(settings, contract)
    if run_key and (existing := manager.version_of_run_key(run_key)):
        step(f"run {run_key} registered version {existing.version} already")
        return _logged_result(settings, manager, existing)

    step("extract: reading the gold table")
    lakehouse = open_lakehouse(settings)
    snapshot = gold_snapshot(lakehouse, contract)
    split = split_rows(
        read_gold(lakehouse, contract, snapshot.snapshot_id), contract, settings.training
    )
    refuse_leaks(split.train, contract, settings)

    step(f"search: {settings.training.trials} trials on {len(split.train)} rows")
    with trial_progress(settings.training.trials) as on_trial:
        found = search(split.train, contract, settings.training, on_trial)

    step(f"train: {found.family} on all training rows")
    model = fit(split.train, contract, found.family, found.parameters, settings.training.seed)

    step(f"evaluate: {len(split.test)} rows that the search never saw")
    evaluation = evaluate(model, split.train, split.test, settings.training)

    step("register: logging the run and the model to MLflow")
    key = run_key or f"local-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    result = _register(settings, manager, snapshot, split, found, model, evaluation, key)
    lakehouse.tag(snapshot, f"train-{result.run_id}")
    return result


def refuse_leaks(rows: pd.DataFrame, contract: Contract, settings: Settings) -> None:
    """Stop where a feature determines the target.

    Raises:
        CheckFailedError: Names the features.
    """
    target = rows[contract.target.column]
    leaks = find_leaks(
        model_frame(rows, contract), target, contract.problem, settings.training.leak_threshold
    )
    if leaks:
        found = "; ".join(f"{', '.join(leak.columns)} ({leak.reason})" for leak in leaks)
        raise CheckFailedError(
            f"features give the target {contract.target.column!r} away: {found}",
            "move them from `features` to `ignored` in config/project.yaml and run make data; "
            "if they are truly known before the prediction, raise training.leak_threshold",
        )


def _register(
    settings: Settings,
    manager: MLflowManager,
    snapshot: Snapshot,
    split: Split,
    found: SearchResult,
    model: LoadedModel,
    evaluation: Evaluation,
    run_key: str,
) -> TrainingResult:
    contract = model.contract
    truth = target_values(split.test, contract)
    plot = settings.reports / PLOT_FILE
    plot_evaluation(evaluation, contract, truth, plot)
    tags = {
        RUN_KEY: run_key,
        SNAPSHOT_TAG: str(snapshot.snapshot_id),
        "gold_table": str(snapshot.table),
    }
    with manager.run(run_key, tags) as run_id:
        result = TrainingResult(
            problem_type=contract.problem,
            metric=evaluation.score.metric,
            value=evaluation.score.value,
            interval=evaluation.score.interval,
            baseline=evaluation.baseline,
            noise_ceiling=_noise_ceiling(settings, contract, split.test, truth),
            family=found.family,
            n_train=len(split.train),
            n_test=len(split.test),
            split=split.rule,
            model=contract.model_name,
            model_version="",
            run_id=run_id,
            gold_snapshot=snapshot.snapshot_id,
            plot=settings.shown(plot),
        )
        manager.log_parameters(
            run_id, {"family": found.family, **found.parameters, **_search_parameters(settings)}
        )
        manager.log_metrics(run_id, _metrics(result, found, evaluation))
        manager.log_text(run_id, dump_contract(contract), CONTRACT_FILE)
        manager.log_text(run_id, json.dumps(found.trials, indent=2), "search/trials.json")
        manager.log_text(run_id, json.dumps(evaluation.importances, indent=2), "importances.json")
        manager.log_file(run_id, plot, "plots")
        _log_reference(settings, manager, run_id, split.train, found, contract)
        version = manager.register(run_id, model, model_frame(split.train, contract), tags)
        result = replace(result, model_version=version.version)
        manager.log_text(run_id, json.dumps(asdict(result)), RESULT_FILE)
    write_report(settings.reports / RESULT_FILE, asdict(result))
    return result


def _logged_result(
    settings: Settings, manager: MLflowManager, version: ModelVersion
) -> TrainingResult:
    """The result that a former run with the same key logged."""
    values = json.loads(
        manager.download_artifact(version.run_id, RESULT_FILE).read_text(encoding="utf-8")
    )
    result = TrainingResult(**{**values, "interval": tuple(values["interval"])})
    write_report(settings.reports / RESULT_FILE, asdict(result))
    return result


def _search_parameters(settings: Settings) -> dict[str, object]:
    names = ("trials", "cv_folds", "test_fraction", "seed")
    return {f"search_{name}": getattr(settings.training, name) for name in names}


def _metrics(
    result: TrainingResult, found: SearchResult, evaluation: Evaluation
) -> Mapping[str, float]:
    metrics = {
        f"test_{result.metric}": result.value,
        f"test_{result.metric}_low": result.interval[0],
        f"test_{result.metric}_high": result.interval[1],
        f"baseline_{result.metric}": result.baseline,
        f"search_{result.metric}": found.score,
        **{f"test_{name}": value for name, value in evaluation.others.items()},
    }
    if result.noise_ceiling is not None:
        metrics["noise_ceiling"] = result.noise_ceiling
    return {name: value for name, value in metrics.items() if np.isfinite(value)}


def _noise_ceiling(
    settings: Settings, contract: Contract, test: pd.DataFrame, truth: np.ndarray
) -> float | None:
    """AUC of the generating process's own probabilities on the test rows, where they are known."""
    probabilities = true_probabilities(Path(settings.root / contract.source.path))
    if probabilities is None or not contract.is_binary:
        return None
    known = probabilities.reindex(test[contract.entity_column]).to_numpy()
    if np.isnan(known).any():
        return None
    return area_under_roc(truth == contract.target.positive, known)


def _log_reference(
    settings: Settings,
    manager: MLflowManager,
    run_id: str,
    rows: pd.DataFrame,
    found: SearchResult,
    contract: Contract,
) -> None:
    """What drift checks compare with: training rows and predictions of them as if they were new."""
    if len(rows) > settings.monitoring.reference_rows:
        rows = rows.sample(settings.monitoring.reference_rows, random_state=settings.training.seed)
    rows = rows.sort_index()
    predicted = held_out_predictions(
        rows, contract, found.family, found.parameters, settings.training
    )
    with TemporaryDirectory() as folder:
        file = Path(folder) / Path(REFERENCE_FILE).name
        predicted[[*contract.feature_names, "prediction"]].to_parquet(file, index=False)
        manager.log_file(run_id, file, str(Path(REFERENCE_FILE).parent))
