"""What can be chosen at the top of a dashboard."""

from grafana_foundation_sdk.builders.dashboard import QueryVariable

from dashboards.panels import choice


def model() -> QueryVariable:
    """One of several models of the project."""
    return choice(
        "model",
        "Model",
        'label_values({__name__=~"ml_.+"}, model)',
        "Further models by their names. All has the main model, too; type ^$ for it alone.",
        several=False,
    )


def source() -> QueryVariable:
    """Whose rows were checked for drift."""
    return choice(
        "source",
        "Rows of",
        "label_values(ml_drift_checked_timestamp_seconds, source)",
        "Whose rows were checked for drift: those of the service, a batch, a table or a file.",
        several=True,
    )


def table() -> QueryVariable:
    """A source of the lake."""
    return choice(
        "table",
        "Source",
        "label_values(ml_data_refreshed_timestamp_seconds, source)",
        "The main table by its dataset's name, and the further sources.",
        several=True,
    )


def dag() -> QueryVariable:
    """A DAG of Airflow."""
    return choice(
        "dag",
        "DAG",
        'label_values({__name__=~"airflow_.+"}, dag_id)',
        "DAGs of which a run has ended since Airflow was started.",
        several=True,
    )
