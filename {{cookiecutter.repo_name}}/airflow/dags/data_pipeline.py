"""Bring the lake up to date: bronze and silver of every source, gold, then the online store.

1. Each further source has a task of its own, **source_NAME**: bronze and silver. One that fails
   stops what is made from it, and nothing else.
2. **data** reads the main source, puts bad rows into quarantine and computes what changed: new
   rows and late ones. `from` and `to` make the days of a period anew, and so does a backfill for
   the days of its intervals. Silver and gold of each model of `models/` come after.
3. **materialize** lets the online store, in which the service looks up window features, say what
   the lake says; a project without window features has no such task.

By hand: `make data materialize`.
"""

from steps import DATASET, MODELS, PIPELINE, dag, interval, step

TABLES = f"Sources: {', '.join([DATASET, *PIPELINE['sources']])}."
NEEDED = PIPELINE.get("needed_sources", PIPELINE["sources"])

# Airflow reads a file that has the words airflow and dag in it.
with dag("data_pipeline", f"{__doc__}\n{TABLES}", tags=["data"], parameters=["from", "to"]):
    sources = {
        name: step(f"source_{name}", ["data", "--only", name], asked=interval("backfill"))
        for name in PIPELINE["sources"]
    }
    data = step(
        "data",
        ["data", "--only", DATASET],
        asked=interval("backfill"),
        renews=MODELS[0].data,
    )
    [sources[name] for name in NEEDED] >> data
    if PIPELINE["windows"]:
        data >> step("materialize", ["features", "materialize"])
