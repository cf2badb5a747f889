"""Windows are times: hours, days, weeks or months in UTC, and the seasons that they belong to."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from goldpath.drift.profile import DriftError
from goldpath.settings.monitoring import TELLS_APART, Season, WindowLength

Times = npt.NDArray[np.datetime64]

UNITS: dict[WindowLength, str] = {"1h": "h", "1d": "D", "1w": "D", "1mo": "M"}
MONDAY = 3
"""Day 0 of the epoch was a Thursday, three days after a Monday."""


def window_starts(times: Sequence[datetime] | Times, window: WindowLength) -> Times:
    """When the window of each time began, as seconds since the epoch.

    Args:
        times: Aware datetimes, or NumPy's in UTC.
        window: How long a window is.

    Example:
        >>> window_starts(np.array(["2026-03-05T13:45"], "M8[s]"), "1w")
        array(['2026-03-02T00:00:00'], dtype='datetime64[s]')
    """
    values = _utc(times)
    if window == "1w":
        days = values.astype("M8[D]").astype(np.int64)
        return ((days + MONDAY) // 7 * 7 - MONDAY).astype("M8[D]").astype("M8[s]")
    unit: Any = f"M8[{UNITS[window]}]"
    return values.astype(unit).astype("M8[s]")


def window_end(start: np.datetime64, window: WindowLength) -> np.datetime64:
    """When a window ends and the next begins.

    Example:
        >>> str(window_end(np.datetime64("2026-02-01T00:00:00"), "1mo"))
        '2026-03-01T00:00:00'
    """
    hours = {"1h": 1, "1d": 24, "1w": 7 * 24}
    end: np.datetime64 = (
        (start.astype("M8[M]") + 1).astype("M8[s]")
        if window == "1mo"
        else start.astype("M8[s]") + np.timedelta64(hours[window], "h")
    )
    return end


def season_classes(starts: Times, season: Season) -> npt.NDArray[np.int64]:
    """The class of each window: its hour, weekday or month, or 0 and 1 for weekdays and weekends.

    Example:
        >>> season_classes(np.array(["2026-03-06", "2026-03-07"], "M8[s]"), "weekend").tolist()
        [0, 1]
    """
    days = starts.astype("M8[D]").astype(np.int64)
    weekday = (days + MONDAY) % 7
    if season == "weekday":
        return weekday
    if season == "weekend":
        return (weekday >= 5).astype(np.int64)
    if season == "month":
        return starts.astype("M8[M]").astype(np.int64) % 12
    if season == "hour":
        return starts.astype("M8[h]").astype(np.int64) % 24
    return np.zeros(len(starts), dtype=np.int64)


def require_season(window: WindowLength, season: Season) -> None:
    """Refuse a season that windows of this length cannot belong to.

    Raises:
        DriftError: If, say, weeks are to be told apart by their weekday.
    """
    if season not in TELLS_APART[window]:
        raise DriftError(
            f"windows of {window} have no season {season!r}",
            f"choose one of: {', '.join(TELLS_APART[window])}",
        )


def _utc(times: Sequence[datetime] | Times) -> Times:
    if isinstance(times, np.ndarray):
        return times.astype("M8[s]")
    naive = [time.astimezone(UTC).replace(tzinfo=None) for time in times]
    return np.array(naive, dtype="M8[s]")
