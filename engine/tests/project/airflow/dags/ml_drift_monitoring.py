"""Look for drift in what was scored, and train again where there is some.

1. **drift_check** compares the rows of `source` with what the champion was trained on. Drift is its
   result, not a failure; with too few rows for an honest answer, or nothing new to compare, it is
   skipped, and all after it. Repeated before another window has ended, it gives its last verdict.
2. **decide** says what follows: nothing, or a training. Where there is drift and `retrain` is off
   it is skipped, and all after it: the run is no failure, and drift has an alert of its own.
3. **admit** asks the rules of `retrain` in config/monitoring.yaml: cooldown, budget, new rows with
   a label. Where one says no, it says why, and is skipped.
4. **retrain** starts `ml_training_pipeline`. The gate decides on the candidate.

By hand: `make drift-check`, then `make retrain`. Each model of `models/` has a DAG of its own,
with `_NAME` behind.
"""

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from runners import CHECK_SAYS_NO, NOT_ENOUGH_DATA, NOTHING_TO_DO
from steps import MODELS, dag, given, step


@task.short_circuit(retries=0)
def decide(found: dict[str, Any], params: dict[str, Any]) -> bool:
    """Whether to train again."""
    if "verdict" not in found:
        raise AirflowFailException(f"the check gave no verdict: {found}")
    print(found["message"])
    if found["verdict"] == "drift" and not params["retrain"]:
        raise AirflowSkipException(f"nothing to do: retrain is off; look at {found['report']}")
    return bool(found["verdict"] == "drift")


for each in MODELS:
    with dag(
        "ml_drift_monitoring" + each.end,
        __doc__,
        tags=["ml", "drift", *each.tags],
        parameters=["source", "retrain"],
    ):
        drift_check = step(
            "drift_check",
            ["drift-check"],
            asked={"--source": given("source")},
            accepted=CHECK_SAYS_NO,
            backfills=False,
            leaves_report=True,
            skip_on_exit_code=[NOTHING_TO_DO, NOT_ENOUGH_DATA],
            model=each,
        )
        admit = step(
            "admit",
            ["retrain", "--admit"],
            asked={"--source": given("source")},
            retries=0,
            backfills=False,
            skip_on_exit_code=[CHECK_SAYS_NO, NOTHING_TO_DO, NOT_ENOUGH_DATA],
            model=each,
        )
        retrain = TriggerDagRunOperator(
            task_id="retrain",
            trigger_dag_id="ml_training_pipeline" + each.end,
            trigger_run_id="drift__{{ ti.xcom_pull(task_ids='admit')['id'] }}",
            skip_when_already_exists=True,
        )
        decide(drift_check.output) >> admit >> retrain
