"""Bronze, silver, gold: from a file to the table that models are trained on."""

from dataclasses import dataclass

from ...contract import Contract
from ...data.local_lakehouse import LocalLakehouse
from ...presentation import step
from ...settings import Settings
from .bronze import ingest
from .gold import publish
from .silver import refine


@dataclass(frozen=True)
class DataResult:
    """Every row of bronze, accounted for.

    Attributes:
        source: The file that was read.
        new_batch: Whether the file brought a batch that bronze did not hold.
        bronze_rows: Rows that silver was made from.
        silver_rows: Rows that fulfil the contract, one for each entity and event time.
        quarantined_rows: Rows that do not, by reason in `quarantine_reasons`.
        duplicate_rows: Accepted rows that a later row for the same key replaced.
        quarantine_reasons: The commonest reasons and their counts.
        gold_table: The table that training reads.
        gold_snapshot: Its snapshot.
    """

    source: str
    new_batch: bool
    bronze_rows: int
    silver_rows: int
    quarantined_rows: int
    duplicate_rows: int
    quarantine_reasons: dict[str, int]
    gold_table: str
    gold_snapshot: int


def refresh(settings: Settings, contract: Contract) -> DataResult:
    """Bring the lake up to date with the contract's source. Twice in a row changes nothing."""
    lakehouse = LocalLakehouse(settings)
    step("bronze: reading the source")
    batch = ingest(lakehouse, settings.root, contract)
    step("silver: checking every row against the contract")
    counts = refine(lakehouse, contract)
    step("gold: publishing the feature table")
    snapshot = publish(lakehouse, contract)
    return DataResult(
        source=contract.source.path,
        new_batch=batch.is_new,
        bronze_rows=counts.bronze,
        silver_rows=counts.silver,
        quarantined_rows=counts.quarantined,
        duplicate_rows=counts.duplicates,
        quarantine_reasons=counts.reasons,
        gold_table=str(snapshot.table),
        gold_snapshot=snapshot.snapshot_id,
    )
