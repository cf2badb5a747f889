"""What the fast lane takes of a body, and what it leaves to the app: key by key."""

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import UNSET

from goldpath.contract import Contract, parse_contract
from goldpath.serving.lane import batch_marks, request_structs
from goldpath.serving.lane.batch_marks import BatchMarks
from goldpath.serving.lane.request_structs import RequestDecoder
from goldpath.serving.lane.row_arrays import RowArrays

HEAD = """dataset: small
source:
  path: rows.csv
problem: regression
target: {column: target}
features:
"""
FEATURES = """
  - {name: amount, type: number, minimum: 0, maximum: 10}
  - {name: count, type: integer, nullable: true}
  - {name: flag, type: boolean}
  - {name: kind, type: category, categories: [x, y]}
  - {name: open, type: category, nullable: true}
"""
ORDER = ["open", "amount", "count", "flag", "kind"]
ROW = {"amount": 2.5, "count": 3, "flag": True, "kind": "x", "open": "word"}
VALUES = ("word", 2.5, 3, True, "x")


def contract(features: str = FEATURES) -> Contract:
    return parse_contract(HEAD + features)


@pytest.fixture
def decoder() -> RequestDecoder:
    return RequestDecoder(contract(), ORDER, 3)


def single(row: dict[str, Any] | str, **beside: Any) -> bytes:
    text = row if isinstance(row, str) else json.dumps(row)
    keys = "".join(f', "{name}": {json.dumps(value)}' for name, value in beside.items())
    return f'{{"features": {text}{keys}}}'.encode()


def batch(*rows: dict[str, Any] | str) -> bytes:
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return f'{{"instances": [{", ".join(texts)}]}}'.encode()


def changed(**values: Any) -> dict[str, Any]:
    return {**ROW, **values}


def without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in ROW.items() if name not in names}


def values_of(decoder: RequestDecoder, body: bytes) -> tuple[Any, ...] | None:
    found = decoder.single(body)
    return None if found is None else found.values


def columns_of(decoder: RequestDecoder, body: bytes) -> list[tuple[Any, ...]] | None:
    found = decoder.batch(body)
    return None if found is None else found.columns


def test_a_row_is_its_values_in_the_order_that_is_asked_for(decoder: RequestDecoder) -> None:
    found = decoder.single(single(ROW))
    assert found is not None
    assert (found.values, found.entity) == (VALUES, None)
    assert json.loads(msgspec.json.encode(found.struct)) == ROW
    many = decoder.batch(batch(ROW, changed(count=None, amount=0)))
    assert many is not None
    assert many.columns == [("word",) * 2, (2.5, 0), (3, None), (True,) * 2, ("x",) * 2]
    assert [json.loads(msgspec.json.encode(each))["count"] for each in many.structs] == [3, None]


@pytest.mark.parametrize(
    "row",
    [
        changed(amount=-0.1),
        changed(amount=10.1),
        changed(amount="1"),
        changed(amount=None),
        changed(count=1.5),
        changed(count=2**53),
        changed(count=-(2**53)),
        changed(flag=None),
        changed(flag=1),
        changed(kind="z"),
        changed(kind=None),
        changed(open=""),
        changed(open=" padded"),
        changed(open="padded "),
        changed(open="n/a"),
        changed(open="w" * 201),
        changed(open=7),
        changed(more=1),
        without("amount"),
        without("kind"),
    ],
    ids=str,
)
def test_what_is_not_allowed_for_certain_is_the_apps(
    decoder: RequestDecoder, row: dict[str, Any]
) -> None:
    assert decoder.single(single(row)) is None
    assert decoder.batch(batch(ROW, row)) is None
    assert decoder.batch(batch(row)) is None


@pytest.mark.parametrize(
    "row",
    [
        changed(amount=0),
        changed(amount=10),
        changed(count=2**53 - 1),
        changed(count=-(2**53) + 1),
        changed(open="w" * 200),
        changed(open="a b"),
        changed(open=None, count=None),
    ],
    ids=str,
)
def test_what_is_just_allowed_is_the_lanes(decoder: RequestDecoder, row: dict[str, Any]) -> None:
    expected = tuple(row[name] for name in ORDER)
    assert values_of(decoder, single(row)) == expected
    assert columns_of(decoder, batch(row)) == [(value,) for value in expected]


@pytest.mark.parametrize("names", [("count",), ("open",), ("count", "open")])
def test_what_may_be_missing_may_be_left_out(
    decoder: RequestDecoder, names: tuple[str, ...]
) -> None:
    row = without(*names)
    expected = tuple(row.get(name) for name in ORDER)
    found = decoder.single(single(row))
    assert found is not None
    assert found.values == expected
    assert json.loads(msgspec.json.encode(found.struct)) == {**ROW, **dict.fromkeys(names)}
    many = decoder.batch(batch(ROW, row))
    assert many is not None
    assert many.columns == [*zip(VALUES, expected, strict=True)]
    assert json.loads(msgspec.json.encode(many.structs[1])) == {**ROW, **dict.fromkeys(names)}


@pytest.mark.parametrize("name", ROW)
@pytest.mark.parametrize("missing", [(), ("count",), ("open",), ("count", "open")])
def test_a_key_that_appears_twice_is_the_apps_whatever_is_missing(
    decoder: RequestDecoder, name: str, missing: tuple[str, ...]
) -> None:
    row = {key: value for key, value in ROW.items() if key not in missing or key == name}
    twice = f'{json.dumps(row)[:-1]}, "{name}": {json.dumps(ROW[name])}}}'
    assert decoder.single(single(twice)) is None
    assert decoder.batch(batch(without("open"), twice)) is None
    for rows in ((twice,), (ROW, twice), (without("count"), twice)):
        found = columns_of(decoder, batch(*rows))
        # A number that is missing where another key stands twice: no array takes it.
        assert found is None or UNSET in found[ORDER.index("count")]
        assert found is None or not {*found[ORDER.index("open")]} & {UNSET}


@pytest.mark.parametrize("twice", [0, 1, 2, 3])
def test_a_key_that_appears_twice_in_each_of_some_rows_is_the_apps(twice: int) -> None:
    features = "".join(f"  - {{name: {name}, type: number}}\n" for name in "abc")
    decoder = RequestDecoder(contract(features), ["a", "b", "c"], 3)
    usual, repeated = '{"a": 1, "b": 2, "c": 3}', '{"a": 1, "b": 2, "c": 3, "a": 4}'
    for count in (2, 3):
        rows = [repeated if at < twice else usual for at in range(count)]
        assert (decoder.batch(batch(*rows)) is None) is (twice > 0)


def test_a_body_with_a_part_twice_is_the_apps(decoder: RequestDecoder) -> None:
    row = json.dumps(without("count", "open"))
    assert decoder.single(f'{{"features": {row}, "features": {row}}}'.encode()) is None
    assert decoder.batch(f'{{"instances": [{row}], "instances": [{row}]}}'.encode()) is None
    for body in (b"", b"{", b"[]", b"{}", b"[" * 10_000, b"\xff", single(ROW) + b"x"):
        assert decoder.single(body) is None
        assert decoder.batch(body) is None
    assert decoder.single(single(ROW, more=1)) is None
    assert decoder.single(batch(ROW)) is None
    assert decoder.batch(single(ROW)) is None


def test_an_escaped_key_hides_nothing(decoder: RequestDecoder) -> None:
    escaped = json.dumps(ROW).replace('"open"', '"op\\u0065n"')
    assert values_of(decoder, single(escaped)) == VALUES
    assert columns_of(decoder, batch(escaped)) == [(value,) for value in VALUES]
    twice = json.dumps(without("count"))[:-1] + ', "op\\u0065n": "other"}'
    assert decoder.single(single(twice)) is None
    assert decoder.batch(batch(twice)) is None
    text = json.dumps(changed(open='say "x"'))
    assert values_of(decoder, single(text)) == ('say "x"', *VALUES[1:])


@pytest.mark.parametrize("missing", [(), ("count",)])
def test_colons_in_texts_are_looked_at_and_a_flood_of_them_is_the_apps(
    decoder: RequestDecoder, monkeypatch: pytest.MonkeyPatch, missing: tuple[str, ...]
) -> None:
    monkeypatch.setattr(request_structs, "SOME_MARKS", 3)
    keys = 6 - len(missing)
    for colons, taken in ((1, True), (keys + 3, True), (keys + 4, False)):
        row = changed(open=":" * colons)
        for name in missing:
            del row[name]
        assert (decoder.single(single(row)) is not None) is taken
        assert (decoder.batch(batch(row)) is not None) is taken
    twice = json.dumps(changed(open=":"))[:-1] + ', "count": 3}'
    assert decoder.single(single(twice)) is None
    hidden = json.dumps(without("count") | {"open": ":"})
    assert decoder.single(single(hidden)) is not None


def test_a_name_with_a_colon_hides_no_key() -> None:
    features = """
  - {name: "a:b", type: number, nullable: true}
  - {name: c, type: number, nullable: true}
"""
    decoder = RequestDecoder(contract(features), ["a:b", "c"], 3)
    assert values_of(decoder, single({"a:b": 1, "c": 2})) == (1, 2)
    assert values_of(decoder, single({"c": 2})) == (None, 2)
    assert decoder.single(b'{"features": {"c": 1, "c": 2, "c": 3}}') is None
    assert decoder.single(b'{"features": {"c": 1, "c": 2}}') is None
    found = columns_of(decoder, b'{"instances": [{"c": 1, "c": 2}, {"a:b": 1}]}')
    assert found is None or any(UNSET in column for column in found)


def test_one_feature_is_a_tuple_of_one() -> None:
    decoder = RequestDecoder(contract("  - {name: a, type: number, nullable: true}\n"), ["a"], 3)
    assert values_of(decoder, single({"a": 1.5})) == (1.5,)
    assert values_of(decoder, single({})) == (None,)
    assert columns_of(decoder, batch({"a": 1}, {"a": None}, {})) == [(1, None, None)]
    assert decoder.single(b'{"features": {"a": 1, "a": 2}}') is None


def test_a_batch_holds_one_row_to_as_many_as_allowed(decoder: RequestDecoder) -> None:
    assert decoder.batch(batch()) is None
    for count in (1, 2, 3):
        found = decoder.batch(batch(*[ROW] * count))
        assert found is not None
        assert len(found.structs) == count
    assert decoder.batch(batch(*[ROW] * 4)) is None


def test_a_long_batch_is_looked_at_part_by_part_before_it_is_read(
    decoder: RequestDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = batch(ROW, ROW)
    parts: list[bytes] = []
    allows = [True]

    def counter() -> Any:
        return lambda part: parts.append(part) or allows[0]  # type: ignore[func-returns-value]

    monkeypatch.setattr(decoder, "_marks", SimpleNamespace(counter=counter, colons_a_key=2))
    monkeypatch.setattr(request_structs, "LONG", len(body))
    assert decoder.batch(body) is not None
    assert parts == []
    monkeypatch.setattr(request_structs, "LONG", 50)
    assert decoder.batch(body) is not None
    assert b"".join(parts) == body
    assert {len(part) for part in parts[:-1]} == {50}
    allows[0] = False
    assert decoder.batch(body) is None


@pytest.fixture
def by_key() -> RequestDecoder:
    return RequestDecoder(contract(), ORDER, 3, "customer id")


@pytest.mark.parametrize(
    ("key", "entity"),
    [
        ("a", "a"),
        ("k" * 200, "k" * 200),
        (17, "17"),
        (2**63 - 1, str(2**63 - 1)),
        (-(2**63), str(-(2**63))),
    ],
)
def test_a_request_by_key_says_whom_it_is_about(
    by_key: RequestDecoder, key: object, entity: str
) -> None:
    found = by_key.single(single(ROW, **{"customer id": key}))
    assert found is not None
    assert (found.values, found.entity) == (VALUES, entity)
    turned = f'{{"customer id": {json.dumps(key)}, "features": {json.dumps(ROW)}}}'
    assert by_key.single(turned.encode()) is not None


@pytest.mark.parametrize("key", ["", "k" * 201, 17.0, 1.5, True, None, [1], 2**63, -(2**63) - 1])
def test_a_key_that_could_mean_another_is_the_apps(by_key: RequestDecoder, key: object) -> None:
    assert by_key.single(single(ROW, **{"customer id": key})) is None


def test_a_request_by_key_leaves_nothing_out(by_key: RequestDecoder) -> None:
    assert by_key.single(single(ROW)) is None
    assert by_key.single(single(ROW, entity_key="a")) is None
    assert by_key.single(single(without("count"), **{"customer id": "a"})) is None
    twice = single(ROW, **{"customer id": "a"})[:-1] + b', "customer id": "b"}'
    assert by_key.single(twice) is None
    assert by_key.single(single(changed(open="a:b"), **{"customer id": "a:b"})) is not None
    assert by_key.single(single(changed(open=" a"), **{"customer id": "a"})) is None


MARKS = """
  - {name: a, type: number}
  - {name: "b:c:d", type: number}
  - {name: e, type: number}
"""


@pytest.mark.parametrize(
    ("mark", "most"),
    [(b"{", 7 + 1), (b"[", 4 * 7 + 1000), (b":", 7 * (3 + 1) * (2 + 2) + 1000)],
)
def test_marks_are_counted_over_the_parts_of_a_batch(mark: bytes, most: int) -> None:
    marks = BatchMarks(contract(MARKS), 7)
    assert marks.colons_a_key == 4
    assert BatchMarks(contract(), 7).colons_a_key == 2
    allows = marks.counter()
    assert allows(mark * (most - 1))
    assert allows(b'}]" ,0a\xff')
    assert allows(b"x" + mark + b"x")
    assert not allows(mark)
    assert marks.counter()(mark * most), "each batch is counted anew"
    assert not marks.counter()(mark * (most + 1))
    assert batch_marks.SOME_MARKS == 1000


def test_rows_are_the_numbers_and_codes_that_a_model_takes() -> None:
    form: Any = SimpleNamespace(
        numbers=["n", "m"],
        categories=["k", "j"],
        codes={"k": {"a": 0, "b": 1, None: 2, "?": 3}, "j": {"x": 1, None: 0}},
    )
    arrays = RowArrays(form)
    assert arrays.order == ["n", "m", "k", "j"]
    rows = [
        (1.5, 2, "a", "x"),
        (None, True, "b", None),
        (0, None, None, "never seen"),
        (1, 2, "?", "x"),
    ]
    expected_numbers = np.array([[1.5, 2], [np.nan, 1], [0, np.nan], [1, 2]])
    expected_codes = [[0, 1], [1, 0], [2, 1], [3, 1]]

    for numbers, codes in (arrays.of_rows(rows), arrays.arrays([*zip(*rows, strict=True)])):
        np.testing.assert_array_equal(numbers, expected_numbers)
        assert codes.tolist() == expected_codes
        assert (str(numbers.dtype), str(codes.dtype)) == ("float64", "int32")
    for row, wanted, coded in zip(rows, expected_numbers, expected_codes, strict=True):
        numbers, codes = np.full(2, -1.0), np.full(2, -1, np.int32)
        arrays.fill(row, numbers.data, codes.data)
        np.testing.assert_array_equal(numbers, wanted)
        assert codes.tolist() == coded
    unknown = arrays.of_rows([(1, 2, "never seen", "y")])[1]
    assert unknown.tolist() == [[3, 1]]
