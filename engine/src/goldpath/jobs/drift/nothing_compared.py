"""Checks that had nothing to compare: exit 3, and never "no drift".

A source keeps its last verdict, so that an alarm goes on and no silence ends it; beside it stands
that the newest check compared nothing. A check that is repeated before another window has ended
gives the last verdict again, and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from goldpath.drift.windows import window_starts
from goldpath.jobs.drift.current_rows import CurrentRows, Source
from goldpath.jobs.drift.history import HistoryKey, JudgedWindow, history_file
from goldpath.jobs.drift.judged_windows import JudgedSource, Part
from goldpath.jobs.drift.written_reports import (
    DriftReport,
    as_report,
    judged_marks,
    write_verdict,
)
from goldpath.learning.scoring import ModelVersion
from goldpath.reports import write_report
from goldpath.serving.metrics.reports import read_json, write_textfile
from goldpath.settings import Settings
from goldpath.settings.monitoring import WindowLength

SCORED: tuple[Source, ...] = ("batch", "service")
"""Sources of which `newest` is one."""


@dataclass(frozen=True)
class LastVerdict:
    """What the last check with a verdict said of a source.

    Attributes:
        verdict: ok, drift or insufficient.
        message: It as a sentence.
        checked_at: When it was given.
        source: Where the rows came from, in words.
        window_start: When its newest window began; empty where rows were judged as a whole.
        rows: Rows of that window.
        scored_at: When the newest of all rows was scored; empty where that is not known.
    """

    verdict: str
    message: str
    checked_at: datetime
    source: str
    window_start: str
    rows: int
    scored_at: str

    @property
    def told(self) -> str:
        """It as part of a sentence."""
        when = _minute(self.checked_at)
        return f"the last verdict, of {when}, was {self.verdict}: {self.message}"


def read_last(reports: Path, kind: Source, champion: ModelVersion) -> LastVerdict | None:
    """The last verdict on a source, if it is about this champion."""
    return _last(read_json(history_file(reports, kind)), champion)


@dataclass(frozen=True)
class NothingCompared:
    """A check that compared nothing.

    Attributes:
        why: Why not, as a sentence.
        kind: The source, or `newest` if there is none.
        source: Where its rows would have come from, in words.
        champion: What they would have been compared with.
        reference_rows: Rows of the reference.
        now: When the check was made.
        window: How long a window is.
        training_rows: Rows that were left out: the champion was trained or judged on them.
        rejected: Rows that the contract refused.
    """

    why: str
    kind: Source
    source: str
    champion: ModelVersion
    reference_rows: int
    now: datetime
    window: WindowLength
    training_rows: int = 0
    rejected: int = 0

    def of_training_rows(self, rows: CurrentRows) -> "NothingCompared":
        """The same of rows that the champion was trained or judged on."""
        return self.of(
            rows,
            f"{rows.training_rows:,} of {rows.scored:,} rows are of the data that the champion was "
            "trained and judged on; score new rows: batch-predict --data FILE",
        )

    def of_silence(self, rows: CurrentRows, since: datetime) -> "NothingCompared":
        """The same of a service that has answered nothing in the windows that ended since."""
        why = f"no predictions in the windows of {self.window} since {_minute(since)}"
        return self.of(rows, why)

    def of(self, rows: CurrentRows, why: str) -> "NothingCompared":
        """The same of these rows."""
        return replace(
            self,
            why=why,
            kind=rows.kind,
            source=rows.source,
            training_rows=rows.training_rows,
            rejected=rows.rejected,
        )


def write_nothing_compared(settings: Settings, nothing: NothingCompared) -> DriftReport:
    """Leave the verdict `insufficient`, in `drift.json` and beside the source's last verdict.

    Where nothing was scored at all, both sources that could have been the newest were checked.
    """
    values = _values(settings, nothing)
    write_verdict(settings, values)
    kinds: tuple[Source, ...] = (nothing.kind,)
    for kind in SCORED if nothing.kind == "newest" else kinds:
        _write_state(settings, replace(nothing, kind=kind))
    write_textfile(settings.reports, settings.model)
    return as_report(settings, values)


def _write_state(settings: Settings, nothing: NothingCompared) -> None:
    """Keep the source's last verdict, and when it was; else this is its state."""
    values = _values(settings, nothing)
    file = history_file(settings.reports, nothing.kind)
    before = state = read_json(file)
    if _last(state, nothing.champion) is None:
        key = HistoryKey(nothing.champion.version, "", nothing.window)
        state = {**values, "key": asdict(key), "history": [], "former": _former(state)}
    marks = judged_marks(before, values["checked_at"], is_judged=False)
    said = {"checked_at": values["checked_at"], "message": values["message"]}
    write_report(file, {**state, **marks, "nothing_compared": said})


def silent_since(
    parts: Sequence[Part],
    earlier: Sequence[JudgedWindow],
    last: LastVerdict | None,
    now: datetime,
    window: WindowLength,
) -> datetime | None:
    """Since when the service has been silent, if that leaves a check nothing to compare.

    Windows have ended since the last verdict, none of them has a row, and the newest that has rows
    was judged on these.

    Args:
        parts: The windows that have rows, the oldest first.
        earlier: What earlier checks said of them.
        last: The last verdict.
        now: When the check is made.
        window: How long a window is.
    """
    running = window_starts([now], window)[0]
    ended = [part for part in parts if part.end <= running]
    if not ended or last is None or last.checked_at >= _aware(running):
        return None
    newest = ended[-1]
    judged = {each.verdict.start: each.verdict.rows for each in earlier if each.is_final}
    is_silent = newest.end < running and judged.get(newest.began) == newest.count
    return _aware(newest.end) if is_silent else None


def repeated(rows: CurrentRows, judged: JudgedSource, last: LastVerdict | None) -> tuple[str, ...]:
    """That a verdict repeats the last one, since the rows are those of the last check.

    A file is read again because somebody asked for it, and a table may hold other rows by now.
    """
    window = judged.decision.window
    start = window.start.isoformat() if window.start else ""
    if last is None or (last.window_start, last.rows) != (start, window.rows):
        return ()
    # A run's name may be used again, as each night.
    scored = (last.source, last.scored_at) == (rows.source, rows.at.isoformat())
    if rows.kind == "batch" and scored:
        return (f"nothing new since the check of {_minute(last.checked_at)}: the same batch run",)
    if rows.kind == "service" and judged.history[-1].is_final:
        return (
            f"nothing new since the check of {_minute(last.checked_at)}: no later window has ended "
            "with predictions, so its verdict is repeated",
        )
    return ()


def _values(settings: Settings, nothing: NothingCompared) -> dict[str, Any]:
    message = f"nothing new to compare: {nothing.why}"
    last = read_last(settings.reports, nothing.kind, nothing.champion)
    if last is not None and last.verdict != "insufficient":
        message = f"{message}; {last.told}"
    return {
        "verdict": "insufficient",
        "exit_code": 3,
        "message": message,
        "checked_at": nothing.now.isoformat(timespec="seconds"),
        "rows": 0,
        "rejected_rows": nothing.rejected,
        "training_rows": nothing.training_rows,
        "reference_rows": nothing.reference_rows,
        "model_name": nothing.champion.name,
        "model_version": nothing.champion.version,
        "source": nothing.source,
        "kind": nothing.kind,
        "window": "",
        "window_start": None,
        "since": None,
        "alarms": 0,
        "windows": 0,
        "calibration": "none",
        "reference_windows": 0,
        "p_value": None,
        "detectable": None,
        "sensitivity": "",
        "estimate": None,
        "notes": (),
        "columns": [],
        "moved_and_matters": [],
        "evidently": None,
        "html": None,
        "plot": None,
    }


def _last(state: Mapping[str, Any], champion: ModelVersion) -> LastVerdict | None:
    about = state.get("model_name"), state.get("model_version")
    if about != (champion.name, champion.version):
        return None
    try:
        return LastVerdict(
            verdict=str(state["verdict"]),
            message=str(state["message"]),
            checked_at=datetime.fromisoformat(state["checked_at"]).astimezone(UTC),
            source=str(state["source"]),
            window_start=str(state.get("window_start") or ""),
            rows=int(state["rows"]),
            scored_at=str(state.get("scored_at") or ""),
        )
    except (KeyError, TypeError, ValueError):
        return None  # damaged: read_history says so


def _former(state: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What could be seen with the champion before: its state is replaced."""
    if not isinstance(state.get("detectable"), float):
        return None
    return {
        name: state.get(name) for name in ("model_version", "detectable", "calibration", "rows")
    }


def _aware(time: np.datetime64) -> datetime:
    moment: datetime = time.astype("M8[s]").astype(object)
    return moment.replace(tzinfo=UTC)


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"
