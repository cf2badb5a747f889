"""One picture of a drift check: how far each column moved, and the columns that moved most."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldpath.drift.report import Drawn, plain_frames
from goldpath.drift.source_decision import ColumnShift, SourceDecision

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN_COLUMNS = 25
SHOWN_CATEGORIES = 8
SHOWN_ROWS = 20_000
REFERENCE, CURRENT, DRIFT, SEEN = "#7f8c99", "#e07b39", "#c0392b", "#1f5f8b"
LINE, TITLE, NAMED = 110, 54, 4


def write_plot(path: Path, drawn: Drawn, decision: SourceDecision) -> None:
    """Draw the shift of each column beside its limit, and three distributions.

    Args:
        path: PNG file to write.
        drawn: Title and rows.
        decision: What was decided.
    """
    from matplotlib.figure import Figure

    before, after = plain_frames(drawn.reference, drawn.current, SHOWN_ROWS)
    ranked = list(decision.columns)
    moved = [column for column in ranked if column.test and column.name in before][:3]
    height = max(4.5, 0.3 * min(len(ranked), SHOWN_COLUMNS) + 1.8)
    figure = Figure(figsize=(11, height), layout="constrained")
    grid = figure.add_gridspec(max(len(moved), 1), 2, width_ratios=(1.25, 1))
    _draw_effects(figure.add_subplot(grid[:, 0]), ranked)
    for row, column in enumerate(moved):
        _draw_column(
            figure.add_subplot(grid[row, 1]), column, before[column.name], after[column.name]
        )
    of_what = f"{drawn.title}{f', {drawn.window}' if drawn.window else ''}"
    figure.suptitle(f"{_shorten(headline(decision), LINE)}\n{_shorten(of_what, LINE)}", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".png.part")
    figure.savefig(unfinished, dpi=110, format="png")
    unfinished.replace(path)


def headline(decision: SourceDecision) -> str:
    """The verdict in a few words; why, since when and what could be seen is in the report."""
    drifted = [column.name for column in decision.drifted]
    named = ", ".join(drifted[:NAMED])
    if len(drifted) > NAMED:
        named = f"{named} and {len(drifted) - NAMED} more"
    if decision.source.verdict == "insufficient":
        return "NO VERDICT: too few rows"
    if decision.source.verdict == "drift":
        return f"DRIFT: {named or 'in earlier windows, not in the newest'}"
    return f"NO LASTING DRIFT: {named}" if drifted else "NO DRIFT"


def _draw_effects(axes: "Axes", ranked: list[ColumnShift]) -> None:
    shown = ranked[:SHOWN_COLUMNS]
    places = np.arange(len(shown))
    effects = [column.effect for column in shown]
    limits = [column.limit for column in shown]
    colours = [DRIFT if column.drifted else REFERENCE for column in shown]
    axes.barh(places, effects, color=colours, height=0.62)
    axes.vlines(
        limits, places - 0.42, places + 0.42, color="black", lw=1.6, label="counts from here"
    )
    seen = [(p, c.detectable) for p, c in zip(places, shown, strict=True) if c.detectable]
    axes.scatter(
        [value for _, value in seen],
        [place for place, _ in seen],
        marker="d",
        s=18,
        color=SEEN,
        zorder=3,
        label="would have been seen",
    )
    for place, column in zip(places, shown, strict=True):
        axes.text(
            max(column.effect, column.limit),
            float(place),
            f" {column.effect:.2f}",
            va="center",
            fontsize=8,
        )
    labels = [
        c.name if c.test in ("value", "rejected", None) else f"{c.name} ({c.test})" for c in shown
    ]
    axes.set_yticks(places, labels, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, max([*effects, *limits]) * 1.15)
    axes.set_xlabel(
        "shift: standard deviations (numbers), Jensen-Shannon distance (categories)", fontsize=8
    )
    left = len(ranked) - len(shown)
    axes.set_title(
        f"Shift of each column{f' ({left} smaller ones left out)' if left else ''}", fontsize=10
    )
    axes.legend(loc="lower right", fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_column(
    axes: "Axes", column: ColumnShift, reference: pd.Series, current: pd.Series
) -> None:
    if column.test == "missing":
        _draw_shares(axes, _presence(reference), _presence(current))
    elif column.kind == "category":
        _draw_shares(axes, *_largest_moves(reference, current))
    else:
        _draw_numbers(axes, reference.dropna().to_numpy(), current.dropna().to_numpy())
    axes.set_title(_shorten(f"{column.name}: {column.reason}", TITLE), fontsize=9)
    axes.tick_params(labelsize=8)
    axes.set_ylabel("share of rows", fontsize=8)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.3)  # room for the legend
    axes.legend(loc="upper right", ncols=2, fontsize=8, frameon=False)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_numbers(axes: "Axes", reference: np.ndarray, current: np.ndarray) -> None:
    """Two histograms on the same bins; the outermost half percent is gathered in the end bins."""
    both = [reference, current]
    low = min(float(np.quantile(values, 0.005)) for values in both)
    high = max(float(np.quantile(values, 0.995)) for values in both)
    if low == high:
        low, high = low - 0.5, high + 0.5
    distinct = np.unique(np.concatenate(both))
    if len(distinct) <= 30 and bool(np.all(distinct == np.round(distinct))):
        edges = np.arange(np.floor(low) - 0.5, np.ceil(high) + 1)
    else:
        edges = np.linspace(low, high, 31)
    for values, colour, name in (
        (reference, REFERENCE, "reference"),
        (current, CURRENT, "current"),
    ):
        weights = np.full(len(values), 1 / len(values))
        inside = np.clip(values, edges[0], edges[-1])
        axes.hist(inside, edges.tolist(), weights=weights, color=colour, alpha=0.6, label=name)


def _draw_shares(axes: "Axes", reference: dict[str, float], current: dict[str, float]) -> None:
    places = np.arange(len(reference))
    axes.bar(places - 0.2, list(reference.values()), 0.4, color=REFERENCE, label="reference")
    axes.bar(places + 0.2, list(current.values()), 0.4, color=CURRENT, label="current")
    axes.set_xticks(places, [_shorten(name, 14) for name in reference])


def _presence(values: pd.Series) -> dict[str, float]:
    missing = float(values.isna().mean())
    return {"missing": missing, "present": 1 - missing}


def _largest_moves(
    reference: pd.Series, current: pd.Series
) -> tuple[dict[str, float], dict[str, float]]:
    """The shares of the categories that moved most, on both sides."""
    before, after = (
        values.dropna().value_counts(normalize=True) for values in (reference, current)
    )
    names = sorted({*before.index, *after.index})
    names.sort(key=lambda name: -abs(float(after.get(name, 0)) - float(before.get(name, 0))))
    kept = sorted(names[:SHOWN_CATEGORIES])
    return {n: float(before.get(n, 0)) for n in kept}, {n: float(after.get(n, 0)) for n in kept}


def _shorten(text: str, length: int) -> str:
    text = _plain(text)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _plain(text: str) -> str:
    """A dollar sign would start a formula."""
    return text.replace("$", r"\$")
