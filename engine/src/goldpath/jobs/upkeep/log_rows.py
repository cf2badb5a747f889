"""The lines of the service's logs as rows of tables, with the contract's types.

Nothing that a line says is lost: a value that does not fit its column (the contract was changed
since) is null there, and the row carries the whole line.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from goldpath.contract import Contract
from goldpath.domain import STORED
from goldpath.lake.tables import DAY, LINE

if TYPE_CHECKING:
    import ibis

ROWS_PER_BATCH = 20_000
PREDICTION_KEY = "prediction_id"
FEEDBACK_KEY = "feedback_id"
TARGET_TIME = "target_time"
ARROW_TYPES = {kind: pa.type_for_alias(stored) for kind, stored in STORED.items()}
MOMENT = pa.timestamp("us")
_LARGEST = 2**63

Convert = Callable[[Any], Any]


@dataclass
class Rows:
    """Rows of one table, collected line by line.

    Attributes:
        schema: The columns.
        convert: What turns a value of a line into a column's value.
        place: Gives a line's values by column, before they are converted; raises `KeyError` or
            `TypeError` where it is no line of this log.
        key: The column that is unique.
        torn: Lines that say nothing: a crash or a full disk tore them.
        days: Every day among the rows.
    """

    schema: pa.Schema
    convert: Mapping[str, Convert]
    place: Callable[[dict[str, Any]], dict[str, Any]]
    key: str
    torn: int = 0
    days: set[str] = field(default_factory=set)
    _keys: set[str] = field(default_factory=set)
    _columns: dict[str, list[Any]] = field(default_factory=dict)
    _batches: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, line: bytes) -> None:
        """Add a line; blank ones and those that were added before do not count."""
        if not line.strip():
            return
        try:
            text = line.decode("utf-8")
            row = self._row(json.loads(text), text.strip())
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.torn += 1
            return
        if row[self.key] in self._keys:
            return
        self._keys.add(row[self.key])
        self.days.add(row[DAY])
        for name in self.schema.names:
            self._columns.setdefault(name, []).append(row[name])
        if len(self._columns[self.key]) >= ROWS_PER_BATCH:
            self._flush()

    @property
    def count(self) -> int:
        """How many rows were added."""
        return len(self._keys)

    def table(self) -> pa.Table:
        """What was added."""
        self._flush()
        return pa.Table.from_batches(self._batches, self.schema)

    def _row(self, line: dict[str, Any], text: str) -> dict[str, Any]:
        values = self.place(line)
        row: dict[str, Any] = dict.fromkeys(self.schema.names)
        fits = values.keys() <= row.keys()
        for name, value in values.items():
            if value is None or name not in row:
                continue
            try:
                row[name] = self.convert[name](value)
            except (ValueError, TypeError, OverflowError):
                fits = False
        if not isinstance(row[self.key], str) or row[DAY] is None:
            raise TypeError("a line has an id and a time")
        row[LINE] = None if fits else text
        return row

    def _flush(self) -> None:
        if self._columns:
            arrays = [pa.array(self._columns[field.name], field.type) for field in self.schema]
            self._batches.append(pa.record_batch(arrays, schema=self.schema))
            self._columns = {}


def has_target_time(contract: Contract) -> bool:
    """Whether predictions have a column of the time that they are about.

    A forecast's have, unless a feature of that name takes the column; the times are in the lines.
    """
    return contract.forecast is not None and TARGET_TIME not in contract.by_name


def prediction_rows(contract: Contract, held: "ibis.Schema | None" = None) -> Rows:
    """Collects lines of the prediction log.

    Args:
        contract: Names the columns and their types.
        held: The table's columns, where it exists: a feature whose type it does not share stays in
            the line.
    """
    prediction = pa.float64() if contract.problem == "regression" else pa.string()
    entity = [(contract.entity, pa.string())] if contract.entity else []
    features = {
        feature.name: ARROW_TYPES[feature.type]
        for feature in contract.features
        if feature.name != PREDICTION_KEY
        and _shares_type(held, feature.name, ARROW_TYPES[feature.type])
    }
    has_time = has_target_time(contract)
    target_time = [(TARGET_TIME, MOMENT)] if has_time else []
    schema = pa.schema(
        [
            (PREDICTION_KEY, pa.string()),
            ("predicted_at", MOMENT),
            (DAY, pa.string()),
            ("model_version", pa.string()),
            *entity,
            *features.items(),
            *target_time,
            ("prediction", prediction),
            ("score", pa.float64()),
            (LINE, pa.string()),
        ]
    )

    def place(line: dict[str, Any]) -> dict[str, Any]:
        values = {
            **line["features"],
            PREDICTION_KEY: line["prediction_id"],
            "predicted_at": line["at"],
            DAY: line["at"],
            "model_version": line["model_version"],
            "prediction": line["prediction"],
            "score": line["score"],
        }
        if has_time and line.get(TARGET_TIME) is not None:
            values[TARGET_TIME] = line[TARGET_TIME]
        person = line.get("entity")
        if person is not None:
            values[contract.entity or "entity"] = person
        return values

    return Rows(schema, _converters(schema), place, PREDICTION_KEY)


def feedback_rows(contract: Contract) -> Rows:
    """Collects labels."""
    label = pa.float64() if contract.problem == "regression" else pa.string()
    schema = pa.schema(
        [
            (FEEDBACK_KEY, pa.string()),
            (PREDICTION_KEY, pa.string()),
            ("label", label),
            ("known_at", MOMENT),
            ("received_at", MOMENT),
            (DAY, pa.string()),
            (LINE, pa.string()),
        ]
    )

    def place(line: dict[str, Any]) -> dict[str, Any]:
        return {
            FEEDBACK_KEY: line["feedback_id"],
            PREDICTION_KEY: line["prediction_id"],
            "label": line["label"],
            "known_at": line["at"],
            "received_at": line["received_at"],
            DAY: line["received_at"],
        }

    return Rows(schema, _converters(schema), place, FEEDBACK_KEY)


def _shares_type(held: "ibis.Schema | None", name: str, kind: pa.DataType) -> bool:
    if held is None or name not in held:
        return True
    found: pa.DataType = held.to_pyarrow().field(name).type
    return bool(found == kind) or (pa.types.is_large_string(found) and pa.types.is_string(kind))


def _converters(schema: pa.Schema) -> dict[str, Convert]:
    by_type: dict[pa.DataType, Convert] = {
        pa.float64(): float,
        pa.int64(): _whole,
        pa.bool_(): _truth,
        pa.string(): _text,
        MOMENT: moment,
    }
    return {field.name: by_type[field.type] for field in schema} | {DAY: _day}


def moment(value: Any) -> datetime:
    """ISO 8601 as a moment in UTC without a zone, as the lake's tables have it."""
    return datetime.fromisoformat(value).astimezone(UTC).replace(tzinfo=None)


def _day(value: Any) -> str:
    return moment(value).date().isoformat()


def _text(value: Any) -> str:
    """Text as it is; anything else, and half of a surrogate pair, does not fit."""
    if not isinstance(value, str):
        raise TypeError("no text")
    value.encode("utf-8")
    return value


def _whole(value: Any) -> int:
    found = int(value)
    if found != value or not -_LARGEST <= found < _LARGEST:
        raise ValueError("no whole number of 64 bits")
    return found


def _truth(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError("neither true nor false")
    return bool(value)
