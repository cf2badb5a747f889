"""The events that gold's labels are made from, and when an interval is labelled anew.

An interval's labels depend on the events up to `target.within` after its end, and on whether these
are complete by now. So an interval is made anew while events come that are so young, and never
again once all of its rows have a label that nothing can change.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from goldpath.contract import EVENT_TIME, Contract, Target
from goldpath.features.event_labels import Events, after_an_event, describe_event, event_source
from goldpath.jobs.windows.window_rows import Account, period_of
from goldpath.lake.event_time import intervals_between
from goldpath.lake.lakehouse import Lakehouse, Partitions
from goldpath.lake.run_log import latest_by_subject, read_records
from goldpath.lake.tables import INTERVAL, gold_table, silver_table
from goldpath.presentation import step
from goldpath.source_contract import SourceContract

if TYPE_CHECKING:
    import ibis


@dataclass(frozen=True)
class LabelCounts:
    """What became of gold's rows where the target is made from events.

    Attributes:
        column: The label's column.
        labelled: Rows with a label, by class; training reads these alone.
        unlabelled: Rows whose `within` ends after `observed_until`.
        after_event: Rows of gold whose entity had such an event at or before their time.
        observed_until: Until when all events are known, in UTC; None where there is no event.
    """

    column: str
    labelled: dict[str, int]
    unlabelled: int
    after_event: int
    observed_until: datetime | None


@dataclass(frozen=True)
class LabelEvents:
    """What the lake holds of the source that a target is made from.

    Attributes:
        contract: The main table's.
        source: The events'.
        account: The newest record of each interval of the events' silver.
        until: Until when all events are known; None where there is none.
    """

    contract: Contract
    source: SourceContract
    account: Account
    until: datetime | None

    def digest(self, interval: str) -> str:
        """What stands for the events that the labels of an interval of gold are made from."""
        period = period_of(interval)
        if period is None or self.until is None:
            return ""
        # Its rows wait from the end of the first one's horizon to that of the last one's.
        first, last = (
            datetime.combine(day, datetime.min.time()) + self.contract.target.horizon
            for day in period
        )
        lines = [f"until {min(max(self.until, first), last).isoformat()}"]
        for name in self.reached([interval]):
            record = self.account[name]
            lines.append(f"{name} {record.rows_out} {record.snapshot} {record.fingerprint}")
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    def reached(self, intervals: Iterable[str]) -> list[str]:
        """The intervals of the events that the labels of some intervals of gold need."""
        names: set[str] = set()
        for period in map(period_of, intervals):
            if period is None:
                continue
            # Rows after an event are left out, however long ago it was.
            start = date.min if self.contract.target.exclude_after_event else period[0]
            end = period[1] + self.contract.target.horizon + timedelta(days=1)
            names.update(intervals_between(self.account, start, end))
        return sorted(names)

    def of(self, lakehouse: Lakehouse, intervals: Iterable[str] | None = None) -> Events:
        """The events that the labels of some intervals of gold need; of all where not given."""
        table = silver_table(self.source)
        if not lakehouse.exists(table):
            return Events(None, self.source.entity, self.until)
        names = tuple(sorted(self.account) if intervals is None else self.reached(intervals))
        rows = lakehouse.read(table, partitions=Partitions(INTERVAL, names) if names else None)
        return Events(rows if names else rows.limit(0), self.source.entity, self.until)


def label_events(
    lakehouse: Lakehouse, contract: Contract, sources: Sequence[SourceContract]
) -> LabelEvents | None:
    """What the lake holds of the events; None where the target is a column.

    Raises:
        ContractError: If there is no such source.
    """
    if not contract.target.event:
        return None
    source = event_source(contract, sources)
    account = latest_by_subject(read_records(lakehouse, source, "silver"))
    return LabelEvents(contract, source, account, _known_until(lakehouse, contract, source))


def count_labels(lakehouse: Lakehouse, events: LabelEvents) -> LabelCounts:
    """Count what became of gold's rows."""
    contract, target = events.contract, events.contract.target
    gold = lakehouse.read(gold_table(contract))
    counted = rows_by_label(lakehouse, gold, target)
    after = after_an_event(gold, contract, events.of(lakehouse))
    (seen,) = lakehouse.collect(after.aggregate(rows=after.count())).to_pylist()
    return LabelCounts(
        column=target.column,
        labelled={each: counted.get(each, 0) for each in target.classes},
        unlabelled=counted.get(None, 0),
        after_event=seen["rows"],
        observed_until=events.until,
    )


def rows_by_label(
    lakehouse: Lakehouse, gold: "ibis.Table", target: Target
) -> dict[str | None, int]:
    """How many rows of gold have each label, and how many none."""
    counted = gold.group_by(label=gold[target.column]).aggregate(rows=gold.count())
    return {row["label"]: row["rows"] for row in lakehouse.collect(counted).to_pylist()}


def say_labels(counts: LabelCounts, contract: Contract) -> None:
    """Say which rows nothing is learned from, and which come after an event."""
    target = contract.target
    until = f"{counts.observed_until:%Y-%m-%d %H:%M:%S}" if counts.observed_until else "never"
    if counts.unlabelled:
        step(
            f"gold: {counts.unlabelled:,} rows have no {target.column} yet, since {target.within} "
            f"after their time is later than {until}, until when {target.event} is known: they are "
            "scored and not learned from"
        )
    if counts.after_event:
        step(
            f"gold: {counts.after_event:,} rows are at or after such an event of their "
            f"{contract.entity}; target.exclude_after_event: true leaves them out"
        )
    if missing := [label for label, rows in counts.labelled.items() if not rows]:
        step(
            f"gold: no row is {target.column}={', '.join(missing)}, so nothing can be learned: "
            f"{describe_event(contract)}, and its events are known until {until}"
        )


def _known_until(
    lakehouse: Lakehouse, contract: Contract, source: SourceContract
) -> datetime | None:
    """Until when all events are known: what the contract says, or the newest row of the source."""
    if contract.target.observed_until is not None:
        return contract.target.observed_until
    table = silver_table(source)
    if not lakehouse.exists(table):
        return None
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    rows = lakehouse.read(table)
    past = rows.filter(rows[EVENT_TIME] <= now)  # a planned event says nothing of what is known
    found = lakehouse.collect(past.aggregate(newest=past[EVENT_TIME].max()))["newest"][0].as_py()
    newest: datetime | None = found
    return newest
