"""What kind of column each one of a table is, found from its values, and their plain form."""

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from goldpath.errors import ProjectError

FEW_CATEGORIES = 24
MOSTLY = 0.95
"""Share of text that must read as a number or a time for the column to be one."""
LOOKED_AT = 2_000
TEXT_WORDS = 3
"""Words that a value has in the mean where a column of mostly different ones is free text."""
TEXT_SHARE = 0.5
LONGEST_TEXT = 100
MISSING_TEXT = ""
DAY = 86_400.0


class Kind(StrEnum):
    """What a column holds."""

    NUMBER = "number"
    NUMBER_TEXT = "number_text"
    TIME = "time"
    TIME_TEXT = "time_text"
    FEW = "few_categories"
    MANY = "many_categories"
    WORDS = "text"
    IDENTIFIER = "identifier"
    CONSTANT = "constant"


LEFT_OUT = (Kind.IDENTIFIER, Kind.CONSTANT)


def check_table(features: pd.DataFrame) -> None:
    """Refuse what no model could take.

    Raises:
        ProjectError: For duplicate names, no columns, or a column of lists or complex numbers.
    """
    if not isinstance(features, pd.DataFrame):
        raise ProjectError(
            f"the features are a {type(features).__name__}; expected a pandas DataFrame",
            "say pandas.DataFrame(features)",
        )
    twice = [str(name) for name, count in Counter(features.columns).items() if count > 1]
    if twice:
        raise ProjectError(
            f"column names occur more than once: {', '.join(twice)}", "rename or drop them"
        )
    if not features.shape[1]:
        raise ProjectError("the table has no columns", "give at least one feature")
    for name in features.columns:
        column = features[name]
        if np.issubdtype(getattr(column.dtype, "type", object), np.complexfloating):
            raise ProjectError(
                f"column {name!r} holds complex numbers", "give real and imaginary part each"
            )
        if column.dtype == object:
            for value in column.dropna().iloc[:LOOKED_AT]:
                if isinstance(value, list | dict | set | tuple | np.ndarray):
                    raise ProjectError(
                        f"column {name!r} holds values of type {type(value).__name__}",
                        "spread them over columns of numbers or text",
                    )


def column_kind(column: "pd.Series[Any]") -> Kind:
    """The kind of one column, by its type and, for text, by its values."""
    present = column.dropna()
    distinct = present.nunique()
    if distinct == 0 or (distinct == 1 and len(present) == len(column)):
        return Kind.CONSTANT
    if pd.api.types.is_datetime64_any_dtype(column) or isinstance(column.dtype, pd.PeriodDtype):
        return Kind.TIME
    if pd.api.types.is_timedelta64_dtype(column) or pd.api.types.is_bool_dtype(column):
        return Kind.NUMBER
    if pd.api.types.is_numeric_dtype(column):
        counter = pd.api.types.is_integer_dtype(column) and len(column) > LOOKED_AT // 20
        counts_rows = counter and distinct == len(column) == int(present.max() - present.min()) + 1
        return Kind.IDENTIFIER if counts_rows else Kind.NUMBER
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _category_kind(present.astype(object), distinct)
    return _text_kind(present, distinct)


def _text_kind(present: "pd.Series[Any]", distinct: int) -> Kind:
    some = present.sample(LOOKED_AT, random_state=0) if len(present) > LOOKED_AT else present
    text = some.astype(str).str.strip()
    text = text[text != MISSING_TEXT]
    if not len(text):
        return Kind.CONSTANT
    if all(isinstance(value, bool | np.bool_) for value in some):
        return Kind.FEW
    if pd.to_numeric(text, errors="coerce").notna().mean() >= MOSTLY:
        return Kind.NUMBER_TEXT
    dated = text.str.contains(r"\d", regex=True) & text.str.contains(r"[-/:]", regex=True)
    if dated.mean() >= MOSTLY and as_time(text).notna().mean() >= MOSTLY:
        return Kind.TIME_TEXT
    many = distinct > FEW_CATEGORIES and distinct > TEXT_SHARE * len(present)
    if many and np.mean([len(value.split()) for value in text]) >= TEXT_WORDS:
        return Kind.WORDS
    return _category_kind(present, distinct)


def _category_kind(present: "pd.Series[Any]", distinct: int) -> Kind:
    if distinct > FEW_CATEGORIES and distinct > MOSTLY * len(present):
        return Kind.IDENTIFIER
    return Kind.FEW if distinct <= FEW_CATEGORIES else Kind.MANY


def as_number(column: "pd.Series[Any]") -> np.ndarray:
    """Numbers, truth values, durations (in seconds) or their text, as float64; else missing."""
    if column.dtype.kind in "fiub" and isinstance(column.dtype, np.dtype):
        # Of a wide table's single row, pandas' own checks take longer than the models.
        values = column.to_numpy().astype(np.float64)
        return np.where(np.isfinite(values), values, np.nan)
    if pd.api.types.is_timedelta64_dtype(column):
        column = column.dt.total_seconds()
    elif not pd.api.types.is_numeric_dtype(column):
        column = pd.to_numeric(column.astype(object), errors="coerce")
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def as_time(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Times in UTC; what is none is missing. Text may mix formats, so each value is read alone."""
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.to_datetime(column, utc=True)
    return pd.to_datetime(column.astype(str), utc=True, errors="coerce", format="mixed")


def as_text(column: "pd.Series[Any]") -> np.ndarray:
    """Categories as text without surrounding blanks, cut where endless; missing is empty.

    A whole number reads the same whether it came as an integer or, beside a missing value, a float.
    """
    values = column.astype(object)
    missing = values.isna().to_numpy()
    plain = [
        MISSING_TEXT
        if absent
        else str(int(value))
        if isinstance(value, float) and value.is_integer()
        else str(value).strip()[:LONGEST_TEXT]
        for value, absent in zip(values, missing, strict=True)
    ]
    return np.asarray(plain, dtype=str)


class PlainColumns:
    """A table's columns in plain form, each made once.

    An ensemble has a preparation for every fold; without this each would read the same times and
    texts again, which took nine tenths of a single row's prediction.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.table = table
        self._made: dict[tuple[str, Any], Any] = {}

    def numbers(self, name: Any) -> np.ndarray:
        """See `as_number`."""
        return np.asarray(self._once("number", name, as_number))

    def text(self, name: Any) -> np.ndarray:
        """See `as_text`."""
        return np.asarray(self._once("text", name, as_text))

    def words(self, name: Any) -> np.ndarray:
        """Free texts as they are."""
        texts: np.ndarray = self.table[name].astype(object).to_numpy()
        return texts

    def time_parts(self, name: Any) -> list[np.ndarray]:
        """See `time_parts`."""
        return list(self._once("time", name, lambda column: time_parts(as_time(column))))

    def _once(self, form: str, name: Any, make: "Callable[[pd.Series[Any]], Any]") -> Any:
        if (form, name) not in self._made:
            self._made[form, name] = make(self.table[name])
        return self._made[form, name]


def time_parts(times: "pd.Series[Any]") -> list[np.ndarray]:
    """Days since 1970, and the parts that return: of the year, the week and the day."""
    # Seconds first: pandas keeps times in units from seconds to nanoseconds.
    seconds = (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(dtype=np.float64)
    parts = [
        times.dt.month,
        times.dt.dayofyear,
        times.dt.dayofweek,
        times.dt.hour + times.dt.minute / 60,
    ]
    return [seconds / DAY, *(part.to_numpy(dtype=np.float64, na_value=np.nan) for part in parts)]
