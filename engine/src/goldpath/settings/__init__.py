"""Typed settings: `config/*.yaml`, overridden by the environment and by `.env`.

A setting `section.name` is overridden by the variable `MLOPS_SECTION__NAME`, for example
`MLOPS_TRAINING__TRIALS=5`. MLflow's own variables keep their usual names. `.env.example`
explains every variable. Each room's section has a module of its own here, and names its file of
`config/` there; a project adds sections of its own (`Section`).
"""

from goldpath.settings.access import AccessSettings
from goldpath.settings.automl import AutoMLSettings
from goldpath.settings.aws import AwsSettings
from goldpath.settings.card import CardSettings
from goldpath.settings.decision import DecisionSettings
from goldpath.settings.errors import SettingsError
from goldpath.settings.features import FeatureSettings, FeatureViewSettings
from goldpath.settings.lake import LakeSettings
from goldpath.settings.loading import (
    deleted_settings,
    further_settings,
    load_settings,
    monitoring_of,
    project_root,
    unread_files,
)
from goldpath.settings.monitoring import MonitoringSettings
from goldpath.settings.prediction_log import PredictionLogSettings
from goldpath.settings.registry import RegistrySettings, VersionRule, VersionSettings
from goldpath.settings.section import ENVIRONMENT_PREFIX, Section
from goldpath.settings.servers import AirflowSettings, ServersSettings
from goldpath.settings.serving import ServingSettings
from goldpath.settings.settings import DEFAULT_PASSWORDS, SHORTEST_KEY, Settings
from goldpath.settings.training import TrainingSettings
from goldpath.settings.validation import ValidationSettings

__all__ = [
    "DEFAULT_PASSWORDS",
    "ENVIRONMENT_PREFIX",
    "SHORTEST_KEY",
    "AccessSettings",
    "AirflowSettings",
    "AutoMLSettings",
    "AwsSettings",
    "CardSettings",
    "DecisionSettings",
    "FeatureSettings",
    "FeatureViewSettings",
    "LakeSettings",
    "MonitoringSettings",
    "PredictionLogSettings",
    "RegistrySettings",
    "Section",
    "ServersSettings",
    "ServingSettings",
    "Settings",
    "SettingsError",
    "TrainingSettings",
    "ValidationSettings",
    "VersionRule",
    "VersionSettings",
    "deleted_settings",
    "further_settings",
    "load_settings",
    "monitoring_of",
    "project_root",
    "unread_files",
]
