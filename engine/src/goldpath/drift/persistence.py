"""From the windows of a source to its alarm: two of the last three, what changed and since when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from goldpath.drift.decision import EXIT_CODES, Verdict
from goldpath.drift.window_verdict import Shift, WindowVerdict

NEEDED, OF = 2, 3


@dataclass(frozen=True)
class SourceVerdict:
    """What the windows of one source say together.

    Attributes:
        verdict: ok, drift or insufficient.
        exit_code: 0, 1 or 3.
        alarms: How many of the newest windows are alarms.
        windows: How many windows that were.
        since: Start of the first window of the present shift; None where there is none.
        shifts: What drifted in the newest alarm.
        message: The verdict as a sentence.
    """

    verdict: Verdict
    exit_code: int
    alarms: int
    windows: int
    since: datetime | None
    shifts: tuple[Shift, ...]
    message: str


def judge_source(
    verdicts: Sequence[WindowVerdict], needed: int = NEEDED, of: int = OF
) -> SourceVerdict:
    """Whether a shift has lasted.

    One odd day is no drift, so a source is in alarm if `needed` of its last `of` windows are. Where
    only one window has been judged, such as a file without times, it decides alone, and that is
    said. A window with too few rows says nothing and is passed over; but if the newest has too few,
    there is no verdict on now.

    Args:
        verdicts: The windows' verdicts, the oldest first.
        needed: Alarms that it takes.
        of: Windows that are looked at.
    """
    if not verdicts or verdicts[-1].state == "insufficient":
        why = verdicts[-1].message if verdicts else "not enough data: there is no window"
        return _verdict("insufficient", 0, 0, None, (), why)
    judged = [each for each in verdicts if each.state != "insufficient"]
    newest = judged[-of:]
    alarms = [each for each in newest if each.state == "alarm"]
    seen = newest[-1].sensitivity
    if not alarms:
        message = f"{newest[-1].message}; {seen}"
        return _verdict("ok", 0, len(newest), None, (), message)
    since, last = _first_of_run(judged, of).start, alarms[-1]
    if len(judged) == 1:
        message = f"{last.message}; judged by this window alone, as there is no other; {seen}"
        return _verdict("drift", 1, 1, since, last.drifted, message)
    told = f"{last.message}, since {since:%Y-%m-%d %H:%M}" if since else last.message
    counted = f"{len(alarms)} of the last {len(newest)} windows"
    if len(alarms) < needed:
        message = f"no lasting drift, {counted} differ and {needed} of {of} must: {told}; {seen}"
        return _verdict("ok", len(alarms), len(newest), since, last.drifted, message)
    message = f"{told}, in {counted}; {seen}"
    return _verdict("drift", len(alarms), len(newest), since, last.drifted, message)


def _first_of_run(judged: Sequence[WindowVerdict], of: int) -> WindowVerdict:
    """The first alarm of the run of alarms that reaches to now, with gaps shorter than `of`."""
    first, quiet = judged[-1], 0
    for each in reversed(judged):
        if each.state == "alarm":
            first, quiet = each, 0
        else:
            quiet += 1
            if quiet >= of:
                break
    return first


def _verdict(
    verdict: Verdict,
    alarms: int,
    windows: int,
    since: datetime | None,
    shifts: tuple[Shift, ...],
    message: str,
) -> SourceVerdict:
    return SourceVerdict(verdict, EXIT_CODES[verdict], alarms, windows, since, shifts, message)
