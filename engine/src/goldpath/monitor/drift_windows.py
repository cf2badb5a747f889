"""What the drift checks found: each source's verdict, and its windows column by column."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from goldpath.jobs.drift.history import history_file
from goldpath.monitor.stores import StoredForm, read_form

FIX = "make drift-check"


Limit = Annotated[FiniteFloat, Field(gt=0)]
"""From which on an effect counts."""


class ColumnShift(StoredForm):
    """A column of the newest window, or what counts as drift in an earlier one."""

    name: str
    effect: FiniteFloat
    limit: Limit
    drifted: bool


class WindowShift(StoredForm):
    """What counted as drift in a window."""

    column: str
    effect: FiniteFloat
    limit: Limit


class WindowEstimate(StoredForm):
    """The quality to be expected by a window's probabilities."""

    value: FiniteFloat
    interval: tuple[FiniteFloat, FiniteFloat]


class SourceEstimate(StoredForm):
    """The newest window's estimate beside the reference's, or why there is none."""

    message: str
    metric: str = ""
    reference: FiniteFloat | None = None


class Window(StoredForm):
    """A window that was judged.

    Attributes:
        start: When it began.
        state: ok, alarm, or insufficient.
        rows: Its rows.
        message: What changed, as a sentence.
        shifts: What counts as drift.
        distances: Each column's effect and limit; empty in the history of an older goldpath.
        estimate: The quality to be expected by its probabilities.
    """

    start: datetime
    state: Literal["ok", "alarm", "insufficient"]
    rows: int
    message: str
    shifts: tuple[WindowShift, ...] = ()
    distances: dict[str, tuple[FiniteFloat, Limit]] = Field(default_factory=dict)
    estimate: WindowEstimate | None = None

    @property
    def drifted(self) -> dict[str, WindowShift]:
        """The columns that drifted in it."""
        return {shift.column: shift for shift in self.shifts}


class HistoryKey(StoredForm):
    """What the windows have in common."""

    window: str = ""


class NothingCompared(StoredForm):
    """A check since the verdict that had nothing to compare."""

    checked_at: datetime
    message: str


class SourceDrift(StoredForm):
    """The last check of a source, and the windows that were judged so far.

    Attributes:
        kind: service, batch, table or file.
        source: Which rows, in words.
        verdict: ok, drift or insufficient.
        message: The verdict as a sentence.
        checked_at: When.
        model_name: Its model; empty in the report of an older goldpath.
        model_version: The champion that the rows were compared with.
        window: The newest window, in words; empty where rows were judged as a whole.
        calibration: `windows` or `iid`.
        notes: What was left out.
        columns: The newest window's columns; empty where the verdict was superseded.
        estimate: What the newest window's probabilities say about quality.
        key: How long windows are.
        history: The windows, the oldest first.
        nothing_compared: The newest check, if it had nothing to compare.
    """

    kind: Literal["service", "batch", "table", "file"]
    source: str
    verdict: Literal["ok", "drift", "insufficient"]
    message: str
    checked_at: datetime
    model_version: str
    model_name: str = ""
    window: str = ""
    calibration: str = ""
    notes: tuple[str, ...] = ()
    columns: tuple[ColumnShift, ...] = ()
    estimate: SourceEstimate | None = None
    key: HistoryKey = HistoryKey()
    history: tuple[Window, ...] = ()
    nothing_compared: NothingCompared | None = None


def read_drift(reports: Path, source: str, model_name: str) -> SourceDrift | None:
    """The state of a source; None where it was never checked for this model.

    Raises:
        StoreError: If its file is damaged.
    """
    file = history_file(reports, source)
    fix = FIX if source == "file" else f'{FIX} ARGS="--source {source}"'
    found = read_form(file, SourceDrift, f"reports/drift/{file.name}", fix)
    return found if found and found.model_name in ("", model_name) else None
