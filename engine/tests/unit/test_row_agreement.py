"""The service, batches and the lake compute the same: drawn expressions on drawn rows."""

from collections.abc import Callable, Iterator
from typing import Any

import ibis
import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from goldpath.domain import LARGEST_INTEGER
from goldpath.errors import ProjectError
from goldpath.features.row.cases import case
from goldpath.features.row.document import Definition
from goldpath.features.row.operations import Type
from goldpath.features.row.tracing import Row, RowFeature
from goldpath.features.row.values import Value

from ..counts import examples
from ..figures import FIGURE
from ..row_features import (
    complete,
    emulated_athena,
    from_values,
    in_batch,
    in_the_lake,
    on_athena,
    one_by_one,
    traced,
)

AT_ONCE = 5
"""Features of one example: planning a query costs more than answering it."""
DEPTHS = (1, 2, 2, 3, 4)
"""How deep a feature may be, drawn from these: the time goes into the long SQL of deep ones."""
MANY = 20_000
UNHURRIED: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}

COLUMNS: dict[Type, tuple[str, ...]] = {
    "number": ("x", "y"),
    "integer": ("i", "j"),
    "boolean": ("b",),
    "text": ("s", "t", "plan"),
}
WORDS = ("a", "B", "Éa", "ß", "Zürich-12", " ab ", "%", "_", "a'b", "日本", "🦆", "Basic")
TIMES = (
    "2024-02-29",
    "2023-02-29",
    "1999-12-31T23:59:59Z",
    "2026-11-29 08:30-03:00",
    "1000-01-01 00:00+14:00",
    "2999-12-31 23:59:59-14:59",
    "2026-11-29T24:00",
    "1969-12-31 23:59:59",
)
PATTERNS = (r"(\d+)$", r"^[a-z]+", r"-(\d{1,3})", r"a.b".replace(".", r"\."), r"([^a]+)a?")

numbers = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1000, 1000),
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, 0.49999999999999994, 1e308, 5e-324, 2.0**53]),
)
integers = st.one_of(
    st.integers(-LARGEST_INTEGER, LARGEST_INTEGER),
    st.integers(-20, 20),
    st.sampled_from([LARGEST_INTEGER, -LARGEST_INTEGER]),
)
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.one_of(
    st.sampled_from([*WORDS, *TIMES]), st.text(characters, max_size=8), st.text("aB -1", max_size=6)
)
rows = st.lists(
    st.fixed_dictionaries(
        {
            **dict.fromkeys("xy", st.none() | numbers),
            **dict.fromkeys("ij", st.none() | integers),
            "b": st.none() | st.booleans(),
            **dict.fromkeys("st", st.none() | texts),
            "plan": st.none() | st.sampled_from(["Basic", "Plus"]),
        }
    ),
    min_size=1,
    max_size=8,
)


class Drawing:
    """Draws the expression of one feature."""

    def __init__(self, draw: Any, row: Row) -> None:
        self._draw, self._row = draw, row

    def value(self, kind: Type, depth: int) -> Value:
        """A value of a type: a column, a constant or an operation."""
        if depth == 0 or self._draw(st.integers(0, 5)) == 0:
            return self.leaf(kind)
        shared = self._draw(st.sampled_from(["own", "own", "own", "case", "coalesce"]))
        if shared == "case":
            return case(
                (self.value("boolean", depth - 1), self.value(kind, depth - 1)),
                otherwise=self.value(kind, depth - 1) if self._draw(st.booleans()) else None,
            )
        if shared == "coalesce":
            return self.value(kind, depth - 1).coalesce(self.value(kind, depth - 1))
        made: Value = getattr(self, f"{kind}s")(depth - 1)
        return made

    def leaf(self, kind: Type) -> Value:
        if kind == "time":
            return self.leaf("text").to_time()
        return self._row[self._draw(st.sampled_from(COLUMNS[kind]))]

    def constant_or(self, kind: Type, depth: int) -> Value | float:
        if self._draw(st.booleans()):
            return self.value(kind, depth)
        drawn: float = self._draw(numbers if kind == "number" else integers)
        return drawn

    def numbers(self, depth: int) -> Value:
        one = self.value(self._draw(st.sampled_from(["number", "integer"])), depth)
        match self._draw(st.sampled_from("+-*/%rasn|dm")):
            case "+":
                return one + self.constant_or("number", depth)
            case "-":
                return self.constant_or("number", depth) - one
            case "*":
                return one * self.constant_or("number", depth)
            case "/":
                return one / self.constant_or("number", depth)
            case "%":
                return one % self.constant_or("number", depth)
            case "r":
                return one.round(self._draw(st.integers(1, 4)))
            case "a":
                return abs(one)
            case "s":
                return one.sqrt()
            case "n":
                return -one
            case "|":
                return one.clip(-1.5, self.value("number", depth))
            case "d":
                return self.value("time", depth).days_since(self.value("time", depth))
        return self.value("text", depth).map({"a": 0.1, "B": 2.0}, default=-0.3)

    def integers(self, depth: int) -> Value:
        one = self.value("integer", depth)
        match self._draw(st.sampled_from("+-*/%fcrlpt")):
            case "+":
                return one + self.constant_or("integer", depth)
            case "-":
                return one - self.constant_or("integer", depth)
            case "*":
                return one * self.constant_or("integer", depth)
            case "/":
                return one // self.constant_or("integer", depth)
            case "%":
                divisor: int = self._draw(st.integers(-9, 9))
                return one % divisor
            case "f":
                return self.value("number", depth).floor()
            case "c":
                return self.value("number", depth).ceil()
            case "r":
                return self.value("number", depth).round()
            case "l":
                return self.value("text", depth).length()
            case "p":
                power: int = self._draw(st.integers(2, 4))
                return one**power
        part = self._draw(st.sampled_from(["year", "month", "day", "weekday", "hour", "minute"]))
        found: Value = getattr(self.value("time", depth), part)()
        return found

    def booleans(self, depth: int) -> Value:
        kind: Type = self._draw(st.sampled_from(["number", "integer", "text", "time"]))
        one, other = self.value(kind, depth), self.value(kind, depth)
        match self._draw(st.sampled_from("=!<>LG&|~?iwse")):
            case "=":
                return one == other
            case "!":
                return one != other
            case "<":
                return one < other
            case ">":
                return one > other
            case "L":
                return one <= other
            case "G":
                return one >= other
            case "&":
                return self.value("boolean", depth) & self.value("boolean", depth)
            case "|":
                return self.value("boolean", depth) | self.value("boolean", depth)
            case "~":
                return ~self.value("boolean", depth)
            case "?":
                return one.is_missing()
            case "i":
                return self.value("integer", depth).is_in(0, 1, 7)
            case "w":
                return self.value("text", depth).contains(self._draw(st.sampled_from(WORDS)))
            case "s":
                return self.value("text", depth).starts_with(self._draw(st.sampled_from(WORDS)))
        return self.value("text", depth).ends_with(self._draw(st.sampled_from(WORDS)))

    def texts(self, depth: int) -> Value:
        one = self.value("text", depth)
        match self._draw(st.sampled_from("lsem")):
            case "l":
                return one.lower()
            case "s":
                return one.strip()
            case "e":
                return one.extract(self._draw(st.sampled_from(PATTERNS)))
        return self.value("boolean", depth).map({True: "a", False: "Ö"})

    def times(self, depth: int) -> Value:
        return self.value("text", depth).to_time()


def features(draw: Any, depths: tuple[int, ...] = DEPTHS) -> list[RowFeature]:
    """A few features; some read those before them."""

    def drawn(number: int) -> RowFeature:
        def function(row: Row) -> Value:
            kind: Type = draw(st.sampled_from(["number", "integer", "boolean", "text"]))
            made = Drawing(draw, row).value(kind, draw(st.sampled_from(depths)))
            if number and draw(st.booleans()):
                before = row[f"feature_{draw(st.integers(0, number - 1))}"]
                return case((before.is_missing(), made), otherwise=made)
            assert isinstance(made, Value)
            return made

        return RowFeature(f"feature_{number}", function)

    return [drawn(number) for number in range(AT_ONCE)]


def definitions_by(draw: Any, depths: tuple[int, ...] = DEPTHS) -> tuple[Definition, ...]:
    """The features traced; none where an expression would be larger than one may be."""
    try:
        return traced(*features(draw, depths))
    except ProjectError as error:
        assert "allowed" in error.message or "reads no column" in error.message  # noqa: PT017
        return ()


@pytest.fixture(scope="module")
def duckdb() -> Iterator["ibis.backends.duckdb.Backend"]:
    connection = ibis.duckdb.connect(threads=1)
    yield connection
    connection.disconnect()


@pytest.mark.soak
def test_service_batch_and_lake_compute_the_same(
    duckdb: "ibis.backends.duckdb.Backend", record_property: Callable[[str, object], None]
) -> None:
    compared = 0

    @given(data=st.data(), given_rows=rows)
    @settings(max_examples=examples(210, 2_100), **UNHURRIED)
    def compare(data: st.DataObject, given_rows: list[dict[str, Any]]) -> None:
        nonlocal compared
        definitions = definitions_by(data.draw)
        if not definitions:
            return
        each_row = complete(given_rows)

        one, lane = one_by_one(definitions, each_row), from_values(definitions, each_row)
        batch, lake = in_batch(definitions, each_row), in_the_lake(definitions, each_row, duckdb)

        for each in definitions:
            note(f"{each.name} = {each.expression.dump()}")
            assert one[each.name] == lane[each.name], each.name
            assert one[each.name] == batch[each.name], each.name
            assert one[each.name] == lake[each.name], each.name
        compared += len(definitions)

    compare()

    record_property(FIGURE, f"{compared:,} expressions: service, lane, batch and DuckDB agree")
    assert compared >= examples(1_000, 10_000)


@pytest.mark.soak
def test_service_and_athena_compute_the_same(
    record_property: Callable[[str, object], None],
) -> None:
    """Fewer, and none that is deep: an example takes a second in the emulator."""
    compared, athena = 0, emulated_athena()

    @given(data=st.data(), given_rows=rows)
    @settings(max_examples=examples(10, 1_000), **UNHURRIED)
    def compare(data: st.DataObject, given_rows: list[dict[str, Any]]) -> None:
        nonlocal compared
        definitions = definitions_by(data.draw, (1, 2))
        if not definitions:
            return
        each_row = complete(given_rows)

        one, found = one_by_one(definitions, each_row), on_athena(definitions, each_row, athena)

        for each in definitions:
            note(f"{each.name} = {each.expression.dump()}")
            assert one[each.name] == found[each.name], each.name
        compared += len(definitions)

    compare()

    record_property(FIGURE, f"{compared:,} expressions: service and Athena, emulated, agree")


def _logarithms() -> tuple[Definition, ...]:
    def logarithm(row: Row) -> Value:
        return row.x.log()

    def power(row: Row) -> Value:
        return row.x.exp()

    return traced(logarithm, power)


@given(values=st.lists(numbers, min_size=1, max_size=300))
def test_logarithms_and_powers_differ_in_the_last_bit_at_most(
    values: list[float], duckdb: "ibis.backends.duckdb.Backend"
) -> None:
    definitions = _logarithms()
    each_row = complete([{"x": value} for value in values])

    one, batch = one_by_one(definitions, each_row), in_batch(definitions, each_row)
    lake = in_the_lake(definitions, each_row, duckdb)

    assert one == batch
    for name in ("logarithm", "power"):
        different = [pair for pair in zip(one[name], lake[name], strict=True) if pair[0] != pair[1]]
        note(f"{name}: {len(different)} of {len(values)} rows differ")
        for ours, theirs in different:
            assert ours == pytest.approx(theirs, rel=5e-16)


def test_few_logarithms_and_powers_differ_at_all(
    duckdb: "ibis.backends.duckdb.Backend", record_property: Callable[[str, object], None]
) -> None:
    definitions = _logarithms()
    generator = np.random.default_rng(13)
    values = generator.normal(size=MANY) * 10 ** generator.uniform(-3, 3, MANY)
    each_row = complete([{"x": value} for value in values.tolist()])

    one, lake = one_by_one(definitions, each_row), in_the_lake(definitions, each_row, duckdb)

    assert one == in_batch(definitions, each_row)
    for name in ("logarithm", "power"):
        differ = sum(ours != theirs for ours, theirs in zip(one[name], lake[name], strict=True))
        record_property(FIGURE, f"{name}: {differ:,} of {MANY:,} rows differ from DuckDB's")
        assert differ <= MANY / 1000
