"""Statements that unmodified pyathena sends to the emulated Athena, next to DuckDB's own results.

What is proved here is what the emulator says, not what AWS does.
"""
# ruff: noqa: S608  statements are put together from this file's own constants

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import boto3
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyathena import connect
from pyathena.cursor import Cursor
from pyathena.error import DatabaseError, OperationalError

from ..athena_emulator import ENGINE
from ..aws_emulation import REGION, EmulatedAws, emulated_aws

pytestmark = pytest.mark.slow

# The same rows in DuckDB and in the emulated lake.
SALES = """
SELECT * FROM (VALUES
  (1, 'ann',  'north', 10.5e0, TRUE,  TIMESTAMP '2024-01-31 23:59:59.123456'),
  (2, 'bob',  'north', 20.0e0, FALSE, TIMESTAMP '2024-02-01 00:00:00.000000'),
  (3, 'cid',  'south', NULL,   TRUE,  TIMESTAMP '2024-02-29 12:00:00.000001'),
  (4, '',     'south', 5.25e0, NULL,  NULL),
  (5, NULL,   'east',  -1.5e0, FALSE, TIMESTAMP '2023-12-31 08:30:00.500000'),
  (6, 'ann',  'east',  99.9e0, TRUE,  TIMESTAMP '2024-01-31 23:59:59.123456')
) AS v (id, name, region, amount, paid, seen)
"""
REGIONS = "SELECT * FROM (VALUES ('north', 100), ('south', 200), ('west', 300)) AS v (region, goal)"

# Athena's words, and DuckDB's where they are others.
QUERIES: list[tuple[str, str | None]] = [
    ("SELECT * FROM sales ORDER BY id", None),
    ("SELECT id, name FROM sales WHERE amount > 5 AND paid ORDER BY id", None),
    ("SELECT DISTINCT name FROM sales ORDER BY name", None),
    ("SELECT count(*), count(amount), sum(id), avg(amount) FROM sales", None),
    (
        "SELECT region, count(*) AS n FROM sales GROUP BY region HAVING count(*) > 1 ORDER BY 1",
        None,
    ),
    ("SELECT region, sum(amount) FILTER (WHERE paid) FROM sales GROUP BY 1 ORDER BY 1", None),
    ("SELECT s.id, r.goal FROM sales s JOIN regions r ON s.region = r.region ORDER BY 1", None),
    ("SELECT s.id, r.goal FROM sales s LEFT JOIN regions r USING (region) ORDER BY 1", None),
    ("SELECT r.region, s.id FROM sales s FULL JOIN regions r USING (region) ORDER BY 1, 2", None),
    ("SELECT a.id, b.id FROM sales a CROSS JOIN sales b WHERE a.id < b.id ORDER BY 1, 2", None),
    (
        "SELECT id FROM sales s WHERE EXISTS (SELECT 1 FROM regions r WHERE r.region = s.region) "
        "ORDER BY id",
        None,
    ),
    ("SELECT id FROM sales WHERE region NOT IN (SELECT region FROM regions) ORDER BY id", None),
    ("SELECT id FROM sales UNION ALL SELECT goal FROM regions ORDER BY 1", None),
    ("SELECT region FROM sales UNION SELECT region FROM regions ORDER BY 1", None),
    ("SELECT region FROM sales INTERSECT SELECT region FROM regions ORDER BY 1", None),
    ("SELECT region FROM regions EXCEPT SELECT region FROM sales", None),
    ("WITH big AS (SELECT * FROM sales WHERE amount > 9) SELECT max(id) FROM big", None),
    (
        "SELECT id, row_number() OVER (PARTITION BY region ORDER BY id DESC) FROM sales ORDER BY 1",
        None,
    ),
    (
        "SELECT id, lag(amount) OVER (ORDER BY id), sum(amount) OVER (ORDER BY id "
        "ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM sales ORDER BY 1",
        None,
    ),
    (
        "SELECT id, last_value(amount) IGNORE NULLS OVER (ORDER BY id) FROM sales ORDER BY 1",
        "SELECT id, last_value(amount IGNORE NULLS) OVER (ORDER BY id) FROM sales ORDER BY 1",
    ),
    ("SELECT id, CASE WHEN amount > 10 THEN 'big' ELSE 'small' END FROM sales ORDER BY 1", None),
    (
        "SELECT id, coalesce(name, '?'), nullif(name, ''), if(paid, 1, 0) FROM sales ORDER BY 1",
        None,
    ),
    (
        "SELECT upper(name), length(name), substr(name, 2), reverse(name), concat(name, '!') "
        "FROM sales ORDER BY id",
        "SELECT upper(name), length(name), substr(name, 2), reverse(name), name || '!' "
        "FROM sales ORDER BY id",
    ),
    (
        "SELECT lpad(name, 5, '*'), trim(' x '), replace(name, 'n', 'm'), strpos(name, 'n') "
        "FROM sales ORDER BY id",
        None,
    ),
    (
        "SELECT id FROM sales WHERE regexp_like(name, '^a.n$') ORDER BY id",
        "SELECT id FROM sales WHERE regexp_matches(name, '^a.n$') ORDER BY id",
    ),
    (
        "SELECT regexp_extract(name, '(.)n', 1), regexp_replace(name, '(n)', '<$1>') FROM sales "
        "ORDER BY id",
        "SELECT CASE WHEN regexp_matches(name, '(.)n') THEN regexp_extract(name, '(.)n', 1) END, "
        "regexp_replace(name, '(n)', '<\\1>', 'g') FROM sales ORDER BY id",
    ),
    (
        "SELECT try_cast(name AS double), cast(id AS varchar), cast('7' AS bigint) FROM sales "
        "ORDER BY id",
        None,
    ),
    (
        "SELECT date_trunc('month', seen), year(seen), extract(hour FROM seen) FROM sales "
        "ORDER BY id",
        None,
    ),
    (
        "SELECT date_format(seen, '%Y-%m-%d %H:%i:%s') FROM sales ORDER BY id",
        "SELECT strftime(seen, '%Y-%m-%d %H:%M:%S') FROM sales ORDER BY id",
    ),
    (
        "SELECT seen + INTERVAL '1' DAY, date_add('hour', 2, seen) FROM sales ORDER BY id",
        "SELECT seen + INTERVAL 1 DAY, seen + INTERVAL 2 HOUR FROM sales ORDER BY id",
    ),
    (
        "SELECT seen + parse_duration(concat(cast(id AS varchar), 'h')) FROM sales ORDER BY id",
        "SELECT seen + to_hours(id) FROM sales ORDER BY id",
    ),
    (
        "SELECT date_diff('day', seen, TIMESTAMP '2024-03-01 00:00:00') FROM sales ORDER BY id",
        "SELECT date_sub('day', seen, TIMESTAMP '2024-03-01 00:00:00') FROM sales ORDER BY id",
    ),
    (
        "SELECT cast(at_timezone(try_cast('2024-05-01 10:00:00 +02:00' AS timestamp(6) "
        "with time zone)"
        ", 'UTC') AS timestamp(6))",
        "SELECT TIMESTAMP '2024-05-01 08:00:00'",
    ),
    (
        "SELECT abs(amount), round(amount), floor(amount), sqrt(abs(amount)), mod(id, 2) "
        "FROM sales "
        "ORDER BY id",
        None,
    ),
    (
        "SELECT stddev(amount), var_pop(amount), min(seen), max(name), count(DISTINCT region) "
        "FROM sales",
        None,
    ),
    (
        "SELECT region, max_by(id, amount), min_by(id, amount) FROM sales GROUP BY 1 ORDER BY 1",
        "SELECT region, arg_max(id, amount), arg_min(id, amount) FROM sales GROUP BY 1 ORDER BY 1",
    ),
    ("SELECT approx_percentile(id, 0.5) FROM sales", "SELECT approx_quantile(id, 0.5) FROM sales"),
    ("SELECT x FROM UNNEST(ARRAY['b', 'a']) AS t (x) ORDER BY 1", "SELECT unnest(['a', 'b'])"),
    ("SELECT greatest(id, 3), least(id, 3) FROM sales ORDER BY id", None),
    ("SELECT id FROM sales ORDER BY amount DESC NULLS LAST, id LIMIT 3", None),
    (
        "SELECT id FROM sales ORDER BY id OFFSET 2 LIMIT 2",
        "SELECT id FROM sales ORDER BY id LIMIT 2 OFFSET 2",
    ),
    (
        "SELECT region, grouping_id FROM (SELECT region, count(*) AS grouping_id FROM sales "
        "GROUP BY ROLLUP (region)) AS t ORDER BY 1, 2",
        None,
    ),
    ("SELECT 'it''s', '', NULL, TRUE, 1.5e0, DATE '2024-02-29'", None),
    ("VALUES (1, 'a'), (2, 'b')", None),
]

REFUSED = [
    ("SELECT * FROM sales ASOF JOIN regions ON sales.id >= regions.goal", "ASOF"),
    ("SELECT id FROM sales QUALIFY row_number() OVER (ORDER BY id) = 1", "QUALIFY"),
    ("SELECT list_value(1, 2)", "list_value"),
    ("SELECT strptime('2024', '%Y')", "strptime"),
    ("SELECT id::varchar FROM sales", "::"),
    ("SELECT * EXCLUDE (id) FROM sales", "EXCLUDE"),
    ("SELECT DISTINCT ON (region) id FROM sales", "DISTINCT"),
    ("SELECT id FROM sales WHERE name ILIKE 'A%'", "ILIKE"),
    ("SELECT region, count(*) FROM sales GROUP BY ALL", "GROUP BY ALL"),
    ("SELECT * FROM nothing", "TABLE_NOT_FOUND"),
    ("SELECT cast('x' AS bigint)", "INVALID_CAST_ARGUMENT"),
    ("SELECT nonsense FROM sales", "nonsense"),
    ("SELEC 1", "SYNTAX_ERROR"),
    ("INSERT INTO sales SELECT 'text', 'a', 'b', 1.0e0, TRUE, NULL", "TYPE_MISMATCH"),
    ("INSERT INTO sales (id) SELECT 1, 2", "TYPE_MISMATCH"),
    ("SELECT cast(try_cast('2024-01-01' AS timestamp with time zone) AS timestamp)",
     "NOT_EMULATED"),
]  # fmt: skip


@pytest.fixture(scope="module")
def aws() -> Iterator[EmulatedAws]:
    with emulated_aws() as aws:
        yield aws


@pytest.fixture
def athena(aws: EmulatedAws) -> Iterator[Cursor]:
    with connect(
        s3_staging_dir=f"s3://{aws.bucket}/results/",
        work_group=aws.work_group,
        schema_name=aws.database,
        region_name=REGION,
        poll_interval=0.05,
    ) as connection:
        yield connection.cursor()


@pytest.fixture(scope="module")
def tables(aws: EmulatedAws) -> None:
    """Tables that tests only read."""
    engine = aws.emulator.engine
    for name, rows in (("sales", SALES), ("regions", REGIONS)):
        engine.run(ctas(aws, name, rows), aws.database)


def ctas(aws: EmulatedAws, name: str, rows: str, partitions: str = "") -> str:
    return (
        f"CREATE TABLE {aws.database}.{name} WITH (table_type = 'ICEBERG', is_external = false, "
        f"location = 's3://{aws.bucket}/tables/{name}/'{partitions}) AS SELECT * FROM ({rows}) AS r"
    )


@pytest.fixture
def table(aws: EmulatedAws, athena: Cursor, request: pytest.FixtureRequest) -> Iterator[str]:
    """A table of one test, partitioned by region."""
    name = f"t_{abs(hash(request.node.name))}"
    athena.execute(ctas(aws, name, SALES, ", partitioning = ARRAY['region']"))
    yield name
    athena.execute(f"DROP TABLE IF EXISTS {name}")


def oracle() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name, rows in (("sales", SALES), ("regions", REGIONS)):
        connection.execute(f"CREATE TABLE {name} AS {rows}")
    return connection


def rows_of(athena: Cursor, sql: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in athena.execute(sql).fetchall()]


@pytest.mark.parametrize(("sql", "duckdb_sql"), QUERIES, ids=range(len(QUERIES)))
def test_query_gives_what_duckdb_gives(
    athena: Cursor, tables: None, sql: str, duckdb_sql: str | None
) -> None:
    expected = oracle().sql(duckdb_sql or sql).fetchall()
    found = [tuple(map(_cut, row)) for row in rows_of(athena, sql)]
    assert found == [tuple(map(_cut, row)) for row in expected]


def _cut(value: Any) -> Any:
    """pyathena's own converter keeps milliseconds; the project reads the file itself."""
    if isinstance(value, datetime):
        return value.replace(microsecond=value.microsecond // 1000 * 1000)
    return value


@pytest.mark.parametrize(("sql", "word"), REFUSED, ids=range(len(REFUSED)))
def test_what_athena_lacks_is_refused(athena: Cursor, tables: None, sql: str, word: str) -> None:
    with pytest.raises(OperationalError, match=word):
        athena.execute(sql)


def test_sum_of_bigints_is_a_bigint(athena: Cursor, tables: None) -> None:
    athena.execute("SELECT sum(id) AS total FROM sales")
    assert athena.description is not None
    assert athena.description[0][1] == "bigint"


def test_result_pages_follow_each_other(athena: Cursor) -> None:
    rows = rows_of(athena, "SELECT x FROM UNNEST(sequence(1, 2500)) AS t (x) ORDER BY x")
    assert rows == [(number,) for number in range(1, 2501)]


def test_result_file_tells_null_from_empty_text(aws: EmulatedAws, athena: Cursor) -> None:
    athena.execute("SELECT NULL AS a, '' AS b, 'say \"hi\"' AS c, 1 AS d")
    assert athena.output_location is not None
    key = athena.output_location.split("/", 3)[3]
    body = boto3.client("s3").get_object(Bucket=aws.bucket, Key=key)["Body"].read()
    assert body == b'"a","b","c","d"\n,"","say ""hi""","1"\n'


def test_engine_calls_itself_emulated(aws: EmulatedAws) -> None:
    group = boto3.client("athena", region_name=REGION).get_work_group(WorkGroup=aws.work_group)
    version = group["WorkGroup"]["Configuration"]["EngineVersion"]["EffectiveEngineVersion"]
    assert version == ENGINE == "emulated (DuckDB)"


def test_unknown_work_group_is_refused(aws: EmulatedAws) -> None:
    connection = connect(
        s3_staging_dir=f"s3://{aws.bucket}/r/", work_group="nobody", region_name=REGION
    )
    with pytest.raises(DatabaseError, match="WorkGroup nobody is not found"):
        connection.cursor().execute("SELECT 1")


def test_parameters_fill_the_question_marks(athena: Cursor, tables: None) -> None:
    athena.execute(
        "SELECT id FROM sales WHERE name = ? AND id > ?", ["'ann'", "1"], paramstyle="qmark"
    )
    assert athena.fetchall() == [(6,)]


# ---- statements that write


def test_insert_adds_rows(athena: Cursor, table: str) -> None:
    athena.execute(f"INSERT INTO {table} (id, region) SELECT id + 10, region FROM {table}")
    found = rows_of(athena, f"SELECT id, name FROM {table} WHERE id > 10 ORDER BY id")
    assert found == [(number, None) for number in range(11, 17)]


def test_insert_of_values(athena: Cursor, table: str) -> None:
    athena.execute(f"INSERT INTO {table} VALUES (7, 'x', 'new', 1.0e0, FALSE, NULL)")
    assert rows_of(athena, f"SELECT name FROM {table} WHERE region = 'new'") == [("x",)]


def test_delete_removes_rows(athena: Cursor, table: str) -> None:
    athena.execute(
        f"DELETE FROM {table} WHERE region = 'south' OR id IN (SELECT max(id) FROM {table})"
    )
    assert rows_of(athena, f"SELECT id FROM {table} ORDER BY 1") == [(1,), (2,), (5,)]


def test_update_changes_rows(athena: Cursor, table: str) -> None:
    athena.execute(f"UPDATE {table} SET name = 'new', amount = amount * 2 WHERE region = 'north'")
    found = rows_of(athena, f"SELECT id, name, amount FROM {table} WHERE id < 4 ORDER BY id")
    assert found == [(1, "new", 21.0), (2, "new", 40.0), (3, "cid", None)]


def test_merge_updates_deletes_and_inserts(athena: Cursor, table: str) -> None:
    athena.execute(f"""
        MERGE INTO {table} AS t
        USING (SELECT * FROM (VALUES (1, 'one'), (2, 'gone'), (9, 'nine')) AS v (id, name)) AS s
        ON t.id = s.id
        WHEN MATCHED AND s.name = 'gone' THEN DELETE
        WHEN MATCHED THEN UPDATE SET name = s.name
        WHEN NOT MATCHED THEN INSERT (id, name, region) VALUES (s.id, s.name, 'new')
    """)
    found = rows_of(athena, f"SELECT id, name FROM {table} WHERE id IN (1, 2, 3, 9) ORDER BY id")
    assert found == [(1, "one"), (3, "cid"), (9, "nine")]


def test_merge_that_matches_a_row_twice_is_refused(athena: Cursor, table: str) -> None:
    with pytest.raises(OperationalError, match="matched more than one source row"):
        athena.execute(f"""
            MERGE INTO {table} AS t USING (SELECT 'north' AS r UNION ALL SELECT 'north') AS s
            ON t.region = s.r WHEN MATCHED THEN DELETE
        """)
    assert rows_of(athena, f"SELECT count(*) FROM {table}") == [(6,)]


def test_each_write_is_one_snapshot(athena: Cursor, table: str) -> None:
    athena.execute(f"INSERT INTO {table} (id, region) VALUES (7, 'north')")
    athena.execute(f"UPDATE {table} SET paid = TRUE WHERE region = 'north'")
    athena.execute(f"DELETE FROM {table} WHERE id = 1")
    assert rows_of(athena, f'SELECT count(*) FROM "{table}$snapshots"') == [(4,)]


def test_old_version_and_old_time_are_readable(athena: Cursor, table: str) -> None:
    first = rows_of(athena, f'SELECT snapshot_id, committed_at FROM "{table}$snapshots"')[0]
    athena.execute(f"DELETE FROM {table} WHERE id > 1")
    by_version = f"SELECT count(*) FROM {table} FOR VERSION AS OF {first[0]}"
    assert rows_of(athena, by_version) == [(6,)]
    moment = (first[1] + timedelta(milliseconds=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
    by_time = f"SELECT count(*) FROM {table} FOR TIMESTAMP AS OF TIMESTAMP '{moment} UTC'"
    assert rows_of(athena, by_time) == [(6,)]
    assert rows_of(athena, f"SELECT count(*) FROM {table}") == [(1,)]
    with pytest.raises(OperationalError, match="does not exist"):
        athena.execute(f"SELECT * FROM {table} FOR VERSION AS OF 5")


def test_optimize_and_vacuum_keep_the_rows(athena: Cursor, table: str) -> None:
    athena.execute(f"INSERT INTO {table} (id, region) VALUES (7, 'north')")
    athena.execute(f"OPTIMIZE {table} REWRITE DATA USING BIN_PACK")
    athena.execute(f"VACUUM {table}")
    assert rows_of(athena, f"SELECT sum(id) FROM {table}") == [(28,)]
    assert rows_of(athena, f'SELECT count(*) FROM "{table}$files"') == [(3,)]


def test_added_column_is_null_in_old_rows(athena: Cursor, table: str) -> None:
    athena.execute(f"ALTER TABLE {table} ADD COLUMNS (extra double, note string)")
    athena.execute(f"INSERT INTO {table} (id, region, extra) VALUES (7, 'north', 1.5e0)")
    assert rows_of(athena, f"SELECT id FROM {table} WHERE extra IS NOT NULL") == [(7,)]
    assert ("extra\tdouble",) in rows_of(athena, f"DESCRIBE {table}")


def test_created_table_takes_rows(aws: EmulatedAws, athena: Cursor) -> None:
    athena.execute(f"""
        CREATE TABLE made (id bigint COMMENT 'key', seen timestamp, part string)
        PARTITIONED BY (part) LOCATION 's3://{aws.bucket}/made/'
        TBLPROPERTIES ('table_type' = 'ICEBERG', 'format' = 'parquet')
    """)
    athena.execute("INSERT INTO made VALUES (1, CAST('2024-01-02' AS timestamp(6)), 'a')")
    assert rows_of(athena, "SELECT id, part FROM made") == [(1, "a")]
    athena.execute("DROP TABLE made")
    assert "made" not in {name for (name,) in rows_of(athena, "SHOW TABLES")}
    listed = boto3.client("s3").list_objects_v2(Bucket=aws.bucket, Prefix="made/")
    assert listed["KeyCount"] == 0


def test_external_table_reads_files_and_drop_keeps_them(aws: EmulatedAws, athena: Cursor) -> None:
    sink = pa.BufferOutputStream()
    moment = datetime(2024, 1, 1, 0, 0, 0, 123_456)
    pq.write_table(pa.table({"id": [1, 2], "seen": [moment, None]}), sink)
    s3 = boto3.client("s3")
    s3.put_object(Bucket=aws.bucket, Key="plain/a.parquet", Body=sink.getvalue().to_pybytes())
    athena.execute(f"""
        CREATE EXTERNAL TABLE plain (id bigint, seen timestamp, missing string)
        STORED AS PARQUET LOCATION 's3://{aws.bucket}/plain/'
    """)
    found = rows_of(athena, "SELECT id, cast(seen AS varchar), missing FROM plain ORDER BY id")
    assert found == [(1, "2024-01-01 00:00:00.123", None), (2, None, None)]
    athena.execute("DROP TABLE plain")
    assert s3.list_objects_v2(Bucket=aws.bucket, Prefix="plain/")["KeyCount"] == 1


def test_external_ctas_writes_partitioned_parquet(
    aws: EmulatedAws, athena: Cursor, tables: None
) -> None:
    athena.execute(f"""
        CREATE TABLE parts WITH (format = 'PARQUET', partitioned_by = ARRAY['region'],
        external_location = 's3://{aws.bucket}/parts/') AS SELECT id, region FROM sales
    """)
    found = rows_of(athena, "SELECT region, sum(id) FROM parts GROUP BY 1 ORDER BY 1")
    assert found == [("east", 11), ("north", 3), ("south", 7)]
    with pytest.raises(OperationalError, match="TABLE_ALREADY_EXISTS"):
        athena.execute(
            f"CREATE TABLE parts WITH (external_location = 's3://{aws.bucket}/p2/') "
            "AS SELECT 1 AS x"
        )
    athena.execute("DROP TABLE parts")
    with pytest.raises(OperationalError, match="HIVE_PATH_ALREADY_EXISTS"):
        athena.execute(
            f"CREATE TABLE parts WITH (external_location = 's3://{aws.bucket}/parts/') "
            "AS SELECT 1 AS x"
        )


def test_unload_writes_parquet(aws: EmulatedAws, athena: Cursor, tables: None) -> None:
    athena.execute(
        f"UNLOAD (SELECT id FROM sales) TO 's3://{aws.bucket}/unloaded/' WITH (format = 'PARQUET')"
    )
    listed = boto3.client("s3").list_objects_v2(Bucket=aws.bucket, Prefix="unloaded/")
    assert listed["KeyCount"] == 1


def test_more_than_100_partitions_at_once_are_refused(aws: EmulatedAws, athena: Cursor) -> None:
    rows = "SELECT cast(x AS varchar) AS part FROM UNNEST(sequence(1, 101)) AS t (x)"
    with pytest.raises(OperationalError, match="Exceeded limit of 100 open writers"):
        athena.execute(ctas(aws, "many", rows, ", partitioning = ARRAY['part']"))


def test_milliseconds_are_refused_in_an_iceberg_table(aws: EmulatedAws, athena: Cursor) -> None:
    with pytest.raises(OperationalError, match=r"Timestamp precision \(3\) not supported"):
        athena.execute(ctas(aws, "ms", "SELECT TIMESTAMP '2024-01-01 00:00:00.123' AS m"))
