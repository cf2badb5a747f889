"""JSON rows without Python objects: read as Python reads them, or not at all."""

import ctypes
import json
import math
import os
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from goldpath.compiled.form import CompiledFormError
from goldpath.compiled.json_rows import Field, JsonRows, LineParts, RowReader, RowWriter
from goldpath.compiled.native import FLAGS, SOURCES, build_kernel, find_compiler

from ..ready_made import kernels

FIELDS = (
    Field("size", "number", 0, nullable=True),
    Field("plan", "category", 0, codes={"basic": 0, "größer": 1, 'a "b"\\': 2}),
    Field("count", "integer", 1, lowest=-5, highest=2**53 - 1),
    Field("is new", "boolean", 2),
    Field("país", "category", 1, nullable=True, codes={"norte": 3}, missing=5),
)
MOST = 4

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="no C compiler")


@pytest.fixture(scope="session")
def library() -> Path:
    found = build_kernel(kernels())
    assert found is not None
    return found


@pytest.fixture(scope="session")
def reader(library: Path) -> RowReader:
    return RowReader(FIELDS, library, MOST)


@pytest.fixture(scope="session")
def numbers(library: Path) -> RowReader:
    return RowReader([Field("x", "number", 0)], library, 1)


def body_of(*rows: dict[str, Any]) -> bytes:
    return json.dumps({"instances": rows}).encode()


def row_of(**changed: Any) -> dict[str, Any]:
    row = {"size": 1.5, "plan": "basic", "count": 3, "is new": True, "país": "norte"}
    return row | changed


def logged(rows: JsonRows) -> list[bytes]:
    """Each row as it is logged."""
    return [ctypes.string_at(address, length) for address, length in rows.logged.tolist()]


def number(numbers: RowReader, text: str) -> float | None:
    rows = numbers.read(b'{"instances":[{"x":%b}]}' % text.encode())
    return None if rows is None else float(rows.numbers[0, 0])


def test_rows_become_numbers_codes_and_lines(reader: RowReader) -> None:
    second = {"país": None, "is new": False, "count": -5, "plan": 'a "b"\\', "size": None}
    rows = reader.read(body_of(row_of(), second))
    assert rows is not None
    np.testing.assert_array_equal(rows.numbers, [[1.5, 3, 1], [math.nan, -5, 0]])
    assert rows.codes.tolist() == [[0, 3], [2, 5]]
    assert [json.loads(text) for text in logged(rows)] == [row_of(), second]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("is_ascii", [False, True])
def test_any_spelling_is_read_and_logged_in_one_line(
    reader: RowReader, indent: int | None, is_ascii: bool
) -> None:
    row = row_of(plan="größer", size=None)
    text = json.dumps({"instances": [row]}, indent=indent, ensure_ascii=is_ascii)
    rows = reader.read(text.encode())
    assert rows is not None
    assert rows.codes.tolist() == [[1, 3]]
    assert b"\n" not in logged(rows)[0]
    assert json.loads(logged(rows)[0]) == row


def test_what_is_left_out_is_missing_and_logged_as_null(reader: RowReader) -> None:
    row = row_of()
    del row["size"], row["país"]
    rows = reader.read(body_of(row))
    assert rows is not None
    assert math.isnan(rows.numbers[0, 0])
    assert rows.codes[0, 1] == 5
    assert json.loads(logged(rows)[0]) == row | {"size": None, "país": None}


def test_hidden_values_are_scored_and_not_logged(library: Path) -> None:
    fields = [Field("a", "number", 0, hidden=True), Field("b", "number", 1)]
    rows = RowReader(fields, library, MOST).read(body_of({"a": 17, "b": 2}, {"b": 3, "a": 18}))
    assert rows is not None
    assert rows.numbers.tolist() == [[17, 2], [18, 3]]
    assert [json.loads(text) for text in logged(rows)] == [{"b": 2}, {"b": 3}]
    alone = RowReader(fields[:1], library, MOST).read(body_of({"a": 17}))
    assert alone is not None
    assert logged(alone) == [b"{}"]


@pytest.mark.parametrize(
    "body",
    [
        body_of(),
        body_of(*[row_of()] * (MOST + 1)),
        body_of({}),
        body_of(row_of(plan="unknown")),
        body_of(row_of(plan=None)),
        body_of(row_of(plan=1)),
        body_of(row_of(count=-6)),
        body_of(row_of(count=2**53)),
        body_of(row_of(count=1.0)),
        body_of(row_of(count=True)),
        body_of(row_of(size="1")),
        body_of(row_of(size=True)),
        body_of(row_of(size=math.nan)),
        body_of(row_of(size=-0.0)),
        body_of(row_of(size=10**400)),
        body_of(row_of(more=1)),
        body_of(row_of(**{"is new": 1})),
        body_of(row_of()).replace(b'"count": 3', b'"count": 3, "count": 3'),
        body_of(row_of()).replace(b'"count": 3', b'"count": 03'),
        body_of(row_of()).replace(b'"count": 3', b'"count": 3,'),
        body_of(row_of()).replace(b"1.5", b"1."),
        body_of(row_of()).replace(b"1.5", b".5"),
        body_of(row_of()).replace(b"1.5", b"+1.5"),
        body_of(row_of()).replace(b"1.5", b"1.5e"),
        body_of(row_of()).replace(b"1.5", b"1e999"),
        body_of(row_of()).replace(b"basic", b"bas\x00ic"),
        body_of(row_of()).replace(b"basic", b"bas\nic"),
        body_of(row_of()) + b"\x00",
        body_of(row_of()) + b"{}",
        body_of(row_of()).replace(b"instances", b"inputs"),
        b'{"instances": [null]}',
        b"",
        b"{",
        b'{"instances":',
    ],
)
def test_what_is_not_surely_right_is_left_to_others(reader: RowReader, body: bytes) -> None:
    assert reader.read(body) is None


def test_a_body_that_ends_anywhere_is_left_to_others(reader: RowReader) -> None:
    whole = json.dumps({"instances": [row_of(), row_of(size=-1.25e-7)]}, indent=1).encode()
    assert reader.read(whole) is not None
    for length in range(len(whole)):
        assert reader.read(whole[:length]) is None, whole[:length]


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(0.1)
@example(9007199254740993.0)
@example(1e22)
@example(1e23)
@example(1.7976931348623157e308)
@example(5e-324)
def test_every_number_that_python_writes_is_read_to_the_same_bits(
    numbers: RowReader, value: float
) -> None:
    found = number(numbers, repr(value))
    if value == 0 and math.copysign(1, value) < 0:
        assert found is None
    else:
        assert found is not None
        assert struct.pack("d", found) == struct.pack("d", value)


@given(
    st.from_regex(r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?", fullmatch=True)
)
@example("0." + "0" * 30 + "1")
@example("123456789012345678901234567890")
@example("2.2250738585072011e-308")
def test_a_number_is_read_as_python_reads_it_or_not_at_all(numbers: RowReader, text: str) -> None:
    found = number(numbers, text)
    if found is not None:
        assert struct.pack("d", found) == struct.pack("d", float(text))


@given(st.text(alphabet="0123456789.-+eE", max_size=12))
def test_what_is_no_number_of_json_is_none(numbers: RowReader, text: str) -> None:
    try:
        is_json = type(json.loads(text)) in (int, float)
    except ValueError:
        is_json = False
    assert is_json or number(numbers, text) is None


def test_lines_and_items_hold_each_row_s_values(library: Path, reader: RowReader) -> None:
    parts = LineParts(
        line=('{"id":"', ',"is":', ',"score":', "}\n"),
        item=('{"is":', '},"id":"', '"}'),
        outputs=(',"all":{"x":', ',"ü":'),
        labels=('"x"', '"ü"'),
        score=None,
    )
    rows = reader.read(body_of(*[row_of(count=n) for n in range(3)]))
    assert rows is not None
    answers = [[0.25, 0.75], [1.0, 0.0], [5e-324, 0.1234567890123456]]
    floats = "".join(f"{value!r}," for row in answers for value in row).encode()
    first = "0123456-89ab-4def-8123-ffffffffffff"
    lines, items = RowWriter(parts, 2, library).write(
        rows, np.array([1, 0, 1]), floats, f"a{first}", b'","row":'
    )
    ids = ["ffffffffffff", "000000000000", "000000000001"]
    expected = [
        (f"a{first[:-12]}{last}", "xü"[best], answer)
        for last, best, answer in zip(ids, (1, 0, 1), answers, strict=True)
    ]
    assert [json.loads(line) for line in bytes(lines).decode().splitlines()] == [
        {"id": name, "row": row_of(count=n), "is": label, "score": answer["xü".index(label)]}
        for n, (name, label, answer) in enumerate(expected)
    ]
    assert json.loads(b"[%b]" % items) == [
        {"is": label, "all": {"x": answer[0], "ü": answer[1]}, "id": name}
        for name, label, answer in expected
    ]


def test_a_library_without_the_reader_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CompiledFormError, match="cannot be loaded"):
        RowReader(FIELDS, tmp_path / "none.so", MOST)


CHILD = """
import ctypes, importlib.util, json, random, sys
sys.path.insert(0, sys.argv[2])
from tests.model import test_json_rows as tests
from tests.api.mutation import mutate
reader = tests.RowReader(tests.FIELDS, tests.Path(sys.argv[1]), tests.MOST)
parts = tests.LineParts(("<", ",", ",", ">"), ("(", ":", ")"), ("a", "b"), ("label", ""), None)
writer = tests.RowWriter(parts, 2, tests.Path(sys.argv[1]))
dice, taken = random.Random(7), 0
for _ in range(30_000):
    rows = [tests.random_row(dice) for _ in range(dice.randrange(1, tests.MOST + 1))]
    body = json.dumps({"instances": rows}, ensure_ascii=dice.random() < 0.5).encode()
    found = reader.read(mutate(body, dice) if dice.random() < 0.8 else body)
    if found is not None:
        taken += 1
        count = len(found.logged)
        best = tests.np.array([dice.randrange(2) for _ in range(count)])
        floats = b"-2.2250738585072014e-308," * (2 * count)
        writer.write(found, best, floats, "0" * 36, b"stamp")
print(taken)
"""


def random_row(dice: random.Random) -> dict[str, Any]:
    return {
        "size": dice.choice([None, dice.uniform(-1e6, 1e6), dice.uniform(0, 1e-300)]),
        "plan": dice.choice(["basic", "größer", 'a "b"\\']),
        "count": dice.randrange(1000),
        "is new": dice.random() < 0.5,
        "país": dice.choice([None, "norte"]),
    }


@pytest.mark.slow
def test_no_byte_is_read_or_written_outside_of_the_buffers(tmp_path: Path) -> None:
    """Under AddressSanitizer and UBSan, which end the process at the first such byte."""
    compiler = find_compiler()
    assert compiler is not None
    library = tmp_path / "checked.so"
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]
    command = [*compiler, *FLAGS, *sanitizers, "-o", str(library), *map(str, SOURCES), "-lm"]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    runtime = subprocess.run(
        [*compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if built.returncode or not Path(runtime).is_absolute():
        pytest.skip(f"no sanitizers: {built.stderr[-200:]}")
    tests = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(library), str(tests)],
        env={
            **os.environ,
            "LD_PRELOAD": runtime,
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONMALLOC": "malloc",  # so that each body has a block of its own
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert int(done.stdout) > 5_000


def test_rows_hold_what_they_point_to(reader: RowReader) -> None:
    def read() -> JsonRows:
        rows = reader.read(bytes(bytearray(body_of(row_of(), row_of(count=9)))))
        assert rows is not None
        return rows

    rows = read()
    for _ in range(1000):
        read()
    assert [json.loads(text) for text in logged(rows)] == [row_of(), row_of(count=9)]
