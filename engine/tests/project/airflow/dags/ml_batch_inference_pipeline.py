"""Score the gold table with the champion, then look for drift in what was scored.

1. **batch_predict** writes one prediction a row to the predictions table, of gold or of the file
   that `data` names. A second call with the same run id changes nothing.
2. **drift_check** compares the scored rows with what the champion was trained on. It **fails**
   where it finds drift, and its log names the features; it is not retried, because the answer would
   be the same. With too few rows for an honest answer it is skipped.

It needs a champion: run `ml_training_pipeline` first. The same steps by hand: `make batch-predict`,
then `make drift-check`.
"""

from steps import (
    CHAMPION,
    GOLD,
    NOT_ENOUGH_DATA,
    NOTHING_TO_DO,
    PREDICTIONS,
    RUN_ID,
    dag,
    given,
    step,
)

# Airflow reads a file that has the words airflow and dag in it.
with dag(
    "ml_batch_inference_pipeline",
    __doc__,
    tags=["ml", "inference", "drift"],
    parameters=["data"],
    assets=[GOLD, CHAMPION],
):
    batch_predict = step(
        "batch_predict",
        ["batch-predict", "--run-id", RUN_ID],
        asked={"--data": given("data")},
        backfills=False,
        renews={"run_id": PREDICTIONS},
    )
    drift_check = step(
        "drift_check",
        ["drift-check"],
        retries=0,
        skip_on_exit_code=[NOTHING_TO_DO, NOT_ENOUGH_DATA],
    )
    batch_predict >> drift_check
