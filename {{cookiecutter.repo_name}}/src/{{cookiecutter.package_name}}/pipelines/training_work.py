"""What the stages of one training share: each value is computed when a stage first needs it.

In one process the stages hand these values on. A stage in a process of its own finds the former
stages' answers in the MLflow run, and computes again what follows from them: the same snapshot,
split and seed give the same rows and the same model.
"""

import fcntl
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from typing import Any

import pandas as pd

from ..contract import Contract, dump_contract
from ..data.connection import open_lakehouse
from ..data.gold_frame import read_gold
from ..data.lakehouse import Lakehouse
from ..errors import ProjectError
from ..model.evaluation import Evaluation, evaluate
from ..model.mlflow_manager import MLflowManager
from ..model.scoring import LoadedModel
from ..model.search import fit
from ..model.splitting import Split, split_rows
from ..model.training_run import TrainingRun
from ..presentation import step
from ..settings import Settings
from .automl_store import AUTOML, stored_ensemble

LIBRARIES = ("lightgbm", "mlflow", "numpy", "optuna", "pandas", "scikit-learn", "scipy", "skops")


class TrainingError(ProjectError):
    """A stage cannot run: an earlier one is missing, or another process is at it."""


class TrainingWork:
    """One training, between its stages.

    Args:
        settings: Its `training` section.
        contract: What a row is.
        manager: Where the run is kept.
        run: The MLflow run.
    """

    def __init__(
        self, settings: Settings, contract: Contract, manager: MLflowManager, run: TrainingRun
    ) -> None:
        self.settings = settings
        self.contract = contract
        self.manager = manager
        self.run = run

    @cached_property
    def lakehouse(self) -> Lakehouse:
        """Where gold is."""
        return open_lakehouse(self.settings)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Gold at the run's snapshot."""
        return read_gold(self.lakehouse, self.contract, int(self.done("extract")["snapshot_id"]))

    @cached_property
    def split(self) -> Split:
        """Training rows and test rows."""
        return split_rows(self.rows, self.contract, self.settings.training)

    @cached_property
    def model(self) -> LoadedModel:
        """The winner of the search, fitted on all training rows."""
        found = self.done("train")
        if found["family"] == AUTOML:
            pipeline = stored_ensemble(self.manager, self.run.run_id)
            return LoadedModel(pipeline=pipeline, contract=self.contract)
        step(f"fitting {found['family']} on {len(self.split.train)} rows")
        return fit(
            self.split.train,
            self.contract,
            found["family"],
            found["parameters"],
            self.settings.training.seed,
        )

    @cached_property
    def evaluation(self) -> Evaluation:
        """The winner, judged on the test rows."""
        return evaluate(self.model, self.split.train, self.split.test, self.settings.training)

    def done(self, stage: str) -> dict[str, Any]:
        """What a former stage left.

        Raises:
            TrainingError: Where it was not done.
        """
        values = self.run.stage(stage)
        if values is None:
            raise TrainingError(
                f"the stage {stage!r} of this training was not done",
                f"run it first: training {stage} --run-id …, or train, which does all of them",
            )
        return values


@contextmanager
def only_process(settings: Settings, run: TrainingRun) -> Iterator[None]:
    """Keep a second process of this machine off the same training.

    Raises:
        TrainingError: Where another process is at it.
    """
    settings.run_directory.mkdir(parents=True, exist_ok=True)
    with (settings.run_directory / f"training-{run.run_id}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError(
                f"another process is at the training {run.run_id}",
                "wait for it, or stop it and run the command again: it goes on where that stopped",
            ) from error
        yield


def inputs_digest(settings: Settings, contract: Contract, snapshot_id: int) -> str:
    """SHA-256 of everything that decides a training's outcome on one machine."""
    values = {
        "snapshot": snapshot_id,
        "contract": dump_contract(contract),
        "settings": deciding_settings(settings),
        "libraries": library_versions(),
    }
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def deciding_settings(settings: Settings) -> dict[str, Any]:
    """The settings of the search, the split and the evaluation."""
    return settings.training.model_dump(mode="json")


def library_versions() -> Mapping[str, str]:
    """The versions of what a model is made with."""
    return {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}}
