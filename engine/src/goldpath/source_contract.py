"""The further sources: tables of events or states of the main table's subjects.

`config/sources/NAME.yaml` holds each, and `make add-source` writes it. A source has bronze, silver
and quarantine of its own; it has no target, so it has no gold.
"""

import re
from collections import Counter
from pathlib import Path
from typing import ClassVar, Self

import yaml
from pydantic import ConfigDict, Field, model_validator

from goldpath.project import unused_definitions
from goldpath.raw_source import EventTime
from goldpath.row_contract import (
    EVENT_TIME,
    LAYERS,
    ContractError,
    Feature,
    RowContract,
    contract_text,
    read_contract,
)

FOLDER = "config/sources"
NAME = r"^[a-z][a-z0-9_]{0,62}$"


class SourceContract(RowContract):
    """What a row of a further source is.

    Attributes:
        dataset: The source's name, which is its file's name; names the lake's tables.
        belongs_to: Called `dataset` in the file: the main table's dataset that the source is used
            with; empty: with every one.
        entity: Raw column with the main table's subject, whatever it is called here. A subject may
            have any number of rows.
        event_time: When a row became true.
        key: Raw column that tells rows apart: of several rows with one key, silver keeps the one
            that was ingested last. Without it each row of the files that the source holds stands.
        features: Called `columns` in the file: columns with a type and a domain, in order.

    Example:
        >>> from goldpath.source_contract import SourceContract
        >>> payments = SourceContract.model_validate({
        ...     "dataset": "payments",
        ...     "source": {"path": "data/raw/payments.csv"},
        ...     "entity": "customer_id",
        ...     "event_time": {"column": "paid_at"},
        ...     "columns": [{"name": "amount", "type": "number", "minimum": 0}],
        ... })
        >>> payments.raw_columns
        ['customer_id', 'amount', 'paid_at']
    """

    model_config = ConfigDict(populate_by_name=True)
    COLUMNS: ClassVar[str] = "columns"

    belongs_to: str = Field(default="", pattern=r"^([a-z][a-z0-9_]{0,62})?$")
    entity: str
    event_time: EventTime
    key: str | None = None
    features: tuple[Feature, ...] = Field(default=(), alias="columns")

    @model_validator(mode="after")
    def check_roles(self) -> Self:
        """Entity, event time and key are columns of their own, and nothing is computed."""
        if self.entity in self.event_time.columns:
            raise ValueError(f"{self.entity!r} is both the entity and the event_time")
        if self.key is not None:
            others = {"entity": [self.entity], "event_time": self.event_time.columns}
            others |= {self.COLUMNS: self.feature_names}
            for role, names in others.items():
                if self.key in names:
                    raise ValueError(f"the key {self.key!r} is in {role}, too")
            if self.key.startswith("_") or self.key == EVENT_TIME:
                raise ValueError(f"the key {self.key!r} has a name that the lake uses itself")
        if self.entity == EVENT_TIME:
            raise ValueError(f"the entity {self.entity!r} has a name that the lake uses itself")
        if twice := [name for name in self.raw_columns if name in self.ignored]:
            raise ValueError(f"{twice[0]!r} is ignored, and has a role too")
        if computed := [feature.name for feature in self.features if feature.is_computed]:
            raise ValueError(f"a source computes nothing: {computed[0]} is no column of its rows")
        return self

    def suits(self, dataset: str | None) -> bool:
        """Whether the source is used with a main table of this dataset."""
        return not self.belongs_to or not dataset or self.belongs_to == dataset

    @property
    def file(self) -> str:
        """The file that holds it, from the project's root."""
        return f"{FOLDER}/{self.dataset}.yaml"

    @property
    def inferred_by(self) -> str:
        """The command that writes the file from data."""
        return f"make add-source NAME={self.dataset} DATA=… ID=… TIME=…"

    @property
    def identifiers(self) -> list[str]:
        """Entity and key: raw columns that silver keeps as text, and that every row must have."""
        return [self.entity, *self.key_columns]

    @property
    def raw_columns(self) -> list[str]:
        """Every raw column that the contract reads."""
        columns = [*self.identifiers, *self.feature_names, *self.event_time.columns]
        return list(dict.fromkeys(columns))

    @property
    def has_key(self) -> bool:
        """Whether a column tells rows apart; else their file and their number in it do."""
        return self.key is not None

    @property
    def key_columns(self) -> list[str]:
        """The key, if there is one."""
        return [self.key] if self.key else []

    @property
    def rules(self) -> str:
        """What decides how silver reads a row, as text."""
        # Without what no source has, which would be another text for lakes that are there.
        return self.model_dump_json(
            include={"entity", "event_time", "key", "features"},
            exclude={"features": {"__all__": {"window"}}},
        )


def load_sources(root: Path, dataset: str | None = None) -> tuple[SourceContract, ...]:
    """Read `config/sources/*.yaml`, by name; a project without the folder has no further source.

    Args:
        root: The project's folder.
        dataset: The main table's name, which no source may have. Sources of another dataset are
            left out, and `unused_parts` says which; those of all datasets come where it is not
            given.

    Raises:
        ContractError: If a file is wrong; names the file, the key, the value and the fix.
    """
    return tuple(each for each in _every_source(root, dataset) if each.suits(dataset))


def unused_parts(root: Path, dataset: str) -> str:
    """Which definitions and sources are of another dataset, so not used; empty where all are used.

    Args:
        root: The project's folder.
        dataset: The main table's name.

    Raises:
        ContractError: If a file of a source is wrong.
    """
    others = [each for each in _every_source(root, dataset) if not each.suits(dataset)]
    said = [unused_definitions(dataset)]
    if others:
        named = ", ".join(f"{each.file} ({each.belongs_to})" for each in others)
        said.append(f"Sources of other datasets are not read: {named}")
    return ". ".join(filter(None, said))


def _every_source(root: Path, dataset: str | None) -> tuple[SourceContract, ...]:
    """The sources of all datasets."""
    files = [
        file
        for file in sorted((root / FOLDER).glob("*"))
        if file.suffix.lower() in (".yaml", ".yml") and not file.name.startswith(".")
    ]
    counted = Counter(file.stem for file in files)
    for file in files:
        shown = f"{FOLDER}/{file.name}"
        if counted[file.stem] > 1:
            names = ", ".join(each.name for each in files if each.stem == file.stem)
            raise ContractError(
                f"{FOLDER}: two sources are called {file.stem}: {names}",
                "rename one of the files, or delete it",
            )
        if file.suffix != ".yaml":
            raise ContractError(f"{shown} would be passed over", f"rename it: {file.stem}.yaml")
        require_source_name(file.stem, dataset, shown)
    return tuple(
        parse_source(contract_text(file, f"{FOLDER}/{file.name}"), file.stem) for file in files
    )


def require_source_name(name: str, dataset: str | None, shown: str) -> None:
    """Check that a source may be called so.

    Args:
        name: The name.
        dataset: The main table's name, if it is known.
        shown: Where the name comes from, for messages.

    Raises:
        ContractError: If it is not a table's name, or means something else already.
    """
    if re.fullmatch(NAME, name) is None:
        raise ContractError(
            f"{shown}: {name!r} cannot name a source",
            "use lower-case letters, digits and underscores, beginning with a letter: payments",
        )
    if name == dataset:
        raise ContractError(
            f"{shown}: {name} is the main table's name (dataset in config/project.yaml)",
            "give the source another name",
        )
    if name in LAYERS:
        raise ContractError(
            f"{shown}: {name} is reserved: commands read it as a layer of the lake",
            "give the source another name",
        )


def parse_source(text: str, name: str) -> SourceContract:
    """Read a source from YAML text.

    Raises:
        ContractError: If the text is not YAML, or breaks a rule.
    """
    file = f"{FOLDER}/{name}.yaml"
    try:
        return read_contract(
            SourceContract, text, file, {"dataset": name}, called={"dataset": "belongs_to"}
        )
    except ContractError as error:
        raise ContractError(f"{file}: {error.message}", error.fix) from error


def dump_source(contract: SourceContract) -> str:
    """The source as YAML that `parse_source` reads back to an equal contract."""
    given = contract.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    keys = ("source", "entity", "event_time", "key", "columns", "ignored", "personal")
    belongs = {"dataset": contract.belongs_to} if contract.belongs_to else {}
    values = {**belongs, **{key: given[key] for key in keys if key in given}}
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
