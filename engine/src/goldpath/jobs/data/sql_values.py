"""Values of a SQL recipe as Ibis has them: what means the same in DuckDB and in Athena.

Each entry below was chosen because both compute it alike; what is not here is refused by its name.
"""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from goldpath.errors import ProjectError
from goldpath.project import ProjectDefinitionError

if TYPE_CHECKING:
    import ibis
    from sqlglot import exp

Column: TypeAlias = Any
"""A column of Ibis."""

_TYPES = {"DOUBLE": "float64", "BIGINT": "int64", "VARCHAR": "string", "TEXT": "string"}
_TYPES |= {"BOOLEAN": "boolean", "INT": "int64"}
SUBSET = (
    "one SELECT from rows with WHERE; + - * / %, comparisons, AND OR NOT, IN, BETWEEN, LIKE, "
    "IS NULL, CASE, COALESCE, NULLIF, ||, CAST, TRY_CAST, LOWER, UPPER, TRIM, LENGTH, SUBSTR, "
    "REPLACE, STARTS_WITH, ABS, ROUND, FLOOR, CEIL, SQRT, LN, EXP"
)


def refusal(node: "exp.Expr", file: Path, problem: str) -> ProjectDefinitionError:
    """An error that names file and line."""
    return ProjectDefinitionError(
        f"{file}:{_line(node)}: {problem}", f"a SQL recipe may use {SUBSET}; write others in Ibis"
    )


def _line(node: "exp.Expr") -> int:
    """The line of a node, or of the nearest one that knows its own."""
    at: Any = node
    while at is not None:
        for each in at.walk():
            if "line" in each.meta:
                return int(each.meta["line"])
        at = at.parent
    return 1


def value_of(node: "exp.Expr", rows: "ibis.Table", file: Path) -> Column:
    """An expression of the statement as a column.

    Raises:
        ProjectDefinitionError: If the two dialects do not have it in common; names file and line.
    """
    return _Values(rows, file).of(node)


class _Values:
    """The values of one statement."""

    def __init__(self, rows: "ibis.Table", file: Path) -> None:
        self._rows, self._file = rows, file

    def of(self, node: "exp.Expr") -> Column:
        """An expression as a column."""
        try:
            return self._of(node)
        except ProjectError:
            raise
        except Exception as error:  # what Ibis says of types that do not suit
            raise refusal(node, self._file, f"{node.sql()}: {error}") from error

    def _of(self, node: "exp.Expr") -> Column:
        import ibis

        kind = type(node).__name__
        if own := getattr(self, f"_{kind.lower()}", None):
            found: Column = own(node)
            return found
        if kind in _TWO:
            return _TWO[kind](self.of(node.this), self.of(node.expression))
        if kind in _ONE:
            self._require_plain(node, {"this"})
            return _ONE[kind](self.of(node.this))
        if kind == "Null":
            return ibis.null()
        if kind == "Boolean":
            return ibis.literal(bool(node.this))
        raise self._refused(node)

    def _refused(self, node: "exp.Expr", why: str = "is not in both dialects") -> Exception:
        name = node.name if type(node).__name__ == "Anonymous" else node.key
        return refusal(node, self._file, f"{name.upper()} {why}")

    def _require_plain(self, node: "exp.Expr", known: set[str]) -> None:
        """Refuse what an operation is given beside its usual inputs."""
        more = [key for key, each in node.args.items() if each and key not in known]
        if more:
            raise self._refused(node, f"with {', '.join(more)} is not in both dialects")

    def _column(self, node: Any) -> Column:
        if node.table and node.table.lower() != "rows":
            raise refusal(node, self._file, f"{node.sql()} is of another table than rows")
        names = {name.lower(): name for name in self._rows.columns}
        name = node.name if node.name in self._rows.columns else names.get(node.name.lower())
        if name is None:
            near = get_close_matches(node.name, self._rows.columns, n=1)
            said = f", did you mean {near[0]}?" if near else ""
            raise refusal(node, self._file, f"rows have no column {node.name}{said}")
        return self._rows[name]

    def _literal(self, node: Any) -> Column:
        import ibis

        if node.is_string:
            return ibis.literal(node.this)
        return ibis.literal(int(node.this) if node.this.isdigit() else float(node.this))

    def _div(self, node: Any) -> Column:
        left, right = self.of(node.this), self.of(node.expression)
        if left.type().is_integer() and right.type().is_integer():
            raise self._refused(
                node, "of whole numbers differs (3 / 2 is 1.5 or 1): CAST one of them AS DOUBLE"
            )
        return left / right.nullif(0)

    def _in(self, node: Any) -> Column:
        self._require_plain(node, {"this", "expressions"})
        if not node.expressions:
            raise self._refused(node)
        value, known = self.of(node.this), [self.of(each) for each in node.expressions]
        found = value == known[0]
        for each in known[1:]:
            found |= value == each
        return found

    def _between(self, node: Any) -> Column:
        self._require_plain(node, {"this", "low", "high"})
        value = self.of(node.this)
        return (value >= self.of(node.args["low"])) & (value <= self.of(node.args["high"]))

    def _is(self, node: Any) -> Column:
        if type(node.expression).__name__ != "Null":
            raise self._refused(node, "is known with NULL alone")
        return self.of(node.this).isnull()

    def _case(self, node: Any) -> Column:
        import ibis

        subject = self.of(node.this) if node.this is not None else None
        pairs = []
        for each in node.args["ifs"]:
            asked = self.of(each.this)
            condition = asked if subject is None else subject == asked
            pairs.append((condition, self.of(each.args["true"])))
        default = node.args.get("default")
        return ibis.cases(*pairs, else_=None if default is None else self.of(default))

    def _coalesce(self, node: Any) -> Column:
        import ibis

        return ibis.coalesce(self.of(node.this), *map(self.of, node.expressions))

    def _like(self, node: Any) -> Column:
        pattern = node.expression
        if type(pattern).__name__ != "Literal":
            raise self._refused(node, "takes a text in quotes")
        return self.of(node.this).like(pattern.this)

    def _dpipe(self, node: Any) -> Column:
        left, right = self.of(node.this), self.of(node.expression)
        if not (left.type().is_string() and right.type().is_string()):
            raise refusal(node, self._file, "|| joins texts: cast what is none")
        return left + right

    def _cast(self, node: Any) -> Column:
        return self._as_type(node, tries=False)

    def _trycast(self, node: Any) -> Column:
        return self._as_type(node, tries=True)

    def _as_type(self, node: Any, *, tries: bool) -> Column:
        value, kind = self.of(node.this), node.args["to"].this.name
        if kind not in _TYPES:
            raise self._refused(node, f"to {kind} is not in both dialects")
        target, given = _TYPES[kind], value.type()
        if given.is_floating() and target in ("int64", "string"):
            raise self._refused(node, f"of a number with a fraction to {kind} differs: ROUND it")
        if given.is_string() and target != "string" and not tries:
            raise self._refused(node, "of a text stops at the first bad one: use TRY_CAST")
        return value.try_cast(target) if tries else value.cast(target)

    def _substring(self, node: Any) -> Column:
        start, length = node.args.get("start"), node.args.get("length")
        given = [each for each in (start, length) if each is not None]
        if start is None or not all(each.is_int and int(each.name) > 0 for each in given):
            raise self._refused(node, "takes a start and a length of 1 or more")
        value = self.of(node.this)
        first = int(start.name) - 1
        return value.substr(first) if length is None else value.substr(first, int(length.name))

    def _replace(self, node: Any) -> Column:
        new = node.args.get("replacement")
        if new is None:
            raise self._refused(node, "needs what is put in its place")
        return self.of(node.this).replace(self.of(node.expression), self.of(new))

    def _round(self, node: Any) -> Column:
        self._require_plain(node, {"this", "decimals"})
        digits = node.args.get("decimals")
        return self.of(node.this).round(0 if digits is None else int(digits.name))


def _where(condition: Column, value: Column) -> Column:
    """A value, missing where one of the two would stop, or answer NaN."""
    import ibis

    return ibis.cases((condition, value), else_=None)


_ONE: dict[str, Callable[[Column], Column]] = {
    "Paren": lambda value: value,
    "Neg": lambda value: -value,
    "Not": lambda value: ~value,
    "Lower": lambda value: value.lower(),
    "Upper": lambda value: value.upper(),
    "Trim": lambda value: value.strip(),
    "Length": lambda value: value.length(),
    "Abs": lambda value: value.abs(),
    "Floor": lambda value: value.floor(),
    "Ceil": lambda value: value.ceil(),
    "Sqrt": lambda value: _where(value >= 0, value).sqrt(),
    "Ln": lambda value: _where(value > 0, value).ln(),
    "Exp": lambda value: value.exp(),
}
_TWO: dict[str, Callable[[Column, Column], Column]] = {
    "Add": lambda left, right: left + right,
    "Sub": lambda left, right: left - right,
    "Mul": lambda left, right: left * right,
    "Mod": lambda left, right: left % right.nullif(0),
    "EQ": lambda left, right: left == right,
    "NEQ": lambda left, right: left != right,
    "GT": lambda left, right: left > right,
    "GTE": lambda left, right: left >= right,
    "LT": lambda left, right: left < right,
    "LTE": lambda left, right: left <= right,
    "And": lambda left, right: left & right,
    "Or": lambda left, right: left | right,
    "Nullif": lambda left, right: left.nullif(right),
    "StartsWith": lambda left, right: left.startswith(right),
}
