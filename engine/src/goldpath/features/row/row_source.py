"""One row's features as the source text of a Python function, without a loop or a branch too many.

A number or a time is a float in it, NaN where it is missing, so that arithmetic needs no checks; a
text or a truth value is None there. A result that is not finite is missing, too: infinity stays
what it is through `+ - *`, and is only looked for where it could become a number again.

A document comes from a stored version, which nobody may trust. None of its text stands in the
source: columns and constants are objects that the function finds under names made here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from goldpath.domain import truth_of
from goldpath.features.row.by_value import as_found, one_value, table_of
from goldpath.features.row.document import Definition, Node
from goldpath.features.row.operations import BEYOND_INTEGERS, NUMBERS, Type

_FLOATS = (*NUMBERS, "time")
_COMPARED = {"equal": "==", "less": "<", "less_or_equal": "<="}
_ARITHMETIC = {"add": "+", "subtract": "-", "multiply": "*"}
_ROUNDED = {"floor": "float(floor({}))", "ceil": "float(ceil({}))", "round": "half_away({})"}
_TEXT_TESTS = {
    "contains": "{1} in {0}",
    "starts_with": "{0}.startswith({1})",
    "ends_with": "{0}.endswith({1})",
    "is_in": "{0} in {1}",
}


@dataclass(frozen=True)
class _Variable:
    """A value in the source.

    Attributes:
        name: Of a variable, or of a constant.
        type: Of the value.
        constant: The value, where it is one.
    """

    name: str
    type: Type
    constant: Any = None

    @property
    def is_float(self) -> bool:
        return self.type in _FLOATS

    @property
    def nothing(self) -> str:
        """How a missing value of this type is written."""
        return "nan" if self.is_float else "None"

    @property
    def is_missing(self) -> str:
        """Whether it is missing; empty for a constant, which never is."""
        if self.constant is not None:
            return ""
        return f"{self.name} != {self.name}" if self.is_float else f"{self.name} is None"


class RowSource:
    """Writes the function's lines, one feature after the other.

    Args:
        column: The source of a column's value, by a name that `name_of` may have made.

    Attributes:
        lines: What was written.
        names: The objects that it uses, by name.
    """

    def __init__(self, column: Callable[["RowSource", str], str]) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = dict(_NAMES)
        self._column = column
        self._features: dict[str, _Variable] = {}
        self._columns: dict[tuple[str, str], _Variable] = {}
        self._maybe_infinite: set[str] = set()

    def add(self, definition: Definition) -> None:
        """Write what a feature computes; features after it may read it."""
        nodes = definition.expression.nodes
        conditions = _conditions(nodes)
        found: list[_Variable] = []
        for place, node in enumerate(nodes):
            inputs = [found[each] for each in node.inputs]
            found.append(self._value(node, inputs, is_condition=place in conditions))
        self._features[definition.name] = found[-1]

    def name_of(self, value: object) -> str:
        """The name under which the source finds an object."""
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def as_float_or_object(self, feature: str) -> str | None:
        """A feature as the source has it; None where there is no such feature."""
        made = self._features.get(feature)
        return None if made is None else self._finite(made).name

    def as_found(self, feature: str) -> str:
        """A feature as `rows_evaluator` describes values: None where it is missing."""
        return self._shown(self._features[feature])

    def _shown(self, made: _Variable) -> str:
        name = self._finite(made).name
        if not made.is_float:
            return name
        return f"None if {name} != {name} else {f'int({name})' if made.type == 'integer' else name}"

    def _new(self, kind: Type, expression: str, *, maybe_infinite: bool = False) -> _Variable:
        made = _Variable(f"v{len(self.lines)}", kind)
        self.lines.append(f"{made.name} = {expression}")
        if maybe_infinite:
            self._maybe_infinite.add(made.name)
        return made

    def _finite(self, value: _Variable) -> _Variable:
        """The value, infinity now missing."""
        if value.name in self._maybe_infinite:
            self._maybe_infinite.remove(value.name)
            self.lines.append(f"if {value.name} - {value.name} != 0.0: {value.name} = nan")
        return value

    def _value(self, node: Node, inputs: Sequence[_Variable], *, is_condition: bool) -> _Variable:
        match node.operation:
            case "column":
                return self._read(*node.parameters)
            case "literal":
                value = as_found(node, node.parameters[0])
                return _Variable(self.name_of(value), node.type, value)
            case "missing":
                return _Variable("nan" if node.type in _FLOATS else "None", node.type)
            case "case" | "coalesce":
                return self._chosen(node, inputs)
            case "abs" | "sqrt" | "log" | "add" | "subtract" | "multiply" | "divide":
                return self._arithmetic(node, inputs)
        known = [self._finite(each) for each in inputs]
        return self._new(node.type, self._checked(node, known, is_condition=is_condition))

    # ---- columns

    def _read(self, name: str, kind: Type) -> _Variable:
        made = self._features.get(name)
        if made is not None and (made.type == kind or {made.type, kind} <= {*NUMBERS}):
            return _Variable(made.name, kind, made.constant)
        key = (name, kind)
        if made is None and key in self._columns:
            return self._columns[key]
        given = self._column(self, name) if made is None else self._shown(made)
        value = given if given.isidentifier() else self._new(kind, given).name
        if kind in NUMBERS:
            number = f"nan if {value} is None else float({value})"
            read = self._new(kind, number, maybe_infinite=True)
        elif kind == "boolean":
            is_plain = f"{value} is None or {value} is True or {value} is False"
            read = self._new(kind, f"{value} if {is_plain} else truth_of({value})")
        else:
            read = self._new(kind, f"{value} if isinstance({value}, str) else None")
        if made is None:
            self._columns[key] = read
        return read

    # ---- operations

    def _chosen(self, node: Node, inputs: Sequence[_Variable]) -> _Variable:
        """The last value, then whatever comes before it, so that no statement stands in another."""
        is_case = node.operation == "case"
        values = [*inputs[1::2], inputs[-1]] if is_case else inputs
        made = self._new(
            node.type,
            values[-1].name,
            maybe_infinite=any(each.name in self._maybe_infinite for each in values),
        )
        for place in reversed(range(len(values) - 1)):
            value = values[place]
            if is_case:
                condition = inputs[2 * place].name
            else:
                name = self._finite(value).name
                condition = f"{name} == {name}" if value.is_float else f"{name} is not None"
            self.lines.append(f"if {condition}: {made.name} = {value.name}")
        return made

    def _arithmetic(self, node: Node, inputs: Sequence[_Variable]) -> _Variable:
        """What is infinite or NaN stays one of both."""
        one = inputs[0].name
        match node.operation:
            case "abs":
                expression = f"abs({one})"
            case "sqrt":
                expression = f"sqrt({one}) if {one} >= 0.0 else nan"
            case "log":
                expression = f"log({one}) if {one} > 0.0 else nan"
            case "divide":
                other = self._finite(inputs[1])
                expression = f"{one} / {other.name}"
                if not other.constant:  # unknown, or 0
                    expression += f" if {other.name} else nan"
            case operation:
                expression = f"{one} {_ARITHMETIC[operation]} {inputs[1].name}"
        made = self._new(node.type, expression, maybe_infinite=True)
        if node.type == "integer" and node.operation != "abs":
            self._maybe_infinite.remove(made.name)
            self.lines.append(f"if not -{_BEYOND} < {made.name} < {_BEYOND}: {made.name} = nan")
        return made

    def _checked(self, node: Node, inputs: Sequence[_Variable], *, is_condition: bool) -> str:
        """An operation on finite values that looks for missing ones itself.

        Args:
            node: The operation.
            inputs: What it takes.
            is_condition: Whether missing may be false.
        """
        one, other = inputs[0].name, inputs[-1].name
        match node.operation:
            case "modulo" | "exp":
                return f"{node.operation}({', '.join(each.name for each in inputs)})"
            case "floor" | "ceil" | "round":
                whole = _ROUNDED[node.operation].format(one)
                return f"{whole} if -{_BEYOND} < {one} < {_BEYOND} else nan"
            case "is_missing":
                return inputs[0].is_missing or "False"
            case "and" | "or":
                if is_condition:
                    return f"{one} {node.operation} {other}"
                decides = node.operation == "or"
                return (
                    f"{decides} if {one} is {decides} or {other} is {decides} "
                    f"else None if {one} is None or {other} is None else {not decides}"
                )
            case "not":
                return f"None if {one} is None else not {one}"
            case "equal" | "less" | "less_or_equal":
                compared = f"{one} {_COMPARED[node.operation]} {other}"
                if is_condition and inputs[0].is_float:
                    return compared  # NaN is neither
                return _unless_missing(inputs, compared, is_condition=is_condition)
            case "contains" | "starts_with" | "ends_with" | "is_in":
                word = (
                    frozenset(node.parameters) if node.operation == "is_in" else node.parameters[0]
                )
                test = _TEXT_TESTS[node.operation].format(one, self.name_of(word))
                return _unless_missing(inputs, test, is_condition=is_condition)
            case "map":
                table, default = table_of(node)
                nothing = math.nan if node.type in _FLOATS else None
                default = nothing if default is None else default
                found = f"{self.name_of(table.get)}({one}, {self.name_of(default)})"
            case "length":
                found = f"float(len({one}))"
            case operation:
                found = f"{self.name_of(one_value(node))}({one})"
                if operation == "to_time":
                    found = f"known({found})"
        nothing_written = _Variable("", node.type).nothing
        missing = inputs[0].is_missing
        return f"{nothing_written} if {missing} else {found}" if missing else found


def _unless_missing(inputs: Sequence[_Variable], test: str, *, is_condition: bool) -> str:
    missing = " or ".join(filter(None, (each.is_missing for each in inputs)))
    if not missing:
        return test
    return f"not ({missing}) and {test}" if is_condition else f"None if {missing} else {test}"


def _conditions(nodes: Sequence[Node]) -> set[int]:
    """The nodes of which counts only whether they hold: missing is as good as false there."""
    others = {len(nodes) - 1}
    for place in reversed(range(len(nodes))):
        node = nodes[place]
        if node.operation == "case":
            others.update(node.inputs[1::2], node.inputs[-1:])
        elif node.operation not in ("and", "or") or place in others:
            others.update(node.inputs)
    return {*range(len(nodes))} - others


def _modulo(left: float, right: float) -> float:
    if right == 0:
        return math.nan
    shifted = math.fmod(left, right) + right
    return math.fmod(shifted, right) if math.isfinite(shifted) else math.nan


def _half_away(value: float) -> float:
    whole = math.trunc(value)
    return float(whole + math.copysign(1, value) if abs(value - whole) >= 0.5 else whole)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.nan


def _known(value: float | None) -> float:
    return math.nan if value is None else value


_BEYOND = repr(BEYOND_INTEGERS)
_NAMES: dict[str, Any] = {
    "__builtins__": {},
    **{each.__name__: each for each in (abs, dict, float, int, isinstance, len, str)},
    **{each.__name__: each for each in (math.floor, math.ceil, math.sqrt, math.log, truth_of)},
    "nan": math.nan,
    "modulo": _modulo,
    "half_away": _half_away,
    "exp": _exp,
    "known": _known,
}
