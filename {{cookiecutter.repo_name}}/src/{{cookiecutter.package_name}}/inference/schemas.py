"""The API's request and answer models, made from the contract.

A feature may be called anything (`class`, `copy`, `2nd call`), so the models' own fields are
numbered and the feature's name is the alias that clients see.
"""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from ..contract import NULL_WORDS, Contract, Feature

MAXIMUM_TEXT = 200
# Float64, which the model computes in, holds every whole number up to here.
LARGEST_INTEGER = 2**53 - 1
NAMED_CATEGORIES = 20


class BatchItem(BaseModel):
    """One row's prediction."""

    prediction: str | float = Field(description="The class, or the value of a regression.")
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


class Health(BaseModel):
    """The answer of `GET /health`."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The answer of `GET /ready`."""

    ready: bool
    missing: list[str] = Field(
        description="What keeps the service, or its newest model, from serving."
    )
    fix: str | None = Field(description="The command that brings it.")
    model_name: str | None = None
    model_version: str | None = None


@dataclass(frozen=True)
class RequestModels:
    """The request models of one contract.

    Attributes:
        single: Body of `POST /predict`: `features`.
        batch: Body of `POST /predict/batch`: `instances`.
    """

    single: type[BaseModel]
    batch: type[BaseModel]


def request_models(contract: Contract, maximum_rows: int) -> RequestModels:
    """Make the request models.

    Args:
        contract: Names the features and what each may be.
        maximum_rows: How many instances a batch may hold.
    """
    example = example_features(contract)
    fields: dict[str, Any] = {
        f"field_{number}": _field(feature) for number, feature in enumerate(contract.features)
    }
    row = create_model("Features", __config__=_strict(example), **fields)
    single = create_model(
        "PredictRequest", __config__=_strict({"features": example}), features=(row, ...)
    )
    batch = create_model(
        "BatchRequest",
        __config__=_strict({"instances": [example]}),
        instances=(Annotated[list[row], Field(min_length=1, max_length=maximum_rows)], ...),
    )
    return RequestModels(single, batch)


def feature_rows(body: BaseModel) -> list[dict[str, Any]]:
    """The rows of a checked body, by the features' own names."""
    values = body.model_dump(by_alias=True)
    rows: list[dict[str, Any]] = (
        values["instances"] if "instances" in values else [values["features"]]
    )
    return rows


def example_features(contract: Contract) -> dict[str, Any]:
    """A row that the contract allows; the documentation shows it and a new model is tried on it."""
    return {feature.name: _example(feature) for feature in contract.features}


def describe(feature: Feature) -> str:
    """What a feature's value may be, in words: `a whole number from 18 to 110, or null`."""
    if feature.type == "boolean":
        text = "true or false"
    elif feature.categories is not None:
        named = ", ".join(f'"{name[:80]}"' for name in feature.categories[:NAMED_CATEGORIES])
        more = len(feature.categories) - NAMED_CATEGORIES
        text = f"one of {named}" + (f" and {more} more" if more > 0 else "")
    elif feature.type == "category":
        text = f"a text of 1 to {MAXIMUM_TEXT} characters"
    else:
        text = "a whole number" if feature.type == "integer" else "a finite number"
        if feature.minimum is not None and feature.maximum is not None:
            text += f" from {feature.minimum:g} to {feature.maximum:g}"
        elif feature.minimum is not None:
            text += f" of {feature.minimum:g} or more"
        elif feature.maximum is not None:
            text += f" of {feature.maximum:g} or less"
    return f"{text}, or null" if feature.nullable else text


def _strict(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


def _field(feature: Feature) -> tuple[Any, Any]:
    text = describe(feature)
    description = f"{feature.description} ({text})" if feature.description else text
    annotation = _annotation(feature)
    if feature.nullable:
        annotation = annotation | None
    if feature.type == "category" and feature.categories is None:
        annotation = Annotated[annotation, BeforeValidator(_as_silver_reads)]
    default = None if feature.nullable else ...
    return annotation, Field(default, alias=feature.name, description=description)


def _annotation(feature: Feature) -> Any:
    if feature.type == "boolean":
        return Annotated[bool, BeforeValidator(_only_boolean)]
    if feature.type == "integer":
        low = -LARGEST_INTEGER if feature.minimum is None else math.ceil(feature.minimum)
        high = LARGEST_INTEGER if feature.maximum is None else math.floor(feature.maximum)
        bounds = Field(ge=max(low, -LARGEST_INTEGER), le=min(high, LARGEST_INTEGER))
        return Annotated[int, BeforeValidator(_only_number), bounds]
    if feature.type == "number":
        return Annotated[
            float, Field(strict=True, allow_inf_nan=False, ge=feature.minimum, le=feature.maximum)
        ]
    if feature.categories is not None:
        return Literal[feature.categories]
    return Annotated[str, Field(strict=True, min_length=1, max_length=MAXIMUM_TEXT)]


def _only_number(value: object) -> object:
    """Refuse what Pydantic would read as a whole number although it is text or a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("not a number")  # noqa: TRY004  Pydantic reports ValueError only
    return value


def _only_boolean(value: object) -> object:
    """Refuse what Pydantic would read as a boolean although it is text, such as "yes"."""
    if isinstance(value, bool) or (isinstance(value, int | float) and value in (0, 1)):
        return bool(value)
    raise ValueError("not a boolean")


def _as_silver_reads(value: object) -> object:
    """Trim text, and take words such as `n/a` for a missing value, as silver does."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    return None if text.lower() in NULL_WORDS else text


def _example(feature: Feature) -> bool | int | float | str:
    if feature.example is not None:
        return feature.example
    if feature.type == "boolean":
        return True
    if feature.type == "category":
        return feature.categories[0] if feature.categories else "example"
    low, high = feature.minimum, feature.maximum
    if low is not None and high is not None:
        middle = low / 2 + high / 2
    else:
        middle = low if low is not None else high if high is not None else 1.0
    if feature.type == "integer":
        whole = int(middle)  # rounds towards zero, so it may leave a range that excludes it
        return whole if low is None or whole >= low else whole + 1
    rounded = round(middle, 2)
    return (
        rounded if (low is None or rounded >= low) and (high is None or rounded <= high) else middle
    )
