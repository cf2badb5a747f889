"""From a source's rows to its verdict: window by window, with what earlier checks said."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from goldpath.drift.bins import Floats
from goldpath.drift.counts import Profile, count_rows
from goldpath.drift.estimates.confidence import Estimate, Tallies, tally
from goldpath.drift.persistence import OF, judge_source
from goldpath.drift.source_decision import SourceDecision, decide_source
from goldpath.drift.window_verdict import WindowJudge
from goldpath.drift.windows import Times, window_end, window_starts
from goldpath.jobs.drift.current_rows import CurrentRows
from goldpath.jobs.drift.history import JudgedWindow, judged_window
from goldpath.settings.monitoring import WindowLength

MOST_WINDOWS = 60
"""Windows that one check judges at most, the newest."""

USUAL_WINDOWS = 60
"""Earlier windows whose number of rows is taken as usual."""

SETTLING = OF - 1
"""The windows just before are not yet usual: the first of a shift must not excuse the second."""

HAS_VOLUME = ("service", "batch")
"""Sources whose number of rows says something. A file has as many as somebody put into it."""


@dataclass(frozen=True)
class Part:
    """The rows of one window.

    Attributes:
        start: When it began.
        end: When it ends.
        rows: Its rows, as they are compared; some of them where they were counted before.
        count: How many rows it has.
        tallies: What they say about quality.
        profile: Their counts; None where they are yet to be counted.
    """

    start: np.datetime64
    end: np.datetime64
    rows: pa.Table
    count: int
    tallies: Tallies
    profile: Profile | None = None

    @property
    def began(self) -> datetime:
        """Its start, aware."""
        return _aware(self.start)


@dataclass(frozen=True)
class JudgedSource:
    """What a check found of a source.

    Attributes:
        decision: The verdict, and the newest window that was judged.
        rows: That window's rows, or some of them.
        tallies: What they say about quality.
        end: When that window ends; None for rows that were judged as a whole.
        history: Every window of the source, the oldest first.
        notes: What people must know: rows that were left out, or judged as a whole.
    """

    decision: SourceDecision
    rows: pa.Table
    tallies: Tallies
    end: datetime | None
    history: tuple[JudgedWindow, ...]
    notes: tuple[str, ...]


def judge_rows(
    judge: WindowJudge,
    current: pa.Table,
    rows: CurrentRows,
    earlier: Sequence[JudgedWindow],
    now: datetime,
    estimate: Callable[[Tallies], Estimate | None] | None = None,
    signals: Mapping[str, Floats] | None = None,
) -> JudgedSource:
    """The verdict of a source.

    Each window is judged by itself. One that has not ended is judged only if there is no other: its
    hours are not those of a whole day. Rows of a file, a table or a batch run whose windows all
    have too few rows are judged as a whole, and that is said; the end of one whose last window was
    cut off is left out, and that is said, too.

    Args:
        judge: Judges a window.
        current: The rows as they are compared.
        rows: Where they come from, and their times.
        earlier: What earlier checks said of the source.
        now: When the check is made.
        estimate: Estimates the quality of a window's predictions; nothing where not given.
        signals: What each row says about quality, by name.
    """
    signals = signals or {}
    if rows.times is None:
        note = f"{rows.source} has no event time: judged as one window, without earlier ones"
        return _judge_whole(judge, current, rows, note, earlier, signals)
    length, minimum = judge.reference.window, judge.settings.minimum_rows
    parts = split_windows(current, rows.times, length, signals)
    largest = max((part.count for part in parts), default=0)
    if rows.kind != "service" and largest < minimum <= current.num_rows:
        note = (
            f"none of the {len(parts)} windows of {length} has {minimum} rows (the largest has "
            f"{largest}), so all {current.num_rows:,} rows are judged as one window, without "
            "earlier ones"
        )
        return _judge_whole(judge, current, rows, note, earlier, signals)
    return judge_parts(judge, parts, rows, earlier, now, estimate)


def judge_parts(
    judge: WindowJudge,
    parts: list[Part],
    rows: CurrentRows,
    earlier: Sequence[JudgedWindow],
    now: datetime,
    estimate: Callable[[Tallies], Estimate | None] | None = None,
) -> JudgedSource:
    """The verdict of a source whose rows have been split into windows, as `judge_rows`."""
    minimum, everything = judge.settings.minimum_rows, sum(part.count for part in parts)
    parts, have_ended, notes = _choose(parts, rows, np.datetime64(_naive(now), "s"))
    if rows.kind != "service":
        parts, cut_off = _without_cut_off(parts, minimum)
        notes = (*notes, *cut_off)
    known = {each.verdict.start: each for each in earlier}
    for number, part in enumerate(parts):
        # The newest is judged again: its columns are shown.
        if rows.kind == "service" and number < len(parts) - 1:
            found = known.get(part.began)
            if found is not None and found.is_final:
                continue
        usual = _usual_rows(known, part.began) if rows.kind in HAS_VOLUME and have_ended else ()
        refused = round(part.count / everything * rows.rejected)
        profile = part.profile or count_rows(judge.reference.whole.bins, part.rows, refused)
        verdict = judge.judge(profile, part.began, usual)
        known[part.began] = judged_window(
            verdict,
            is_final=have_ended,
            estimate=estimate(part.tallies)
            if estimate and verdict.state != "insufficient"
            else None,
        )
    history = tuple(sorted(known.values(), key=lambda each: each.verdict.start or now))
    newest = parts[-1]
    decision = decide_source(
        judge_source([each.verdict for each in history]),
        known[newest.began].verdict,
        judge.reference.whole.bins,
        judge.settings,
    )
    return JudgedSource(decision, newest.rows, newest.tallies, _aware(newest.end), history, notes)


def split_windows(
    current: pa.Table,
    times: Times,
    length: WindowLength,
    signals: Mapping[str, Floats] | None = None,
) -> list[Part]:
    """The rows of each window, the oldest first."""
    starts = window_starts(times, length)
    order = np.argsort(starts, kind="stable")
    ordered, begins = current.take(pa.array(order)), starts[order]
    first = np.flatnonzero(np.r_[True, begins[1:] != begins[:-1]][: len(begins)])
    sizes = np.diff(np.r_[first, len(begins)])
    return [
        Part(
            begins[at],
            window_end(begins[at], length),
            ordered.slice(int(at), int(size)),
            int(size),
            {name: tally(each[order[at : at + size]]) for name, each in (signals or {}).items()},
        )
        for at, size in zip(first, sizes, strict=True)
    ]


def _choose(
    parts: list[Part], rows: CurrentRows, now: np.datetime64
) -> tuple[list[Part], bool, tuple[str, ...]]:
    """The windows to judge, whether they have ended, and what is left out in words."""
    if rows.kind == "batch" and len(parts) == 1:  # a run has all of its rows
        return parts, True, ()
    ended = [part for part in parts if part.end <= now]
    running = parts[len(ended) :]
    if not ended:
        note = (
            f"no window has ended yet: that of {running[-1].began:%Y-%m-%d %H:%M} UTC is judged as "
            "it is so far"
        )
        return running, False, (note,)
    notes = []
    if running:
        count = sum(part.count for part in running)
        notes.append(
            f"{count:,} rows since {running[0].began:%Y-%m-%d %H:%M} UTC are judged when their "
            "window has ended"
        )
    if len(ended) > MOST_WINDOWS:
        notes.append(f"the {MOST_WINDOWS} newest of {len(ended)} windows are judged")
    return ended[-MOST_WINDOWS:], True, tuple(notes)


def _without_cut_off(parts: list[Part], minimum: int) -> tuple[list[Part], tuple[str, ...]]:
    """The windows up to the last with enough rows; a file ends somewhere within its last window.

    The service's log does not end: if its newest window has few rows, there is no verdict on now.
    """
    enough = [number for number, part in enumerate(parts) if part.count >= minimum]
    if not enough or enough[-1] == len(parts) - 1:
        return parts, ()
    rest = parts[enough[-1] + 1 :]
    count = sum(part.count for part in rest)
    note = (
        f"the last {count:,} rows, since {rest[0].began:%Y-%m-%d %H:%M} UTC, are too few for a "
        f"window ({minimum} are needed) and are not judged"
    )
    return parts[: enough[-1] + 1], (note,)


def _judge_whole(
    judge: WindowJudge,
    current: pa.Table,
    rows: CurrentRows,
    note: str,
    earlier: Sequence[JudgedWindow],
    signals: Mapping[str, Floats],
) -> JudgedSource:
    """The verdict on all rows alone; the source's history stays as it was."""
    bins = judge.reference.whole.bins
    verdict = judge.judge(count_rows(bins, current, refused=rows.rejected))
    decision = decide_source(judge_source([verdict]), verdict, bins, judge.settings)
    tallies = {name: tally(values) for name, values in signals.items()}
    return JudgedSource(decision, current, tallies, None, tuple(earlier), (note,))


def _usual_rows(known: Mapping[datetime | None, JudgedWindow], start: datetime) -> tuple[int, ...]:
    before = [each for each in known.values() if each.verdict.start and each.verdict.start < start]
    before.sort(key=lambda each: each.verdict.start or start)
    return tuple(each.verdict.rows for each in before[-USUAL_WINDOWS:-SETTLING])


def _aware(time: np.datetime64) -> datetime:
    moment: datetime = time.astype("M8[s]").astype(object)
    return moment.replace(tzinfo=UTC)


def _naive(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(tzinfo=None)
