"""A batch inference between its steps."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.jobs.step_order import Step, checked_steps
from goldpath.model_version import ModelVersion
from goldpath.project import ProjectDefinitionError, place_of
from goldpath.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from goldpath.lake.lakehouse import Lakehouse
    from goldpath.registry.mlflow_manager import MLflowManager


@dataclass(frozen=True)
class BatchWork:
    """What a step of a batch inference is given, and gives on.

    A step takes one and returns one: `dataclasses.replace(work, scored=…)` for what it changes.

    Attributes:
        settings: The settings.
        contract: What a row is.
        lakehouse: Where the tables are.
        manager: The registry.
        champion: The version that scores.
        data: The file that is scored; None for the gold table.
        run_id: Name of the run; empty until the rows are loaded where nobody gave one.
        source: What was loaded, for people.
        refused_rows: Rows of a file that do not fulfil the contract.
        rows: Typed rows; none before `load_rows`.
        scored: The rows of the predictions table; none before `score_rows`. Columns that a step
            adds are stored.

    Example:
        >>> from dataclasses import replace
        >>> from goldpath import BatchWork, Model, batch
        >>> def doubled(work: BatchWork) -> BatchWork:
        ...     import pyarrow.compute as pc
        ...     twice = pc.multiply(work.scored["score"], 2)
        ...     return replace(work, scored=work.scored.append_column("twice", twice))
        >>> steps = [batch.load_rows, batch.score_rows, doubled, batch.store_predictions]
        >>> len(Model(batch=steps).batch)
        4
    """

    settings: Settings
    contract: Contract
    lakehouse: "Lakehouse"
    manager: "MLflowManager"
    champion: ModelVersion
    data: Path | None = None
    run_id: str = ""
    source: str = ""
    refused_rows: int = 0
    rows: "pa.Table | None" = None
    scored: "pa.Table | None" = None


def run_steps(
    work: BatchWork, handed_over: tuple[Step, ...], engine: tuple[Step, ...]
) -> BatchWork:
    """Pass the work through the project's steps, or the engine's where the project has none.

    Raises:
        ProjectDefinitionError: If the order is wrong, or a step of the project fails, returns no
            `BatchWork`, or changes the number of scored rows; names its file and line.
    """
    for each in checked_steps(handed_over, engine, "batch"):
        work = each(work) if each in engine else _own(each, work)
    return work


def _own(step: Step, work: BatchWork) -> BatchWork:
    try:
        done = step(work)
    except ProjectDefinitionError:
        raise
    except Exception as error:
        raise ProjectDefinitionError(
            f"{place_of(step)} failed: {type(error).__name__}: {error}",
            "correct the step; nothing was written",
        ) from error
    if not isinstance(done, BatchWork):
        raise ProjectDefinitionError(
            f"{place_of(step)} returned a {type(done).__name__}, not a BatchWork",
            "return dataclasses.replace(work, …), or the work itself",
        )
    before, after = work.scored, done.scored
    if before is not None and (after is None or after.num_rows != before.num_rows):
        raise ProjectDefinitionError(
            f"{place_of(step)} leaves {0 if after is None else after.num_rows} of "
            f"{before.num_rows} scored rows",
            "keep each scored row; leave rows out before they are scored, or in gold",
        )
    return done
