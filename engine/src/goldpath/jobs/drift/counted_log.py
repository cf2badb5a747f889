"""The windows of the service's log: the units that were counted before, and its new lines."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa

from goldpath.drift.bins import Bins, Floats
from goldpath.drift.counts import count_rows
from goldpath.drift.estimates.confidence import tally
from goldpath.drift.windows import Times, window_end, window_starts
from goldpath.jobs.drift.judged_windows import Part
from goldpath.jobs.drift.kept_log import (
    MOST_IDS,
    ORDER,
    UNIT_SECONDS,
    Found,
    KeptLog,
    Unit,
    hashes_of,
    smallest,
    with_fewer_shown,
)
from goldpath.jobs.drift.new_lines import NewLines
from goldpath.jobs.upkeep.log_rows import PREDICTION_KEY
from goldpath.settings.monitoring import WindowLength


def count_new(
    found: NewLines,
    current: pa.Table,
    signals: Mapping[str, Floats],
    bins: Bins,
    window: WindowLength,
    shown: int,
) -> KeptLog:
    """What was counted before, and the new lines.

    Args:
        found: The new lines, and what was counted before.
        current: The rows of the new lines as they are compared.
        signals: What each of them says about quality, by name.
        bins: Where they are counted.
        window: How long a window is.
        shown: Rows of a window that are kept to be shown; drawn by a hash of the prediction's id,
            so that the same ones are drawn whenever they are counted.
    """
    seconds = found.rows["predicted_at"].cast(pa.timestamp("s"), safe=False).to_numpy()
    seconds = seconds.astype("M8[s]").astype(np.int64)
    numbers = seconds // UNIT_SECONDS[window]
    ids = hashes_of(found.rows[PREDICTION_KEY])
    drawn = current.append_column(ORDER, pa.array(ids.astype(np.float64)))
    units = dict(found.kept.units)
    for number in np.unique(numbers).tolist():
        places = np.flatnonzero(numbers == number)
        rows = current.take(pa.array(places))
        unit = Unit(
            profile=count_rows(bins, rows),
            tallies={name: tally(values[places]) for name, values in signals.items()},
            shown=smallest(drawn.take(pa.array(places)), shown),
            newest=int(seconds[places].max()),
            ids=np.unique(ids[places])[:MOST_IDS],
        )
        former = units.get(number)
        unit = unit if former is None else replace(former, lake=Found()) + unit
        units[number] = replace(unit, lake=found.lake.get(number, Found()))
    kept = replace(found.kept, units=units)
    return with_fewer_shown(kept, _window_of(kept, window), shown)


def windows_of(kept: KeptLog, window: WindowLength, shown: int) -> list[Part]:
    """The windows that the units add up to, the oldest first."""
    by_window: dict[int, list[Unit]] = {}
    starts = _window_of(kept, window)
    for number in sorted(kept.units):
        by_window.setdefault(starts[number], []).append(kept.units[number])
    parts = []
    for start, units in by_window.items():
        # Which ids there were is asked of a unit only, and to merge them takes time.
        whole, *others = (replace(unit, ids=unit.ids[:0]) for unit in units)
        for unit in others:
            whole = whole + unit
        begin = np.datetime64(start, "s")
        rows = whole.drawn(shown)
        end = window_end(begin, window)
        parts.append(Part(begin, end, rows, whole.profile.rows, whole.tallies, whole.profile))
    return parts


def kept_from(kept: KeptLog, newest: datetime, window: WindowLength) -> KeptLog:
    """What the next check needs: the units of the newest window that was judged, and later ones."""
    first = int(newest.timestamp()) // UNIT_SECONDS[window]
    units = {number: unit for number, unit in kept.units.items() if number >= first}
    return replace(kept, first=first, units=units)


def _window_of(kept: KeptLog, window: WindowLength) -> dict[int, int]:
    """When the window of each unit began, in seconds since the epoch."""
    numbers = list(kept.units)
    times: Times = (np.array(numbers, dtype=np.int64) * UNIT_SECONDS[window]).astype("M8[s]")
    starts = window_starts(times, window).astype(np.int64)
    return dict(zip(numbers, starts.tolist(), strict=True))
