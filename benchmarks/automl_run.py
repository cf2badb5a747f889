"""One engine on one data set, in a process of its own and by that engine's interpreter.

Prints one line of JSON. The budget is CPU time of this process, on one thread; with CORES it is
wall time, on so many cores. Each engine's libraries are imported before its clock starts.

    PYTHON automl_run.py own|flaml|autogluon DATASET SEED SECONDS [FILE FOR EACH ROW'S LOSS [CORES]]
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from automl_data import Data

    Run = tuple[float, float, np.ndarray, dict[str, str], dict[str, Any]]

CORES = int(sys.argv[6]) if len(sys.argv) > 6 else None
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    if CORES is None:
        os.environ[_variable] = "1"

_wall = time.time


def main() -> int:
    """Run and print the score, the seconds and the versions."""
    engine, name, seed, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
    import automl_data

    data = automl_data.load(name, seed)
    run = {"own": run_own, "flaml": run_flaml, "autogluon": run_autogluon}[engine]
    wall, cpu, predictions, versions, estimate = run(data, seed, seconds)
    if len(sys.argv) > 5:
        Path(sys.argv[5]).write_text(json.dumps(automl_data.losses(data, predictions).tolist()))
    result = {
        "score": automl_data.score(data, predictions),
        "baseline": automl_data.baseline(data),
        "metric": _metric(data),
        "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(wall, 2),
        "versions": versions,
        **estimate,
    }
    print("\n" + json.dumps(result), flush=True)
    return 0


def run_own(data: Data, seed: int, seconds: float) -> Run:
    """The project's engine."""
    for library in ("lightgbm", "xgboost", "optuna", "sklearn.ensemble", "sklearn.linear_model"):
        # XGBoost is an extra of the project; the engine goes without what is not there.
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    from goldpath.automl.budget import Budget
    from goldpath.automl.sharing import find_model_parallel

    budget = Budget(seconds, clock="wall" if CORES else "cpu")
    wall, cpu = _wall(), time.process_time()
    found = find_model_parallel(
        data.train,
        data.train_target,
        data.problem,
        budget,
        processes=CORES or 1,
        metric=_metric(data),
        seed=seed,
    )
    wall, cpu = _wall() - wall, time.process_time() - cpu
    estimate = {
        "estimate": found.score,
        "interval": found.interval,
        "folds_by": found.folds_by,
        "latency_ms": round(found.latency_ms, 2),
    }
    versions = _versions("lightgbm", "xgboost", "optuna")
    return wall, cpu, _predict(found.model, data), versions, estimate


def run_flaml(data: Data, seed: int, seconds: float) -> Run:
    """FLAML, its clock (time.time) replaced by this process's CPU time."""
    _use_cpu_clock()
    from flaml import AutoML

    automl = AutoML()
    wall, cpu = _wall(), time.process_time()
    automl.fit(
        data.train,
        data.train_target,
        task=data.problem,
        metric=_metric(data),
        time_budget=seconds,
        n_jobs=1,
        seed=seed,
        verbose=0,
    )
    wall, cpu = _wall() - wall, time.process_time() - cpu
    versions = _versions("flaml", "lightgbm", "xgboost")
    return wall, cpu, _predict(automl, data), versions, {"estimate": float(automl.best_loss)}


def run_autogluon(data: Data, seed: int, seconds: float) -> Run:  # noqa: ARG001
    """AutoGluon with its best presets, on the same clock; it fixes its own seeds.

    On one thread its folds are fitted one after the other, and it does not look for the best depth
    of its stack, which it does in further processes; on several cores it does as it likes.
    """
    import shutil
    import tempfile

    if CORES is None:
        _use_cpu_clock()
    from autogluon.tabular import TabularPredictor

    one_thread = {
        "dynamic_stacking": False,
        "ag_args_ensemble": {"fold_fitting_strategy": "sequential_local"},
    }

    folder = tempfile.mkdtemp()
    wall, cpu = _wall(), time.process_time()
    predictor = TabularPredictor(
        label="target",
        problem_type=None if data.problem == "classification" else "regression",
        eval_metric=_metric(data).replace("rmse", "root_mean_squared_error"),
        path=folder,
        verbosity=0,
    ).fit(
        data.train.assign(target=data.train_target),
        time_limit=seconds,
        num_cpus=CORES or 1,
        num_gpus=0,
        presets="best_quality",
        **({} if CORES else one_thread),
    )
    wall, cpu = _wall() - wall, time.process_time() - cpu
    if data.problem == "classification":
        predictions = predictor.predict_proba(data.test).sort_index(axis=1).to_numpy()
    else:
        predictions = predictor.predict(data.test).to_numpy()
    estimate = {"estimate": -float(predictor.leaderboard()["score_val"].iloc[0])}
    shutil.rmtree(folder, ignore_errors=True)
    versions = _versions("autogluon.tabular", "lightgbm", "xgboost")
    return wall, cpu, predictions, versions, estimate


def _use_cpu_clock() -> None:
    """Engines that read time.time then spend CPU seconds, however busy the machine is."""
    started = _wall() - time.process_time()
    time.time = lambda: started + time.process_time()


def _metric(data: Data) -> str:
    return "log_loss" if data.problem == "classification" else "rmse"


def _predict(model: Any, data: Data) -> np.ndarray:
    if data.problem == "classification":
        return model.predict_proba(data.test)
    return model.predict(data.test)


def _versions(*names: str) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in (*names, "scikit-learn", "pandas", "numpy"):
        for distribution in (name, f"{name}-cpu"):
            try:
                found[name] = version(distribution)
                break
            except PackageNotFoundError:
                continue
    return found


if __name__ == "__main__":
    sys.exit(main())
