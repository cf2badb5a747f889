"""What right and wrong decisions are worth."""

import math
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from goldpath.settings.section import Section

Outcome = Literal["tp", "fp", "fn", "tn"]


class DecisionSettings(Section):
    """What right and wrong decisions are worth."""

    config_file: ClassVar[str] = "decision.yaml"

    values: dict[Outcome, float] = Field(
        default={},
        description="what a decision is worth by its outcome: tp, fp, fn, tn (p: the positive "
        "class was decided); an outcome that is not named is worth 0",
    )
    unit: str = Field(default="", description="of the values, such as dollars")

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
