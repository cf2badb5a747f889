"""The line that names the columns: it may be a row of data, or come again among the rows."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.domain import NUMBER

NO_HEADER_FIX = "add a line with the columns' names before the first row"
SEEN_ROWS = 10_000
UNNAMED = re.compile(r"column_\d+")


def looks_like_data(raw: pa.Table) -> bool:
    """Whether most names could be values of their own columns.

    A number is one where it lies among the column's numbers, a text where a row holds it too.

    Args:
        raw: The file's rows as text, under the names of its first line.
    """
    head = raw.slice(0, SEEN_ROWS)
    values = sum(_is_a_value(name, head[name]) for name in raw.column_names)
    return bool(2 * values > raw.num_columns)


def describe_first_line(raw: pa.Table) -> str:
    """The sentence on a first line that looks like data."""
    shown = ", ".join(raw.column_names[:4])
    return f"the first line looks like a row of data, not like names: {shown}"


def find_repeated_headers(raw: pa.Table) -> tuple[int, ...]:
    """The numbers, from 1, of rows that hold each column's own name, as in joined files.

    Args:
        raw: Text columns.
    """
    again = np.ones(raw.num_rows, dtype=bool)
    for name in raw.column_names:
        column = pc.fill_null(raw[name].cast(pa.string()), "")
        # The second of two joined files may begin with a mark of its byte order.
        column = pc.utf8_trim(column, " \t\r\n\v\f\ufeff")
        names = [name, ""] if UNNAMED.fullmatch(name) else [name]
        again &= np.asarray(pc.is_in(column, value_set=pa.array(names)))
        if not again.any():
            return ()
    return tuple(int(place) + 1 for place in np.flatnonzero(again))


def _is_a_value(name: str, column: pa.ChunkedArray) -> bool:
    values = [text.strip() for text in pc.unique(column.drop_null()).to_pylist()]
    if not NUMBER.fullmatch(name):
        return name in values
    numbers = [float(text) for text in values if NUMBER.fullmatch(text)]
    return 2 * len(numbers) > len(values) and min(numbers) <= float(name) <= max(numbers)
