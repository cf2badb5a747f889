"""The public API, for type checkers: the names of `__init__.py` and where they are defined."""

from goldpath.automl.budget import Budget as Budget
from goldpath.automl.clustering import find_clusters as find_clusters
from goldpath.automl.engine import find_model as find_model
from goldpath.automl.experiments.manager import ExperimentManager as ExperimentManager
from goldpath.automl.experiments.tracking import create_tracker as create_tracker
from goldpath.automl.tuning.tuner import HyperparameterTuner as HyperparameterTuner
from goldpath.cli.app import run as run
from goldpath.client import Client as Client
from goldpath.contract import Contract as Contract
from goldpath.contract import load_contract as load_contract
from goldpath.errors import CheckFailedError as CheckFailedError
from goldpath.errors import NotEnoughDataError as NotEnoughDataError
from goldpath.errors import NothingToDoError as NothingToDoError
from goldpath.errors import ProjectError as ProjectError
from goldpath.features.feature_store import FeatureStore as FeatureStore
from goldpath.features.row.calendar import cyclic_cos as cyclic_cos
from goldpath.features.row.calendar import cyclic_sin as cyclic_sin
from goldpath.features.row.calendar import is_holiday as is_holiday
from goldpath.features.row.cases import case as case
from goldpath.features.row.tracing import Row as Row
from goldpath.features.row.tracing import RowFeature as RowFeature
from goldpath.features.row.tracing import row_feature as row_feature
from goldpath.features.row.values import Value as Value
from goldpath.features.window.feature import WindowFeature as WindowFeature
from goldpath.features.window.feature import window_feature as window_feature
from goldpath.features.window.lags import lag as lag
from goldpath.features.window.lags import rolling_mean as rolling_mean
from goldpath.features.window.lags import same_hour_last_week as same_hour_last_week
from goldpath.features.window.rows import Aggregate as Aggregate
from goldpath.features.window.rows import Rows as Rows
from goldpath.jobs.batch.work import BatchWork as BatchWork
from goldpath.jobs.data.sql_recipe import sql_recipe as sql_recipe
from goldpath.jobs.deployer import ModelDeployer as ModelDeployer
from goldpath.jobs.training.work import TrainingWork as TrainingWork
from goldpath.judging.evidence import Evidence as Evidence
from goldpath.judging.gates import Gate as Gate
from goldpath.judging.gates import gate as gate
from goldpath.judging.model_validator import ModelValidator as ModelValidator
from goldpath.judging.validation_report import ValidationResult as ValidationResult
from goldpath.judging.validation_report import ValidationSeverity as ValidationSeverity
from goldpath.judging.validation_report import ValidationStatus as ValidationStatus
from goldpath.judging.validators import BaseValidator as BaseValidator
from goldpath.lake.connection import open_lakehouse as open_lakehouse
from goldpath.learning.columns import Columns as Columns
from goldpath.learning.family import Family as Family
from goldpath.learning.family import Trial as Trial
from goldpath.learning.family import family as family
from goldpath.learning.metric import Metric as Metric
from goldpath.learning.metric import metric as metric
from goldpath.learning.scoring import LoadedModel as LoadedModel
from goldpath.learning.stored import stored as stored
from goldpath.project import Data as Data
from goldpath.project import Model as Model
from goldpath.project import Project as Project
from goldpath.project import Service as Service
from goldpath.registry.mlflow_manager import MLflowManager as MLflowManager
from goldpath.registry.versions import VersionManager as VersionManager
from goldpath.serving.answers.hooks import Hooks as Hooks
from goldpath.serving.answers.hooks import PredictionRequest as PredictionRequest
from goldpath.serving.answers.hooks import RefusedError as RefusedError
from goldpath.serving.answers.own_fields import Prediction as Prediction
from goldpath.serving.answers.service_metric import ServiceMetric as ServiceMetric
from goldpath.serving.answers.service_metric import service_metric as service_metric
from goldpath.serving.api import create_app as create_app
from goldpath.serving.own_routes import predict as predict
from goldpath.settings import AwsSettings as AwsSettings
from goldpath.settings import Section as Section
from goldpath.settings import Settings as Settings
from goldpath.settings import load_settings as load_settings

__all__ = [
    "Aggregate",
    "AwsSettings",
    "BaseValidator",
    "BatchWork",
    "Budget",
    "CheckFailedError",
    "Client",
    "Columns",
    "Contract",
    "Data",
    "Evidence",
    "ExperimentManager",
    "Family",
    "FeatureStore",
    "Gate",
    "Hooks",
    "HyperparameterTuner",
    "LoadedModel",
    "MLflowManager",
    "Metric",
    "Model",
    "ModelDeployer",
    "ModelValidator",
    "NotEnoughDataError",
    "NothingToDoError",
    "Prediction",
    "PredictionRequest",
    "Project",
    "ProjectError",
    "RefusedError",
    "Row",
    "RowFeature",
    "Rows",
    "Section",
    "Service",
    "ServiceMetric",
    "Settings",
    "TrainingWork",
    "Trial",
    "ValidationResult",
    "ValidationSeverity",
    "ValidationStatus",
    "Value",
    "VersionManager",
    "WindowFeature",
    "case",
    "create_app",
    "create_tracker",
    "cyclic_cos",
    "cyclic_sin",
    "family",
    "find_clusters",
    "find_model",
    "gate",
    "is_holiday",
    "lag",
    "load_contract",
    "load_settings",
    "metric",
    "open_lakehouse",
    "predict",
    "rolling_mean",
    "row_feature",
    "run",
    "same_hour_last_week",
    "service_metric",
    "sql_recipe",
    "stored",
    "window_feature",
]
