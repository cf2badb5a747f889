"""Score the gold table with the champion, then look for drift in what was scored.

1. **batch_predict** writes one prediction a row to the predictions table: of the whole gold table,
   late rows included, or of the file that `data` names; in a backfill of the interval's rows, and
   with `from` and `to` of these days. A day's predictions replace its former ones, and a second
   call with the same run id changes nothing.
2. **drift_check** compares the scored rows with what the champion was trained on. It **fails**
   where it finds drift, and its log names the features; it is not retried, because the answer would
   be the same. With too few rows for an honest answer, or only rows of the training, it is skipped,
   and so it is in a backfill.

With `batch_shards` in config/airflow.yaml, three tasks stand in place of the first one:
**batch_plan** pins gold's snapshot and the champion, **batch_predict** is a task for each shard,
and **batch_complete** moves their rows to the predictions table, or fails and names what is
missing. A file is not divided, so these runs know no `data`.

It needs a champion: run `ml_training_pipeline` first. The same steps by hand: `make batch-predict`,
then `make drift-check`. Each model of `models/` has a DAG of its own, with `_NAME` behind.
"""

from runners import NOT_ENOUGH_DATA, NOTHING_TO_DO
from steps import BATCH_SHARDS, MODELS, RUN_ID, dag, given, interval, step, unless_interval

# Airflow reads a file that has the words airflow and dag in it.
for each in MODELS:
    with dag(
        "ml_batch_inference_pipeline" + each.end,
        __doc__,
        tags=["ml", "inference", "drift", *each.tags],
        parameters=["from", "to"] if BATCH_SHARDS > 1 else ["from", "to", "data"],
        assets=[each.gold, each.champion],
    ):
        if BATCH_SHARDS > 1:
            batch_plan = step(
                "batch_plan",
                ["batch", "plan", "--run-id", RUN_ID, "--shards", str(BATCH_SHARDS)],
                asked=interval("backfill"),
                model=each,
            )
            batch_predict = step(
                "batch_predict",
                ["batch", "score", "--run-id", RUN_ID],
                shards=BATCH_SHARDS,
                model=each,
            )
            predicted = step(
                "batch_complete",
                ["batch", "complete", "--run-id", RUN_ID],
                renews={"run_id": each.predictions},
                model=each,
            )
            batch_plan >> batch_predict >> predicted
        else:
            predicted = step(
                "batch_predict",
                ["batch-predict"],
                asked={
                    **interval("backfill"),
                    **unless_interval("backfill"),
                    "--data": given("data"),
                },
                renews={"run_id": each.predictions},
                model=each,
            )
        drift_check = step(
            "drift_check",
            ["drift-check"],
            retries=0,
            skips_backfills=True,
            verdict_alert="DriftDetected",
            skip_on_exit_code=[NOTHING_TO_DO, NOT_ENOUGH_DATA],
            model=each,
        )
        predicted >> drift_check
