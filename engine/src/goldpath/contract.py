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

from goldpath.domain import Domain, DomainError
from goldpath.overlay import SOURCE, overlay_file, read_overlay
from goldpath.raw_source import Part, Source
from goldpath.row_contract import (
    EVENT_TIME,
    RESERVED,
    ROW_ID,
    ContractError,
    Feature,
    RowContract,
    read_contract,
)

__all__ = [
    "EVENT_TIME",
    "RESERVED",
    "ROW_ID",
    "Contract",
    "ContractError",
    "Feature",
    "Problem",
    "Target",
    "dataset_name",
    "dump_contract",
    "load_contract",
    "parse_contract",
]

Problem = Literal["classification", "regression"]

CONTRACT_FILE = "config/project.yaml"
KEYS = (
    "dataset", "problem", "source", "entity", "entity_repeats", "event_time", "target", "features",
    "ignored", "personal", "fairness_groups", "decision_threshold",
)  # fmt: skip
"""The order in which the file is written."""


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


class Contract(RowContract):
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
        decision_threshold: Of a model version: the positive class is decided where its probability
            is above this; None: the most probable class. `config/project.yaml` holds none.

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

    problem: Problem
    entity_repeats: bool = False
    target: Target
    features: tuple[Feature, ...] = Field(min_length=1)
    fairness_groups: tuple[str, ...] = ()
    decision_threshold: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def check_target(self) -> Self:
        """The target suits the problem, and is no input."""
        names = self.feature_names
        if self.target.column in names:
            raise ValueError(f"the target {self.target.column!r} is among the features")
        if self.entity_repeats and (self.entity is None or self.event_time is not None):
            raise ValueError("entity_repeats is for data with an entity and without event_time")
        strange = [name for name in self.fairness_groups if name not in names]
        if strange or len(set(self.fairness_groups)) < len(self.fairness_groups):
            raise ValueError(
                f"fairness_groups must name features, each once; not a feature: {strange or 'none'}"
            )
        if self.problem == "classification" and len(set(self.target.classes)) < 2:
            raise ValueError("a classification target needs two classes or more")
        if self.problem == "regression" and self.target.classes:
            raise ValueError("a regression target has no classes")
        if self.decision_threshold is not None and not self.is_binary:
            raise ValueError("decision_threshold is for a target of two classes")
        if strangers := sorted({*self.target.aliases.values()} - {*self.target.classes}):
            raise ValueError(f"target.aliases names labels that are no classes: {strangers}")
        try:
            _ = self.target_domain
        except DomainError as error:
            raise ValueError(f"target.classes: {error}") from error
        return self

    @property
    def file(self) -> str:
        """The file that holds it, from the project's root."""
        return CONTRACT_FILE

    @property
    def inferred_by(self) -> str:
        """The command that writes the file from data."""
        return "make adopt DATA=… TARGET=…"

    @property
    def has_key(self) -> bool:
        """Whether entity and event time tell rows apart; else their number in their file does."""
        return self.entity is not None and not self.entity_repeats

    @property
    def key_columns(self) -> list[str]:
        """Entity and event time: of several rows with the same ones, silver keeps the last."""
        return [self.entity_column, *([EVENT_TIME] if self.has_time else [])]

    @property
    def rules(self) -> str:
        """What decides how silver and gold read a row, as text."""
        # Key by key, since the order is part of what the digests of existing lakes stand for.
        values = [
            self.request.model_dump_json(
                include={key}, exclude={"features": {"__all__": {"expression", "window"}}}
            )[1:-1]
            for key in ("problem", "entity", "event_time", "target", "features")
        ]
        rules = f"{{{','.join(values)}}}"
        for feature in self.computed_features:
            rules += f"\n{feature.name} {feature.type} {feature.expression or feature.window}"
        return rules

    @property
    def is_binary(self) -> bool:
        """Whether the target has exactly two classes."""
        return self.problem == "classification" and len(self.target.classes) == 2

    def with_features(self, features: Sequence[Feature], personal: Sequence[str]) -> "Contract":
        """The same contract with other features, and with other columns that are personal."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        parts |= {"features": tuple(features), "personal": tuple(personal)}
        return Contract.model_validate(parts)

    def with_threshold(self, threshold: float | None) -> "Contract":
        """The same contract, of a version that decides at this threshold."""
        parts = {name: getattr(self, name) for name in type(self).model_fields}
        return Contract.model_validate(parts | {"decision_threshold": threshold})

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

    @cached_property
    def request(self) -> "Contract":
        """The contract of what a request sends: this one without what is computed."""
        return self._without(self.computed_features)

    @cached_property
    def recorded(self) -> "Contract":
        """The contract of what is kept of a prediction: this one without its row features.

        Those can be computed again from it; what a window held at that time cannot.
        """
        return self._without(self.row_features)

    def _without(self, left_out: Sequence[Feature]) -> "Contract":
        if not left_out:
            return self
        names = {feature.name for feature in left_out}
        kept = [feature for feature in self.features if feature.name not in names]
        return self.with_features(kept, [name for name in self.personal if name not in names])

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

    @property
    def raw_columns(self) -> list[str]:
        """Every raw column that the contract reads."""
        sent = [feature.name for feature in self.features if not feature.is_computed]
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
    if computed := contract.computed_features:
        what = "an expression" if computed[0].expression else "a window"
        raise ContractError(
            f"{file.name}: feature {computed[0].name} has {what}",
            "define it in Python: @row_feature or @window_feature, handed over as "
            "Project(features=…)",
        )
    if contract.decision_threshold is not None:
        raise ContractError(
            f"{file.name}: decision_threshold={contract.decision_threshold:g} is a model version's",
            "set decision.threshold in config/decision.yaml, and train",
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
    return read_contract(Contract, text, CONTRACT_FILE, {})


def dump_contract(contract: Contract) -> str:
    """The contract as YAML that `parse_contract` reads back to an equal contract."""
    given = contract.model_dump(mode="json", exclude_defaults=True)
    values = {key: given[key] for key in KEYS if key in given}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)


def dataset_name(text: str) -> str:
    """A dataset name from a file's or a project's name: `Telco Churn.csv` gives `telco_churn`."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return (name if name[:1].isalpha() else f"data_{name}")[:63].strip("_") or "data"
