"""goldpath: the engine of an MLOps project. What a project may import is named here.

Everything else is private to the engine and may change with any version. Importing the package
imports none of its parts: each name is fetched when it is first used (PEP 562), so that a command
starts without NumPy and a service without what only training needs. `docs api` lists the names;
`__init__.pyi` tells type checkers the same.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "goldpath.project": ("Data", "Model", "Project", "Service"),
    "goldpath.cli.app": ("run",),
    "goldpath.learning.family": ("Family", "Trial", "family"),
    "goldpath.learning.columns": ("Columns",),
    "goldpath.learning.stored": ("stored",),
    "goldpath.learning.metric": ("Metric", "metric"),
    "goldpath.judging.evidence": ("Evidence",),
    "goldpath.judging.gates": ("Gate", "gate"),
    "goldpath.judging.validators": ("BaseValidator",),
    "goldpath.judging.validation_report": (
        "ValidationResult",
        "ValidationSeverity",
        "ValidationStatus",
    ),
    "goldpath.judging.model_validator": ("ModelValidator",),
    "goldpath.settings": ("AwsSettings", "Section", "Settings", "load_settings"),
    "goldpath.contract": ("Contract", "load_contract"),
    "goldpath.errors": (
        "CheckFailedError",
        "NotEnoughDataError",
        "NothingToDoError",
        "ProjectError",
    ),
    "goldpath.lake.connection": ("open_lakehouse",),
    "goldpath.features.feature_store": ("FeatureStore",),
    "goldpath.features.row.calendar": ("cyclic_cos", "cyclic_sin", "is_holiday"),
    "goldpath.features.row.cases": ("case",),
    "goldpath.features.row.tracing": ("Row", "RowFeature", "row_feature"),
    "goldpath.features.row.values": ("Value",),
    "goldpath.features.window.feature": ("WindowFeature", "window_feature"),
    "goldpath.features.window.lags": ("lag", "rolling_mean", "same_hour_last_week"),
    "goldpath.features.window.rows": ("Aggregate", "Rows"),
    "goldpath.automl.budget": ("Budget",),
    "goldpath.automl.engine": ("find_model",),
    "goldpath.automl.clustering": ("find_clusters",),
    "goldpath.automl.experiments.manager": ("ExperimentManager",),
    "goldpath.automl.tuning.tuner": ("HyperparameterTuner",),
    "goldpath.automl.experiments.tracking": ("create_tracker",),
    "goldpath.registry.mlflow_manager": ("MLflowManager",),
    "goldpath.registry.versions": ("VersionManager",),
    "goldpath.learning.scoring": ("LoadedModel",),
    "goldpath.jobs.deployer": ("ModelDeployer",),
    "goldpath.jobs.batch.work": ("BatchWork",),
    "goldpath.jobs.data.sql_recipe": ("sql_recipe",),
    "goldpath.jobs.training.work": ("TrainingWork",),
    "goldpath.serving.api": ("create_app",),
    "goldpath.serving.answers.own_fields": ("Prediction",),
    "goldpath.serving.answers.hooks": ("Hooks", "PredictionRequest", "RefusedError"),
    "goldpath.serving.answers.service_metric": ("ServiceMetric", "service_metric"),
    "goldpath.serving.own_routes": ("predict",),
    "goldpath.client": ("Client",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    """Fetch a public name from its module, once."""
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
