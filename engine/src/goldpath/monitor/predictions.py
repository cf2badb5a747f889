"""How many predictions there were by day, and how their scores were distributed.

What waits in the service's log is read line by line, each line once for as long as the process
lives: of a segment that grows, a look reads what came since the last one. A look parses so many
bytes at most; so the page answers beside a log of any size, and says what it has not counted yet.
"""

import json
import math
import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, TableName
from goldpath.lake.tables import predictions_table, served_table
from goldpath.serving.log.segments import segments
from goldpath.settings import Settings

if TYPE_CHECKING:
    import ibis

DAYS, FEWEST_DAYS = 30, 7
"""How far back the page looks, and how many days it shows at least."""

BINS = 10
MOST_BYTES = 32 << 20
"""Of the log that one look parses; what was parsed before is remembered."""

SERVICE, BATCH = "service", "batch"


@dataclass
class Scores:
    """The scores of some predictions: sums that add up over files and tables.

    Attributes:
        count: Predictions.
        total: The sum of the scores.
        squares: The sum of their squares.
        bins: Of a probability: predictions in each tenth from 0 to 1.
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    bins: list[int] = field(default_factory=lambda: [0] * BINS)

    def add(self, score: float) -> None:
        """Count a prediction."""
        self.count += 1
        self.total += score
        self.squares += score * score
        if 0 <= score <= 1:
            self.bins[min(BINS - 1, int(score * BINS))] += 1

    def merge(self, other: "Scores") -> None:
        """Count the predictions of another."""
        self.count += other.count
        self.total += other.total
        self.squares += other.squares
        self.bins = [mine + theirs for mine, theirs in zip(self.bins, other.bins, strict=True)]

    @property
    def mean(self) -> float:
        """The mean score."""
        return self.total / self.count if self.count else float("nan")

    @property
    def spread(self) -> float:
        """The standard deviation of the scores."""
        if not self.count:
            return float("nan")
        return math.sqrt(max(0.0, self.squares / self.count - self.mean**2))


@dataclass(frozen=True)
class Predictions:
    """The predictions of the last days.

    Attributes:
        days: The days from the first that has predictions on, at least a week, the oldest first.
        by_source: The scores of each day that has some, by source.
        is_probability: Whether scores are probabilities, rather than predicted values.
        uncounted: Bytes of the service's log that were not read yet.
        unreadable: Lines of the log that say nothing: a crash or a full disk tore them.
    """

    days: tuple[date, ...]
    by_source: dict[str, dict[date, Scores]]
    is_probability: bool
    uncounted: int = 0
    unreadable: int = 0

    def of_day(self, day: date) -> Scores:
        """The scores of a day over all sources."""
        found = Scores()
        for days in self.by_source.values():
            if day in days:
                found.merge(days[day])
        return found


@dataclass
class _Segment:
    """What was read of a segment so far.

    Attributes:
        days: Its scores by day.
        unreadable: Lines of it that say nothing.
        read: Up to where it was read: the end of a line.
        is_torn: Whether what stands behind that is no whole line.
        seen: Its size and when it was written, as of the last look.
    """

    days: dict[date, Scores] = field(default_factory=lambda: defaultdict(Scores))
    unreadable: int = 0
    read: int = 0
    is_torn: bool = False
    seen: tuple[int, int] = (0, 0)

    def was_blanked(self, state: os.stat_result) -> bool:
        """Whether it was written to without growing: somebody was forgotten.

        In a segment that grows at the same time nobody can tell; the lines that were taken out of
        it stay in the counts until it is moved into the lake.
        """
        former, self.seen = self.seen, (state.st_size, state.st_mtime_ns)
        return former[0] == state.st_size and former[1] != state.st_mtime_ns

    def read_on(self, lines: IO[bytes], most: int) -> int:
        """Count further lines of about so many bytes at most; says how many bytes these were."""
        lines.seek(self.read)
        start, self.is_torn = self.read, False
        for line in lines:
            if not line.endswith(b"\n"):  # a crash tore it, or it is being written now
                self.is_torn = True
                break
            self.read += len(line)
            self._count(line)
            if self.read - start >= most:
                break
        return self.read - start

    def _count(self, line: bytes) -> None:
        try:
            values = json.loads(line)
            self.days[date.fromisoformat(values["at"][:10])].add(float(values["score"]))
        except (ValueError, KeyError, TypeError):
            self.unreadable += bool(line.strip())


class PredictionCounter:
    """Counts predictions; remembers the segments of the log that it has read.

    Args:
        settings: Where log and lake are.
        contract: Names the tables.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings = settings
        self._contract = contract
        self._known: dict[str, _Segment] = {}

    def count(self, now: datetime) -> Predictions:
        """The predictions of the last days.

        A segment that is moved into the lake while both are read may be counted twice until the
        next look.

        Raises:
            LakehouseError: If the lake cannot be read.
        """
        first = now.date() - timedelta(days=DAYS - 1)
        folder = self._settings.root / self._settings.serving.prediction_log
        files = [each for each in segments(folder) if each.name[:10] >= f"{first:%Y-%m-%d}"]
        service, uncounted, unreadable = self._of_log(files)
        lakehouse = open_lakehouse(self._settings)
        _merge(service, scores_by_day(lakehouse, served_table(self._contract), first))
        batch = scores_by_day(lakehouse, predictions_table(self._contract), first)
        kept = {name: _since(days, first) for name, days in ((SERVICE, service), (BATCH, batch))}
        shown = min((day for days in kept.values() for day in days), default=now.date())
        shown = min(shown, now.date() - timedelta(days=FEWEST_DAYS - 1))
        return Predictions(
            days=tuple(
                shown + timedelta(days=number) for number in range((now.date() - shown).days + 1)
            ),
            by_source={name: days for name, days in kept.items() if days},
            is_probability=self._contract.problem != "regression",
            uncounted=uncounted,
            unreadable=unreadable,
        )

    def _of_log(self, files: list[Path]) -> tuple[dict[date, Scores], int, int]:
        """The newest segments first: they are what one wants to see."""
        former, self._known = self._known, {}
        counted: dict[date, Scores] = defaultdict(Scores)
        parsed = uncounted = unreadable = 0
        for file in sorted(files, reverse=True):
            try:
                with file.open("rb") as lines:
                    state = os.fstat(lines.fileno())
                    segment = former.get(file.name, _Segment())
                    if segment.was_blanked(state):
                        segment = _Segment(seen=segment.seen)
                    if parsed < MOST_BYTES and segment.read < state.st_size:
                        parsed += segment.read_on(lines, MOST_BYTES - parsed)
            except FileNotFoundError:  # it was moved into the lake, which is read after this
                continue
            self._known[file.name] = segment
            _merge(counted, segment.days)
            unreadable += segment.unreadable + segment.is_torn
            if not segment.is_torn:
                uncounted += max(0, state.st_size - segment.read)
        return counted, uncounted, unreadable


def scores_by_day(lakehouse: Lakehouse, table: TableName, first: date) -> dict[date, Scores]:
    """The scores by day, counted where the data is."""
    if not lakehouse.exists(table):
        return {}
    rows = lakehouse.read(table)
    moment = datetime(first.year, first.month, first.day)  # noqa: DTZ001  as the lake's times are
    rows = rows.filter((rows.predicted_at >= moment) & rows.score.notnull())
    day = rows.predicted_at.strftime("%Y-%m-%d")
    grouped = rows.group_by([day.name("day"), _bin(rows.score).name("bin")]).agg(
        predictions=rows.count(), total=rows.score.sum(), squares=(rows.score * rows.score).sum()
    )
    found: dict[date, Scores] = defaultdict(Scores)
    for row in lakehouse.collect(grouped).to_pylist():
        bins = [0] * BINS
        if row["bin"] >= 0:
            bins[row["bin"]] = row["predictions"]
        scores = Scores(row["predictions"], row["total"], row["squares"], bins)
        found[date.fromisoformat(row["day"])].merge(scores)
    return dict(found)


def _bin(score: "ibis.Value") -> "ibis.Value":
    """The tenth that a probability lies in; -1 for what is none."""
    import ibis

    tenth = (score * BINS).floor().cast("int64")
    inside = (score >= 0) & (score <= 1)
    return ibis.cases((inside & (tenth < BINS), tenth), (inside, BINS - 1), else_=-1)


def _merge(days: dict[date, Scores], further: dict[date, Scores]) -> None:
    for day, scores in further.items():
        days.setdefault(day, Scores()).merge(scores)


def _since(days: dict[date, Scores], first: date) -> dict[date, Scores]:
    return {day: scores for day, scores in sorted(days.items()) if day >= first and scores.count}
