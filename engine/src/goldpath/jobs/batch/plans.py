"""What is recorded of a batch inference that several tasks share: its plan, and each done shard.

The plan pins gold's snapshot and the model version, so that all shards score the same rows with the
same model, whatever is promoted, or delivered to gold, meanwhile. Window columns of the champion
that gold does not hold are computed from the sources, as the lake has them when a shard is scored.
A record counts for its own plan only.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.jobs.batch.days import DAYS_AT_ONCE, Days
from goldpath.lake.lakehouse import Lakehouse, Partitions, TableName
from goldpath.lake.shards import Shard
from goldpath.lake.tables import (
    SHARD,
    batch_plans_table,
    batch_records_table,
    prediction_shards_table,
    predictions_table,
)

COMPLETION = 0
"""As a record's shard: the run's rows are in the predictions table."""


class BatchPlanError(ProjectError):
    """A batch inference in shards has no plan, or is not what its plan says."""


@dataclass(frozen=True)
class BatchPlan:
    """How a batch inference is divided, and what all shards score with.

    Attributes:
        plan_id: Of this plan alone; a run that is planned anew has another one.
        run_id: Name of the run.
        snapshot_id: Gold's.
        model_version: What scores.
        rows_by_shard: Rows of gold in each shard, as a JSON list.
        first_day: The first day that is scored, as a date; empty for the whole table.
        end_day: The day after the last one.
        planned_at: UTC.
    """

    plan_id: str
    run_id: str
    snapshot_id: int
    model_version: str
    rows_by_shard: str
    first_day: str
    end_day: str
    planned_at: datetime

    @property
    def rows(self) -> list[int]:
        """Rows of gold in each shard."""
        return [int(count) for count in json.loads(self.rows_by_shard)]

    @property
    def days(self) -> Days | None:
        """The days that are scored; None for the whole table."""
        if not self.first_day:
            return None
        return Days(date.fromisoformat(self.first_day), date.fromisoformat(self.end_day))

    @property
    def keys(self) -> list[str]:
        """What the stored rows of each shard carry."""
        return [f"{self.plan_id}-{number}" for number in range(1, len(self.rows) + 1)]


@dataclass(frozen=True)
class PlannedShard:
    """One shard of a planned run.

    Attributes:
        plan: The run's plan.
        number: From 1 on.
    """

    plan: BatchPlan
    number: int

    @property
    def shard(self) -> Shard:
        """Which rows it holds."""
        return Shard(self.number, len(self.plan.rows))

    @property
    def key(self) -> str:
        """What its stored rows carry."""
        return self.plan.keys[self.number - 1]

    @property
    def rows(self) -> int:
        """Rows of gold in it."""
        return self.plan.rows[self.number - 1]


@dataclass(frozen=True)
class ShardRecord:
    """A shard that was scored and stored, or the completion of the run.

    Attributes:
        plan_id: The plan that it was scored by.
        shard: From 1 on; 0 for the completion.
        rows: Rows that were stored: fewer than planned where the project's own steps leave some
            out.
        columns: The stored rows' columns, as a JSON list.
        finished_at: UTC.
    """

    plan_id: str
    shard: int
    rows: int
    columns: str
    finished_at: datetime


def write_record(lakehouse: Lakehouse, contract: Contract, record: BatchPlan | ShardRecord) -> None:
    """Append a plan, or the record of a shard."""
    import pyarrow as pa

    is_plan = isinstance(record, BatchPlan)
    table = batch_plans_table(contract) if is_plan else batch_records_table(contract)
    kinds = {int: pa.int64(), str: pa.string(), datetime: pa.timestamp("us")}
    schema = pa.schema([(name, kinds[kind]) for name, kind in type(record).__annotations__.items()])
    lakehouse.append(table, pa.Table.from_pylist([asdict(record)], schema))


def read_plans(lakehouse: Lakehouse, contract: Contract) -> list[BatchPlan]:
    """Every plan, the oldest first."""
    found = [BatchPlan(**row) for row in _rows_of(lakehouse, batch_plans_table(contract))]
    return sorted(found, key=lambda plan: plan.planned_at)


def plan_of(lakehouse: Lakehouse, contract: Contract, run_id: str) -> BatchPlan:
    """The newest plan of a run.

    Raises:
        BatchPlanError: If it has none.
    """
    plans = [plan for plan in read_plans(lakehouse, contract) if plan.run_id == run_id]
    if not plans:
        raise BatchPlanError(
            f"the batch run {run_id} of {contract.dataset} has no plan",
            f"plan it first: batch plan --run-id {run_id} --shards …",
        )
    return plans[-1]


def records_of(
    lakehouse: Lakehouse, contract: Contract, plan: BatchPlan
) -> Mapping[int, ShardRecord]:
    """The newest record of each of a plan's shards, by its number."""
    rows = _rows_of(lakehouse, batch_records_table(contract), plan.plan_id)
    records = sorted((ShardRecord(**row) for row in rows), key=lambda each: each.finished_at)
    return {record.shard: record for record in records}


def completed_plans(lakehouse: Lakehouse, contract: Contract) -> set[str]:
    """The ids of the plans whose rows are in the predictions table."""
    rows = _rows_of(lakehouse, batch_records_table(contract))
    return {row["plan_id"] for row in rows if row["shard"] == COMPLETION}


def missing_shards(plan: BatchPlan, records: Mapping[int, ShardRecord]) -> list[int]:
    """The numbers of the shards that have rows and no record."""
    return [
        number for number, rows in enumerate(plan.rows, start=1) if rows and number not in records
    ]


def unfinished_run(lakehouse: Lakehouse, contract: Contract) -> str:
    """What is missing of the newest run in shards, as a sentence.

    Empty where it is complete, or was left behind: the predictions table has a later run.
    """
    plans = read_plans(lakehouse, contract)
    if not plans:
        return ""
    plan = plans[-1]
    records = records_of(lakehouse, contract, plan)
    if COMPLETION in records or _is_left_behind(lakehouse, contract, plan, records):
        return ""
    missing = missing_shards(plan, records)
    state = f"{numbers(missing)} of {len(plan.rows)} missing" if missing else "not completed"
    return f"batch run {plan.run_id} is not in it: {state}"


def _is_left_behind(
    lakehouse: Lakehouse, contract: Contract, plan: BatchPlan, records: Mapping[int, ShardRecord]
) -> bool:
    """Whether the predictions table has a run that was scored after the last work on this one.

    The plan's own days are none: a completion that was killed may have moved some of them.
    """
    import ibis

    table = predictions_table(contract)
    if not lakehouse.exists(table):
        return False
    rows = lakehouse.read(table)
    worked = max([plan.planned_at, *(record.finished_at for record in records.values())])
    later = rows.filter(rows.predicted_at > ibis.literal(worked).cast(rows.predicted_at.type()))
    runs = lakehouse.collect(later.select("run_id").distinct())["run_id"].to_pylist()
    return not {*runs} <= {*(plan.days.names if plan.days else ())}


def numbers(shards: list[int]) -> str:
    """Shards as people name them: shard 3; shards 3, 5."""
    return f"shard{'s' * (len(shards) > 1)} {', '.join(map(str, shards))}"


def empty_shards(lakehouse: Lakehouse, contract: Contract, keys: list[str]) -> None:
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


def utc_now() -> datetime:
    """As the lake holds times: in UTC, without an offset."""
    return datetime.now(UTC).replace(tzinfo=None)


def _rows_of(lakehouse: Lakehouse, table: TableName, plan_id: str = "") -> list[dict[str, Any]]:
    if not lakehouse.exists(table):
        return []
    rows = lakehouse.read(table)
    chosen = rows.filter(rows.plan_id == plan_id) if plan_id else rows
    return [dict(row) for row in lakehouse.collect(chosen).to_pylist()]
