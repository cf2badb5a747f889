"""Completing a batch inference in shards: all of its rows into the predictions table, or none."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.errors import NothingToDoError
from goldpath.jobs.batch.days import replace_days
from goldpath.jobs.batch.plans import (
    COMPLETION,
    BatchPlan,
    BatchPlanError,
    ShardRecord,
    completed_plans,
    empty_shards,
    missing_shards,
    numbers,
    plan_of,
    read_plans,
    records_of,
    utc_now,
    write_record,
)
from goldpath.jobs.batch.shards import divided_steps
from goldpath.jobs.batch.table import STEPS, BatchResult
from goldpath.jobs.batch.work import BatchWork, run_each
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, Partitions
from goldpath.lake.tables import (
    SHARD,
    TRAINING_ROW,
    gold_table,
    prediction_shards_table,
    predictions_table,
)
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.settings import Settings

if TYPE_CHECKING:
    import ibis

ABANDONED_AFTER = timedelta(days=7)
"""The rows of a run that was never completed are removed by a later completion then."""


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
        ProjectDefinitionError: If one of the project's own steps after the scoring fails.
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
        _write_completion(lakehouse, contract, plan, 0, columns)
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
    _move(settings, contract, lakehouse, plan, rows)
    _write_completion(lakehouse, contract, plan, scored, columns)
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


def _move(
    settings: Settings,
    contract: Contract,
    lakehouse: Lakehouse,
    plan: BatchPlan,
    rows: "ibis.Table",
) -> None:
    """Write the rows to the predictions table, in place of those of the same run or days.

    The project's own steps after the scoring come before, once, with the rows of all shards.
    """
    _, after = divided_steps(settings)
    if any(each not in STEPS for each in after):
        manager = MLflowManager(settings, contract)
        work = BatchWork(
            settings=settings,
            contract=contract,
            lakehouse=lakehouse,
            manager=manager,
            champion=manager.version(plan.model_version),
            days=plan.days,
            run_id=plan.run_id,
            source=str(gold_table(contract)),
            scored=lakehouse.collect(rows),
        )
        run_each(work, after, STEPS)
    elif plan.days is not None:
        replace_days(lakehouse, contract, plan.days, rows)
    else:
        run = Partitions("run_id", (plan.run_id,))
        lakehouse.overwrite(predictions_table(contract), rows, run)


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


def _write_completion(
    lakehouse: Lakehouse, contract: Contract, plan: BatchPlan, rows: int, columns: list[str]
) -> None:
    """Record that nothing of the run is left to do, be it that there was no row to move."""
    done = ShardRecord(plan.plan_id, COMPLETION, rows, json.dumps(columns), utc_now())
    write_record(lakehouse, contract, done)


def _remove_former(lakehouse: Lakehouse, contract: Contract, plan: BatchPlan) -> None:
    """Remove the shards' rows of completed runs, of former plans of this one, and of abandoned."""
    completed, oldest = completed_plans(lakehouse, contract), utc_now() - ABANDONED_AFTER
    gone = [
        key
        for each in read_plans(lakehouse, contract)
        if each.plan_id != plan.plan_id
        and (each.plan_id in completed or each.run_id == plan.run_id or each.planned_at < oldest)
        for key in each.keys
    ]
    empty_shards(lakehouse, contract, gone)
