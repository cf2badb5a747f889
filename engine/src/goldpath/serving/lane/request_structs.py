"""Requests decoded and validated in one pass, straight to what a compiled model takes.

The structs are generated from the contract like the request models in `schemas.py`, but stricter:
whatever they do not take for certain (a key that might appear twice, text that silver would trim,
a wrong value) is left to those models, which accept it or say what is wrong with it. So both lanes
accept the same bodies, and only one of them writes error messages. A test compares them.
"""

import json
from collections.abc import Sequence
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType, defstruct

from goldpath.contract import Contract
from goldpath.domain import LONGEST_TEXT, Domain, is_plain
from goldpath.serving.lane.batch_marks import SOME_MARKS, BatchMarks

Values = tuple[Any, ...]
LONG = 65_536
"""Bytes of a batch that is looked at before it is read."""


class DecodedRow(NamedTuple):
    """A row that the contract allows.

    Attributes:
        struct: Encoded, it is the row by feature name.
        values: Its values in the decoder's order; None where missing.
        entity: Whom it is about, where the decoder asks for it.
    """

    struct: Any
    values: Values
    entity: str | None = None


class DecodedBatch(NamedTuple):
    """Rows that the contract allows.

    Attributes:
        structs: One a row; encoded, it is the row by feature name.
        columns: The features' values in the decoder's order; None where missing.
    """

    structs: list[Any]
    columns: list[Values]


class RequestDecoder:
    """Decodes the bodies of `/predict` and `/predict/batch`.

    Args:
        contract: What a row is.
        order: The features' names in the order in which a row's values are wanted.
        maximum_rows: How many instances a batch may hold.
        entity: The key that a single request must have beside its features, of which none may be
            left out then.

    Attributes:
        row_type: The struct of a row.
    """

    def __init__(
        self, contract: Contract, order: Sequence[str], maximum_rows: int, entity: str | None = None
    ) -> None:
        names = {
            feature.name: f"field_{number}" for number, feature in enumerate(contract.features)
        }
        fields = [(names[each.name], *_field(each.domain)) for each in contract.features]
        row: Any = defstruct(
            "Row",
            # Fields without a default must come first; clients see names, so no order matters.
            sorted(fields, key=len),
            rename={field: name for name, field in names.items()},
            forbid_unknown_fields=True,
            gc=False,
        )
        self.row_type = row
        self._single_names = ["features"] if entity is None else ["features", "entity_key"]
        single: Any = defstruct(
            "Single",
            [("features", row), ("entity_key", _Key)][: len(self._single_names)],
            rename={} if entity is None else {"entity_key": entity},
            forbid_unknown_fields=True,
        )
        batch: Any = defstruct(
            "Batch",
            [("instances", Annotated[list[row], Meta(min_length=1, max_length=maximum_rows)])],
            forbid_unknown_fields=True,
        )
        self._single = msgspec.json.Decoder(single).decode
        self._batch = msgspec.json.Decoder(batch).decode
        self._fields = [names[name] for name in order]
        self._values = _getter(self._fields)
        texts = {feature.name for feature in contract.features if not feature.is_numeric}
        self._nullable_texts = [
            place
            for place, name in enumerate(order)
            if name in texts and contract.by_name[name].nullable
        ]
        self._open = [
            place
            for place, name in enumerate(order)
            if name in texts and contract.by_name[name].categories is None
        ]
        # A colon that is no separator could hide a key that appears twice.
        self._names_hold_colons = any(":" in name for name in names)
        self._marks = BatchMarks(contract, maximum_rows)

    def single(self, body: bytes) -> DecodedRow | None:
        """The row of `{"features": {…}}`; None leaves the body to the other lane."""
        try:
            asked = self._single(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        row, names = asked.features, len(self._single_names)
        values = self._values(row)
        if UNSET in values or body.count(b":") != len(values) + names or b"\\" in body:
            if names > 1 and UNSET in values:
                return None
            if not self._has_each_key_once(body, [row], names):
                return None
            values = self._values(row)
        for place in self._open:
            if not is_plain(values[place]):
                return None
        if names == 1:
            return DecodedRow(row, values)
        key = asked.entity_key
        if isinstance(key, float):
            return None
        return DecodedRow(row, values, str(key))

    def batch(self, body: bytes) -> DecodedBatch | None:
        """The rows of `{"instances": [{…}, …]}`; None leaves the body to the other lane."""
        if len(body) > LONG and self._holds_too_much(body):
            return None
        try:
            rows = self._batch(body).instances
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        columns = list(zip(*map(self._values, rows), strict=True))
        if (
            body.count(b":") != len(rows) * len(columns) + 1
            or b"\\" in body
            # One that is missing where another stands twice; no array takes such a number.
            or any(UnsetType in set(map(type, columns[place])) for place in self._nullable_texts)
        ):
            if not self._has_each_key_once(body, rows):
                return None
            columns = list(zip(*map(self._values, rows), strict=True))
        for place in self._open:
            if not all(map(is_plain, columns[place])):
                return None
        return DecodedBatch(rows, columns)

    def _has_each_key_once(self, body: bytes, rows: list[Any], outside: int = 1) -> bool:
        """Whether no key appears twice, of which msgspec would take the last.

        Also puts None where a key is not there. As many colons as keys settle it in most cases.

        Args:
            body: As it came.
            rows: What was decoded.
            outside: Keys of the body that are none of a row.
        """
        expected = outside + len(rows) * len(self._fields)
        for row in rows:
            values = self._values(row)
            if UNSET in values:
                for field, value in zip(self._fields, values, strict=True):
                    if value is UNSET:
                        expected -= 1
                        setattr(row, field, None)
        colons = body.count(b":")
        if self._names_hold_colons or b"\\" in body or colons != expected:
            # Where there are far more, keys are repeated, and reading them all would take long.
            most = expected * self._marks.colons_a_key + SOME_MARKS
            return colons <= most and _no_key_appears_twice(body)
        return True

    def _holds_too_much(self, body: bytes) -> bool:
        """Whether reading it would hold up others only to refuse it: too many rows or keys."""
        allows = self._marks.counter()
        return not all(allows(body[at : at + LONG]) for at in range(0, len(body), LONG))


_Text = Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]
# A float is none, but 17.0 would pass for a whole number. Longer numbers may be too long as texts.
_Key = _Text | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float


def _no_key_appears_twice(body: bytes) -> bool:
    """The certain way, at the price of another parser."""
    try:
        json.loads(body, object_pairs_hook=_keys_once)
    except (ValueError, RecursionError):
        return False
    return True


def _keys_once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a key appears twice")


def _getter(fields: Sequence[str]) -> Any:
    """All values of a row as a tuple, also where there is one field only."""
    if len(fields) > 1:
        return attrgetter(*fields)
    only = attrgetter(fields[0])
    return lambda row: (only(row),)


def _field(domain: Domain) -> tuple[Any, ...]:
    """A field's type, and its default where it may be left out."""
    annotation = _annotation(domain)
    return (annotation | None | UnsetType, UNSET) if domain.nullable else (annotation,)


def _annotation(domain: Domain) -> Any:
    if domain.kind == "boolean":
        return bool
    if domain.kind == "integer":
        low, high = domain.integer_range
        return Annotated[int, Meta(ge=low, le=high)]
    if domain.kind == "number":
        return Annotated[float, Meta(ge=domain.minimum, le=domain.maximum)]
    if domain.categories is not None:
        return Literal[domain.categories]
    return Annotated[str, Meta(min_length=1, max_length=domain.longest)]
