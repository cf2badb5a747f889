"""The ports of the local MLflow and Airflow servers, and how Airflow runs the DAGs."""

import re
from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from goldpath.settings.section import Section

WHEN_ASSETS_ARE_NEW = "@assets"
PRESETS = (WHEN_ASSETS_ARE_NEW, "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
CRON_FIELD = re.compile(r"[\w*/,#?-]+")
CRON_NUMBER = re.compile(r"(?<![\w/#])\d+")
"""Of a field; not the number behind a name, a step or an ordinal."""
CRON_RANGES = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day of the month": (1, 31),
    "month": (1, 12),
    "day of the week": (0, 7),
}
"""crontab(5)"""


class ServersSettings(Section):
    """Ports of the local MLflow and Airflow servers."""

    config_file: ClassVar[str] = "servers.yaml"

    mlflow_port: int = Field(default=5000, ge=1, le=65535)
    airflow_port: int = Field(default=8080, ge=1, le=65535)
    airflow_metrics_port: int = Field(
        default=9102, ge=1, le=65535, description="where Prometheus finds Airflow's metrics"
    )


class Runner(BaseModel):
    """Tasks in containers that end with their command.

    Attributes:
        shared_folders: Whether they share volumes for `reports/` and `audit/`: the DAG
            `ml_drift_monitoring` is refused otherwise, because its tasks read each other's reports
            and the record of earlier retrainings, by which cooldown and budget are counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shared_folders: bool = False


class DockerRunner(Runner):
    """Tasks in containers of the machine's Docker."""

    image: str = Field(min_length=1)
    network: str | None = None
    mounts: list[Annotated[str, Field(pattern=r"^/[^:]*:/[^:]*$")]] = Field(
        default_factory=list, description="SOURCE:TARGET, such as of the lake"
    )
    pass_on: list[str] = Field(default_factory=list, description="variables of Airflow's own")


class EcsRunner(Runner):
    """Tasks on ECS; what differs from the task definition."""

    cluster: str = Field(min_length=1)
    task_definition: str = Field(min_length=1)
    container: str = Field(min_length=1, description="its name in the task definition")
    subnets: list[str] = Field(min_length=1)
    security_groups: list[str] = Field(default_factory=list)
    public_ip: bool = False
    launch_type: Literal["FARGATE", "EC2", "EXTERNAL"] = "FARGATE"
    task_role: str = ""
    cpu: int | None = Field(default=None, ge=1, description="1024 are one core")
    memory: int | None = Field(default=None, ge=1, description="MiB")
    region: str | None = None
    log_group: str | None = Field(default=None, description="results are read from its last line")
    log_prefix: str | None = None


class KubernetesRunner(Runner):
    """Tasks in pods."""

    image: str = Field(min_length=1)
    namespace: str = Field(min_length=1)
    service_account: str | None = None
    cpu: str | int | float | None = None
    memory: str | None = None
    secrets: list[str] = Field(default_factory=list, description="Secrets as variables")
    volumes: list[Annotated[str, Field(pattern=r"^[a-z0-9.-]+:/[^:]*$")]] = Field(
        default_factory=list, description="CLAIM:PATH, such as of reports/"
    )


class AirflowSettings(Section):
    """When the DAGs run, and how.

    The DAG files read `config/airflow.yaml` and this environment's file themselves, because
    Airflow's environment has no goldpath; `Settings` refuses variables such as
    `MLOPS_AIRFLOW__RETRIES`, which would change nothing there.
    """

    config_file: ClassVar[str] = "airflow.yaml"

    owner: str = Field(default="", description="shown in Airflow; the project's name where empty")
    schedules: dict[str, str] = Field(
        default_factory=dict,
        description="by DAG: @daily, another preset, five cron fields in UTC, or @assets",
    )
    catchup: bool = Field(default=False, description="whether missed intervals are run later")
    start_date: date | None = Field(default=None, description="with catchup: the first interval")
    pool: str = Field(default="default_pool", min_length=1, description="the pool of every task")
    retries: int = Field(default=2, ge=0)
    retry_seconds: int = Field(default=30, ge=1, description="before the first retry; then doubled")
    timeout_minutes: int = Field(default=120, ge=1, description="of a task")
    deadline_minutes: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="by DAG: a run that takes longer is told of"
    )
    batch_shards: int = Field(
        default=1, ge=1, le=256, description="so many tasks score gold at once"
    )
    runner: Literal["local", "docker", "ecs", "kubernetes"] = Field(
        default="local", description="where commands run; the variable PIPELINE_RUNNER comes before"
    )
    docker: DockerRunner | None = None
    ecs: EcsRunner | None = None
    kubernetes: KubernetesRunner | None = None

    @model_validator(mode="before")
    @classmethod
    def name_what_moved(cls, values: Any) -> Any:
        """Name the new place of a setting.

        Raises:
            ValueError: If a file still has it.
        """
        if isinstance(values, dict) and "retrain_every_days" in values:
            raise ValueError(
                "retrain_every_days is monitoring.retrain.cooldown_hours now: remove it here, and "
                "write hours (7 days are 168) to config/monitoring.yaml"
            )
        return values

    @field_validator("schedules")
    @classmethod
    def known_schedules(cls, schedules: dict[str, str]) -> dict[str, str]:
        """Refuse what Airflow could not read, before it shows as a broken DAG.

        Raises:
            ValueError: If a schedule is neither a preset nor five cron fields, or a number is
                outside of its field.
        """
        for dag, schedule in schedules.items():
            fields = schedule.split()
            is_cron = len(fields) == 5 and all(CRON_FIELD.fullmatch(each) for each in fields)
            if schedule not in PRESETS and not is_cron:
                raise ValueError(
                    f"{dag}: {schedule!r} is no schedule; write {', '.join(PRESETS)}, or five cron "
                    'fields such as "30 4 * * 1"'
                )
            for (name, (first, last)), text in zip(CRON_RANGES.items(), fields, strict=False):
                for number in map(int, CRON_NUMBER.findall(text) if is_cron else ()):
                    if not first <= number <= last:
                        raise ValueError(
                            f"{dag}: {schedule!r} has the {name} {number}; it is {first} to {last}"
                        )
        return schedules

    @model_validator(mode="after")
    def catchup_begins_somewhere(self) -> Self:
        """Refuse to catch up from a day that nobody named.

        Raises:
            ValueError: If catchup is on and there is no start_date.
        """
        if self.catchup and self.start_date is None:
            raise ValueError("catchup: true needs start_date: the first day to run for")
        return self
