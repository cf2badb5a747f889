"""Does Airflow run, and do its runs end well?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import chosen
from dashboards.panels import Level, Panel, Query, Section, board, lines, number
from dashboards.queries import OF_DAG

WELL, BADLY = (f"airflow_dagrun_duration_{end}_milliseconds" for end in ("success", "failed"))
PROCESSES = ("scheduler", "dag_processor", "triggerer")


def dashboard() -> Dashboard:
    """Airflow's dashboard."""
    return board(
        "airflow",
        "Airflow",
        "Airflow's processes, runs, tasks and pools, by the metrics that make airflow-up shows.",
        [Section("Now", _now()), Section("Runs and tasks", _runs()), Section("Pools", _pools())],
        [chosen.dag()],
        begins="now-24h",
    )


def ended(metric: str, window: str, *labels: str) -> str:
    """How many runs or tasks of the chosen DAGs ended so in a window."""
    return f"sum by ({', '.join(labels)}) (increase({metric}{{{OF_DAG}}}[{window}]))"


def slots(*states: str) -> str:
    """Slots of each pool in one of the states."""
    return " + ".join(f"max by (pool_name) (airflow_pool_{state}_slots)" for state in states)


def _now() -> list[Panel]:
    return [
        number(
            "Airflow",
            "Whether the process that shows its metrics answered the last scrape.",
            Query('min by (instance) (up{job="airflow"})', "{{instance}}"),
            width=4,
            runbook="AirflowDown",
            texts={0: ("down", "red"), 1: ("up", "green")},
            missing="not started",
        ),
        number(
            "Heartbeats a minute",
            "Of scheduler, DAG processor and triggerer. None from the scheduler: no task starts.",
            *(
                Query(f"sum(rate(airflow_{name}_heartbeat_total[2m])) * 60", name)
                for name in PROCESSES
            ),
            width=8,
            decimals=0,
            runbook="AirflowSchedulerSilent",
            level=Level(0.5, "green", below="red"),
            text="value_and_name",
            missing="silent",
        ),
        number(
            "Failed runs in the last day",
            "Of the chosen DAGs.",
            Query(ended(f"{BADLY}_count", "1d", "dag_id"), "{{dag_id}}"),
            width=8,
            decimals=0,
            runbook="AirflowRunFailed",
            level=Level(0.5),
            text="value_and_name",
            missing="none",
        ),
        number(
            "DAG files with errors",
            "Files of airflow/dags that the DAG processor cannot import.",
            Query("max(airflow_dag_processing_import_errors)", "files"),
            width=4,
            decimals=0,
            level=Level(1),
            missing="unknown",
        ),
    ]


def _runs() -> list[Panel]:
    return [
        lines(
            "Runs that ended well, by hour",
            "Of the chosen DAGs.",
            Query(ended(f"{WELL}_count", "1h", "dag_id"), "{{dag_id}}"),
            runbook="AirflowRunFailed",
        ),
        lines(
            "Runs that failed, by hour",
            "Checks that say no end as skipped in ml_drift_monitoring and are failures elsewhere.",
            Query(ended(f"{BADLY}_count", "1h", "dag_id"), "{{dag_id}}"),
            runbook="AirflowRunFailed",
        ),
        lines(
            "How long a run takes",
            "Mean of the runs that ended well within six hours, from start to end.",
            Query(
                " / ".join(ended(f"{WELL}_{each}", "6h", "dag_id") for each in ("sum", "count")),
                "{{dag_id}}",
            ),
            unit="ms",
            runbook="PipelineLate",
        ),
        lines(
            "Tries of tasks that failed, by hour",
            "A failed try is repeated; the run fails with the last.",
            Query(
                ended("airflow_ti_failures_total", "1h", "dag_id", "task_id"),
                "{{dag_id}}: {{task_id}}",
            ),
            runbook="PipelineFailed",
        ),
        lines(
            "Tasks that ended well, by hour",
            "Of the chosen DAGs.",
            Query(ended("airflow_ti_successes_total", "1h", "dag_id"), "{{dag_id}}"),
            runbook="PipelineFailed",
        ),
        lines(
            "Heartbeats a minute, over time",
            "A gap is a process that hung, or was started again.",
            *(
                Query(f"sum(rate(airflow_{name}_heartbeat_total[2m])) * 60", name)
                for name in PROCESSES
            ),
            runbook="AirflowSchedulerSilent",
        ),
    ]


def _pools() -> list[Panel]:
    return [
        lines(
            "Waiting tasks",
            "Queued or scheduled, by pool. AirflowQueueStuck fires where they wait ten minutes and "
            "none runs.",
            Query(slots("queued", "scheduled"), "{{pool_name}}"),
            runbook="AirflowQueueStuck",
        ),
        lines(
            "Running tasks and free slots",
            "Running or deferred, and slots that are open.",
            Query(slots("running", "deferred"), "running in {{pool_name}}"),
            Query(slots("open"), "free in {{pool_name}}"),
            runbook="AirflowQueueStuck",
        ),
    ]
