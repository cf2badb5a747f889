"""Money by day and week: what the served decisions were worth, where `decision.values` says it.

A sum is about the decisions whose label came back, and no others: a label that comes late is
money that is counted late. So each figure says how many of the predictions it is about.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

Period = Literal["day", "week"]


@dataclass(frozen=True)
class ValueOfDay:
    """What one version's decisions of one day were worth.

    Attributes:
        day: The day of the predictions in UTC.
        predictions: Predictions of it.
        labelled: Predictions whose label came back.
        mean: What one of these was worth on average.
    """

    day: str
    predictions: int
    labelled: int
    mean: float


@dataclass(frozen=True)
class PeriodValue:
    """What the decisions of a day or a week were worth, of all versions together.

    Attributes:
        period: day, or week.
        start: Its first day, in UTC; of a week its Monday.
        predictions: Predictions of it.
        labelled: Predictions whose label came back.
        mean: What one of these was worth on average.
        total: What all of these were worth.
    """

    period: Period
    start: str
    predictions: int
    labelled: int
    mean: float
    total: float


def value_by_period(days: Iterable[ValueOfDay], since: str) -> tuple[PeriodValue, ...]:
    """Each day and each week that has labels: the days first, the oldest first.

    Args:
        days: What is known, from `since` on.
        since: The first day; a week that began before it is not whole, and left out.

    Example:
        >>> days = [ValueOfDay("2026-03-01", 9, 2, 5.0), ValueOfDay("2026-03-02", 9, 8, -1.0)]
        >>> [(each.start, each.total) for each in value_by_period(days, "2026-02-01")[2:]]
        [('2026-02-23', 10.0), ('2026-03-02', -8.0)]
        >>> [(each.start, each.total) for each in value_by_period(days, "2026-03-01")[2:]]
        [('2026-03-02', -8.0)]
    """
    known = list(days)
    found: list[PeriodValue] = []
    periods: tuple[Period, ...] = ("day", "week")
    for period in periods:
        parts: dict[str, list[ValueOfDay]] = {}
        for each in known:
            parts.setdefault(_start(each.day, period), []).append(each)
        for start, within in sorted(parts.items()):
            labelled = sum(each.labelled for each in within)
            total = sum(each.mean * each.labelled for each in within if each.labelled)
            if labelled and start >= since:
                predictions = sum(each.predictions for each in within)
                mean = total / labelled
                found.append(PeriodValue(period, start, predictions, labelled, mean, total))
    return tuple(found)


def _start(day: str, period: Period) -> str:
    if period == "day":
        return day
    known = date.fromisoformat(day)
    return (known - timedelta(days=known.weekday())).isoformat()
