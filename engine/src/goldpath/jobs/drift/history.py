"""What earlier checks said of a source's windows: `reports/drift/SOURCE.json`.

A window that has ended is judged once. The next check takes its verdict from here, so that it need
not read its rows again, and knows since when a shift lasts and how many rows are usual.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goldpath.drift.window_verdict import Shift, WindowVerdict
from goldpath.presentation import step

FOLDER = "drift"

MOST_WINDOWS = 400
"""Windows of a source that are kept."""


@dataclass(frozen=True)
class JudgedWindow:
    """A window's verdict, and whether the window had ended when it was judged."""

    verdict: WindowVerdict
    is_final: bool


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
            step(f"The history of {kind} begins anew: another version or other columns")
            return []
        return [_read(entry) for entry in values["history"]]
    except (OSError, KeyError, TypeError, ValueError) as error:
        step(f"{file.name} cannot be read, so the history of {kind} begins anew: {error!r}")
        return []


def stored_history(windows: Sequence[JudgedWindow]) -> list[dict[str, Any]]:
    """The windows as JSON values: of each only what drifted."""
    return [
        {
            **asdict(window.verdict),
            "start": _required(window.verdict.start).isoformat(),
            "shifts": [asdict(shift) for shift in window.verdict.drifted],
            "untested": [],
            "is_final": window.is_final,
        }
        for window in windows[-MOST_WINDOWS:]
    ]


def _read(entry: Mapping[str, Any]) -> JudgedWindow:
    values = {field.name: entry[field.name] for field in fields(WindowVerdict)}
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
    return JudgedWindow(WindowVerdict(**values), bool(entry["is_final"]))


def _required(start: datetime | None) -> datetime:
    if start is None:
        raise ValueError("a window without a start has no place in a history")
    return start
