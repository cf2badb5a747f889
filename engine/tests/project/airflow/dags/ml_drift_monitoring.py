"""Look for drift in what was scored, and train again where there is some.

1. **drift_check** compares the rows of `source` with what the champion was trained on. Drift is its
   result, not a failure; with too few rows for an honest answer it is skipped, and all after it.
2. **decide** says what follows: nothing, or a training. It **fails** where there is drift and
   `retrain` is off.
3. **retrain** starts `ml_training_pipeline`, at most once in each period of `retrain_every_days`
   (config/airflow.yaml): a second one within it is skipped. The gate decides on the candidate.

By hand: `make drift-check`, then `make data train-local`.
"""

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException
from steps import CHECK_SAYS_NO, NOT_ENOUGH_DATA, NOTHING_TO_DO, SETTINGS, dag, given, step

DAYS = str(SETTINGS.get("retrain_every_days", 7))


@task.short_circuit(retries=0)
def decide(found: dict[str, Any], params: dict[str, Any]) -> bool:
    """Whether to train again."""
    if "verdict" not in found:
        raise AirflowFailException(f"the check gave no verdict: {found}")
    print(found["message"])
    if found["verdict"] == "drift" and not params["retrain"]:
        raise AirflowFailException(f"{found['message']}; retrain is off: look at {found['report']}")
    return bool(found["verdict"] == "drift")


with dag("ml_drift_monitoring", __doc__, tags=["ml", "drift"], parameters=["source", "retrain"]):
    drift_check = step(
        "drift_check",
        ["drift-check"],
        asked={"--source": given("source")},
        accepted=CHECK_SAYS_NO,
        backfills=False,
        skip_on_exit_code=[NOTHING_TO_DO, NOT_ENOUGH_DATA],
    )
    retrain = TriggerDagRunOperator(
        task_id="retrain",
        trigger_dag_id="ml_training_pipeline",
        # The same id for as many days as config/airflow.yaml says.
        trigger_run_id="drift__{{ dag_run.run_after.toordinal() // DAYS }}".replace("DAYS", DAYS),
        skip_when_already_exists=True,
    )
    decide(drift_check.output) >> retrain
