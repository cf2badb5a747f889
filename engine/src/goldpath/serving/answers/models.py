"""The answers of the prediction routes, with the project's own fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field, create_model

from goldpath.serving.answers.own_fields import AnswerField


def _is_absent(value: object) -> bool:
    return value is None


class BatchItem(BaseModel):
    """One row's prediction."""

    prediction: str | float = Field(description="The class, or the value of a regression.")
    # Left out by themselves, since routes of a project's own answer with this, too.
    decision: str | None = Field(
        None,
        description="The class that the threshold decides, or `unsure` in the band around it; only "
        "with a threshold.",
        exclude_if=_is_absent,
    )
    threshold: float | None = Field(
        None,
        description="The positive class, or of several the decided one, is decided above this "
        "probability; left out where the version, or this class, has none.",
        exclude_if=_is_absent,
    )
    lower: float | None = Field(
        None,
        description="The lower end of the prediction's interval; only of a version with intervals.",
        exclude_if=_is_absent,
    )
    upper: float | None = Field(None, description="The upper end.", exclude_if=_is_absent)
    interval: float | None = Field(
        None,
        description="The share of true values that intervals are meant to hold, such as 0.9.",
        exclude_if=_is_absent,
    )
    probabilities: dict[str, float] | None = Field(
        description="Each class's probability; null for a regression."
    )
    prediction_id: str = Field(description="Names this prediction in the prediction log.")


class Answer(BatchItem):
    """The answer of `POST /predict`."""

    model_name: str
    model_version: str


class BatchAnswer(BaseModel):
    """The answer of `POST /predict/batch`: one item an instance, in their order."""

    model_name: str
    model_version: str
    predictions: list[BatchItem]


@dataclass(frozen=True)
class AnswerModels:
    """The answers with the project's own fields.

    Attributes:
        item: One row's prediction.
        single: The answer of `POST /predict`.
        batch: The answer of `POST /predict/batch`.
        names: The project's fields.
    """

    item: type[BatchItem] = BatchItem
    single: type[Answer] = Answer
    batch: type[BatchAnswer] = BatchAnswer
    names: tuple[str, ...] = ()


def answer_models(fields: Sequence[AnswerField]) -> AnswerModels:
    """Make the answers of a project.

    Args:
        fields: Its own fields of an answer.
    """
    if not fields:
        return AnswerModels()
    own: dict[str, Any] = {
        field.name: (field.kind, Field(description=field.described)) for field in fields
    }
    item = create_model("BatchItem", __base__=BatchItem, **own)
    single = create_model("Answer", __base__=Answer, **own)
    batch = create_model(
        "BatchAnswer",
        __base__=BatchAnswer,
        predictions=(list[item], ...),
    )
    return AnswerModels(item, single, batch, tuple(own))
