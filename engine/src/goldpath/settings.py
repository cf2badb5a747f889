"""Typed settings: `config/*.yaml`, overridden by the environment and by `.env`.

A setting `section.name` is overridden by the variable `MLOPS_SECTION__NAME`, for example
`MLOPS_TRAINING__TRIALS=5`. MLflow's own variables keep their usual names. `.env.example`
explains every variable.
"""

import os
from pathlib import Path
from typing import Any, Literal, Self

from dotenv import load_dotenv
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from goldpath.errors import ProjectError

DEFAULT_PASSWORDS = frozenset(
    {"", "admin", "airflow", "changeme", "grafana", "password", "postgres"}
)
ENVIRONMENT_PREFIX = "MLOPS_"


class SettingsError(ProjectError):
    """A setting is missing, has the wrong type, or is not safe to run with."""


class Section(BaseModel):
    """One file of `config/`; an unknown key is an error, so a typing slip cannot pass."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LakeSettings(Section):
    """Which lakehouse, and where the local one keeps its tables (relative to the project root)."""

    backend: Literal["local", "aws"] = "local"
    catalog: str = "lake/catalog.db"
    warehouse: str = "lake/warehouse"
    memory: str = Field(
        default="1GB", description="what DuckDB may use before it writes to disk, such as 4GB"
    )
    rows_at_once: int = Field(
        default=2_000_000, ge=1, description="intervals are refined together up to so many rows"
    )
    snapshot_days: int = Field(
        default=30, ge=0, description="how long untagged snapshots are kept by data maintain"
    )
    privacy_key: SecretStr = Field(
        default=SecretStr(""),
        description="key of the hashes of erased persons; a random file in lake/privacy if empty",
    )


class TrainingSettings(Section):
    """How the model is searched for, judged and promoted."""

    trials: int = Field(default=12, ge=1, description="Optuna trials, the defaults included")
    timeout_seconds: float = Field(default=60, gt=0, description="no trial starts after this")
    cv_folds: int = Field(default=3, ge=2)
    split: Literal["auto", "time", "group", "stratified"] = Field(
        default="auto",
        description="auto: by time where there is one, by entity where entities repeat",
    )
    test_fraction: float = Field(default=0.2, gt=0, lt=0.5)
    maximum_quarantine_share: float = Field(
        default=0.2, ge=0, le=1, description="no training where more rows were refused than this"
    )
    seed: int = 42
    bootstrap_samples: int = Field(default=500, ge=100)
    minimum_test_rows: int = Field(default=200, ge=20)
    champion_tolerance: float = Field(
        default=0.005, ge=0, description="how much worse than the champion a candidate may be"
    )
    leak_threshold: float = Field(
        default=0.995, gt=0.5, le=1, description="a single feature's score that counts as a leak"
    )
    parity_rows: int = Field(
        default=1_000_000,
        ge=1000,
        description="rows on which the compiled model must answer as the fitted pipeline does",
    )


class VersionRule(Section):
    """When a version number rises, and which part of it."""

    bump: Literal["major", "minor", "patch"]
    when: str = Field(description="a key of the context, such as breaking_change")
    at_least: float | None = Field(
        default=None, description="a number must reach this; without it, the value must be true"
    )
    reason: str


class VersionSettings(Section):
    """How semantic versions of models are counted."""

    first: str = "1.0.0"
    significant_gain: float = Field(
        default=0.01, gt=0, description="gain of the main metric that counts as more than a retrain"
    )
    rules: tuple[VersionRule, ...] = Field(
        default=(), description="rules of one's own beside the built-in ones"
    )


class RegistrySettings(Section):
    """How versions are signed, recorded and announced."""

    audit_log: str = "audit/registry.jsonl"
    signing_key: SecretStr = Field(
        default=SecretStr(""),
        description="Ed25519 private key as PEM; the file below where it is empty",
    )
    signing_key_file: str = ".secrets/signing.pem"
    trusted_keys: str = Field(
        default="config/keys", description="folder with the public keys (*.pem) that are trusted"
    )
    actor: str = Field(default="", description="who acts, in the audit log; the user if empty")
    webhook_url: SecretStr = Field(
        default=SecretStr(""), description="is told of each promotion and rollback"
    )
    webhook_format: Literal["json", "slack", "teams"] = "json"
    webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="signs each message (Standard Webhooks)"
    )
    version_rules: VersionSettings = VersionSettings()


class ValidationSettings(Section):
    """What a model must satisfy before it may answer, beside the comparison with the champion."""

    thresholds: dict[str, float] = Field(
        default={}, description="least value of a metric; of an error such as mae the largest"
    )
    champion_rule: Literal["not_surely_worse", "proven_not_worse"] = Field(
        default="not_surely_worse",
        description="whether doubt speaks for the candidate or for the champion",
    )
    drift: Literal["off", "warn", "refuse"] = "warn"
    psi_limit: float = Field(default=0.25, gt=0, description="population stability index")
    stability_folds: int = Field(default=3, ge=0, description="cross-validation folds; 0: none")
    stability_rows: int = Field(default=5_000, ge=100, description="at most so many are used")
    stability_limit: float = Field(
        default=0.1, gt=0, description="standard deviation of the main metric over the folds"
    )
    group_difference: float = Field(
        default=0.2, gt=0, description="largest difference of a rate between two groups"
    )
    minimum_group_rows: int = Field(default=30, ge=10)
    missing_limit: float = Field(default=0.5, gt=0, le=1, description="share of a column; warns")
    out_of_domain_limit: float = Field(default=0.01, ge=0, le=1, description="share of a column")
    duplicate_limit: float = Field(default=0.5, gt=0, le=1, description="share of rows; warns")
    latency_ms: float = Field(default=500, gt=0, description="fastest prediction of one row")
    size_mb: float = Field(default=500, gt=0, description="of the stored model")
    optional: tuple[str, ...] = Field(
        default=("data drift", "stability", "size"),
        description="checks that may be left unmade for want of data",
    )


class AutoMLSettings(Section):
    """The budgeted search over families, and its routes in the service."""

    budget_seconds: float = Field(default=60, ge=1)
    processes: int = Field(default=1, ge=1, description="workers that share one search")
    routes: bool = Field(default=False, description="whether the service offers /api/automl")
    folder: str = Field(default="automl", description="experiments and jobs, below the root")
    jobs: int = Field(default=1, ge=1, description="of the routes, at the same time")
    kept_jobs: int = Field(default=100, ge=1, description="newest jobs whose state and log stay")
    maximum_job_seconds: float = Field(default=3600, gt=0, description="budget of one job")
    maximum_job_rows: int = Field(default=10_000, ge=100, description="sent with a request")


class CardSettings(Section):
    """What only people know about the model; it goes into each version's model card."""

    intended_use: str = ""
    out_of_scope: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    license: str = Field(default="other", description="an identifier of Hugging Face, such as mit")
    languages: tuple[str, ...] = ("en",)
    tags: tuple[str, ...] = ()


class ServingSettings(Section):
    """The HTTP service."""

    alias: str = Field(
        default="champion",
        pattern=r"^[a-z][a-z0-9_-]{0,62}$",
        description="the alias of the version that answers",
    )

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    workers: int = Field(default=2, ge=1, description="processes of `serve --production`")
    maximum_batch_rows: int = Field(default=1000, ge=1)
    maximum_body_bytes: int = Field(default=5_000_000, ge=1000)
    read_seconds: float = Field(
        default=30, gt=0, description="a request must have arrived whole within this time"
    )
    refresh_seconds: float = Field(default=5, gt=0, description="how often the alias is looked up")
    prediction_log: str = "logs/predictions"
    shadow_log: str = "logs/shadow"
    access_log: bool = Field(
        default=False, description="a JSON line for each request that the app answers"
    )
    access_log_share: float = Field(
        default=0, ge=0, le=1, description="of the fast lane's answers that get a line, too"
    )
    tracing_endpoint: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="OpenTelemetry collector (OTLP/HTTP), such as http://127.0.0.1:4318",
    )
    compiled: bool = Field(
        default=True, description="serve the compiled form where parity was proved at registration"
    )
    maximum_nesting: int = Field(default=16, ge=4, description="objects and lists in each other")
    tls_certificate: str = Field(
        default="", description="PEM file, with the chain; the service speaks HTTPS then"
    )
    tls_key: str = Field(default="", description="PEM file of the certificate's private key")
    api_key: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def check_tls(self) -> Self:
        """A certificate is of no use without its key."""
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key belong together; one is missing")
        return self

    @property
    def scheme(self) -> str:
        """What the service's addresses begin with."""
        return "https" if self.tls_certificate else "http"


class PredictionLogSettings(Section):
    """The prediction log and the labels that come back: segments, and where they are sent."""

    required: bool = Field(
        default=False, description="answer 503 where a prediction cannot be logged"
    )
    segment_mb: float = Field(default=64, gt=0, description="a larger segment is sealed")
    segment_seconds: float = Field(default=3600, gt=0, description="an older segment is sealed")
    sync_seconds: float = Field(
        default=1, ge=0, description="how often lines are put on disk; 0: when the system wants to"
    )
    feedback: str = Field(default="logs/feedback", description="folder of the labels' segments")
    retention_days: int = Field(
        default=0, ge=0, description="older predictions and labels leave the lake; 0: never"
    )
    performance_days: int = Field(
        default=30, ge=1, description="days of predictions that live performance is taken over"
    )
    stream: Literal["none", "kafka", "kinesis"] = "none"
    stream_name: str = Field(default="predictions", description="Kafka's topic, Kinesis' stream")
    kafka_servers: str = Field(default="", description="host:port, several with commas")
    stream_options: dict[str, SecretStr] = Field(
        default={}, description="of librdkafka, such as security.protocol and sasl.password"
    )

    @model_validator(mode="after")
    def require_servers(self) -> Self:
        """Kafka needs an address.

        Raises:
            ValueError: If there is none.
        """
        if self.stream == "kafka" and not self.kafka_servers:
            raise ValueError("stream is kafka, but kafka_servers is empty: set it to host:port")
        return self


class AccessSettings(Section):
    """Who may ask the service, how often, and what is kept of it."""

    require_credential: bool | None = Field(
        default=None, description="None: outside development, and where serving.api_key is set"
    )
    store: SecretStr = Field(
        default=SecretStr(""),
        description="SQLAlchemy URL of users and keys; the file below where it is empty",
    )
    store_file: str = ".secrets/access.db"
    cache_seconds: float = Field(
        default=5, gt=0, le=60, description="a revoked key or user is out within this time"
    )
    token_minutes: float = Field(default=15, gt=0, le=1440)
    token_keys: SecretStr = Field(
        default=SecretStr(""), description="JSON list of keys; the file below where it is empty"
    )
    token_keys_file: str = ".secrets/tokens.json"  # noqa: S105  a path
    issuer: str = Field(default="mlops", min_length=1)
    audience: str = Field(default="predictions", min_length=1)
    requests_per_second: float = Field(
        default=100_000, ge=0, description="of one client, over all workers; 0: no limit"
    )
    burst_seconds: float = Field(
        default=1, gt=0, description="a quiet client may ask at once what it could in so long"
    )
    concurrent_requests: int = Field(
        default=256, ge=0, description="of one client, past the fast lane; 0: no limit"
    )
    metrics: Literal["open", "role"] = Field(
        default="open", description="role: /metrics asks for the role read-metrics"
    )
    cors_origins: tuple[str, ...] = Field(
        default=(), description="pages of these origins may call: https://app.example.com"
    )
    personal_values: Literal["drop", "hash", "keep"] = Field(
        default="drop", description="in the prediction log, of the contract's personal columns"
    )


class MonitoringSettings(Section):
    """Drift checks, and the local Prometheus."""

    minimum_rows: int = Field(default=200, ge=20)
    false_discovery_rate: float = Field(default=0.01, gt=0, lt=1)
    effect_floor: float = Field(
        default=0.1,
        gt=0,
        description="smallest shift that counts: sd of a number, JS of a category",
    )
    reference_rows: int = Field(default=20_000, ge=1000)
    report_rows: int = Field(default=5_000, ge=500)
    prometheus_port: int = Field(default=9090, ge=1, le=65535)
    grafana_port: int = Field(default=3000, ge=1, le=65535)


class FeatureViewSettings(Section):
    """A feature view as `config/features.yaml` writes it; what it leaves out is the contract's."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    description: str = ""
    owner: str = ""
    entity: str | None = None
    event_time: str | None = None
    source: str | None = Field(
        default=None, pattern=r"^[^.]+\.[^.]+$", description="layer.table, such as gold.customers"
    )
    created_column: str | None = Field(
        default=None, description="of rows with one entity and time, the largest value wins"
    )
    features: tuple[str, ...] | None = Field(default=None, min_length=1)
    ttl: str | None = Field(
        default=None, pattern=r"^[1-9][0-9]{0,8}[smhdw]$", description="365d, 12h; none: for ever"
    )
    online: bool = True


class FeatureSettings(Section):
    """The feature views, and the online store that serves them by entity key."""

    online_store: Literal["sqlite", "redis", "dynamodb"] = "sqlite"
    url: SecretStr = Field(
        default=SecretStr(""),
        description="SQLite: a file below the project's root; Redis: redis://…; DynamoDB: endpoint",
    )
    table: str = Field(
        default="",
        description="Redis: the keys' prefix; DynamoDB: the table, aws.online_table if empty",
    )
    views: tuple[FeatureViewSettings, ...] = (FeatureViewSettings(name="entity_features"),)


class AwsSettings(Section):
    """Names of the AWS resources; nothing here is used on a laptop."""

    region: str
    bucket: str
    glue_database: str
    athena_workgroup: str
    stack: str = Field(
        default="mlops-lake",
        pattern=r"^[a-zA-Z][a-zA-Z0-9-]{0,127}$",
        description="CloudFormation stack that init-aws makes them with",
    )
    online_table: str = Field(
        default="mlops-online", description="DynamoDB table of the online feature store"
    )
    online_store: bool = Field(default=True, description="whether init-aws makes that table")
    scan_limit_gb: float = Field(
        default=100, ge=0.01, description="Athena stops a query that scans more"
    )
    recovery_days: int = Field(
        default=14, ge=1, le=35, description="how long what was deleted can be brought back"
    )
    staging_days: int = Field(default=3, ge=1)
    result_days: int = Field(default=7, ge=1)
    log_days: int = Field(default=90, ge=1)


class ServersSettings(Section):
    """Ports of the local MLflow and Airflow servers."""

    mlflow_port: int = Field(default=5000, ge=1, le=65535)
    airflow_port: int = Field(default=8080, ge=1, le=65535)


def _registry_file(values: dict[str, Any]) -> str:
    return f"sqlite:///{values['root'] / 'mlflow' / 'mlflow.db'}"


class Settings(BaseSettings):
    """Everything that may differ from one machine or environment to the next.

    Sources, the strongest first: environment variables (and `.env`), `config/*.yaml`, defaults.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    root: Path
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
    registry: RegistrySettings = RegistrySettings()
    validation: ValidationSettings = ValidationSettings()
    automl: AutoMLSettings = AutoMLSettings()
    card: CardSettings = CardSettings()
    serving: ServingSettings = ServingSettings()
    access: AccessSettings = AccessSettings()
    prediction_log: PredictionLogSettings = PredictionLogSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    servers: ServersSettings = ServersSettings()
    features: FeatureSettings = FeatureSettings()
    aws: AwsSettings | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  .env goes through os.environ
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment first, then one YAML file a section."""
        config = Path(os.environ["MLOPS_ROOT"]) / "config"
        files = {
            "aws": config / "aws_config.yaml",
            "lake": config / "lake.yaml",
            "features": config / "features.yaml",
            "training": config / "training.yaml",
            "registry": config / "registry.yaml",
            "validation": config / "validation.yaml",
            "automl": config / "automl.yaml",
            "card": config / "model_card.yaml",
            "serving": config / "serving.yaml",
            "access": config / "access.yaml",
            "prediction_log": config / "prediction_log.yaml",
            "monitoring": config / "monitoring.yaml",
        }
        sections = [
            _SectionFile(settings_cls, section, file)
            for section, file in files.items()
            if file.is_file()
        ]
        return (init_settings, env_settings, *sections)

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
        if len(self.serving.api_key.get_secret_value()) < 16:
            weak.append("MLOPS_SERVING__API_KEY (16 characters or more)")
        if weak:
            raise ValueError(
                f"environment={self.environment} refuses missing or default secrets: "
                f"set {', '.join(weak)}"
            )
        return self

    @property
    def reports(self) -> Path:
        """Where reports for people and for scripts are written."""
        return self.root / "reports"

    @property
    def run_directory(self) -> Path:
        """Where background servers keep their pid files and logs."""
        return self.root / "run"

    def shown(self, path: Path) -> str:
        """A path as people want to read it: relative to the project where it lies inside."""
        path = path.resolve()
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


class _SectionFile(YamlConfigSettingsSource):
    """One YAML file that fills one section."""

    def __init__(self, settings_cls: type[BaseSettings], section: str, file: Path) -> None:
        self.section = section
        super().__init__(settings_cls, yaml_file=file)

    def __call__(self) -> dict[str, object]:
        values = super().__call__()
        return {self.section: values} if values else {}


def project_root() -> Path:
    """The folder that holds `config/project.yaml`: `MLOPS_ROOT`, else this folder or one above.

    Raises:
        SettingsError: If there is none.
    """
    if named := os.environ.get("MLOPS_ROOT"):
        return Path(named).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "config" / "project.yaml").is_file():
            return folder
    raise SettingsError(
        f"no config/project.yaml in {here} or in a folder above it",
        "run the command inside the project, or set MLOPS_ROOT",
    )


def load_settings(root: Path | None = None) -> Settings:
    """Read `.env`, `config/*.yaml` and the environment.

    Args:
        root: The project's folder; found from the current one where it is not given.

    Returns:
        The settings, checked.

    Raises:
        SettingsError: If a value is missing, of the wrong type or unsafe; names the setting.
    """
    root = (root or project_root()).resolve()
    load_dotenv(root / ".env", override=False)
    os.environ["MLOPS_ROOT"] = str(root)
    try:
        return Settings(root=root)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc'])) or 'settings'}: {e['msg']}" for e in error.errors()
        ]
        raise SettingsError(
            "invalid settings: " + "; ".join(lines),
            "correct config/*.yaml, .env or the MLOPS_… environment variable",
        ) from error
