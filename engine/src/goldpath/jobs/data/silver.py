"""Silver: rows that fulfil the contract, one for each entity and event time.

The rule for duplicates: of several accepted rows with the same entity and event time, the one
that was ingested last wins, and within a file the later line. A source without an entity, or whose
entities have several rows at no time, has no key, so there the files that the source holds now are
the whole dataset.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldpath.contract import EVENT_TIME, Contract
from goldpath.jobs.data.recipes import clean_raw
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, Partitions
from goldpath.lake.tables import (
    BATCH,
    INGESTED_AT,
    INTERVAL,
    REASONS,
    ROW_NUMBER,
    bronze_table,
    quarantine_table,
    silver_table,
)
from goldpath.project import NO_RECIPES, Data
from goldpath.quality.checks import divide_rows, mark_rows

if TYPE_CHECKING:
    import ibis

SHOWN_REASONS = 10


@dataclass(frozen=True)
class IntervalCounts:
    """Where each bronze row of an interval went; bronze = silver + quarantined + duplicates."""

    interval: str
    bronze: int
    silver: int
    quarantined: int
    duplicates: int
    snapshot: int


def current_rows(
    lakehouse: Lakehouse,
    contract: Contract,
    batches: tuple[str, ...],
    partitions: Partitions | None = None,
) -> "ibis.Table":
    """The bronze rows that silver is made from."""
    bronze = lakehouse.read(bronze_table(contract), partitions=partitions)
    return bronze if contract.has_key else bronze.filter(bronze[BATCH].isin(batches))


def refine(
    lakehouse: Lakehouse,
    contract: Contract,
    batches: tuple[str, ...],
    intervals: tuple[str, ...],
    recipes: Data = NO_RECIPES,
) -> list[IntervalCounts]:
    """Make silver and quarantine of some intervals anew from bronze.

    Raises:
        LakehouseError: If a row is neither in silver, nor quarantined, nor a duplicate.
    """
    import ibis

    partitions = Partitions(INTERVAL, intervals)
    bronze = current_rows(lakehouse, contract, batches, partitions)
    cleaned = clean_raw(bronze, contract, recipes)
    with lakehouse.materialized(mark_rows(cleaned, contract, require_target=True)) as marked:
        checked = divide_rows(marked)
        lakehouse.overwrite(quarantine_table(contract), checked.rejected, partitions)
        silver = latest_of_each_key(checked.accepted, contract)
        snapshot = lakehouse.overwrite(silver_table(contract), silver, partitions)
        is_bad = (marked[REASONS] != "").ifelse(1, 0)
        marked_counts = lakehouse.collect(
            marked.group_by(INTERVAL).aggregate(bronze=ibis._.count(), quarantined=is_bad.sum())
        ).to_pylist()
    kept = lakehouse.read(silver_table(contract), snapshot.snapshot_id, partitions)
    kept_counts = lakehouse.collect(kept.group_by(INTERVAL).aggregate(silver=ibis._.count()))
    return _account(intervals, marked_counts, kept_counts.to_pylist(), snapshot.snapshot_id)


def _account(
    intervals: tuple[str, ...],
    marked: list[dict[str, Any]],
    kept: list[dict[str, Any]],
    snapshot: int,
) -> list[IntervalCounts]:
    read = {row[INTERVAL]: row for row in marked}
    written = {row[INTERVAL]: row["silver"] for row in kept}
    counts = []
    for interval in intervals:
        bronze = read[interval]["bronze"] if interval in read else 0
        quarantined = int(read[interval]["quarantined"]) if interval in read else 0
        silver = written.get(interval, 0)
        duplicates = bronze - quarantined - silver
        if duplicates < 0:
            raise LakehouseError(
                f"interval {interval}: {bronze} bronze rows became {silver} silver rows and "
                f"{quarantined} quarantined ones",
                "run it again: make data; report it where it stays",
            )
        counts.append(IntervalCounts(interval, bronze, silver, quarantined, duplicates, snapshot))
    return counts


def commonest_reasons(lakehouse: Lakehouse, contract: Contract) -> dict[str, int]:
    """Why rows are in quarantine, the row's own value left out, the commonest first."""
    import ibis

    quarantine = lakehouse.read(quarantine_table(contract))
    reason = quarantine[REASONS].split("; ").unnest().re_replace(": '.*' is", ": is")
    found = lakehouse.collect(
        quarantine.select(reason=reason)
        .group_by("reason")
        .aggregate(rows=ibis._.count())
        .order_by([ibis.desc("rows"), "reason"])
        .limit(SHOWN_REASONS)
    )
    return {row["reason"]: row["rows"] for row in found.to_pylist()}


def latest_of_each_key(accepted: "ibis.Table", contract: Contract) -> "ibis.Table":
    """Of several accepted rows with one key, the one that was ingested last."""
    import ibis

    key = [contract.entity_column, *([EVENT_TIME] if contract.has_time else [])]
    if not contract.has_key:
        key += [BATCH, ROW_NUMBER]  # a row's number is its identity within its file only
    newest_first = [ibis.desc(INGESTED_AT), ibis.desc(BATCH), ibis.desc(ROW_NUMBER)]
    rank = ibis.row_number().over(group_by=key, order_by=newest_first)
    ranked = accepted.mutate(_rank=rank)
    return ranked.filter(ranked["_rank"] == 0).drop("_rank")
