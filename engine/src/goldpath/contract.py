"""The dataset contract: the one place where columns are named.

`config/project.yaml` holds it, `make adopt` writes it, and everything else is derived from it:
the checks between bronze and silver, the gold table, the model's input, the API's request model
and the drift columns.
"""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator

from goldpath.domain import Domain, DomainError, Kind
from goldpath.errors import ProjectError
from goldpath.overlay import SOURCE, overlay_file, read_overlay
from goldpath.raw_source import EventTime, Part, Source

Problem = Literal["classification", "regression"]

# Written in C, where PyYAML has it: the contract is read at each start of anything.
_YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

EVENT_TIME = "event_time"
ROW_ID = "row_id"
# Columns that the lake's tables add to the features.
RESERVED = (EVENT_TIME, ROW_ID, "prediction", "score", "model_version", "run_id", "predicted_at")


class ContractError(ProjectError):
    """`config/project.yaml` is missing, or says something that cannot hold."""


class Target(Part):
    """What is predicted.

    Attributes:
        column: The raw column.
        classes: Classification: every label, as text. A binary target's positive label is last.
        aliases: Classification: other spellings of a label in raw text, each with the label.
        unit: Regression: what raw text writes before or behind the number, such as `$`.
        missing_words: Regression: further words of raw text for a missing value.
    """

    column: str
    classes: tuple[str, ...] = ()
    aliases: dict[str, str] = Field(default_factory=dict)
    unit: str = ""
    missing_words: tuple[str, ...] = ()

    @property
    def positive(self) -> str:
        """The label whose probability a binary model gives."""
        return self.classes[-1]


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
        unit: What raw text writes before or behind the number, such as `$`, `%` or `kg`. Requests
            and typed files give the number alone.
        missing_words: Further words of raw text for a missing number, such as `#N/A` or `-999`.
        unreadable: What becomes of raw text that is no number: the row is `refused`, or the value
            counts as `missing`.
        description: For people, and for the API's documentation.
        example: A typical value, for the API's documentation and the page that tries it.
        expression: A row feature's document, as JSON (`features.row.document`); it is computed and
            never sent. Empty for what a request sends; `config/project.yaml` holds no other.
    """

    name: str
    type: Kind
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None
    closed: bool | None = None
    unit: str = ""
    missing_words: tuple[str, ...] = ()
    unreadable: Literal["refused", "missing"] = "refused"
    description: str = ""
    example: bool | int | float | str | None = None
    expression: str = ""

    @property
    def is_numeric(self) -> bool:
        """Whether the model sees a number (a boolean is 0 or 1)."""
        return self.type != "category"

    @property
    def domain(self) -> Domain:
        """What its value may be."""
        return Domain(self.type, self.nullable, self.minimum, self.maximum, self.categories)

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
        if self.expression and not self.nullable:
            raise ValueError(f"{self.name}: what is computed may be missing: nullable: true")
        return self


class Contract(Part):
    """What a row of this project's data is.

    Attributes:
        dataset: Short name; names the lake's tables and the registered model.
        problem: Classification (binary or of several classes) or regression.
        source: Where raw rows come from.
        entity: Raw column that identifies a row's subject; None: the row's number in its file.
        entity_repeats: Whether a subject may have several rows although the data has no time, such
            as a patient's visits. Rows are then told apart by their number in their file.
        event_time: When a row became true; None where the data has no time.
        target: What is predicted.
        features: The model's inputs, in order.
        ignored: Raw columns that are left out, each with the reason.
        personal: Raw columns that say something about a person (LGPD, GDPR). The entity needs no
            mention: a row of a person is found by it.
        fairness_groups: Features whose groups the model must treat alike (`docs validation`).
            Values of a category are the groups; a number is divided into quarters.

    Example:
        >>> from goldpath import Contract
        >>> contract = Contract.model_validate({
        ...     "dataset": "flats",
        ...     "problem": "regression",
        ...     "source": {"path": "data/flats.csv"},
        ...     "target": {"column": "rent"},
        ...     "features": [
        ...         {"name": "area", "type": "number", "minimum": 0},
        ...         {"name": "district", "type": "category", "nullable": True},
        ...     ],
        ... })
        >>> contract.numeric_features, contract.category_features
        (['area'], ['district'])
    """

    dataset: str = Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")
    problem: Problem
    source: Source
    entity: str | None = None
    entity_repeats: bool = False
    event_time: EventTime | None = None
    target: Target
    features: tuple[Feature, ...] = Field(min_length=1)
    ignored: dict[str, str] = Field(default_factory=dict)
    personal: tuple[str, ...] = ()
    fairness_groups: tuple[str, ...] = ()

    @model_validator(mode="after")
    def check_columns(self) -> Self:
        """Each column has one role, and the target suits the problem."""
        names = [feature.name for feature in self.features]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"features named twice: {', '.join(repeated)}")
        if self.target.column in names:
            raise ValueError(f"the target {self.target.column!r} is among the features")
        if self.entity is not None and self.entity in names:
            raise ValueError(f"the entity {self.entity!r} is among the features")
        if self.entity_repeats and (self.entity is None or self.event_time is not None):
            raise ValueError("entity_repeats is for data with an entity and without event_time")
        reserved = [name for name in names if name.startswith("_") or name in RESERVED]
        if reserved:
            raise ValueError(f"reserved names cannot be features: {', '.join(reserved)}")
        unprintable = [name for name in names if not name.isprintable()]
        if unprintable:
            raise ValueError(f"names hold control characters: {unprintable}")
        known = {*self.raw_columns, *names, *self.ignored}
        unknown = [c for c in self.personal if c not in known]
        if unknown:
            raise ValueError(f"personal names columns that the contract lacks: {unknown}")
        strange = [name for name in self.fairness_groups if name not in names]
        if strange or len(set(self.fairness_groups)) < len(self.fairness_groups):
            raise ValueError(
                f"fairness_groups must name features, each once; not a feature: {strange or 'none'}"
            )
        if self.problem == "classification" and len(set(self.target.classes)) < 2:
            raise ValueError("a classification target needs two classes or more")
        if self.problem == "regression" and self.target.classes:
            raise ValueError("a regression target has no classes")
        if strangers := sorted({*self.target.aliases.values()} - {*self.target.classes}):
            raise ValueError(f"target.aliases names labels that are no classes: {strangers}")
        try:
            _ = self.target_domain
        except DomainError as error:
            raise ValueError(f"target.classes: {error}") from error
        return self

    @property
    def entity_column(self) -> str:
        """The entity's column in silver and gold."""
        return self.entity or ROW_ID

    @property
    def has_key(self) -> bool:
        """Whether entity and event time tell rows apart; else their number in their file does."""
        return self.entity is not None and not self.entity_repeats

    @property
    def has_time(self) -> bool:
        """Whether rows carry an event time."""
        return self.event_time is not None

    @property
    def is_binary(self) -> bool:
        """Whether the target has exactly two classes."""
        return self.problem == "classification" and len(self.target.classes) == 2

    @property
    def feature_names(self) -> list[str]:
        """The model's inputs, in order."""
        return [feature.name for feature in self.features]

    def with_features(self, features: Sequence[Feature], personal: Sequence[str]) -> "Contract":
        """The same contract with other features, and with other columns that are personal."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        parts |= {"features": tuple(features), "personal": tuple(personal)}
        return Contract.model_validate(parts)

    @property
    def row_features(self) -> list[Feature]:
        """Those that are computed from the others, each after those that it reads."""
        return [feature for feature in self.features if feature.expression]

    @cached_property
    def request(self) -> "Contract":
        """The contract of what a request sends: this one without its row features."""
        sent = tuple(feature for feature in self.features if not feature.expression)
        if len(sent) == len(self.features):
            return self
        names = {feature.name for feature in self.row_features}
        return self.with_features(sent, [name for name in self.personal if name not in names])

    @property
    def numeric_features(self) -> list[str]:
        """The inputs that the model sees as numbers."""
        return [feature.name for feature in self.features if feature.is_numeric]

    @property
    def category_features(self) -> list[str]:
        """The inputs that the model sees as categories."""
        return [feature.name for feature in self.features if not feature.is_numeric]

    @property
    def target_domain(self) -> Domain:
        """What a label may be; it is never missing where a row is learned from."""
        if self.problem == "regression":
            return Domain("number")
        return Domain("category", categories=self.target.classes)

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        """Features by name."""
        return {feature.name: feature for feature in self.features}

    @property
    def raw_columns(self) -> list[str]:
        """Every raw column that the contract reads."""
        sent = [feature.name for feature in self.features if not feature.expression]
        columns = [*sent, self.target.column]
        if self.entity:
            columns.insert(0, self.entity)
        if self.event_time:
            columns += self.event_time.columns
        return list(dict.fromkeys(columns))

    @property
    def model_name(self) -> str:
        """The registered model's name."""
        return self.dataset


def load_contract(root: Path) -> Contract:
    """Read `config/project.yaml`, with the source of this environment where it has another.

    Args:
        root: The project's folder, such as `load_settings().root`.

    Raises:
        ContractError: If the file is missing or wrong; names the key, the value and the fix.

    Example:
        >>> from goldpath import load_contract, load_settings
        >>> contract = load_contract(load_settings().root)
        >>> contract.problem, contract.target.classes
        ('classification', ('no', 'yes'))
    """
    file = root / "config" / "project.yaml"
    if not file.is_file():
        raise ContractError(
            f"{file} is missing", "restore it from git, or run: make adopt DATA=… TARGET=…"
        )
    try:
        contract = parse_contract(file.read_text(encoding="utf-8"))
    except ContractError as error:
        raise ContractError(f"{file.name}: {error.message}", error.fix) from error
    if computed := contract.row_features:
        raise ContractError(
            f"{file.name}: feature {computed[0].name} has an expression",
            "define it in Python: @row_feature, handed over as Project(features=…)",
        )
    return _with_source_of_environment(contract, root)


def _with_source_of_environment(contract: Contract, root: Path) -> Contract:
    """The contract with the source that this environment's file gives it.

    Raises:
        ContractError: If that is no source; names the file.
    """
    changed = read_overlay(root).get(SOURCE)
    if not changed:
        return contract
    values = contract.source.model_dump(exclude_defaults=True)
    if {"path", "query"} & changed.keys():  # one takes the other's place
        values = {name: each for name, each in values.items() if name not in ("path", "query")}
    try:
        source = Source.model_validate(values | changed)
    except ValidationError as error:
        lines = [f"{'.'.join([SOURCE, *map(str, e['loc'])])}: {e['msg']}" for e in error.errors()]
        raise ContractError(
            f"{overlay_file()}: {'; '.join(lines)}", f"correct the key in {overlay_file()}"
        ) from error
    parts = {name: getattr(contract, name) for name in Contract.model_fields}
    return Contract.model_validate(parts | {"source": source})


def parse_contract(text: str) -> Contract:
    """Read a contract from YAML text.

    Raises:
        ContractError: If the text is not YAML, or breaks a rule.
    """
    try:
        values = yaml.load(text, Loader=_YAML)  # noqa: S506  # nosec B506  safe, either of them
    except yaml.YAMLError as error:
        raise ContractError(f"not valid YAML: {error}", "correct the line that is named") from error
    try:
        return Contract.model_validate(values)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc'])) or 'contract'}: {e['msg']}" for e in error.errors()
        ]
        raise ContractError("; ".join(lines), "correct the key in config/project.yaml") from error


def dump_contract(contract: Contract) -> str:
    """The contract as YAML that `parse_contract` reads back to an equal contract."""
    values = contract.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def dataset_name(text: str) -> str:
    """A dataset name from a file's or a project's name: `Telco Churn.csv` gives `telco_churn`."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return (name if name[:1].isalpha() else f"data_{name}")[:63].strip("_") or "data"
