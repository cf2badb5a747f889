"""Window features of the project against a DuckDB query by hand that gives the same rows.

One million questions about 50 000 entities (text keys) and ten million payments over two years;
windows of 7, 30 and 90 days with count, sum, mean and maximum each. Both run in one process on the
same tables, in turn (A B A B …), with two threads, and hand their rows over as Arrow; the ratio is
the median of the pairwise ratios of CPU seconds. Amounts are quarters of a dollar, which every
order of adding sums exactly, so the results are compared row by row without a tolerance. The peak
of memory is that of a process that asks once. Growth: the CPU seconds at a tenth of everything.

    python benchmarks/windows.py PROJECT [--share 0.1]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from baked import find_project

QUESTIONS, PAYMENTS, ENTITIES = 1_000_000, 10_000_000, 50_000
WINDOWS = (7, 30, 90)
THREADS = 2
PAIRS = 3
RESULT = Path(__file__).parent / "results" / "windows.json"

SECONDS = 2 * 365 * 86_400
ENTITY = "'C' || lpad((hash(i * 7 + {salt}) % {entities})::varchar, 6, '0')"
TIME = "timestamp '2024-01-01' + to_seconds((hash(i * 3 + {salt}) % {seconds})::bigint)"


def main() -> int:
    """Measure in the project's environment, write results/windows.json; 2 without a project."""
    asked = arguments()
    project, share = find_project([asked.project] if asked.project else []), asked.share
    load = os.getloadavg()[0]
    tenth = child(project, "--measure", share / 10)
    whole = child(project, "--measure", share)
    memory = child(project, "--memory", share)
    details = whole["details"]
    details["peak_memory_gb"] = memory["peak_memory_gb"]
    details["growth_from_a_tenth"] = round(
        details["cpu_seconds"] / tenth["details"]["cpu_seconds"], 2
    )
    details["ratio_at_a_tenth"] = tenth["ratio"]
    details["load_average_before"] = round(load, 1)
    RESULT.parent.mkdir(exist_ok=True)
    text = json.dumps(whole, indent=2)
    RESULT.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0


def child(project: object, what: str, share: float) -> dict:
    """What a process of its own measured."""
    answer = subprocess.run(
        [str(project.python), __file__, what, "--share", str(share)],
        cwd=project.root,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=3600,
    )
    return json.loads(answer.stdout)


def measure(share: float) -> dict[str, object]:
    """Compare the two queries."""
    engine = prepared(share)
    mine, theirs = ours(engine), by_hand()
    differing = differences(engine, mine, theirs)
    if differing:
        raise SystemExit(f"{differing} rows differ from those of the query by hand")
    questions = engine.table("questions").count().execute()
    measured = [(run(engine, mine), run(engine, theirs)) for _ in range(PAIRS)]
    return {
        "name": "windows",
        "ratio": middle([a[0] / b[0] for a, b in measured]),
        "unit": "CPU seconds of the window features / CPU seconds of a DuckDB query by hand",
        "n": PAIRS,
        "details": {
            "wall_ratio": middle([a[1] / b[1] for a, b in measured]),
            "cpu_seconds": middle([a[0] for a, _ in measured]),
            "cpu_seconds_by_hand": middle([b[0] for _, b in measured]),
            "rows_that_differ": differing,
            "questions": int(questions),
            "payments": int(engine.table("payments").count().execute()),
            "entities": round(ENTITIES * share),
            "windows": len(WINDOWS),
            "aggregates": 4,
            "threads": THREADS,
            "share_of_the_full_size": share,
            "goal": "ratio <= 1.5, peak memory <= 2 GB, growth from a tenth <= 11",
            "duckdb": engine.version,
            "python": sys.version.split()[0],
        },
    }


def memory(share: float) -> dict[str, float]:
    """The most memory of a process that makes the tables and asks once, beyond the tables."""
    engine = prepared(share, memory="1500MB")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu, _ = run(engine, ours(engine))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "peak_memory_gb": round(after / 1024**2, 2),
        "with_tables_gb": round(before / 1024**2, 2),
        "cpu_seconds": round(cpu, 3),
    }


def prepared(share: float, memory: str = "6GB") -> object:
    """An engine with the questions and the payments."""
    from goldpath.lake.engine import connect_duckdb

    engine = connect_duckdb(memory, Path("windows-benchmark.tmp"))
    engine.raw_sql(f"SET threads = {THREADS}")
    asked = {"salt": 5, "entities": round(ENTITIES * share), "seconds": SECONDS}
    paid = {**asked, "salt": 1}
    engine.raw_sql(
        f"CREATE TABLE questions AS SELECT i::bigint AS question, "
        f"{ENTITY.format(**asked)} AS customer_id, {TIME.format(**asked)} AS event_time "
        f"FROM range({round(QUESTIONS * share)}) r(i)"
    )
    engine.raw_sql(
        f"CREATE TABLE payments AS SELECT {ENTITY.format(**paid)} AS customer_id, "
        f"{TIME.format(**paid)} AS event_time, (hash(i * 5) % 4000)::double / 4 AS amount "
        f"FROM range({round(PAYMENTS * share)}) r(i)"
    )
    return engine


def ours(engine: object) -> str:
    """The engine's query."""
    import ibis
    from goldpath.features.window.feature import trace_window, window_feature
    from goldpath.features.window.sql import with_window_features

    @window_feature(source="payments", over=tuple(f"{days}d" for days in WINDOWS), tile="1d")
    def paid(payments):
        return {
            "count": payments.count(),
            "total": payments.amount.sum(),
            "mean": payments.amount.mean(),
            "most": payments.amount.max(),
        }

    definition = trace_window(paid, entity="customer_id", columns={"amount": "number"})
    expression = with_window_features(
        [definition],
        engine.table("questions"),
        {"payments": engine.table("payments")},
        entity="customer_id",
        event_time="event_time",
    )
    return str(ibis.to_sql(expression, dialect="duckdb"))


def by_hand() -> str:
    """The same columns, as somebody writes them who knows DuckDB and wants whole days."""
    day = "date_trunc('day', questions.event_time)"

    def columns(function: str) -> list[str]:
        return [
            f"{function} FILTER (payments.event_time >= {day} - INTERVAL {days} DAY)"
            for days in WINDOWS
        ]

    counts, totals = columns("count(payments.amount)"), columns("sum(payments.amount)")
    means, most = columns("avg(payments.amount)"), columns("max(payments.amount)")
    names = [
        f"paid_{name}_{days}d" for name in ("count", "total", "mean", "most") for days in WINDOWS
    ]
    values = [*counts, *(f"coalesce({each}, 0)" for each in totals), *means, *most]
    listed = ", ".join(f"{value} AS {name}" for value, name in zip(values, names, strict=True))
    return (
        "SELECT questions.question, any_value(questions.customer_id) AS customer_id, "
        f"any_value(questions.event_time) AS event_time, {listed} "
        "FROM questions LEFT JOIN payments ON payments.customer_id = questions.customer_id "
        f"AND payments.event_time < {day} "
        f"AND payments.event_time >= {day} - INTERVAL {max(WINDOWS)} DAY "
        "GROUP BY questions.question"
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
    engine.con.sql(query).to_arrow_table()
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime), wall


def middle(values: list[float]) -> float:
    """The median, short enough to read."""
    return round(statistics.median(values), 3)


def arguments() -> argparse.Namespace:
    """What was asked on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("project", nargs="?")
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--share", type=float, default=1.0, help="of the full size")
    return parser.parse_args()


if __name__ == "__main__":
    asked = arguments()
    if asked.measure or asked.memory:
        print(json.dumps((measure if asked.measure else memory)(asked.share), indent=2))
    else:
        sys.exit(main())
