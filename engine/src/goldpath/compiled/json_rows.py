"""Rows of JSON straight to numbers and codes, and answers straight to JSON, by `json_rows.c`.

A request for a thousand rows spends ten times as long in Python objects as in the model: one for
every value, and one for every line and item that is written. Here there are none.
"""

import ctypes
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np

from goldpath.compiled.form import CompiledFormError
from goldpath.domain import Kind

_KINDS = {"number": 0, "integer": 1, "boolean": 2, "category": 3}
_NONE = -1
_ENTRY = np.dtype([("start", "<i8"), ("length", "<i4"), ("value", "<i4")])
_FEATURE = np.dtype(
    [
        *((name, "<f8") for name in ("lowest", "highest")),
        *((name, "<i8") for name in ("first", "mask", "name", "name_length")),
        *((name, "<i4") for name in ("kind", "place", "nullable", "missing", "hidden")),
    ],
    align=True,
)


@dataclass(frozen=True)
class Field:
    """What a row may hold under a name.

    Attributes:
        name: The key.
        kind: A boolean is a number, 0 or 1.
        place: Among the numbers, or among the categories.
        nullable: Whether it may be null or left out.
        lowest: Of a number.
        highest: Of a number.
        codes: A category's texts that are taken; a row with another one is not.
        missing: The code of a category that is missing.
        hidden: Whether it is left out of the rows as they are logged.
    """

    name: str
    kind: Kind
    place: int
    nullable: bool = False
    lowest: float = -inf
    highest: float = inf
    codes: Mapping[str, int] | None = None
    missing: int = 0
    hidden: bool = False


@dataclass(frozen=True)
class JsonRows:
    """The rows of a request.

    Attributes:
        numbers: Float64 of shape (rows, numbers), NaN where missing.
        codes: Int32 of shape (rows, categories).
        logged: Each row as a JSON object of one line: where it is in memory and how long, int64
            of shape (rows, 2).
        kept: What holds these bytes.
    """

    numbers: np.ndarray
    codes: np.ndarray
    logged: np.ndarray
    kept: tuple[bytes, np.ndarray]


class _Plan(ctypes.Structure):
    """`plan` of json_rows.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("features", "numbers", "categories")),
        *((name, ctypes.c_int64) for name in ("first", "mask")),
        *((name, ctypes.c_void_p) for name in ("feature", "entries", "texts")),
    ]


class _Shape(ctypes.Structure):
    """`shape` of json_rows.c."""

    _fields_ = [
        *((name, ctypes.c_int64) for name in ("outputs", "labels", "shown", "score")),
        *((name, ctypes.c_void_p) for name in ("texts", "ends")),
    ]


class RowReader:
    """Reads what is surely right; everything else is for the general decoder.

    Args:
        fields: What a row may hold.
        library: What `build_kernel` made.
        most_rows: How many rows a request may hold.

    Raises:
        CompiledFormError: If the library cannot be loaded.
    """

    def __init__(self, fields: Sequence[Field], library: Path, most_rows: int) -> None:
        self._read = _function(library, "read_rows")
        self._read.argtypes = (
            *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64, ctypes.c_int64),
            *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p),
        )
        self._read.restype = ctypes.c_int64
        self._most_rows = most_rows
        self._numbers = sum(field.kind != "category" for field in fields)
        self._categories = len(fields) - self._numbers
        tables = _Tables()
        features = np.zeros(len(fields), _FEATURE)
        for at, field in enumerate(fields):
            name = f"{json.dumps(field.name, ensure_ascii=False)}:".encode()
            first, mask = tables.add((field.codes or {}).items())
            start = tables.keep(name)
            features[at] = (
                *(field.lowest, field.highest, first, mask, start, len(name)),
                *(_KINDS[field.kind], field.place, field.nullable, field.missing, field.hidden),
            )
        first, mask = tables.add((field.name, at) for at, field in enumerate(fields))
        self._kept = features, tables.entries(), np.frombuffer(bytes(tables.texts), np.uint8)
        self._plan = _Plan(
            *(len(fields), self._numbers, self._categories, first, mask),
            *(array.ctypes.data for array in self._kept),
        )
        self._address = ctypes.addressof(self._plan)
        required = [field.name for field in fields if not field.nullable]
        self._shortest = 2 + sum(len(name) + 5 for name in required)
        # A row that leaves fields out is logged with a null for each.
        self._longest_nulls = sum(len(json.dumps(field.name)) + 6 for field in fields)

    def read(self, body: bytes) -> JsonRows | None:
        """The rows of `{"instances": [{…}, …]}`; None where it is not certain what they are."""
        # As many as there can be. What no row reaches is address space, and no memory.
        rows = min(len(body) // self._shortest + 1, self._most_rows)
        numbers = np.empty((rows, self._numbers))
        codes = np.empty((rows, self._categories), np.int32)
        anew = np.empty(len(body) + rows * self._longest_nulls, np.uint8)
        logged = np.empty((rows, 2), np.int64)
        found = self._read(
            self._address,
            body,
            len(body),
            rows,
            numbers.ctypes.data,
            codes.ctypes.data,
            anew.ctypes.data,
            len(anew),
            logged.ctypes.data,
        )
        if found < 1:
            return None
        return JsonRows(numbers[:found], codes[:found], logged[:found], (body, anew))


@dataclass(frozen=True)
class LineParts:
    """What stands around the values in a line of the log and in an item of the answer.

    Attributes:
        line: Before the id, the prediction and the score, and behind them. The stamp and the row
            stand behind the id.
        item: Before the prediction and the id, and behind them.
        outputs: Before each output that an item shows; none where it shows none.
        labels: As JSON; none where the first output is the prediction.
        score: The output that is logged; None: that of the label.
        others: What an item may show in a label's place, in as many texts as there are labels, or
            a multiple of them: a row whose `best` is its label plus n times the labels shows its
            n-th.
    """

    line: tuple[str, str, str, str]
    item: tuple[str, str, str]
    outputs: tuple[str, ...]
    labels: tuple[str, ...]
    score: int | None
    others: tuple[str, ...] = ()


class RowWriter:
    """Writes the log's lines and the answer's items.

    Args:
        parts: What stands around the values.
        outputs: Numbers in a row's answer.
        library: What `build_kernel` made.

    Raises:
        CompiledFormError: If the library cannot be loaded.
    """

    def __init__(self, parts: LineParts, outputs: int, library: Path) -> None:
        self._write = _function(library, "write_rows")
        self._write.argtypes = (
            *(ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int64),
            *(ctypes.c_char_p, *(ctypes.c_void_p,) * 5),
        )
        self._write.restype = None
        texts = [*parts.line, *parts.item, *parts.outputs, *parts.labels, *parts.others]
        encoded = [text.encode() for text in texts]
        self._kept = (
            np.frombuffer(b"".join(encoded), np.uint8),
            np.cumsum([len(text) for text in encoded], dtype=np.int64),
        )
        score = _NONE if parts.score is None else parts.score
        self._shape = _Shape(
            *(outputs, len(parts.labels), len(parts.outputs), score),
            *(array.ctypes.data for array in self._kept),
        )
        self._address = ctypes.addressof(self._shape)
        # An id stands in both, and so does a prediction: a label, or a number.
        self._longest = len(self._kept[0]) + 2 * (36 + max(map(len, encoded[7:]), default=0)) + 1

    def write(
        self, rows: JsonRows, best: np.ndarray, floats: bytes, first_id: str, stamp: bytes
    ) -> tuple[memoryview, bytes]:
        """Lines, and items with commas between them.

        Args:
            rows: The rows.
            best: Int64, each row's label, or what is shown in its place, shape (rows,).
            floats: All outputs as JSON writes them, row by row, with a comma behind each.
            first_id: The first row's id; the others are counted on.
            stamp: What stands between an id and its row.
        """
        count = len(rows.logged)
        fixed = count * self._longest + 2 * len(floats)
        lines = np.empty(fixed + count * len(stamp) + int(rows.logged[:, 1].sum()), np.uint8)
        items = np.empty(fixed, np.uint8)
        written = np.empty(2, np.int64)
        self._write(
            self._address,
            count,
            first_id.encode("ascii"),
            stamp,
            len(stamp),
            floats,
            best.ctypes.data,
            rows.logged.ctypes.data,
            lines.ctypes.data,
            items.ctypes.data,
            written.ctypes.data,
        )
        return lines.data[: written[0]], items.data[: written[1]].tobytes()


class _Tables:
    """Tables of texts with open addressing, and the bytes that they point to."""

    def __init__(self) -> None:
        self.texts = bytearray()
        self._entries: list[tuple[int, int, int]] = []

    def keep(self, text: bytes) -> int:
        """Where the bytes begin."""
        self.texts += text
        return len(self.texts) - len(text)

    def add(self, values: Iterable[tuple[str, int]]) -> tuple[int, int]:
        """Add a table: where it begins, and the mask of its places."""
        named = {spelling: value for text, value in values for spelling in _spellings(text)}
        size = 1 << (2 * len(named)).bit_length()
        table = [(0, _NONE, 0)] * size
        for spelling, value in named.items():
            at = _hash(spelling) & (size - 1)
            while table[at][1] != _NONE:
                at = (at + 1) & (size - 1)
            table[at] = self.keep(spelling), len(spelling), value
        self._entries += table
        return len(self._entries) - size, size - 1

    def entries(self) -> np.ndarray:
        """All tables, behind each other."""
        return np.array(self._entries, _ENTRY)


def _spellings(text: str) -> set[bytes]:
    """How clients write a text between quotes: as UTF-8, or in ASCII."""
    return {json.dumps(text, ensure_ascii=is_ascii)[1:-1].encode() for is_ascii in (False, True)}


def _hash(text: bytes) -> int:
    """FNV-1a, as in json_rows.c."""
    found = 14695981039346656037
    for byte in text:
        found = (found ^ byte) * 1099511628211 % (1 << 64)
    return found


def _function(library: Path, name: str) -> "ctypes._NamedFuncPointer":
    try:
        function = ctypes.CDLL(str(library))[name]
    except (OSError, AttributeError) as error:
        raise CompiledFormError(
            f"the library {library} cannot be loaded: {error}", f"delete {library}"
        ) from error
    return function
