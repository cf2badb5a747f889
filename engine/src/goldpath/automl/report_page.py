"""The report of a search as files: one HTML page, and the same as JSON."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from goldpath.automl.report import Dependence, Report, plain
from goldpath.automl.result import LeaderboardEntry, Option
from goldpath.pages.charts import Bar, Chart, Curve, Dot, bars, fit_axes, line_chart
from goldpath.pages.documents import digits, render
from goldpath.reports import write_report, write_text

SHOWN_CONFIGURATIONS = 40
SHOWN_OPTIONS = 24
SHOWN_FEATURES = 20
SHOWN_TEXT = 600


@dataclass(frozen=True)
class ShownConfiguration:
    """A row of the leaderboard, as text; `note` stands below it."""

    family: str
    score: str
    weight: str
    seconds: str
    latency: str
    note: str
    chosen: bool


@dataclass(frozen=True)
class ShownDependence:
    """A feature's mean predictions: a chart over numbers, or bars for categories by curve."""

    feature: str
    chart: Chart | None
    bars: tuple[tuple[str, tuple[Bar, ...]], ...]


@dataclass(frozen=True)
class ShownOption:
    """An ensemble that could have been taken, as text."""

    families: str
    models: str
    score: str
    milliseconds: str
    note: str
    chosen: bool


def write_report_files(report: Report, folder: Path, name: str) -> tuple[Path, Path]:
    """Write `name.html` and `name.json` in one step each; returns both."""
    page, values = folder / f"{name}.html", folder / f"{name}.json"
    write_report(values, plain(report))
    write_text(page, render_page(report))
    return page, values


def render_page(report: Report) -> str:
    """One HTML document with nothing to load from elsewhere."""
    spent = f"{report.seconds:.1f} s"
    if report.budget_seconds is not None:
        spent += f" of {report.budget_seconds:g} s"
    importances = [
        (item.feature, item.loss, f"{item.loss:.3g} ± {item.deviation:.1g}")
        for item in report.importances
    ]
    return render(
        "automl.html",
        report=report,
        spent=spent,
        options=list(map(_option, report.options[:SHOWN_OPTIONS])),
        learning=_learning_curve(report),
        front=_front(report),
        configurations=list(map(_shown, report.leaderboard[:SHOWN_CONFIGURATIONS])),
        more=max(0, len(report.leaderboard) - SHOWN_CONFIGURATIONS),
        importances=bars(importances[:SHOWN_FEATURES]),
        attributions=_bars_of(report.attributions.items()),
        dependences=list(map(_dependence, report.dependences)),
    )


def _learning_curve(report: Report) -> Chart | None:
    if not report.history:
        return None
    curves = {
        "best single": [point.best_score for point in report.history],
        "ensemble": [point.ensemble_score for point in report.history],
    }
    times = [point.elapsed for point in report.history]
    return line_chart(times, curves, "seconds", report.metric)


def _front(report: Report) -> Chart | None:
    """Every configuration by latency and score, and a line through those that nothing beats."""
    points = [point for point in report.points if math.isfinite(point.score)]
    if not points:
        return None
    costs = [math.log10(max(point.microseconds, 1e-3)) for point in points]
    # A hopeless configuration would squeeze all others into a line.
    ordered = sorted((point.score for point in points), reverse=report.greater_is_better)
    shown = ordered[: max(3, round(0.9 * len(ordered)))]
    axes = fit_axes(costs, shown)
    pairs = [pair for pair in zip(points, costs, strict=True) if pair[0].score in shown]
    dots = [
        Dot(
            axes.x(cost),
            axes.y(point.score),
            "second" if point.name == "ensemble" else "first" if point.best else "other",
            f"{point.name}: {digits(point.score, 5)}, {point.microseconds:.3g} µs a row",
        )
        for point, cost in pairs
    ]
    best = sorted((cost, point.score) for point, cost in pairs if point.best)
    return Chart(
        label=f"{report.metric} by µs a row",
        x_name="µs a row",
        x_ticks=axes.x_ticks([_microseconds(cost) for cost in axes.x_values()]),
        y_ticks=axes.y_ticks(),
        curves=(Curve("nothing is better and faster", "front", axes.points(best)),),
        dots=tuple(sorted(dots, key=lambda dot: ("other", "first", "second").index(dot.look))),
    )


def _shown(entry: LeaderboardEntry) -> ShownConfiguration:
    said = ", ".join(f"{name} {_value(value)}" for name, value in entry.parameters.items())
    reason = f" ({entry.reason})" if entry.reason else ""
    return ShownConfiguration(
        family=entry.family,
        score=entry.state if entry.score is None else digits(entry.score, 5),
        weight=f"{entry.weight:.2f}" if entry.weight > 0 else "",
        seconds=f"{entry.seconds:.2f}",
        latency=f"{entry.predict_microseconds:.3g}" if entry.predict_microseconds > 0 else "",
        note=(said + reason)[:SHOWN_TEXT],
        chosen=entry.weight > 0,
    )


def _option(option: Option) -> ShownOption:
    notes = ["the model"] * option.is_chosen + ["nothing is better and faster"] * option.is_best
    notes += ["can be compiled"] * option.can_be_compiled
    return ShownOption(
        families=", ".join(option.families),
        models=str(option.models),
        score=digits(option.score, 5),
        milliseconds=f"{option.milliseconds:.3g}",
        note=", ".join(notes),
        chosen=option.is_chosen,
    )


def _dependence(item: Dependence) -> ShownDependence:
    numbers = [value for value in item.values if not isinstance(value, str)]
    if len(numbers) == len(item.values) and len(numbers) > 1:
        chart = line_chart(numbers, item.curves, "", item.feature)
        return ShownDependence(item.feature, chart, ())
    found = [
        (name, _bars_of(zip(map(str, item.values), curve, strict=True)))
        for name, curve in item.curves.items()
    ]
    return ShownDependence(item.feature, None, tuple(found))


def _bars_of(values: Iterable[tuple[str, float]]) -> tuple[Bar, ...]:
    items = [(name, value, f"{value:.3g}") for name, value in values]
    return bars(items[:SHOWN_FEATURES])


def _microseconds(logarithm: float) -> str:
    return f"{10**logarithm:.2g}" if logarithm < 2 else f"{10**logarithm:,.0f}"


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)
