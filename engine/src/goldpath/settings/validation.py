"""The limits that a candidate must keep before it may become champion."""

from typing import ClassVar, Literal

from pydantic import Field

from goldpath.settings.section import Section


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
    optional: tuple[str, ...] = Field(
        default=("data drift", "stability", "size"),
        description="checks that may be left unmade for want of data",
    )
