"""The contract's checks: raw text in, typed rows and rejected rows with their reasons out.

Everything is one Ibis expression, so the checks run where the data is. No row is lost: a row is
either accepted or rejected, and a rejected one says why.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..contract import (
    EVENT_TIME,
    FALSE_WORDS,
    NULL_WORDS,
    TRUE_WORDS,
    Contract,
    ContractError,
    Feature,
)
from .event_time import parse_event_time

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

REASONS = "_reasons"
ROW_NUMBER = "_row_number"


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
    reason: "ibis.Value"


def check_rows(raw: "ibis.Table", contract: Contract, *, require_target: bool) -> CheckedRows:
    """Type the rows and divide them.

    Args:
        raw: Text columns as in the source, and `_row_number`.
        contract: What a row must be.
        require_target: Whether a row without a label is bad (training), or fine (scoring).

    Raises:
        ContractError: Where a column of the contract is not in the source.
    """
    import ibis

    _require_columns(raw, contract, require_target=require_target)
    typed: dict[str, ibis.Value] = {}
    checks: list[_Check] = []

    typed[contract.entity_column] = (
        _text(raw[contract.entity]) if contract.entity else raw[ROW_NUMBER].cast("string")
    )
    if contract.entity:
        checks.append(_missing(contract.entity, typed[contract.entity_column]))
    if contract.event_time:
        typed[EVENT_TIME] = parse_event_time(raw, contract.event_time)
        column = contract.event_time.column
        checks.append(
            _Check(typed[EVENT_TIME].isnull(), _sentence(column, raw[column], "is not a time"))
        )
    for feature in contract.features:
        value, found = _typed_feature(raw[feature.name], feature)
        typed[feature.name] = value
        checks += found
    if contract.target.column in raw.columns:
        value, found = _typed_target(raw[contract.target.column], contract)
        typed[contract.target.column] = value
        checks += found if require_target else []

    reasons = ibis.literal("")
    for check in checks:
        reasons += check.bad.fill_null(False).ifelse(check.reason + "; ", "")
    marked = raw.mutate(
        **{REASONS: reasons, **{f"__{name}": value for name, value in typed.items()}}
    )
    kept = [name for name in raw.columns if name.startswith("_")]
    accepted = marked.filter(marked[REASONS] == "")
    rejected = marked.filter(marked[REASONS] != "")
    return CheckedRows(
        accepted=accepted.select(
            **{name: accepted[f"__{name}"] for name in typed}, **{n: accepted[n] for n in kept}
        ),
        rejected=rejected.select(
            *raw.columns, **{REASONS: rejected[REASONS].re_replace("; $", "")}
        ),
    )


def typed_frame(raw: "pa.Table", contract: Contract) -> "pa.Table":
    """The accepted rows of a file that is scored or compared; a label is not needed.

    Args:
        raw: Text columns as `sources.read_raw` gives them.
        contract: What a row must be.

    Returns:
        Typed columns in the order entity, event time, features, target (where the file has it).

    Raises:
        ContractError: Where a column of the contract is not in the file.
    """
    import ibis

    engine = ibis.duckdb.connect()
    rows = ibis.memtable(number_rows(raw))
    accepted = check_rows(rows, contract, require_target=False).accepted
    table = engine.to_pyarrow(accepted.order_by(ROW_NUMBER).drop(ROW_NUMBER))
    engine.disconnect()
    return table


def number_rows(raw: "pa.Table") -> "pa.Table":
    """The rows with their number in the file, from 1."""
    import pyarrow as pa

    return raw.append_column(ROW_NUMBER, pa.array(range(1, raw.num_rows + 1), pa.int64()))


def _require_columns(raw: "ibis.Table", contract: Contract, *, require_target: bool) -> None:
    wanted = [c for c in contract.raw_columns if require_target or c != contract.target.column]
    missing = [name for name in wanted if name not in raw.columns]
    if missing:
        raise ContractError(
            f"the source lacks columns of the contract: {', '.join(missing)}; "
            f"it has: {', '.join(raw.columns)}",
            "correct config/project.yaml or the file, or run: make adopt DATA=… TARGET=…",
        )


def _text(column: "ibis.Value", keep: tuple[str, ...] = ()) -> "ibis.Value":
    """Trimmed text, null where it stands for a missing value; words in `keep` are values."""
    trimmed = column.cast("string").strip()
    stands_for_null = _one_of(trimmed.lower(), NULL_WORDS)
    if kept := [word for word in keep if word.lower() in NULL_WORDS]:
        stands_for_null = stands_for_null & ~_one_of(trimmed, kept)
    return stands_for_null.ifelse(None, trimmed)


def _one_of(text: "ibis.Value", words: Sequence[str]) -> "ibis.Value":
    """Whether the text is one of the words, as a regular expression.

    `IN` would read better, but DuckDB 1.5 plans a join for each list of more than five values, and
    a contract has dozens: 20 000 rows took 26 s with it and take well under one without.
    """
    pattern = "|".join(re.escape(word) for word in words)
    return text.re_search(f"^(?:{pattern})$")


def _typed_feature(raw: "ibis.Value", feature: Feature) -> tuple["ibis.Value", list[_Check]]:
    checks = []
    if feature.type == "category":
        value = _text(raw, feature.categories or ())
        if feature.categories is not None:
            unknown = ~_one_of(value, feature.categories)
            checks.append(
                _Check(unknown, _sentence(feature.name, raw, "is not one of its categories"))
            )
    elif feature.type == "boolean":
        text = _text(raw)
        value = _boolean(text)
        checks.append(_unreadable(feature.name, text, value, "true or false"))
    else:
        text = _text(raw)
        value, found = _number(feature.name, text, whole=feature.type == "integer")
        checks.append(found)
        if feature.minimum is not None:
            checks.append(
                _Check(
                    value < feature.minimum,
                    _sentence(feature.name, raw, f"is below {feature.minimum:g}"),
                )
            )
        if feature.maximum is not None:
            checks.append(
                _Check(
                    value > feature.maximum,
                    _sentence(feature.name, raw, f"is above {feature.maximum:g}"),
                )
            )
    if not feature.nullable:
        checks.append(_missing(feature.name, _text(raw, feature.categories or ())))
    return value, checks


def _typed_target(raw: "ibis.Value", contract: Contract) -> tuple["ibis.Value", list[_Check]]:
    name = contract.target.column
    if contract.problem == "classification":
        value = _text(raw, contract.target.classes)
        unknown = _Check(
            ~_one_of(value, contract.target.classes),
            _sentence(name, raw, "is not one of its classes"),
        )
        return value, [unknown, _missing(name, value)]
    text = _text(raw)
    value, unreadable = _number(name, text, whole=False)
    return value, [unreadable, _missing(name, text)]


def _number(name: str, text: "ibis.Value", *, whole: bool) -> tuple["ibis.Value", _Check]:
    """A finite number and the check that the text is one."""
    number = text.try_cast("float64")
    usable = number.notnull() & ~number.isinf() & ~number.isnan()
    if whole:
        usable = usable & (number == number.floor()) & (number.abs() < 2**53)
    # TRY_CAST, since the engine may cast before it looks at the condition.
    value = usable.ifelse(number, None).try_cast("int64" if whole else "float64")
    return value, _unreadable(name, text, value, "a whole number" if whole else "a finite number")


def _boolean(text: "ibis.Value") -> "ibis.Value":
    import ibis

    word = text.lower()
    return ibis.cases(
        (_one_of(word, TRUE_WORDS), True), (_one_of(word, FALSE_WORDS), False), else_=None
    ).cast("boolean")


def _missing(name: str, text: "ibis.Value") -> _Check:
    import ibis

    return _Check(text.isnull(), ibis.literal(f"{name}: missing"))


def _unreadable(name: str, text: "ibis.Value", value: "ibis.Value", wanted: str) -> _Check:
    return _Check(text.notnull() & value.isnull(), _sentence(name, text, f"is not {wanted}"))


def _sentence(name: str, raw: "ibis.Value", predicate: str) -> "ibis.Value":
    import ibis

    shown = raw.cast("string").strip().substr(0, 40).fill_null("")
    return ibis.literal(f"{name}: '") + shown + f"' {predicate}"
