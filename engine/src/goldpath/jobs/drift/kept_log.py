"""What checks have counted of the service's log: `reports/drift/service.units.parquet`.

The log is counted in units, hours or days, which add up to windows. A unit's counts are kept, and
of each segment how far it was read, so that the next check reads what is new and nothing twice. The
file is replaced as a whole: a check that is killed leaves the former one. Units of windows that
have been judged, and are not shown any more, are left out when it is written.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from goldpath.drift.bins import Bins
from goldpath.drift.counts import Profile, empty_profile
from goldpath.drift.estimates.confidence import Tallies, Tally
from goldpath.jobs.drift.history import FOLDER, HistoryKey
from goldpath.presentation import step
from goldpath.settings.monitoring import WindowLength

Hashes = npt.NDArray[np.uint64]

FILE = "service.units.parquet"
FORMAT = 2

MOST_IDS = 1 << 16
"""Ids of a unit that are remembered: all of them, or of more predictions those with the smallest
hashes, which are 512 kB."""

UNIT_SECONDS: dict[WindowLength, int] = {"1h": 3600, "1d": 3600, "1w": 86_400, "1mo": 86_400}
"""How long a unit is, by the window's length."""

ORDER = "_order"
"""A column of the rows that are kept to be shown: the rows with the smallest numbers are drawn."""


@dataclass(frozen=True)
class Found:
    """How many rows of a unit there are at some place, and what tells them from as many others.

    Attributes:
        rows: The rows.
        seconds: The sum of their times, in seconds since the epoch.
    """

    rows: int = 0
    seconds: int = 0

    def __add__(self, other: "Found") -> "Found":
        """Both together."""
        return Found(self.rows + other.rows, self.seconds + other.seconds)


@dataclass(frozen=True)
class SeenSegment:
    """What is known of a segment.

    Attributes:
        size: Its size when it was read; -1 if it may have been written to at that moment.
        written: When it had been written last, in nanoseconds.
        read: Up to where it was read: the end of a line.
        digest: Of its bytes up to there.
        units: The rows of the champion in it, by unit.
    """

    size: int = 0
    written: int = 0
    read: int = 0
    digest: str = ""
    units: Mapping[int, Found] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Unit:
    """The counts of one unit.

    Attributes:
        profile: Its rows, over the reference's bins.
        tallies: What they say about quality.
        shown: Some of them, as they are compared, with their `_order`.
        newest: When the newest was predicted, in seconds since the epoch.
        lake: Those of them that have been moved into the lake.
        ids: Hashes of their ids in ascending order, shape (ids,): the smallest, `MOST_IDS` at most.
    """

    profile: Profile
    tallies: Tallies
    shown: pa.Table
    newest: int
    lake: Found = Found()
    ids: Hashes = field(default_factory=lambda: np.empty(0, dtype=np.uint64))

    def __add__(self, other: "Unit") -> "Unit":
        """Both together."""
        names = {*self.tallies, *other.tallies}
        empty = Tally(np.empty(0), np.empty(0, dtype=np.int64))
        return Unit(
            profile=self.profile + other.profile,
            tallies={
                name: self.tallies.get(name, empty) + other.tallies.get(name, empty)
                for name in sorted(names)
            },
            shown=pa.concat_tables([self.shown, other.shown], promote_options="permissive"),
            newest=max(self.newest, other.newest),
            lake=self.lake + other.lake,
            ids=np.union1d(self.ids, other.ids)[:MOST_IDS],
        )

    def drawn(self, rows: int) -> pa.Table:
        """So many of its rows at most: the same ones, in whatever order it was counted."""
        return smallest(self.shown, rows).drop_columns([ORDER])


@dataclass(frozen=True)
class KeptLog:
    """All that is kept.

    Attributes:
        first: The first unit that was counted; nothing is known of earlier ones.
        units: The counts by unit: its number since the epoch.
        segments: What is known of the segments, by name.
    """

    first: int = 0
    units: Mapping[int, Unit] = field(default_factory=dict)
    segments: Mapping[str, SeenSegment] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """All rows that were counted."""
        return sum(unit.profile.rows for unit in self.units.values())


def hashes_of(ids: pa.ChunkedArray) -> Hashes:
    """A hash of each prediction's id, shape (rows,)."""
    values = ids.to_numpy().astype(object)
    found: Hashes = pd.util.hash_array(values) if len(values) else np.empty(0, dtype=np.uint64)
    return found


def smallest(shown: pa.Table, rows: int) -> pa.Table:
    """The rows with the smallest `_order`."""
    order = pc.sort_indices(shown[ORDER])
    return shown.take(order[:rows])


def units_file(reports: Path) -> Path:
    """Where the counts are kept."""
    return reports / FOLDER / FILE


def read_kept(reports: Path, key: HistoryKey, bins: Bins, way: str = "") -> KeptLog:
    """What earlier checks have counted of this version; nothing if they counted otherwise.

    A file that cannot be read is said, and everything is counted anew.

    Args:
        reports: The folder of reports.
        key: Of the version and its windows.
        bins: Of the reference.
        way: How rows are counted beside that: another one would be mixed with this.
    """
    file = units_file(reports)
    if not file.exists():
        return KeptLog()
    try:
        table = pq.read_table(file)
        head = json.loads(table.schema.metadata[b"log"])
        if (head["format"], head["key"], head.get("way", "")) != (FORMAT, asdict(key), way):
            step("The log is counted anew: another version, other columns, or counted otherwise")
            return KeptLog()
        segments = {
            name: SeenSegment(**{**each, "units": _read_found(each["units"])})
            for name, each in head["segments"].items()
        }
        units = {int(row["unit"]): _read_unit(row, bins) for row in table.to_pylist()}
        return KeptLog(int(head["first"]), units, segments)
    except (OSError, KeyError, TypeError, ValueError) as error:
        step(f"{file.name} cannot be read, so the log is counted anew: {error!r}")
        return KeptLog()


def write_kept(reports: Path, key: HistoryKey, kept: KeptLog, way: str = "") -> None:
    """Replace what is kept, in one step. Only its owner can read it: it holds some of the rows."""
    head = {
        "format": FORMAT,
        "key": asdict(key),
        "way": way,
        "first": kept.first,
        "segments": {name: asdict(each) for name, each in kept.segments.items()},
    }
    schema = _SCHEMA.with_metadata({"log": json.dumps(head)})
    rows = [_stored_unit(number, unit) for number, unit in sorted(kept.units.items())]
    file = units_file(reports)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as content:
        pq.write_table(
            pa.Table.from_pylist(rows, schema),
            content,
            compression=dict.fromkeys(_COMPRESSED, "zstd"),
            use_dictionary=list(_COMPRESSED),
            write_statistics=False,
        )
    part.replace(file)


def forget_kept(reports: Path) -> None:
    """Delete what is kept: the next check counts again what the log holds by then."""
    units_file(reports).unlink(missing_ok=True)


def with_fewer_shown(kept: KeptLog, windows: Mapping[int, int], rows: int) -> KeptLog:
    """The same, with so many rows to be shown of each window at most.

    Args:
        kept: The counts.
        windows: The window of each unit.
        rows: Of a window.
    """
    by_window: dict[int, list[int]] = {}
    for number in kept.units:
        by_window.setdefault(windows[number], []).append(number)
    units: dict[int, Unit] = {}
    for numbers in by_window.values():
        orders = np.concatenate([np.asarray(kept.units[each].shown[ORDER]) for each in numbers])
        last = np.sort(orders)[rows - 1] if len(orders) > rows else np.inf
        for each in numbers:
            unit = kept.units[each]
            is_drawn = pc.less_equal(unit.shown[ORDER], last)
            units[each] = replace(unit, shown=unit.shown.filter(is_drawn))
    return replace(kept, units=units)


_SCHEMA = pa.schema(
    [
        ("unit", pa.int64()),
        ("rows", pa.int64()),
        ("counts", pa.list_(pa.int64())),
        ("missing", pa.list_(pa.int64())),
        ("sums", pa.list_(pa.float64())),
        ("examples", pa.string()),
        ("tallies", pa.list_(pa.string())),
        ("values", pa.list_(pa.list_(pa.float64()))),
        ("value_counts", pa.list_(pa.list_(pa.int64()))),
        ("shown", pa.binary()),
        ("newest", pa.int64()),
        ("lake", pa.list_(pa.int64())),
        ("ids", pa.binary()),
    ]
)


_COMPRESSED = (
    *(f"{name}.list.element" for name in ("counts", "missing", "sums")),
    *(f"{name}.list.element.list.element" for name in ("values", "value_counts")),
    *("examples", "shown"),
)
"""Columns of the file; hashes of ids would only take the time."""


def _stored_unit(number: int, unit: Unit) -> dict[str, Any]:
    buffer = pa.BufferOutputStream()
    with pa.ipc.new_stream(buffer, unit.shown.schema) as stream:
        stream.write_table(unit.shown)
    return {
        "unit": number,
        "rows": unit.profile.rows,
        "counts": unit.profile.counts,
        "missing": unit.profile.missing,
        "sums": unit.profile.sums,
        "examples": json.dumps(unit.profile.examples),
        "tallies": list(unit.tallies),
        "values": [each.values for each in unit.tallies.values()],
        "value_counts": [each.counts for each in unit.tallies.values()],
        "shown": buffer.getvalue().to_pybytes(),
        "newest": unit.newest,
        "lake": [unit.lake.rows, unit.lake.seconds],
        "ids": unit.ids.astype("<u8").tobytes(),
    }


def _read_unit(row: Mapping[str, Any], bins: Bins) -> Unit:
    empty = empty_profile(bins)
    counts, missing, sums = (np.array(row[name]) for name in ("counts", "missing", "sums"))
    if (counts.shape, missing.shape) != (empty.counts.shape, empty.missing.shape):
        raise ValueError(f"unit {row['unit']} has other columns than the reference")
    tallies = {
        name: Tally(np.array(values, dtype=np.float64), np.array(found, dtype=np.int64))
        for name, values, found in zip(
            row["tallies"], row["values"], row["value_counts"], strict=True
        )
    }
    profile = Profile(bins, int(row["rows"]), 0, counts, missing, sums, json.loads(row["examples"]))
    shown = pa.ipc.open_stream(row["shown"]).read_all()
    ids = np.frombuffer(row["ids"], dtype="<u8").astype(np.uint64)
    return Unit(profile, tallies, shown, int(row["newest"]), Found(*row["lake"]), ids)


def _read_found(units: Mapping[str, Mapping[str, int]]) -> dict[int, Found]:
    return {int(number): Found(**each) for number, each in units.items()}
