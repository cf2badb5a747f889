"""A column of text, counted once: what every decision about it is made of."""

import difflib
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.contract import EVENT_TIME, RESERVED, ROW_ID
from goldpath.domain import LARGEST_INTEGER, NULL_WORDS
from goldpath.errors import ProjectError
from goldpath.quality.plain_numbers import finite_numbers

NO_ROLE = (EVENT_TIME, ROW_ID, "prediction")  # also none of a target
NUMERIC_SHARE = 0.99
ALMOST_UNIQUE = 0.9

WHOLE_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)
PADDED_NUMBER = re.compile(r"0\d+", re.ASCII)
# 1,234  1.234.567  1 234,5  12,5: a number to people of some country, and to no parser of ours.
LOCAL_NUMBER = re.compile(r"[+-]?(\d{1,3}([.,' ]\d{3})+([.,]\d+)?|\d*,\d+)", re.ASCII)
# `column_1` is what `sources` calls a column without a name, such as the index of a data frame.
IDENTIFIER_NAME = re.compile(
    r"(^|[_\s.-])(id|ids|uuid|guid|key|instant|number|num|nr|no|index|idx|row|rowid|record|phone|tel"
    r"|telephone|mobile|email|e-?mail|iban|isbn|ssn|imei|vin|hash|token)$"
    r"|[a-z](ID|Id|Key|UUID)$|^column_\d+$|^unnamed",
)
SUBJECT_NAME = re.compile(r"(^|[_\s.-])(id|ids|uuid|guid)$|[a-z](ID|Id|UUID)$")
MANY_SUBJECTS = 50


class AdoptionError(ProjectError):
    """A file cannot be adopted as asked."""


@dataclass(frozen=True)
class ColumnProfile:
    """A column of text, counted.

    Attributes:
        name: The column.
        values: One text a row, trimmed; null where the text stands for a missing value.
        levels: Each distinct text, in order of appearance.
        counts: How many rows hold each level.
        unit: What was taken off the numbers, see `number_columns`.
        missing_words: Words beyond the usual ones that were taken for a missing value.
        unreadable: Texts among numbers that were taken for a missing value, since they are none.
    """

    name: str
    values: pa.ChunkedArray
    levels: tuple[str, ...]
    counts: npt.NDArray[np.int64]
    unit: str = ""
    missing_words: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """All rows."""
        return len(self.values)

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return int(self.values.null_count)

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def distinct(self) -> int:
        """How many different values there are."""
        return len(self.levels)

    @cached_property
    def longest(self) -> int:
        """Characters of the longest value; 0 where there is none."""
        return max(map(len, self.levels), default=0)

    @property
    def is_unique(self) -> bool:
        """Whether every row has a value of its own."""
        return self.missing == 0 and self.distinct == self.rows

    @property
    def missing_text(self) -> str:
        """Missing values for people: `11 (0.16 %)`."""
        return (
            f"{self.missing:,} ({percentage(self.missing, self.rows)})" if self.missing else "none"
        )

    @cached_property
    def numbers(self) -> npt.NDArray[np.float64]:
        """Each level's finite number; NaN where it is none."""
        return finite_numbers(pa.array(self.levels, pa.string()))

    @cached_property
    def not_numbers(self) -> int:
        """Rows whose value is no finite number."""
        return int(self.counts[np.isnan(self.numbers)].sum())

    @cached_property
    def is_numeric(self) -> bool:
        """Whether the values are numbers, but for at most one in a hundred."""
        unread = np.flatnonzero(np.isnan(self.numbers))
        local = any(LOCAL_NUMBER.fullmatch(self.levels[place]) for place in unread)
        enough = (
            self.present > self.not_numbers
            and self.not_numbers <= (1 - NUMERIC_SHARE) * self.present
        )
        # 007 is a code; 07 % is a number.
        return enough and not local and (bool(self.unit) or not self.is_padded)

    @cached_property
    def is_padded(self) -> bool:
        """Whether a whole number begins with a zero."""
        return any(map(PADDED_NUMBER.fullmatch, self.levels))

    @cached_property
    def is_whole(self) -> bool:
        """Whether the numbers are written as whole ones that a float64 holds exactly."""
        return self.is_numeric and all(
            WHOLE_NUMBER.fullmatch(level) is not None and abs(number) <= LARGEST_INTEGER
            for level, number in zip(self.levels, self.numbers, strict=True)
            if not math.isnan(number)
        )

    @cached_property
    def is_sequence(self) -> bool:
        """Whether the rows are numbered one by one, in whatever order the file has them."""
        if not (self.is_unique and self.rows > 1 and self.is_whole and self.not_numbers == 0):
            return False
        return bool(self.numbers.max() - self.numbers.min() == self.rows - 1)

    @cached_property
    def is_digits(self) -> bool:
        """Whether every value is written as a whole number, of any length."""
        return self.distinct > 0 and all(map(WHOLE_NUMBER.fullmatch, self.levels))

    @cached_property
    def exceeds_float64(self) -> bool:
        """Whether most values are whole numbers that a float64 cannot tell from the next ones."""
        large = np.flatnonzero(np.abs(self.numbers) > LARGEST_INTEGER)
        whole = [place for place in large if WHOLE_NUMBER.fullmatch(self.levels[place])]
        return self.present > 0 and 2 * int(self.counts[whole].sum()) > self.present

    @cached_property
    def names_rows(self) -> bool:
        """Whether it is called like an identifier, and nearly every row has its own value."""
        own_values = 0 < ALMOST_UNIQUE * self.present <= self.distinct
        is_key = self.is_whole or self.is_digits or not self.is_numeric
        return own_values and is_key and _is_called(IDENTIFIER_NAME, self.name)

    @cached_property
    def is_called_subject(self) -> bool:
        """Whether it is called like the identifier of something, and its values could be one."""
        is_key = self.is_digits or not self.is_numeric
        return is_key and _is_called(SUBJECT_NAME, self.name)

    @cached_property
    def names_subjects(self) -> bool:
        """Whether it identifies so many things that a model would learn nothing of new ones."""
        return self.distinct > MANY_SUBJECTS and self.is_called_subject

    @property
    def is_identifier(self) -> bool:
        """Whether each row has its own value, and the name or a running number says why."""
        return self.is_sequence or (self.is_unique and self.names_rows)


def _is_called(pattern: re.Pattern[str], name: str) -> bool:
    return (pattern.search(name) or pattern.search(name.lower())) is not None


def profile_column(
    name: str, column: pa.ChunkedArray, known: Collection[str] = ()
) -> ColumnProfile:
    """Trim and count a column of text.

    Args:
        name: The column.
        column: Text, as `sources.read_raw` gives it.
        known: Words that are values here, though they usually stand for a missing one.
    """
    # As silver does: the blanks of ASCII, and no others.
    trimmed = pc.ascii_trim_whitespace(column)
    is_missing = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(NULL_WORDS))
    if known:
        is_known = pc.is_in(trimmed, value_set=pa.array(list(known), pa.string()))
        is_missing = pc.and_(is_missing, pc.invert(is_known))
    values = pc.if_else(is_missing, pa.scalar(None, pa.string()), trimmed)
    counted = pc.value_counts(values.drop_null())
    return ColumnProfile(
        name=name,
        values=values,
        levels=tuple(counted.field("values").to_pylist()),
        counts=np.asarray(counted.field("counts").to_numpy(zero_copy_only=False), dtype=np.int64),
    )


def require_column(profiles: Mapping[str, ColumnProfile], name: str, option: str) -> str:
    """Find a column that was asked for.

    Raises:
        AdoptionError: If there is none; suggests names that are near.
    """
    if name in profiles:
        return name
    folded = {column.casefold(): column for column in profiles}
    close = difflib.get_close_matches(name.strip().casefold(), folded, n=3, cutoff=0.6)
    near = [folded[match] for match in close]
    columns = ", ".join(profiles)
    raise AdoptionError(
        f"{option}={name}: the file has no such column; it has: {columns[:600]}",
        f"did you mean {' or '.join(near)}?" if near else "name one of these columns",
    )


def percentage(count: int, total: int) -> str:
    """A share in per cent, without an exponent, and 0 or 100 for nothing or all only."""
    if count in (0, total):
        return "100 %" if count else "0 %"
    share = 100 * count / total
    return "< 0.1 %" if share < 0.1 else "> 99.9 %" if share > 99.9 else f"{share:.1f} %"


def is_reserved(name: str) -> bool:
    """Whether this project uses the name itself."""
    return name.startswith("_") or name.lower() in NO_ROLE


def is_no_input(name: str) -> bool:
    """Whether neither a feature nor an id may have the name: a table of the lake has it already.

    In any case: DuckDB and Athena take Score and score for one column.
    """
    return name.startswith("_") or name.lower() in RESERVED
