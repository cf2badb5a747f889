"""What the steps of one training share: each value is computed when a step first needs it.

In one process the steps hand these values on. A step in a process of its own finds the former
steps' answers in the MLflow run, and computes again what follows from them: the same snapshot,
split and seed give the same rows and the same model.
"""

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.handed_over import place_of
from goldpath.jobs.step_order import Step
from goldpath.jobs.training.automl_store import stored_ensemble
from goldpath.jobs.training.checks import rows_digest
from goldpath.jobs.training.learned_rows import usable_rows
from goldpath.jobs.training.own_result import as_returned
from goldpath.jobs.training.results import (
    Divided,
    Extracted,
    Found,
    Judged,
    LearnedRows,
    OwnResult,
)
from goldpath.jobs.windows.model_windows import with_own_windows
from goldpath.judging.evaluation import Evaluation
from goldpath.judging.segments.evaluation import evaluation_of
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import read_gold
from goldpath.lake.lakehouse import Lakehouse
from goldpath.learning.decision.choice import Decided, chosen_decision, needs_predictions
from goldpath.learning.decision.chosen import with_chosen_metrics
from goldpath.learning.decision.interval import described
from goldpath.learning.frames import target_values
from goldpath.learning.metrics import main_metric
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.search import fit
from goldpath.learning.splitting import Split, split_rows
from goldpath.learning.text.sizes import sizes_of
from goldpath.presentation import step
from goldpath.project import Model, naming
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.training_run import TrainingRun
from goldpath.settings import Settings

Result = TypeVar("Result")
STAGES = ("extract", "features", "train", "evaluate", "register")
"""The engine's steps by their names on the command line and in Airflow, in order."""


class TrainingError(ProjectError):
    """A stage cannot run: an earlier one is missing, or another process is at it."""


class TrainingWork:
    """One training, between its steps: what a step of the project's own is given.

    A step reads `train_rows`, `split.test`, `contract` and `settings`, what the engine's steps
    before it left (`extracted`, `divided`, `found`, `judged`), after the search the fitted `model`,
    its `evaluation` and today's `champion`, and by `result_of` what another step returned. What it
    returns is stored and logged to the run; `learn_from` replaces the rows to learn from.

    Example:
        >>> from goldpath import Model, TrainingWork, training
        >>> def without_trials(work: TrainingWork) -> dict[str, int]:
        ...     rows = work.train_rows
        ...     kept = rows[rows["tenure_months"] > 0]
        ...     work.learn_from(kept)
        ...     return {"left_out_rows": len(rows) - len(kept)}
        >>> churn = Model(
        ...     training=[
        ...         training.extract,
        ...         training.prepare_features,
        ...         without_trials,
        ...         training.search_and_fit,
        ...         training.evaluate_candidate,
        ...         training.register_candidate,
        ...     ]
        ... )
        >>> [step.__name__ for step in churn.training][2]
        'without_trials'

    Args:
        settings: Its `training` section.
        contract: What a row is.
        manager: Where the run is kept.
        run: The MLflow run.
        preparing: The project's own steps before the search, in order.
        verify: Whether rows that these steps give again must be those that they gave first.
    """

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        manager: MLflowManager,
        run: TrainingRun,
        preparing: Sequence[Step] = (),
        *,
        verify: bool = True,
    ) -> None:
        self.settings = settings
        self.contract = contract
        self.manager = manager
        self.run = run
        self.preparing = tuple(preparing)
        self._verify = verify
        self._train_rows: pd.DataFrame | None = None
        self._under_way: Step | None = None
        self._handed_over: LearnedRows | None = None

    @cached_property
    def definitions(self) -> Model:
        """The project's families, metrics and checks, with the metrics that the settings choose."""
        settings = self.settings
        return with_chosen_metrics(
            settings.project.definitions, self.contract, settings.training, settings.decision
        )

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
        """Training rows and test rows as they were divided."""
        return split_rows(self.rows, self.contract, self.settings.training)

    @property
    def train_rows(self) -> pd.DataFrame:
        """The rows to learn from: the training rows, or what the steps before made of them."""
        if self._train_rows is None:
            self._make_train_rows()
        return self._train_rows.copy(deep=False)  # type: ignore[union-attr]

    def learn_from(self, rows: pd.DataFrame) -> None:
        """Replace the rows to learn from; for a step of the project's own before the search.

        Rows may be left out, repeated, sampled or made up; their columns stay those of
        `train_rows`. Test rows are no training rows: they are refused.

        The rows are not stored. A later process that goes on with the training (or `reproduce`)
        calls the step again to have them, so the step must give the same rows each time: draw
        with a seed such as `work.settings.training.seed`. Their digest is stored and compared.

        Args:
            rows: With the columns of `train_rows`.

        Raises:
            TrainingError: If it is called elsewhere, or rows cannot be learned from.
        """
        under_way = self._under_way
        if under_way is None or not any(under_way is each for each in self.preparing):
            raise TrainingError(
                "learn_from was called"
                + (f" by {place_of(under_way)}, which does not stand" if under_way else " outside")
                + " before search_and_fit",
                "call it in a step of Model(training=…) before training.search_and_fit",
            )
        self._train_rows = usable_rows(rows, self.split, self.contract, under_way)
        self._handed_over = LearnedRows(len(rows), rows_digest(self._train_rows))

    def call(self, own_step: Step) -> tuple[Any, LearnedRows | None]:
        """Call a step of the project's own.

        Returns:
            What it returned, and the rows to learn from that it handed over.

        Raises:
            ProjectDefinitionError: If it failed; names its file and line.
        """
        outer = self._under_way, self._handed_over
        self._under_way, self._handed_over = own_step, None
        try:
            with naming(own_step):
                answer = own_step(self)
            return answer, self._handed_over
        finally:
            self._under_way, self._handed_over = outer

    def result_of(self, own_step: "Callable[[TrainingWork], Result]") -> Result:
        """What a former step of the project's own returned, in this process or another.

        Raises:
            TrainingError: If it was not done.
        """
        stored = self._left_by(own_step.__name__, OwnResult)
        result: Result = as_returned(own_step, stored.values)
        return result

    def _make_train_rows(self) -> None:
        """Do again what the own steps that are done did to the training rows."""
        self._train_rows = self.split.train
        try:
            for each in self.preparing:
                if each is self._under_way:
                    break
                self._again(each)
        except BaseException:
            self._train_rows = None
            raise

    def _again(self, own_step: Step) -> None:
        stored = self.run.stage(own_step.__name__, OwnResult)
        if stored is None or stored.learned is None:
            return
        _, again = self.call(own_step)
        if self._verify and again != stored.learned:
            raise TrainingError(
                f"{place_of(own_step)} gives other rows to learn from than when it was first run "
                "in this training",
                "draw with a seed; if the step was changed, or persons were forgotten since, "
                "start another training (another --run-id)",
            )

    def decided(self, held_out: "Callable[[], pd.Series[Any] | pd.DataFrame]") -> Decided:
        """The threshold, the band around it or the interval that the settings ask for.

        Args:
            held_out: Gives P(positive), the probabilities of several classes, or the value, of
                rows that the models did not see, by their index; called where they are needed.

        Raises:
            TrainingError: If one of these is no finite number.
        """
        decision, contract = self.settings.decision, self.contract
        if not needs_predictions(decision):
            fixed = decision.unsure if isinstance(decision.unsure, tuple) else None
            return Decided(decision.threshold, fixed, thresholds=decision.thresholds or None)
        is_number = decision.interval is not None
        what = "the interval" if is_number else f"the threshold: decision.{decision.decides}"
        step(f"choosing {what}")
        scores = held_out()
        _require_numbers(scores.to_numpy("float64"))
        learned = self.train_rows
        rows = learned.loc[scores.index]
        found = chosen_decision(
            contract,
            decision,
            self.definitions,
            target_values(rows, contract),
            scores.to_numpy("float64"),
            rows,
            target_values(learned, contract),
        )
        if found.interval is not None:
            step(f"interval: {described(found.interval)}, by the errors on {len(scores):,} rows")
        return found

    @property
    def decided_contract(self) -> Contract:
        """The contract that the version will have: with the threshold at which it decides."""
        return self.found.decided.of(self.contract)

    @cached_property
    def model(self) -> LoadedModel:
        """The winner of the search, fitted on all rows to learn from.

        Raises:
            TrainingError: If the search learned from other rows.
        """
        found = self.found
        if found.ensemble is not None:
            pipeline = stored_ensemble(self.manager, self.run.run_id)
            return LoadedModel(pipeline=pipeline, contract=self.decided_contract)
        rows = self.train_rows
        if (self.preparing or self.learned_otherwise) and rows_digest(rows) != found.learned_digest:
            raise TrainingError(
                f"the search learned from {found.learned_rows} rows, and the steps before it now "
                f"give {len(rows)}, or other ones",
                "the steps of Model(training=…) were changed: start another training (another "
                "--run-id)",
            )
        step(f"fitting {found.family} on {len(rows)} rows")
        seed, sizes = self.settings.training.seed, sizes_of(self.settings.training)
        how = (found.family, found.parameters, seed, self.definitions, sizes)
        return fit(rows, self.decided_contract, *how)

    @property
    def learned_otherwise(self) -> bool:
        """Whether the search learned from other rows than the training rows as divided."""
        return self.found.learned_digest != self.divided.train_digest

    @property
    def search_metric(self) -> str:
        """What the search maximised; AutoML's knows no metric of one's own."""
        own = self.definitions.metric if self.found.ensemble is None else None
        return main_metric(self.contract, own)

    @cached_property
    def evaluation(self) -> Evaluation:
        """The winner, judged on the test rows."""
        return evaluation_of(
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
            champion = self.manager.load(version)
        except ProjectError as error:
            step(f"the champion, version {version.version}, cannot be compared with: {error}")
            return None
        return with_own_windows(champion, self.contract, self.lakehouse)

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
            raise not_done(stage)
        return result


def _require_numbers(scores: np.ndarray) -> None:
    """Refuse to choose by predictions of a model that has diverged."""
    if strange := int((~np.isfinite(scores)).sum()):
        raise TrainingError(
            f"the winner of the search predicted no finite number for {strange} of {len(scores)} "
            "rows that it had not seen, so nothing can be chosen by its errors on them",
            "leave its family out (training.families), or narrow what the search draws for it",
        )


def not_done(stage: str) -> TrainingError:
    """The error that names a stage, or a step of the project's own, that is missing."""
    command = f"training {stage}" if stage in STAGES else f"training run-step {stage}"
    return TrainingError(
        f"the stage {stage!r} of this training was not done",
        f"run it first: {command} --run-id …, or train, which does all of them",
    )


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
