"""What the stages of one training share: each value is computed when a stage first needs it.

In one process the stages hand these values on. A stage in a process of its own finds the former
stages' answers in the MLflow run, and computes again what follows from them: the same snapshot,
split and seed give the same rows and the same model.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TypeVar

import pandas as pd

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.jobs.training.automl_store import stored_ensemble
from goldpath.jobs.training.results import Divided, Extracted, Found, Judged
from goldpath.judging.evaluation import Evaluation, evaluate
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import read_gold
from goldpath.lake.lakehouse import Lakehouse
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.search import fit
from goldpath.learning.splitting import Split, split_rows
from goldpath.presentation import step
from goldpath.project import Model
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.training_run import TrainingRun
from goldpath.settings import Settings

Result = TypeVar("Result")


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

    @property
    def definitions(self) -> Model:
        """The project's families, metrics and checks."""
        return self.settings.project.definitions

    @cached_property
    def lakehouse(self) -> Lakehouse:
        """Where gold is."""
        return open_lakehouse(self.settings)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Gold at the run's snapshot."""
        return read_gold(self.lakehouse, self.contract, self.extracted.snapshot_id)

    @cached_property
    def split(self) -> Split:
        """Training rows and test rows."""
        return split_rows(self.rows, self.contract, self.settings.training)

    @cached_property
    def model(self) -> LoadedModel:
        """The winner of the search, fitted on all training rows."""
        found = self.found
        if found.ensemble is not None:
            pipeline = stored_ensemble(self.manager, self.run.run_id)
            return LoadedModel(pipeline=pipeline, contract=self.contract)
        step(f"fitting {found.family} on {len(self.split.train)} rows")
        return fit(
            self.split.train,
            self.contract,
            found.family,
            found.parameters,
            self.settings.training.seed,
            self.definitions,
        )

    @cached_property
    def evaluation(self) -> Evaluation:
        """The winner, judged on the test rows."""
        return evaluate(
            self.model,
            self.split.train,
            self.split.test,
            self.settings.training,
            self.definitions,
        )

    @cached_property
    def champion(self) -> LoadedModel | None:
        """Today's champion; None where there is none, or where it cannot be loaded."""
        version = self.manager.champion_version()
        if version is None:
            return None
        try:
            return self.manager.load(version)
        except ProjectError as error:
            step(f"the champion, version {version.version}, cannot be compared with: {error}")
            return None

    @property
    def extracted(self) -> Extracted:
        """What the stage `extract` left."""
        return self._left_by("extract", Extracted)

    @property
    def divided(self) -> Divided:
        """What the stage `features` left."""
        return self._left_by("features", Divided)

    @property
    def found(self) -> Found:
        """What the stage `train` left."""
        return self._left_by("train", Found)

    @property
    def judged(self) -> Judged:
        """What the stage `evaluate` left."""
        return self._left_by("evaluate", Judged)

    def _left_by(self, stage: str, kind: type[Result]) -> Result:
        """The result of a former stage.

        Raises:
            TrainingError: If it was not done.
        """
        result = self.run.stage(stage, kind)
        if result is None:
            raise TrainingError(
                f"the stage {stage!r} of this training was not done",
                f"run it first: training {stage} --run-id …, or train, which does all of them",
            )
        return result


@contextmanager
def only_process(settings: Settings, run: TrainingRun) -> Iterator[None]:
    """Keep a second process of this machine off the same training.

    Raises:
        TrainingError: If another process is at it.
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
