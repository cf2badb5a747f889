"""What the service has predicted since the last check: new lines of its segments, and of the lake.

A segment only grows, until its lines are moved into the lake. So of a segment whose beginning is as
it was, the new lines are read; and a unit whose rows the lake has by now is as it was counted, if
they are as many, at the same times. Everything else is counted again: a segment in which somebody
wrote blanks over a person's lines, and rows of the lake that came late or were taken out.

A prediction is counted once, also where its line was copied into a second segment: the ids that are
kept with each unit tell that it was counted before, and its unit is read again, each id once. Of a
unit with more predictions than ids are kept, a copy of a few lines may be missed; a copied segment
is not.

Segments are read before the lake. What is moved meanwhile is then found twice, and counted once, by
its id; the other way round it could be missed.
"""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.contract import Contract
from goldpath.drift.bins import Integers
from goldpath.jobs.drift.kept_log import Found, KeptLog, SeenSegment, hashes_of
from goldpath.jobs.drift.served_predictions import fitting_rows, is_not_in
from goldpath.jobs.upkeep.log_rows import MOMENT, PREDICTION_KEY, Rows, prediction_rows
from goldpath.lake.lakehouse import Lakehouse
from goldpath.lake.tables import served_table
from goldpath.serving.log.segments import segments

UNSURE_NANOSECONDS = 2_000_000_000
"""A segment that was written to so shortly before it was read is looked at again: a further write
may have the same time."""

DAY_SECONDS = 86_400
CHUNK = 1 << 20


@dataclass(frozen=True)
class NewLines:
    """What was read of the log.

    Attributes:
        rows: Rows to be counted, with the columns of `prediction_rows`.
        kept: What was counted before and stays, and what is known of the segments by now.
        lake: Rows in the lake by unit.
        copies: The new lines that are copies of lines counted before, as far as that is known.
    """

    rows: pa.Table
    kept: KeptLog
    lake: Mapping[int, Found]
    copies: int = 0


@dataclass(frozen=True)
class Log:
    """The log of one version.

    Attributes:
        folder: Its segments.
        lakehouse: The lake.
        contract: Names the features and their types.
        version: The version.
        first: The first unit that is wanted.
        unit: How many seconds a unit has.
    """

    folder: Path
    lakehouse: Lakehouse
    contract: Contract
    version: str
    first: int
    unit: int

    @property
    def since(self) -> datetime:
        """When the first unit begins."""
        return datetime.fromtimestamp(self.first * self.unit, UTC)

    def is_wanted(self, rows: pa.Table) -> pa.ChunkedArray:
        """Which rows are the version's, in a unit that is wanted."""
        start = pa.scalar(self.since.replace(tzinfo=None), rows.schema.field("predicted_at").type)
        return pc.and_(
            pc.greater_equal(rows["predicted_at"], start),
            pc.equal(rows["model_version"], self.version),
        )

    def units_of(self, rows: pa.Table) -> Integers:
        """The unit of each row, shape (rows,)."""
        return _seconds(rows) // self.unit

    def found(self, rows: pa.Table) -> dict[int, Found]:
        """The rows by unit."""
        seconds = _seconds(rows)
        numbers, places = np.unique(seconds // self.unit, return_inverse=True)
        sums = np.zeros(len(numbers), dtype=np.int64)
        np.add.at(sums, places, seconds)
        counts = np.bincount(places, minlength=len(numbers))
        return {
            int(number): Found(int(count), int(total))
            for number, count, total in zip(numbers, counts, sums, strict=True)
        }


def read_new(log: Log, kept: KeptLog) -> NewLines:
    """Read what has not been counted yet.

    Raises:
        LakehouseError: If the lake cannot be read.
    """
    if kept.first > log.first:
        kept = KeptLog()
    lines, seen, changed = _new_lines(log, kept.segments)
    there = _lake_counts(log)
    again = changed | _moved_otherwise(log, kept, seen, there)
    # A copy of lines that are in the lake already: only reading both tells.
    appeared = {name: each for name, each in seen.items() if name not in kept.segments}
    again |= {unit for each in appeared.values() for unit in each.units if unit in there}
    fresh = lines.filter(pa.array(~np.isin(log.units_of(lines), list(again))))
    if copied := _copied(log, fresh, kept):
        again |= set(copied)
        fresh = fresh.filter(pa.array(~np.isin(log.units_of(fresh), list(copied))))
    counted_again, moved = _read_again(log, again, seen)
    units = {
        number: replace(unit, lake=there.get(number, Found()))
        for number, unit in kept.units.items()
        if number >= log.first and number not in again
    }
    lake = {number: each for number, each in there.items() if number not in again} | moved
    rows = pa.concat_tables([fresh, counted_again])
    return NewLines(rows, KeptLog(log.first, units, seen), lake, sum(copied.values()))


def _new_lines(
    log: Log, known: Mapping[str, SeenSegment]
) -> tuple[pa.Table, dict[str, SeenSegment], set[int]]:
    """New lines of the segments, what is known of these now, and the units of changed ones."""
    rows = prediction_rows(log.contract)
    # A segment may hold what was answered just after its day's end.
    day = f"{datetime.fromtimestamp(log.first * log.unit - DAY_SECONDS, UTC):%Y-%m-%d}"
    seen: dict[str, SeenSegment] = {}
    ends: dict[str, tuple[int, int]] = {}
    changed: set[int] = set()
    for file in segments(log.folder):
        former = known.get(file.name)
        if former is None and file.name[:10] < day:
            continue
        start = rows.count
        try:
            with file.open("rb") as content:
                segment = _read_on(content, former or SeenSegment(), rows)
        except FileNotFoundError:
            continue  # it was moved into the lake, which is read after this
        if former is not None and not segment.units:
            changed |= set(former.units)
        seen[file.name] = segment
        ends[file.name] = (start, rows.count)
    lines = rows.table()
    for name, (start, end) in ends.items():
        part = lines.slice(start, end - start)
        units = dict(seen[name].units)
        for number, each in log.found(part.filter(log.is_wanted(part))).items():
            units[number] = units.get(number, Found()) + each
        seen[name] = replace(seen[name], units=units)
    return lines.filter(log.is_wanted(lines)), seen, changed


def _copied(log: Log, lines: pa.Table, kept: KeptLog) -> dict[int, int]:
    """How many new lines of each unit have an id that was counted before."""
    units, ids = log.units_of(lines), hashes_of(lines[PREDICTION_KEY])
    found: dict[int, int] = {}
    for number in set(np.unique(units).tolist()) & set(kept.units):
        known = kept.units[number].ids
        copies = int(np.isin(ids[units == number], known).sum())
        if copies:
            found[number] = copies
    return found


def _read_on(content: IO[bytes], former: SeenSegment, rows: Rows) -> SeenSegment:
    """Add the lines behind those that were read; all of them if these are not as they were."""
    state = os.fstat(content.fileno())
    if (state.st_size, state.st_mtime_ns) == (former.size, former.written):
        return former
    digest = hashlib.blake2b(digest_size=16)
    read, units = former.read, former.units
    for place in range(0, read, CHUNK):
        digest.update(content.read(min(CHUNK, read - place)))
    if digest.hexdigest() != former.digest and read:
        digest, read, units = hashlib.blake2b(digest_size=16), 0, {}
        content.seek(0)
    for line in content:
        if not line.endswith(b"\n"):  # a crash tore it, or it is being written now
            break
        digest.update(line)
        read += len(line)
        rows.add(line)
    is_sure = time.time_ns() - state.st_mtime_ns > UNSURE_NANOSECONDS
    return SeenSegment(
        state.st_size if is_sure else -1, state.st_mtime_ns, read, digest.hexdigest(), units
    )


def _lake_counts(log: Log) -> dict[int, Found]:
    """The version's rows in the lake by unit, counted where they are."""
    table = served_table(log.contract)
    if not log.lakehouse.exists(table):
        return {}
    held = log.lakehouse.read(table)
    first = log.since.replace(tzinfo=None)
    held = held.filter((held.model_version == log.version) & (held.predicted_at >= first))
    seconds = held.predicted_at.truncate("s").epoch_seconds()
    grouped = (
        held.select(seconds=seconds)
        .mutate(unit=lambda each: (each.seconds // log.unit).cast("int64"))
        .group_by("unit")
        .agg(rows=lambda each: each.count(), total=lambda each: each.seconds.sum())
    )
    return {
        int(row["unit"]): Found(int(row["rows"]), int(row["total"]))
        for row in log.lakehouse.collect(grouped).to_pylist()
    }


def _moved_otherwise(
    log: Log,
    kept: KeptLog,
    seen: Mapping[str, SeenSegment],
    there: Mapping[int, Found],
) -> set[int]:
    """The units of which the lake holds other rows than were counted, or were moved since."""
    expected = {number: unit.lake for number, unit in kept.units.items()}
    for name, segment in kept.segments.items():
        for number, each in segment.units.items() if name not in seen else ():
            expected[number] = expected.get(number, Found()) + each
    return {
        number
        for number in {*expected, *there}
        if number >= log.first and expected.get(number, Found()) != there.get(number, Found())
    }


def _read_again(
    log: Log, units: set[int], seen: Mapping[str, SeenSegment]
) -> tuple[pa.Table, dict[int, Found]]:
    """All rows of some units, each once, and those of them that are in the lake by unit."""
    rows = prediction_rows(log.contract)
    for name, segment in seen.items() if units else ():
        if units & set(segment.units):
            for line in _lines(log.folder / name, segment.read):
                rows.add(line)
    table = served_table(log.contract)
    if not units or not log.lakehouse.exists(table):
        return _of_units(log, rows.table(), units), {}
    held = log.lakehouse.read(table)
    first, last = (
        datetime.fromtimestamp(number * log.unit, UTC).replace(tzinfo=None)
        for number in (min(units), max(units) + 1)
    )
    held = held.filter(
        (held.model_version == log.version)
        & (held.predicted_at >= first)
        & (held.predicted_at < last)
    )
    collected = log.lakehouse.collect(held)
    moved = _of_units(log, fitting_rows(rows, collected), units)
    live = _of_units(log, rows.table(), units)
    new = moved.filter(is_not_in(moved, live, PREDICTION_KEY))
    return pa.concat_tables([live, new]), log.found(_of_units(log, collected, units))


def _of_units(log: Log, rows: pa.Table, units: set[int]) -> pa.Table:
    rows = rows.filter(log.is_wanted(rows))
    return rows.filter(pa.array(np.isin(log.units_of(rows), list(units))))


def _lines(file: Path, size: int) -> Iterable[bytes]:
    """The lines up to where it was read, or what there is of a file that was cut or moved since."""
    try:
        with file.open("rb") as content:
            while content.tell() < size and (line := content.readline()):
                yield line
    except FileNotFoundError:
        return


def _seconds(rows: pa.Table) -> Integers:
    times = rows["predicted_at"].cast(MOMENT).cast(pa.int64()).to_numpy()
    found: Integers = times // 1_000_000
    return found
