"""Silver: rows that fulfil the contract, one for each key.

The rule for duplicates: of several accepted rows with the same key, the one that was ingested last
wins, and within a file the later line. The main table's key is its entity and event time, a further
source's is the column that it names. A table without a key (no entity, entities with several rows
at no time, a source that names none) keeps each row of the files that its source holds now; these
are the whole dataset then.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldpath.contract import EVENT_TIME
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
from goldpath.quality.wide_rows import ENGINE_FEATURES, can_be_marked, mark_table
from goldpath.row_contract import RowContract

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
    contract: RowContract,
    batches: tuple[str, ...],
    partitions: Partitions | None = None,
) -> "ibis.Table":
    """The bronze rows that silver is made from."""
    bronze = lakehouse.read(bronze_table(contract), partitions=partitions)
    return bronze if contract.has_key else bronze.filter(bronze[BATCH].isin(batches))


def refine(
    lakehouse: Lakehouse,
    contract: RowContract,
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
    if spans_intervals(contract):
        bronze = bronze.union(_rivals(lakehouse, contract, bronze, intervals))
    cleaned = clean_raw(bronze, contract, recipes)
    with _marked(lakehouse, cleaned, contract) as marked:
        here = _of(marked, contract, intervals)
        lakehouse.overwrite(quarantine_table(contract), divide_rows(here).rejected, partitions)
        marked_counts, is_unique = _marked_counts(lakehouse, here, contract)
        accepted = divide_rows(marked).accepted
        latest = accepted if is_unique else latest_of_each_key(accepted, contract)
        silver = _of(latest, contract, intervals)
        snapshot = lakehouse.overwrite(silver_table(contract), silver, partitions)
    kept = lakehouse.read(silver_table(contract), snapshot.snapshot_id, partitions)
    kept_counts = lakehouse.collect(kept.group_by(INTERVAL).aggregate(silver=ibis._.count()))
    return _account(intervals, marked_counts, kept_counts.to_pylist(), snapshot.snapshot_id)


def _marked_counts(
    lakehouse: Lakehouse, rows: "ibis.Table", contract: RowContract
) -> tuple[dict[str, tuple[int, int]], bool]:
    """Bronze and quarantined rows by interval; and, without a key, whether each row came once.

    Counting the different row numbers of each file costs a fifth of what ranking the rows does.
    """
    import ibis

    files = [] if contract.has_key else [BATCH]
    numbers = {} if contract.has_key else {"numbers": rows[ROW_NUMBER].nunique()}
    is_bad = (rows[REASONS] != "").ifelse(1, 0)
    found = lakehouse.collect(
        rows.group_by(INTERVAL, *files).aggregate(
            bronze=ibis._.count(), quarantined=is_bad.sum(), **numbers
        )
    ).to_pylist()
    counts: dict[str, tuple[int, int]] = {}
    for row in found:
        bronze, quarantined = counts.get(row[INTERVAL], (0, 0))
        counts[row[INTERVAL]] = bronze + row["bronze"], quarantined + int(row["quarantined"])
    is_unique = not contract.has_key and all(row["numbers"] == row["bronze"] for row in found)
    return counts, is_unique


def require_a_row(
    lakehouse: Lakehouse,
    contract: RowContract,
    batches: tuple[str, ...],
    intervals: tuple[str, ...],
) -> None:
    """Look for a row of some intervals that fulfils the contract, before silver is written.

    Raises:
        LakehouseError: If bronze has rows of them, and none does; names the commonest reasons.
    """
    bronze = current_rows(lakehouse, contract, batches, Partitions(INTERVAL, intervals))
    divided = divide_rows(mark_rows(bronze, contract, require_target=True))
    if lakehouse.collect(divided.accepted.select(INTERVAL).limit(1)).num_rows:
        return
    if reasons := _commonest(lakehouse, divided.rejected):
        raise LakehouseError(
            f"no row of {contract.source.name} fulfils it; reasons: {reasons}",
            f"correct the file, or run: {contract.inferred_by}",
        )


@contextmanager
def _marked(
    lakehouse: Lakehouse, rows: "ibis.Table", contract: RowContract
) -> Iterator["ibis.Table"]:
    """Every row with its typed values and the reasons against it, computed once."""
    import ibis

    if len(contract.features) > ENGINE_FEATURES:
        (counted,) = lakehouse.collect(rows.aggregate(rows=ibis._.count())).to_pylist()
        if can_be_marked(rows.schema().to_pyarrow(), contract, counted["rows"]):
            held = mark_table(lakehouse.collect(rows), contract, require_target=True)
            with lakehouse.staged(held) as marked:
                yield marked
            return
    with lakehouse.materialized(mark_rows(rows, contract, require_target=True)) as marked:
        yield marked


def spans_intervals(contract: RowContract) -> bool:
    """Whether rows of one key may lie in several intervals: a payment whose day is corrected."""
    return contract.has_key and contract.has_time and EVENT_TIME not in contract.key_columns


def intervals_sharing_keys(
    lakehouse: Lakehouse, contract: RowContract, intervals: Sequence[str]
) -> list[str]:
    """Other intervals with a row whose key is in these: what silver keeps there may change, too.

    Silver is asked as well, for keys whose rows are in bronze no more.
    """
    bronze = lakehouse.read(bronze_table(contract))
    keys = _keys(bronze.filter(bronze[INTERVAL].isin(intervals)), contract)
    if lakehouse.exists(silver_table(contract)):
        silver = lakehouse.read(silver_table(contract), partitions=_those(intervals))
        if set(contract.key_columns) <= set(silver.columns):
            keys = keys.union(_keys(silver, contract))
    others = _with_keys(bronze.filter(bronze[INTERVAL].notin(intervals)), contract, keys)
    found = lakehouse.collect(others.select(INTERVAL).distinct())
    return sorted(found[INTERVAL].to_pylist())


def _rivals(
    lakehouse: Lakehouse, contract: RowContract, rows: "ibis.Table", intervals: Sequence[str]
) -> "ibis.Table":
    """The rows of other intervals that have a key of these: the last of all of them wins."""
    bronze = lakehouse.read(bronze_table(contract))
    others = bronze.filter(bronze[INTERVAL].notin(intervals))
    return _with_keys(others, contract, _keys(rows, contract)).select(*rows.columns)


def _of(rows: "ibis.Table", contract: RowContract, intervals: Sequence[str]) -> "ibis.Table":
    """The rows without the rivals of other intervals."""
    return rows.filter(rows[INTERVAL].isin(intervals)) if spans_intervals(contract) else rows


def _keys(rows: "ibis.Table", contract: RowContract) -> "ibis.Table":
    (key,) = contract.key_columns
    keys = rows.select(_key=rows[key].strip()).distinct()
    return keys.filter(keys["_key"] != "")  # a row without a key is refused wherever it is


def _with_keys(rows: "ibis.Table", contract: RowContract, keys: "ibis.Table") -> "ibis.Table":
    (key,) = contract.key_columns
    return rows.filter(rows[key].strip().isin(keys["_key"]))


def _those(intervals: Sequence[str]) -> Partitions:
    return Partitions(INTERVAL, tuple(intervals))


def _account(
    intervals: tuple[str, ...],
    marked: Mapping[str, tuple[int, int]],
    kept: list[dict[str, Any]],
    snapshot: int,
) -> list[IntervalCounts]:
    written = {row[INTERVAL]: row["silver"] for row in kept}
    counts = []
    for interval in intervals:
        bronze, quarantined = marked.get(interval, (0, 0))
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


def commonest_reasons(lakehouse: Lakehouse, contract: RowContract) -> dict[str, int]:
    """Why rows are in quarantine, the row's own value left out, the commonest first."""
    return _commonest(lakehouse, lakehouse.read(quarantine_table(contract)))


def _commonest(lakehouse: Lakehouse, quarantine: "ibis.Table") -> dict[str, int]:
    import ibis

    reason = quarantine[REASONS].split("; ").unnest().re_replace(": '.*' is", ": is")
    found = lakehouse.collect(
        quarantine.select(reason=reason)
        .group_by("reason")
        .aggregate(rows=ibis._.count())
        .order_by([ibis.desc("rows"), "reason"])
        .limit(SHOWN_REASONS)
    )
    return {row["reason"]: row["rows"] for row in found.to_pylist()}


def latest_of_each_key(accepted: "ibis.Table", contract: RowContract) -> "ibis.Table":
    """Of several accepted rows with one key, the one that was ingested last."""
    import ibis

    key = contract.key_columns
    if not contract.has_key:
        key = [*key, BATCH, ROW_NUMBER]  # a row's number is its identity within its file only
    newest_first = [ibis.desc(INGESTED_AT), ibis.desc(BATCH), ibis.desc(ROW_NUMBER)]
    rank = ibis.row_number().over(group_by=key, order_by=newest_first)
    ranked = accepted.mutate(_rank=rank)
    return ranked.filter(ranked["_rank"] == 0).drop("_rank")
