"""What requests to AutoML may hold."""

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictStr,
    model_validator,
)

ID = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"
MODEL_ID = r"^(v[1-9][0-9]{0,8}|[A-Za-z0-9][A-Za-z0-9_-]{0,62}\.[0-9]{8}T[0-9]{6}-[0-9a-f]{8})$"
MLFLOW_ID = r"^[A-Za-z0-9_-]{1,64}$"

# Whole numbers before fractions, so that 1 stays an integer; text is never read as a number.
Scalar = Annotated[int, Field(strict=True, ge=-(2**63), lt=2**63)] | FiniteFloat | StrictBool
Cell = Annotated[StrictBool | Scalar | StrictStr | None, Field(union_mode="left_to_right")]
ExperimentId = Annotated[str, Field(pattern=ID)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ExperimentBody(_Body):
    """A new experiment."""

    name: str = Field(min_length=1, max_length=100)
    description: str = Field(default="", max_length=2000)
    dataset_info: dict[str, Cell | list[Cell]] = Field(default={}, max_length=50)


class TrainBody(_Body):
    """What to train on, and what it may cost. Without rows and file: the project's gold table."""

    experiment_id: ExperimentId = "default"
    problem_type: Literal["classification", "regression", "clustering"] | None = None
    target: str | None = Field(default=None, min_length=1, max_length=200)
    budget_seconds: float | None = Field(default=None, ge=1, allow_inf_nan=False)
    trials: int | None = Field(default=None, ge=1, le=10_000)
    metric: str | None = Field(default=None, max_length=40)
    time_ordered: bool | None = None
    groups: Annotated[str, Field(min_length=1, max_length=200)] | Literal[False] | None = None
    latency_ms: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    # Only the first wrong row is described: describing thousands would hold up the service.
    rows: list[dict[str, Cell]] | None = Field(default=None, min_length=1, fail_fast=True)
    file: str | None = Field(default=None, min_length=1, max_length=500)

    @model_validator(mode="after")
    def check_source(self) -> Self:
        """One source, and a target where there must be one."""
        if self.rows is not None and self.file is not None:
            raise ValueError("rows and file were both given; give one, or none for the gold table")
        own = self.rows is not None or self.file is not None
        if own and self.problem_type is None:
            raise ValueError("problem_type is missing, and only the gold table has one of its own")
        if not own and self.problem_type == "clustering":
            raise ValueError("clusters are found in rows or a file, not in the gold table")
        if own and self.problem_type != "clustering" and self.target is None:
            raise ValueError("target, the name of the column to predict, is missing")
        told = self.time_ordered is not None or self.groups is not None
        if told and (not own or self.problem_type == "clustering"):
            raise ValueError(
                "time_ordered and groups are of rows or a file with a target; for the gold table "
                "the contract's event_time and entity say it"
            )
        if self.time_ordered and self.groups:
            raise ValueError("time_ordered and groups were both given; one of them makes the folds")
        if self.groups and self.groups == self.target:
            raise ValueError("groups names the target; name the column that rows share")
        return self


class PredictBody(_Body):
    """Rows for a model."""

    model_id: str = Field(pattern=MODEL_ID)
    instances: list[dict[str, Cell]] = Field(min_length=1, fail_fast=True)


class CompareBody(_Body):
    """Runs to compare."""

    run_ids: list[Annotated[str, Field(pattern=MLFLOW_ID)]] = Field(min_length=2, max_length=20)
