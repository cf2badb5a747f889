"""Requests decoded and validated in one pass, straight to what a compiled model takes.

The structs are generated from the contract like the request models in `schemas.py`, but stricter:
whatever they do not take for certain (a key that might appear twice, text that silver would trim,
a wrong value) is left to those models, which accept it or say what is wrong with it. So both lanes
accept the same bodies, and only one of them writes error messages. A test compares them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from operator import attrgetter
from struct import Struct
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType, defstruct

from ..contract import NULL_WORDS, Contract, Feature
from ..model.compiled.form import CompiledForm
from .schemas import LARGEST_INTEGER, MAXIMUM_TEXT


@dataclass(frozen=True)
class DecodedRows:
    """Rows that the contract allows.

    Attributes:
        structs: One a row; encoded, it is the row by feature name.
        numbers: Float64 of shape (rows, numbers), NaN where missing.
        codes: Int32 of shape (rows, categories).
    """

    structs: Sequence[Any]
    numbers: np.ndarray
    codes: np.ndarray


class RequestDecoder:
    """Decodes the bodies of `/predict` and `/predict/batch`.

    Args:
        contract: What a row is.
        form: Says in which order its numbers and codes are wanted.
        maximum_rows: How many instances a batch may hold.
    """

    def __init__(self, contract: Contract, form: CompiledForm, maximum_rows: int) -> None:
        names = {
            feature.name: f"field_{number}" for number, feature in enumerate(contract.features)
        }
        fields = [(names[each.name], *_field(each)) for each in contract.features]
        row: Any = defstruct(
            "Row",
            # Fields without a default must come first; clients see names, so no order matters.
            sorted(fields, key=len),
            rename={field: name for name, field in names.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        single: Any = defstruct("Single", [("features", row)], forbid_unknown_fields=True)
        batch: Any = defstruct(
            "Batch",
            [("instances", Annotated[list[row], Meta(min_length=1, max_length=maximum_rows)])],
            forbid_unknown_fields=True,
        )
        self._row = row
        self._single = msgspec.json.Decoder(single)
        self._batch = msgspec.json.Decoder(batch)
        self._fields = list(names.values())
        self._numbers = [names[name] for name in form.numbers]
        self._codes = [
            (names[name], codes, contract.by_name[name].categories is None)
            for name, codes in form.codes.items()
        ]
        self._values = _getter(self._fields)
        self._row_numbers = _getter(self._numbers) if self._numbers else tuple
        self._pack_numbers = Struct(f"{len(self._numbers)}d").pack_into
        self._pack_codes = Struct(f"{len(self._codes)}i").pack_into
        # A colon that is no separator could hide a key that appears twice.
        self._names_hold_colons = any(":" in name for name in names)

    def single(self, body: bytes, numbers: np.ndarray, codes: np.ndarray) -> Any | None:
        """The row of `{"features": {…}}`; None leaves the body to the other lane.

        Args:
            body: The request's body.
            numbers: Takes the row's numbers, shape (1, numbers).
            codes: Takes the row's codes, shape (1, categories).
        """
        try:
            row = self._single.decode(body).features
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        if not self._has_each_key_once(body, [row]):
            return None
        values = [nan if value is None else value for value in self._row_numbers(row)]
        self._pack_numbers(numbers.data, 0, *values)
        found = []
        for field, known, is_open in self._codes:
            text = getattr(row, field)
            if is_open and text is not None and not _is_plain(text):
                return None
            found.append(known.get(text, len(known) - 1))
        self._pack_codes(codes.data, 0, *found)
        return row

    def batch(self, body: bytes) -> DecodedRows | None:
        """The rows of `{"instances": [{…}, …]}`; None leaves the body to the other lane."""
        try:
            rows = self._batch.decode(body).instances
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        if not self._has_each_key_once(body, rows):
            return None
        numbers = np.empty((len(rows), len(self._numbers)))
        for column, field in enumerate(self._numbers):
            values = [getattr(row, field) for row in rows]
            numbers[:, column] = values  # None becomes NaN
        codes = np.empty((len(rows), len(self._codes)), dtype=np.int32)
        for column, (field, known, is_open) in enumerate(self._codes):
            texts = [getattr(row, field) for row in rows]
            if is_open and not all(text is None or _is_plain(text) for text in texts):
                return None
            unknown = len(known) - 1
            codes[:, column] = [known.get(text, unknown) for text in texts]
        return DecodedRows(rows, numbers, codes)

    def _has_each_key_once(self, body: bytes, rows: list[Any]) -> bool:
        """Whether the body has as many colons as keys; msgspec takes the last of two keys.

        Also puts None where a key is not there.
        """
        if self._names_hold_colons or b"\\" in body:
            return False
        expected = 1
        for row in rows:
            values = self._values(row)
            expected += len(values)
            if UNSET in values:
                for field, value in zip(self._fields, values, strict=True):
                    if value is UNSET:
                        expected -= 1
                        setattr(row, field, None)
        colons = body.count(b":")
        if colons == expected:
            return True
        texts: list[str | None] = [
            getattr(row, field) for row in rows for field, _, _ in self._codes
        ]
        return colons == expected + sum(text.count(":") for text in texts if text)


def _getter(fields: Sequence[str]) -> Any:
    """All values of a row as a tuple, also where there is one field only."""
    if len(fields) > 1:
        return attrgetter(*fields)
    only = attrgetter(fields[0])
    return lambda row: (only(row),)


def _field(feature: Feature) -> tuple[Any, ...]:
    """A field's type, and its default where it may be left out."""
    annotation = _annotation(feature)
    return (annotation | None | UnsetType, UNSET) if feature.nullable else (annotation,)


def _annotation(feature: Feature) -> Any:
    if feature.type == "boolean":
        return bool
    if feature.type == "integer":
        low = -LARGEST_INTEGER if feature.minimum is None else math.ceil(feature.minimum)
        high = LARGEST_INTEGER if feature.maximum is None else math.floor(feature.maximum)
        return Annotated[int, Meta(ge=max(low, -LARGEST_INTEGER), le=min(high, LARGEST_INTEGER))]
    if feature.type == "number":
        return Annotated[float, Meta(ge=feature.minimum, le=feature.maximum)]
    if feature.categories is not None:
        return Literal[feature.categories]
    return Annotated[str, Meta(min_length=1, max_length=MAXIMUM_TEXT)]


def _is_plain(text: str) -> bool:
    """Whether silver reads the text as it stands: nothing to trim, no word for a missing value."""
    return text == text.strip() and text.lower() not in NULL_WORDS
