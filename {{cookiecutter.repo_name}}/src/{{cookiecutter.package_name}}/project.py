"""What this project is, on one screen.

Each function below hands a part of the project to the engine and is called when that part is first
needed, so its imports stand inside.
"""

from goldpath import Data, Model, Project, RowFeature, Service, WindowFeature


def data() -> Data:
    """From the source to the table that models learn from."""
    from .data import aws_integration
    from .pipelines.data_engineering import bronze, gold, silver

    return Data(
        bronze=bronze.store, silver=silver.clean, gold=gold.choose, aws=aws_integration.names
    )


def features() -> list[RowFeature | WindowFeature]:
    """What is computed of a row and looked up in sources, in the lake, batches and the service."""
    from .features import customers, history

    return [
        customers.charge_rate,
        customers.unbound_tickets,
        history.paid,
        history.paid_above,
        history.asked,
    ]


def churn() -> Model:
    """The model: what is tried, what counts, and what keeps a candidate back."""
    from .model import families, gates, metrics, mlflow_manager
    from .pipelines import batch_inference, monitoring, training

    return Model(
        families=[families.boosting, families.linear],
        metrics=[metrics.saved_revenue],
        validators={"regions": gates.NoRegionLeftBehind()},
        training=training.steps,
        batch=batch_inference.steps,
        compared=monitoring.compared,
        tags=mlflow_manager.tags,
        description=mlflow_manager.description,
    )


def service() -> Service:
    """What the HTTP service answers beyond predictions."""
    from .inference import api

    return Service(routers=[api.router])


project = Project(
    name="{{ cookiecutter.package_name }}",
    dataset="customer_churn",  # of config/project.yaml; with another, none of this is used
    data=data,
    features=features,
    models={"churn": churn},
    service=service,
)
