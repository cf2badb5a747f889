"""What right and wrong decisions are worth, and where the line between them is drawn."""

import math
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from goldpath.forecast import Criterion
from goldpath.settings.section import Section, file_of

LINES = ("threshold", "thresholds", "tune_for", "capacity")
"""The settings that draw the line, of which one is set or none."""
Outcome = Literal["tp", "fp", "fn", "tn", "unsure"]


class GroupSettings(BaseModel):
    """Thresholds by group, so that groups are alike in one rate.

    Attributes:
        column: The feature whose values are the groups: a category or a boolean.
        criterion: The rate: of true positives (equal_opportunity), or of selected rows
            (demographic_parity).
        tolerance: By how much it may differ between groups on the rows of the tuning.
        minimum_rows: A group with fewer rows, of equal_opportunity positive ones, keeps the common
            threshold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = Field(min_length=1)
    criterion: Criterion
    tolerance: float = Field(default=0.02, gt=0, lt=1)
    minimum_rows: int = Field(default=100, ge=10)


def without(key: str, model: str, empty: str = "null") -> str:
    """How to be rid of a setting, which a further model may have from the main one.

    Args:
        key: Of the section.
        model: A further model; empty for the main one.
        empty: What is written to undo it.
    """
    if not model:
        return f"leave {key} out"
    return f"write `{key}: {empty}` in {file_of('decision', model)}, over the main model's"


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    try:
        float(value)  # a variable's are texts
    except (TypeError, ValueError):
        return False
    return True


class DecisionSettings(Section):
    """What decisions are worth, where the line between them is drawn, and how sure answers are."""

    config_file: ClassVar[str] = "decision.yaml"

    values: dict[Outcome, float] = Field(
        default={},
        description="what a decision is worth by its outcome: tp, fp, fn, tn (p: the positive "
        "class was decided), unsure; an outcome that is not named is worth 0",
    )
    unit: str = Field(default="", description="of the values, such as dollars")

    threshold: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="the positive class is decided above this probability; the most probable "
        "class where nothing is set",
    )
    thresholds: dict[str, float] = Field(
        default={},
        description="of a target of several classes: each of these classes is decided above its "
        "probability, such as {gold: 0.5, silver: 0.3}; of several that are, the one with the most "
        "times its threshold; where none is, the most probable of the other classes",
    )
    tune_for: str = Field(
        default="",
        description="the threshold, or those of several classes, that is best for this metric of "
        "decisions, such as value or f1_macro, on training rows that the model did not see",
    )
    capacity: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="the share of rows that can be acted on: the threshold above which so many "
        "of the training rows lie",
    )
    unsure: tuple[float, float] | dict[Literal["share"], float] | None = Field(
        default=None,
        description="the decision is `unsure` from the first probability to the second, such as "
        "[0.4, 0.6], both included; {share: 0.1}: for that share of the training rows, those "
        "nearest to the threshold",
    )
    groups: GroupSettings | None = Field(
        default=None,
        description="thresholds by group, so that a rate is alike in all of them, such as "
        "{column: gender, criterion: equal_opportunity}; beside threshold or tune_for",
    )
    interval: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="of a target that is a number: each answer has an interval that is meant to "
        "hold this share of the true values, such as 0.9",
    )

    @property
    def decides(self) -> str:
        """The setting that draws the line; empty where none does."""
        return next((name for name in LINES if getattr(self, name)), "")

    @model_validator(mode="after")
    def _draw_one_line(self) -> Self:
        given = [name for name in LINES if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} each set the threshold: keep one of them")
        if "unsure" in self.values and self.unsure is None:
            raise ValueError(
                "values.unsure is what a row of the band is worth, and there is no band: set unsure"
            )
        if self.unsure is not None:
            self._check_band(self.unsure)
        if self.groups is not None:
            self._check_groups(self.groups)
        return self

    def _check_groups(self, groups: GroupSettings) -> None:
        said = f"groups={{column: {groups.column}}}"
        if self.unsure is not None:
            raise ValueError(f"{said} and unsure={self.unsure} do not go together: keep one")
        if self.decides not in ("threshold", "tune_for"):
            other = f"and {self.decides} do not go together" if self.decides else "has no threshold"
            raise ValueError(
                f"{said} {other}: write tune_for, the metric that is to be best under the "
                "criterion, or threshold"
            )

    def _check_band(self, unsure: tuple[float, float] | dict[Literal["share"], float]) -> None:
        if self.thresholds:
            raise ValueError(
                f"unsure={unsure} is a band around the threshold of a target with two classes, and "
                "thresholds is for several: leave one of them out"
            )
        if not self.decides:
            raise ValueError(
                f"unsure={unsure} is a band around a threshold, and none is set: write "
                "threshold: 0.5, where the most probable class is decided"
            )
        if isinstance(unsure, dict):
            if not 0 < unsure.get("share", 0) < 1:
                raise ValueError(f"unsure={unsure}: write a share between 0 and 1: {{share: 0.1}}")
            return
        low, high = unsure
        if not 0 <= low < high <= 1:
            raise ValueError(
                f"unsure={[low, high]} is no band: write two probabilities from 0 to 1, the lower "
                "one first"
            )
        if self.threshold is None:
            raise ValueError(
                f"unsure={[low, high]} goes with a fixed threshold, and {self.decides} chooses one "
                "that may lie outside: write unsure: {share: 0.1}"
            )
        if not low <= self.threshold <= high:
            raise ValueError(
                f"threshold={self.threshold:g} lies outside of unsure={[low, high]}: move one of "
                "them"
            )

    @field_validator("thresholds")
    @classmethod
    def _be_shares(cls, thresholds: dict[str, float]) -> dict[str, float]:
        if strange := {name: each for name, each in thresholds.items() if not 0 < each < 1}:
            raise ValueError(f"{strange} lies outside of 0 to 1: write probabilities between them")
        return thresholds

    @field_validator("unsure", mode="before")
    @classmethod
    def _be_a_band(cls, unsure: Any) -> Any:
        """One sentence, in place of one for each form that pydantic tried."""
        if isinstance(unsure, dict):
            is_form = set(unsure) <= {"share"} and all(map(_is_number, unsure.values()))
        elif isinstance(unsure, list | tuple):
            is_form = len(unsure) == 2 and all(map(_is_number, unsure))
        else:
            is_form = unsure is None
        if is_form:
            return unsure
        raise ValueError(
            f"unsure={unsure!r} is no band: write two probabilities, such as [0.4, 0.6], or "
            "{share: 0.1}"
        )

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
