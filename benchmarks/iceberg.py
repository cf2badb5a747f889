"""Appending rows to an Iceberg table of the local lakehouse, against writing them as Parquet.

Run by the project's interpreter, in one process, in turn (A B C A B C …). The ratio is against the
faster of two plain writes with the same compression: PyArrow's, and DuckDB's COPY.

    PROJECT/.venv/bin/python benchmarks/iceberg.py PROJECT [ROWS]
"""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet
from goldpath.lake.lakehouse import TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.settings import load_settings

ROUNDS = 7
ROWS = 2_000_000
RESULT = Path(__file__).parent / "results" / "iceberg.json"


def main() -> int:
    """Measure, write benchmarks/results/iceberg.json and print the figures."""
    project = Path(sys.argv[1]).resolve()
    rows = make_rows(int(sys.argv[2]) if len(sys.argv) > 2 else ROWS)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(project / "config", root / "config")
        lakehouse = LocalLakehouse(load_settings(root))
        table = TableName("bench", "rows")
        database = duckdb.connect()
        database.sql("SET preserve_insertion_order = false")
        database.register("source", rows)
        writers: dict[str, Callable[[], object]] = {
            "iceberg": lambda: lakehouse.append(table, rows),
            "pyarrow": lambda: pa.parquet.write_table(
                rows, root / "pyarrow.parquet", compression="zstd"
            ),
            "duckdb": lambda: database.sql(
                f"COPY source TO '{root / 'duckdb.parquet'}' (FORMAT parquet, COMPRESSION zstd)"
            ),
        }
        measured = measure(writers)
        held = lakehouse.snapshot(table).rows
    if held != rows.num_rows * (ROUNDS + 1):
        print(f"Error: the table holds {held} rows", file=sys.stderr)
        return 1
    report(rows.num_rows, measured)
    return 0


def make_rows(count: int) -> pa.Table:
    """Eight columns of the kinds that feature tables have."""
    random = np.random.default_rng(7)
    entity = random.integers(0, 50_000, count)
    return pa.table(
        {
            "entity": pa.array(entity).cast(pa.string()),
            "event_time": pa.array(
                (random.integers(0, 86_400 * 365, count) * 1_000_000).astype("datetime64[us]")
            ),
            **{f"number_{i}": random.normal(size=count).round(3) for i in range(3)},
            "count": random.integers(0, 1000, count),
            "flag": random.random(count) < 0.3,
            "category": pa.array(["a", "b", "c", "d"]).take(pa.array(random.integers(0, 4, count))),
        }
    )


def measure(writers: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Wall seconds of each writer; the first round warms files and caches and is left out."""
    measured: dict[str, list[float]] = {name: [] for name in writers}
    for number in range(ROUNDS + 1):
        for name, write in writers.items():
            started = time.perf_counter()
            write()
            if number:
                measured[name].append(time.perf_counter() - started)
    return measured


def report(rows: int, measured: dict[str, list[float]]) -> None:
    """Write and print the result."""
    plain = [min(pair) for pair in zip(measured["pyarrow"], measured["duckdb"], strict=True)]
    ratios = [a / b for a, b in zip(measured["iceberg"], plain, strict=True)]
    result = {
        "name": "iceberg",
        "ratio": round(statistics.median(ratios), 3),
        "unit": "wall seconds of an append / of the faster plain Parquet write of the same rows",
        "n": rows,
        "details": {
            "rounds": ROUNDS,
            **{
                f"{name}_wall_seconds": round(statistics.median(values), 4)
                for name, values in measured.items()
            },
            "cores": os.cpu_count(),
            "goal": "ratio <= 1.3",
        },
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    sys.exit(main())
