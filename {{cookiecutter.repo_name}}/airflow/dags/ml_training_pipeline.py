"""Train a candidate on fresh data and ask the gate to make it the champion.

1. **data** reads the source into bronze, silver and gold. Bad rows go to quarantine.
2. **train** searches, trains, evaluates and registers a candidate. A second call with the same run
   id changes nothing.
3. **promote** compares that candidate with the champion on the same rows. It **fails** where the
   gate says no: the champion stays, and the log says which check refused the candidate. It is not
   retried, because the answer would be the same.

What a step printed is its log; its result is its XCom. The same steps by hand: `make data`, then
`make train-local`.
"""

from airflow.sdk import DAG
from steps import DAG_ARGUMENTS, RUN_ID, step

with DAG(
    "ml_training_pipeline",
    description="Data, a trained candidate, and the gate to champion",
    doc_md=__doc__,
    tags=["ml", "training"],
    **DAG_ARGUMENTS,
):
    data = step("data", ["data"])
    train = step("train", ["train", "--run-id", RUN_ID])
    promote = step(
        "promote",
        ["promote", "--version", "$MODEL_VERSION"],
        env={"MODEL_VERSION": "{% raw %}{{ ti.xcom_pull(task_ids='train')['model_version'] }}{% endraw %}"},
        retries=0,
    )
    data >> train >> promote
