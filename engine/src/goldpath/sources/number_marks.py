"""Numbers as people write them: decimal commas, and marks between groups of three digits.

What a file means by `1.531` is said by its `Source`, never guessed from the rows at hand, so that
the file of next month, a batch and a drift check read it as training did.
"""

import re

import pyarrow as pa
import pyarrow.compute as pc

from goldpath.raw_source import Source

BLANK = "[ \t\u00a0\u202f]?"
CURRENCY = r"(?:[A-Z]{0,3}\p{Sc}|[A-Z]{3}|[Kk]r\.?|Rs\.?|Fr\.?|zł|Kč)"
FRACTION = r"\d+(?:[eE][+-]?\d+)?"
UNIT = r"(?:[%‰°\p{Sc}][\p{L}/²³]{0,4}|[\p{L}/²³]{1,4})\.?"
# A number with a decimal comma, perhaps with its currency or unit, in RE2's syntax: 1,5  -0,25
# R$ 12,50  -€5,95  EUR 12,50  12,50 zł  7,4 %. In parentheses with one only: (12,50 €), not (1,2).
DECIMAL_COMMA = (
    rf"^(\s*[+-]?{BLANK}(?:{CURRENCY}{BLANK}[+-]?)?\d*),({FRACTION}(?:{BLANK}{UNIT})?\s*)$"
    rf"|^(\({BLANK}{CURRENCY}{BLANK}\d*),({FRACTION}{BLANK}\))$"
    rf"|^(\({BLANK}\d*),({FRACTION}{BLANK}{UNIT}{BLANK}\))$"
)
WITH_POINT = r"\1\3\5.\2\4\6"
MARKS = {",": ",", ".": r"\.", "'": "['’]", " ": "[ \u00a0\u202f]"}  # noqa: RUF001
"""The marks between groups, as expressions: apostrophes and blanks have several forms."""


def grouped_number(mark: str, decimal: str) -> str:
    """A number in groups of three digits, or in India's of two before the last, as an expression.

    Args:
        mark: Between the groups, a key of `MARKS`.
        decimal: The file's decimal mark, where `mark` leaves it open.
    """
    point = {",": r"\.", ".": ","}.get(mark, re.escape(decimal))
    groups = rf"\d{{1,3}}(?:{MARKS[mark]}\d{{3}})+"
    if mark == ",":  # lakh and crore: 12,34,567
        groups = rf"(?:{groups}|\d{{1,2}}(?:,\d{{2}})+,\d{{3}})"
    return rf"{groups}(?:{point}\d+)?"


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
        # Points between groups leave the comma for the decimals, whatever the rest of the file has.
        if is_csv and (source.decimal == "," or mark == "."):
            read = _with_points(read)
        columns.append(read)
    return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def _without_groups(column: pa.Array, mark: str, decimal: str) -> pa.Array:
    pattern = rf"^[^\d]{{0,6}}{grouped_number(mark, decimal)}[^\d]{{0,6}}$"
    # Between digits only: the point of Rs. 1.234,50 belongs to the currency.
    between = rf"(\d){MARKS[mark]}(\d)"
    plain = pc.replace_substring_regex(column, pattern=between, replacement=r"\1\2")
    if mark == ".":
        plain = pc.replace_substring(plain, pattern=",", replacement=".")
    return pc.if_else(pc.match_substring_regex(column, pattern), plain, column)


def _with_points(column: pa.Array) -> pa.Array:
    # Few columns hold a comma, and looking for one is far cheaper than the expression.
    if not pc.any(pc.match_substring(column, ",")).as_py():
        return column
    return pc.replace_substring_regex(column, pattern=DECIMAL_COMMA, replacement=WITH_POINT)
