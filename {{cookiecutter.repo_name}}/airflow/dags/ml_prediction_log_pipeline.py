"""Move what the service logged into the lake, and see how good its predictions were.

1. **compact_logs** moves the sealed segments of the prediction log and of the labels into their
   tables. A run that was killed is finished by the next one; nothing is lost or doubled.
2. **live_performance** joins the labels with the predictions, by version and day. It fails where
   they say that the champion has become worse, and is skipped where too few labels came back.

The same steps by hand: `make compact-logs`, then `make live-performance`. Each model of `models/`
has a DAG of its own, with `_NAME` behind.
"""

from runners import NOT_ENOUGH_DATA, NOTHING_TO_DO
from steps import MODELS, dag, given, step

# Airflow reads a file that has the words airflow and dag in it.
for each in MODELS:
    with dag(
        "ml_prediction_log_pipeline" + each.end,
        __doc__,
        tags=["ml", "inference", "feedback", *each.tags],
        parameters=["days"],
    ):
        compact_logs = step("compact_logs", ["logs", "compact"], backfills=False, model=each)
        live_performance = step(
            "live_performance",
            ["logs", "performance"],
            asked={"--days": given("days")},
            skip_on_exit_code=[NOTHING_TO_DO, NOT_ENOUGH_DATA],
            verdict_alert="LiveQualityLow",
            retries=0,  # asked again at once, the labels say the same
            model=each,
        )
        compact_logs >> live_performance
