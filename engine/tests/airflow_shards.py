"""A batch inference in mapped shards, in a live Airflow."""

import time
from typing import Any

from goldpath.contract import load_contract
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import predictions_table
from goldpath.services.airflow_api import AirflowApi
from goldpath.settings import Settings

from .live_airflow import RUN_SECONDS, command, instances_of, logs

BATCH = "ml_batch_inference_pipeline"
FAILS_ONCE = "fails-once"
"""A file of the project: where it is, the shard that it names fails and deletes it."""


def check_shards(settings: Settings, api: AirflowApi, shards: int) -> str:
    """One of them fails, and is tried again alone; the table is that of one task.

    Args:
        settings: Of the live project, whose `batch_shards` are these.
        api: Its Airflow.
        shards: How many.

    Returns:
        How many ran at the same time, to be read.
    """
    deadline = time.monotonic() + RUN_SECONDS
    while "batch_plan" not in tasks_of(api) and time.monotonic() < deadline:
        time.sleep(1)
    (settings.root / FAILS_ONCE).write_text("2")
    run_id = api.trigger(BATCH)
    tasks = instances_of(api, BATCH, run_id)
    assert not (settings.root / FAILS_ONCE).exists()
    assert tasks["batch_complete"]["state"] == "success", logs(tasks)
    each = {shard: tasks[f"batch_predict.{shard - 1}"] for shard in range(1, shards + 1)}
    tries = {shard: one["try_number"] for shard, one in each.items()}
    assert tries == {**dict.fromkeys(each, 1), 2: 2}, tries
    command(settings, "batch-predict", "--run-id", "whole")
    whole = predicted(settings, "whole")
    assert len(whole) > 1000
    assert predicted(settings, run_id) == whole
    # The shard that failed has only its second try here.
    untried = [one for shard, one in each.items() if shard != 2]
    starts = [one["start_date"] for one in untried]
    at_once = max(
        sum(one["start_date"] <= start < one["end_date"] for one in untried) for start in starts
    )
    assert at_once > 1
    return f"{shards} shards, {at_once} of {len(untried)} at once, one tried again"


def tasks_of(api: AirflowApi) -> set[str]:
    """The DAG's tasks as Airflow has read them last."""
    return {each["task_id"] for each in api.get(f"dags/{BATCH}/tasks")["tasks"]}


def predicted(settings: Settings, run_id: str) -> list[dict[str, Any]]:
    """What a run predicted, without its name and the moment."""
    contract, lakehouse = load_contract(settings.root), open_lakehouse(settings)
    rows = lakehouse.collect(lakehouse.read(predictions_table(contract))).to_pylist()
    own = [row for row in rows if row["run_id"] == run_id]
    for row in own:
        del row["predicted_at"], row["run_id"]
    return sorted(own, key=str)
