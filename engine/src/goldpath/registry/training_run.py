"""One training as an MLflow run: what its stages leave for each other, wherever the next one runs.

A stage that is done has logged its result, a frozen dataclass, to the run as `stages/NAME.json`. A
later call of the stage, in this process, after a kill or on another machine, finds it there and
does nothing. Each trial of the search is a child run, so a search goes on where it stopped.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import TypeVar

from goldpath.learning.search import Trial
from goldpath.registry.layout import RUN_KEY
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.registry.stored_result import result_as_json, result_from_json
from goldpath.reports import finite

Result = TypeVar("Result")

STAGE_FOLDER = "stages"
PARENT = "mlflow.parentRunId"
TRIAL = "search_trial"
INPUTS = "inputs_digest"
MOST_TRIALS = 10_000


class TrainingRun:
    """An MLflow run that is found by its key.

    Args:
        manager: Where runs are kept.
        run_id: MLflow's id.
    """

    def __init__(self, manager: MLflowManager, run_id: str) -> None:
        self.manager = manager
        self.run_id = run_id
        self._stages: dict[str, object] = {}

    @property
    def tags(self) -> Mapping[str, str]:
        """The run's tags."""
        with self.manager.translate("reading the run"):
            return dict(self.manager.client.get_run(self.run_id).data.tags)

    @property
    def is_finished(self) -> bool:
        """Whether the training came to its end."""
        with self.manager.translate("reading the run"):
            return str(self.manager.client.get_run(self.run_id).info.status) == "FINISHED"

    def stage(self, name: str, kind: type[Result]) -> Result | None:
        """What a stage left, or None where it was not done.

        Args:
            name: The stage.
            kind: The dataclass of its result.

        Raises:
            RegistryError: If what is stored is no such result.
        """
        if name not in self._stages:
            text = self._read(_file_of(name))
            if text is None:
                return None
            self._stages[name] = result_from_json(
                kind, text, f"{_file_of(name)} of the run {self.run_id}"
            )
        result = self._stages[name]
        if not isinstance(result, kind):
            raise TypeError(f"the stage {name} left {type(result).__name__}, not {kind.__name__}")
        return result

    def is_done(self, name: str) -> bool:
        """Whether a stage has left its result."""
        return name in self._stages or self.manager.has_artifact(self.run_id, _file_of(name))

    def finish_stage(self, name: str, result: object) -> None:
        """Store a stage's result. Called last, so that a killed stage is done again."""
        self.manager.log_text(self.run_id, result_as_json(result), _file_of(name))
        self._stages[name] = result

    @contextmanager
    def marked(self) -> Iterator[None]:
        """Mark the run as failed or stopped where the block ends so; a later call goes on."""
        try:
            yield
        except KeyboardInterrupt:
            self._end("KILLED")
            raise
        except Exception:
            self._end("FAILED")
            raise

    def reopen(self) -> None:
        """Mark a finished run as running again: there is a step left to do."""
        with self.manager.translate("going on with the run"):
            self.manager.client.update_run(self.run_id, status="RUNNING")

    def _end(self, status: str) -> None:
        # The registry may be the very thing that failed; the first error is the one to show.
        with suppress(RegistryError), self.manager.translate("ending the run"):
            self.manager.client.set_terminated(self.run_id, status)

    def trials(self) -> tuple[Trial, ...]:
        """The finished trials of the search, in order, without a gap."""
        with self.manager.translate("reading the trials"):
            children = self.manager.client.search_runs(
                [self.manager.experiment_id()],
                f"tags.`{PARENT}` = '{self.run_id}' and attributes.status = 'FINISHED'",
                max_results=MOST_TRIALS,
            )
        found: dict[int, Trial] = {}
        for child in children:
            if text := child.data.tags.get(TRIAL):
                values = json.loads(text)
                values["fold_scores"] = tuple(
                    math.nan if score is None else score for score in values["fold_scores"]
                )
                found[values["number"]] = Trial(**values)
        ordered: list[Trial] = []
        while len(ordered) in found:
            ordered.append(found[len(ordered)])
        return tuple(ordered)

    def log_trial(self, trial: Trial, metric: str) -> None:
        """Log a trial as a child run."""
        from mlflow.entities import Metric, Param

        client = self.manager.client
        with self.manager.translate(f"logging trial {trial.number}"):
            child = client.create_run(
                self.manager.experiment_id(),
                run_name=f"trial-{trial.number:03d}",
                tags={
                    PARENT: self.run_id,
                    TRIAL: json.dumps(finite(asdict(trial)), allow_nan=False),
                    "pruned": str(trial.pruned).lower(),
                },
            )
            client.log_batch(
                child.info.run_id,
                metrics=[
                    *(
                        Metric(f"fold_{metric}", score, 0, fold)
                        for fold, score in enumerate(trial.fold_scores)
                        if math.isfinite(score)
                    ),
                    *(
                        [Metric(f"search_{metric}", trial.score, 0, 0)]
                        if math.isfinite(trial.score)
                        else []
                    ),
                    Metric("seconds", trial.seconds, 0, 0),
                ],
                params=[
                    Param(name, str(value))
                    for name, value in {"family": trial.family, **trial.parameters}.items()
                ],
            )
            client.set_terminated(child.info.run_id)

    def _read(self, artifact: str) -> str | None:
        if not self.manager.has_artifact(self.run_id, artifact):
            return None
        return self.manager.read_text(self.run_id, artifact)


def _file_of(stage: str) -> str:
    return f"{STAGE_FOLDER}/{stage}.json"


def open_run(manager: MLflowManager, run_key: str, tags: Mapping[str, str]) -> TrainingRun:
    """The run of this key; a new one where there is none.

    Raises:
        RegistryError: If MLflow cannot be reached, or the run belongs to another data set.
    """
    found = find_run(manager, run_key)
    if found is not None:
        return found
    with manager.translate("starting a run"):
        created = manager.client.create_run(
            manager.experiment_id(), run_name=run_key, tags={RUN_KEY: run_key, **tags}
        )
        return TrainingRun(manager, created.info.run_id)


def find_run(manager: MLflowManager, run_key: str) -> TrainingRun | None:
    """The run of this key, or None.

    Raises:
        RegistryError: If the key cannot be searched for.
    """
    if "'" in run_key:
        raise RegistryError(f"the run id {run_key!r} holds a quote", "choose one without")
    return _newest(manager, f"tags.{RUN_KEY} = '{run_key}'")


def unfinished_run(manager: MLflowManager, inputs_digest: str) -> TrainingRun | None:
    """The newest run with the same inputs that did not come to its end, or None."""
    return _newest(
        manager, f"tags.{INPUTS} = '{inputs_digest}' and attributes.status != 'FINISHED'"
    )


def _newest(manager: MLflowManager, query: str) -> TrainingRun | None:
    with manager.translate("looking for the run"):
        found = manager.client.search_runs(
            [manager.experiment_id()],
            query,
            max_results=1,
            order_by=["attributes.start_time DESC"],
        )
    return TrainingRun(manager, found[0].info.run_id) if found else None
