"""The project's data recipes: applied where rows pass, checked, and known by a digest.

A recipe is traced on a table that holds no rows, so what it does is known before any data is read:
which operations it uses, and the SQL that stands for it. An interval is made anew when that SQL
changes, as it is when the contract changes.
"""

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from goldpath.contract import EVENT_TIME, Contract
from goldpath.domain import STORED
from goldpath.errors import ProjectError
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.lake.tables import INTERVAL
from goldpath.project import Data
from goldpath.row_contract import RowContract

if TYPE_CHECKING:
    import ibis

    Recipe = Callable[[ibis.Table], ibis.Table]

KEEP_EACH_ROW = frozenset({"DropColumns", "FillNull", "Project", "Sort", "UnboundTable"})
"""Ibis' operations that neither add nor remove rows."""

TYPES = STORED


def store_raw(rows: "ibis.Table", contract: RowContract, recipes: Data) -> "ibis.Table":
    """Raw rows as bronze stores them."""
    return _apply(rows, recipes.bronze, "bronze", contract)


def clean_raw(rows: "ibis.Table", contract: RowContract, recipes: Data) -> "ibis.Table":
    """Bronze's rows as the contract reads them."""
    return _apply(rows, recipes.silver, "silver", contract)


def clean_file(contract: Contract, recipes: Data) -> "Recipe":
    """What a file's raw rows pass through before they are scored or compared."""
    return lambda rows: clean_raw(store_raw(rows, contract, recipes), contract, recipes)


def choose_rows(rows: "ibis.Table", recipes: Data) -> "ibis.Table":
    """The rows of silver that become gold.

    Raises:
        ProjectDefinitionError: If the recipe fails, or drops a column.
    """
    if recipes.gold is None:
        return rows
    chosen = _call(recipes.gold, rows, "gold")
    _require(rows.columns, chosen, recipes.gold, "gold")
    return chosen.select(*rows.columns)


def recipes_digest(rows: "ibis.Table", contract: Contract, recipes: Data) -> str:
    """What stands for the recipes of silver and gold; empty where the project has none.

    Args:
        rows: Bronze, for its columns.
        contract: Names silver's columns.
        recipes: The project's.
    """
    import ibis

    texts = []
    if recipes.silver is not None:
        probe = ibis.table(rows.schema(), name="bronze")
        texts.append(ibis.to_sql(clean_raw(probe, contract, recipes), dialect="duckdb"))
    if recipes.gold is not None:
        time = {EVENT_TIME: "timestamp"} if contract.has_time else {}
        target = "float64" if contract.problem == "regression" else "string"
        schema = {
            contract.entity_column: "string",
            **time,
            **{each.name: TYPES[each.type] for each in contract.features},
            **dict.fromkeys(contract.label_columns, target),
            INTERVAL: "string",
        }
        probe = ibis.table(schema, name="silver")
        texts.append(ibis.to_sql(choose_rows(probe, recipes), dialect="duckdb"))
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16] if texts else ""


def _apply(
    rows: "ibis.Table", recipe: "Recipe | None", name: str, contract: RowContract
) -> "ibis.Table":
    """A recipe that keeps each row, and the columns that the contract and the lake need."""
    if recipe is None:
        return rows
    import ibis

    probe = _call(recipe, ibis.table(rows.schema(), name="rows"), name)
    found = {type(node).__name__ for node in probe.op().find(ibis.expr.operations.Relation)}
    if strange := sorted(found - KEEP_EACH_ROW):
        raise ProjectDefinitionError(
            f"{place_of(recipe)} uses {', '.join(strange)}, and {name} must keep each row",
            "use columns only (mutate, drop, fill_null); leave rows out in gold",
        )
    needed = {*contract.raw_columns, *(each for each in rows.columns if each.startswith("_"))}
    _require([each for each in rows.columns if each in needed], probe, recipe, name)
    return _call(recipe, rows, name)


def _call(recipe: "Recipe", rows: "ibis.Table", name: str) -> "ibis.Table":
    import ibis

    try:
        result = recipe(rows)
    except ProjectError:
        raise
    except Exception as error:
        raise ProjectDefinitionError(
            f"{place_of(recipe)} cannot be applied to {name}'s rows: "
            f"{type(error).__name__}: {error}",
            f"the rows have the columns {', '.join(rows.columns)}",
        ) from error
    if not isinstance(result, ibis.Table):
        raise ProjectDefinitionError(
            f"{place_of(recipe)} returned a {type(result).__name__}, not an Ibis table",
            "return the rows, such as rows.mutate(…)",
        )
    return result


def _require(names: Iterable[str], rows: "ibis.Table", recipe: "Recipe", step: str) -> None:
    if missing := [name for name in names if name not in rows.columns]:
        raise ProjectDefinitionError(
            f"{place_of(recipe)} drops {', '.join(missing)}, which {step} needs",
            "keep the columns that config/project.yaml names, and those that begin with _",
        )
