"""What a row feature may compute, and what each operation means: the one place that says so.

An expression is traced once from a function of the project (`values.py`) and kept as a document
(`document.py`). Three evaluators compute it: NumPy for batches (`batch.py`), a generated function
for one row in the service (`one_row.py`), and SQL for the lake (`sql.py`). They give the same
value, since each follows these rules; a test draws expressions and rows and compares them.

Types
    A value is a `number`, an `integer`, a `boolean`, a `text` or a `time`, or it is missing. The
    type is known before any row is read. A feature of the request brings the type that the contract
    gives it; a category is a text.

Missing values
    An operation on a missing value is missing. The exceptions say so themselves: `is_missing`,
    `coalesce`, `case`, and the logic of `&` and `|`, which is SQL's: `false & missing` is false,
    `true | missing` is true.

Numbers
    Each number is a float64, and each operation is one of IEEE 754, rounded once, in the order that
    is written. A result that is not finite is missing: a division by zero, an overflow, the root of
    a negative number, the logarithm of zero. Zero has no sign that could be seen.
    An integer is a whole number of at most 2**53 - 1, up to which float64 is exact; an integer
    beyond that is missing. `/` gives a number. `a // b` is `floor(a / b)`, exact for integers. `%`
    has the sign of the divisor, as in Python, and is exact where the divisor is below 2**52.
    `round` sends halves away from zero. `floor`, `ceil` and `round` without digits give integers;
    `round(n)` computes `round(value * 10**n) / 10**n`.
    `log` and `exp` are those of the C library in Python and in NumPy's batches alike; another
    engine's may differ in the last bit.

Texts
    Texts are compared by their code points. `length` counts code points. `lower` changes the
    capital letters of the Latin, Greek and Cyrillic scripts (up to U+052F) that have one small
    letter, and no others. `strip` takes blanks, tabs and line ends. `extract` knows a part of the
    regular expressions that all engines read alike (`texts.check_pattern`), and is missing where
    the pattern is not found.

Times
    A time is a moment in UTC, in whole seconds. `to_time` reads `2026-11-29`, `2026-11-29 08:30`
    and `2026-11-29T08:30:15`, each time with `Z`, an offset such as `-03:00`, or neither, which is
    UTC; years 1000 to 2999. Any other text, or a day that no calendar has, is missing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from goldpath.domain import LARGEST_INTEGER, can_be_listed
from goldpath.features.row.texts import check_pattern

Type = Literal["number", "integer", "boolean", "text", "time"]
TYPES: tuple[Type, ...] = get_args(Type)
NUMBERS = ("number", "integer")

BEYOND_INTEGERS = 2.0**53
"""The first whole number that is no integer here."""

Plain: TypeAlias = bool | int | float | str
"""What may be written in an expression as it stands."""

_Rule: TypeAlias = Callable[[Sequence[Type], Sequence[Any]], Type]


class OperationError(ValueError):
    """An operation that does not suit its values; says which would."""


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        inputs: How many values it takes; None: any number, from one on.
        parameters: How many constants it takes beside them; None: any number, from one on.
        rule: The result's type, from those of the inputs and from the parameters.
    """

    inputs: int | None
    parameters: int | None
    rule: _Rule

    def result(self, types: Sequence[Type], parameters: Sequence[Any]) -> Type:
        """The type of the result.

        Raises:
            OperationError: If the inputs do not suit the operation.
        """
        for count, wanted in ((len(types), self.inputs), (len(parameters), self.parameters)):
            if count != wanted and (wanted is not None or count < 1):
                raise OperationError(f"takes {wanted or 'one or more'} values, not {count}")
        return self.rule(types, parameters)


def type_of(value: object) -> Type:
    """The type of a constant.

    Raises:
        OperationError: If it is none that an expression may hold.
    """
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise OperationError(f"the whole number {value} is above {LARGEST_INTEGER}")
        return "integer"
    if isinstance(value, float):
        if value - value != 0:
            raise OperationError(f"the number {value} is not finite")
        return "number"
    if isinstance(value, str):
        if not can_be_listed(value):
            raise OperationError(f"no engine can write the text {value!r}")
        return "text"
    raise OperationError(
        f"a {type(value).__name__} is no number, text or truth value: {str(value)[:80]!r}"
    )


def common_type(types: Sequence[Type]) -> Type:
    """The one type of several values; whole numbers among others are numbers.

    Raises:
        OperationError: If there is none.
    """
    different = sorted(set(types))
    if len(different) == 1:
        return types[0]
    if set(different) <= set(NUMBERS):
        return "number"
    raise OperationError(f"has values of different types: {', '.join(different)}")


def _require(types: Sequence[Type], *allowed: str) -> None:
    if strange := [each for each in types if each not in allowed]:
        raise OperationError(f"takes {' or '.join(allowed)} values, not a {strange[0]}")


def _arithmetic(types: Sequence[Type], _: Sequence[Any]) -> Type:
    _require(types, *NUMBERS)
    return common_type(types)


def _difference(types: Sequence[Type], _: Sequence[Any]) -> Type:
    return "number" if tuple(types) == ("time", "time") else _arithmetic(types, ())


def _always(result: Type, *allowed: str) -> _Rule:
    def rule(types: Sequence[Type], _: Sequence[Any]) -> Type:
        _require(types, *allowed)
        return result

    return rule


def _ordered(types: Sequence[Type], _: Sequence[Any]) -> Type:
    _require(types, *NUMBERS, "text", "time")
    common_type(types)
    return "boolean"


def _compared(types: Sequence[Type], _: Sequence[Any]) -> Type:
    common_type(types)
    return "boolean"


def _first_known(types: Sequence[Type], _: Sequence[Any]) -> Type:
    return common_type(types)


def _case(types: Sequence[Type], _: Sequence[Any]) -> Type:
    """Conditions and values in turn, and last what holds otherwise."""
    if len(types) % 2 == 0 or len(types) < 3:
        raise OperationError("takes pairs of a condition and a value, and what holds otherwise")
    _require(types[:-1:2], "boolean")
    return common_type([*types[1::2], types[-1]])


def _is_in(types: Sequence[Type], parameters: Sequence[Any]) -> Type:
    _require(types, *NUMBERS, "text")
    common_type([*types, *map(type_of, parameters)])
    return "boolean"


def _map(types: Sequence[Type], parameters: Sequence[Any]) -> Type:
    """Parameters: keys, values, and the value of what is no key (None: missing)."""
    keys, values, default = parameters
    _require(types, "integer", "text", "boolean")
    if not keys or len(keys) != len(values) or len({*keys}) != len(keys):
        raise OperationError("needs different keys, each with a value")
    common_type([*types, *map(type_of, keys)])
    known = [*values, *([] if default is None else [default])]
    return common_type([type_of(each) for each in known])


def _text_and_word(result: Type) -> _Rule:
    def rule(types: Sequence[Type], parameters: Sequence[Any]) -> Type:
        _require(types, "text")
        if type_of(parameters[0]) != "text" or not parameters[0]:
            raise OperationError(f"takes a text, not {parameters[0]!r}")
        return result

    return rule


def _extract(types: Sequence[Type], parameters: Sequence[Any]) -> Type:
    _text_and_word("text")(types, parameters)
    if problem := check_pattern(parameters[0]):
        raise OperationError(problem)
    return "text"


def _column(_: Sequence[Type], parameters: Sequence[Any]) -> Type:
    name, kind = parameters
    if not isinstance(name, str) or kind not in TYPES:
        raise OperationError(f"names no column: {name!r} of type {kind!r}")
    return TYPES[TYPES.index(kind)]


def _literal(_: Sequence[Type], parameters: Sequence[Any]) -> Type:
    return type_of(parameters[0])


def _missing(_: Sequence[Type], parameters: Sequence[Any]) -> Type:
    if parameters[0] not in TYPES:
        raise OperationError(f"is of no type: {parameters[0]!r}")
    return TYPES[TYPES.index(parameters[0])]


OPERATIONS: dict[str, Operation] = {
    "column": Operation(0, 2, _column),
    "literal": Operation(0, 1, _literal),
    "missing": Operation(0, 1, _missing),
    "add": Operation(2, 0, _arithmetic),
    "subtract": Operation(2, 0, _difference),
    "multiply": Operation(2, 0, _arithmetic),
    "divide": Operation(2, 0, _always("number", *NUMBERS)),
    "modulo": Operation(2, 0, _arithmetic),
    "abs": Operation(1, 0, _arithmetic),
    "floor": Operation(1, 0, _always("integer", *NUMBERS)),
    "ceil": Operation(1, 0, _always("integer", *NUMBERS)),
    "round": Operation(1, 0, _always("integer", *NUMBERS)),
    "sqrt": Operation(1, 0, _always("number", *NUMBERS)),
    "log": Operation(1, 0, _always("number", *NUMBERS)),
    "exp": Operation(1, 0, _always("number", *NUMBERS)),
    "equal": Operation(2, 0, _compared),
    "less": Operation(2, 0, _ordered),
    "less_or_equal": Operation(2, 0, _ordered),
    "and": Operation(2, 0, _always("boolean", "boolean")),
    "or": Operation(2, 0, _always("boolean", "boolean")),
    "not": Operation(1, 0, _always("boolean", "boolean")),
    "is_missing": Operation(1, 0, _always("boolean", *TYPES)),
    "coalesce": Operation(None, 0, _first_known),
    "case": Operation(None, 0, _case),
    "is_in": Operation(1, None, _is_in),
    "map": Operation(1, 3, _map),
    "lower": Operation(1, 0, _always("text", "text")),
    "strip": Operation(1, 0, _always("text", "text")),
    "length": Operation(1, 0, _always("integer", "text")),
    "contains": Operation(1, 1, _text_and_word("boolean")),
    "starts_with": Operation(1, 1, _text_and_word("boolean")),
    "ends_with": Operation(1, 1, _text_and_word("boolean")),
    "extract": Operation(1, 1, _extract),
    "to_time": Operation(1, 0, _always("time", "text")),
    "year": Operation(1, 0, _always("integer", "time")),
    "month": Operation(1, 0, _always("integer", "time")),
    "day": Operation(1, 0, _always("integer", "time")),
}
"""Every operation by its name in a document. What else `Value` offers is made of these."""
