"""Tiles in SQL: one row for each entity and tile, from the rows of a source.

What the windows of a question are merged from (`sql.py`), and what `materialize` stores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from goldpath.features.row.document import Definition, Expression
from goldpath.features.row.sql import with_sql_features
from goldpath.features.window.definition import EVERYBODY, State, WindowDefinition
from goldpath.features.window.exact import shifts
from goldpath.features.window.geometry import MICROSECONDS, Geometry
from goldpath.features.window.sql_exact import constant, limbs

if TYPE_CHECKING:
    import ibis

Column: TypeAlias = Any
"""A column of Ibis."""

# Columns that no table of the lake has.
ENTITY, TILE, AT, VALUE = (f"win_{name}__" for name in ("entity", "tile", "at", "value"))


def microseconds(time: Column) -> Column:
    """A time as microseconds since 1970; float64 seconds are exact to a tenth of one."""
    seconds = time.cast("timestamp").epoch_seconds().cast("float64")
    return (seconds * constant(MICROSECONDS) + constant(0.5)).floor().cast("int64")


def tile_of(geometry: Geometry, row: Column) -> Column:
    """`Geometry.tile_of` in SQL."""
    moved = row - 1 if geometry.including else row
    return (moved // geometry.width).cast("int64")


def end_of(geometry: Geometry, time: Column) -> Column:
    """`Geometry.end` in SQL."""
    return ((time - geometry.lag * MICROSECONDS) // geometry.width).cast("int64")


@dataclass(frozen=True)
class Part:
    """A column of the tiles that is a part of a state.

    Attributes:
        name: The column's name.
        merge: How two of them become one: `sum`, `min`, `max`, or `argmin` or `argmax` by another.
        by: The column that says which value is the first or the last.
    """

    name: str
    merge: str
    by: str = ""

    def merged(self, tiles: "ibis.Table", where: Column = None) -> Column:
        """The part of several tiles together."""
        if self.by:
            return getattr(tiles[self.name], self.merge)(tiles[self.by], where=where)
        return getattr(tiles[self.name], self.merge)(where=where)


def parts_of(number: int, state: State) -> list[Part]:
    """The columns that a state has in a tile.

    Args:
        number: Tells the states of a query apart.
        state: Any but `distinct`, which is counted apart.
    """
    name = f"win_{number}"
    match state.kind:
        case "rows" | "known":
            return [Part(name, "sum")]
        case "total" | "squares":
            count = len(shifts(state.kind, whole=state.is_whole))
            return [Part(f"{name}_{place}", "sum") for place in range(count)]
        case "first":
            at, place = f"{name}_at", f"{name}_place"
            return [Part(name, "argmin", place), Part(at, "min"), Part(place, "min")]
        case "last":
            at, place = f"{name}_at", f"{name}_place"
            return [Part(name, "argmax", place), Part(at, "max"), Part(place, "max")]
        case "lowest":
            return [Part(name, "min")]
    return [Part(name, "max")]


@dataclass(frozen=True)
class SourceRows:
    """The rows of a source, with what the features compute of each.

    Attributes:
        table: With `ENTITY`, `TILE`, `AT`, and a column for each expression.
        columns: The names of these columns, by the expressions' digests.
    """

    table: "ibis.Table"
    columns: Mapping[str, str]

    def of(self, expression: Expression | None) -> Column:
        """What an expression is in each row; None where there is none."""
        return None if expression is None else self.table[self.columns[expression.digest]]

    def condition(self, state: State) -> Column:
        """Which rows count for a state; None: all."""
        condition = self.of(state.condition)
        if state.kind == "rows" and state.value is not None:
            also = self.of(state.value)
            return also if condition is None else condition & also
        return condition

    def value(self, state: State) -> Column:
        """The values that count for a state; missing where they do not."""
        import ibis

        value, condition = self.of(state.value), self.condition(state)
        if state.value is not None and state.value.type == "number":
            # NaN is above all numbers, or compares with none. A sum with zero has no negative zero.
            largest = constant(1.7976931348623157e308)
            value = ibis.cases((value.abs() <= largest, value + constant(0)), else_=None)
        return value if condition is None else ibis.cases((condition, value), else_=None)


def source_rows(
    definitions: Sequence[WindowDefinition], rows: "ibis.Table", time: str
) -> SourceRows:
    """The rows that belong to somebody at some time, with what the features compute of them.

    Args:
        definitions: Of one source, entity and geometry.
        rows: The source's.
        time: The column that holds their time.
    """
    import ibis

    first = definitions[0]
    held = rows.filter(rows[time].notnull())
    if first.entity:
        held = held.filter(held[first.entity].notnull())
    at = microseconds(held[time])
    expressions = {
        each.digest: each
        for definition in definitions
        for state in definition.states.values()
        for each in (state.value, state.condition)
        if each is not None
    }
    columns = {digest: f"win_expression_{place}__" for place, digest in enumerate(expressions)}
    read = {name for definition in definitions for name in definition.read}
    table = held.select(
        **{ENTITY: held[first.entity] if first.entity else ibis.literal(EVERYBODY), AT: at},
        **{name: held[name] for name in read},
    )
    made = [Definition(columns[digest], each) for digest, each in expressions.items()]
    if made:
        table = with_sql_features(made, table)
    table = table.select(
        ENTITY, AT, *columns.values(), **{TILE: tile_of(first.geometry, table[AT])}
    )
    return SourceRows(table, columns)


def tiles_in_sql(states: Sequence[State], rows: SourceRows) -> "ibis.Table":
    """One row for each entity and tile, with the parts of the states.

    Args:
        states: None of `distinct` values; their places tell the columns' names.
        rows: The source's.
    """
    table = rows.table
    inputs: dict[str, Column] = {}
    for number, state in enumerate(states):
        inputs.update(_inputs(number, state, rows))
    wide = table.select(ENTITY, TILE, **inputs)
    parts = [part for number, state in enumerate(states) for part in parts_of(number, state)]
    merged = {part.name: part.merged(wide) for part in parts}
    if not merged:
        return wide.distinct()
    return wide.group_by(ENTITY, TILE).aggregate(**merged)


def _inputs(number: int, state: State, rows: SourceRows) -> dict[str, Column]:
    """The parts of a state for a tile that holds one row."""
    import ibis

    names = [part.name for part in parts_of(number, state)]
    table, value = rows.table, rows.value(state)
    match state.kind:
        case "rows":
            condition = rows.condition(state)
            counts = ibis.literal(1) if condition is None else ibis.cases((condition, 1), else_=0)
            return {names[0]: counts}
        case "known":
            return {names[0]: ibis.cases((value.notnull(), 1), else_=0)}
        case "total" | "squares":
            cut = limbs(value, state.kind, whole=state.is_whole)
            return dict(zip(names, cut, strict=True))
        case "lowest" | "highest":
            return {names[0]: value}
        case "first" | "last":
            known = value.notnull()
            # Of several values at one time the smallest is the first one.
            order = ibis.row_number().over(group_by=table[ENTITY], order_by=[table[AT], value])
            at = ibis.cases((known, table[AT]), else_=None)
            place = ibis.cases((known, order), else_=None)
            return dict(zip(names, (value, at, place), strict=True))
    condition = rows.condition(state)
    at = table[AT]
    return {names[0]: at if condition is None else ibis.cases((condition, at), else_=None)}


def distinct_values(state: State, rows: SourceRows) -> "ibis.Table":
    """One row for each entity, tile and value that counts, in `VALUE`."""
    table = rows.table.select(ENTITY, TILE, **{VALUE: rows.value(state)})
    return table.filter(table[VALUE].notnull()).distinct()
