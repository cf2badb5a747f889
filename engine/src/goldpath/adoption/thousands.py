"""Which mark a column's numbers use between groups of three digits, if any.

`1,531` and `1.531` can each be a thousand or one and a half. A column settles it where it has a
number that can be read in one way only; else the file's decimal mark does; where that does not
either, the column is named with the option that answers.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from goldpath.adoption.number_columns import GAP_WORDS, UNITS_ALWAYS
from goldpath.domain import NULL_WORDS
from goldpath.sources.number_marks import MARKS, grouped_number

Mark = Literal[",", ".", "'", " "]

NUMBER_SHARE = 0.9
ENOUGH_GROUPED = 3
OTHER_MARK = 0.2
SHOWN_NAMES = 3
# A number in any notation, with what may stand around it: a sign, a currency (Rs. 5), a unit.
CORE = re.compile(
    r"[^\d.,]{0,6}?(?:(?<=[A-Za-z])\.[ \u00a0\u202f])?"
    r"([+-]?[.,]?\d[\d.,'’ \u00a0\u202f]*)[^\d]{0,6}",  # noqa: RUF001
    re.ASCII,
)

OTHER_MARKS = "[,'’ \t\u00a0\u202f]"  # noqa: RUF001
# A point that no group of three follows, or with a zero alone before it.
SURE_POINT = r"^[+-]?(?:0\.[0-9]*|[0-9]+\.(?:[0-9]{0,2}|[0-9]{4,})|[0-9]{4,}\.[0-9]*|\.[0-9]+)$"
AROUND = re.compile("[\\d\\s.,()+\\-\u00a0\u202f]")


@dataclass(frozen=True)
class Thousands:
    """What was found.

    Attributes:
        marks: The mark of each column that has one, for `Source.thousands`.
        notes: What was decided, and what is asked.
    """

    marks: Mapping[str, Mark]
    notes: tuple[str, ...]


def find_thousands(raw: pa.Table, decimal: str, answers: Mapping[str, str]) -> Thousands:
    """Look at each different value of each column.

    Args:
        raw: Text as the file has it: decimal marks are not read yet.
        decimal: The file's decimal mark.
        answers: What the user said of columns: `thousands` or `decimals`.
    """
    marks: dict[str, Mark] = {}
    notes: list[str] = []
    asked: list[_Asked] = []
    surely_decimal = ""
    for name in raw.column_names:
        different = pc.unique(raw[name])
        if name not in answers and _is_plain(different):
            surely_decimal = surely_decimal or _sure_example(name, different, decimal)
            continue
        values = different.to_pylist()
        cores = _cores(values)
        surely_decimal = surely_decimal or _sure_example(
            name, pa.array(cores, pa.string()), decimal
        )
        if decimal == "." and name not in answers and _are_comma_amounts(values, cores):
            marks[name] = "."
            example = next(core for core in cores if "," in core)
            value = example.replace(",", ".")
            notes.append(f"{name}: {example} is read as {value} (--as '{name}=category' if not)")
            continue
        for mark in MARKS if cores else ():
            if not re.search(MARKS[mark], "".join(cores)):
                continue
            is_grouped = re.compile(rf"[+-]?{grouped_number(mark, decimal)}").fullmatch
            grouped = [core for core in cores if is_grouped(core)]
            if not grouped:
                continue
            answer = answers.get(name)
            if answer == "decimals" or (answer is None and _marks_decimals(cores, grouped, mark)):
                continue
            example, value = grouped[0], re.sub(MARKS[mark], "", grouped[0])
            if mark == ".":
                value = value.replace(",", ".")
            if answer != "thousands" and mark == decimal and not _is_sure(cores, grouped, mark):
                if _looks_grouped(cores, grouped, mark):
                    asked.append(_Asked(name, example, value, len(grouped) == len(cores)))
                continue
            marks[name] = mark  # type: ignore[assignment]
            why = "" if answer else f" (--as '{name}=decimals' if not)"
            notes.append(f"{name}: {example} is read as {value}{why}")
            break
    return Thousands(marks, (*notes, *_questions(asked, surely_decimal)))


@dataclass(frozen=True)
class _Asked:
    """A column whose numbers can be read in two ways: an example, as thousands, and only such."""

    name: str
    example: str
    value: str
    has_only_such: bool


def _questions(asked: Iterable[_Asked], surely_decimal: str) -> list[str]:
    """What is asked about columns that do not answer by themselves.

    Where another column's numbers have the mark for their decimals, a column of three decimals
    throughout is one of measurements; numbers without a mark beside them stay strange.
    """
    notes, told = [], []
    for each in asked:
        if each.has_only_such and surely_decimal:
            told.append(each)
            continue
        beside = "and only such" if each.has_only_such else "beside numbers without a mark"
        notes.append(
            f"question: {each.name} has {each.example}, {beside}. Is it {each.value}? It is read "
            f"as {each.example.replace(',', '.')}; for {each.value} give "
            f"--as '{each.name}=thousands'"
        )
    if told:
        names = ", ".join(each.name for each in told[:SHOWN_NAMES])
        more = f" and {len(told) - SHOWN_NAMES:,} more" * (len(told) > SHOWN_NAMES)
        first = told[0]
        notes.append(
            f"{names}{more}: three decimals throughout, such as {first.example}, read as "
            f"{first.example.replace(',', '.')}, since {surely_decimal} has decimals "
            f"(--as '{first.name}=thousands' if not)"
        )
    return notes


def _sure_example(name: str, texts: pa.Array, decimal: str) -> str:
    """A column's number that can only have decimals, with its column; empty for none."""
    mark = MARKS[decimal]
    pattern = rf"^[+-]?(?:[0-9]+{mark}(?:[0-9]{{1,2}}|[0-9]{{4,}})|0{mark}[0-9]+)$"
    found = texts.filter(pc.match_substring_regex(texts, pattern))
    return f"{name} ({found[0].as_py()})" if len(found) else ""


def _is_plain(different: pa.Array) -> bool:
    """Whether nothing is to be found: no mark, or points alone of which one surely is decimal.

    That is nearly every column of nearly every file, and three expressions on Arrow tell.
    """
    texts = pc.utf8_trim_whitespace(different)
    if pc.any(pc.match_substring_regex(texts, OTHER_MARKS)).as_py():
        return False
    has_points = pc.any(pc.match_substring(texts, ".")).as_py()
    return not has_points or bool(pc.any(pc.match_substring_regex(texts, SURE_POINT)).as_py())


def _cores(values: Iterable[str | None]) -> list[str]:
    """The numbers of a column without their units; none where it does not hold numbers."""
    texts = {text for value in values if value and (text := value.strip())}
    texts = {
        text for text in texts if text.lower() not in GAP_WORDS and text.lower() not in NULL_WORDS
    }
    found = [core[1].strip() for text in texts if (core := CORE.fullmatch(text))]
    return sorted(found) if found and len(found) >= NUMBER_SHARE * len(texts) else []


def _are_comma_amounts(values: Iterable[str | None], cores: list[str]) -> bool:
    """Whether they are amounts such as 756,17 €, in a file of decimal points: one known unit."""
    commas = sum(re.fullmatch(r"[+-]?\d+,\d{1,2}", core) is not None for core in cores)
    if commas < ENOUGH_GROUPED or any(not re.fullmatch(r"[+-]?\d+(,\d{1,2})?", c) for c in cores):
        return False
    units = {AROUND.sub("", value) for value in values if value and re.search(r"\d", value)}
    return len(units) == 1 and units <= UNITS_ALWAYS


def _is_sure(cores: list[str], grouped: list[str], mark: str) -> bool:
    """Whether the numbers can be read in one way only: 1.234.567, 1.234,5 or 1 234.

    So can 1.234 beside many such as 7,50: the column's decimal mark is the other one.
    """
    if mark in "' " or any(len(re.findall(r"[.,]", core)) > 1 for core in grouped):
        return True
    other = "," if mark == "." else r"\."
    decimals = sum(bool(re.fullmatch(rf"[+-]?\d+{other}\d{{1,2}}", core)) for core in cores)
    return decimals >= OTHER_MARK * len(cores)


def _marks_decimals(cores: list[str], grouped: list[str], mark: str) -> bool:
    """Whether a number of the column has digits behind the mark that are no group of three."""
    written = re.compile(MARKS[mark])
    if sum(written.search(core) is not None for core in cores) > len(grouped):
        return True
    return any(re.match(rf"[+-]?0{MARKS[mark]}", core) for core in grouped)


def _looks_grouped(cores: list[str], grouped: list[str], mark: str) -> bool:
    """Whether all with the mark have three digits behind it, and any others have three at most."""
    others = [core for core in cores if not re.search(MARKS[mark], core)]
    short = all(re.fullmatch(r"[+-]?\d{1,3}", core) for core in others)
    return short and len(grouped) >= ENOUGH_GROUPED
