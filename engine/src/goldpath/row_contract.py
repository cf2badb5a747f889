"""What a row of one table is: its columns, each with a role.

`contract` adds what is predicted: the main table's contract; `source_contract` describes the
further sources. Bronze, silver, quarantine and their accounts need no more than what both have.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, TypeVar

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from goldpath.domain import Domain, DomainError, Kind
from goldpath.errors import ProjectError
from goldpath.raw_source import EventTime, Part, Source
from goldpath.written_yaml import nearest_line, parse_yaml, quotes_advised

Row = TypeVar("Row", bound="RowContract")

EVENT_TIME = "event_time"
ROW_ID = "row_id"
# Columns that the lake's tables add to the features.
RESERVED = (EVENT_TIME, ROW_ID, "prediction", "score", "model_version", "run_id", "predicted_at")

LAYERS = (
    "bronze", "silver", "quarantine", "gold", "predictions", "prediction_log", "feedback",
)  # fmt: skip
"""Names that commands read as a layer of the main table: no source and no further model has one."""


class ContractError(ProjectError):
    """A contract's file is missing, or says something that cannot hold."""


class Feature(Part):
    """One input of the model.

    Attributes:
        name: The raw column.
        type: How its text is read.
        nullable: Whether a missing value is allowed.
        minimum: Smallest allowed value of a number, or None.
        maximum: Largest allowed value of a number, or None.
        categories: Allowed values of a category; None leaves the set open.
        closed: True where `categories` is the whole list by meaning; `make adopt` says so of each
            list that it writes. An open set has no list.
        maximum_length: Characters that a free text may have; 5,000 where it does not say.
        unit: What raw text writes before or behind the number, such as `$`, `%` or `kg`. Requests
            and typed files give the number alone.
        missing_words: Further words of raw text for a missing number, such as `#N/A` or `-999`.
        unreadable: What becomes of raw text that is no number: the row is `refused`, or the value
            counts as `missing`.
        description: For people, and for the API's documentation.
        example: A typical value, for the API's documentation and the page that tries it.
        expression: A row feature's document, as JSON (`features.row.document`); it is computed and
            never sent. Empty for what a request sends; `config/project.yaml` holds no other.
        window: The document of the window feature that this is a column of, as JSON
            (`features.window.definition`); it is computed from a further source, and never sent.
    """

    name: str
    type: Kind
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None
    closed: bool | None = None
    maximum_length: int | None = None
    unit: str = ""
    missing_words: tuple[str, ...] = ()
    unreadable: Literal["refused", "missing"] = "refused"
    description: str = ""
    example: bool | int | float | str | None = None
    expression: str = ""
    window: str = ""

    @property
    def is_computed(self) -> bool:
        """Whether it is computed and never sent."""
        return bool(self.expression or self.window)

    @property
    def is_numeric(self) -> bool:
        """Whether the model sees a number (a boolean is 0 or 1)."""
        return not self.domain.is_text

    @property
    def is_free_text(self) -> bool:
        """Whether it is free text, such as a message, which the model sees by its words."""
        return self.type == "text"

    @property
    def domain(self) -> Domain:
        """What its value may be."""
        return Domain(
            self.type,
            self.nullable,
            self.minimum,
            self.maximum,
            self.categories,
            self.maximum_length,
        )

    @model_validator(mode="after")
    def check_domain(self) -> Self:
        """A domain must suit the type and must not be empty."""
        try:
            _ = self.domain
        except DomainError as error:
            raise ValueError(f"{self.name}: {error}") from error
        if self.closed is not None and self.closed == (self.categories is None):
            raise ValueError(f"{self.name}: closed is true with categories, and false without")
        if not self.is_numeric and (self.unit or self.missing_words):
            raise ValueError(f"{self.name}: unit and missing_words are for numbers")
        if self.unreadable == "missing" and not self.nullable:
            raise ValueError(f"{self.name}: unreadable: missing needs nullable: true")
        if self.expression and self.window:
            raise ValueError(f"{self.name}: it has an expression and a window; it is one of both")
        if self.is_computed and not self.nullable:
            raise ValueError(f"{self.name}: what is computed may be missing: nullable: true")
        return self


class RowContract(Part, ABC):
    """What a row of one table is.

    Attributes:
        dataset: Short name; names the lake's tables.
        source: Where raw rows come from.
        entity: Raw column that identifies a row's subject; None: the row's number in its file.
        event_time: When a row became true; None where the data has no time.
        features: Columns with a type and a domain, in order.
        ignored: Raw columns that are left out, each with the reason.
        personal: Raw columns that say something about a person (LGPD, GDPR). The entity needs no
            mention: a row of a person is found by it.
    """

    COLUMNS: ClassVar[str] = "features"
    """What the file calls `features`."""

    dataset: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    source: Source
    entity: str | None = None
    event_time: EventTime | None = None
    features: tuple[Feature, ...] = ()
    ignored: dict[str, str] = Field(default_factory=dict)
    personal: tuple[str, ...] = ()

    @model_validator(mode="after")
    def check_names(self) -> Self:
        """Each column has one role, and a name that the lake does not use itself."""
        names = [feature.name for feature in self.features]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{self.COLUMNS} named twice: {', '.join(repeated)}")
        if self.entity is not None and self.entity in names:
            raise ValueError(f"the entity {self.entity!r} is among the {self.COLUMNS}")
        reserved = [name for name in names if name.startswith("_") or name in RESERVED]
        if reserved:
            raise ValueError(f"reserved names cannot be {self.COLUMNS}: {', '.join(reserved)}")
        unprintable = [name for name in names if not name.isprintable()]
        if unprintable:
            raise ValueError(f"names hold control characters: {unprintable}")
        known = {*self.raw_columns, *names, *self.ignored}
        unknown = [c for c in self.personal if c not in known]
        if unknown:
            raise ValueError(f"personal names columns that the contract lacks: {unknown}")
        return self

    @property
    @abstractmethod
    def file(self) -> str:
        """The file that holds it, from the project's root."""

    @property
    @abstractmethod
    def inferred_by(self) -> str:
        """The command that writes the file from data."""

    @property
    @abstractmethod
    def raw_columns(self) -> list[str]:
        """Every raw column that the contract reads."""

    @property
    @abstractmethod
    def has_key(self) -> bool:
        """Whether columns tell silver's rows apart; else their file and their number in it do."""

    @property
    @abstractmethod
    def key_columns(self) -> list[str]:
        """The columns of silver that tell rows apart, or do so within one file."""

    @property
    @abstractmethod
    def rules(self) -> str:
        """What decides how silver reads a row, as text: intervals are made anew if it changes."""

    @property
    def base(self) -> str:
        """The dataset whose raw rows these are: its own, unless models share them."""
        return self.dataset

    @property
    def identifiers(self) -> list[str]:
        """Raw columns that silver keeps as text, and that every row must have."""
        return [self.entity] if self.entity else []

    @property
    def entity_column(self) -> str:
        """The entity's column in silver and gold."""
        return self.entity or ROW_ID

    @property
    def has_time(self) -> bool:
        """Whether rows carry an event time."""
        return self.event_time is not None

    @property
    def feature_names(self) -> list[str]:
        """The names of the features, in order."""
        return [feature.name for feature in self.features]

    @property
    def row_features(self) -> list[Feature]:
        """Those that are computed from the others, each after those that it reads."""
        return [feature for feature in self.features if feature.expression]

    @property
    def window_features(self) -> list[Feature]:
        """Those that are computed from a further source, as of the row's time."""
        return [feature for feature in self.features if feature.window]

    @property
    def computed_features(self) -> list[Feature]:
        """Row features and the columns of window features: what no request sends."""
        return [feature for feature in self.features if feature.is_computed]

    @property
    def numeric_features(self) -> list[str]:
        """The inputs that the model sees as numbers."""
        return [feature.name for feature in self.features if feature.is_numeric]

    @property
    def category_features(self) -> list[str]:
        """The inputs that the model sees as categories."""
        return [feature.name for feature in self.features if feature.type == "category"]

    @property
    def text_features(self) -> list[str]:
        """The inputs that are free text."""
        return [feature.name for feature in self.features if feature.is_free_text]

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        """Features by name."""
        return {feature.name: feature for feature in self.features}


def contract_text(file: Path, shown: str) -> str:
    """The text of a contract's file.

    Raises:
        ContractError: If it cannot be read, or is not UTF-8; names it as `shown`.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(
            f"{shown} cannot be read: {error}",
            "save it as UTF-8" if isinstance(error, ValueError) else "make it a readable file",
        ) from error


def read_contract(
    kind: type[Row],
    text: str,
    file: str,
    known: Mapping[str, Any],
    *,
    called: Mapping[str, str] | None = None,
    inherited: Mapping[str, Any] | None = None,
) -> Row:
    """Read a contract from YAML text.

    Args:
        kind: Which contract.
        text: The file's text.
        file: What messages call the file.
        known: Keys that the file does not hold.
        called: Keys of the file that the contract calls otherwise.
        inherited: Values of keys that the file may leave out.

    Raises:
        ContractError: If the text is not YAML, or breaks a rule; names the key and the value.
    """
    try:
        values = parse_yaml(text)
    except yaml.YAMLError as error:
        raise ContractError(f"not valid YAML: {error}", "correct the line that is named") from error
    if isinstance(values, dict):
        values = {(called or {}).get(key, key): value for key, value in values.items()}
        if strange := sorted(values.keys() & known.keys()):
            raise ContractError(
                f"{strange[0]}: {values[strange[0]]!r} is not said here, it is {known[strange[0]]}",
                f"take the key {strange[0]} out of {file}",
            )
        values = {**(inherited or {}), **values, **known}
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        written = {own: key for key, own in (called or {}).items()}
        said = [_said(details, text, written) for details in error.errors()]
        raise ContractError("; ".join(said), f"correct the key in {file}") from error


def _said(details: ErrorDetails, text: str, written: Mapping[str, str]) -> str:
    """One thing that is wrong: its key, its line where it has one, and the value."""
    path = [written.get(str(part), part) for part in details["loc"]]
    key = ".".join(map(str, path)) or "contract"
    line = nearest_line(text, *path)
    message = details["msg"].removeprefix("Value error, ")
    word = quotes_advised(details["input"]) if details["type"] == "string_type" else ""
    place = "" if line is None else f" (line {line})"
    return f"{key}{place}: {message}{_found(details['input'])}{word}"


def _found(value: object) -> str:
    """The value that was refused, if it is short enough to be read in a message."""
    return f" (found {value!r})" if isinstance(value, bool | int | float | str) else ""
