"""The data page as HTML: plain elements and inline SVG, everything from the data escaped."""

from html import escape
from typing import TYPE_CHECKING

from goldpath.lake.column_summary import ColumnSummary

if TYPE_CHECKING:
    from goldpath.jobs.data.report import LakeState

STYLE = """
:root { --ink:#1c2430; --soft:#5b6675; --line:#dde3ea; --paper:#f6f8fa; --card:#fff;
  --kept:#2f7d6d; --dropped:#c9a227; --refused:#c2503d; --accent:#2c6fb3; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6eaf0; --soft:#9aa6b5; --line:#2f3947;
  --paper:#12171e; --card:#1a212b; --kept:#4fb39f; --dropped:#dfbb4d; --refused:#e07a68;
  --accent:#6ba7e6; } }
* { box-sizing:border-box }
body { margin:0; background:var(--paper); color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif }
main { max-width:1040px; margin:0 auto; padding:28px 18px 60px }
h1 { font-size:26px; margin:0 0 4px } h2 { font-size:18px; margin:34px 0 10px }
h3 { font-size:14px; margin:0 0 2px; overflow-wrap:anywhere }
p { margin:0 0 8px } .soft { color:var(--soft) } .bad { color:var(--refused) }
.card { background:var(--card); border:1px solid var(--line); border-radius:10px; padding:16px }
.tiles { display:grid; gap:12px; grid-template-columns:repeat(auto-fit,minmax(170px,1fr)) }
.tiles b { display:block; font-size:21px; font-variant-numeric:tabular-nums }
.columns { display:grid; gap:12px; grid-template-columns:repeat(auto-fill,minmax(230px,1fr)) }
.scroll { overflow-x:auto }
table { border-collapse:collapse; width:100%; font-variant-numeric:tabular-nums }
th,td { text-align:right; padding:5px 10px; border-bottom:1px solid var(--line);
  white-space:nowrap }
th:first-child,td:first-child { text-align:left } th { color:var(--soft); font-weight:500 }
svg { display:block; width:100%; height:auto } text { fill:var(--ink); font-size:12px }
.key { display:inline-block; width:10px; height:10px; border-radius:2px; margin:0 5px 0 14px }
"""


def render_page(state: "LakeState") -> str:
    """One HTML document with nothing to load from elsewhere."""
    body = "".join(
        (
            f"<h1>Data: {escape(state.dataset)}</h1>",
            f"<p class=soft>{state.made_at:%Y-%m-%d %H:%M} UTC</p>",
            _tiles(state),
            "<h2>Where the rows go</h2>",
            f"<div class='card scroll'>{_lineage(state)}</div>",
            "<h2>Rows by interval</h2>",
            f"<div class=card>{_interval_bars(state)}{_interval_table(state)}</div>",
            "<h2>Why rows are in quarantine</h2>",
            f"<div class=card>{_reasons(state)}</div>",
            "<h2>Deliveries</h2>",
            f"<div class='card scroll'>{_deliveries(state)}</div>",
            f"<h2>Columns of gold</h2><div class=columns>{_columns(state)}</div>",
        )
    )
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>Data: {escape(state.dataset)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )


def _tiles(state: "LakeState") -> str:
    newest = f"{state.newest_event:%Y-%m-%d %H:%M}" if state.newest_event else "no time"
    tiles = {
        "rows to train on": f"{state.tables['gold'].rows:,}",
        "in quarantine": f"{state.tables['quarantine'].rows:,}"
        if "quarantine" in state.tables
        else "0",
        "newest row": newest,
        "last taken in (UTC)": f"{state.newest_ingestion:%Y-%m-%d %H:%M}",
        "training runs that keep a snapshot": str(len(state.training_runs)),
    }
    cells = "".join(
        f"<div class=card><span class=soft>{name}</span><b>{value}</b></div>"
        for name, value in tiles.items()
    )
    return f"<div class=tiles>{cells}</div>"


def _lineage(state: "LakeState") -> str:
    places = {
        "source": (10, 60),
        "bronze": (190, 60),
        "silver": (370, 20),
        "quarantine": (370, 110),
        "gold": (550, 20),
        "training": (730, 0),
        "predictions": (730, 90),
    }
    arrows = [
        ("source", "bronze"), ("bronze", "silver"), ("bronze", "quarantine"), ("silver", "gold"),
        ("gold", "training"), ("gold", "predictions"),
    ]  # fmt: skip
    lines = "".join(_arrow(places[a], places[b]) for a, b in arrows)
    boxes = "".join(_box(state, name, *place) for name, place in places.items())
    return (
        "<svg viewBox='0 0 880 176' style='min-width:720px' role=img aria-label='Lineage'>"
        "<defs><marker id=tip viewBox='0 0 8 8' refX=8 refY=4 markerWidth=7 markerHeight=7 "
        "orient=auto><path d='M0 0L8 4L0 8z' fill='var(--soft)'/></marker></defs>"
        f"{lines}{boxes}</svg>"
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + 140, start[1] + 29, end[0] - 2, end[1] + 29
    bend = (x1 + x2) // 2
    return (
        f"<path d='M{x1} {y1}C{bend} {y1} {bend} {y2} {x2} {y2}' fill=none "
        "stroke='var(--soft)' stroke-width=1.4 marker-end='url(#tip)'/>"
    )


def _box(state: "LakeState", name: str, x: int, y: int) -> str:
    if name == "source":
        below = state.source if len(state.source) <= 17 else "…" + state.source[-16:]
    elif name == "training":
        below = f"{len(state.training_runs)} runs"
    elif name in state.tables:
        below = f"{state.tables[name].rows:,} rows"
    else:
        below = "not written yet"
    return (
        f"<g><title>{escape(_hover(state, name))}</title>"
        f"<rect x={x} y={y} width=140 height=58 rx=8 fill='var(--paper)' stroke='var(--line)'/>"
        f"<text x={x + 12} y={y + 24} font-weight=600>{name}</text>"
        f"<text x={x + 12} y={y + 44} style='fill:var(--soft)'>{escape(below)}</text></g>"
    )


def _hover(state: "LakeState", name: str) -> str:
    if name in state.tables:
        snapshot = state.tables[name]
        return f"snapshot {snapshot.snapshot_id}, {snapshot.committed_at:%Y-%m-%d %H:%M:%S} UTC"
    return {"source": state.source, "training": ", ".join(state.training_runs)}.get(name, "")


def _interval_bars(state: "LakeState") -> str:
    count = len(state.intervals)
    most = max(record.rows_in for record in state.intervals) or 1
    step = 1000 / count
    bars = []
    for number, record in enumerate(state.intervals):
        top = 140.0
        for rows, colour in (
            (record.rows_out, "kept"),
            (record.duplicates, "dropped"),
            (record.quarantined, "refused"),
        ):
            height = 130 * rows / most
            top -= height
            bars.append(
                f"<rect x={number * step + step * 0.1:.2f} y={top:.2f} width={step * 0.8:.2f} "
                f"height={height:.2f} fill='var(--{colour})'><title>{escape(record.subject)}: "
                f"{rows:,}</title></rect>"
            )
    keys = "".join(
        f"<span class=key style='background:var(--{colour})'></span>{label}"
        for colour, label in (
            ("kept", "silver"),
            ("dropped", "duplicates"),
            ("refused", "quarantine"),
        )
    )
    return (
        f"<p class=soft>{keys}</p><svg viewBox='0 0 1000 142' preserveAspectRatio=none "
        f"style='height:150px' role=img aria-label='Rows by interval'>{''.join(bars)}</svg>"
    )


def _interval_table(state: "LakeState") -> str:
    from goldpath.jobs.data.report import adds_up

    rows = "".join(
        f"<tr><td>{escape(record.subject)}</td><td>{record.rows_in:,}</td>"
        f"<td>{record.rows_out:,}</td><td>{record.duplicates:,}</td>"
        f"<td>{record.quarantined:,}</td><td>{record.finished_at:%Y-%m-%d %H:%M}</td>"
        + ("<td>✓</td></tr>" if adds_up(record) else "<td class=bad>✗</td></tr>")
        for record in state.intervals
    )
    return (
        "<div class=scroll><table><tr><th>interval</th><th>bronze</th><th>silver</th>"
        "<th>duplicates</th><th>quarantine</th><th>made (UTC)</th><th>adds up</th></tr>"
        f"{rows}</table></div>"
    )


def _reasons(state: "LakeState") -> str:
    if not state.reasons:
        return "<p class=soft>No row was refused.</p>"
    most = max(state.reasons.values())
    return "".join(
        f"<h3>{escape(reason)} <span class=soft>{count:,}</span></h3>"
        f"<div style='height:6px;width:{100 * count / most:.1f}%;background:var(--refused);"
        "border-radius:3px;margin-bottom:10px'></div>"
        for reason, count in state.reasons.items()
    )


def _deliveries(state: "LakeState") -> str:
    rows = "".join(
        f"<tr><td>{escape(record.subject)}</td><td>{record.rows_out:,}</td>"
        f"<td>{record.forgotten:,}</td><td>{escape(record.fingerprint)}</td>"
        f"<td>{record.finished_at:%Y-%m-%d %H:%M}</td></tr>"
        for record in state.deliveries[-20:]
    )
    return (
        "<table><tr><th>file</th><th>rows</th><th>forgotten</th><th>batch</th>"
        "<th>taken in</th></tr>"
        f"{rows}</table>"
    )


def _columns(state: "LakeState") -> str:
    return "".join(_column(column) for column in state.columns)


def _column(column: ColumnSummary) -> str:
    share = column.missing / column.rows if column.rows else 0
    facts = [column.type, f"{share:.1%} missing", f"{column.distinct:,} values"]
    if column.minimum is not None and column.mean is not None and column.maximum is not None:
        facts.append(f"{column.minimum:.4g} … {column.mean:.4g} … {column.maximum:.4g}")
    if column.is_personal:
        plot = "<p class=soft>personal: not shown</p>"
    elif column.type in ("number", "integer"):
        plot = _histogram(column)
    else:
        plot = _value_bars(column)
    return (
        f"<div class=card><h3>{escape(column.name)}</h3>"
        f"<p class=soft>{escape(' · '.join(facts))}</p>{plot}</div>"
    )


def _histogram(column: ColumnSummary) -> str:
    if not column.counts:
        return ""
    most = max(count for _, count in column.counts) or 1
    step = 200 / len(column.counts)
    bars = "".join(
        f"<rect x={number * step:.2f} y={60 - 58 * count / most:.2f} width={step * 0.9:.2f} "
        f"height={58 * count / most:.2f} fill='var(--accent)'><title>from {escape(label)}: "
        f"{count:,}</title></rect>"
        for number, (label, count) in enumerate(column.counts)
    )
    return f"<svg viewBox='0 0 200 60' role=img aria-label=Histogram>{bars}</svg>"


def _value_bars(column: ColumnSummary) -> str:
    most = max((count for _, count in column.counts), default=1)
    return "".join(
        f"<div style='font-size:12px;overflow-wrap:anywhere'>{escape(label)} "
        f"<span class=soft>{count:,}</span></div>"
        f"<div style='height:5px;width:{100 * count / most:.1f}%;background:var(--accent);"
        "border-radius:3px;margin-bottom:4px'></div>"
        for label, count in column.counts
    )
