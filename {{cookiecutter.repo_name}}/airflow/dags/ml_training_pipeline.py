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
`make train-local`. Each model of `models/` has a DAG of its own, `ml_training_pipeline_NAME`.
"""

from airflow.sdk import chain
from steps import MODELS, RUN_ID, dag, given, step

for each in MODELS:
    with dag(
        "ml_training_pipeline" + each.end,
        __doc__,
        tags=["ml", "training", *each.tags],
        parameters=["trials", "budget_seconds", "promote"],
    ):
        search = {
            "MLOPS_TRAINING__TRIALS": given("trials"),
            "MLOPS_TRAINING__TIMEOUT_SECONDS": given("budget_seconds"),
        }
        data = step("data", ["data"], backfills=False, renews=each.data, model=each)
        training = [
            step(
                task["task"],
                [*task["command"], "--run-id", RUN_ID],
                variables=search,
                model=each,
            )
            for task in each.training
        ]
        registered = "{% raw %}{{ ti.xcom_pull(task_ids='register')['model_version'] }}{% endraw %}"
        deploy = step(
            "deploy",
            ["training", "deploy", "--version", "$MODEL_VERSION"],
            variables={"MODEL_VERSION": registered},
            only_if="promote",
            renews={"model_version": each.champion},
            retries=0,
            model=each,
        )
        chain(data, *training, deploy)
