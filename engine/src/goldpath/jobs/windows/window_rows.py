"""Window features in gold: which rows of the sources an interval needs, and when it is made anew.

An interval of gold holds what the sources said up to its end. So it is made from their rows up to
then, as far back as the longest window reaches, and is made anew when some of these change.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from goldpath.contract import Contract
from goldpath.features.window.definition import WindowDefinition
from goldpath.features.window.learned import definitions_in
from goldpath.lake.event_time import UNKNOWN_INTERVAL, WHOLE_TABLE, intervals_between
from goldpath.lake.lakehouse import Lakehouse, Partitions, TableName
from goldpath.lake.run_log import RunRecord, latest_by_subject, read_records
from goldpath.lake.tables import INTERVAL
from goldpath.source_contract import SourceContract

if TYPE_CHECKING:
    import ibis

Account: TypeAlias = Mapping[str, RunRecord]
"""The newest record of each interval of a source's silver."""

NO_ACCOUNT: Account = MappingProxyType({})


@dataclass(frozen=True)
class WindowSources:
    """What the lake holds of the sources that some window features read.

    Attributes:
        definitions: The features.
        accounts: The sources' intervals, by the source's name.
    """

    definitions: Sequence[WindowDefinition]
    accounts: Mapping[str, Account]

    def digest(self, interval: str) -> str:
        """What stands for the rows that an interval of gold is made from; empty without any."""
        lines = [
            f"{source} {name} {record.rows_out} {record.snapshot} {record.fingerprint}"
            for source, names in self.reached([interval]).items()
            for name, record in ((name, self.accounts[source][name]) for name in names)
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if lines else ""

    def reached(self, intervals: Iterable[str]) -> dict[str, list[str]]:
        """The intervals of each source with rows that may count in some intervals of gold."""
        found: dict[str, set[str]] = {each.source: set() for each in self.definitions}
        for interval in intervals:
            period = period_of(interval)
            if period is None:
                continue
            for each in self.definitions:
                start, end = _reach(each, *period)
                held = self.accounts.get(each.source, {})
                found[each.source].update(intervals_between(held, start, end))
        return {source: sorted(names) for source, names in sorted(found.items())}


def window_sources(
    lakehouse: Lakehouse,
    contract: Contract,
    sources: Sequence[SourceContract],
    own: Account = NO_ACCOUNT,
) -> WindowSources:
    """What the lake holds of the sources that a contract's window features read.

    Args:
        lakehouse: Where the sources are.
        contract: With the project's features.
        sources: The further sources.
        own: What the main table's intervals are made from, where features read its own rows.
    """
    definitions = definitions_in(contract)
    read = {each.source for each in definitions}
    return WindowSources(
        definitions,
        {
            each.dataset: latest_by_subject(read_records(lakehouse, each, "silver"))
            for each in sources
            if each.dataset in read
        }
        | ({contract.dataset: own} if own else {}),
    )


def rows_reached(
    lakehouse: Lakehouse, sources: WindowSources, intervals: Iterable[str]
) -> "dict[str, ibis.Table]":
    """The rows of each source that may count in some intervals of gold; none is left out."""
    return {
        source: lakehouse.read(_silver(source), partitions=Partitions(INTERVAL, tuple(names)))
        for source, names in sources.reached(intervals).items()
        if names and lakehouse.exists(_silver(source))
    }


def of_interval(
    sources: WindowSources, recipes: str, labels: Callable[[str], str] = lambda _: ""
) -> Callable[[str], str]:
    """What an interval is made from beside its own rows: the recipes, and rows of the sources.

    Args:
        sources: Of the window features.
        recipes: What stands for the recipes.
        labels: What stands for the events that an interval's labels are made from.
    """

    def text(interval: str) -> str:
        digest, events = sources.digest(interval), labels(interval)
        parts = [
            recipes,
            f"windows {digest}" if digest else "",
            f"labels {events}" if events else "",
        ]
        return " ".join(part for part in parts if part)

    return text


def _silver(source: str) -> TableName:
    return TableName("silver", source)


def _reach(definition: WindowDefinition, start: date, end: date) -> tuple[date, date]:
    """The first day and the first one after the rows that count in a period."""
    geometry = definition.geometry
    lag = timedelta(seconds=geometry.lag)
    back = lag + timedelta(seconds=geometry.tile + max(definition.windows))
    first = datetime.combine(start, datetime.min.time()) - back
    last = datetime.combine(end, datetime.min.time()) - lag
    whole = last.time() == datetime.min.time()
    return first.date(), last.date() + timedelta(days=0 if whole else 1)


def period_of(interval: str) -> tuple[date, date] | None:
    """The days of an interval, the second one after it; None where its rows have no time."""
    if interval in (UNKNOWN_INTERVAL, WHOLE_TABLE):
        return None
    year, month, day = (int(each) for each in (interval + "-01-01").split("-")[:3])
    start = date(year, month, day)
    match interval.count("-"):
        case 0:
            return start, date(year + 1, 1, 1)
        case 1:
            return start, date(year + month // 12, month % 12 + 1, 1)
    return start, start + timedelta(days=1)
