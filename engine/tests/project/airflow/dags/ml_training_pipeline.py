"""Train a candidate on fresh data, stage by stage, and ask the gate to make it the champion.

1. **data** reads the source into bronze, silver and gold. Bad rows go to quarantine.
2. **extract** pins gold's snapshot, **features** splits its rows and refuses leaks, **train**
   searches and fits, **evaluate** judges the winner on unseen rows, **register** signs and
   registers it. Steps of your own stand between them: those of pipelines/training.py, as
   pipeline.json lists them. A step that is run again with the same run id goes on where it stopped.
3. **deploy** tries the version behind HTTP and compares it with the champion on the same rows. It
   **fails** where the gate says no: the champion stays, and the log says which check refused the
   candidate. It is not retried, because the answer would be the same. Without `promote` it is
   skipped: a dry run.

What a step printed is its log; its result is its XCom. The same steps by hand: `make data`, then
`make train-local`.
"""

from airflow.sdk import chain
from steps import CHAMPION, GOLD, PIPELINE, RUN_ID, dag, given, step

with dag(
    "ml_training_pipeline",
    __doc__,
    tags=["ml", "training", *PIPELINE["models"]],
    parameters=["trials", "budget_seconds", "promote"],
):
    search = {
        "MLOPS_TRAINING__TRIALS": given("trials"),
        "MLOPS_TRAINING__TIMEOUT_SECONDS": given("budget_seconds"),
    }
    data = step("data", ["data"], backfills=False, renews={"gold_snapshot": GOLD})
    training = [
        step(each["task"], [*each["command"], "--run-id", RUN_ID], variables=search)
        for each in PIPELINE["training"]
    ]
    deploy = step(
        "deploy",
        ["training", "deploy", "--version", "$MODEL_VERSION"],
        variables={"MODEL_VERSION": "{{ ti.xcom_pull(task_ids='register')['model_version'] }}"},
        only_if="promote",
        renews={"model_version": CHAMPION},
        retries=0,
    )
    chain(data, *training, deploy)
