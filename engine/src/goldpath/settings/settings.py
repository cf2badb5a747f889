"""`Settings`: everything that may differ from one machine or environment to the next."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

from pydantic import Field, PrivateAttr, model_validator

from goldpath.project import Project, running_project
from goldpath.settings.access import AccessSettings
from goldpath.settings.automl import AutoMLSettings
from goldpath.settings.aws import AwsSettings
from goldpath.settings.card import CardSettings
from goldpath.settings.decision import DecisionSettings
from goldpath.settings.errors import SettingsError
from goldpath.settings.features import FeatureSettings
from goldpath.settings.lake import LakeSettings
from goldpath.settings.monitoring import MonitoringSettings
from goldpath.settings.prediction_log import PredictionLogSettings
from goldpath.settings.registry import RegistrySettings
from goldpath.settings.section import Section
from goldpath.settings.servers import AirflowSettings, ServersSettings
from goldpath.settings.serving import ServingSettings
from goldpath.settings.sources import SectionFiles
from goldpath.settings.training import TrainingSettings
from goldpath.settings.validation import ValidationSettings

SectionT = TypeVar("SectionT", bound=Section)

SHORTEST_KEY = 16
"""Characters of a key that guards a service outside development."""
DEFAULT_PASSWORDS = frozenset(
    {"", "admin", "airflow", "changeme", "grafana", "password", "postgres"}
)


def _registry_file(values: dict[str, Any]) -> str:
    return f"sqlite:///{values['root'] / 'mlflow' / 'mlflow.db'}"


class Settings(SectionFiles):
    """Everything that may differ from one machine or environment to the next.

    Sources, the strongest first: environment variables (and `.env`), this environment's file
    `config/environments/NAME.yaml`, `config/*.yaml`, defaults.
    The fields are the engine's sections; `section` also finds those that the project has added.

    Example:
        >>> from goldpath import load_settings
        >>> settings = load_settings()
        >>> settings.serving.port, settings.lake.backend
        (8000, 'local')
        >>> settings.shown(settings.reports)
        'reports'
        >>> settings.serving.port = 8001
        Traceback (most recent call last):
        pydantic_core._pydantic_core.ValidationError: ...
    """

    tracking_uri: str = Field(
        validation_alias="MLFLOW_TRACKING_URI",
        default_factory=_registry_file,
        description="MLflow's server or database; a SQLite file in the project where not given",
    )
    experiment_name: str | None = Field(
        default=None,
        validation_alias="MLFLOW_EXPERIMENT_NAME",
        description="MLflow's experiment; the dataset's name where not given",
    )
    environment: Literal["development", "staging", "production"] = "development"
    lake: LakeSettings = LakeSettings()
    training: TrainingSettings = TrainingSettings()
    decision: DecisionSettings = DecisionSettings()
    registry: RegistrySettings = RegistrySettings()
    validation: ValidationSettings = ValidationSettings()
    automl: AutoMLSettings = AutoMLSettings()
    card: CardSettings = CardSettings()
    serving: ServingSettings = ServingSettings()
    access: AccessSettings = AccessSettings()
    prediction_log: PredictionLogSettings = PredictionLogSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    servers: ServersSettings = ServersSettings()
    airflow: AirflowSettings = AirflowSettings()
    features: FeatureSettings = FeatureSettings()
    aws: AwsSettings | None = None

    _project: Project = PrivateAttr(default_factory=running_project)
    _whole_project: Project = PrivateAttr(default_factory=running_project)
    _sections: Mapping[str, Section] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def refuse_unsafe_secrets(self) -> Self:
        """Outside development, every password must have been chosen by a person.

        Raises:
            ValueError: With the variables that still hold a default.
        """
        if self.environment == "development":
            return self
        weak = [
            name
            for name in (
                "AIRFLOW_ADMIN_PASSWORD",
                "GRAFANA_ADMIN_PASSWORD",
                "MLFLOW_TRACKING_PASSWORD",
            )
            if name in os.environ and os.environ[name].lower() in DEFAULT_PASSWORDS
        ]
        if len(self.service_key) < SHORTEST_KEY:
            weak.append(
                f"MLOPS_SERVING__API_KEY ({SHORTEST_KEY} characters or more; `make setup` makes "
                f"one in {self.serving.api_key_file})"
            )
        if weak:
            raise ValueError(
                f"environment={self.environment} refuses missing or default secrets: "
                f"set {', '.join(weak)}"
            )
        return self

    @model_validator(mode="after")
    def refuse_variables_that_airflow_ignores(self) -> Self:
        """The DAG files read `config/airflow.yaml` in an environment that has no goldpath.

        Raises:
            ValueError: If a variable would override it here and change nothing there.
        """
        ignored = [name for name in os.environ if name.upper().startswith("MLOPS_AIRFLOW__")]
        if ignored:
            raise ValueError(
                f"{', '.join(sorted(ignored))}: the DAG files read no such variable; write the "
                "value to config/airflow.yaml, or below `airflow:` in config/environments/NAME.yaml"
            )
        return self

    @property
    def project(self) -> Project:
        """The project whose settings these are: its families, metrics, steps and routes."""
        return self._project

    @property
    def whole_project(self) -> Project:
        """The project with the definitions of all its models."""
        return self._whole_project

    @property
    def service_key(self) -> str:
        """The key of the service's owner: `serving.api_key`, else that of its file, else empty."""
        given = self.serving.api_key.get_secret_value()
        if given:
            return given
        try:
            return (self.root / self.serving.api_key_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def section(self, kind: type[SectionT]) -> SectionT:
        """One section by its class: the way to a section that the project has added.

        Args:
            kind: The section's class, as handed over in `Project(sections={NAME: kind})`.

        Returns:
            The section with its values, typed as its class.

        Raises:
            SettingsError: If neither the engine nor the project has such a section.
        """
        engine = (getattr(self, name) for name in type(self).model_fields)
        for section in (*self._sections.values(), *engine):
            if type(section) is kind:
                return section
        raise SettingsError(
            f"the settings have no section {kind.__name__}",
            f"hand it over in project.py: Project(sections={{NAME: {kind.__name__}}})",
        )

    @property
    def reports(self) -> Path:
        """Where reports for people and for scripts are written; a further model's lie below."""
        return self.root / "reports" / self.model

    @property
    def run_directory(self) -> Path:
        """Where background servers keep their pid files and logs."""
        return self.root / "run"

    def shown(self, path: Path) -> str:
        """A path as people want to read it: relative to the project where it lies inside."""
        path = path.resolve()
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)
