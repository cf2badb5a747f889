"""The contract's checks: raw text in, typed rows and rejected rows with their reasons out.

Everything is one Ibis expression, so the checks run where the data is. No row is lost: a row is
either accepted or rejected, and a rejected one says why. Most values are fine, so the expressions
ask first whether a value is, and only then why it is not; engines skip the second question.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add, or_
from typing import TYPE_CHECKING, TypeAlias

from goldpath.contract import EVENT_TIME, Contract, ContractError, Target
from goldpath.domain import (
    FALSE_WORDS,
    LARGEST_INTEGER,
    MISSING,
    NO_CATEGORY,
    NULL_WORDS,
    TRUE_WORDS,
    Domain,
    above,
    below,
)
from goldpath.lake.bare_text import stripped
from goldpath.lake.event_time import parse_event_time
from goldpath.lake.tables import REASONS, ROW_NUMBER
from goldpath.quality.conditions import joined
from goldpath.quality.number_text import plain_number_text
from goldpath.row_contract import RowContract

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

LONGEST_NULL_WORD = max(map(len, NULL_WORDS))
# Beyond it a regular expression is faster than one comparison after the other.
COMPARED_WORDS = 12
HAVE_FEW_VALUES = ("integer", "boolean", "category")
ALWAYS = 2.0
NO_CLASS = "is not one of its classes"


# A sentence on rows, given the columns whose values it must not quote.
Reason: TypeAlias = "Callable[[ibis.Table, Sequence[str]], ibis.Value]"


@dataclass(frozen=True)
class CheckedRows:
    """Raw rows, divided.

    Attributes:
        accepted: Typed rows: entity, event time, features, target; and the columns named `_…`.
        rejected: The raw rows as they came, with `_reasons`.
    """

    accepted: "ibis.Table"
    rejected: "ibis.Table"


@dataclass(frozen=True)
class _Check:
    """A condition that makes a row bad, and the sentence that says so."""

    bad: "ibis.Value"
    reason: "Reason"


def check_rows(raw: "ibis.Table", contract: RowContract, *, require_target: bool) -> CheckedRows:
    """Type the rows and divide them; `mark_rows` and `divide_rows` in one.

    Raises:
        ContractError: If a column of the contract is not in the source.
    """
    return divide_rows(mark_rows(raw, contract, require_target=require_target))


def mark_rows(raw: "ibis.Table", contract: RowContract, *, require_target: bool) -> "ibis.Table":
    """Every row with its typed values and the reasons against it.

    Args:
        raw: Text columns as in the source, and `_row_number`.
        contract: What a row must be.
        require_target: Whether a row without a label is bad (training), or fine (scoring).

    Returns:
        For `divide_rows`: the raw columns (null where the row is fine), typed columns under
        private names, `_reasons` (empty where the row is fine), and the columns named `_…`.

    Raises:
        ContractError: If a column of the contract is not in the source.
    """
    import ibis

    require_columns(raw.columns, contract, require_target=require_target)
    present = set(raw.columns)
    names = [name for name in contract.raw_columns if name in present]
    texts = _stage(raw, _stripped(raw, names, contract))
    if plain := _plain_texts(texts, contract):
        texts = _stage(texts, plain)
    values = _typed_values(texts, contract)
    typed = _stage(texts, {value_of(name): value for name, value in values.items()})

    checks = _checks(typed, contract, require_target=require_target)
    flags = {f"__bad {number}": check.bad.fill_null(False) for number, check in enumerate(checks)}
    flagged = _stage(typed, flags)
    sentences = [
        flagged[flag].ifelse(check.reason(flagged, contract.personal) + "; ", "")
        for flag, check in zip(flags, checks, strict=True)
    ]
    is_bad = joined(or_, [flagged[flag] for flag in flags], ibis.literal(False))
    # Not pure, and always true: a filter on the reasons would else be pushed below, and DuckDB
    # would compute all of them twice, a hundred columns in nine seconds instead of one.
    is_bad &= ibis.random() < ALWAYS
    reasons = joined(add, sentences, ibis.literal(""))
    marked = _stage(flagged, {REASONS: is_bad.ifelse(reasons, "")})
    private = [name for name in raw.columns if name.startswith("_")]
    return marked.select(
        **{
            name: (marked[REASONS] != "").ifelse(marked[name], None)
            for name in raw.columns
            if not name.startswith("_")
        },
        **{name: marked[name] for name in [*private, *map(value_of, values), REASONS]},
    )


def divide_rows(marked: "ibis.Table") -> CheckedRows:
    """The rows of `mark_rows`, accepted and rejected."""
    typed = [name for name in marked.columns if name.startswith(value_of(""))]
    private = [n for n in marked.columns if n.startswith("_") and n not in {*typed, REASONS}]
    raw = [name for name in marked.columns if name not in {*typed, REASONS}]
    accepted = marked.filter(marked[REASONS] == "")
    rejected = marked.filter(marked[REASONS] != "")
    return CheckedRows(
        accepted=accepted.select(
            **{name.removeprefix(value_of("")): accepted[name] for name in typed},
            **{name: accepted[name] for name in private},
        ),
        rejected=rejected.select(*raw, **{REASONS: rejected[REASONS].re_replace("; $", "")}),
    )


def typed_columns(marked: "pa.Table") -> "dict[str, pa.ChunkedArray]":
    """The typed columns of `mark_rows`' rows, by name."""
    prefix = value_of("")
    names = [name for name in marked.column_names if name.startswith(prefix)]
    return {name.removeprefix(prefix): marked[name] for name in names}


def number_rows(raw: "pa.Table") -> "pa.Table":
    """The rows with their number in the file, from 1."""
    import pyarrow as pa

    return raw.append_column(ROW_NUMBER, pa.array(range(1, raw.num_rows + 1), pa.int64()))


def require_columns(columns: Sequence[str], contract: RowContract, *, require_target: bool) -> None:
    """Check that a source has the columns that its rows are read from.

    Raises:
        ContractError: If a column of the contract is not in the source.
    """
    target = _target(contract)
    unneeded = "" if require_target or target is None else target.column
    wanted = [name for name in contract.raw_columns if name != unneeded]
    missing = [name for name in wanted if name not in columns]
    if missing:
        raise ContractError(
            f"the source lacks columns of the contract: {', '.join(missing)}; "
            f"it has: {', '.join(columns)}",
            f"correct {contract.file} or the file, or run: {contract.inferred_by}",
        )


def _target(contract: RowContract) -> Target | None:
    """What is predicted; a source, a target of events and a clustering have no such column."""
    if not isinstance(contract, Contract) or contract.target.event or not contract.has_target:
        return None
    return contract.target


def _text_of(name: str) -> str:
    return f"__text {name}"


def value_of(name: str) -> str:
    """The typed column's name in `mark_rows`' result."""
    return f"__value {name}"


def _stage(rows: "ibis.Table", columns: "dict[str, ibis.Value]") -> "ibis.Table":
    """Add columns that are computed once.

    Ibis merges a chain of selections into one and repeats an expression wherever it is used, which
    made a trim run 400 times a row. It does not merge across a value that is not pure, so a random
    number that nobody reads keeps the stages apart, at no cost that could be measured.
    """
    import ibis

    number = sum(name.startswith("__stage") for name in rows.columns)
    return rows.mutate(**columns, **{f"__stage {number}": ibis.random()})


def _plain_texts(texts: "ibis.Table", contract: RowContract) -> "dict[str, ibis.Value]":
    """The columns whose raw text the contract describes, as text that is read like any other."""
    import ibis

    plain = {
        _text_of(feature.name): plain_number_text(
            texts[_text_of(feature.name)], feature.unit, feature.missing_words
        )
        for feature in contract.features
        if feature.unit or feature.missing_words
    }
    target = _target(contract)
    if target is None or (name := _text_of(target.column)) not in texts.columns:
        return plain
    if target.unit or target.missing_words:
        plain[name] = plain_number_text(texts[name], target.unit, target.missing_words)
    if target.aliases:
        spelled = [(texts[name] == alias, label) for alias, label in target.aliases.items()]
        plain[name] = ibis.cases(*spelled, else_=texts[name])
    return plain


def _stands_for_null(text: "ibis.Value") -> "ibis.Value":
    """Whether trimmed text is missing or a word for it."""
    short = text.length() <= LONGEST_NULL_WORD
    word = _one_of(text.lower(), NULL_WORDS)
    return text.isnull().ifelse(True, short.ifelse(word, False))


def _word(text: "ibis.Value", known: Sequence[str] | None) -> "ibis.Value":
    """A text value, null where it stands for a missing one; a known word is always a value."""
    missing = _stands_for_null(text).ifelse(None, text)
    return missing if not known else _one_of(text, known).ifelse(text, missing)


def _one_of(text: "ibis.Value", words: Sequence[str]) -> "ibis.Value":
    """Whether the text is one of the words.

    `IN` would read better, but DuckDB 1.5 plans a join for each list of more than five values, and
    a contract has dozens: 20 000 rows took 26 s with it and take well under one without.
    """
    if len(words) <= COMPARED_WORDS:
        return reduce(or_, [text == word for word in words])
    pattern = "|".join(re.escape(word) for word in words)
    return text.re_search(f"^(?:{pattern})$")


def _stripped(
    raw: "ibis.Table", names: Sequence[str], contract: RowContract
) -> dict[str, "ibis.Value"]:
    """The texts of columns without the whitespace around them."""
    kinds = {each.name: each.type for each in contract.features}
    found = {}
    for name in names:
        text = raw[name].cast("string")
        # DuckDB strips each of few values once, but not where it has to look at them before.
        has_few = kinds.get(name) in HAVE_FEW_VALUES
        found[_text_of(name)] = text.strip() if has_few else stripped(text)
    return found


def _typed_values(texts: "ibis.Table", contract: RowContract) -> "dict[str, ibis.Value]":
    """The columns of silver: identifiers, event time, features and, if it is there, target."""
    values = {name: _word(texts[_text_of(name)], None) for name in contract.identifiers}
    if not contract.entity:
        values[contract.entity_column] = texts[ROW_NUMBER].cast("string")
    if contract.event_time:
        values[EVENT_TIME] = parse_event_time(texts, contract.event_time)
    for feature in contract.features:
        values[feature.name] = _typed(texts[_text_of(feature.name)], feature.domain)
    target = _target(contract)
    if isinstance(contract, Contract) and target and _text_of(target.column) in texts.columns:
        values[target.column] = _typed(texts[_text_of(target.column)], contract.target_domain)
    return values


def _typed(text: "ibis.Value", domain: Domain) -> "ibis.Value":
    """A value of the domain's type, or null where the text is none."""
    if domain.is_text:
        return _word(text, domain.categories)
    return _boolean(text) if domain.kind == "boolean" else _number(text, domain)


def _checks(typed: "ibis.Table", contract: RowContract, *, require_target: bool) -> list[_Check]:
    checks = [_missing(typed, name) for name in contract.identifiers]
    if contract.event_time:
        column = contract.event_time.column
        unreadable = typed[value_of(EVENT_TIME)].isnull()
        checks.append(_Check(unreadable, _sentence(column, "is not a time")))
    for feature in contract.features:
        found = _domain_checks(typed, feature.name, feature.domain, NO_CATEGORY)
        # The first of a number's checks is whether the text can be read as one.
        checks += found[1:] if feature.unreadable == "missing" else found
    target = _target(contract)
    if require_target and isinstance(contract, Contract) and target:
        checks += _domain_checks(typed, target.column, contract.target_domain, NO_CLASS)
    return checks


def _domain_checks(
    typed: "ibis.Table", name: str, domain: Domain, no_category: str
) -> list[_Check]:
    """What `Domain.accept_text` refuses, in the same order."""
    value = typed[value_of(name)]
    checks = []
    if not domain.is_text:
        checks.append(_unreadable(typed, name, domain))
    elif domain.categories is not None:
        unknown = value.notnull() & ~_one_of(value, domain.categories)
        checks.append(_Check(unknown, _sentence(name, no_category)))
    else:
        checks.append(_Check(value.length() > domain.longest, _sentence(name, domain.too_long)))
    if domain.minimum is not None:
        low = _float64(domain.minimum)
        checks.append(_Check(value < low, _sentence(name, below(domain.minimum))))
    if domain.maximum is not None:
        high = _float64(domain.maximum)
        checks.append(_Check(value > high, _sentence(name, above(domain.maximum))))
    if not domain.nullable:
        checks.append(_missing(typed, name))
    return checks


def _float64(number: float) -> "ibis.Value":
    """A literal that is this number to the last bit.

    DuckDB 1.5 reads a plain literal as a decimal, and of those with 17 digits it makes the float64
    beside the right one now and then, so that a value equal to its bound was refused.
    """
    import ibis

    return ibis.literal(repr(number)).cast("float64")


def _number(text: "ibis.Value", domain: Domain) -> "ibis.Value":
    """A finite number, or null where the text is none."""
    number = text.try_cast("float64")
    # DuckDB reads 1_000 and +-5 as numbers, Athena and everyone else do not.
    usable = number.notnull() & ~number.isinf() & ~number.isnan()
    usable = usable & ~text.contains("_") & ~text.startswith("+-")
    whole = domain.kind == "integer"
    if whole:
        # Not floor(): Ibis casts its result to an integer, which fails on 1e24.
        usable = usable & (number % 1 == 0) & (number.abs() <= LARGEST_INTEGER)
    # TRY_CAST, since the engine may cast before it looks at the condition.
    return usable.ifelse(number, None).try_cast("int64" if whole else "float64")


def _boolean(text: "ibis.Value") -> "ibis.Value":
    import ibis

    word = text.lower()
    return ibis.cases(
        (_one_of(word, TRUE_WORDS), True), (_one_of(word, FALSE_WORDS), False), else_=None
    ).cast("boolean")


def _missing(typed: "ibis.Table", name: str) -> _Check:
    import ibis

    missing = typed[value_of(name)].isnull().ifelse(_stands_for_null(typed[_text_of(name)]), False)
    return _Check(missing, lambda *_: ibis.literal(f"{name}: {MISSING}"))


def _unreadable(typed: "ibis.Table", name: str, domain: Domain) -> _Check:
    present = ~_stands_for_null(typed[_text_of(name)])
    unreadable = typed[value_of(name)].isnull().ifelse(present, False)
    return _Check(unreadable, _sentence(name, domain.unreadable))


def _sentence(name: str, predicate: str) -> Reason:
    import ibis

    def sentence(rows: "ibis.Table", personal: Sequence[str]) -> "ibis.Value":
        if name in personal:
            return ibis.literal(f"{name}: {predicate}")
        shown = rows[name].cast("string").strip().substr(0, 40).fill_null("")
        return ibis.literal(f"{name}: '") + shown + f"' {predicate}"

    return sentence
