"""Train a candidate on fresh data, stage by stage, and ask the gate to make it the champion.

1. **data** reads the source into bronze, silver and gold. Bad rows go to quarantine.
2. **extract** pins gold's snapshot, **features** splits its rows and refuses leaks, **train**
   searches and fits, **evaluate** judges the winner on unseen rows, **register** signs and
   registers it. A stage that is run again with the same run id goes on where it stopped.
3. **deploy** tries the version behind HTTP and compares it with the champion on the same rows. It
   **fails** where the gate says no: the champion stays, and the log says which check refused the
   candidate. It is not retried, because the answer would be the same.

What a step printed is its log; its result is its XCom. The same steps by hand: `make data`, then
`make train-local`.
"""

from airflow.sdk import DAG, chain
from steps import DAG_ARGUMENTS, RUN_ID, step

with DAG(
    "ml_training_pipeline",
    description="Data, a trained candidate, and the gate to champion",
    doc_md=__doc__,
    tags=["ml", "training"],
    **DAG_ARGUMENTS,
):
    data = step("data", ["data"])
    stages = [
        step(stage, ["training", stage, "--run-id", RUN_ID])
        for stage in ("extract", "features", "train", "evaluate", "register")
    ]
    deploy = step(
        "deploy",
        ["training", "deploy", "--version", "$MODEL_VERSION"],
        env={"MODEL_VERSION": "{{ ti.xcom_pull(task_ids='register')['model_version'] }}"},
        retries=0,
    )
    chain(data, *stages, deploy)
