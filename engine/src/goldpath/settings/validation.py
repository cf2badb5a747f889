"""The limits that a candidate must keep before it may become champion."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from goldpath.settings.section import Section

LIMITS = ("at_least", "at_most", "above_baseline", "behind_champion")


class Between(BaseModel):
    """A range of a number: from the lower end on, below the upper one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    at_least: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _have_an_end(self) -> Self:
        if self.at_least is None and self.below is None:
            raise ValueError("give at_least, below or both")
        return self


Chosen = str | bool | int | float | Between | list[str | bool | int | float]
"""What rows of a slice have in a column: a value, one of several, or a number of a range."""


class GateLimit(BaseModel):
    """A gate that needs no code: limits of one metric, on all test rows or on parts of them.

    Attributes:
        metric: The engine's, the project's own, or one that `decision` brings (value, coverage, …).
        name: As reports show it; made from the limits where not given.
        at_least: The least value.
        at_most: The largest value.
        above_baseline: By how much it must be better than a model that ignores the features.
        behind_champion: By how much it may be worse than the champion on the same rows.
        by: A column; each of its values, or quarter of its numbers, is judged by itself.
        where: Only rows with these values are judged.
        minimum_rows: A smaller part is not judged; `validation.minimum_group_rows` if not given.
        refuse: When a candidate is refused: if the limit is missed and chance does not explain it,
            if it is missed at all, or unless it is surely kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    metric: str
    name: str = ""
    at_least: float | None = None
    at_most: float | None = None
    above_baseline: float | None = None
    behind_champion: float | None = Field(default=None, ge=0)
    by: str = ""
    where: Mapping[str, Chosen] = {}
    minimum_rows: int | None = Field(default=None, ge=2)
    refuse: Literal["surely_missed", "missed", "not_proven"] = "surely_missed"

    @property
    def limits(self) -> dict[str, float]:
        """The limits that are given, by name."""
        found = {name: getattr(self, name) for name in LIMITS}
        return {name: value for name, value in found.items() if value is not None}

    @property
    def title(self) -> str:
        """The gate's name in reports."""
        if self.name:
            return self.name
        said = " and ".join(f"{n.replace('_', ' ')} {v:g}" for n, v in self.limits.items())
        part = f" by {self.by}" if self.by else ""
        place = f" where {', '.join(self.where)}" if self.where else ""
        return f"{self.metric} {said}{part}{place}"

    @model_validator(mode="after")
    def _have_a_limit(self) -> Self:
        if not self.limits:
            raise ValueError(f"the gate of {self.metric} has no limit: give {' or '.join(LIMITS)}")
        if self.by in self.where:
            raise ValueError(f"by and where both name {self.by}: keep one of them")
        return self


class ValidationSettings(Section):
    """What a model must satisfy before it may answer, beside the comparison with the champion."""

    config_file: ClassVar[str] = "validation.yaml"

    thresholds: dict[str, float] = Field(
        default={}, description="least value of a metric; of an error such as mae the largest"
    )
    champion_rule: Literal["not_surely_worse", "proven_not_worse"] = Field(
        default="not_surely_worse",
        description="whether doubt speaks for the candidate or for the champion",
    )
    on_drift: Literal["ignore", "warn", "refuse"] = Field(
        default="warn", description="what the gate does if test rows drifted from training rows"
    )
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
    served_latency_ms: float = Field(
        default=500, gt=0, description="the same of the form that serves, compiled where it is"
    )
    gates: tuple[GateLimit, ...] = Field(
        default=(), description="limits of a metric, on all test rows, by group or on a slice"
    )
    optional: tuple[str, ...] = Field(
        default=("data drift", "stability", "size"),
        description="checks that may be left unmade for want of data",
    )

    @model_validator(mode="after")
    def _name_gates_apart(self) -> Self:
        titles = [gate.title for gate in self.gates]
        if twice := sorted({each for each in titles if titles.count(each) > 1}):
            raise ValueError(f"two gates are called {twice[0]!r}: give one of them a name")
        return self
