"""The contract's checks for rows that are typed already, a column at a time.

What `quality` does to text, engine and all, this does to a Parquet file's own numbers, truth values
and texts: the same rows are refused, for the same reasons. It is what scores millions of rows a
second; a file whose columns have other types goes through `quality`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from goldpath.contract import Contract, Feature
from goldpath.domain import (
    LARGEST_INTEGER,
    MISSING,
    NO_CATEGORY,
    Domain,
    above,
    below,
)
from goldpath.sources.files import SourceError

Refuse = Callable[[np.ndarray, str], None]

_COLUMNS = {"boolean": "truth values, or 0 and 1", "category": "text", "text": "text"}


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
            wanted = _COLUMNS.get(feature.type, "numbers")
            raise SourceError(
                f"{shown}: column {feature.name} is {kind}; expected {wanted}",
                "write the column in that type, or leave --out away: then text is read, too",
            )


def _fits(kind: pa.DataType, feature: Feature) -> bool:
    if feature.type == "boolean" and kinds.is_boolean(kind):
        return True
    if not feature.is_numeric:
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

    for feature in contract.features:
        column, domain = rows.column(feature.name), feature.domain
        refuse = partial(_refuse, problems, feature.name)
        if domain.is_text:
            codes, texts = _category(column, domain)
            categories[feature.name], values[feature.name] = codes, texts
            missing = codes < 0
            _refuse_texts(codes, texts, domain, refuse)
        else:
            found = numbers[feature.name] = _numbers(column, feature)
            missing = np.isnan(found)
            if not kinds.is_boolean(column.type):
                _refuse_numbers(found, missing, domain, refuse)
        if not domain.nullable and missing.any():
            refuse(missing, MISSING)
    said = {row: "; ".join(reasons) for row, reasons in problems.items()}
    return TypedRows(numbers, categories, values, said)


def _refuse(problems: dict[int, list[str]], name: str, bad: np.ndarray, reason: str) -> None:
    for row in np.flatnonzero(bad).tolist():
        problems.setdefault(row, []).append(f"{name}: {reason}")


def _refuse_texts(codes: np.ndarray, texts: list[str], domain: Domain, refuse: Refuse) -> None:
    """Each different text is looked at once; the last code, -1, stands for a missing one."""
    if domain.categories is not None:
        bad, reason = [text not in domain.known for text in texts], NO_CATEGORY
    else:
        bad, reason = [len(text) > domain.longest for text in texts], domain.too_long
    if any(bad):
        refuse(np.array([*bad, False])[codes], reason)


def _refuse_numbers(found: np.ndarray, missing: np.ndarray, domain: Domain, refuse: Refuse) -> None:
    if domain.kind == "number":
        unreadable = np.isinf(found)
    elif domain.kind == "integer":
        unreadable = (np.trunc(found) != found) | (np.abs(found) > LARGEST_INTEGER)
    else:
        unreadable = (found != 0) & (found != 1)
    unreadable &= ~missing
    if unreadable.any():
        refuse(unreadable, domain.unreadable)
    if domain.minimum is not None and (low := found < domain.minimum).any():
        refuse(low & ~unreadable, below(domain.minimum))
    if domain.maximum is not None and (high := found > domain.maximum).any():
        refuse(high & ~unreadable, above(domain.maximum))


def _numbers(column: pa.Array, feature: Feature) -> np.ndarray:
    if kinds.is_boolean(column.type):
        column = column.cast(pa.uint8())
    values = column.cast(pa.float64(), safe=False)
    found: np.ndarray = values.to_numpy(zero_copy_only=False)
    # A number that stands for a missing value does so here, too: -999, or an infinite one.
    words = [number for word in feature.missing_words if (number := _figure(word)) is not None]
    return np.where(np.isin(found, words), np.nan, found) if words else found


def _figure(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _category(column: pa.Array, domain: Domain) -> tuple[np.ndarray, list[str]]:
    """Codes and values. Each different text is looked at once."""
    if kinds.is_null(column.type):
        return np.full(len(column), -1, dtype=np.int32), []
    if not kinds.is_dictionary(column.type):
        column = column.dictionary_encode()
    values: dict[str, int] = {}
    places = []
    for text in column.dictionary.to_pylist():
        value = None if text is None else domain.read_category(text)
        places.append(-1 if value is None else values.setdefault(value, len(values)))
    indices = pc.fill_null(column.indices.cast(pa.int32()), len(places)).to_numpy()
    codes: np.ndarray = np.array([*places, -1], dtype=np.int32)[indices]
    return codes, list(values)
