"""What earlier checks said of a source's windows: `reports/drift/SOURCE.json`.

A window that has ended is judged once. The next check takes its verdict from here, so that it need
not read its rows again, and knows since when a shift lasts and how many rows are usual.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goldpath.drift.estimates.confidence import Estimate
from goldpath.drift.window_verdict import Shift, WindowVerdict
from goldpath.presentation import step

FOLDER = "drift"

MOST_WINDOWS = 400
"""Windows of a source that are kept."""


@dataclass(frozen=True)
class JudgedWindow:
    """A window's verdict.

    Attributes:
        verdict: The verdict; one that was read from the history names only the shifts that count.
        is_final: Whether the window had ended when it was judged.
        distances: Of each column the effect and the limit of its most telling test. They are kept
            for the monitoring page; a history of an older goldpath has none.
        estimate: The quality to be expected by its probabilities; None where there is no estimate.
    """

    verdict: WindowVerdict
    is_final: bool
    distances: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    estimate: Estimate | None = None


def judged_window(
    verdict: WindowVerdict, *, is_final: bool, estimate: Estimate | None = None
) -> JudgedWindow:
    """A window that was judged now, with the distance of every column."""
    distances: dict[str, tuple[float, float]] = {}
    for shift in sorted(verdict.shifts, key=lambda each: each.effect / each.limit):
        distances[shift.column] = (shift.effect, shift.limit)
    return JudgedWindow(verdict, is_final, distances, estimate)


@dataclass(frozen=True)
class HistoryKey:
    """What verdicts must share to stand in one history.

    Attributes:
        model_version: The champion.
        bins: The digest of the bins: other columns, or another training, begin anew.
        window: How long a window is.
    """

    model_version: str
    bins: str
    window: str


def history_file(reports: Path, kind: str) -> Path:
    """Where the state of a source is kept."""
    return reports / FOLDER / f"{kind}.json"


def read_history(reports: Path, kind: str, key: HistoryKey) -> list[JudgedWindow]:
    """The windows that earlier checks judged, the oldest first; none if they do not compare.

    A file that cannot be read is said, and the history begins anew.
    """
    file = history_file(reports, kind)
    if not file.exists():
        return []
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        if values["key"] != asdict(key):
            if values["history"]:
                step(f"The history of {kind} starts over: another version or other columns")
            return []
        return [_read(entry) for entry in values["history"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        step(f"{file.name} cannot be read, so the history of {kind} starts over: {error!r}")
        return []


def stored_history(windows: Sequence[JudgedWindow]) -> list[dict[str, Any]]:
    """The windows as JSON values: what drifted, and how far each column is from its reference."""
    return [
        {
            **asdict(window.verdict),
            "start": _required(window.verdict.start).isoformat(),
            "shifts": [asdict(shift) for shift in window.verdict.drifted],
            "untested": [],
            "is_final": window.is_final,
            "distances": window.distances,
            "estimate": None if window.estimate is None else asdict(window.estimate),
        }
        for window in windows[-MOST_WINDOWS:]
    ]


def _read(entry: Mapping[str, Any]) -> JudgedWindow:
    values = {each.name: entry[each.name] for each in fields(WindowVerdict)}
    if entry["state"] not in ("ok", "alarm", "insufficient"):
        raise ValueError(f"unknown state {entry['state']!r}")
    detectable = entry["detectable"]
    values |= {
        "start": datetime.fromisoformat(entry["start"]).astimezone(UTC),
        "shifts": tuple(Shift(**shift) for shift in entry["shifts"]),
        "untested": (),
        "detectable": float("nan") if detectable is None else float(detectable),
        "rows": int(entry["rows"]),
    }
    distances = {
        str(name): (float(effect), float(limit))
        for name, (effect, limit) in entry.get("distances", {}).items()
    }
    found = entry.get("estimate")
    estimate = None
    if found is not None:
        low, high = found["interval"]
        estimate = Estimate(float(found["value"]), (float(low), float(high)))
    return JudgedWindow(WindowVerdict(**values), bool(entry["is_final"]), distances, estimate)


def _required(start: datetime | None) -> datetime:
    if start is None:
        raise ValueError("a window without a start has no place in a history")
    return start
