"""A window feature as a document: frozen, written as JSON, known by a digest.

A version of a model stores it, signs it and is served with it, whatever the project's code says by
then. Reading one checks all of it, so that an evaluator may trust what it is given.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from goldpath.features.row.document import DocumentError, Expression, parse_expression
from goldpath.features.row.operations import OperationError, Type
from goldpath.features.window.aggregates import STATES, Aggregation, StateKind, result_type
from goldpath.features.window.geometry import Geometry, WindowError, check_geometry, seconds_in

EVERYBODY = "*"
"""Whom the rows of a source without an entity belong to."""


@dataclass(frozen=True)
class Output:
    """One aggregate of a feature, over each of its windows.

    Attributes:
        name: Its part of the columns' names; empty where the feature has no other.
        aggregation: What is computed.
        value: From what; None: the rows themselves.
        condition: Which rows count; None: all.

    Raises:
        OperationError: If the aggregate does not suit the value.
    """

    name: str
    aggregation: Aggregation
    value: Expression | None = None
    condition: Expression | None = None

    def __post_init__(self) -> None:
        result_type(self.aggregation, self.value.type if self.value else None)
        if self.condition is not None and self.condition.type != "boolean":
            raise OperationError(f"has a condition that is a {self.condition.type}")

    @cached_property
    def type(self) -> Type:
        """The type of the result."""
        return result_type(self.aggregation, self.value.type if self.value else None)

    def states(self) -> "dict[StateKind | str, State]":
        """What tiles must hold for it, by the part that each has in it."""
        if self.aggregation == "count" and self.value is not None:
            return {"rows": State("known", self.value, self.condition)}
        if self.aggregation == "share":
            return {
                "holding": State("rows", self.value, self.condition),
                "rows": State("rows", None, self.condition),
            }
        kinds = STATES[self.aggregation]
        return {kind: State(kind, self.value, self.condition) for kind in kinds}


@dataclass(frozen=True)
class State:
    """A part of aggregates that can be merged: what a tile holds one value of.

    Attributes:
        kind: What is held.
        value: Of what; of `rows`, a further condition; None: of the rows.
        condition: Which rows count; None: all.
    """

    kind: StateKind
    value: Expression | None
    condition: Expression | None

    @cached_property
    def digest(self) -> str:
        """What tells it apart from every other state."""
        parts = [self.value, self.condition]
        return f"{self.kind} {[each.digest if each else '' for each in parts]}"

    @property
    def is_whole(self) -> bool:
        """Whether it is of whole numbers."""
        return self.value is not None and self.value.type == "integer"


@dataclass(frozen=True)
class WindowDefinition:
    """A window feature as a version of a model keeps it.

    Attributes:
        name: The first part of its columns' names.
        source: The source whose rows it aggregates.
        entity: The source's column that says whom a row belongs to; empty: all are one series.
        over: The windows, as they were written: `30d`.
        geometry: The tiles and the lag.
        outputs: The aggregates.
        description: For people.
        column: The one column's name; empty: names are made of the feature's, the aggregate's and
            the window's.

    Raises:
        WindowError: If a window is not made of whole tiles, or two columns have one name.
    """

    name: str
    source: str
    entity: str
    over: tuple[str, ...]
    geometry: Geometry
    outputs: tuple[Output, ...]
    description: str = ""
    column: str = ""

    def __post_init__(self) -> None:
        check_geometry(self.geometry, self.windows)
        if self.column and len(self.outputs) * len(self.over) > 1:
            raise WindowError(
                f"{self.name} has several columns, and one name for them: {self.column}",
                "leave the column's name out",
            )
        if len(self.columns) < len(self.outputs) * len(self.over):
            raise WindowError(
                f"two columns of {self.name} have one name: {', '.join(self.columns)}",
                "give the aggregates other names",
            )

    @cached_property
    def windows(self) -> tuple[int, ...]:
        """The windows in seconds."""
        return tuple(map(seconds_in, self.over))

    @cached_property
    def columns(self) -> "dict[str, tuple[Output, int]]":
        """Its columns by their names: which aggregate, over how many tiles."""
        return {
            self.column or "_".join(part for part in (self.name, output.name, text) if part): (
                output,
                seconds // self.geometry.tile,
            )
            for output in self.outputs
            for text, seconds in zip(self.over, self.windows, strict=True)
        }

    @cached_property
    def plan(self) -> "tuple[tuple[str, Output, int, dict[str, int]], ...]":
        """Its columns: name, aggregate, how many tiles, and the places of its parts in a tile."""
        places = {digest: place for place, digest in enumerate(self.states)}
        return tuple(
            (
                name,
                output,
                length,
                {part: places[state.digest] for part, state in output.states().items()},
            )
            for name, (output, length) in self.columns.items()
        )

    @cached_property
    def holds_lists(self) -> bool:
        """Whether JSON writes some of a tile's states as lists: pairs and sets."""
        return any(each.kind in ("first", "last", "distinct") for each in self.states.values())

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """How many tiles its windows are made of, the shortest first."""
        return tuple(sorted({length for _, length in self.columns.values()}))

    @property
    def types(self) -> dict[str, Type]:
        """The types of its columns."""
        return {name: output.type for name, (output, _) in self.columns.items()}

    @property
    def read(self) -> dict[str, Type]:
        """The columns of the source that it reads, with their types."""
        found: dict[str, Type] = {}
        for output in self.outputs:
            for expression in (output.value, output.condition):
                found.update(expression.columns if expression else {})
        return found

    @cached_property
    def states(self) -> "dict[str, State]":
        """What tiles must hold, by digest; what aggregates have in common stands there once."""
        found = (state for output in self.outputs for state in output.states().values())
        return {state.digest: state for state in found}

    @cached_property
    def digest(self) -> str:
        """What tells its meaning apart from that of every other feature."""
        meaning = {**self.dump(), "description": ""}
        text = json.dumps(meaning, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        named = {"column": self.column} if self.column else {}
        return {
            "name": self.name,
            **named,
            "description": self.description,
            "source": self.source,
            "entity": self.entity,
            "over": list(self.over),
            "tile": self.geometry.tile,
            "lag": self.geometry.lag,
            "including": self.geometry.including,
            "outputs": [
                {
                    "name": each.name,
                    "aggregation": each.aggregation,
                    "value": each.value.dump() if each.value else None,
                    "condition": each.condition.dump() if each.condition else None,
                }
                for each in self.outputs
            ],
        }


def parse_window(document: Mapping[str, Any]) -> WindowDefinition:
    """Read what `WindowDefinition.dump` has written.

    Raises:
        DocumentError: If it is not one that this version knows; says why.
    """
    match document:
        case {
            "name": str() as name,
            "description": str() as description,
            "source": str() as source,
            "entity": str() as entity,
            "over": [str(), *_] as over,
            "tile": int() as tile,
            "lag": int() as lag,
            "including": bool() as including,
            "outputs": [_, *_] as outputs,
            **more,
        } if not {*more} - {"column"} and tile > 0 and lag >= 0:
            try:
                return WindowDefinition(
                    name,
                    source,
                    entity,
                    tuple(over),
                    Geometry(tile, lag, including),
                    tuple(map(_parse_output, outputs)),
                    description,
                    str(more.get("column", "")),
                )
            except (OperationError, WindowError) as error:
                raise _unreadable(str(error).partition("\n")[0]) from error
    raise _unreadable(f"it says {str(document)[:80]!r}")


def _parse_output(document: object) -> Output:
    match document:
        case {
            "name": str() as name,
            "aggregation": str() as aggregation,
            "value": list() | None as value,
            "condition": list() | None as condition,
            **more,
        } if not more:
            return Output(
                name,
                cast("Aggregation", aggregation),
                None if value is None else parse_expression(value),
                None if condition is None else parse_expression(condition),
            )
    raise _unreadable(f"an aggregate says {str(document)[:80]!r}")


def _unreadable(problem: str) -> DocumentError:
    return DocumentError(
        f"the document of a window feature cannot be read: {problem}",
        "restore the file that holds it, or use the version of goldpath that wrote it",
    )
