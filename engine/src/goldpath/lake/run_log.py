"""The `_pipeline_runs` table: what each run read, wrote, refused and dropped, by interval.

It is also how a run knows what is left to do: an interval whose bronze rows and whose contract are
those of its last record needs no work. The record is written after the tables, so a killed run is
simply done again.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from goldpath.lake.lakehouse import Lakehouse
from goldpath.lake.tables import runs_table
from goldpath.row_contract import RowContract


@dataclass(frozen=True)
class RunRecord:
    """One step of one run.

    Attributes:
        run_id: The run.
        step: bronze, silver or gold.
        subject: Bronze: the file. Silver and gold: the interval.
        rows_in: Rows that the step read.
        rows_out: Rows that it wrote.
        quarantined: Rows that the contract refused.
        duplicates: Rows that a later row for the same key replaced.
        forgotten: Rows of persons who asked to be forgotten, which were not taken in.
        snapshot: The written table's snapshot.
        fingerprint: Silver and gold: the bronze rows and the contract that they were made from.
        started_at: UTC.
        finished_at: UTC.
    """

    run_id: str
    step: str
    subject: str
    rows_in: int
    rows_out: int
    quarantined: int
    duplicates: int
    forgotten: int
    snapshot: int
    fingerprint: str
    started_at: datetime
    finished_at: datetime

    @property
    def adds_up(self) -> bool:
        """Whether each row that was read was written, refused, or replaced by a later one."""
        return self.rows_in == self.rows_out + self.quarantined + self.duplicates


def write_records(
    lakehouse: Lakehouse, contract: RowContract, records: Iterable[RunRecord]
) -> None:
    """Append the records of bronze, or those of silver and gold, in one commit."""
    import pyarrow as pa

    kept = list(records)
    if kept:
        kinds = {int: pa.int64(), str: pa.string(), datetime: pa.timestamp("us")}
        annotations = RunRecord.__annotations__
        schema = pa.schema([(name, kinds[kind]) for name, kind in annotations.items()])
        rows = pa.Table.from_pylist([asdict(record) for record in kept], schema)
        lakehouse.append(runs_table(contract, kept[0].step), rows)


def read_records(lakehouse: Lakehouse, contract: RowContract, step: str) -> list[RunRecord]:
    """The records of a step, the oldest first."""
    table = runs_table(contract, step)
    if not lakehouse.exists(table):
        return []
    rows = lakehouse.read(table)
    found = lakehouse.collect(rows.filter(rows.step == step)).to_pylist()
    return sorted((RunRecord(**row) for row in found), key=lambda record: record.finished_at)


def latest_by_subject(records: Iterable[RunRecord]) -> dict[str, RunRecord]:
    """The newest record of each interval or file."""
    return {record.subject: record for record in records}


def fingerprint(
    contract: RowContract, rows: int, newest: datetime | None, recipes: str = ""
) -> str:
    """What an interval is made from: its bronze rows, which are append-only, and the contract.

    Args:
        contract: The contract.
        rows: How many rows bronze holds of the interval.
        newest: When the newest of them was taken in.
        recipes: What stands for the project's own recipes of silver and gold, and for the rows of
            further sources that count in the interval, if there are some.
    """
    own = f", recipes {recipes}" if recipes else ""
    return f"{rows} rows, newest {newest}{own}, contract {_rules_digest(contract)}"


def is_same_contract(contract: RowContract, made_from: str) -> bool:
    """Whether a fingerprint was taken under this contract."""
    return made_from.endswith(_rules_digest(contract))


def _rules_digest(contract: RowContract) -> str:
    return hashlib.sha256(contract.rules.encode()).hexdigest()[:16]
