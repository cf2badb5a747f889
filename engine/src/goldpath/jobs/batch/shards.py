"""Batch inference in shards: planned once, scored by any number of tasks, completed once.

1. `plan_batch` pins gold's snapshot and the champion, and counts the rows of each shard.
2. `score_shard` scores the rows of one, and stores them apart from the predictions table. A shard
   that is scored again replaces its own rows and no others.
3. `complete_batch` (`completion.py`) compares the stored rows with the plan, and moves them to the
   predictions table, where the run then looks as if one task had scored it. Until then no reader
   sees a part of it.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from goldpath.contract import Contract
from goldpath.errors import NothingToDoError
from goldpath.jobs.batch.days import Days, empty_days, rows_of_days
from goldpath.jobs.batch.plans import (
    BatchPlan,
    BatchPlanError,
    PlannedShard,
    ShardRecord,
    empty_shards,
    plan_of,
    utc_now,
    write_record,
)
from goldpath.jobs.batch.table import STEPS, score_rows, store_predictions
from goldpath.jobs.batch.work import BatchWork, run_each
from goldpath.jobs.step_order import Step, checked_steps
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.lake.lakehouse import Lakehouse
from goldpath.lake.shards import MOST_SHARDS, Shard
from goldpath.lake.tables import (
    gold_table,
)
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.settings import Settings

if TYPE_CHECKING:
    import ibis


@dataclass(frozen=True)
class PlanResult:
    """What the shards of a run will score.

    Attributes:
        run_id: Name of the run.
        source: The gold table.
        gold_snapshot: Its snapshot.
        model_version: The champion.
        rows: Rows to score.
        rows_by_shard: The same by shard.
    """

    run_id: str
    source: str
    gold_snapshot: int
    model_version: str
    rows: int
    rows_by_shard: list[int]


@dataclass(frozen=True)
class ShardResult:
    """What was scored of a run.

    Attributes:
        run_id: Name of the run.
        shard: Such as `3 of 8`.
        rows: Rows with a prediction.
        model_version: The planned one.
    """

    run_id: str
    shard: str
    rows: int
    model_version: str


@uses_rows
def plan_batch(
    settings: Settings, contract: Contract, run_id: str, shards: int, days: Days | None = None
) -> PlanResult:
    """Pin what is scored and by which version, and divide the rows into shards.

    Planned again, a run begins anew: shards of the former plan do not count for it.

    Args:
        settings: Where lake and registry are.
        contract: What a row is.
        run_id: Name of the run.
        shards: How many.
        days: Score gold's rows of these days only.

    Raises:
        BatchPlanError: If there are too many shards.
        RegistryError: If there is no champion.
        ContractError: If there are days, and rows have no time.
        NothingToDoError: If there is no row to score.
    """
    if shards > MOST_SHARDS:
        raise BatchPlanError(
            f"{shards} shards are too many for a batch run", f"give --shards 1 to {MOST_SHARDS}"
        )
    champion = MLflowManager(settings, contract).champion_version()
    if champion is None:
        raise RegistryError(
            f"{contract.model_name} has no champion to score with", "make train-local"
        )
    before, _ = divided_steps(settings)
    if own := [each.__name__ for each in before if each not in STEPS]:
        step(f"{', '.join(own)}: before the scoring a step sees the rows of its shard only")
    lakehouse = open_lakehouse(settings)
    gold = gold_snapshot(lakehouse, contract)
    if days is None:
        rows = lakehouse.read(gold_table(contract), gold.snapshot_id)
    else:
        rows = rows_of_days(lakehouse, contract, days, gold.snapshot_id)
    counts = _count(lakehouse, contract, rows, shards)
    if not sum(counts):
        emptied = empty_days(lakehouse, contract, days) if days else []
        former = f"; the predictions of {', '.join(emptied)} are removed" if emptied else ""
        period = f" from {days.start} until {days.end}" if days else ""
        raise NothingToDoError(
            f"{gold.table} has no rows{period}{former}", "choose other days, or run: make data"
        )
    plan = BatchPlan(
        plan_id=uuid4().hex,
        run_id=run_id,
        snapshot_id=gold.snapshot_id,
        model_version=champion.version,
        rows_by_shard=json.dumps(counts),
        first_day=str(days.start) if days else "",
        end_day=str(days.end) if days else "",
        planned_at=utc_now(),
    )
    write_record(lakehouse, contract, plan)
    return PlanResult(
        run_id=run_id,
        source=str(gold.table),
        gold_snapshot=gold.snapshot_id,
        model_version=champion.version,
        rows=sum(counts),
        rows_by_shard=counts,
    )


@uses_rows
def score_shard(settings: Settings, contract: Contract, run_id: str, number: int) -> ShardResult:
    """Score one shard of a planned run, in place of what was stored of it before.

    Args:
        settings: Where lake and registry are.
        contract: What a row is.
        run_id: Name of the run.
        number: The shard's, from 1 on.

    Raises:
        BatchPlanError: If the run has no plan, or no such shard.
        RegistryError: If the planned version is not there any more.
        LakehouseError: If gold's planned snapshot is not.
    """
    lakehouse = open_lakehouse(settings)
    plan = plan_of(lakehouse, contract, run_id)
    count = len(plan.rows)
    if not 1 <= number <= count:
        raise BatchPlanError(
            f"the batch run {run_id} has {count} shards, and {number} is none of them",
            f"give --shard a number from 1 to {count}",
        )
    shard = PlannedShard(plan, number)
    manager = MLflowManager(settings, contract)
    begun = BatchWork(
        settings=settings,
        contract=contract,
        lakehouse=lakehouse,
        manager=manager,
        champion=manager.version(plan.model_version),
        days=plan.days,
        shard=shard,
        run_id=run_id,
    )
    rows, columns = _score(begun, shard)
    record = ShardRecord(plan.plan_id, number, rows, json.dumps(columns), utc_now())
    write_record(lakehouse, contract, record)
    return ShardResult(run_id, str(shard.shard), rows, plan.model_version)


def _count(lakehouse: Lakehouse, contract: Contract, rows: "ibis.Table", shards: int) -> list[int]:
    parts = [Shard(number, shards) for number in range(1, shards + 1)]
    counted = rows.aggregate(
        **{f"shard_{part.number}": part.holds(rows, contract).cast("int64").sum() for part in parts}
    )
    (found,) = lakehouse.collect(counted).to_pylist()
    return [int(found[f"shard_{part.number}"] or 0) for part in parts]


def _score(begun: BatchWork, shard: PlannedShard) -> tuple[int, list[str]]:
    """The number of rows that were stored, and their columns."""
    if not shard.rows:
        return 0, []
    before, _ = divided_steps(begun.settings)
    try:
        work = run_each(begun, (*before, store_predictions), STEPS)
    except NothingToDoError as error:  # the project's own steps have left no row of this shard
        step(error.message)
        empty_shards(begun.lakehouse, begun.contract, [shard.key])
        return 0, []
    return work.scored.num_rows, work.scored.column_names


def divided_steps(settings: Settings) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """The steps of a batch that each shard does, and those that the completion does once.

    What follows the scoring may compare all rows of the run with each other.

    Raises:
        ProjectDefinitionError: If the order is wrong.
    """
    steps = checked_steps(tuple(settings.project.definitions.batch), STEPS, "batch")
    place = steps.index(score_rows) + 1
    return steps[:place], steps[place:]
