"""Values of a SQL recipe as Ibis has them: what means the same in DuckDB and in Athena.

Each entry below was chosen because both compute it alike; what is not here is refused by its name.
"""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from goldpath.errors import ProjectError
from goldpath.handed_over import ProjectDefinitionError

if TYPE_CHECKING:
    import ibis
    from sqlglot import exp

Column: TypeAlias = Any
"""A column of Ibis."""

_TYPES = {"DOUBLE": "float64", "BIGINT": "int64", "VARCHAR": "string", "TEXT": "string"}
_TYPES |= {"BOOLEAN": "boolean", "INT": "int64"}
_FORMS = {
    "int64": r"^[+-]?[0-9]{1,19}$",
    "float64": r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$",
    "boolean": r"^([tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[tTfF01])$",
}
"""Texts that both read as a value: DuckDB reads 2.5 as the whole number 3 and 1_000 as 1000."""
_BEYOND_FRACTIONS = 2.0**53
"""From here on each float64 is a whole number."""
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


def condition_of(node: "exp.Expr", rows: "ibis.Table", file: Path) -> Column:
    """An expression that is true or false, as a column.

    Raises:
        ProjectDefinitionError: If it is neither, or as `value_of` does.
    """
    return _Values(rows, file).condition(node)


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
            self._require_plain(node, {"this", "expression"})
            if kind in _COMPARED:
                self._require_values(node, node.this, node.expression)
            if kind in ("And", "Or"):
                return _TWO[kind](self.condition(node.this), self.condition(node.expression))
            return _TWO[kind](self.of(node.this), self.of(node.expression))
        if kind in _ONE:
            self._require_plain(node, {"this"})
            return _ONE[kind](self.of(node.this))
        if kind == "Null":
            return ibis.null()
        if kind == "Boolean":
            return ibis.literal(bool(node.this))
        raise self._refused(node)

    def condition(self, node: "exp.Expr") -> Column:
        """An expression that must be true or false: of numbers Ibis would combine the bits.

        Raises:
            ProjectDefinitionError: If it is neither.
        """
        import ibis

        value = self.of(node)
        kind = value.type()
        if kind.is_null():
            return ibis.null("boolean")
        if not kind.is_boolean():
            raise refusal(node, self._file, f"{node.sql()} is no condition: it is {kind}")
        return value

    def _require_values(self, node: "exp.Expr", *compared: "exp.Expr") -> None:
        """Refuse a comparison with NULL, which is never true, and which Ibis takes for IS NULL."""
        if any(type(each.unnest()).__name__ == "Null" for each in compared):
            raise self._refused(node, "with NULL is never true: write IS NULL")

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
        if node.this.isdigit():
            return ibis.literal(int(node.this))
        # Of a plain literal with 17 digits DuckDB makes the float64 beside the right one.
        return ibis.literal(repr(float(node.this))).cast("float64")

    def _not(self, node: Any) -> Column:
        return ~self.condition(node.this)

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
        self._require_values(node, node.this, *node.expressions)
        value, known = self.of(node.this), [self.of(each) for each in node.expressions]
        found = value == known[0]
        for each in known[1:]:
            found |= value == each
        return found

    def _between(self, node: Any) -> Column:
        self._require_plain(node, {"this", "low", "high"})
        self._require_values(node, node.this, node.args["low"], node.args["high"])
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
            if subject is None:
                condition = self.condition(each.this)
            else:
                self._require_values(node, node.this, each.this)
                condition = subject == self.of(each.this)
            pairs.append((condition, self.of(each.args["true"])))
        default = node.args.get("default")
        return ibis.cases(*pairs, else_=None if default is None else self.of(default))

    def _coalesce(self, node: Any) -> Column:
        import ibis

        return ibis.coalesce(self.of(node.this), *map(self.of, node.expressions))

    def _like(self, node: Any) -> Column:
        self._require_plain(node, {"this", "expression", "negate"})
        pattern = node.expression
        if type(pattern).__name__ != "Literal":
            raise self._refused(node, "takes a text in quotes")
        is_like = self.of(node.this).like(pattern.this)
        return ~is_like if node.args.get("negate") else is_like  # NOT LIKE is one node

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
        if node.args["to"].expressions:
            raise self._refused(node, "to a text of limited length is not in both dialects")
        target, given = _TYPES[kind], value.type()
        if given.is_floating() and target == "int64" and _is_whole(node.this.unnest()):
            return _where(value.abs() < _BEYOND_FRACTIONS, value).cast(target)
        if given.is_floating() and target in ("int64", "string"):
            whole = "ROUND it" + (" and CAST it AS BIGINT" if target == "string" else "")
            raise self._refused(node, f"of a number with a fraction to {kind} differs: {whole}")
        if given.is_string() and target != "string" and not tries:
            raise self._refused(node, "of a text stops at the first bad one: use TRY_CAST")
        if given.is_string() and target != "string":
            text = value.strip()
            return _where(text.re_search(_FORMS[target]), text).try_cast(target)
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
        digits, value = node.args.get("decimals"), self.of(node.this)
        if digits is not None and not (type(digits).__name__ == "Literal" and digits.is_int):
            raise self._refused(node, "takes a number of digits of 0 or more")
        places = 0 if digits is None else int(digits.name)
        if places == 0 or value.type().is_integer():
            return _to_whole("round")(value)
        return value.round(places)


def _is_whole(node: "exp.Expr") -> bool:
    return type(node).__name__ in ("Round", "Floor", "Ceil") and not node.args.get("decimals")


def _where(condition: Column, value: Column) -> Column:
    """A value, missing where one of the two would stop, or answer NaN."""
    import ibis

    return ibis.cases((condition, value), else_=None)


def _to_whole(rounding: str) -> Callable[[Column], Column]:
    """A number without its fraction, of the type that it had: Ibis would make it a BIGINT.

    What is beyond 2**53 has no fraction, and may be too large for a BIGINT.
    """

    def rounded(value: Column) -> Column:
        import ibis

        if value.type().is_integer():
            return value
        has_fraction = value.abs() < _BEYOND_FRACTIONS
        whole = getattr(_where(has_fraction, value), rounding)().cast("float64")
        return ibis.cases((has_fraction, whole), else_=value)

    return rounded


_ONE: dict[str, Callable[[Column], Column]] = {
    "Paren": lambda value: value,
    "Neg": lambda value: -value,
    "Lower": lambda value: value.lower(),
    "Upper": lambda value: value.upper(),
    "Trim": lambda value: value.strip(),
    "Length": lambda value: value.length(),
    "Abs": lambda value: value.abs(),
    "Floor": _to_whole("floor"),
    "Ceil": _to_whole("ceil"),
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
_COMPARED = frozenset({"EQ", "NEQ", "GT", "GTE", "LT", "LTE"})
