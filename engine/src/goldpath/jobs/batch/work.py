"""A batch inference between its steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.errors import NothingToDoError
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.jobs.batch.days import Days
from goldpath.jobs.batch.plans import PlannedShard
from goldpath.jobs.step_order import Step, checked_steps
from goldpath.model_version import ModelVersion
from goldpath.project import naming
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
        days: The days of gold that are scored; None for all rows.
        shard: The part of a planned run that is scored; None for all of it.
        run_id: Name of the run; empty until the rows are loaded where nobody gave one.
        source: What was loaded, for people.
        refused_rows: Rows of a file that do not fulfil the contract.
        refused_reasons: How many of them for each reason.
        refused_file: A CSV file with the number of each of them and why; empty where there is none.
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
    days: Days | None = None
    shard: PlannedShard | None = None
    run_id: str = ""
    source: str = ""
    refused_rows: int = 0
    refused_reasons: Mapping[str, int] = field(default_factory=dict)
    refused_file: str = ""
    # Typed as tables, so that a step need not ask: the order of the steps has been checked.
    rows: "pa.Table" = None
    scored: "pa.Table" = None


def run_steps(
    work: BatchWork, handed_over: tuple[Step, ...], engine: tuple[Step, ...]
) -> BatchWork:
    """Pass the work through the project's steps, or the engine's where the project has none.

    Raises:
        ProjectDefinitionError: If the order is wrong, or a step of the project fails, returns no
            `BatchWork`, changes the number of scored rows, takes a column of them away, or adds
            one without a type; names its file and line.
        NothingToDoError: If a step of the project leaves no row to score.
    """
    return run_each(work, checked_steps(handed_over, engine, "batch"), engine)


def run_each(work: BatchWork, steps: Sequence[Step], engine: Sequence[Step]) -> BatchWork:
    """The same for some steps of a recipe that has been checked."""
    for each in steps:
        work = each(work) if each in engine else _own(each, work)
    return work


def _own(step: Step, work: BatchWork) -> BatchWork:
    with naming(step):
        done = step(work)
    if not isinstance(done, BatchWork):
        raise ProjectDefinitionError(
            f"{place_of(step)} returned a {type(done).__name__}, not a BatchWork",
            "return dataclasses.replace(work, …), or the work itself",
        )
    _require_rows(step, work.rows, done.rows)
    _require_scored(step, work.scored, done.scored)
    return done


def _require_rows(step: Step, before: "pa.Table | None", after: "pa.Table | None") -> None:
    """Rows may be left out before they are scored, but not all of them."""
    if before is not None and (after is None or after.num_rows == 0):
        raise NothingToDoError(
            f"{place_of(step)} leaves none of {before.num_rows} rows to score",
            "look at what it leaves out; nothing was written",
        )


def _require_scored(step: Step, before: "pa.Table | None", after: "pa.Table | None") -> None:
    """Each scored row stays, with its columns; others may be added."""
    import pyarrow as pa

    if before is None:
        return
    if after is None or after.num_rows != before.num_rows:
        raise ProjectDefinitionError(
            f"{place_of(step)} leaves {0 if after is None else after.num_rows} of "
            f"{before.num_rows} scored rows",
            "keep each scored row; leave rows out before they are scored, or in gold",
        )
    if gone := [name for name in before.column_names if name not in after.column_names]:
        raise ProjectDefinitionError(
            f"{place_of(step)} takes {', '.join(gone)} away from the scored rows",
            "keep the columns, and add others beside them",
        )
    if nameless := [each.name for each in after.schema if pa.types.is_null(each.type)]:
        raise ProjectDefinitionError(
            f"{place_of(step)}: the column {', '.join(nameless)} holds nothing, so it has no type",
            "give it one: pa.array(values, pa.string())",
        )
