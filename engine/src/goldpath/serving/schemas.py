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

from goldpath.contract import Contract, Feature, GroupThresholds, PredictionInterval
from goldpath.domain import LONGEST_TEXT, Domain, is_number, truth_of
from goldpath.features.window.asked_time import example_time, time_field

# The two forms of a single request. The word stands in the place of an error; `problems` drops it.
BY_FEATURES, BY_KEY = "by_features", "by_key"

EXAMPLE_KEY = "C000123"

_BOOLEAN = {"anyOf": [{"type": "boolean"}, {"enum": [0, 1]}]}
_TEXT = {"type": "string", "minLength": 1, "maxLength": LONGEST_TEXT}


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
    target: str = Field(
        description="The column that is predicted; empty of a clustering, which tells segments."
    )
    classes: list[str]
    threshold: float | None = Field(
        description="The positive class is predicted above this probability; null: the most "
        "probable class is."
    )
    thresholds: dict[str, float] | None = Field(
        description="Of several classes: those that are decided above a probability of their own; "
        "null: the most probable class is."
    )
    unsure: tuple[float, float] | None = Field(
        description="Between these two probabilities the decision is `unsure`; null: each row is "
        "decided."
    )
    groups: GroupThresholds | None = Field(
        description="The thresholds of groups of rows, for whose members they replace `threshold`, "
        "by the value that a request sends in `column`; null: all rows have the same."
    )
    interval: PredictionInterval | None = Field(
        description="What lies around each answer of a regression; null: nothing."
    )
    features: dict[str, str] = Field(description="What each feature may be, in words.")
    left_to_app: str | None = Field(
        description="Why requests for a row are not answered in the fast lane; null: they are."
    )
    answer_fields: dict[str, str] = Field(
        description="The project's own fields of an answer. With any, batches are decoded in "
        "Python, not in C."
    )
    service_metrics: dict[str, str] = Field(
        description="The project's own metrics of each prediction. With any, batches are decoded "
        "in Python, not in C."
    )
    changed_row_features: list[str] = Field(
        description="Where the project's present row features are not those that this version "
        "computes."
    )


@dataclass(frozen=True)
class RequestModels:
    """The request models of one contract.

    Attributes:
        row: One row, with every feature that must be there.
        keyed: A row by its entity's key: `{"<entity>": key, "features": {…}}`; None without keys.
        example: A row that the contract allows.
        entity: The name of the key.
        looks_up: Whether requests should name an entity; its form is shown first then.
        prefix: What the names of the models begin with in the OpenAPI document.
    """

    row: type[BaseModel]
    keyed: type[BaseModel] | None
    example: dict[str, Any]
    entity: str
    looks_up: bool
    prefix: str = ""

    def single(self, name: str) -> Any:
        """A body with `features`, or of the form `keyed`.

        Args:
            name: What the OpenAPI document calls it.
        """
        single = create_model(
            name, __config__=_strict({"features": self.example}), features=(self.row, ...)
        )
        return self._or_keyed(single, self.keyed, _form_of(self.entity))

    def batch(self, name: str, maximum_rows: int) -> type[BaseModel]:
        """A body with `instances`: rows, or items of the form `keyed`.

        Args:
            name: What the OpenAPI document calls it.
            maximum_rows: How many instances it may hold.
        """

        def several(row: Any) -> Any:
            # Only the first wrong row is described: describing a million would hold up the service.
            return Annotated[
                list[row], Field(min_length=1, max_length=maximum_rows, fail_fast=True)
            ]

        keyed = several(self.keyed) if self.keyed else None
        instances = self._or_keyed(several(self.row), keyed, _form_of_list(self.entity))
        example = self.example
        if self.keyed and self.looks_up:
            example = _keyed_example(self.entity, example)
        batch: type[BaseModel] = create_model(
            name, __config__=_strict({"instances": [example]}), instances=(instances, ...)
        )
        return batch

    def _or_keyed(self, plain: Any, keyed: Any, form: Callable[[Any], str]) -> Any:
        if keyed is None:
            return plain
        by_features, by_key = Annotated[plain, Tag(BY_FEATURES)], Annotated[keyed, Tag(BY_KEY)]
        either = by_key | by_features if self.looks_up else by_features | by_key
        return Annotated[either, Discriminator(form)]


@dataclass(frozen=True)
class KeyedRequest:
    """An entity, and the features that the caller knows better than the online store."""

    entity: str
    features: dict[str, Any]


def request_models(
    contract: Contract, *, by_key: bool, looks_up: bool = False, prefix: str = ""
) -> RequestModels:
    """Make the request models.

    Args:
        contract: Names the features and what each may be.
        by_key: Whether a request may name an entity instead of features.
        looks_up: Whether the service looks up what is known of the entity, beside its features.
        prefix: Tells the models from those of another contract in the OpenAPI document.
    """
    example = example_row(contract)
    fields: dict[str, Any] = {
        f"field_{number}": _field(feature) for number, feature in enumerate(contract.features)
    }
    if contract.forecast is not None:
        fields["field_time"] = time_field(contract.forecast.horizon)
    row = create_model(f"{prefix}Features", __config__=_strict(example), **fields)
    entity = str(contract.entity)
    shown = _keyed_example(entity, example) if looks_up else {entity: EXAMPLE_KEY}
    keyed = _keyed_request(contract, row, fields, shown, prefix) if by_key else None
    return RequestModels(row, keyed, example, entity, looks_up, prefix)


def key_model(entity: str) -> type[BaseModel]:
    """The key of a row that holds it beside its features, as `entity_key`.

    Args:
        entity: What the row calls it.
    """
    return create_model("Key", entity_key=(_KEY, Field(alias=entity)))


def keyed_requests(body: BaseModel) -> list[KeyedRequest] | None:
    """What a checked body of the form `by_key` asks; None for one of the other form."""
    # Asking a model for an attribute that it lacks raises and catches, which is slow.
    asked = vars(body).get("instances") or [body]
    if "entity_key" not in vars(asked[0]):
        return None
    return [_keyed(each) for each in asked]


def _keyed(body: BaseModel) -> KeyedRequest:
    known: BaseModel | None = vars(body)["features"]
    features = known.model_dump(by_alias=True, exclude_unset=True) if known else {}
    return KeyedRequest(vars(body)["entity_key"], features)


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


def example_row(contract: Contract) -> dict[str, Any]:
    """What a request may send of a row: its features, and of a forecast its time."""
    return {**example_time(contract), **example_features(contract)}


def _form_of(entity: str) -> Any:
    def form(body: Any) -> str:
        return BY_KEY if isinstance(body, dict) and entity in body else BY_FEATURES

    return form


def _form_of_list(entity: str) -> Any:
    """The first item decides: a request names all of its entities, or none."""
    form_of = _form_of(entity)

    def form(instances: Any) -> str:
        first = instances[0] if isinstance(instances, list) and instances else None
        return str(form_of(first))

    return form


def _keyed_request(
    contract: Contract,
    row: type[BaseModel],
    fields: dict[str, Any],
    example: dict[str, Any],
    prefix: str,
) -> type[BaseModel]:
    """`{"<entity>": key}`, and any features beside it; those win over the stored ones.

    Of a forecast all of them: the stored ones are those of the newest row, not of the asked time.
    """
    if contract.forecast is not None:
        chosen = row
        description = "Whose series it is: its former values are looked up."
        better = Field(..., description="All features, as of the time that is asked for.")
    else:
        optional: dict[str, Any] = {
            name: (annotation, Field(None, alias=field.alias, description=field.description))
            for name, (annotation, field) in fields.items()
        }
        known = dict(list(example_features(contract).items())[:1])
        chosen = create_model(f"{prefix}KnownFeatures", __config__=_strict(known), **optional)
        description = "Whose features are read from the online store (make materialize)."
        better = Field(None, description="Features to use instead of the stored ones.")
    return create_model(
        f"{prefix}PredictByKeyRequest",
        __config__=_strict(example),
        entity_key=(_KEY, Field(alias=contract.entity, description=description)),
        features=(chosen, better),
    )


def _keyed_example(entity: str, example: dict[str, Any]) -> dict[str, Any]:
    return {entity: EXAMPLE_KEY, "features": example}


def _strict(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


def _field(feature: Feature) -> tuple[Any, Any]:
    domain = feature.domain
    text = domain.describe()
    description = f"{feature.description} ({text})" if feature.description else text
    annotation = _annotation(domain)
    if domain.nullable:
        annotation = annotation | None
    if domain.is_text:
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
    return Annotated[str, Field(strict=True, min_length=1, max_length=domain.longest)]


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


_KEY = Annotated[
    str,
    BeforeValidator(_key_as_text),
    Field(min_length=1, max_length=LONGEST_TEXT),
    WithJsonSchema({"anyOf": [_TEXT, {"type": "integer"}]}),
]


def _example(feature: Feature) -> bool | int | float | str:
    if feature.example is not None:
        return feature.example
    if feature.type == "boolean":
        return True
    if not feature.is_numeric:
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
