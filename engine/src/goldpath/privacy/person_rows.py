"""Where a person's rows are: the tables that hold the entity's column, and their snapshots."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.domain import NULL_WORDS, PADDING
from goldpath.lake.lakehouse import Lakehouse, Snapshot, TableName
from goldpath.privacy.erasure import PrivacyError

if TYPE_CHECKING:
    import ibis


@dataclass(frozen=True)
class PersonTables:
    """The lake's tables, as far as they matter to a person.

    Attributes:
        searched: Tables of the dataset, and sources of its feature views, with the entity's column.
        others: Tables of other datasets with a column of that name, which may mean something else.
    """

    searched: tuple[TableName, ...]
    others: tuple[TableName, ...]


@dataclass(frozen=True)
class Holding:
    """What one table holds about a person.

    Attributes:
        table: The table.
        rows: Rows now.
        written_as: How the id is written in them: raw text may be padded.
        snapshots: The snapshots that hold such rows, the current one included.
    """

    table: TableName
    rows: int
    written_as: tuple[str, ...]
    snapshots: tuple[Snapshot, ...]

    @property
    def tags(self) -> dict[str, int]:
        """The tagged snapshots among them, by tag."""
        return {tag: found.snapshot_id for found in self.snapshots for tag in found.tags}


def checked_entity(contract: Contract, entity: str) -> str:
    """The id as silver has it.

    Raises:
        PrivacyError: If the contract has no entity, or the id is none.
    """
    if contract.entity is None:
        raise PrivacyError(
            "the contract has no entity, so rows belong to nobody",
            "name the person's column as `entity` in config/project.yaml",
        )
    plain = entity.strip(PADDING)
    if plain.lower() in NULL_WORDS:
        raise PrivacyError(
            f"{entity!r} stands for a missing id, and rows without one belong to nobody",
            "give the person's id",
        )
    return plain


def tables_of_person(
    lakehouse: Lakehouse, contract: Contract, feature_sources: Iterable[TableName] = ()
) -> PersonTables:
    """The tables that may hold rows of a person."""
    sources = set(feature_sources)
    holding = [name for name in lakehouse.tables() if _has_entity(lakehouse, contract, name)]
    searched = [name for name in holding if name.name == contract.dataset or name in sources]
    return PersonTables(
        tuple(searched), tuple(name for name in holding if name not in set(searched))
    )


def rows_of(
    lakehouse: Lakehouse,
    contract: Contract,
    table: TableName,
    entity: str,
    snapshot_id: int | None = None,
) -> "ibis.Table":
    """A person's rows in a table, however the id is padded."""
    rows = lakehouse.read(table, snapshot_id)
    return rows.filter(rows[contract.entity_column].strip() == entity)


def find_rows(lakehouse: Lakehouse, contract: Contract, table: TableName, entity: str) -> Holding:
    """What a table and each of its snapshots hold about a person."""
    column = contract.entity_column
    found = lakehouse.collect(
        rows_of(lakehouse, contract, table, entity).group_by(column).aggregate(rows=_count())
    ).to_pylist()
    return Holding(
        table=table,
        rows=sum(row["rows"] for row in found),
        written_as=tuple(sorted(row[column] for row in found)),
        snapshots=tuple(
            snapshot
            for snapshot in lakehouse.snapshots(table)
            if snapshot.rows and _holds(lakehouse, contract, snapshot, entity)
        ),
    )


def _holds(lakehouse: Lakehouse, contract: Contract, snapshot: Snapshot, entity: str) -> bool:
    if contract.entity not in lakehouse.read(snapshot.table, snapshot.snapshot_id).columns:
        return False
    rows = rows_of(lakehouse, contract, snapshot.table, entity, snapshot.snapshot_id)
    return bool(lakehouse.collect(rows.select(contract.entity_column).limit(1)).num_rows)


def _has_entity(lakehouse: Lakehouse, contract: Contract, table: TableName) -> bool:
    columns = lakehouse.read(table).schema()
    return contract.entity in columns and bool(columns[contract.entity].is_string())


def _count() -> "ibis.Value":
    import ibis

    return ibis._.count()
