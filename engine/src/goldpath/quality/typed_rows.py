"""The contract's checks for rows that are typed already, a column at a time.

What `quality` does to text, engine and all, this does to a Parquet file's own numbers, truth values
and texts: the same rows are refused, for the same reasons. It is what scores millions of rows a
second; a file whose columns have other types goes through `quality`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from goldpath.contract import NULL_WORDS, Contract, Feature
from goldpath.privacy.erasure import PADDING
from goldpath.sources.files import SourceError

WHOLE_BELOW = float(2**53)

Refuse = Callable[[np.ndarray, Feature, str], None]


@dataclass(frozen=True)
class TypedRows:
    """Rows, checked.

    Attributes:
        numbers: Numeric and boolean features by name: float64, NaN where missing.
        categories: Category features by name: the number of each row's value in `values`, -1 where
            missing.
        values: The different values of each category feature in these rows.
        problems: What is wrong with a row, by its number; a row that is fine is not there.
    """

    numbers: Mapping[str, np.ndarray]
    categories: Mapping[str, np.ndarray]
    values: Mapping[str, list[str]]
    problems: Mapping[int, str]


def require_types(schema: pa.Schema, contract: Contract, shown: str) -> None:
    """Check that a file has the contract's features, in types that need no reading of text.

    Args:
        schema: The file's.
        contract: What a row is.
        shown: What messages call the file.

    Raises:
        SourceError: Names the first column that is missing, or is of another type.
    """
    for feature in contract.features:
        if feature.name not in schema.names:
            raise SourceError(
                f"{shown} lacks the column {feature.name}; it has: {', '.join(schema.names)}",
                "give a file with every feature of config/project.yaml",
            )
        kind = schema.field(feature.name).type
        if not (kinds.is_null(kind) or _fits(kind, feature)):
            wanted = {"boolean": "truth values", "category": "text"}.get(feature.type, "numbers")
            raise SourceError(
                f"{shown}: column {feature.name} is {kind}; expected {wanted}",
                "write the column in that type, or leave --out away: then text is read, too",
            )


def _fits(kind: pa.DataType, feature: Feature) -> bool:
    if feature.type == "boolean":
        return bool(kinds.is_boolean(kind))
    if feature.type == "category":
        value = kind.value_type if kinds.is_dictionary(kind) else kind
        return bool(kinds.is_string(value) or kinds.is_large_string(value))
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind) or kinds.is_decimal(kind))


def check_batch(rows: pa.RecordBatch, contract: Contract) -> TypedRows:
    """Check the rows of one batch.

    Args:
        rows: Columns as `require_types` wants them.
        contract: What a row must be.
    """
    numbers: dict[str, np.ndarray] = {}
    categories: dict[str, np.ndarray] = {}
    values: dict[str, list[str]] = {}
    problems: dict[int, list[str]] = {}

    def refuse(bad: np.ndarray, feature: Feature, reason: str) -> None:
        for row in np.flatnonzero(bad).tolist():
            problems.setdefault(row, []).append(f"{feature.name}: {reason}")

    for feature in contract.features:
        column = rows.column(feature.name)
        if feature.type == "category":
            codes, texts = _category(column, feature)
            categories[feature.name], values[feature.name] = codes, texts
            missing = codes < 0
            if feature.categories is not None:
                known = set(feature.categories)
                unknown = np.array([text not in known for text in texts] + [False])
                if unknown.any():
                    refuse(unknown[codes], feature, "is not one of its categories")
        else:
            found = numbers[feature.name] = _numbers(column)
            missing = np.isnan(found)
            _refuse_numbers(found, feature, refuse)
        if not feature.nullable and missing.any():
            refuse(missing, feature, "missing")
    said = {row: "; ".join(reasons) for row, reasons in problems.items()}
    return TypedRows(numbers, categories, values, said)


def _refuse_numbers(found: np.ndarray, feature: Feature, refuse: Refuse) -> None:
    infinite = np.isinf(found)
    if infinite.any():
        kind = "a whole number" if feature.type == "integer" else "a finite number"
        refuse(infinite, feature, f"is not {kind}")
    if feature.type == "integer":
        broken = ((np.trunc(found) != found) | (np.abs(found) >= WHOLE_BELOW)) & ~infinite
        broken &= ~np.isnan(found)
        if broken.any():
            refuse(broken, feature, "is not a whole number")
    for bound, word in ((feature.minimum, "below"), (feature.maximum, "above")):
        if bound is None:
            continue
        outside = (found < bound if word == "below" else found > bound) & ~infinite
        if outside.any():
            refuse(outside, feature, f"is {word} {bound:g}")


def _numbers(column: pa.Array) -> np.ndarray:
    if kinds.is_boolean(column.type):
        column = column.cast(pa.uint8())
    values = column.cast(pa.float64(), safe=False)
    found: np.ndarray = values.to_numpy(zero_copy_only=False)
    return found


def _category(column: pa.Array, feature: Feature) -> tuple[np.ndarray, list[str]]:
    """Codes and values; text is trimmed, and a word for a missing value is one, as in `quality`.

    Each different text is looked at once.
    """
    if kinds.is_null(column.type):
        return np.full(len(column), -1, dtype=np.int32), []
    if not kinds.is_dictionary(column.type):
        column = column.dictionary_encode()
    known = set(feature.categories or ())
    values: dict[str, int] = {}
    places = []
    for text in column.dictionary.to_pylist():
        value = None if text is None else text.strip(PADDING)
        if value is None or (value not in known and value.lower() in NULL_WORDS):
            places.append(-1)
        else:
            places.append(values.setdefault(value, len(values)))
    indices = pc.fill_null(column.indices.cast(pa.int32()), len(places)).to_numpy()
    codes: np.ndarray = np.array([*places, -1], dtype=np.int32)[indices]
    return codes, list(values)
