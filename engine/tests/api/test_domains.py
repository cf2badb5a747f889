"""What a feature allows is the same for every reader: text, Parquet, requests, fast lane and C."""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from goldpath.compiled.native import find_compiler
from goldpath.contract import Feature
from goldpath.domain import NULL_WORDS, PADDING, TEXT_KINDS, Refusal, Value
from goldpath.serving.http.json_bodies import parse_json

from .domain_readers import LEFT, NAME, WHOLE, Readers, same
from .domain_table import KINDS, MISSES, TABLE, Left, Row, Verdict

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")

Found = Value | Refusal
Comparison = tuple[str, Found, Found]
"""Who reads, what it finds, and what is expected."""

TEXTS = [row.text for row in TABLE.values() if isinstance(row.text, str)]
TEXT_TYPES = (pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()))


@pytest.mark.parametrize("nullable", [False, True], ids=["required", "nullable"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_reader_makes_of_a_value_what_the_table_says(kind: str, nullable: bool) -> None:
    readers = Readers(Feature(name=NAME, nullable=nullable, **KINDS[kind]), seen=TEXTS)
    wrong = [
        f"{name}: {reader} finds {found!r}, expected {expected!r}"
        for name, row in TABLE.items()
        for reader, found, expected in _comparisons(readers, kind, row)
        if not same(found, expected)
    ]
    raw = {n: row for n, row in TABLE.items() if isinstance(row.text, str) or row.text is None}
    answers = readers.texts([_raw(row) for row in raw.values()])
    for (name, row), found in zip(raw.items(), answers, strict=True):
        expected = _allowed(readers, row.verdict(kind))
        reference = readers.domain.accept_text(_raw(row))
        wrong += [
            f"{name}: {reader} of text finds {answer!r}, expected {expected!r}"
            for reader, answer in (("the check", found), ("the reference", reference))
            if not same(answer, expected)
        ]
    assert not wrong, "\n".join(["", *wrong])


def _comparisons(readers: Readers, kind: str, row: Row) -> Iterator[Comparison]:
    is_text = KINDS[kind]["type"] in TEXT_KINDS
    if isinstance(row.json, str):
        is_read = not is_text or row.json == "null"
        yield from _of_json(readers, row.json, row.verdict(kind, typed=True) if is_read else WHOLE)
    string = row.string or (json.dumps(row.text) if isinstance(row.text, str) else None)
    if string:
        yield from _of_json(readers, string, row.verdict(kind) if is_text else WHOLE)
    if isinstance(row.text, str):
        expected = _allowed(readers, row.verdict(kind)) if is_text else WHOLE
        for type_ in TEXT_TYPES:
            yield f"a column of {type_}", readers.column([row.text], type_)[0], expected
    if isinstance(row.column, pa.DataType):
        is_read = pa.types.is_null(row.column) or is_text == pa.types.is_string(row.column)
        is_read &= not pa.types.is_boolean(row.column) or kind == "boolean"
        expected = _allowed(readers, row.verdict(kind, typed=True)) if is_read else WHOLE
        yield f"a column of {row.column}", readers.column([_cell(row)], row.column)[0], expected


def _of_json(readers: Readers, text: str, verdict: Verdict) -> Iterator[Comparison]:
    """A value as JSON; `WHOLE` where the kind reads no such JSON."""
    expected = _allowed(readers, verdict)
    is_refused = isinstance(expected, Refusal)
    reference = readers.domain.accept(parse_json(text.encode()))
    other_type = Refusal(readers.domain.unreadable)
    yield f"the reference of {text}", reference, other_type if expected is WHOLE else expected
    yield f"the schema of {text}", readers.schema(text), WHOLE if is_refused else expected
    for name, found in (
        ("structs", readers.structs(text)),
        ("compiled", readers.compiled(text)),
    ):
        is_left = is_refused or (isinstance(verdict, Left) and name in verdict.by)
        is_left |= name == "compiled" and readers.domain.kind == "text"
        yield f"{name} of {text}", found, LEFT if is_left else expected


def _allowed(readers: Readers, verdict: Verdict) -> Found:
    value = verdict.value if isinstance(verdict, Left) else verdict
    return None if value is MISSES and readers.domain.nullable else value


def _raw(row: Row) -> str | None:
    return row.text if isinstance(row.text, str) else None


def _cell(row: Row) -> Any:
    """What a column of the row's type holds."""
    if not isinstance(row.json, str):
        return float(_raw(row) or "")
    if isinstance(row.column, pa.Decimal128Type):
        return Decimal(row.json)
    return json.loads(row.json)


def test_a_feature_that_is_left_out_is_missing() -> None:
    for kind, facts in KINDS.items():
        for nullable in (False, True):
            readers = Readers(Feature(name=NAME, nullable=nullable, **facts))
            # Rows without any feature are no common ones, so the reader in C leaves them.
            expected = (None, None, LEFT) if nullable else (WHOLE, LEFT, LEFT)
            assert readers.left_out() == expected, kind


# ---- drawn features and values

WORDS = [*NULL_WORDS, "TRUE", "no", "y", "0.0", "1", "+-1", "1_0", "\u0661", "\u00a0", "\x1f"]
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
bounds = st.one_of(
    st.none(),
    st.integers(-3, 3).map(float),
    st.floats(0, 1),
    st.floats(allow_nan=False, allow_infinity=False),
)


@st.composite
def features(draw: st.DrawFn) -> Feature:
    facts: dict[str, Any] = {
        "type": draw(st.sampled_from(["number", "integer", "boolean", "category", "text"])),
        "nullable": draw(st.booleans()),
    }
    if facts["type"] in ("number", "integer"):
        facts |= {"minimum": draw(bounds), "maximum": draw(bounds)}
    if facts["type"] == "text":
        facts["maximum_length"] = draw(st.integers(1, 8))
    if facts["type"] == "category" and draw(st.booleans()):
        words = st.one_of(texts, st.sampled_from(WORDS)).map(lambda text: text.strip(PADDING))
        facts["categories"] = draw(st.lists(words, min_size=1, max_size=15, unique=True))
    try:
        return Feature(name=NAME, **facts)
    except ValidationError:
        assume(False)
        raise


def values_near(feature: Feature) -> st.SearchStrategy[Any]:
    """Values that are likely to be on either side of what is allowed."""
    ends = [bound for bound in (feature.minimum, feature.maximum) if bound is not None]
    chosen = st.sampled_from([*ends, *(feature.categories or ()), *WORDS, 0, 1, -0.0, 2**53])
    spoilt = st.tuples(st.sampled_from(["", " ", "\t", "\u00a0"]), chosen.map(str), st.just(" "))
    return st.one_of(
        chosen,
        spoilt.map("".join),
        texts,
        st.none(),
        st.booleans(),
        st.integers(-5, 5),
        st.integers(-(2**64), 2**64),
        st.integers(-5, 5).map(float),
        st.floats(allow_nan=False, allow_infinity=False),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_readers_agree_on_drawn_features_and_values(data: st.DataObject) -> None:
    feature = data.draw(features())
    values = data.draw(st.lists(values_near(feature), min_size=1, max_size=30))
    readers = Readers(feature, seen=[value for value in values if isinstance(value, str)])
    domain = readers.domain

    raw = [None if value is None else str(value) for value in values]
    for text, found in zip(raw, readers.texts(raw), strict=True):
        assert same(found, domain.accept_text(text)), (feature, text, found)
    for value in values:
        expected = domain.accept(value)
        is_refused = isinstance(expected, Refusal)
        written = json.dumps(value)
        assert same(readers.schema(written), WHOLE if is_refused else expected), (feature, value)
        for read in (readers.structs, readers.compiled):
            found = read(written)
            assert found is LEFT or same(found, expected), (feature, value, read)
    for type_, is_held in HELD.items():
        column = [value for value in values if value is None or is_held(value)]
        for value, found in zip(column, readers.column(column, type_), strict=True):
            if found is not WHOLE:
                assert same(found, domain.accept(value)), (feature, value, type_)


HELD: dict[pa.DataType, Callable[[Any], bool]] = {
    pa.float64(): lambda value: isinstance(value, float),
    pa.int64(): lambda value: type(value) is int and abs(value) < 2**63,
    pa.bool_(): lambda value: isinstance(value, bool),
    pa.string(): lambda value: isinstance(value, str),
}
