"""Numbers as people write them: decimal commas, and marks between groups of three digits.

What a file means by `1.531` is said by its `Source`, never guessed from the rows at hand, so that
the file of next month, a batch and a drift check read it as training did.
"""

import re

import pyarrow as pa
import pyarrow.compute as pc

from goldpath.contract import Source

# A number with a decimal comma, perhaps with its currency or unit: 1,5  -0,25  R$ 12,50  7,4 %.
DECIMAL_COMMA = (
    r"^(\s*(?:[A-Z]{0,3}[$€£¥]\s?)?[+-]?\d+|\s*[+-]?),"
    r"(\d+(?:[eE][+-]?\d+)?\s?[%€$£¥°]?[A-Za-z/²³]{0,4}\s*)$"
)
MARKS = {",": ",", ".": r"\.", "'": "['’]", " ": "[ \u00a0\u202f]"}  # noqa: RUF001
"""The marks between groups, as expressions: apostrophes and blanks have several forms."""


def grouped_number(mark: str, decimal: str) -> str:
    """A number in groups of three digits, as an expression.

    Args:
        mark: Between the groups, a key of `MARKS`.
        decimal: The file's decimal mark, where `mark` leaves it open.
    """
    point = {",": r"\.", ".": ","}.get(mark, re.escape(decimal))
    return rf"\d{{1,3}}(?:{MARKS[mark]}\d{{3}})+(?:{point}\d+)?"


def read_marks(rows: pa.RecordBatch, source: Source, *, is_csv: bool) -> pa.RecordBatch:
    """Numbers with a point for a decimal mark and nothing between their digits.

    Args:
        rows: Text columns under their names.
        source: Says which marks are meant.
        is_csv: Whether the rows are text as people wrote it. In other kinds of files a number has
            a decimal point already.
    """
    if source.decimal == "." and not source.thousands:
        return rows
    columns = []
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        mark = source.thousands.get(name)
        read = column
        if mark is not None and (is_csv or mark != "."):
            read = _without_groups(read, mark, source.decimal)
        if is_csv and source.decimal == ",":
            read = _with_points(read)
        columns.append(read)
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _without_groups(column: pa.Array, mark: str, decimal: str) -> pa.Array:
    pattern = rf"^[^\d]{{0,6}}{grouped_number(mark, decimal)}[^\d]{{0,6}}$"
    plain = pc.replace_substring_regex(column, pattern=MARKS[mark], replacement="")
    if mark == ".":
        plain = pc.replace_substring(plain, pattern=",", replacement=".")
    return pc.if_else(pc.match_substring_regex(column, pattern), plain, column)


def _with_points(column: pa.Array) -> pa.Array:
    # Few columns hold a comma, and looking for one is far cheaper than the expression.
    if not pc.any(pc.match_substring(column, ",")).as_py():
        return column
    return pc.replace_substring_regex(column, pattern=DECIMAL_COMMA, replacement=r"\1.\2")
