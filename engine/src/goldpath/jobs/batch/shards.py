"""Batch inference in shards: planned once, scored by any number of tasks, completed once.

1. `plan_batch` pins gold's snapshot and the champion, and counts the rows of each shard.
2. `score_shard` scores the rows of one, and stores them apart from the predictions table. A shard
   that is scored again replaces its own rows and no others.
3. `complete_batch` compares the stored rows with the plan, and moves them to the predictions table,
   where the run then looks as if one task had scored it. Until then no reader sees a part of it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import uuid4

from goldpath.contract import Contract
from goldpath.errors import NothingToDoError
from goldpath.jobs.batch.days import DAYS_AT_ONCE, Days, empty_days, replace_days, rows_of_days
from goldpath.jobs.batch.plans import (
    COMPLETION,
    BatchPlan,
    BatchPlanError,
    PlannedShard,
    ShardRecord,
    completed_plans,
    missing_shards,
    numbers,
    plan_of,
    read_plans,
    records_of,
    write_record,
)
from goldpath.jobs.batch.table import STEPS, BatchResult
from goldpath.jobs.batch.work import BatchWork, run_steps
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.lake.lakehouse import Lakehouse, Partitions
from goldpath.lake.shards import MOST_SHARDS, Shard
from goldpath.lake.tables import (
    SHARD,
    TRAINING_ROW,
    gold_table,
    prediction_shards_table,
    predictions_table,
)
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.settings import Settings

if TYPE_CHECKING:
    import ibis

ABANDONED_AFTER = timedelta(days=7)
"""The rows of a run that was never completed are removed by a later completion then."""


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
        planned_at=_now(),
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
    record = ShardRecord(plan.plan_id, number, rows, json.dumps(columns), _now())
    write_record(lakehouse, contract, record)
    return ShardResult(run_id, str(shard.shard), rows, plan.model_version)


@uses_rows
def complete_batch(settings: Settings, contract: Contract, run_id: str) -> BatchResult:
    """Move the rows of all shards to the predictions table, if none is missing.

    The shards' rows of former runs are removed; those of this one stay, so that a shard can be
    scored again and the run completed again.

    Args:
        settings: Where lake and registry are.
        contract: What a row is.
        run_id: Name of the run.

    Raises:
        BatchPlanError: If the run has no plan, or a shard is missing or has not all of its rows;
            names it.
        NothingToDoError: If the project's own steps have left no row.
    """
    import ibis

    lakehouse = open_lakehouse(settings)
    plan = plan_of(lakehouse, contract, run_id)
    records = records_of(lakehouse, contract, plan)
    _require_all(lakehouse, contract, plan, records)
    columns = _columns(plan, records)
    scored = sum(record.rows for number, record in records.items() if number != COMPLETION)
    planned = sum(plan.rows)
    if not scored:
        raise NothingToDoError(
            f"the project's own steps leave none of {planned} rows to score",
            "look at what they leave out; nothing was written",
        )
    left_out = f"; the project's own steps leave {planned - scored} out" if scored < planned else ""
    step(f"complete: {scored} rows of {len(plan.rows)} shards{left_out}")
    stored = prediction_shards_table(contract)
    rows = lakehouse.read(stored, partitions=Partitions(SHARD, tuple(plan.keys))).select(*columns)
    counted = rows.aggregate(
        mean=rows.score.mean(),
        known=rows[TRAINING_ROW].cast("int64").sum(),
        finished=rows.predicted_at.max(),
    )
    (figures,) = lakehouse.collect(counted).to_pylist()
    # One time for all, by which drift checks know what was scored together.
    finished = ibis.literal(figures["finished"]).cast(rows.predicted_at.type())
    rows = rows.mutate(predicted_at=finished)
    if plan.days is not None:
        replace_days(lakehouse, contract, plan.days, rows)
    else:
        lakehouse.overwrite(predictions_table(contract), rows, Partitions("run_id", (run_id,)))
    done = ShardRecord(plan.plan_id, COMPLETION, scored, json.dumps(columns), _now())
    write_record(lakehouse, contract, done)
    _remove_former(lakehouse, contract, plan)
    return BatchResult(
        source=str(gold_table(contract)),
        rows=scored,
        refused_rows=0,
        refused_reasons={},
        refused_file="",
        table=str(predictions_table(contract)),
        run_id=str(plan.days) if plan.days else run_id,
        model_version=plan.model_version,
        mean_score=figures["mean"],
        training_rows=figures["known"],
    )


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
    settings = begun.settings
    try:
        work = run_steps(begun, tuple(settings.project.definitions.batch), STEPS)
    except NothingToDoError as error:  # the project's own steps have left no row of this shard
        step(error.message)
        _empty(begun.lakehouse, begun.contract, [shard.key])
        return 0, []
    # A step after the storing one may have added more.
    stored = begun.lakehouse.read(prediction_shards_table(begun.contract)).columns
    return work.scored.num_rows, [name for name in work.scored.column_names if name in stored]


def _require_all(
    lakehouse: Lakehouse,
    contract: Contract,
    plan: BatchPlan,
    records: Mapping[int, ShardRecord],
) -> None:
    """Refuse a run without a shard, or with one that lost rows, as by the erasure of a person."""
    count, again = len(plan.rows), f"batch score --run-id {plan.run_id} --shard"
    if missing := missing_shards(plan, records):
        raise BatchPlanError(
            f"the batch run {plan.run_id} is not complete: {numbers(missing)} of {count} missing",
            f"score what is missing, then complete the run: {again} {missing[0]}",
        )
    stored = _stored_rows(lakehouse, contract, plan)
    for number, key in enumerate(plan.keys, start=1):
        expected = records[number].rows if number in records else 0
        if stored.get(key, 0) != expected:
            raise BatchPlanError(
                f"the batch run {plan.run_id} is not complete: shard {number} of {count} has "
                f"{stored.get(key, 0)} of {expected} rows",
                f"score it again: {again} {number}; or, where gold has changed, plan the run again",
            )


def _stored_rows(lakehouse: Lakehouse, contract: Contract, plan: BatchPlan) -> dict[str, int]:
    table = prediction_shards_table(contract)
    if not lakehouse.exists(table):
        return {}
    rows = lakehouse.read(table, partitions=Partitions(SHARD, tuple(plan.keys)))
    counted = lakehouse.collect(rows.group_by(SHARD).agg(rows=rows.count())).to_pylist()
    return {row[SHARD]: row["rows"] for row in counted}


def _columns(plan: BatchPlan, records: Mapping[int, ShardRecord]) -> list[str]:
    """The columns that all shards have.

    Raises:
        BatchPlanError: If one has others, because the project has changed in between.
    """
    by_shard = {
        number: record.columns
        for number, record in sorted(records.items())
        if number != COMPLETION and record.rows
    }
    first = next(iter(by_shard.values()), "[]")
    if others := [number for number, columns in by_shard.items() if columns != first]:
        raise BatchPlanError(
            f"the batch run {plan.run_id}: {numbers(others)} of {len(plan.rows)} has other columns "
            "than the first one; the project was changed in between",
            "score all shards again",
        )
    columns: list[str] = json.loads(first)
    return columns


def _remove_former(lakehouse: Lakehouse, contract: Contract, plan: BatchPlan) -> None:
    """Remove the shards' rows of completed runs, of former plans of this one, and of abandoned."""
    completed, oldest = completed_plans(lakehouse, contract), _now() - ABANDONED_AFTER
    gone = [
        key
        for each in read_plans(lakehouse, contract)
        if each.plan_id != plan.plan_id
        and (each.plan_id in completed or each.run_id == plan.run_id or each.planned_at < oldest)
        for key in each.keys
    ]
    _empty(lakehouse, contract, gone)


def _empty(lakehouse: Lakehouse, contract: Contract, keys: list[str]) -> None:
    """Remove the stored rows of some shards."""
    import ibis

    table = prediction_shards_table(contract)
    if not keys or not lakehouse.exists(table):
        return
    rows = lakehouse.read(table)
    held = {*lakehouse.collect(rows.select(SHARD).distinct())[SHARD].to_pylist()} & {*keys}
    nothing, chosen = rows.filter(ibis.literal(False)), sorted(held)
    for first in range(0, len(chosen), DAYS_AT_ONCE):
        some = tuple(chosen[first : first + DAYS_AT_ONCE])
        lakehouse.overwrite(table, nothing, Partitions(SHARD, some))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
