"""The report of a search as one HTML page: plain elements and inline SVG, everything escaped."""

import json
import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goldpath.automl.report import Dependence, Report
    from goldpath.automl.result import LeaderboardEntry

SHOWN_CONFIGURATIONS = 40
SHOWN_FEATURES = 20
WIDTH, HEIGHT, LEFT, BOTTOM = 360, 220, 52, 34
COLOURS = ("--accent", "--second", "--third", "--fourth")
STYLE = """
:root { --ink:#1c2430; --soft:#5b6675; --line:#dde3ea; --paper:#f6f8fa; --card:#fff;
  --accent:#2c6fb3; --second:#b4632a; --third:#2f7d6d; --fourth:#8a4fa3 }
@media (prefers-color-scheme: dark) { :root { --ink:#e6eaf0; --soft:#9aa6b5; --line:#2f3947;
  --paper:#12171e; --card:#1a212b; --accent:#6ba7e6; --second:#e0955f; --third:#4fb39f;
  --fourth:#c08bd8 } }
* { box-sizing:border-box }
body { margin:0; background:var(--paper); color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif }
main { max-width:1040px; margin:0 auto; padding:28px 18px 60px }
h1 { font-size:26px; margin:0 0 4px; overflow-wrap:anywhere }
h2 { font-size:18px; margin:34px 0 10px } h3 { font-size:14px; margin:0 0 4px;
  overflow-wrap:anywhere }
p { margin:0 0 8px } .soft { color:var(--soft) }
.card { background:var(--card); border:1px solid var(--line); border-radius:10px; padding:16px;
  min-width:0 }
.tiles { display:grid; gap:12px; grid-template-columns:repeat(auto-fit,minmax(140px,1fr)) }
.tiles b { display:block; font-size:20px; font-variant-numeric:tabular-nums }
.plots { display:grid; gap:12px; grid-template-columns:repeat(auto-fit,minmax(300px,1fr)) }
.scroll { overflow-x:auto }
table { border-collapse:collapse; width:100%; font-size:14px; font-variant-numeric:tabular-nums }
th,td { text-align:right; padding:5px 10px; border-bottom:1px solid var(--line);
  white-space:nowrap; vertical-align:top }
th:first-child,td:first-child { text-align:left } th { color:var(--soft); font-weight:500 }
tr.numbers td { border-bottom:0; padding-bottom:0 }
td.parameters { text-align:left; white-space:normal; font-size:12px; color:var(--soft);
  overflow-wrap:anywhere }
@media (max-width:600px) { table { font-size:13px } th,td { padding:5px 4px }
  .card { padding:12px } }
svg { display:block; width:100%; height:auto } text { fill:var(--soft); font-size:11px }
.bar { height:6px; border-radius:3px; margin-bottom:8px; background:var(--accent) }
.key { display:inline-block; width:10px; height:10px; border-radius:2px; margin:0 5px 0 0 }
.key + span { margin-right:14px }
"""


def render_page(report: "Report") -> str:
    """One HTML document with nothing to load from elsewhere."""
    body = "".join(
        (
            f"<h1>AutoML: {escape(report.title)}</h1>",
            f"<p class=soft>{escape(report.problem)}, {report.rows:,} rows, "
            f"{report.features:,} features, {escape(report.made_at)}</p>",
            _tiles(report),
            "<h2>How the search went</h2><div class=plots>",
            f"<div class=card><h3>Learning curve</h3>{_learning_curve(report)}</div>",
            f"<div class=card><h3>Quality against latency</h3>{_pareto(report)}</div></div>",
            "<h2>Leaderboard</h2>",
            f"<div class='card scroll'>{_leaderboard(report)}</div>",
            _left_out(report),
            "<h2>What the model looks at</h2>",
            f"<p class=soft>{_rows_note(report)}</p>",
            f"<div class=plots>{_importances(report)}{_attributions(report)}</div>",
            _dependences(report),
        )
    )
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>AutoML: {escape(report.title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _tiles(report: "Report") -> str:
    metric = f"{report.metric} ({'more' if report.greater_is_better else 'less'} is better)"
    spent = f"{report.seconds:.1f} s"
    if report.budget_seconds is not None:
        spent += f" of {report.budget_seconds:g} s"
    tiles = {
        f"ensemble, {metric}": _number(report.score),
        "best single configuration": _number(report.best_single_score),
        "best constant prediction": _number(report.baseline_score),
        "time": spent,
        "configurations tried": str(len(report.leaderboard)),
        "folds": str(report.folds),
    }
    cells = "".join(
        f"<div class=card><span class=soft>{escape(name)}</span><b>{value}</b></div>"
        for name, value in tiles.items()
    )
    note = "Scores are of held-out rows: no model is judged on a row that it learnt from."
    return f"<div class=tiles>{cells}</div><p class=soft style='margin-top:8px'>{note}</p>"


def _learning_curve(report: "Report") -> str:
    if not report.history:
        return "<p class=soft>No configuration was finished.</p>"
    times = [point.elapsed for point in report.history]
    curves = {
        "best single": [point.best_score for point in report.history],
        "ensemble": [point.ensemble_score for point in report.history],
    }
    return _lines(times, curves, "seconds", report.metric)


def _pareto(report: "Report") -> str:
    points = [point for point in report.points if math.isfinite(point.score)]
    if not points:
        return "<p class=soft>Nothing was measured.</p>"
    costs = [math.log10(max(point.microseconds, 1e-3)) for point in points]
    # A hopeless configuration would squeeze all others into a line.
    ordered = sorted((point.score for point in points), reverse=report.greater_is_better)
    shown = ordered[: max(3, round(0.9 * len(ordered)))]
    chart = _Chart(costs, shown)
    dots = []
    for point, cost in sorted(
        zip(points, costs, strict=True), key=lambda pair: (pair[0].best, pair[0].name == "ensemble")
    ):
        if point.score not in shown:
            continue
        colour = "second" if point.name == "ensemble" else "accent" if point.best else "line"
        x, y = chart.x(cost), chart.y(point.score)
        dots.append(
            f"<circle cx={x:.1f} cy={y:.1f} r={5 if point.best else 3.5} fill='var(--{colour})' "
            f"stroke='var(--soft)' stroke-width=.6><title>{escape(point.name)}: "
            f"{_number(point.score)}, {point.microseconds:.3g} µs a row</title></circle>"
        )
    front = sorted(
        (cost, point.score) for point, cost in zip(points, costs, strict=True) if point.best
    )
    line = " ".join(f"{chart.x(c):.1f},{chart.y(s):.1f}" for c, s in front if s in shown)
    path = f"<polyline points='{line}' fill=none stroke='var(--accent)' stroke-dasharray='4 3'/>"
    ticks = [(cost, _microseconds(cost)) for cost in chart.x_ticks()]
    keys = _keys({"nothing is better and faster": "--accent", "the ensemble": "--second"})
    return keys + chart.svg(path + "".join(dots), ticks, "µs a row", report.metric)


def _leaderboard(report: "Report") -> str:
    rows = "".join(map(_entry, report.leaderboard[:SHOWN_CONFIGURATIONS]))
    more = len(report.leaderboard) - SHOWN_CONFIGURATIONS
    note = f"<p class=soft>{more} more are in the JSON beside this page.</p>" if more > 0 else ""
    return (
        "<table><tr><th>family</th><th>score</th><th>weight</th><th>seconds</th>"
        "<th>µs a row</th></tr>"
        f"{rows}</table>{note}"
    )


def _entry(entry: "LeaderboardEntry") -> str:
    score = escape(entry.state) if entry.score is None else _number(entry.score)
    weight = f"{entry.weight:.2f}" if entry.weight > 0 else ""
    latency = f"{entry.predict_microseconds:.3g}" if entry.predict_microseconds > 0 else ""
    reason = f" ({entry.reason})" if entry.reason else ""
    said = ", ".join(f"{name} {_value(value)}" for name, value in entry.parameters.items())
    bold = "<b>{}</b>" if entry.weight > 0 else "{}"
    return (
        f"<tr class=numbers><td>{bold.format(escape(entry.family))}</td><td>{score}</td>"
        f"<td>{weight}</td><td>{entry.seconds:.2f}</td><td>{latency}</td></tr>"
        f"<tr><td class=parameters colspan=5>{escape((said + reason)[:600])}</td></tr>"
    )


def _left_out(report: "Report") -> str:
    if not report.left_out:
        return ""
    rows = "".join(
        f"<p><b>{escape(name)}</b> <span class=soft>{escape(reason[:300])}</span></p>"
        for name, reason in report.left_out.items()
    )
    return f"<h2>What was left out</h2><div class=card>{rows}</div>"


def _rows_note(report: "Report") -> str:
    seen = (
        "which the model learnt from: what it looks at, not how well that works elsewhere"
        if report.rows_seen
        else "which the search never saw"
    )
    cut = (
        f" {report.features_not_judged:,} features were not judged for want of time."
        if report.features_not_judged
        else ""
    )
    return f"On {report.judged_rows:,} rows, {seen}.{cut}"


def _importances(report: "Report") -> str:
    shown = [(item.feature, item.loss, item.deviation) for item in report.importances]
    bars = _bars([(name, loss, f"{loss:.3g} ± {spread:.1g}") for name, loss, spread in shown])
    return f"<div class=card><h3>Loss when a feature is shuffled</h3>{bars}</div>"


def _attributions(report: "Report") -> str:
    if not report.attributions:
        return ""
    bars = _bars([(name, value, f"{value:.3g}") for name, value in report.attributions.items()])
    return f"<div class=card><h3>Mean absolute SHAP value</h3>{bars}</div>"


def _bars(items: Sequence[tuple[str, float, str]]) -> str:
    most = max((value for _, value, _ in items), default=0) or 1
    return "".join(
        f"<div style='font-size:13px;overflow-wrap:anywhere'>{escape(name)} "
        f"<span class=soft>{escape(label)}</span></div>"
        f"<div class=bar style='width:{max(0.0, 100 * value / most):.1f}%'></div>"
        for name, value, label in items[:SHOWN_FEATURES]
    )


def _dependences(report: "Report") -> str:
    if not report.dependences:
        return ""
    cards = "".join(
        f"<div class=card><h3>{escape(item.feature)}</h3>{_dependence(item)}</div>"
        for item in report.dependences
    )
    return (
        "<h2>Mean prediction by feature</h2><p class=soft>Partial dependence: the feature has "
        f"one value in all rows, the others stay as they are.</p><div class=plots>{cards}</div>"
    )


def _dependence(item: "Dependence") -> str:
    numbers = [value for value in item.values if not isinstance(value, str)]
    if len(numbers) == len(item.values) and len(numbers) > 1:
        return _lines(numbers, {name: list(c) for name, c in item.curves.items()}, "", "")
    parts = []
    for name, curve in item.curves.items():
        pairs = zip(item.values, curve, strict=True)
        bars = _bars([(str(value), mean, f"{mean:.3g}") for value, mean in pairs])
        parts.append(f"<p class=soft>{escape(name)}</p>{bars}")
    return "".join(parts)


def _lines(
    across: Sequence[float], curves: dict[str, list[float]], x_name: str, y_name: str
) -> str:
    finite = [value for curve in curves.values() for value in curve if math.isfinite(value)]
    chart = _Chart(across, finite or [0.0])
    drawn = []
    for colour, curve in zip(COLOURS, curves.values(), strict=False):
        points = " ".join(
            f"{chart.x(x):.1f},{chart.y(y):.1f}"
            for x, y in zip(across, curve, strict=True)
            if math.isfinite(y)
        )
        drawn.append(
            f"<polyline points='{points}' fill=none stroke='var({colour})' stroke-width=2 "
            "stroke-linejoin='round'/>"
        )
    ticks = [(value, f"{value:.3g}") for value in chart.x_ticks()]
    keys = _keys(dict(zip(curves, COLOURS, strict=False)))
    return keys + chart.svg("".join(drawn), ticks, x_name, y_name)


class _Chart:
    """Axes that fit the values."""

    def __init__(self, across: Sequence[float], up: Sequence[float]) -> None:
        self.x_range, self.y_range = _padded(across, 0.0), _padded(up, 0.06)

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (WIDTH - LEFT - 10) * (value - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return 8 + (HEIGHT - BOTTOM - 8) * (1 - (value - low) / (high - low))

    def x_ticks(self) -> list[float]:
        low, high = self.x_range
        return [low + (high - low) * share for share in (0, 0.33, 0.66, 1)]

    def svg(self, inside: str, ticks: Sequence[tuple[float, str]], x_name: str, y_name: str) -> str:
        low, high = self.y_range
        marks = []
        for share in (0.06, 0.35, 0.65, 0.94):
            value = low + (high - low) * share
            y = self.y(value)
            marks.append(
                f"<line x1={LEFT} x2={WIDTH - 10} y1={y:.1f} y2={y:.1f} stroke='var(--line)'/>"
                f"<text x={LEFT - 6} y={y + 4:.1f} text-anchor=end>"
                f"{_tick(value, high - low)}</text>"
            )
        for number, (value, label) in enumerate(ticks):
            anchor = "start" if number == 0 else "end" if number == len(ticks) - 1 else "middle"
            marks.append(
                f"<text x={self.x(value):.1f} y={HEIGHT - BOTTOM + 16} text-anchor={anchor}>"
                f"{escape(label)}</text>"
            )
        names = f"<text x={WIDTH - 10} y={HEIGHT - 4} text-anchor=end>{escape(x_name)}</text>"
        label = escape(f"{y_name} by {x_name}".strip(), quote=True)
        return (
            f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img aria-label='{label}'>"
            f"{''.join(marks)}{inside}{names}</svg>"
        )


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        pad = abs(low) * 0.05 or 0.5
        return low - pad, high + pad
    return low - share * (high - low), high + share * (high - low)


def _keys(names: dict[str, str]) -> str:
    keys = "".join(
        f"<span class=key style='background:var({colour})'></span><span>{escape(name)}</span>"
        for name, colour in names.items()
    )
    return f"<p class=soft style='font-size:13px'>{keys}</p>"


def _tick(value: float, spread: float) -> str:
    digits = max(0, min(6, 2 - math.floor(math.log10(spread)))) if spread > 0 else 3
    return f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"


def _microseconds(logarithm: float) -> str:
    return f"{10**logarithm:.2g}" if logarithm < 2 else f"{10**logarithm:,.0f}"


def _number(value: float) -> str:
    return f"{value:.5g}" if math.isfinite(value) else "-"


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return value if isinstance(value, str) else json.dumps(value, default=str)
