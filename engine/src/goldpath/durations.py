"""Durations as configuration writes them: `90s`, `15m`, `12h`, `30d`, `2w`."""

import re

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
FORMS = "a whole number and s, m, h, d or w: 90s, 15m, 12h, 30d, 2w"
_DURATION = re.compile(r"([1-9]\d{0,8})([smhdw])")


def duration_seconds(duration: object) -> int | None:
    """A duration in seconds; None where it is none."""
    found = _DURATION.fullmatch(duration) if isinstance(duration, str) else None
    return None if found is None else int(found[1]) * SECONDS[found[2]]


def duration_text(seconds: int) -> str:
    """Seconds as the shortest duration in hours, or in whole days from two on: `24h`, `7d`."""
    for unit in ("d", "h", "m", "s"):
        count, rest = divmod(seconds, SECONDS[unit])
        if not rest and (count > 1 or unit != "d"):
            return f"{count}{unit}"
    raise ValueError(f"{seconds} is no positive number of seconds")
