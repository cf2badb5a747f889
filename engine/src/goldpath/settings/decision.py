"""What right and wrong decisions are worth, and where the line between them is drawn."""

import math
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from goldpath.settings.section import Section

Outcome = Literal["tp", "fp", "fn", "tn"]


class DecisionSettings(Section):
    """What decisions are worth, and from which probability on the positive class is decided."""

    config_file: ClassVar[str] = "decision.yaml"

    values: dict[Outcome, float] = Field(
        default={},
        description="what a decision is worth by its outcome: tp, fp, fn, tn (p: the positive "
        "class was decided); an outcome that is not named is worth 0",
    )
    unit: str = Field(default="", description="of the values, such as dollars")

    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="the positive class is decided above this probability; the most probable "
        "class where nothing is set",
    )
    tune_for: str = Field(
        default="",
        description="the threshold that is best for this metric of decisions, such as value or "
        "f1_macro, on training rows that the model did not see",
    )
    capacity: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="the share of rows that can be acted on: the threshold above which so many "
        "of the training rows lie",
    )

    @property
    def decides(self) -> str:
        """The setting that draws the line; empty where none does."""
        names = ("threshold", "tune_for", "capacity")
        return next((name for name in names if getattr(self, name)), "")

    @model_validator(mode="after")
    def _draw_one_line(self) -> Self:
        given = [n for n in ("threshold", "tune_for", "capacity") if getattr(self, n)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} each set the threshold: keep one of them")
        return self

    @field_validator("values")
    @classmethod
    def _tell_decisions_apart(cls, values: dict[Outcome, float]) -> dict[Outcome, float]:
        if strange := [name for name, value in values.items() if not math.isfinite(value)]:
            raise ValueError(f"{', '.join(strange)} is no number: write what it is worth")
        found = {name: values.get(name, 0.0) for name in ("tp", "fp", "fn", "tn")}
        if values and found["tp"] == found["fn"] and found["tn"] == found["fp"]:
            raise ValueError(
                "both decisions are worth the same whatever the truth is: tp must differ from fn, "
                "or tn from fp"
            )
        return values
