"""Ibis expressions as Athena SQL that means what it means on DuckDB.

Ibis compiles for Athena, but not always to the same thing, and some of it silently: it emits
`ASOF`, which Athena lacks, and drops `IGNORE NULLS`; `%M` is a month's name in Athena's formats; a
timestamp has milliseconds only; a cast of a time with an offset drops the offset; texts with a
`T` between date and time, or an offset without a colon, are no times there. Here each of these is
either said in Athena's way or refused.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from goldpath.lake.lakehouse import LakehouseError

if TYPE_CHECKING:
    import ibis
    from ibis.expr.operations import Node, Value
    from sqlglot.expressions import Expr

# https://docs.aws.amazon.com/athena/latest/ug/service-limits.html
LONGEST_STATEMENT = 262_144

# Trino's concat takes 127.
MOST_ARGUMENTS = 100

PLAIN_NAME = re.compile(r"[A-Za-z0-9_]+")
PYTHON_TO_MYSQL = {"%M": "%i", "%B": "%M", "%A": "%W"}
# The texts that DuckDB reads as times, but for its BC years and its 'epoch'.
TIME_TEXT = (
    r"^\d{4,5}([-/ ])\d{1,2}[-/ ]\d{1,2}"
    r"([T ]\d{1,2}:\d{1,2}(:\d{1,2}(\.\d+)?)?(Z|[+-]\d{2}(:?\d{2})?| [A-Za-z_/]+)?)?$"
)
# Each pattern and what it becomes, as Java's regular expressions write it.
TIME_FORMS = (
    (r"^(\d+)[-/ ](\d+)[-/ ](\d+)[T ]?", "$1-$2-$3 "),
    (r"Z$", " UTC"),
    (r"(:\d+(\.\d+)?)([+-]\d{2})$", "$1$3:00"),
    (r"(:\d+(\.\d+)?)([+-]\d{2})(\d{2})$", "$1$3:$4"),
)


@dataclass(frozen=True)
class TableReference:
    """Which state of which Glue table an unbound Ibis table stands for.

    Attributes:
        table: The table's name in Glue.
        snapshot_id: The snapshot to read, or None for the current one.
        number: Tells two readings of one table apart, as Ibis's joins need.
    """

    table: str
    snapshot_id: int | None
    number: int

    @property
    def name(self) -> str:
        """The name that the unbound table carries through Ibis."""
        return f"{self.table}@{self.snapshot_id or ''}#{self.number}"

    @classmethod
    def parse(cls, name: str) -> "TableReference":
        """Read `name` back.

        Raises:
            LakehouseError: If the table does not come from this lakehouse.
        """
        parts = re.fullmatch(r"(.+)@(\d*)#(\d+)", name)
        if parts is None:
            raise LakehouseError(
                f"the expression reads {name!r}, which is no table of the lake",
                "read tables with lakehouse.read, and bring other rows in with lakehouse.staged",
            )
        return cls(parts[1], int(parts[2]) if parts[2] else None, int(parts[3]))


def physical_name(column: str) -> str:
    """A column's name in Glue, which knows lower-case letters, digits and underscores only."""
    if PLAIN_NAME.fullmatch(column):
        return column.lower()
    digest = hashlib.sha256(column.encode()).hexdigest()[:8]
    return re.sub(r"[^a-z0-9]+", "_", column.lower()) + "_" + digest


def physical_names(columns: "list[str] | tuple[str, ...]") -> dict[str, str]:
    """Each column's name in Glue.

    Raises:
        LakehouseError: If two columns would have the same one.
    """
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for column in columns:
        name = physical_name(column)
        if taken.setdefault(name, column) != column:
            raise LakehouseError(
                f"columns {taken[name]!r} and {column!r} differ by case only, which Athena ignores",
                "rename one of them in the source",
            )
        names[column] = name
    return names


def athena_sql(expression: "ibis.Table", database: str) -> str:
    """One SELECT that Athena runs.

    Args:
        expression: Over the lake's unbound tables.
        database: The Glue database.

    Returns:
        SQL whose columns have their names in Glue.

    Raises:
        LakehouseError: If the expression holds what Athena lacks; names it.
    """
    import ibis
    import sqlglot
    from ibis.common.exceptions import IbisError
    from sqlglot.errors import SqlglotError

    operation = expression.op()
    _refuse_lost_constructs(operation)
    try:
        adapted = operation.replace(_adapt).to_expr()
        compiled = str(ibis.to_sql(adapted, dialect="athena", pretty=False))
        tree = sqlglot.parse_one(compiled, read="athena")
    except (IbisError, SqlglotError) as error:
        raise LakehouseError(
            f"the expression has no form in Athena's SQL: {str(error).splitlines()[0]}",
            "write it with operations that both engines have",
        ) from error
    _refuse_foreign_joins(tree)
    sql = _rewrite(tree, database).sql(dialect="athena")
    require_length(sql)
    return sql


def require_length(sql: str) -> None:
    """Check Athena's limit.

    Raises:
        LakehouseError: If the statement is longer.
    """
    if len(sql.encode()) > LONGEST_STATEMENT:
        raise LakehouseError(
            f"the statement has {len(sql.encode())} bytes; Athena takes {LONGEST_STATEMENT}",
            "divide the work with lakehouse.materialized, or use fewer features",
        )


def _refuse_lost_constructs(operation: "Node") -> None:
    """Refuse what Ibis compiles to SQL that Athena lacks, or that means something else.

    Raises:
        LakehouseError: If there is such a construct; names it.
    """
    from ibis.expr import operations as ops

    if any(link.how == "asof" for link in operation.find(ops.JoinLink)):
        raise _lacks("an ASOF join", "use features.point_in_time, or a window and a join")
    for window in operation.find(ops.WindowFunction):
        if isinstance(window.func, (ops.First, ops.Last)) and not window.func.include_null:
            raise _lacks(
                f"{type(window.func).__name__.lower()}(include_null=False) over a window: "
                "Ibis drops its IGNORE NULLS",
                "take a running max or min of the row's order, and join on it",
            )
    if operation.find(ops.InMemoryTable):
        raise _lacks("a table in memory", "bring its rows in with lakehouse.staged")


def _refuse_foreign_joins(tree: "Expr") -> None:
    from sqlglot import expressions as exp

    for join in tree.find_all(exp.Join):
        words = {str(join.args.get(part) or "").upper() for part in ("method", "side", "kind")}
        if foreign := words & {"ASOF", "SEMI", "ANTI", "POSITIONAL"}:
            raise _lacks(f"{foreign.pop()} JOIN", "write it with standard joins")
    for kind in (exp.Qualify, exp.Lateral):
        if tree.find(kind):
            raise _lacks(kind.__name__.upper(), "write it as a subquery")


def _lacks(construct: str, fix: str) -> LakehouseError:
    return LakehouseError(f"Athena cannot run {construct}", fix)


# ---- the Ibis tree: operations that need another one on Athena


def _adapt(node: "Node", changes: Mapping[str, Any] | None) -> "Node":
    """An operation that means on Athena what `node` means on DuckDB."""
    from ibis.expr import operations as ops

    if changes:
        node = node.__recreate__(changes)
    if isinstance(node, ops.TryCast) and node.arg.dtype.is_string():
        return _adapt_parsing(node)
    if isinstance(node, ops.Cast) and _drops_zone(node):
        return ops.Cast(_at_utc(node.arg), node.to)
    if isinstance(node, (ops.Strftime, ops.StringToTimestamp)):
        return _adapt_format(node)
    if isinstance(node, ops.StringConcat):
        return _flat_concatenation(node)
    if isinstance(node, ops.RegexReplace) and isinstance(node.replacement, ops.Literal):
        replacement = re.sub(r"\\(\d)", r"$\1", node.replacement.value)
        return ops.RegexReplace(node.arg, node.pattern, replacement)
    if isinstance(node, ops.HexDigest) and node.how == "md5":
        return _md5(node.arg)
    return node


def _flat_concatenation(node: "Value") -> "Node":
    """A sum of many texts side by side: nested one in the other, they exhaust parsers' stacks."""
    from ibis.expr import operations as ops

    texts: list[Value] = []
    for text in node.arg:
        is_short = isinstance(text, ops.StringConcat) and len(text.arg) < MOST_ARGUMENTS
        texts += text.arg if is_short else [text]
    if len(texts) > MOST_ARGUMENTS:
        return node
    return ops.StringConcat(tuple(texts))


def _adapt_parsing(node: "Value") -> "Node":
    """Reading text as a number or a time: the same texts as DuckDB reads."""
    from ibis.expr import operations as ops

    text = node.arg.to_expr()
    if node.to.is_timestamp():
        known = text.re_search(TIME_TEXT)
        for pattern, form in TIME_FORMS:
            text = _replace_pattern(text, pattern, form)
        return ops.TryCast(known.ifelse(text.strip(), None).op(), node.to)
    if node.to.is_floating():
        # DuckDB reads 1_000 as a number; Java reads 1d, 1f and 0x1p3.
        for _ in range(2):
            text = _replace_pattern(text, r"(\d)_(\d)", "$1$2")
        number = text.re_search(r"^[^a-df-zA-DF-Z]*$").ifelse(text, None)
        return ops.TryCast(number.op(), node.to)
    if node.to.is_integer():
        # DuckDB reads 2.5 and 1e3 as whole numbers, Trino does not.
        whole = ops.TryCast(node.arg, node.to).to_expr()
        number = _adapt_parsing(ops.TryCast(node.arg, "float64"))
        return whole.coalesce(ops.TryCast(number, node.to).to_expr()).op()
    return node


def _drops_zone(node: "Value") -> bool:
    from_, to = node.arg.dtype, node.to
    return bool(
        from_.is_timestamp()
        and from_.timezone is not None
        and ((to.is_timestamp() and to.timezone is None) or to.is_date())
    )


def _adapt_format(node: "Value") -> "Node":
    """A Python format as MySQL's, which Athena uses."""
    from ibis.expr import operations as ops

    if not isinstance(node.format_str, ops.Literal):
        raise _lacks("a format that is not a constant", "give the format as text")
    format_ = re.sub(
        "%.", lambda part: PYTHON_TO_MYSQL.get(part[0], part[0]), node.format_str.value
    )
    return type(node)(node.arg, format_)


@cache
def _builtins() -> tuple["Callable[..., ibis.Value]", "Callable[..., ibis.Value]"]:
    """Athena's `at_timezone` and its `regexp_replace`, as Ibis functions."""
    import ibis

    def at_timezone(moment: Any, zone: Any) -> Any: ...

    def regexp_replace(text: Any, pattern: Any, form: Any) -> Any: ...

    moment, builtin = "timestamp('UTC')", ibis.udf.scalar.builtin
    return (
        builtin(at_timezone, signature=((moment, "string"), moment)),
        builtin(regexp_replace, signature=(("string", "string", "string"), "string")),
    )


def _at_utc(moment: "Value") -> "Value":
    at_timezone, _ = _builtins()
    return at_timezone(moment.to_expr(), "UTC").op()


def _replace_pattern(text: "ibis.Value", pattern: str, form: str) -> "ibis.Value":
    _, regexp_replace = _builtins()
    return regexp_replace(text, pattern, form)


def _md5(text: "Value") -> "Node":
    """A text's digest as DuckDB writes it: Athena's is of bytes, and in capital letters."""
    import ibis

    def to_utf8(text: Any) -> Any: ...

    # To SQLGlot a function of this name gives text, which it writes as LOWER(TO_HEX(MD5(…))).
    def md5(content: Any) -> Any: ...

    builtin = ibis.udf.scalar.builtin
    content = builtin(to_utf8, signature=(("string",), "binary"))(text.to_expr())
    return builtin(md5, signature=(("binary",), "string"))(content).op()


# ---- the SQL tree: names, types and literals


def _rewrite(tree: "Expr", database: str) -> "Expr":
    """Glue's names for tables and columns, and microseconds for every timestamp."""
    from sqlglot import expressions as exp

    names: list[str] = []
    for identifier in list(tree.find_all(exp.Identifier)):
        if not isinstance(identifier.parent, exp.Table):
            names.append(identifier.name)
            identifier.set("this", physical_name(identifier.name))
    physical_names(tuple(dict.fromkeys(names)))
    for table in list(tree.find_all(exp.Table)):
        if "@" in table.name or not _is_local(table, tree):
            _name_table(table, database)
    for kind in list(tree.find_all(exp.DataType)):
        if kind.this in (exp.DType.TIMESTAMP, exp.DType.TIMESTAMPTZ):
            kind.set("expressions", [exp.DataTypeParam(this=exp.Literal.number(6))])
    for cast in list(tree.find_all(exp.Cast)):
        _write_timestamp_literal(cast)
    return tree


def _is_local(table: "Expr", tree: "Expr") -> bool:
    from sqlglot import expressions as exp

    return any(table.name == common.alias for common in tree.find_all(exp.CTE))


def _name_table(table: "Expr", database: str) -> None:
    from sqlglot import expressions as exp

    reference = TableReference.parse(table.name)
    table.set("this", exp.to_identifier(reference.table, quoted=True))
    table.set("db", exp.to_identifier(database, quoted=True))
    if reference.snapshot_id is not None:
        version = exp.Version(
            this="VERSION", kind="AS OF", expression=exp.Literal.number(reference.snapshot_id)
        )
        table.set("version", version)


def _write_timestamp_literal(cast: "Expr") -> None:
    """Ibis writes a literal through a function that keeps milliseconds only."""
    from sqlglot import expressions as exp

    inner = cast.this
    if isinstance(inner, exp.FromISO8601Timestamp) and isinstance(inner.this, exp.Literal):
        moment = datetime.fromisoformat(inner.this.name)
        cast.set("this", exp.Literal.string(moment.isoformat(" ", "microseconds")))
