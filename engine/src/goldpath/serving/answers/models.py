"""The answers of the prediction routes, with the project's own fields."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import (
    BaseModel,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
)

from goldpath.serving.answers.own_fields import AnswerField

BESIDE = ("decision", "threshold", "lower", "upper", "interval")
"""The fields that a version has or has not; those of one version are the same in each answer."""


class BatchItem(BaseModel):
    """One row's prediction."""

    prediction: str | float = Field(description="The class, or the value of a regression.")
    decision: str | None = Field(
        None,
        description="The class that the threshold decides, or `unsure` in the band around it; only "
        "with a threshold.",
    )
    threshold: float | None = Field(
        None,
        description="The positive class, or of several the decided one, is decided above this "
        "probability, the row's own where groups have different ones; null where this class has "
        "none, left out where the version has none.",
    )
    lower: float | None = Field(
        None,
        description="The lower end of the prediction's interval; only of a version with intervals.",
    )
    upper: float | None = Field(None, description="The upper end.")
    interval: float | None = Field(
        None,
        description="The share of true values that intervals are meant to hold, such as 0.9.",
    )
    probabilities: dict[str, float] | None = Field(
        description="Each class's probability; null for a regression."
    )
    prediction_id: str = Field(description="Names this prediction in the prediction log.")

    # By itself, and not by an option of a route: routes of a project's own answer with this, too.
    @model_serializer(mode="wrap")
    def _leave_out_what_the_version_has_not(self, as_dictionary: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def]
        found = as_dictionary(self)
        for name in BESIDE:
            if name not in self.model_fields_set:
                found.pop(name, None)
        return found


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
