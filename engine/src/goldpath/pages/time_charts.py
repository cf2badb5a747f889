"""Charts over time: curves with intervals by day, and heat maps of rows by windows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goldpath.pages.charts import LOOKS, Axes, Chart, Curve, Dot, Tick, Whisker, fit_axes


@dataclass(frozen=True)
class Measured:
    """A value at a moment.

    Attributes:
        at: Which moment, by its number.
        value: The value.
        interval: What surrounds it, if that is known.
        hover: The text that shows when one points at it.
    """

    at: int
    value: float
    interval: tuple[float, float] | None = None
    hover: str = ""


@dataclass(frozen=True)
class Cell:
    """A square of a heat map.

    Attributes:
        level: The stylesheet's name for its colour: `none`, `level-0` to `level-4`, or `drift`.
        mark: A letter, for those who do not tell colours apart.
        hover: What it stands for.
    """

    level: str
    mark: str
    hover: str


@dataclass(frozen=True)
class HeatRow:
    """A row of a heat map."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class HeatMap:
    """Rows of squares, the oldest window on the left.

    Attributes:
        label: What is drawn, for those who hear the page.
        first: The first window.
        last: The last one.
        rows: The rows.
    """

    label: str
    first: str
    last: str
    rows: tuple[HeatRow, ...]


DARKEST = 4


def level_of(share: float) -> str:
    """The colour of a value: the lightest at 0, the darkest at 1 and above."""
    return f"level-{max(0, min(DARKEST, int(share * DARKEST)))}"


def time_chart(
    moments: Sequence[str],
    curves: Mapping[str, Sequence[Measured]],
    name: str,
    levels: Mapping[str, float] | None = None,
    *,
    from_zero: bool = False,
) -> Chart:
    """Up to four curves over moments that are equally far from each other.

    Args:
        moments: What each moment is called; at least one.
        curves: Values by the curve's name.
        name: What the vertical axis measures.
        levels: Horizontal lines, such as a limit, by name.
        from_zero: Whether the vertical axis begins at zero.
    """
    levels = levels or {}
    drawn = dict(list(curves.items())[: len(LOOKS)])
    heights = [*levels.values(), *([0.0] if from_zero else [])]
    for points in drawn.values():
        for each in points:
            heights.extend([each.value, *(each.interval or ())])
    finite = [height for height in heights if math.isfinite(height)]
    axes = fit_axes([0, max(1, len(moments) - 1)], finite or [0.0])
    looks = dict(zip(drawn, LOOKS, strict=False))
    return Chart(
        label=f"{name} over time",
        x_name="",
        x_ticks=_time_ticks(axes, moments),
        y_ticks=axes.y_ticks(),
        curves=(
            *(
                Curve(title, looks[title], axes.points((each.at, each.value) for each in points))
                for title, points in drawn.items()
            ),
            *(
                Curve(title, "front", axes.points((at, height) for at in axes.x_range))
                for title, height in levels.items()
            ),
        ),
        dots=tuple(
            Dot(axes.x(each.at), axes.y(each.value), looks[title], each.hover)
            for title, points in drawn.items()
            for each in points
            if each.hover and math.isfinite(each.value)
        ),
        whiskers=tuple(
            Whisker(
                axes.x(each.at), axes.y(each.interval[0]), axes.y(each.interval[1]), looks[title]
            )
            for title, points in drawn.items()
            for each in points
            if each.interval
        ),
    )


def _time_ticks(axes: Axes, moments: Sequence[str]) -> tuple[Tick, ...]:
    """The first and the last moment, and one between them."""
    last = len(moments) - 1
    if last == 0:
        return (Tick(axes.x(0), moments[0], "start"),)
    marks = [(0, "start"), (last, "end")]
    if last > 1:
        marks.insert(1, (round(last / 2), "middle"))
    return tuple(Tick(axes.x(at), moments[at], anchor) for at, anchor in marks)
