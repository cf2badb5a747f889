"""The API's request and answer models, made from the contract.

A feature may be called anything (`class`, `copy`, `2nd call`), so the models' own fields are
numbered and the feature's name is the alias that clients see.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    create_model,
)

from goldpath.contract import Contract, Feature
from goldpath.domain import LONGEST_TEXT, Domain, is_number, truth_of

# The two forms of a single request. The word stands in the place of an error; `problems` drops it.
BY_FEATURES, BY_KEY = "by_features", "by_key"

_BOOLEAN = {"anyOf": [{"type": "boolean"}, {"enum": [0, 1]}]}
_TEXT = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}


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


class ModelFacts(BaseModel):
    """The answer of `GET /model`: what serves, and what the registry says of it."""

    model_name: str
    model_version: str
    semantic_version: str | None
    aliases: list[str]
    description: str
    engine: Literal["kernel", "numpy", "encoder", "pipeline"] = Field(
        description="What scores: the compiled model's kernel, NumPy, or the fitted pipeline."
    )
    compiled: str | None = Field(description="The proof that the compiled form is right.")
    from_copy: bool = Field(description="Whether MLflow was away, and this machine's copy serves.")
    gold_snapshot: str | None
    problem: str
    target: str
    classes: list[str]
    threshold: float | None = Field(
        description="The positive class is predicted above this probability; null: the most "
        "probable class is."
    )
    features: dict[str, str] = Field(description="What each feature may be, in words.")
    changed_row_features: list[str] = Field(
        description="Where the project's present row features are not those that this version "
        "computes."
    )


@dataclass(frozen=True)
class RequestModels:
    """The request models of one contract.

    Attributes:
        single: Body of `POST /predict`: `features`, or the entity's key where there is one.
        batch: Body of `POST /predict/batch`: `instances`.
        row: One row, with every feature that must be there.
    """

    single: Any
    batch: type[BaseModel]
    row: type[BaseModel]


@dataclass(frozen=True)
class KeyedRequest:
    """An entity, and the features that the caller knows better than the online store."""

    entity: str
    features: dict[str, Any]


def request_models(contract: Contract, maximum_rows: int, *, by_key: bool) -> RequestModels:
    """Make the request models.

    Args:
        contract: Names the features and what each may be.
        maximum_rows: How many instances a batch may hold.
        by_key: Whether a single request may name an entity instead of features.
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
        # Only the first wrong row is described: describing a million would hold up the service.
        instances=(
            Annotated[list[row], Field(min_length=1, max_length=maximum_rows, fail_fast=True)],
            ...,
        ),
    )
    either: Any = single
    if by_key:
        keyed = _keyed_request(contract, fields, example)
        either = Annotated[
            Annotated[single, Tag(BY_FEATURES)] | Annotated[keyed, Tag(BY_KEY)],
            Discriminator(_form_of(str(contract.entity))),
        ]
    return RequestModels(either, batch, row)


def keyed_request(body: BaseModel) -> KeyedRequest | None:
    """What a checked body of the form `by_key` asks; None for one of the other form."""
    # Asking a model for an attribute that it lacks raises and catches, which is slow.
    entity: str | None = vars(body).get("entity_key")
    if entity is None:
        return None
    known: BaseModel | None = vars(body).get("features")
    return KeyedRequest(
        entity, known.model_dump(by_alias=True, exclude_unset=True) if known else {}
    )


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


def _form_of(entity: str) -> Any:
    def form(body: Any) -> str:
        return BY_KEY if isinstance(body, dict) and entity in body else BY_FEATURES

    return form


def _keyed_request(
    contract: Contract, fields: dict[str, Any], example: dict[str, Any]
) -> type[BaseModel]:
    """`{"<entity>": key}`, and any features beside it; those win over the stored ones."""
    optional: dict[str, Any] = {
        name: (annotation, Field(None, alias=field.alias, description=field.description))
        for name, (annotation, field) in fields.items()
    }
    known = dict(list(example.items())[:1])
    chosen = create_model("KnownFeatures", __config__=_strict(known), **optional)
    key = Annotated[
        str,
        BeforeValidator(_key_as_text),
        Field(min_length=1, max_length=LONGEST_TEXT),
        WithJsonSchema({"anyOf": [_TEXT, {"type": "integer"}]}),
    ]
    description = "Whose features are read from the online store (make materialize)."
    better = Field(None, description="Features to use instead of the stored ones.")
    return create_model(
        "PredictByKeyRequest",
        __config__=_strict({str(contract.entity): "C000123"}),
        entity_key=(key, Field(alias=contract.entity, description=description)),
        features=(chosen, better),
    )


def _strict(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


def _field(feature: Feature) -> tuple[Any, Any]:
    domain = feature.domain
    text = domain.describe()
    description = f"{feature.description} ({text})" if feature.description else text
    annotation = _annotation(domain)
    if domain.nullable:
        annotation = annotation | None
    if domain.kind == "category":
        annotation = Annotated[annotation, BeforeValidator(_reader_of_texts(domain))]
    default = None if domain.nullable else ...
    return annotation, Field(default, alias=feature.name, description=description)


def _annotation(domain: Domain) -> Any:
    """The domain in Pydantic's terms, which say what is wrong and run in Rust."""
    if domain.kind == "boolean":
        return Annotated[bool, BeforeValidator(_only_boolean), WithJsonSchema(_BOOLEAN)]
    if domain.kind == "integer":
        low, high = domain.integer_range
        # The bounds stand inside, else the documented schema would not hold them.
        return Annotated[int, Field(ge=low, le=high), BeforeValidator(_only_number)]
    if domain.kind == "number":
        return Annotated[
            float, Field(strict=True, allow_inf_nan=False, ge=domain.minimum, le=domain.maximum)
        ]
    if domain.categories is not None:
        return Literal[domain.categories]
    return Annotated[str, Field(strict=True, min_length=1, max_length=LONGEST_TEXT)]


def _only_number(value: object) -> object:
    """Refuse what Pydantic would read as a whole number although it is text or a boolean."""
    if not is_number(value):
        raise ValueError("not a number")
    return value


def _only_boolean(value: object) -> object:
    """Refuse what Pydantic would read as a boolean although it is text, such as "yes"."""
    truth = truth_of(value)
    if truth is None:
        raise ValueError("not a boolean")
    return truth


def _reader_of_texts(domain: Domain) -> Callable[[object], object]:
    """Trim text, and take words such as `n/a` for a missing value, as silver does."""

    def read(value: object) -> object:
        return domain.read_category(value) if isinstance(value, str) else value

    return read


def _key_as_text(value: object) -> object:
    """Keys are texts in the lake; a caller may well have a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:  # no store could be asked for it
            raise ValueError("not a text that UTF-8 can hold") from error
    return value


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
        first, last = feature.domain.integer_range
        return min(max(int(middle), first), last)
    rounded = round(middle, 2)
    return (
        rounded if (low is None or rounded >= low) and (high is None or rounded <= high) else middle
    )
