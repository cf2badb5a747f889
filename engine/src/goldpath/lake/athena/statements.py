"""The statements that write: Athena SQL made of a SELECT and a table's columns.

Every value is cast to its column's type, so that a constant, a null or a narrow number fits. A
statement is one Iceberg commit: readers see all of it or nothing.
"""
# ruff: noqa: S608  `quoted` and `text` write every name and every value

from typing import TYPE_CHECKING

from goldpath.lake.lakehouse import LakehouseError

if TYPE_CHECKING:
    import pyarrow as pa

# A source row that replaces nothing has null here; the others name a partition to be emptied.
GONE = "__gone"


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A string literal."""
    return "'" + value.replace("'", "''") + "'"


def athena_type(kind: "pa.DataType") -> str:
    """A column's type in Athena's words.

    Raises:
        LakehouseError: If the lake holds no such type.
    """
    import pyarrow as pa

    types = pa.types
    if types.is_timestamp(kind):
        return "TIMESTAMP(6) WITH TIME ZONE" if kind.tz else "TIMESTAMP(6)"
    if types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    for is_kind, name in (
        (types.is_string, "VARCHAR"),
        (types.is_large_string, "VARCHAR"),
        (types.is_boolean, "BOOLEAN"),
        (types.is_integer, "BIGINT"),
        (types.is_floating, "DOUBLE"),
        (types.is_date, "DATE"),
        (types.is_binary, "VARBINARY"),
        (types.is_large_binary, "VARBINARY"),
    ):
        if is_kind(kind):
            return name
    raise LakehouseError(
        f"a column of type {kind} cannot be written to the lake on AWS",
        "cast it to text, a number, a boolean, a date or a timestamp",
    )


def typed_columns(schema: "pa.Schema", held: set[str]) -> str:
    """Columns of a SELECT: those that the rows hold, cast; the others null."""
    return ", ".join(
        f"CAST({quoted(column.name) if column.name in held else 'NULL'} "
        f"AS {athena_type(column.type)}) AS {quoted(column.name)}"
        for column in schema
    )


def create_table_as(table: str, location: str, rows: str, schema: "pa.Schema") -> str:
    """A new Iceberg table with the rows of a SELECT."""
    columns = typed_columns(schema, set(schema.names))
    return (
        f"CREATE TABLE {table} WITH (table_type = 'ICEBERG', is_external = false, "
        f"format = 'PARQUET', write_compression = 'ZSTD', location = {text(location)}) AS "
        f"SELECT {columns} FROM ({rows}) AS r"
    )


def insert_into(table: str, rows: str, schema: "pa.Schema", held: set[str]) -> str:
    """Add the rows of a SELECT."""
    names = ", ".join(quoted(name) for name in schema.names)
    columns = typed_columns(schema, held)
    return f"INSERT INTO {table} ({names}) SELECT {columns} FROM ({rows}) AS r"


def replace_partitions(
    table: str, rows: str, schema: "pa.Schema", held: set[str], column: str, values: tuple[str, ...]
) -> str:
    """Delete the partitions' rows and insert those of a SELECT, at once.

    Args:
        table: The table.
        rows: The SELECT.
        schema: The table's columns.
        held: Which of them the SELECT gives.
        column: The partitions' column.
        values: The partitions.
    """
    gone = ", ".join(f"({text(value)})" for value in values)
    return _merge(table, rows, schema, held, f"t.{quoted(column)}", f"VALUES {gone}")


def replace_all(
    table: str, rows: str, schema: "pa.Schema", held: set[str], column: str | None
) -> str:
    """Delete every row and insert those of a SELECT, at once.

    Args:
        table: The table.
        rows: The SELECT.
        schema: The table's columns.
        held: Which of them the SELECT gives.
        column: The text column that the table is partitioned by, or None.
    """
    if column is not None:
        key = f"coalesce({quoted(column)}, '')"
        return _merge(
            table,
            rows,
            schema,
            held,
            f"coalesce(t.{quoted(column)}, '')",
            f"SELECT DISTINCT {key} FROM {table}",
        )
    # An equality that holds for every row lets the engine join by hash, not row by row.
    first = quoted(schema.names[0])
    key = f"substr(coalesce(CAST(t.{first} AS VARCHAR), ''), 1, 0)"
    return _merge(table, rows, schema, held, key, "VALUES ('')")


def delete_rows(table: str, column: str, values: tuple[str, ...]) -> str:
    """Delete the rows whose text column has one of the values."""
    chosen = ", ".join(text(value) for value in values)
    return f"DELETE FROM {table} WHERE {quoted(column)} IN ({chosen})"


def compact_table(table: str) -> str:
    """Rewrite small files into large ones."""
    return f"OPTIMIZE {table} REWRITE DATA USING BIN_PACK"


def _merge(table: str, rows: str, schema: "pa.Schema", held: set[str], key: str, gone: str) -> str:
    """MERGE is Athena's only statement that both deletes and inserts in one commit.

    Each target row meets at most one `__gone` row, since their values are distinct; the new rows
    have null there, so they match nothing and are inserted.
    """
    names = ", ".join(quoted(name) for name in schema.names)
    given = ", ".join(f"s.{quoted(name)}" for name in schema.names)
    nulls = typed_columns(schema, set())
    return (
        f"MERGE INTO {table} AS t USING ("
        f"SELECT CAST(NULL AS VARCHAR) AS {quoted(GONE)}, {typed_columns(schema, held)} "
        f"FROM ({rows}) AS r "
        f"UNION ALL SELECT CAST(g.v AS VARCHAR) AS {quoted(GONE)}, {nulls} FROM ({gone}) AS g (v)"
        f") AS s ON {key} = s.{quoted(GONE)} "
        f"WHEN MATCHED THEN DELETE "
        f"WHEN NOT MATCHED AND s.{quoted(GONE)} IS NULL THEN INSERT ({names}) VALUES ({given})"
    )
