"""What a row feature's function is given: values that write down what is done to them.

Nothing is computed here. Each operation on a `Value` adds a node to the expression; what an
expression cannot say (`if`, a loop, a function of another library) is refused where it stands.
"""

from collections.abc import Mapping
from typing import Any, NoReturn, TypeAlias

from goldpath.features.row.operations import OperationError, Plain, Type, type_of
from goldpath.features.row.texts import DAY_SECONDS, HOUR_SECONDS, MINUTE_SECONDS, seconds_of
from goldpath.features.row.tracer import Tracer, refused

Operand: TypeAlias = "Value | Plain"

_USE_CASE = "use case((condition, value), otherwise=…), and & | ~ for and, or, not"
_OWN_FUNCTIONS = "use the value's own: log(), exp(), sqrt(), abs(), floor(), ceil(), round()"
_MOST_POWER = 8
_MOST_DIGITS = 15
_EPOCH = "1970-01-01"
_EPOCH_WEEKDAY = 3  # a Thursday; Monday is 0


class Value:
    """A column, or what is computed from columns; see `operations` for what each method means.

    Arithmetic (`+ - * / // % **`), comparisons (`== != < <= > >=`) and logic (`& | ~`) are written
    as usual, with other values or with constants.

    Args:
        tracer: Writes down what is done.
        place: Of this value's node among the tracer's.

    Example:
        >>> from goldpath import Row, Value, case, row_feature
        >>> @row_feature
        ... def plan(row: Row) -> Value:
        ...     is_new = row.tenure_months < 12
        ...     return case((is_new & (row.contract == "monthly"), "trial"), otherwise="settled")
        >>> plan.name
        'plan'
    """

    def __init__(self, tracer: Tracer, place: int) -> None:
        self._tracer = tracer
        self._place = place
        self._type: Type = tracer.nodes[place].type

    # ---- arithmetic

    def __add__(self, other: Operand) -> "Value":
        return self._with("add", other)

    def __radd__(self, other: Operand) -> "Value":
        return self._value(other)._with("add", self)

    def __sub__(self, other: Operand) -> "Value":
        return self._without_times("-")._with("subtract", other)

    def __rsub__(self, other: Operand) -> "Value":
        return self._value(other)._with("subtract", self)

    def __mul__(self, other: Operand) -> "Value":
        return self._with("multiply", other)

    def __rmul__(self, other: float) -> "Value":
        return self._value(other)._with("multiply", self)

    def __truediv__(self, other: Operand) -> "Value":
        return self._with("divide", other)

    def __rtruediv__(self, other: Operand) -> "Value":
        return self._value(other)._with("divide", self)

    def __floordiv__(self, other: Operand) -> "Value":
        return self._with("divide", other).floor()

    def __rfloordiv__(self, other: Operand) -> "Value":
        return self._value(other) // self

    def __mod__(self, other: Operand) -> "Value":
        return self._with("modulo", other)

    def __rmod__(self, other: Operand) -> "Value":
        return self._value(other) % self

    def __pow__(self, power: Operand) -> "Value":
        if isinstance(power, bool) or not isinstance(power, int) or not 1 <= power <= _MOST_POWER:
            raise refused(
                f"** {power!r}: the power is no whole number from 1 to {_MOST_POWER}",
                "use value.sqrt() for ** 0.5, or (value.log() * power).exp()",
            )
        result = self
        for _ in range(power - 1):
            result = result * self
        return result

    def __neg__(self) -> "Value":
        return self * -1

    def __pos__(self) -> "Value":
        return self

    def __abs__(self) -> "Value":
        return self._add("abs")

    def abs(self) -> "Value":
        """The number without its sign."""
        return self._add("abs")

    def floor(self) -> "Value":
        """The next lower integer."""
        return self._add("floor")

    def ceil(self) -> "Value":
        """The next higher integer."""
        return self._add("ceil")

    def round(self, digits: int = 0) -> "Value":
        """Rounded, halves away from zero; an integer where no digits are asked for."""
        if not isinstance(digits, int) or not 0 <= digits <= _MOST_DIGITS:
            raise refused(
                f"round({digits!r}): digits are a whole number from 0 to {_MOST_DIGITS}",
                "for tens or hundreds: (value / 100).round() * 100",
            )
        if digits == 0:
            return self._add("round")
        shift = float(10**digits)
        return (self * shift).round() / shift

    def sqrt(self) -> "Value":
        """The square root."""
        return self._add("sqrt")

    def log(self) -> "Value":
        """The natural logarithm."""
        return self._add("log")

    def exp(self) -> "Value":
        """E to the power of the value."""
        return self._add("exp")

    def clip(self, low: "Operand | None" = None, high: "Operand | None" = None) -> "Value":
        """The value, or the bound that it lies beyond."""
        bounds: list[Value] = []
        for bound, beyond in ((low, "__lt__"), (high, "__gt__")):
            if bound is not None:
                value = self._value(bound)
                bounds += [getattr(self, beyond)(value), value]
        if not bounds:
            raise refused("clip() has no bound", "write clip(low, high), or one of them by name")
        return added(self._tracer, "case", *bounds, self)

    # ---- comparisons and logic

    def __eq__(self, other: object) -> "Value":  # type: ignore[override]
        return self._with("equal", other)

    def __ne__(self, other: object) -> "Value":  # type: ignore[override]
        return ~self._with("equal", other)

    def __lt__(self, other: Operand) -> "Value":
        return self._with("less", other)

    def __le__(self, other: Operand) -> "Value":
        return self._with("less_or_equal", other)

    def __gt__(self, other: Operand) -> "Value":
        return self._value(other)._with("less", self)

    def __ge__(self, other: Operand) -> "Value":
        return self._value(other)._with("less_or_equal", self)

    def __and__(self, other: Operand) -> "Value":
        return self._with("and", other)

    def __rand__(self, other: Operand) -> "Value":
        return self._value(other)._with("and", self)

    def __or__(self, other: Operand) -> "Value":
        return self._with("or", other)

    def __ror__(self, other: Operand) -> "Value":
        return self._value(other)._with("or", self)

    def __invert__(self) -> "Value":
        return self._add("not")

    # ---- missing values, membership, tables

    def is_missing(self) -> "Value":
        """Whether there is no value; the answer is never missing."""
        return self._add("is_missing")

    def coalesce(self, *others: Operand) -> "Value":
        """The first value that is not missing."""
        return self._add("coalesce", *map(self._value, others))

    def is_in(self, *values: Plain) -> "Value":
        """Whether it is one of some constants."""
        return self._add("is_in", parameters=values)

    def map(self, table: Mapping[Any, Any], default: Plain | None = None) -> "Value":
        """What a table says of it; the default where the table does not have it."""
        parameters = (tuple(table), tuple(table.values()), default)
        return self._add("map", parameters=parameters)

    # ---- texts

    def lower(self) -> "Value":
        """The text with small letters."""
        return self._add("lower")

    def strip(self) -> "Value":
        """The text without blanks around it."""
        return self._add("strip")

    def length(self) -> "Value":
        """How many characters the text has."""
        return self._add("length")

    def contains(self, word: str) -> "Value":
        """Whether a word stands anywhere in the text."""
        return self._add("contains", parameters=(word,))

    def starts_with(self, word: str) -> "Value":
        """Whether the text begins with a word."""
        return self._add("starts_with", parameters=(word,))

    def ends_with(self, word: str) -> "Value":
        """Whether the text ends with a word."""
        return self._add("ends_with", parameters=(word,))

    def extract(self, pattern: str) -> "Value":
        r"""What the pattern's group found in the text: `extract(r"-(\d+)$")`."""
        return self._add("extract", parameters=(pattern,))

    # ---- times

    def to_time(self) -> "Value":
        """The text as a time in UTC."""
        return self._add("to_time")

    def year(self) -> "Value":
        """The year of a time."""
        return self._add("year")

    def month(self) -> "Value":
        """The month of a time, 1 to 12."""
        return self._add("month")

    def day(self) -> "Value":
        """The day in the month of a time, from 1."""
        return self._add("day")

    def weekday(self) -> "Value":
        """The day in the week of a time: 0 is Monday."""
        days = (self._seconds() / DAY_SECONDS).floor()
        return (days + _EPOCH_WEEKDAY) % 7

    def hour(self) -> "Value":
        """The hour of a time, 0 to 23."""
        return ((self._seconds() % DAY_SECONDS) / HOUR_SECONDS).floor()

    def minute(self) -> "Value":
        """The minute of a time, 0 to 59."""
        return ((self._seconds() % HOUR_SECONDS) / MINUTE_SECONDS).floor()

    def seconds_since(self, earlier: "Value | str") -> "Value":
        """Seconds from another time, or from "2024-02-29", to this one; negative if it is later."""
        return self._time("seconds_since")._with("subtract", self._moment(earlier))

    def hours_since(self, earlier: "Value | str") -> "Value":
        """Hours from another time to this one."""
        return self.seconds_since(earlier) / HOUR_SECONDS

    def days_since(self, earlier: "Value | str") -> "Value":
        """Days from another time to this one, with their fractions."""
        return self.seconds_since(earlier) / DAY_SECONDS

    # ---- what an expression cannot say

    def __bool__(self) -> NoReturn:
        raise refused(
            "`if`, `and`, `or`, `not`, or a chain such as a < b < c asks for a truth value, and "
            "a row feature is written down before there is a row",
            _USE_CASE,
        )

    def __hash__(self) -> NoReturn:
        raise refused("a value cannot be looked up in a set or a dict", "use value.map({…})")

    def __contains__(self, _: object) -> NoReturn:
        raise refused("`in` asks a text of a row", "use value.contains(word)")

    def __iter__(self) -> NoReturn:
        raise refused("a loop goes over a value", "use the operations of the value itself")

    def __len__(self) -> NoReturn:
        raise refused("len() of a value", "use value.length()")

    def __float__(self) -> NoReturn:
        raise refused(
            "a function such as float() or math.log() asks for a number",
            _OWN_FUNCTIONS,
        )

    def __int__(self) -> NoReturn:
        raise refused("int() of a value", "use value.floor() or value.round()")

    def __str__(self) -> NoReturn:
        raise refused("str() or an f-string of a value", "return the value itself")

    def __array_ufunc__(self, function: Any, *_: Any, **__: Any) -> NoReturn:
        raise refused(
            f"numpy.{getattr(function, '__name__', function)} of a value",
            _OWN_FUNCTIONS,
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        known = ", ".join(each for each in vars(Value) if not each.startswith("_"))
        raise refused(f"a value has no operation {name!r}", f"it has: {known}")

    # ---- parts

    def _value(self, other: object) -> "Value":
        """A value, or a constant as one."""
        return other if isinstance(other, Value) else constant(self._tracer, other)

    def _with(self, operation: str, other: object) -> "Value":
        return self._add(operation, self._value(other))

    def _add(self, operation: str, *others: "Value", parameters: tuple[Any, ...] = ()) -> "Value":
        return added(self._tracer, operation, self, *others, parameters=parameters)

    def _time(self, what: str) -> "Value":
        if self._type != "time":
            raise refused(
                f"{what} takes a time, not a {self._type}", "make one of a text: value.to_time()"
            )
        return self

    def _without_times(self, sign: str) -> "Value":
        if self._type == "time":
            raise refused(f"{sign} of a time", "use days_since, hours_since or seconds_since")
        return self

    def _seconds(self) -> "Value":
        """A time as the seconds since 1970."""
        return self._time("a date part").seconds_since(_EPOCH)

    def _moment(self, time: "Value | str") -> "Value":
        if isinstance(time, Value):
            return time._time("seconds_since")
        if not isinstance(time, str) or seconds_of(time) is None:
            raise refused(f"{time!r} is no time", 'write a time as "2024-02-29" or a value of one')
        return constant(self._tracer, time).to_time()


def added(
    tracer: Tracer, operation: str, *inputs: Value, parameters: tuple[Any, ...] = ()
) -> Value:
    """The result of an operation, written down.

    Raises:
        ProjectDefinitionError: If it does not suit its inputs; names the line.
    """
    if any(each._tracer is not tracer for each in inputs):
        raise refused(
            f"{operation} takes a value of another feature's row",
            "read the other feature as a column of this row: row.its_name",
        )
    places = tuple(each._place for each in inputs)
    # Values of many rows stay values that can be aggregated; a constant among them is none.
    made = next((type(each) for each in inputs if type(each) is not Value), Value)
    return made(tracer, tracer.add(operation, places, parameters))


def constant(tracer: Tracer, value: object) -> Value:
    """A constant as a value.

    Raises:
        ProjectDefinitionError: If an expression cannot hold it.
    """
    try:
        type_of(value)
    except OperationError as error:
        raise refused(str(error), "write numbers, texts, True or False") from error
    return added(tracer, "literal", parameters=(value,))
