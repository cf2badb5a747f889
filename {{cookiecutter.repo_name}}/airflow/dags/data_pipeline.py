"""Bring the lake up to date: bronze, silver and gold of every source.

**data** reads the sources, puts bad rows into quarantine and computes what changed: new rows and
late ones. `from` and `to` make the days of a period anew, and so does a backfill for the days of
its intervals. The same by hand: `make data`.
"""

from steps import DATASET, GOLD, INTERVAL_END, INTERVAL_START, PIPELINE, dag, interval_or, step

TABLES = f"Sources: {', '.join([DATASET, *PIPELINE['sources']])}."

# Airflow reads a file that has the words airflow and dag in it.
with dag("data_pipeline", f"{__doc__}\n{TABLES}", tags=["data"], parameters=["from", "to"]):
    step(
        "data",
        ["data"],
        asked={
            "--from": interval_or("from", INTERVAL_START),
            "--to": interval_or("to", INTERVAL_END),
        },
        renews={"gold_snapshot": GOLD},
    )
