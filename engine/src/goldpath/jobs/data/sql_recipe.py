"""Recipes written in SQL: one SELECT from `rows`, in what DuckDB and Athena have in common.

The statement becomes an Ibis expression, so it is checked, traced and run like any other recipe,
and means the same on both. What the two would answer differently is refused when it is first used.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.data.sql_values import condition_of, refusal, value_of

if TYPE_CHECKING:
    import ibis
    from sqlglot import exp

TABLE = "rows"
_ATHENA, _DUCKDB = "trino", "duckdb"  # Athena's engine is Trino
_PARTS = {"expressions", "from_", "where"}


@dataclass(frozen=True)
class SqlRecipe:
    """A recipe of a `.sql` file: from rows to rows, as a function of Ibis tables would be.

    Attributes:
        file: Where it stands.
    """

    file: Path

    @property
    def __name__(self) -> str:  # what messages call a recipe
        return str(self.file)

    def __call__(self, rows: "ibis.Table") -> "ibis.Table":
        """Apply the statement.

        Raises:
            ProjectDefinitionError: If it is not one SELECT from `rows`, or uses what DuckDB and
                Athena do not have in common; names file, line and function.
        """
        statement = _statement(self.file)
        if condition := statement.args.get("where"):
            chosen = rows.filter(condition_of(condition.this, rows, self.file))
        else:
            chosen = rows
        columns: dict[str, Any] = {}
        named = set[str]()
        for each in statement.expressions:
            if type(each).__name__ == "Star":
                if any(each.args.values()):
                    raise refusal(each, self.file, "a star with exceptions is not in both dialects")
                if twice := named.intersection(chosen.columns):
                    said = f"{min(twice)} is named before *, which holds it too: write * first"
                    raise refusal(each, self.file, said)
                columns |= {name: chosen[name] for name in chosen.columns}
                continue
            name = _name_of(each, chosen.columns)
            if not name:
                raise refusal(each, self.file, f"{each.sql()} has no name: write … AS name")
            if name in named:
                raise refusal(each, self.file, f"two columns are called {name}")
            named.add(name)
            columns[name] = value_of(each.unalias(), chosen, self.file)
        return chosen.select(**columns)


def sql_recipe(file: str | Path) -> SqlRecipe:
    """A data recipe that is written in SQL, for `Data(bronze=…, silver=…, gold=…)`.

    The file holds one SELECT from `rows`, with columns, conditions and functions that DuckDB and
    Athena have in common (`docs data` lists them). A column that is named after `*` takes the place
    of the one with its name. `check` says what cannot be used, with file and line.

    Args:
        file: The file; a relative path starts at the folder of the Python file that names it.

    Raises:
        ProjectDefinitionError: If there is no such file.

    Example:
        >>> from pathlib import Path
        >>> from goldpath import Data, sql_recipe
        >>> _ = Path("gold.sql").write_text("SELECT * FROM rows WHERE tenure_months >= 1")
        >>> recipes = Data(gold=sql_recipe(Path("gold.sql").resolve()))
        >>> import ibis
        >>> rows = ibis.memtable({"tenure_months": [0, 30]})
        >>> recipes.gold(rows).execute()["tenure_months"].tolist()
        [30]
    """
    folder = Path(sys._getframe(1).f_code.co_filename).parent
    found = (folder / file).resolve()
    if not found.is_file():
        raise ProjectDefinitionError(
            f"{found} does not exist", f"create it with a SELECT from {TABLE}, or correct the path"
        )
    return SqlRecipe(found)


def _name_of(node: Any, columns: Sequence[str]) -> str:
    """What a column is called: as the rows write it, if they have it, since SQL minds no capitals.

    `SELECT *, age + 1 AS Age` would else leave `age` as it was, and add a second one.
    """
    name: str = node.alias_or_name
    last = node.args.get("alias") or node.this
    if name in columns or getattr(last, "quoted", False):
        return name
    return next((each for each in columns if each.lower() == name.lower()), name)


def _statement(file: Path) -> "exp.Select":
    """The file's statement, which both dialects can read.

    Raises:
        ProjectDefinitionError: If it is not one SELECT from `rows`.
    """
    import sqlglot
    from sqlglot import exp
    from sqlglot.errors import SqlglotError

    text = file.read_text(encoding="utf-8")
    for dialect, shown in ((_DUCKDB, "DuckDB"), (_ATHENA, "Athena")):
        try:
            parsed = [each for each in sqlglot.parse(text, read=dialect) if each is not None]
        except SqlglotError as error:
            found = getattr(error, "errors", None) or [{}]
            line = found[0].get("line", 1)
            said = found[0].get("description", str(error))
            raise ProjectDefinitionError(
                f"{file}:{line}: {shown} cannot read the statement: {said}", "correct the line"
            ) from error
    if len(parsed) != 1:
        raise ProjectDefinitionError(
            f"{file} holds {len(parsed)} statements; a recipe is one",
            "leave one SELECT in the file",
        )
    (statement,) = parsed
    if not isinstance(statement, exp.Select):
        raise refusal(statement, file, f"{statement.key.upper()} is no recipe")
    if strange := [key for key, each in statement.args.items() if each and key not in _PARTS]:
        name = strange[0].strip("_").upper()
        first = statement.args[strange[0]]
        node = first[0] if isinstance(first, list) else first
        at = node if isinstance(node, exp.Expr) else statement
        raise refusal(at, file, f"{name} is used")
    origin = statement.args.get("from_")
    table = origin.this if origin else None
    if not isinstance(table, exp.Table) or table.sql().lower() != TABLE:
        named = table.sql() if table is not None else "nothing"
        raise refusal(table or statement, file, f"the statement reads {named}")
    return statement
