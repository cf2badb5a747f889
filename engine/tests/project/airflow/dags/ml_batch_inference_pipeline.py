"""Score the gold table with the champion, then look for drift in what was scored.

1. **batch_predict** writes one prediction a row to the predictions table. A second call with the
   same run id changes nothing.
2. **drift_check** compares the scored rows with what the champion was trained on. It **fails**
   where it finds drift, and its log names the features; it is not retried, because the answer would
   be the same. With too few rows for an honest answer it is skipped.

It needs a champion: run `ml_training_pipeline` first. The same steps by hand: `make batch-predict`,
then `make drift-check`.
"""

from airflow.sdk import DAG
from steps import DAG_ARGUMENTS, NOT_ENOUGH_DATA, NOTHING_TO_DO, RUN_ID, step

with DAG(
    "ml_batch_inference_pipeline",
    description="Predictions of the champion, and a drift check on the scored rows",
    doc_md=__doc__,
    tags=["ml", "inference", "drift"],
    **DAG_ARGUMENTS,
):
    batch_predict = step("batch_predict", ["batch-predict", "--run-id", RUN_ID])
    drift_check = step(
        "drift_check",
        ["drift-check"],
        retries=0,
        skip_on_exit_code=[NOTHING_TO_DO, NOT_ENOUGH_DATA],
    )
    batch_predict >> drift_check
