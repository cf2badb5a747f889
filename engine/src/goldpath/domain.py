"""What a feature's value may be: the one place that says so.

`Feature.domain` makes a `Domain` from what the contract says of a feature. Five readers are derived
from it: the checks between bronze and silver (`quality.checks`, text), the checks of a Parquet file
(`quality.typed_rows`), the request models (`serving.schemas`), and the fast lane's structs and its
reader in C (`serving.lane`), which take a part of what the request models take and leave the rest
to them. `accept` and `accept_text` are the reference: plain Python, too slow for rows. A test runs
one table of values, and drawn ones, through all six.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

Kind = Literal["number", "integer", "boolean", "category", "text"]
Value: TypeAlias = bool | int | float | str | None

PADDING = " \t\n\r\v\f"
"""What is trimmed off a text. Python's own `strip` takes more, such as a no-break space, which the
lake's engines keep; a service that did would ask the model about a text it was not trained on."""

TRUE_WORDS = ("true", "t", "yes", "y", "1", "1.0")
FALSE_WORDS = ("false", "f", "no", "n", "0", "0.0")
NULL_WORDS = ("", "na", "n/a", "nan", "null", "none", "?")

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""How a number is written in text."""

LARGEST_INTEGER = 2**53 - 1
"""Float64, which the model computes in, holds every whole number up to here."""

STORED: dict[Kind, str] = {
    "number": "float64",
    "integer": "int64",
    "boolean": "boolean",
    "category": "string",
    "text": "string",
}
"""How tables hold a type, in names that Ibis and Arrow both know."""

PYTHON_TYPES: dict[Kind, type[bool] | type[int] | type[float] | type[str]] = {
    "number": float,
    "integer": int,
    "boolean": bool,
    "category": str,
    "text": str,
}
"""How Python holds a type."""

TEXT_KINDS: tuple[Kind, ...] = ("category", "text")
"""The types whose values are text."""

LONGEST_TEXT = 200
"""Characters of an open category. Each value is logged with its prediction, so a limit there is."""

LONGEST_FREE_TEXT = 5_000
"""Characters of a free text where the contract does not say `maximum_length`."""

MOST_CHARACTERS = 100_000
"""The largest `maximum_length`: a request with several such texts still fits into a body."""

LONGEST_WORD = 60
"""Characters; what is longer, such as a hash or encoded data, is no word."""

WORD_PATTERN = rf"\b\w{{1,{LONGEST_WORD}}}\b"
"""A word of a free text, once it is in lower case."""

_WORD = re.compile(WORD_PATTERN)

NAMED_CATEGORIES = 20

MISSING = "missing"
NO_CATEGORY = "is not one of its categories"
_WANTED = {
    "number": "a finite number",
    "integer": "a whole number",
    "boolean": "true or false",
    "category": "text",
    "text": "text",
}


class DomainError(ValueError):
    """A domain that suits no value, or not its type."""


@dataclass(frozen=True)
class Refusal:
    """A value is not allowed.

    Attributes:
        reason: What is wrong with it, to be put behind its column's name: `is above 120`.
    """

    reason: str


@dataclass(frozen=True)
class Domain:
    """The values that are allowed.

    Attributes:
        kind: The type.
        nullable: Whether a value may be missing.
        minimum: Smallest allowed number, or None.
        maximum: Largest allowed number, or None.
        categories: Allowed texts of a category; None leaves the set open.
        maximum_length: Characters that a free text may have; None for `LONGEST_FREE_TEXT`.

    Raises:
        DomainError: If the limits do not suit the type, or leave no value.

    Example:
        >>> age = Domain("integer", minimum=18, maximum=110)
        >>> age.accept(42.0), age.accept(17), age.accept_text(" 1e2 ")
        (42, Refusal(reason='is below 18'), 100)
    """

    kind: Kind
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] | None = None
    maximum_length: int | None = None

    def __post_init__(self) -> None:
        self._check_bounds()
        self._check_categories()
        self._check_length()

    @property
    def is_text(self) -> bool:
        """Whether its values are text: categories, or free text."""
        return self.kind in TEXT_KINDS

    @property
    def longest(self) -> int:
        """Characters of the longest allowed text, where no list says which there are."""
        if self.kind == "category":
            return LONGEST_TEXT
        return self.maximum_length or LONGEST_FREE_TEXT

    @property
    def too_long(self) -> str:
        """What is said of a longer text."""
        return f"is longer than {self.longest} characters"

    @cached_property
    def known(self) -> frozenset[str]:
        """The allowed texts, to look one up; none where the set is open."""
        return frozenset(self.categories or ())

    @property
    def integer_range(self) -> tuple[int, int]:
        """Smallest and largest whole number, both allowed."""
        low, high = -LARGEST_INTEGER, LARGEST_INTEGER
        return (
            low if self.minimum is None else max(low, math.ceil(self.minimum)),
            high if self.maximum is None else min(high, math.floor(self.maximum)),
        )

    @property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest number as float64, both allowed; infinite without a bound."""
        if self.kind == "integer":
            low, high = self.integer_range
            return float(low), float(high)
        return (
            -math.inf if self.minimum is None else self.minimum,
            math.inf if self.maximum is None else self.maximum,
        )

    @property
    def unreadable(self) -> str:
        """What is said of a value that is of another type."""
        return f"is not {_WANTED[self.kind]}"

    def describe(self) -> str:
        """What a value may be, in words: `a whole number from 18 to 110, or null`."""
        if self.categories is not None:
            named = ", ".join(f'"{name[:80]}"' for name in self.categories[:NAMED_CATEGORIES])
            more = len(self.categories) - NAMED_CATEGORIES
            text = f"one of {named}" + (f" and {more} more" if more > 0 else "")
        elif self.is_text:
            text = f"a text of 1 to {self.longest} characters"
        else:
            text = _WANTED[self.kind]
            if self.minimum is not None and self.maximum is not None:
                text += f" from {number_text(self.minimum)} to {number_text(self.maximum)}"
            elif self.minimum is not None:
                text += f" of {number_text(self.minimum)} or more"
            elif self.maximum is not None:
                text += f" of {number_text(self.maximum)} or less"
        return f"{text}, or null" if self.nullable else text

    def accept(self, value: object) -> Value | Refusal:
        """A value that has a type already, as JSON or a Parquet file holds it.

        Args:
            value: None or NaN where it is missing.

        Returns:
            The value as the model gets it (None where it is missing), or why it is refused.
        """
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return self._missing()
        if self.is_text:
            return self._accept_category(value)
        if self.kind == "boolean":
            truth = truth_of(value)
            return Refusal(self.unreadable) if truth is None else truth
        return self._accept_number(value)

    def accept_text(self, text: str | None) -> Value | Refusal:
        """A value that is text, as a CSV file holds it; the return value is that of `accept`."""
        if self.is_text:
            return self.accept(text)
        word = "" if text is None else text.strip(PADDING)
        if word.lower() in NULL_WORDS:
            return self._missing()
        if self.kind == "boolean":
            folded = word.lower()
            known = folded in TRUE_WORDS or folded in FALSE_WORDS
            return folded in TRUE_WORDS if known else Refusal(self.unreadable)
        return self._accept_number(float(word) if NUMBER.fullmatch(word) else None)

    def read_category(self, text: str) -> str | None:
        """A category's text, trimmed; None where it is a word for a missing value.

        A category that is called like such a word (`none`) is the category.
        """
        word = text.strip(PADDING)
        if word in self.known:
            return word
        return None if word.lower() in NULL_WORDS else word

    def _accept_category(self, value: object) -> Value | Refusal:
        if not isinstance(value, str) or not _is_unicode(value):
            return Refusal(self.unreadable)
        text = self.read_category(value)
        if text is None:
            return self._missing()
        if self.categories is not None:
            return text if text in self.known else Refusal(NO_CATEGORY)
        return text if len(text) <= self.longest else Refusal(self.too_long)

    def _accept_number(self, value: object) -> Value | Refusal:
        number = _float64(value)
        if number is None or not math.isfinite(number):
            return Refusal(self.unreadable)
        if self.kind == "integer" and (number % 1 != 0 or abs(number) > LARGEST_INTEGER):
            return Refusal(self.unreadable)
        if self.minimum is not None and number < self.minimum:
            return Refusal(below(self.minimum))
        if self.maximum is not None and number > self.maximum:
            return Refusal(above(self.maximum))
        return int(number) if self.kind == "integer" else number

    def _missing(self) -> Refusal | None:
        return None if self.nullable else Refusal(MISSING)

    def _check_bounds(self) -> None:
        low, high = self.minimum, self.maximum
        if self.kind not in ("number", "integer"):
            if low is not None or high is not None:
                raise DomainError(f"minimum and maximum are for numbers, not for {self.kind}")
            return
        for name, bound in (("minimum", low), ("maximum", high)):
            if bound is not None and not math.isfinite(bound):
                raise DomainError(f"{name} {bound} is not finite; leave it out for no bound")
        if low is not None and high is not None and low > high:
            raise DomainError(f"minimum {low} is above maximum {high}")
        first, last = self.integer_range
        if self.kind == "integer" and first > last:
            raise DomainError(
                f"no whole number that a float64 holds lies from minimum {low} to maximum {high}"
            )

    def _check_length(self) -> None:
        longest = self.maximum_length
        if longest is None:
            return
        if self.kind != "text":
            raise DomainError(f"maximum_length is for type text, not for {self.kind}")
        if not 1 <= longest <= MOST_CHARACTERS:
            raise DomainError(
                f"maximum_length {longest} is not between 1 and {MOST_CHARACTERS:,} characters"
            )

    def _check_categories(self) -> None:
        if self.categories is None:
            return
        if self.kind != "category":
            raise DomainError(f"categories are for type category, not for {self.kind}")
        if not self.categories:
            raise DomainError("categories is empty; leave it out for an open set")
        for text in self.categories:
            if text != text.strip(PADDING):
                raise DomainError(
                    f"no value can be the category {text!r}, since values are trimmed; "
                    f"write {text.strip(PADDING)!r}"
                )
            if not can_be_listed(text):
                raise DomainError(
                    f"no database can compare values with the category {text!r}; "
                    "leave categories out for an open set"
                )


def words_of(text: str) -> list[str]:
    """The words of a free text: lower case, without punctuation, none longer than words are.

    Example:
        >>> words_of("Refund NOT received, order 12!")
        ['refund', 'not', 'received', 'order', '12']
    """
    return _WORD.findall(text.lower())


def common_words(texts: Iterable[str], most: int) -> tuple[tuple[str, int], ...]:
    """The words that most texts have, with the number of texts; the first ones by name of equals.

    Example:
        >>> common_words(["late again", "late, late", "no order"], 2)
        (('late', 2), ('again', 1))
    """
    counts = Counter(word for text in texts for word in set(words_of(text)))
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most])


def is_number(value: object) -> bool:
    """Whether a typed value is a number; a boolean is none, though Python says so."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def truth_of(value: object) -> bool | None:
    """A typed value as a boolean, None where it is none.

    Data frames hold booleans with gaps as numbers, so 0 and 1 are taken.
    """
    if isinstance(value, bool):
        return value
    return bool(value) if is_number(value) and value in (0, 1) else None


def can_be_listed(text: str) -> bool:
    """Whether a text, trimmed, may be among the categories: SQL cannot write every one."""
    return "\0" not in text and _is_unicode(text)


def below(minimum: float) -> str:
    """What is said of a number below the minimum."""
    return f"is below {number_text(minimum)}"


def above(maximum: float) -> str:
    """What is said of a number above the maximum."""
    return f"is above {number_text(maximum)}"


def number_text(number: float) -> str:
    """A number with all of its digits, and no `.0` behind a whole one."""
    return repr(float(number)).removesuffix(".0")


def is_plain(text: str | None) -> bool:
    """Whether an open category is read as it stands: nothing to trim, no word for a missing one."""
    return text is None or (text == text.strip(PADDING) and text.lower() not in NULL_WORDS)


def _float64(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold it; a lone surrogate, which JSON can spell, it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
