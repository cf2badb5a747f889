"""What the page draws: heat maps of drift and of scores, quality and traffic over time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from goldpath.monitor.drift_windows import ColumnShift, SourceDrift, Window
from goldpath.monitor.predictions import BATCH, BINS, SERVICE, Predictions, Scores
from goldpath.monitor.quality import LiveQuality, PeriodValue, VersionQuality
from goldpath.monitor.running import ServiceTraffic
from goldpath.pages.charts import LOOKS, Block, Chart, Part, stacked_columns
from goldpath.pages.documents import digits
from goldpath.pages.time_charts import (
    Cell,
    HeatMap,
    HeatRow,
    Measured,
    level_of,
    time_chart,
)

SHOWN_WINDOWS = 30
SHOWN_COLUMNS = 40
SOURCE_LOOKS = {SERVICE: "first", BATCH: "kept"}
SHOWN_WEEKS, SHOWN_DAYS = 4, 7
"""Periods whose worth is shown."""

DARKEST = 0.4
"""Share of a day's predictions at which a square of the score map is darkest."""

NOTHING = Cell("none", "", "not compared")


@dataclass(frozen=True)
class DriftCard:
    """A source's drift.

    Attributes:
        drift: The last check.
        map: Columns by windows.
        windows: The windows of the map, the newest first.
        estimate: The estimated quality by window; None where there is none.
        left_out: What the map does not show, in words.
    """

    drift: SourceDrift
    map: HeatMap
    estimate: Chart | None
    windows: tuple[Window, ...]
    left_out: str


@dataclass(frozen=True)
class QualityCard:
    """How good predictions were.

    Attributes:
        live: The report.
        chart: The main metric by day; None where no day has labels.
        keys: What its lines are.
        left_out: What it does not show, in words.
        values: What decisions were worth in the newest weeks and days, the newest first.
    """

    live: LiveQuality
    chart: Chart | None
    keys: tuple[Mapping[str, str], ...]
    left_out: str
    values: tuple[PeriodValue, ...]


@dataclass(frozen=True)
class TrafficCharts:
    """The service in the last hours."""

    is_up: bool | None
    requests: Chart
    latency: Chart | None


def drift_card(drift: SourceDrift) -> DriftCard:
    """The heat map of a source: of rows that were judged as a whole it has one window."""
    windows = drift.history[-SHOWN_WINDOWS:]
    moved = _furthest(drift, windows)
    names = sorted(sorted(moved), key=moved.__getitem__, reverse=True)[:SHOWN_COLUMNS]
    if windows and drift.window:
        rows = [HeatRow(name, tuple(_cell(name, window) for window in windows)) for name in names]
        first, last = _named(windows[0], drift), _named(windows[-1], drift)
    else:
        columns = {column.name: column for column in drift.columns}
        rows = [HeatRow(name, (_column_cell(columns.get(name)),)) for name in names]
        first = last = "judged as a whole"
    notes = []
    if len(drift.history) > len(windows):
        notes.append(f"the newest {len(windows)} of {len(drift.history)} windows")
    if len(moved) > len(names):
        notes.append(f"the {len(names)} columns that moved most, of {len(moved)}")
    if any(not window.distances and window.state != "insufficient" for window in windows):
        notes.append(
            "windows that an older goldpath judged show only what drifted; their distances are "
            "not known"
        )
    return DriftCard(
        drift=drift,
        map=HeatMap(f"Drift of {drift.kind} by column and window", first, last, tuple(rows)),
        estimate=_estimate_chart(drift, windows),
        windows=tuple(reversed(windows)),
        left_out="; ".join(notes),
    )


def _estimate_chart(drift: SourceDrift, windows: Sequence[Window]) -> Chart | None:
    """The estimated quality of each window, with the reference's as a line."""
    estimated = [
        Measured(
            place,
            window.estimate.value,
            window.estimate.interval,
            f"{window.start:%Y-%m-%d %H:%M}: {window.estimate.value:.4f} "
            f"({window.estimate.interval[0]:.4f} to {window.estimate.interval[1]:.4f})",
        )
        for place, window in enumerate(windows)
        if window.estimate
    ]
    if not estimated or drift.estimate is None or drift.estimate.reference is None:
        return None
    moments = [_named(window, drift) for window in windows]
    levels = {"reference": drift.estimate.reference}
    return time_chart(moments, {"estimate": estimated}, drift.estimate.metric, levels)


def _furthest(drift: SourceDrift, windows: Sequence[Window]) -> dict[str, tuple[bool, float]]:
    """Of each column whether it drifted, and its largest distance as a multiple of its limit."""
    found: dict[str, tuple[bool, float]] = {}

    def note(name: str, effect: float, limit: float, *, drifted: bool) -> None:
        told = (drifted, effect / limit)
        found[name] = max(found.get(name, told), told)

    for column in drift.columns:
        note(column.name, column.effect, column.limit, drifted=column.drifted)
    for window in windows:
        drifted = window.drifted
        for name, (effect, limit) in window.distances.items():
            note(name, effect, limit, drifted=name in drifted)
        for shift in window.shifts:
            note(shift.column, shift.effect, shift.limit, drifted=True)
    return found


def _cell(name: str, window: Window) -> Cell:
    when = f"{window.start:%Y-%m-%d %H:%M}, {window.rows:,} rows"
    shift = window.drifted.get(name)
    if shift is not None:
        return _judged(shift.effect, shift.limit, drifted=True, when=when, name=name)
    if name in window.distances:
        effect, limit = window.distances[name]
        return _judged(effect, limit, drifted=False, when=when, name=name)
    why = "too few rows" if window.state == "insufficient" else "no distance is known"
    return Cell("none", "", f"{name}, {when}: {why}")


def _column_cell(column: ColumnShift | None) -> Cell:
    if column is None:
        return NOTHING
    return _judged(
        column.effect, column.limit, drifted=column.drifted, when="judged as a whole",
        name=column.name,
    )  # fmt: skip


def _judged(effect: float, limit: float, *, drifted: bool, when: str, name: str) -> Cell:
    said = f"{name}, {when}: {effect:.3f}, counts from {limit:.3f}"
    if drifted:
        return Cell("drift", "!", f"{said}: drift")
    return Cell(level_of(effect / limit), "", said)


def _named(window: Window, drift: SourceDrift) -> str:
    return (
        f"{window.start:%Y-%m-%d %H:%M}" if drift.key.window == "1h" else f"{window.start:%Y-%m-%d}"
    )


def quality_card(live: LiveQuality) -> QualityCard:
    """The main metric by day and version, with the limit that it is held to."""
    metric = live.quality.metric
    judged = [each for each in live.days if metric in each.metrics]
    days = sorted({each.day for each in live.days})
    versions = sorted({each.model_version for each in judged}, key=_number)[-len(LOOKS) :]
    places = {day: place for place, day in enumerate(days)}
    curves = {
        f"version {version}": [
            _measured(each, metric, places[each.day])
            for each in judged
            if each.model_version == version
        ]
        for version in versions
    }
    levels = {} if live.quality.limit is None else {"alarm": live.quality.limit}
    hidden = len({each.model_version for each in judged}) - len(versions)
    keys = [{"look": look, "name": name} for look, name in zip(LOOKS, curves, strict=False)]
    if levels:
        keys.append({"look": "front", "name": "alarm beyond this"})
    return QualityCard(
        live=live,
        chart=time_chart(days, curves, metric, levels) if judged else None,
        keys=tuple(keys),
        left_out=f"{hidden} older versions are in the table only" if hidden else "",
        values=(*_newest(live, "week", SHOWN_WEEKS), *_newest(live, "day", SHOWN_DAYS)),
    )


def _newest(live: LiveQuality, period: str, most: int) -> tuple[PeriodValue, ...]:
    return tuple(each for each in reversed(live.values) if each.period == period)[:most]


def _measured(found: VersionQuality, metric: str, place: int) -> Measured:
    value = found.metrics[metric]
    said = f"{found.day}, version {found.model_version}: {metric} {value:.4f}"
    if found.interval:
        said += f" ({found.interval[0]:.4f} to {found.interval[1]:.4f})"
    return Measured(place, value, found.interval, f"{said}, {found.labelled:,} labels")


def _number(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (0, version)


def prediction_columns(predictions: Predictions) -> tuple[Block, ...]:
    """A column a day, of the service's and of batch predictions; the last one ends on the right."""
    return stacked_columns(
        [
            [
                Part(days[day].count, SOURCE_LOOKS[name], f"{day}, {name}: {days[day].count:,}")
                for name, days in predictions.by_source.items()
                if day in days
            ]
            for day in predictions.days
        ],
        fewest=1,
    )


def score_map(predictions: Predictions) -> HeatMap | None:
    """The share of each day's predictions in each tenth of the score, the highest on top."""
    by_day = [(day, predictions.of_day(day)) for day in predictions.days]
    if not any(scores.count for _, scores in by_day):
        return None
    rows = []
    for place in reversed(range(BINS)):
        name = f"{place / BINS:.1f} to {(place + 1) / BINS:.1f}"
        cells = tuple(_score_cell(f"{day}, {name}", scores, place) for day, scores in by_day)
        rows.append(HeatRow(name, cells))
    return HeatMap("Scores by day", f"{by_day[0][0]}", f"{by_day[-1][0]}", tuple(rows))


def _score_cell(said: str, scores: Scores, place: int) -> Cell:
    if not scores.count:
        return Cell("none", "", f"{said}: no predictions")
    share = scores.bins[place] / scores.count
    return Cell(level_of(share / DARKEST), "", f"{said}: {share:.1%} of {scores.count:,}")


def score_spread(predictions: Predictions) -> Chart | None:
    """Mean and standard deviation of the predicted values by day."""
    points = []
    for place, day in enumerate(predictions.days):
        scores = predictions.of_day(day)
        if scores.count:
            around = (scores.mean - scores.spread, scores.mean + scores.spread)
            said = (
                f"{day}: mean {digits(scores.mean)}, standard deviation {digits(scores.spread)}, "
                f"{scores.count:,} predictions"
            )
            points.append(Measured(place, scores.mean, around, said))
    if not points:
        return None
    moments = [f"{day:%Y-%m-%d}" for day in predictions.days]
    return time_chart(moments, {"mean, and one standard deviation": points}, "prediction")


def traffic_charts(traffic: ServiceTraffic) -> TrafficCharts:
    """Requests and errors a second, and the latency of the slowest percent."""
    moments = [f"{time:%H:%M}" for time in traffic.times]
    latency = _curve(traffic.latency)
    return TrafficCharts(
        is_up=traffic.is_up,
        requests=time_chart(
            moments,
            {"requests": _curve(traffic.requests), "errors": _curve(traffic.errors)},
            "requests a second",
            from_zero=True,
        ),
        latency=time_chart(moments, {"99 %": latency}, "milliseconds", from_zero=True)
        if latency
        else None,
    )


def _curve(values: Sequence[float]) -> list[Measured]:
    """The values that are known; the newest has a dot, so that one alone is seen, too."""
    known = [(at, value) for at, value in enumerate(values) if math.isfinite(value)]
    return [
        Measured(at, value, hover=f"now: {value:.3g}" if at == known[-1][0] else "")
        for at, value in known
    ]
