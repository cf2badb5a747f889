"""The point-in-time join of the project against DuckDB's own ASOF join, which Athena lacks.

One million questions about 50 000 entities (text keys) against three million feature rows with the
sample contract's twelve features. Both run in one process on the same tables, in turn (A B A B …),
with two threads, and hand their rows over as Arrow; the ratio is the median of the pairwise ratios
of CPU seconds. Before that, the two results are compared row by row.

    python benchmarks/pit.py PROJECT
"""

import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from baked import find_project

QUESTIONS, FEATURE_ROWS, ENTITIES = 1_000_000, 3_000_000, 50_000
THREADS = 2
PAIRS = 7
OTHER_PAIRS = 3
RESULT = Path(__file__).parent / "results" / "pit.json"

NUMBERS = ("tenure_months", "monthly_charges", "usage_hours", "support_tickets")
FEATURES = (
    *NUMBERS,
    *("late_payments", "satisfaction", "age", "contract", "payment_method"),
    *("internet_service", "region", "paperless_billing"),
)
SECONDS = 2 * 365 * 86_400
ENTITY = "'C' || lpad((hash(i * 7 + {salt}) % {entities})::varchar, 6, '0')"
TIME = "timestamp '2024-01-01' + to_seconds((hash(i * 3 + {salt}) % {seconds})::bigint)"


def main() -> int:
    """Measure in the project's environment, write results/pit.json; 2 without a project."""
    project = find_project()
    answer = subprocess.run(
        [str(project.python), __file__, "--measure"],
        cwd=project.root,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=1200,
    )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(answer.stdout, encoding="utf-8")
    print(answer.stdout, end="")
    return 0


def measure() -> dict[str, object]:
    """Compare the join as training gets it, and then with other columns and another promise."""
    from goldpath.features.point_in_time import point_in_time_join
    from goldpath.lake.engine import connect_duckdb

    engine = connect_duckdb("6GB")
    engine.raw_sql(f"SET threads = {THREADS}")
    make_tables(engine)

    def ours(columns: tuple[str, ...], *, one_row_per_time: bool) -> str:
        import ibis

        expression = point_in_time_join(
            engine.table("questions"),
            engine.table("features"),
            entity="customer_id",
            event_time="event_time",
            columns=columns,
            one_row_per_time=one_row_per_time,
        )
        return str(ibis.to_sql(expression, dialect="duckdb"))

    def compare(columns: tuple[str, ...], pairs: int, *, one_row_per_time: bool = True) -> dict:
        mine, theirs = ours(columns, one_row_per_time=one_row_per_time), asof(columns)
        differing = differences(engine, mine, theirs)
        if differing:
            raise SystemExit(f"{differing} rows differ from ASOF's")
        measured = [(run(engine, mine), run(engine, theirs)) for _ in range(pairs)]
        return {
            "ratio": middle([a[0] / b[0] for a, b in measured]),
            "wall_ratio": middle([a[1] / b[1] for a, b in measured]),
            "cpu_seconds": middle([a[0] for a, _ in measured]),
            "asof_cpu_seconds": middle([b[0] for _, b in measured]),
            "rows_that_differ": differing,
        }

    first = compare(FEATURES, PAIRS)
    return {
        "name": "pit",
        "ratio": first.pop("ratio"),
        "unit": "CPU seconds of the point-in-time join / CPU seconds of DuckDB's ASOF join",
        "n": PAIRS,
        "details": {
            **first,
            "question_rows": QUESTIONS,
            "feature_rows": engine.table("features").count().execute(),
            "entities": ENTITIES,
            "features": len(FEATURES),
            "threads": THREADS,
            "with_four_numeric_features": compare(NUMBERS, OTHER_PAIRS),
            "with_a_table_that_may_hold_ties": compare(
                FEATURES, OTHER_PAIRS, one_row_per_time=False
            ),
            "goal": "ratio <= 1.3",
            "duckdb": engine.version,
            "python": sys.version.split()[0],
        },
    }


def make_tables(engine: object) -> None:
    """Questions, and features that have one row for each entity and time, as gold has."""
    questions = {"salt": 5, "entities": ENTITIES, "seconds": SECONDS}
    features = {**questions, "salt": 1}
    engine.raw_sql(
        f"CREATE TABLE questions AS SELECT {ENTITY.format(**questions)} AS customer_id, "
        f"{TIME.format(**questions)} AS event_time, i AS question FROM range({QUESTIONS}) r(i)"
    )
    engine.raw_sql(
        f"""CREATE TABLE features AS
        SELECT * FROM (
          SELECT {ENTITY.format(**features)} AS customer_id,
            {TIME.format(**features)} AS event_time,
            i % 120 AS tenure_months, random() * 100 AS monthly_charges,
            CASE WHEN i % 10 > 0 THEN random() * 744 END AS usage_hours, i % 7 AS support_tickets,
            CASE WHEN i % 11 > 0 THEN i % 13 END AS late_payments, random() * 10 AS satisfaction,
            18 + i % 90 AS age, ['month-to-month', 'one-year', 'two-year'][i % 3 + 1] AS contract,
            ['bank-transfer', 'card', NULL][i % 3 + 1] AS payment_method,
            ['dsl', 'fiber', 'none'][i % 3 + 1] AS internet_service,
            ['north', 'south', 'east'][i % 3 + 1] AS region, i % 2 = 0 AS paperless_billing
          FROM range({FEATURE_ROWS}) r(i))
        QUALIFY row_number() OVER (PARTITION BY customer_id, event_time ORDER BY age) = 1
        ORDER BY event_time, customer_id"""
    )


def asof(columns: tuple[str, ...]) -> str:
    """The same question, as DuckDB asks it."""
    return (
        f"SELECT questions.*, {', '.join(f'features.{name}' for name in columns)} FROM questions "
        "ASOF LEFT JOIN features ON questions.customer_id = features.customer_id "
        "AND questions.event_time >= features.event_time"
    )


def differences(engine: object, mine: str, theirs: str) -> int:
    """How many rows one result has and the other has not."""
    engine.raw_sql(f"CREATE OR REPLACE TABLE mine AS {mine}")
    engine.raw_sql(f"CREATE OR REPLACE TABLE theirs AS {theirs}")
    lacking = [
        f"SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {other})"
        for one, other in (("mine", "theirs"), ("theirs", "mine"))
    ]
    found = sum(engine.con.sql(query).fetchall()[0][0] for query in lacking)
    engine.raw_sql("DROP TABLE mine")
    engine.raw_sql("DROP TABLE theirs")
    return int(found)


def run(engine: object, query: str) -> tuple[float, float]:
    """CPU seconds and wall seconds until the rows are there."""
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    rows = engine.con.sql(query).to_arrow_table().num_rows
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    if rows != QUESTIONS:
        raise SystemExit(f"{rows} rows instead of {QUESTIONS}")
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return cpu, wall


def middle(values: list[float]) -> float:
    """The median, short enough to read."""
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(), indent=2))
    else:
        sys.exit(main())
