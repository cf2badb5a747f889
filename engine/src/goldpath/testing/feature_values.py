"""The value of a row feature on one row, by every evaluator that computes it in earnest."""

import math
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from goldpath.contract import Contract, load_contract
from goldpath.domain import Kind, Refusal
from goldpath.errors import ProjectError
from goldpath.features.learned import with_own_features
from goldpath.features.row.complete import complete_rows
from goldpath.features.row.learned import definitions_of
from goldpath.features.row.sql import with_sql_features
from goldpath.features.row.tracing import RowFeature
from goldpath.features.window.feature import WindowFeature
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.lake.engine import connect_duckdb
from goldpath.project import Project, running_project
from goldpath.settings import SettingsError, project_root
from goldpath.source_contract import SourceContract, load_sources

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

Plain: TypeAlias = float | bool | str | None

FROM_FILE, FROM_ARGUMENT, INFERRED = (
    "those of config/project.yaml",
    "those of the contract that was given",
    "inferred from the row's values: there is no config/project.yaml here",
)
_KINDS: dict[type, Kind] = {bool: "boolean", int: "integer", float: "number", str: "category"}
_TARGET = "(target)"


class RowTestError(ProjectError):
    """A test's row is none that the feature could be computed from."""


def assert_feature(
    feature: RowFeature,
    *,
    row: Mapping[str, Plain],
    equals: Plain,
    features: Sequence[RowFeature | WindowFeature] = (),
    contract: Contract | None = None,
    tolerance: float = 1e-12,
) -> None:
    """Check what a row feature computes from a row: in plain Python, in NumPy and in DuckDB's SQL.

    These are the service, batches with training, and the lake. Each must give the expected value.

    Args:
        feature: The feature.
        row: The columns that it reads, as the contract allows them; None where a value is missing.
            Other columns of the contract may stand there, too.
        equals: What it is; None if it is missing.
        features: Further features that it reads, in any order; `project.row_features` are all row
            features of a project's. Those of the project that this process runs where none are
            given. The columns of a window feature stand in `row`, with the values to compute with.
        contract: Says which columns there are, and their types. Not given: that of the project
            around the current folder; where there is none, the types are those of the row's values.
        tolerance: How far a number with a fraction may be off, relative to what is expected, and
            absolute below 1. Whole numbers, truth values and texts must be equal.

    Raises:
        AssertionError: If a value is another one; names the feature, the evaluator and the row.
        RowTestError: If the row lacks a column that is read, has one that nobody knows, or holds a
            value that the contract refuses.
        ProjectDefinitionError: If the feature cannot be used; names file and line.

    Example:
        >>> from goldpath import Row, Value, row_feature
        >>> from goldpath.testing import assert_feature
        >>> @row_feature
        ... def charge_rate(row: Row) -> Value:
        ...     return row.monthly_charges / (row.tenure_months + 1)
        >>> row = {"monthly_charges": 60.0, "tenure_months": 2}
        >>> assert_feature(charge_rate, row=row, equals=20)
        >>> assert_feature(charge_rate, row=row, equals=30)
        Traceback (most recent call last):
        AssertionError: charge_rate: expected 30, got 20.0
          by plain Python, NumPy, DuckDB's SQL
          of the row {'monthly_charges': 60.0, 'tenure_months': 2}
          column types: those of config/project.yaml
    """
    given: object = feature
    if isinstance(given, WindowFeature):
        raise RowTestError(
            f"{given.name} is a window feature: it is computed from a source's rows, not from "
            "one row",
            'look at gold: tiny_lake(rows, sources={"payments": [{…}]}).rows("gold")',
        )
    if not isinstance(feature, RowFeature):
        raise RowTestError(
            f"{place_of(feature)} is a {type(feature).__name__}, not a row feature",
            "decorate the function with @row_feature",
        )
    if isinstance(equals, float) and not math.isfinite(equals):
        raise RowTestError(
            f"equals={equals!r}: no feature is ever {equals}", "a missing value is None"
        )
    sent, source = _contract(contract, row, feature)
    others = features or running_project().own_features
    sources = load_sources(project_root()) if source == FROM_FILE else ()
    learned = _learned(feature, others, sent, source, sources)
    values = _accepted(row, learned, source)
    wrong: dict[str, list[str]] = {}
    for name, evaluate in EVALUATORS.items():
        got = evaluate(values, learned)[feature.name]
        if not _same(got, equals, tolerance):
            wrong.setdefault(repr(got), []).append(name)
    if wrong:
        found = "".join(f", got {got}\n  by {', '.join(by)}" for got, by in wrong.items())
        right = [name for name in EVALUATORS if not any(name in by for by in wrong.values())]
        raise AssertionError(
            f"{feature.name}: expected {equals!r}{found}"
            + (f"\n  and as expected by {', '.join(right)}" if right else "")
            + f"\n  of the row {dict(row)}\n  column types: {source}"
        )


def _contract(
    given: Contract | None, row: Mapping[str, Plain], feature: RowFeature
) -> tuple[Contract, str]:
    """What a row is, and who says so."""
    if given is not None:
        return given.request, FROM_ARGUMENT
    try:
        root = project_root()
    except SettingsError:
        return _inferred(row, feature), INFERRED
    return load_contract(root), FROM_FILE


def _inferred(row: Mapping[str, Plain], feature: RowFeature) -> Contract:
    found = []
    for name, value in row.items():
        if type(value) not in _KINDS:
            raise RowTestError(
                f"{feature.name}: the type of the column {name!r} does not follow from {value!r}",
                "give contract=…, or run the test in the project's folder",
            )
        found.append({"name": name, "type": _KINDS[type(value)], "nullable": True})
    if not found:
        raise RowTestError(f"{feature.name}: the row has no column", "give what the feature reads")
    return Contract.model_validate(
        {
            "dataset": "row",
            "problem": "regression",
            "source": {"path": "row.csv"},
            "target": {"column": _TARGET},
            "features": found,
        }
    )


def _learned(
    feature: RowFeature,
    others: Sequence[RowFeature | WindowFeature],
    sent: Contract,
    source: str,
    sources: Sequence[SourceContract],
) -> Contract:
    """The contract with the feature, and of the others with those that it reads."""
    every = [feature, *(each for each in others if each != feature)]
    try:
        learned = with_own_features(sent, Project(features=lambda: every), sources)
    except ProjectDefinitionError as error:
        more = "; give the row a value for each column that is read" if source == INFERRED else ""
        hint = "" if others else "; row features that it reads are handed over as features=[…]"
        raise ProjectDefinitionError(error.message, f"{error.fix}{more}{hint}") from error
    reads = {each.name: each.expression.columns for each in definitions_of(learned)}
    needed, open_names = set[str](), [feature.name]
    while open_names:
        name = open_names.pop()
        if name not in needed:
            needed.add(name)
            open_names += [column for column in reads[name] if column in reads]
    kept = [each for each in learned.features if not each.expression or each.name in needed]
    return sent.with_features(kept, [*sent.personal])


def _accepted(row: Mapping[str, Plain], learned: Contract, source: str) -> dict[str, Plain]:
    """The row as evaluators get it: every column of the request, with values of its domain.

    Raises:
        RowTestError: If a column or a value of the row cannot be.
    """
    sent = {each.name: each for each in learned.features if not each.expression}
    computed = {each.name for each in learned.row_features}
    read = {name for each in definitions_of(learned) for name in each.expression.columns}
    for name in row:
        if name in computed:
            raise RowTestError(
                f"the row gives {name!r}, which is computed and never sent",
                "leave it out, and give the columns that it is computed from",
            )
        if name not in sent or (source == INFERRED and name not in read):
            near = get_close_matches(name, sorted({*sent, *read} - {name} - computed), n=1)
            raise RowTestError(
                f"the row has a column {name!r} that "
                + ("no request sends" if name not in sent else "the feature does not read")
                + (f"; did you mean {near[0]!r}?" if near else ""),
                f"the feature reads {', '.join(sorted(read & sent.keys()))}",
            )
    if missing := sorted((read & sent.keys()) - row.keys()):
        raise RowTestError(
            f"the row lacks {', '.join(missing)}, which the feature reads",
            "give a value, or None if it is missing",
        )
    values: dict[str, Plain] = dict.fromkeys(sent)
    for name, value in row.items():
        domain = sent[name].domain
        accepted = value if source == INFERRED else domain.accept(value)
        unlike = type(value) not in _KINDS and value is not None
        if unlike or (isinstance(value, float) and not math.isfinite(value)):
            raise RowTestError(f"the row's {name}={value!r} is no value", "a missing one is None")
        if isinstance(accepted, Refusal):
            raise RowTestError(
                f"the row's {name}={value!r} is refused ({accepted.reason}): the contract allows "
                f"{domain.describe()}, so no evaluator ever gets it",
                "give a value that can be, or change config/project.yaml",
            )
        values[name] = accepted
    return values


def _same(got: Any, expected: Plain, tolerance: float) -> bool:
    if got is None or expected is None:
        return got is None and expected is None
    if isinstance(got, str | bool) or isinstance(expected, str | bool):
        return type(got) is type(expected) and bool(got == expected)
    if isinstance(got, int):
        return bool(got == expected)
    return bool(abs(got - expected) <= tolerance * max(1.0, abs(expected)))


def _one_row(row: Mapping[str, Any], learned: Contract) -> Mapping[str, Any]:
    (complete,) = complete_rows([row], learned)
    found: Mapping[str, Any] = complete
    return found


def _batch(row: Mapping[str, Any], learned: Contract) -> Mapping[str, Any]:
    return _first(complete_rows(_table(row, learned), learned))


def _sql(row: Mapping[str, Any], learned: Contract) -> Mapping[str, Any]:
    import ibis

    rows = ibis.memtable(_table(row, learned))
    return _first(shared_engine().to_pyarrow(with_sql_features(definitions_of(learned), rows)))


EVALUATORS: dict[str, Callable[[Mapping[str, Any], Contract], Mapping[str, Any]]] = {
    "plain Python": _one_row,
    "NumPy": _batch,
    "DuckDB's SQL": _sql,
}
"""What computes a row feature: the service, batches with training, and the lake."""


def _table(row: Mapping[str, Any], learned: Contract) -> "pa.Table":
    import pyarrow as pa

    types = {"number": pa.float64(), "integer": pa.int64(), "boolean": pa.bool_()}
    columns = {
        each.name: pa.array([row[each.name]], types.get(each.type, pa.string()))
        for each in learned.features
        if not each.expression
    }
    return pa.table(columns)


def _first(table: "pa.Table") -> Mapping[str, Any]:
    found: Mapping[str, Any] = table.to_pylist()[0]
    return found


@cache
def shared_engine() -> "ibis.BaseBackend":
    """One for all tests of a process: opening it takes longer than a feature."""
    return connect_duckdb()
