"""What is sent to Athena means what it means on DuckDB, or is refused."""

import hashlib
from datetime import datetime

import ibis
import pyarrow as pa
import pytest
import sqlglot

from goldpath.lake.athena.sql import (
    LONGEST_STATEMENT,
    TableReference,
    athena_sql,
    physical_name,
    require_length,
)
from goldpath.lake.athena.statements import replace_all, replace_partitions, text
from goldpath.lake.lakehouse import LakehouseError


def events(snapshot_id: int | None = None, number: int = 0) -> ibis.Table:
    columns = {"Name": "string", "at": "timestamp(6)", "n": "int64", "x": "float64"}
    return ibis.table(columns, name=TableReference("bronze_e", snapshot_id, number).name)


def test_snapshot_and_database_are_in_the_sql() -> None:
    sql = athena_sql(events(snapshot_id=42).select("n"), "lake")
    assert sql == 'SELECT "t0"."n" FROM "lake"."bronze_e" FOR VERSION AS OF 42 AS "t0"'


def test_asof_join_is_refused() -> None:
    other = ibis.table({"at": "timestamp(6)", "z": "int64"}, name="w@#1")
    with pytest.raises(LakehouseError, match="ASOF join"):
        athena_sql(events().asof_join(other, "at"), "lake")


@pytest.mark.parametrize("method", ["first", "last"])
def test_lost_ignore_nulls_is_refused(method: str) -> None:
    value = getattr(events().x, method)().over(group_by="n", order_by="at")
    with pytest.raises(LakehouseError, match="IGNORE NULLS"):
        athena_sql(events().mutate(v=value), "lake")


def test_operation_that_athena_lacks_is_refused() -> None:
    with pytest.raises(LakehouseError, match="no form in Athena's SQL"):
        athena_sql(events().aggregate(q=events().x.quantile(0.5)), "lake")


def test_table_that_is_not_of_the_lake_is_refused() -> None:
    with pytest.raises(LakehouseError, match="no table of the lake"):
        athena_sql(ibis.table({"a": "int64"}, name="mine"), "lake")
    with pytest.raises(LakehouseError, match="in memory"):
        athena_sql(ibis.memtable({"a": [1]}), "lake")


def test_names_that_differ_by_case_only_are_refused() -> None:
    with pytest.raises(LakehouseError, match="'n' and 'N' differ by case"):
        athena_sql(events().mutate(N=ibis._.n), "lake")


def test_names_in_glue_are_distinct_and_plain() -> None:
    names = ["MonthlyFee", "Total Charges", "Total-Charges", "total charges", "Código", "1st"]
    physical = [physical_name(name) for name in names]
    assert len(set(physical)) == len(names)
    assert physical[0] == "monthlyfee"
    assert all(name.replace("_", "a").isalnum() and name.isascii() for name in physical)


def test_minutes_do_not_become_months() -> None:
    sql = athena_sql(events().select(t=events()["at"].strftime("%H:%M")), "lake")
    assert "'%H:%i'" in sql


def test_timestamps_keep_microseconds() -> None:
    moment = ibis.literal(datetime(2024, 1, 1, 0, 0, 0, 5), type="timestamp")
    sql = athena_sql(events().select(t=moment), "lake")
    assert "CAST('2024-01-01 00:00:00.000005' AS TIMESTAMP(6))" in sql


def test_zone_is_converted_before_it_is_dropped() -> None:
    moment = events().Name.try_cast("timestamp('UTC')").cast("timestamp")
    assert "AT_TIMEZONE(TRY_CAST(" in athena_sql(events().select(t=moment), "lake")


def test_sum_of_many_texts_is_not_nested() -> None:
    words = ibis.literal("")
    for _ in range(90):
        words += events().Name
    assert athena_sql(events().select(words=words), "lake").count("CONCAT(") == 1


def test_statement_that_is_too_long_is_refused() -> None:
    with pytest.raises(LakehouseError, match="Athena takes 262144"):
        require_length("x" * (LONGEST_STATEMENT + 1))


def test_writes_are_athena_sql_whatever_the_values_hold() -> None:
    schema = pa.schema([("part", pa.string()), ("n", pa.int64())])
    for sql in (
        replace_partitions('"d"."t"', "SELECT 1", schema, {"n"}, "part", ("o'x", "b")),
        replace_all('"d"."t"', "SELECT 1", schema, {"n"}, "part"),
        replace_all('"d"."t"', "SELECT 1", schema, {"n"}, None),
    ):
        assert isinstance(sqlglot.parse_one(sql, read="athena"), sqlglot.exp.Merge)
    assert text("o'x") == "'o''x'"


def test_digest_is_written_as_on_duckdb() -> None:
    """Athena's md5 is of bytes, and its hexadecimal digits are capital letters."""
    digest = events()["Name"].hexdigest("md5")

    sql = athena_sql(events().select(digest=digest), "lake")

    assert 'LOWER(TO_HEX(MD5(TO_UTF8("t0"."name"))))' in sql
    here = ibis.duckdb.connect().execute(ibis.literal("Zoë").hexdigest("md5"))
    assert here == hashlib.md5("Zoë".encode(), usedforsecurity=False).hexdigest()
    duckdb = sqlglot.transpile(
        "SELECT LOWER(TO_HEX(MD5(TO_UTF8('Zoë'))))", read="athena", write="duckdb"
    )
    assert ibis.duckdb.connect().raw_sql(duckdb[0]).fetchall() == [(here,)]
