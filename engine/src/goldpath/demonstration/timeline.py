"""One picture of the loop: how far a column moved, when the alert fired, and what happened when."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import ProxyHandler, build_opener

EFFECT, LIMIT, FIRING, EVENT = "#1f5f8b", "#7f8c99", "#c0392b", "#444444"
STEP_SECONDS = 1
MOST_ROWS = 8
"""Heights that labels of events alternate between, so that neighbours stay legible."""

# A proxy of the environment must not answer for 127.0.0.1.
_direct = build_opener(ProxyHandler({}))


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        at: Seconds since 1970.
        name: In a few words.
    """

    at: float
    name: str


Series = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Timeline:
    """What is drawn; times are seconds since 1970.

    Attributes:
        events: In their order.
        column: The column that was shifted.
        effect: How far it had moved, as Prometheus saw it.
        alarm_from: At each check, the shift from which on it would have been an alarm.
        firing: When the alert fired.
    """

    events: Sequence[Event]
    column: str
    effect: Series
    alarm_from: Series
    firing: Series


def read_series(prometheus: str, expression: str, start: float, end: float) -> Series:
    """A series of Prometheus, second by second; empty where it has none."""
    asked = urlencode({"query": expression, "start": start, "end": end, "step": STEP_SECONDS})
    with _direct.open(f"{prometheus}/api/v1/query_range?{asked}", timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return [(float(at), float(value)) for at, value in found[0]["values"]] if found else []


def draw_timeline(file: Path, timeline: Timeline) -> None:
    """Write the picture.

    Args:
        file: PNG file to write.
        timeline: What happened.
    """
    from matplotlib.figure import Figure

    began = timeline.events[0].at
    figure = Figure(figsize=(13, 7), layout="constrained")
    shift, events = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.25))
    for number, piece in enumerate(_pieces([(at - began, value) for at, value in timeline.effect])):
        label = f"shift of {timeline.column}" if number == 0 else None
        times, values = zip(*piece, strict=True)
        shift.plot(times, values, color=EFFECT, linewidth=2.4, label=label)
    shift.plot(
        [at - began for at, _ in timeline.alarm_from],
        [value for _, value in timeline.alarm_from],
        "v",
        color=LIMIT,
        markersize=9,
        label="an alarm from here on, at each check",
    )
    for number, piece in enumerate(_pieces([(at - began, 1.0) for at, _ in timeline.firing])):
        label = "DriftDetected fires" if number == 0 else None
        for axes in (shift, events):
            axes.axvspan(
                piece[0][0],
                piece[-1][0] + STEP_SECONDS,
                color=FIRING,
                alpha=0.12,
                label=label if axes is shift else None,
            )
    shift.set_ylim(bottom=0)
    shift.set_ylabel("standard deviations")
    shift.legend(loc="upper left", frameon=False)
    shift.set_title("From drift to a new champion", loc="left", fontweight="bold")
    last = timeline.events[-1].at - began
    for number, event in enumerate(timeline.events):
        at, height = event.at - began, MOST_ROWS - number % MOST_ROWS
        for axes in (shift, events):
            axes.axvline(at, color=EVENT, linewidth=0.6, alpha=0.5)
        to_the_left = at > 0.7 * last
        events.annotate(
            f"{at:.0f} s  {event.name}",
            (at, height),
            xytext=(-5 if to_the_left else 5, 0),
            textcoords="offset points",
            ha="right" if to_the_left else "left",
            va="center",
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
        )
        events.plot([at], [height], "o", color=EVENT, markersize=4)
    events.set_ylim(0.3, MOST_ROWS + 0.7)
    events.set_yticks([])
    events.set_xlim(-0.01 * last, 1.02 * last)
    events.set_xlabel("seconds")
    for axes in (shift, events):
        axes.spines[["top", "right"]].set_visible(False)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".png.part")
    figure.savefig(unfinished, dpi=110, format="png")
    unfinished.replace(file)


def _pieces(series: Series) -> list[list[tuple[float, float]]]:
    """A series without its gaps: while nobody has checked, nothing is drawn."""
    pieces: list[list[tuple[float, float]]] = []
    for at, value in series:
        if not pieces or at - pieces[-1][-1][0] > 1.5 * STEP_SECONDS:
            pieces.append([])
        pieces[-1].append((at, value))
    return pieces
