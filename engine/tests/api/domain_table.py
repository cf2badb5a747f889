"""The table of values: what each kind of feature takes, in every form that a value comes in.

A row is a value. Its forms: raw text, which is what a CSV file holds; the same text as a JSON
string or in a Parquet column of text; JSON or a Parquet column of numbers or truth values. Raw text
is read for every kind of feature. A string is text only: a number, an integer and a boolean refuse
it, whatever it says. A number or a truth value is refused by categories. Where a form does not
exist, the row says why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from goldpath.domain import LONGEST_TEXT, MISSING, NO_CATEGORY, Refusal, Value

# Each bound of `narrow` is one that DuckDB reads as the float64 beside it.
LOW, HIGH = 0.9345623445013135, 0.9548410376609885
KINDS: Mapping[str, Mapping[str, Any]] = {
    "number": {"type": "number"},
    "bounded": {"type": "number", "minimum": -1.5, "maximum": 1_234_567},
    "narrow": {"type": "number", "minimum": LOW, "maximum": HIGH},
    "integer": {"type": "integer"},
    "small": {"type": "integer", "minimum": 0.5, "maximum": 12.25},
    "boolean": {"type": "boolean"},
    "closed": {"type": "category", "categories": ["north", "two  years", "1", "none", "Größe"]},
    "many": {
        "type": "category",
        "categories": ["a.b", "c|d", "(", "\\", '"', "$", "a\tb", "'", "é", "1.0", "n", "*", "[x]"],
    },
    "open": {"type": "category"},
    "message": {"type": "text", "maximum_length": LONGEST_TEXT},
}
LEAST_BOUNDED, MOST_BOUNDED = Refusal("is below -1.5"), Refusal("is above 1234567")
LEAST_NARROW, MOST_NARROW = Refusal(f"is below {LOW}"), Refusal(f"is above {HIGH}")
LEAST_SMALL, MOST_SMALL = Refusal("is below 0.5"), Refusal("is above 12.25")
NO_NUMBER, NO_INTEGER = Refusal("is not a finite number"), Refusal("is not a whole number")
NO_BOOLEAN, NO_TEXT = Refusal("is not true or false"), Refusal("is not text")
UNKNOWN, LONG = Refusal(NO_CATEGORY), Refusal(f"is longer than {LONGEST_TEXT} characters")
OF_OTHER_TYPE = {
    **dict.fromkeys(("number", "bounded", "narrow"), NO_NUMBER),
    **dict.fromkeys(("integer", "small"), NO_INTEGER),
    "boolean": NO_BOOLEAN,
    **dict.fromkeys(("closed", "many", "open", "message"), NO_TEXT),
}


@dataclass(frozen=True)
class Absent:
    """A form that a value does not have, and why."""

    why: str


@dataclass(frozen=True)
class Left:
    """A value that is accepted, but not by the fast readers: these leave it to the request models.

    Attributes:
        value: The value.
        by: Who leaves it.
    """

    value: Value | Refusal
    by: tuple[str, ...] = ("structs", "compiled")


MISSES = Refusal(MISSING)
"""Missing: None where the feature is nullable, and else this refusal."""

WORD = Left(MISSES)
"""Missing, in a word; the fast readers read none."""

Verdict = Value | Refusal | Left


@dataclass(frozen=True)
class Row:
    """A value.

    Attributes:
        text: As raw text; also as a JSON string, and in a column of text.
        json: As JSON that is no string.
        column: The type of the Parquet column that holds what `json` says.
        verdicts: What each kind makes of it; a kind that is not here refuses it, since it is of
            another type (a category: since it is none of its own; the open one takes the text).
        string: The JSON string, where it is not simply the text.
        typed: What each kind makes of `json` and `column`, where that differs: a boolean's raw
            text is one of a few words, while any 1 that is a number is true.
    """

    text: str | Absent | None
    json: str | Absent
    column: pa.DataType | Absent
    verdicts: Mapping[str, Verdict]
    string: str | None = None
    typed: Mapping[str, Verdict] = field(default_factory=dict)

    def verdict(self, kind: str, *, typed: bool = False) -> Verdict:
        """What a kind makes of it in a form that it reads."""
        if kind == "message":  # a free text of the same length is read as an open category is
            kind = "open"
        if typed and kind in self.typed:
            return self.typed[kind]
        if kind in self.verdicts:
            return self.verdicts[kind]
        if kind in ("closed", "many"):
            return UNKNOWN
        if kind == "open" and isinstance(self.text, str):
            return self.text
        return OF_OTHER_TYPE[kind]


def row(
    text: str | Absent | None,
    json: str | Absent,
    column: pa.DataType | Absent,
    *,
    string: str | None = None,
    typed: Mapping[str, Verdict] | None = None,
    **verdicts: Verdict,
) -> Row:
    """A row of the table; see `Row`."""
    return Row(text, json, column, verdicts, string, typed or {})


def everywhere(verdict: Verdict) -> dict[str, Any]:
    """The same verdict of every kind."""
    return dict.fromkeys(KINDS, verdict)


I64, F64, BOOL = pa.int64(), pa.float64(), pa.bool_()
TEXT_ONLY = Absent("JSON and Parquet write it otherwise")
BUT_JSON = Absent("no Arrow type holds it")
NOT_JSON = Absent("it is no JSON")
NOT_UNICODE = Absent("UTF-8 cannot hold it")
C = ("compiled",)

TABLE = {
    # ---- missing
    "null": row(None, "null", pa.null(), **everywhere(MISSES)),
    "null of numbers": row(None, "null", F64, **everywhere(MISSES)),
    "null of truths": row(None, "null", BOOL, **everywhere(MISSES)),
    "null of texts": row(None, "null", pa.string(), **everywhere(MISSES)),
    "NaN": row("NaN", NOT_JSON, F64, **everywhere(WORD)),
    "empty": row("", TEXT_ONLY, TEXT_ONLY, **everywhere(WORD)),
    "blank": row(" \t\r\n\v\f ", TEXT_ONLY, TEXT_ONLY, **everywhere(WORD)),
    "NULL": row("NULL", TEXT_ONLY, TEXT_ONLY, **everywhere(WORD)),
    " n/a ": row(" n/a ", TEXT_ONLY, TEXT_ONLY, **everywhere(WORD)),
    "Na": row("Na", TEXT_ONLY, TEXT_ONLY, **everywhere(WORD)),
    "?": row("?", TEXT_ONLY, TEXT_ONLY, **everywhere(WORD)),
    "none": row("none", TEXT_ONLY, TEXT_ONLY, **everywhere(WORD) | {"closed": "none"}),
    "None": row("None", TEXT_ONLY, TEXT_ONLY, **everywhere(WORD)),
    " none": row(" none", TEXT_ONLY, TEXT_ONLY, **everywhere(WORD) | {"closed": Left("none")}),
    "null!": row("null!", TEXT_ONLY, TEXT_ONLY),
    "nul": row("nul", TEXT_ONLY, TEXT_ONLY),
    # ---- whole numbers
    "0": row("0", "0", I64, number=0.0, bounded=0.0, narrow=LEAST_NARROW, integer=0,
             small=LEAST_SMALL, boolean=Left(False)),
    "1": row("1", "1", I64, number=1.0, bounded=1.0, narrow=MOST_NARROW, integer=1, small=1,
             boolean=Left(True), closed="1"),
    "12": row("12", "12", pa.int8(), number=12.0, bounded=12.0, narrow=MOST_NARROW, integer=12,
              small=12),
    "13": row("13", "13", pa.uint64(), number=13.0, bounded=13.0, narrow=MOST_NARROW, integer=13,
              small=MOST_SMALL),
    "-1": row("-1", "-1", I64, number=-1.0, bounded=-1.0, narrow=LEAST_NARROW, integer=-1,
              small=LEAST_SMALL),
    "-2": row("-2", "-2", pa.int32(), number=-2.0, bounded=LEAST_BOUNDED, narrow=LEAST_NARROW,
              integer=-2, small=LEAST_SMALL),
    "2": row("2", "2", I64, number=2.0, bounded=2.0, narrow=MOST_NARROW, integer=2, small=2),
    "1234567": row("1234567", "1234567", I64, number=1234567.0, bounded=1234567.0,
                   narrow=MOST_NARROW, integer=1234567, small=MOST_SMALL),
    "1234568": row("1234568", "1234568", I64, number=1234568.0, bounded=MOST_BOUNDED,
                   narrow=MOST_NARROW, integer=1234568, small=MOST_SMALL),
    "2^53 - 1": row("9007199254740991", "9007199254740991", I64, number=9007199254740991.0,
                    bounded=MOST_BOUNDED, narrow=MOST_NARROW, integer=9007199254740991,
                    small=MOST_SMALL),
    "1 - 2^53": row("-9007199254740991", "-9007199254740991", I64, number=-9007199254740991.0,
                    bounded=LEAST_BOUNDED, narrow=LEAST_NARROW, integer=-9007199254740991,
                    small=LEAST_SMALL),
    "2^53": row("9007199254740992", "9007199254740992", I64, number=9007199254740992.0,
                bounded=MOST_BOUNDED, narrow=MOST_NARROW),
    "2^53 + 1": row("9007199254740993", "9007199254740993", I64,
                    number=Left(9007199254740992.0, C), bounded=MOST_BOUNDED, narrow=MOST_NARROW),
    "10^30": row("1" + "0" * 30, "1" + "0" * 30, BUT_JSON, number=Left(1e30, C),
                 bounded=MOST_BOUNDED, narrow=MOST_NARROW),
    "10^400": row("1" + "0" * 400, "1" + "0" * 400, BUT_JSON, open=LONG),
    "uint64": row("18446744073709551615", "18446744073709551615", pa.uint64(),
                  number=Left(18446744073709551616.0, C), bounded=MOST_BOUNDED,
                  narrow=MOST_NARROW),
    # ---- other spellings
    "+1": row("+1", NOT_JSON, TEXT_ONLY, number=1.0, bounded=1.0, narrow=MOST_NARROW, integer=1,
              small=1),
    "007": row("007", NOT_JSON, TEXT_ONLY, number=7.0, bounded=7.0, narrow=MOST_NARROW, integer=7,
               small=7),
    " 3 ": row(" 3\t", " 3\t", I64, number=3.0, bounded=3.0, narrow=MOST_NARROW, integer=3,
               small=3, open=Left("3")),
    "1.0": row("1.0", "1.0", F64, number=1.0, bounded=1.0, narrow=MOST_NARROW, integer=Left(1),
               small=Left(1), boolean=Left(True), many="1.0"),
    "0.0": row("0.0", "0.0", pa.float32(), number=0.0, bounded=0.0, narrow=LEAST_NARROW,
               integer=Left(0), small=LEAST_SMALL, boolean=Left(False)),
    "-0.0": row("-0.0", "-0.0", F64, number=Left(-0.0, C), bounded=Left(-0.0, C),
                narrow=LEAST_NARROW, integer=Left(0), small=LEAST_SMALL,
                typed={"boolean": Left(False)}),
    "1.00": row("1.00", "1.00", F64, number=1.0, bounded=1.0, narrow=MOST_NARROW, integer=Left(1),
                small=Left(1), typed={"boolean": Left(True)}),
    "1e1": row("1e1", "1e1", F64, number=10.0, bounded=10.0, narrow=MOST_NARROW,
               integer=Left(10), small=Left(10)),
    "1E+3": row("1E+3", "1E+3", F64, number=1000.0, bounded=1000.0, narrow=MOST_NARROW,
                integer=Left(1000), small=MOST_SMALL),
    "5.": row("5.", NOT_JSON, TEXT_ONLY, number=5.0, bounded=5.0, narrow=MOST_NARROW, integer=5,
              small=5),
    ".5": row(".5", NOT_JSON, TEXT_ONLY, number=0.5, bounded=0.5, narrow=LEAST_NARROW),
    # ---- fractions and extremes
    "0.1": row("0.1", "0.1", F64, number=0.1, bounded=0.1, narrow=LEAST_NARROW),
    "0.5": row("0.5", "0.5", pa.float16(), number=0.5, bounded=0.5, narrow=LEAST_NARROW),
    "12.25": row("12.25", "12.25", pa.decimal128(6, 3), number=12.25, bounded=12.25,
                 narrow=MOST_NARROW),
    "-1.5": row("-1.5", "-1.5", F64, number=-1.5, bounded=-1.5, narrow=LEAST_NARROW),
    "below -1.5": row("-1.5000000000000002", "-1.5000000000000002", F64,
                      number=-1.5000000000000002, bounded=LEAST_BOUNDED, narrow=LEAST_NARROW),
    "the low bound": row(repr(LOW), repr(LOW), F64, number=LOW, bounded=LOW, narrow=LOW),
    "below the low bound": row("0.9345623445013134", "0.9345623445013134", F64,
                               number=0.9345623445013134, bounded=0.9345623445013134,
                               narrow=LEAST_NARROW),
    "the high bound": row(repr(HIGH), repr(HIGH), F64, number=HIGH, bounded=HIGH, narrow=HIGH),
    "above the high bound": row("0.9548410376609886", "0.9548410376609886", F64,
                                number=0.9548410376609886, bounded=0.9548410376609886,
                                narrow=MOST_NARROW),
    "just whole": row("9007199254740990.6", "9007199254740990.6", F64,
                      number=9007199254740991.0, bounded=MOST_BOUNDED, narrow=MOST_NARROW,
                      integer=Left(9007199254740991), small=MOST_SMALL),
    "1e300": row("1e300", "1e300", F64, number=1e300, bounded=MOST_BOUNDED, narrow=MOST_NARROW),
    "5e-324": row("5e-324", "5e-324", F64, number=5e-324, bounded=5e-324, narrow=LEAST_NARROW),
    "1e-400": row("1e-400", "1e-400", F64, number=Left(0.0, C), bounded=Left(0.0, C),
                  narrow=LEAST_NARROW, integer=Left(0), small=LEAST_SMALL,
                  typed={"boolean": Left(False)}),
    "1e400": row("1e400", "1e400", F64),
    "inf": row("inf", NOT_JSON, F64),
    "-Infinity": row("-Infinity", NOT_JSON, F64),
    # ---- no numbers
    "1_000": row("1_000", NOT_JSON, TEXT_ONLY),
    "1,5": row("1,5", NOT_JSON, TEXT_ONLY),
    "+-5": row("+-5", NOT_JSON, TEXT_ONLY),
    "--5": row("--5", NOT_JSON, TEXT_ONLY),
    "1e": row("1e", NOT_JSON, TEXT_ONLY),
    ".": row(".", NOT_JSON, TEXT_ONLY),
    "0x10": row("0x10", NOT_JSON, TEXT_ONLY),
    "1d": row("1d", NOT_JSON, TEXT_ONLY),
    "Arabic digits": row("٣", NOT_JSON, TEXT_ONLY),
    "a list": row(Absent("a cell holds no list"), "[1]", Absent("a column of lists is refused")),
    "an object": row(Absent("a cell holds no object"), "{}", Absent("so is one of structs")),
    # ---- truth
    "true": row("true", "true", BOOL, boolean=True),
    "false": row("false", "false", BOOL, boolean=False),
    "TRUE": row("TRUE", NOT_JSON, TEXT_ONLY, boolean=True),
    " Yes": row(" Yes", TEXT_ONLY, TEXT_ONLY, boolean=True, open=Left("Yes")),
    "t": row("t", TEXT_ONLY, TEXT_ONLY, boolean=True),
    "n": row("n", TEXT_ONLY, TEXT_ONLY, boolean=False, many="n"),
    "N": row("N", TEXT_ONLY, TEXT_ONLY, boolean=False),
    "F": row("F", TEXT_ONLY, TEXT_ONLY, boolean=False),
    "on": row("on", TEXT_ONLY, TEXT_ONLY),
    # ---- texts
    "north": row("north", TEXT_ONLY, TEXT_ONLY, closed="north"),
    "North": row("North", TEXT_ONLY, TEXT_ONLY),
    "padded": row("\v north\n", TEXT_ONLY, TEXT_ONLY, closed=Left("north"), open=Left("north")),
    "two words": row("two  years", TEXT_ONLY, TEXT_ONLY, closed="two  years"),
    "one blank less": row("two years", TEXT_ONLY, TEXT_ONLY),
    "umlaut": row("Größe", TEXT_ONLY, TEXT_ONLY, closed="Größe"),
    "umlaut of two": row("Gro\u0308ße", TEXT_ONLY, TEXT_ONLY),
    "ASCII escapes": row("é", TEXT_ONLY, TEXT_ONLY, many="é", string='"\\u00e9"'),
    "any escape": row("north", TEXT_ONLY, TEXT_ONLY, closed=Left("north", C),
                      open=Left("north", C), string='"\\u006eorth"'),
    "quote": row('"', TEXT_ONLY, TEXT_ONLY, many='"'),
    "apostrophe": row("'", TEXT_ONLY, TEXT_ONLY, many="'"),
    "backslash": row("\\", TEXT_ONLY, TEXT_ONLY, many="\\"),
    "tab inside": row("a\tb", TEXT_ONLY, TEXT_ONLY, many="a\tb"),
    "point": row("a.b", TEXT_ONLY, TEXT_ONLY, many="a.b"),
    "not any character": row("axb", TEXT_ONLY, TEXT_ONLY),
    "bar": row("c|d", TEXT_ONLY, TEXT_ONLY, many="c|d"),
    "a side of the bar": row("c", TEXT_ONLY, TEXT_ONLY),
    "no-break space": row("\u00a0north", TEXT_ONLY, TEXT_ONLY),
    "no-break space alone": row("\u00a0", TEXT_ONLY, TEXT_ONLY),
    "separator": row("north\x1c", TEXT_ONLY, TEXT_ONLY),
    "next line": row("\x85n/a", TEXT_ONLY, TEXT_ONLY),
    "wide": row("\uff2e\uff21", TEXT_ONLY, TEXT_ONLY),
    "colon": row("a:b", TEXT_ONLY, TEXT_ONLY),
    "NUL": row("a\0b", TEXT_ONLY, TEXT_ONLY),
    "200 characters": row("\U0001f33b" * 200, TEXT_ONLY, TEXT_ONLY),
    "201 characters": row("x" * 201, TEXT_ONLY, TEXT_ONLY, open=LONG),
    "200 and blanks": row("x" * 200 + " ", TEXT_ONLY, TEXT_ONLY, open=Left("x" * 200)),
    "lone surrogate": row(NOT_UNICODE, NOT_JSON, NOT_UNICODE, string='"\\ud800"',
                          closed=NO_TEXT, many=NO_TEXT, open=NO_TEXT),
}  # fmt: skip
