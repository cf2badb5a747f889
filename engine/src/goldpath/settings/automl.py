"""The budget of AutoML, and its routes in the service."""

from typing import ClassVar

from pydantic import Field

from goldpath.settings.section import Section


class AutoMLSettings(Section):
    """The budgeted search over families, and its routes in the service."""

    config_file: ClassVar[str] = "automl.yaml"

    budget_seconds: float = Field(default=60, ge=1)
    processes: int = Field(default=1, ge=1, description="workers that share one search")
    latency_ms: float = Field(
        default=20, gt=0, description="that a model may take for one row before it is compiled"
    )
    routes: bool = Field(default=False, description="whether the service offers /api/automl")
    folder: str = Field(default="automl", description="experiments and jobs, below the root")
    jobs: int = Field(default=1, ge=1, description="of the routes, at the same time")
    kept_jobs: int = Field(default=100, ge=1, description="newest jobs whose state and log stay")
    maximum_job_seconds: float = Field(default=3600, gt=0, description="budget of one job")
    maximum_job_rows: int = Field(default=10_000, ge=100, description="sent with a request")
