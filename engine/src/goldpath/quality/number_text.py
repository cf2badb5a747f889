"""Raw text of numbers: units, words for a missing value, and negative amounts in parentheses.

The contract says what a column's text looks like (`unit`, `missing_words`); here it becomes text
that `quality.checks` reads as a number. `plain_text` says the same in Python, for adoption, which
looks at each different text once; a test holds the two together.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from goldpath.domain import PADDING

if TYPE_CHECKING:
    import ibis

BLANKS = "[ \u00a0\u202f]*"
DIGITS = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"


def unit_pattern(unit: str) -> str:
    """A number with its unit on one side: $5  -$5  $-5  5 kg."""
    mark = re.escape(unit)
    return rf"^[+-]?{BLANKS}(?:{mark}{BLANKS}[+-]?{DIGITS}|{DIGITS}{BLANKS}{mark})$"


def negative_pattern(unit: str) -> str:
    """A negative amount as accountants write it: ($5.00)."""
    mark = rf"(?:{re.escape(unit)})?"
    return rf"^\({BLANKS}{mark}{BLANKS}{DIGITS}{BLANKS}{mark}{BLANKS}\)$"


def plain_text(text: str, unit: str, missing_words: Sequence[str]) -> str | None:
    """The text of a number without what surrounds it; text of another form stays as it is.

    Args:
        text: Raw text.
        unit: What may stand before or behind the number; empty for none.
        missing_words: Words for a missing value, in any case.

    Returns:
        None where the text is one of the words.

    Example:
        >>> plain_text("-$1250.5", "$", ()), plain_text("(3 kg)", "kg", ())
        ('-1250.5', '-3')
        >>> plain_text("#N/A", "", ("#n/a",)) is None
        True
    """
    text = text.strip(PADDING)
    if text.lower() in {word.lower() for word in missing_words}:
        return None
    if not unit:
        return text
    if re.match(negative_pattern(unit), text):
        return "-" + _without(text, unit, "(", ")")
    return _without(text, unit) if re.match(unit_pattern(unit), text) else text


def plain_number_text(text: "ibis.Value", unit: str, missing_words: Sequence[str]) -> "ibis.Value":
    """`plain_text` as an expression on trimmed text."""
    import ibis

    if missing_words:
        pattern = "|".join(re.escape(word.lower()) for word in missing_words)
        text = text.lower().re_search(f"^(?:{pattern})$").ifelse(ibis.null("string"), text)
    if not unit:
        return text
    bare = text
    for piece in (unit, " ", "\u00a0", "\u202f"):
        bare = bare.replace(piece, "")
    amount = bare.replace("(", "").replace(")", "")
    return ibis.cases(
        (text.re_search(negative_pattern(unit)), ibis.literal("-") + amount),
        (text.re_search(unit_pattern(unit)), bare),
        else_=text,
    )


def _without(text: str, *pieces: str) -> str:
    for piece in (*pieces, " ", "\u00a0", "\u202f"):
        text = text.replace(piece, "")
    return text
