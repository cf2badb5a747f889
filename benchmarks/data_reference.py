"""The yardstick of `bench-data`: bronze, silver, quarantine and gold, by hand, on plain Parquet.

One DuckDB script as somebody would write it for this one dataset: it knows the columns, keeps no
snapshots, no catalog, no record of what was done, and cannot be run again for one interval. The
rows that it accepts, refuses (with the same sentences) and drops as duplicates are the project's.
With a second source, payments of the same customers, that one gets the same but gold; gold then has
five columns more, computed of the others.

    python benchmarks/data_reference.py SOURCE.parquet FOLDER ROWS_AT_ONCE [PAYMENTS.parquet]
"""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb


@dataclass(frozen=True)
class Table:
    """A source's columns, by their kinds.

    Attributes:
        time: Its column of times.
        numbers: By name: whole, nullable, minimum, maximum.
        categories: By name: nullable, values.
        order: The columns beside customer and time.
        computed: Of its gold table: further columns by name; None where it has none.
    """

    time: str
    numbers: Mapping[str, tuple[bool, bool, int, int]]
    categories: Mapping[str, tuple[bool, tuple[str, ...]]]
    order: list[str]
    computed: Mapping[str, str] | None = None


NUMBERS = {
    "tenure_months": (True, False, 0, 600),
    "monthly_charges": (False, False, 0, 1000),
    "usage_hours": (False, True, 0, 744),
    "support_tickets": (True, False, 0, 200),
    "late_payments": (True, True, 0, 12),
    "satisfaction": (False, True, 0, 10),
    "age": (True, True, 18, 110),
}
CATEGORIES = {
    "contract": (False, ("month-to-month", "one-year", "two-year")),
    "payment_method": (True, ("bank-transfer", "card", "invoice", "wallet")),
    "internet_service": (False, ("dsl", "fiber", "none")),
    "region": (False, ("north", "south", "east", "west", "centre")),
    "churned": (False, ("no", "yes")),
}
ORDER = [
    *NUMBERS, "contract", "payment_method", "internet_service", "region", "paperless_billing",
    "churned",
]  # fmt: skip
COMPUTED = {
    "charge_rate": "monthly_charges / (tenure_months + 1)",
    "unbound_tickets": "CASE WHEN contract = 'month-to-month' THEN support_tickets ELSE 0 END",
    "hours_a_dollar": "usage_hours / nullif(monthly_charges, 0)",
    "known_late": "coalesce(late_payments, 0)",
    "line": "CASE internet_service WHEN 'fiber' THEN 2 WHEN 'dsl' THEN 1 WHEN 'none' THEN 0 END",
}
CUSTOMERS = Table("observed_at", NUMBERS, CATEGORIES, ORDER, {})
PAYMENTS = Table(
    "paid_at",
    {"amount": (False, False, 0, 10_000)},
    {"method": (True, ("bank-transfer", "card", "invoice", "wallet"))},
    ["amount", "method"],
)
NULL_WORDS = "('', 'na', 'n/a', 'nan', 'null', 'none', '?')"
BILLING = (
    "CASE lower(trim(paperless_billing)) "
    "WHEN 'true' THEN true WHEN 't' THEN true WHEN 'yes' THEN true WHEN 'y' THEN true "
    "WHEN '1' THEN true WHEN 'false' THEN false WHEN 'f' THEN false WHEN 'no' THEN false "
    "WHEN 'n' THEN false WHEN '0' THEN false END AS v_paperless_billing"
)
LAST_OF_EACH = """QUALIFY row_number() OVER (
    PARTITION BY v_customer_id, v_event_time
    ORDER BY _ingested_at DESC, _batch_id DESC, _row_number DESC) = 1"""
WRITE = "(FORMAT parquet, COMPRESSION zstd, PARTITION_BY (_interval), OVERWRITE_OR_IGNORE)"


def main() -> int:
    """Run the four steps and print the counts, those of payments under their name."""
    source, folder, rows_at_once = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    database = duckdb.connect()
    database.sql("SET memory_limit = '1GB'")
    database.sql(f"SET temp_directory = '{folder / 'spill'}'")
    database.sql("SET enable_progress_bar = false")
    database.sql("SET preserve_insertion_order = false")
    database.sql("SET TimeZone = 'UTC'")
    found: dict[str, object] = {}
    customers = CUSTOMERS
    if len(sys.argv) > 4:
        place = folder / "payments"
        found["payments"] = make_layers(database, sys.argv[4], place, PAYMENTS, rows_at_once)
        customers = Table(**{**vars(CUSTOMERS), "computed": COMPUTED})
    found |= make_layers(database, source, folder / "customers", customers, rows_at_once)
    print(json.dumps(found))
    return 0


def make_layers(
    database: duckdb.DuckDBPyConnection, source: str, folder: Path, table: Table, rows_at_once: int
) -> dict[str, int]:
    """Bronze, silver, quarantine and, of the main table, gold; how many rows each has."""
    folder.mkdir()
    database.sql(f"""
        COPY (
            SELECT *, 'source' AS _source_file, 'batch' AS _batch_id,
                   row_number() OVER () AS _row_number,
                   TIMESTAMP '2026-01-01' AS _ingested_at,
                   coalesce(
                       substr(CAST(TRY_CAST(trim({table.time}) AS TIMESTAMP) AS VARCHAR), 1, 7),
                       'unknown') AS _interval
            FROM read_parquet('{source}')
        ) TO '{folder / "bronze"}' {WRITE}""")
    held = database.sql(f"""
        SELECT _interval, count(*) FROM read_parquet('{folder / "bronze"}/*/*.parquet')
        GROUP BY 1 ORDER BY 1""").fetchall()
    counts = [0, 0, 0]
    for intervals in group(held, rows_at_once):
        found = refine(database, folder, intervals, table)
        counts = [a + b for a, b in zip(counts, found, strict=True)]
    return dict(zip(("bronze", "quarantined", "silver"), counts, strict=True))


def group(held: list[tuple[str, int]], rows_at_once: int) -> list[list[str]]:
    """Intervals that are worked on together, as in the project: memory has a bound."""
    groups: list[list[str]] = []
    rows = 0
    for interval, count in held:
        if not groups or rows + count > rows_at_once:
            groups.append([])
            rows = 0
        groups[-1].append(interval)
        rows += count
    return groups


def refine(
    database: duckdb.DuckDBPyConnection, folder: Path, intervals: list[str], table: Table
) -> tuple[int, int, int]:
    """Silver, quarantine and gold of a few intervals."""
    bronze = folder / "bronze"
    files = [str(file) for i in intervals for file in (bronze / f"_interval={i}").iterdir()]
    raw = ", ".join(["customer_id", table.time, *table.order])
    typed = ",\n".join(
        [
            "CASE WHEN lower(trim(customer_id)) IN ('', 'na', 'n/a') THEN NULL "
            "ELSE trim(customer_id) END AS v_customer_id",
            f"TRY_CAST(trim({table.time}) AS TIMESTAMPTZ)::TIMESTAMP AS v_event_time",
            *[number(name, whole) for name, (whole, *_) in table.numbers.items()],
            *[category(name, values) for name, (_, values) in table.categories.items()],
            *[BILLING for name in table.order if name == "paperless_billing"],
        ]
    )
    checked = ["customer_id", table.time, *table.order]
    reasons = " || ".join(reason(name, table) for name in checked)
    database.sql(f"""
        CREATE OR REPLACE TEMP TABLE checked AS
        WITH typed AS (SELECT *, {typed} FROM read_parquet({files},
                               hive_partitioning = true, hive_types_autocast = false)),
             judged AS (SELECT *, {reasons} AS _reasons FROM typed)
        SELECT * EXCLUDE ({raw}),
               {", ".join(f"CASE WHEN _reasons <> '' THEN {n} END AS {n}" for n in raw.split(", "))}
        FROM judged""")
    private = "_source_file, _batch_id, _row_number, _ingested_at, _interval"
    values = ", ".join(
        f"v_{name} AS {name}" for name in ["customer_id", "event_time", *table.order]
    )
    database.sql(f"""
        COPY (SELECT {raw}, {private}, regexp_replace(_reasons, '; $', '') AS _reasons
              FROM checked WHERE _reasons <> '') TO '{folder / "quarantine"}' {WRITE}""")
    database.sql(f"""
        COPY (SELECT {values}, {private} FROM checked WHERE _reasons = ''
              {LAST_OF_EACH if table.computed is not None else ""}
        ) TO '{folder / "silver"}' {WRITE}""")
    silver = [str(file) for i in intervals for file in (folder / "silver").glob(f"_interval={i}/*")]
    kept = 0
    if silver:
        computed = (table.computed or {}).items()
        further = [f"{expression} AS {name}" for name, expression in computed]
        columns = ", ".join(["customer_id", "event_time", *table.order, *further, "_interval"])
        if table.computed is not None:
            database.sql(f"""
            COPY (SELECT {columns} FROM read_parquet({silver}, hive_partitioning = true,
                         hive_types_autocast = false)
                  ORDER BY event_time, customer_id) TO '{folder / "gold"}' {WRITE}""")
        ((kept,),) = database.sql(f"SELECT count(*) FROM read_parquet({silver})").fetchall()
    ((read, refused),) = database.sql(
        "SELECT count(*), count(*) FILTER (_reasons <> '') FROM checked"
    ).fetchall()
    return read, refused, kept


def number(name: str, whole: bool) -> str:
    """A finite number, or null."""
    value = f"TRY_CAST(trim({name}) AS DOUBLE)"
    rule = f"isfinite({value})" + (f" AND {value} % 1 = 0 AND abs({value}) < 2^53" if whole else "")
    cast = f"CAST({value} AS BIGINT)" if whole else value
    return f"CASE WHEN {rule} THEN {cast} END AS v_{name}"


def category(name: str, values: tuple[str, ...]) -> str:
    """A known word as it is; another one unless it stands for a missing value."""
    known = " OR ".join(f"trim({name}) = '{value}'" for value in values)
    return (
        f"CASE WHEN {known} THEN trim({name}) "
        f"WHEN lower(trim({name})) IN {NULL_WORDS} THEN NULL ELSE trim({name}) END AS v_{name}"
    )


def reason(name: str, table: Table) -> str:
    """Why a value is refused, or nothing."""
    shown = f"'{name}: ''' || coalesce(substr(trim({name}), 1, 40), '') || ''' is "
    missing = f"({name} IS NULL OR lower(trim({name})) IN {NULL_WORDS})"
    absent = f"'{name}: missing; '"
    if name == "customer_id":
        return f"CASE WHEN v_{name} IS NULL THEN {absent} ELSE '' END"
    if name == table.time:
        return f"CASE WHEN v_event_time IS NULL THEN {shown}not a time; ' ELSE '' END"
    if name == "paperless_billing":
        return (
            f"CASE WHEN v_{name} IS NOT NULL THEN '' WHEN {missing} THEN {absent} "
            f"ELSE {shown}not true or false; ' END"
        )
    if name in table.categories:
        nullable, values = table.categories[name]
        known = " OR ".join(f"v_{name} = '{value}'" for value in values)
        kind = "classes" if name == "churned" else "categories"
        empty = "''" if nullable else absent
        return (
            f"CASE WHEN {known} THEN '' WHEN v_{name} IS NULL THEN {empty} "
            f"ELSE {shown}not one of its {kind}; ' END"
        )
    whole, nullable, low, high = table.numbers[name]
    wanted = "a whole number" if whole else "a finite number"
    empty = "''" if nullable else absent
    return (
        f"CASE WHEN v_{name} IS NULL THEN CASE WHEN {missing} THEN {empty} "
        f"ELSE {shown}not {wanted}; ' END "
        f"WHEN v_{name} < {low} THEN {shown}below {low}; ' "
        f"WHEN v_{name} > {high} THEN {shown}above {high}; ' ELSE '' END"
    )


if __name__ == "__main__":
    sys.exit(main())
