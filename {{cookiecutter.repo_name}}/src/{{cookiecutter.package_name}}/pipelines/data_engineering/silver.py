"""Silver: rows that fulfil the contract, one for each entity and event time.

The rule for duplicates: of several accepted rows with the same entity and event time, the one
that was ingested last wins, and within a file the later line. A source without an entity has no
key, so there the newest file is the whole dataset.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...contract import EVENT_TIME, Contract
from ...data.lakehouse import Lakehouse, LakehouseError, overwrite_if_changed
from ...data.quality import REASONS, ROW_NUMBER, check_rows
from ...data.tables import bronze_table, quarantine_table, silver_table
from .bronze import BATCH, INGESTED_AT

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

SHOWN_REASONS = 10


@dataclass(frozen=True)
class SilverCounts:
    """Where each bronze row went; bronze = silver + quarantined + duplicates."""

    bronze: int
    silver: int
    quarantined: int
    duplicates: int
    reasons: dict[str, int]


def refine(lakehouse: Lakehouse, contract: Contract) -> SilverCounts:
    """Rebuild silver and quarantine from bronze.

    Raises:
        LakehouseError: Where a row is neither in silver, nor quarantined, nor a duplicate.
    """
    bronze = lakehouse.read(bronze_table(contract))
    if contract.entity is None:
        newest = bronze[INGESTED_AT].max()
        bronze = bronze.filter(bronze[INGESTED_AT] == newest)
    checked = check_rows(bronze, contract, require_target=True)
    silver = lakehouse.collect(_latest_of_each_key(checked.accepted, contract))
    quarantine = lakehouse.collect(checked.rejected.order_by([INGESTED_AT, BATCH, ROW_NUMBER]))
    bronze_rows = lakehouse.collect(bronze.aggregate(rows=bronze.count()))["rows"][0].as_py()
    accepted_rows = lakehouse.collect(checked.accepted.aggregate(rows=checked.accepted.count()))[
        "rows"
    ][0].as_py()

    counts = SilverCounts(
        bronze=bronze_rows,
        silver=silver.num_rows,
        quarantined=quarantine.num_rows,
        duplicates=accepted_rows - silver.num_rows,
        reasons=_commonest_reasons(quarantine),
    )
    if (
        counts.bronze != counts.silver + counts.quarantined + counts.duplicates
        or counts.duplicates < 0
    ):
        raise LakehouseError(
            f"rows were lost between bronze and silver: {counts}",
            "nothing was written; report this",
        )
    if counts.silver == 0:
        raise LakehouseError(
            f"no row of {contract.source.path} fulfils the contract; reasons: {counts.reasons}",
            "correct config/project.yaml, or run: make adopt DATA=… TARGET=…",
        )
    overwrite_if_changed(lakehouse, quarantine_table(contract), quarantine)
    overwrite_if_changed(lakehouse, silver_table(contract), silver)
    return counts


def _latest_of_each_key(accepted: "ibis.Table", contract: Contract) -> "ibis.Table":
    import ibis

    key = [contract.entity_column, *([EVENT_TIME] if contract.has_time else [])]
    newest_first = [ibis.desc(INGESTED_AT), ibis.desc(BATCH), ibis.desc(ROW_NUMBER)]
    rank = ibis.row_number().over(group_by=key, order_by=newest_first)
    ranked = accepted.mutate(_rank=rank)
    return ranked.filter(ranked["_rank"] == 0).drop("_rank").order_by(key)


def _commonest_reasons(quarantine: "pa.Table") -> dict[str, int]:
    """Counts by reason, the row's own value left out, the commonest first."""
    import re
    from collections import Counter

    counts: Counter[str] = Counter()
    for reasons in quarantine[REASONS].to_pylist():
        counts.update(re.sub(r": '.*' is", ": is", reason) for reason in reasons.split("; "))
    return dict(counts.most_common(SHOWN_REASONS))
