"""What moved and matters: each column's shift, weighed by how much the model depends on it.

A large shift of a column that the model hardly uses costs little; a smaller one of its main column
may cost much. The importance is the loss of the metric when the column is shuffled (permutation
importance, Breiman 2001), which training stores beside the version. It is an order in which to
look at columns, and no further alarm: it does not know in which direction a shift moves answers,
and columns that say the same share their importance.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite

from goldpath.drift.source_decision import ColumnShift
from goldpath.drift.texts import text_columns


@dataclass(frozen=True)
class WeightedShift:
    """A column that the model depends on, and how far it moved.

    Attributes:
        name: The column as it is compared.
        weight: `moved` times `share`.
        moved: Its effect divided by the limit from which on it counts.
        importance: What the metric lost when the feature was shuffled.
        share: Of the importance of all features.
    """

    name: str
    weight: float
    moved: float
    importance: float
    share: float


def weigh(
    columns: Iterable[ColumnShift], importances: Mapping[str, float]
) -> tuple[WeightedShift, ...]:
    """The columns that were compared, by how much their shift matters, the most first.

    Args:
        columns: What was decided on each column.
        importances: By feature; of a free text, both numbers that it is compared by have its.

    Returns:
        Nothing where no feature has any importance.
    """
    useful = {name: loss for name, loss in importances.items() if isfinite(loss) and loss > 0}
    by_column = {
        column: name for name in useful for column in (name, *text_columns(name))
    }  # fmt: skip
    total = sum(useful.values())
    weighed = [
        WeightedShift(column.name, moved * share, moved, useful[name], share)
        for column in columns
        if column.test is not None and (name := by_column.get(column.name)) is not None
        for moved, share in [(column.effect / column.limit, useful[name] / total)]
    ]
    return tuple(sorted(weighed, key=lambda each: (-each.weight, each.name)))
