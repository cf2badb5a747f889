"""Where a person's rows are: the tables that hold the entity's column, and their snapshots."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.domain import NULL_WORDS, PADDING
from goldpath.lake.lakehouse import Lakehouse, Snapshot, TableName
from goldpath.privacy.erasure import PrivacyError
from goldpath.source_contract import SourceContract

if TYPE_CHECKING:
    import ibis

LAYERS = ("bronze", "silver", "quarantine")


@dataclass(frozen=True)
class PersonTables:
    """The lake's tables, as far as they matter to a person.

    Attributes:
        searched: Tables of the dataset, of its further sources and of its feature views, each with
            the column of the entity in it.
        others: Tables of other datasets with a column of that name, which may mean something else;
            and those of sources that the project names no more, whose column nobody knows.
    """

    searched: Mapping[TableName, str]
    others: tuple[TableName, ...]


@dataclass(frozen=True)
class Holding:
    """What one table holds about a person.

    Attributes:
        table: The table.
        column: The entity's in it.
        rows: Rows now.
        written_as: How the id is written in them: raw text may be padded.
        snapshots: The snapshots that hold such rows, the current one included.
    """

    table: TableName
    column: str
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
    lakehouse: Lakehouse,
    contract: Contract,
    sources: Iterable[SourceContract] = (),
    feature_tables: Iterable[TableName] = (),
    datasets: Iterable[str] = (),
) -> PersonTables:
    """The tables that may hold rows of a person.

    Args:
        lakehouse: Where they are.
        contract: Names the dataset and the entity's column.
        sources: The further sources, each with its own column of the entity.
        feature_tables: What feature views of the entity read.
        datasets: Those of all models that share the rows; the contract's where not given.
    """
    own = {each.dataset: each.entity for each in sources}
    columns = own | dict.fromkeys((contract.dataset, *datasets), contract.entity_column)
    views = set(feature_tables)
    searched: dict[TableName, str] = {}
    others: list[TableName] = []
    for table in lakehouse.tables():
        named = _text_columns(lakehouse, table)
        known = columns.get(table.name, contract.entity_column if table in views else "")
        if known in named:
            searched[table] = known
        elif contract.entity_column in named or table.layer in LAYERS:
            others.append(table)
    return PersonTables(searched, tuple(others))


def rows_of(
    lakehouse: Lakehouse,
    table: TableName,
    column: str,
    entity: str,
    snapshot_id: int | None = None,
) -> "ibis.Table":
    """A person's rows in a table, however the id is padded."""
    rows = lakehouse.read(table, snapshot_id)
    return rows.filter(rows[column].strip() == entity)


def find_rows(lakehouse: Lakehouse, table: TableName, column: str, entity: str) -> Holding:
    """What a table and each of its snapshots hold about a person."""
    found = lakehouse.collect(
        rows_of(lakehouse, table, column, entity).group_by(column).aggregate(rows=_count())
    ).to_pylist()
    return Holding(
        table=table,
        column=column,
        rows=sum(row["rows"] for row in found),
        written_as=tuple(sorted(row[column] for row in found)),
        snapshots=tuple(
            snapshot
            for snapshot in lakehouse.snapshots(table)
            if snapshot.rows and _holds(lakehouse, snapshot, column, entity)
        ),
    )


def _holds(lakehouse: Lakehouse, snapshot: Snapshot, column: str, entity: str) -> bool:
    if column not in lakehouse.read(snapshot.table, snapshot.snapshot_id).columns:
        return False
    rows = rows_of(lakehouse, snapshot.table, column, entity, snapshot.snapshot_id)
    return bool(lakehouse.collect(rows.select(column).limit(1)).num_rows)


def _text_columns(lakehouse: Lakehouse, table: TableName) -> set[str]:
    columns = lakehouse.read(table).schema()
    return {name for name, kind in columns.items() if kind.is_string()}


def _count() -> "ibis.Value":
    import ibis

    return ibis._.count()
