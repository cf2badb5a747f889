"""`case`: the one way to choose between values, since an `if` cannot be written down."""

from goldpath.features.row.operations import OperationError, common_type
from goldpath.features.row.tracer import refused
from goldpath.features.row.values import Operand, Value, added


def case(*pairs: "tuple[Operand, Operand | None]", otherwise: "Operand | None" = None) -> Value:
    """The value of the first condition that holds.

    Args:
        pairs: A condition and a value each; a condition that is missing does not hold.
        otherwise: The value where none holds; None: missing.

    Example:
        >>> from goldpath import Row, Value, case, row_feature
        >>> @row_feature
        ... def age_group(row: Row) -> Value:
        ...     return case((row.age < 25, "young"), (row.age < 60, "middle"), otherwise="old")
    """
    conditions = [each[0] for each in pairs if isinstance(each, tuple) and len(each) == 2]
    traced = next((each for each in conditions if isinstance(each, Value)), None)
    if traced is None or len(conditions) != len(pairs):
        raise refused(
            "case takes pairs of a condition on the row and a value",
            "write case((row.age < 25, 1), otherwise=0)",
        )
    tracer = traced._tracer
    given = [value for _, value in pairs] + [otherwise]
    found = [None if each is None else traced._value(each) for each in given]
    try:
        kind = common_type([each._type for each in found if each is not None])
    except (OperationError, IndexError) as error:
        problem = str(error) if isinstance(error, OperationError) else "has no value but None"
        raise refused(f"case {problem}", "give each case a value of one type") from error
    values = [
        added(tracer, "missing", parameters=(kind,)) if each is None else each for each in found
    ]
    inputs = [each for pair in zip(conditions, values, strict=False) for each in pair]
    return added(tracer, "case", *map(traced._value, inputs), values[-1])
