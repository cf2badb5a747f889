"""A batch inference of some days: rows of gold by their event time, and what they replace.

A row of it carries its day in place of a run's name. So it does not matter how a period was cut
into runs, or in which order they came: the table holds what the last one said of each day.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from goldpath.contract import EVENT_TIME, Contract, ContractError
from goldpath.lake.event_time import INTERVAL_WIDTH
from goldpath.lake.lakehouse import Lakehouse, Partitions
from goldpath.lake.tables import INTERVAL, gold_table, predictions_table

if TYPE_CHECKING:
    import ibis
    import pyarrow as pa

NAME = "day-"
# Athena opens at most 100 partitions in one statement.
DAYS_AT_ONCE = 90


@dataclass(frozen=True)
class Days:
    """The days whose rows are scored.

    Attributes:
        start: The first day.
        end: The first day after them.
    """

    start: date
    end: date

    def __str__(self) -> str:
        """Name of the run: the day's, or the first and the last one."""
        first, *others = self.names
        return f"{first}-to-{others[-1].removeprefix(NAME)}" if others else first

    @property
    def names(self) -> tuple[str, ...]:
        """What the rows of each day carry as `run_id`."""
        count = (self.end - self.start).days
        return tuple(f"{NAME}{self.start + timedelta(days=day)}" for day in range(count))


def is_day(run_id: str) -> bool:
    """Whether a run is that of a day: `day-2026-03-01`."""
    return run_id.startswith(NAME) and len(run_id) == len(NAME) + len("2026-03-01")


def rows_of_days(
    lakehouse: Lakehouse, contract: Contract, days: Days, snapshot_id: int
) -> "ibis.Table":
    """The rows of gold whose event time lies in the days, as an expression.

    Raises:
        ContractError: If rows have no time.
    """
    if contract.event_time is None:
        raise ContractError(
            f"{contract.file} names no event_time, so no row belongs to a day",
            "leave --from and --to out: the whole table is scored then",
        )
    width = INTERVAL_WIDTH[contract.event_time.interval]
    intervals = dict.fromkeys(name.removeprefix(NAME)[:width] for name in days.names)
    held = Partitions(INTERVAL, tuple(intervals))
    rows = lakehouse.read(gold_table(contract), snapshot_id, held)
    start, end = (datetime.combine(day, time.min) for day in (days.start, days.end))
    return rows.filter(rows[EVENT_TIME] >= start, rows[EVENT_TIME] < end)


def day_names(rows: "pa.Table") -> "pa.Array":
    """The name of each row's day."""
    import pyarrow as pa

    return pa.array([f"{NAME}{moment.date()}" for moment in rows[EVENT_TIME].to_pylist()])


def replace_days(
    lakehouse: Lakehouse, contract: Contract, days: Days, scored: "ibis.Table"
) -> None:
    """Write the predictions of the days in place of those that the table has of them."""
    found = lakehouse.collect(scored.select("run_id").distinct())["run_id"].to_pylist()
    names = sorted({*found, *_stored_days(lakehouse, contract, days)})
    for first in range(0, len(names), DAYS_AT_ONCE):
        some = tuple(names[first : first + DAYS_AT_ONCE])
        chosen = scored.filter(scored.run_id.isin(some))
        lakehouse.overwrite(predictions_table(contract), chosen, Partitions("run_id", some))


def empty_days(lakehouse: Lakehouse, contract: Contract, days: Days) -> list[str]:
    """Remove the predictions of days that have no row any more.

    Returns:
        The names of the days that had some.
    """
    stored = sorted(_stored_days(lakehouse, contract, days))
    if stored:
        lakehouse.delete(predictions_table(contract), "run_id", stored)
    return stored


def _stored_days(lakehouse: Lakehouse, contract: Contract, days: Days) -> Iterator[str]:
    table = predictions_table(contract)
    if lakehouse.exists(table):
        rows = lakehouse.read(table)
        rows = rows.filter(rows.run_id >= days.names[0], rows.run_id <= days.names[-1])
        found = lakehouse.collect(rows.select("run_id").distinct())["run_id"].to_pylist()
        yield from {*found} & {*days.names}  # a run may have a name of its own between two days
