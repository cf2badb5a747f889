"""The geometry of charts: what a template draws, in the units of the drawing's `viewBox`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 8, 34
LOOKS = ("first", "second", "third", "fourth")
"""The stylesheet's names for the curves of a chart."""

COLUMNS_WIDTH, COLUMNS_HEIGHT = 1000, 140
FEWEST_COLUMNS = 12
"""A chart with fewer columns leaves room, so that one column is no wall."""


@dataclass(frozen=True)
class Bar:
    """A horizontal bar: its name, its figure as text, and its length as a share of the longest."""

    name: str
    shown: str
    share: float


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: where it is, what it says, and which part of the text stands there."""

    at: float
    label: str
    anchor: str


@dataclass(frozen=True)
class Curve:
    """A line through points, as `x,y x,y`."""

    name: str
    look: str
    points: str


@dataclass(frozen=True)
class Dot:
    """A point with a text that shows when one points at it."""

    x: float
    y: float
    look: str
    hover: str


@dataclass(frozen=True)
class Whisker:
    """An interval: a vertical line."""

    x: float
    low: float
    high: float
    look: str


@dataclass(frozen=True)
class Chart:
    """Curves, dots and intervals over two axes.

    Attributes:
        label: What is drawn, for those who hear the page.
        x_name: What stands under the horizontal axis.
        x_ticks: Its marks.
        y_ticks: The vertical axis's marks.
        curves: Lines, each with a name for the legend; a line without one is not in it.
        dots: Points, drawn over the lines.
        whiskers: Intervals, drawn under the points.
    """

    label: str
    x_name: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    curves: tuple[Curve, ...]
    dots: tuple[Dot, ...] = ()
    whiskers: tuple[Whisker, ...] = ()


@dataclass(frozen=True)
class Part:
    """A count within a column, and the text that shows when one points at it."""

    count: int
    look: str
    hover: str


@dataclass(frozen=True)
class Block:
    """A rectangle with a text that shows when one points at it."""

    x: float
    y: float
    width: float
    height: float
    look: str
    hover: str


@dataclass(frozen=True)
class Axes:
    """Two ranges of values, laid over the drawing."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        """Where a value stands on the horizontal axis."""
        low, high = self.x_range
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)

    def y(self, value: float) -> float:
        """Where a value stands on the vertical axis."""
        low, high = self.y_range
        return TOP + (HEIGHT - BOTTOM - TOP) * (1 - (value - low) / (high - low))

    def points(self, pairs: Iterable[tuple[float, float]]) -> str:
        """Pairs as a line's points, without those whose height is not finite."""
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in pairs if math.isfinite(y))

    def x_values(self) -> list[float]:
        """The values that the horizontal axis names, from its start to its end."""
        low, high = self.x_range
        return [low + (high - low) * share for share in (0, 0.33, 0.66, 1)]

    def x_ticks(self, labels: Sequence[str]) -> tuple[Tick, ...]:
        """Marks at `x_values` that say the labels; the outer ones stay inside the drawing."""
        anchors = ("start", "middle", "middle", "end")
        marks = zip(self.x_values(), labels, anchors, strict=True)
        return tuple(Tick(self.x(value), label, anchor) for value, label, anchor in marks)

    def y_ticks(self) -> tuple[Tick, ...]:
        """Marks of the vertical axis, with as many decimals as tell them apart."""
        low, high = self.y_range
        values = [low + (high - low) * share for share in (0.06, 0.35, 0.65, 0.94)]
        return tuple(Tick(self.y(value), _rounded(value, high - low), "end") for value in values)


def fit_axes(across: Sequence[float], up: Sequence[float]) -> Axes:
    """Axes that hold the values; neither may be empty."""
    return Axes(_padded(across, 0.0), _padded(up, 0.06))


def line_chart(
    across: Sequence[float], curves: Mapping[str, Sequence[float]], x_name: str, y_name: str
) -> Chart:
    """Up to four curves over the same horizontal values.

    Args:
        across: Horizontal values; at least one.
        curves: Heights at these values by the curve's name; what is not finite is left out.
        x_name: What the horizontal axis measures.
        y_name: What the vertical axis measures.
    """
    finite = [value for heights in curves.values() for value in heights if math.isfinite(value)]
    axes = fit_axes(across, finite or [0.0])
    return Chart(
        label=f"{y_name} by {x_name}" if x_name else y_name,
        x_name=x_name,
        x_ticks=axes.x_ticks([f"{value:.3g}" for value in axes.x_values()]),
        y_ticks=axes.y_ticks(),
        curves=tuple(
            Curve(name, look, axes.points(zip(across, heights, strict=True)))
            for look, (name, heights) in zip(LOOKS, curves.items(), strict=False)
        ),
    )


def bars(items: Sequence[tuple[str, float, str]]) -> tuple[Bar, ...]:
    """Bars for a name, a value and the value's text each; a negative value has no length."""
    most = max((value for _, value, _ in items), default=0)
    return tuple(
        Bar(name, shown, max(0.0, value / most) if most > 0 else 0.0)
        for name, value, shown in items
    )


def stacked_columns(
    columns: Sequence[Sequence[Part]], *, fewest: int = FEWEST_COLUMNS
) -> tuple[Block, ...]:
    """Columns from left to right, each of parts from the bottom up; the largest fills the height.

    Args:
        columns: The parts of each column.
        fewest: The drawing has room for so many columns at least.
    """
    most = max((sum(part.count for part in parts) for parts in columns), default=0) or 1
    step = COLUMNS_WIDTH / max(len(columns), fewest)
    blocks = []
    for number, parts in enumerate(columns):
        top = float(COLUMNS_HEIGHT)
        for part in parts:
            height = (COLUMNS_HEIGHT - 2) * part.count / most
            top -= height
            x, width = step * (number + 0.05), step * 0.9
            blocks.append(Block(x, top, width, height, part.look, part.hover))
    return tuple(blocks)


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        pad = abs(low) * 0.05 or 0.5
        return low - pad, high + pad
    return low - share * (high - low), high + share * (high - low)


def _rounded(value: float, spread: float) -> str:
    decimals = max(0, min(6, 2 - math.floor(math.log10(spread)))) if spread > 0 else 3
    return f"{value:.{decimals}f}" if abs(value) < 1e6 else f"{value:.3g}"
