"""A validation report as a page: plain HTML, readable on a phone, everything escaped."""

from html import escape
from typing import TYPE_CHECKING

from goldpath.judging.validation_report import ValidationStatus

if TYPE_CHECKING:
    from goldpath.judging.validation_report import ValidationReport, ValidationResult

STYLE = """
:root { --ink:#1c2430; --soft:#5b6675; --line:#dde3ea; --paper:#f6f8fa; --card:#fff;
  --passed:#1f7a4d; --warning:#946200; --failed:#b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6eaf0; --soft:#9aa6b5; --line:#2f3947;
  --paper:#12171e; --card:#1a212b; --passed:#57c08a; --warning:#e0b04a; --failed:#ef8a80; } }
* { box-sizing:border-box }
body { margin:0; background:var(--paper); color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif }
main { max-width:860px; margin:0 auto; padding:24px 16px 48px }
h1 { font-size:24px; margin:0 0 4px; overflow-wrap:anywhere }
h2 { font-size:16px; margin:0; display:inline }
p { margin:6px 0 0; overflow-wrap:anywhere } .soft { color:var(--soft) }
.card { background:var(--card); border:1px solid var(--line); border-left-width:5px;
  border-radius:8px; padding:12px 16px; margin-top:12px }
.status { float:right; font-weight:600; margin-left:12px }
.passed { border-left-color:var(--passed) } .passed .status { color:var(--passed) }
.warning { border-left-color:var(--warning) } .warning .status { color:var(--warning) }
.failed { border-left-color:var(--failed) } .failed .status { color:var(--failed) }
.scroll { overflow-x:auto; margin-top:8px }
table { border-collapse:collapse; font-variant-numeric:tabular-nums; font-size:13px }
th,td { text-align:right; padding:4px 10px; border-bottom:1px solid var(--line) }
th:first-child,td:first-child { text-align:left } th { color:var(--soft); font-weight:500 }
"""
LOOKS = {
    ValidationStatus.PASSED: "passed",
    ValidationStatus.WARNING: "warning",
    ValidationStatus.FAILED: "failed",
    ValidationStatus.NOT_ENOUGH_DATA: "failed",
}


def render_report(report: "ValidationReport") -> str:
    """One HTML document with nothing to load from elsewhere."""
    title = escape(f"{report.model} {report.version}".strip())
    reasons = "".join(f"<p>{escape(error)}</p>" for error in report.errors)
    verdict = (
        f"<div class='card {LOOKS[report.overall_status]}'>"
        f"<span class=status>{report.overall_status.upper()}</span><h2>Verdict</h2>"
        f"{reasons or f'<p>{escape(report.verdict)}</p>'}</div>"
    )
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<title>Validation: {title}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>Validation: {title}</h1><p class=soft>{report.rows:,} rows, "
        f"{report.created:%Y-%m-%d %H:%M} UTC</p>{verdict}"
        f"{''.join(map(_card, report.results))}</main></body></html>\n"
    )


def _card(result: "ValidationResult") -> str:
    look = "warning" if result.passed and LOOKS[result.status] == "failed" else LOOKS[result.status]
    return (
        f"<div class='card {look}'><span class=status>{escape(result.status)}</span>"
        f"<h2>{escape(result.name)}</h2><p>{escape(result.message)}</p>{_table(result)}</div>"
    )


def _table(result: "ValidationResult") -> str:
    if not result.details:
        return ""
    columns = list(dict.fromkeys(name for row in result.details.values() for name in row))
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *columns))
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td>{_cell(row.get(column, ''))}</td>" for column in columns)
        + "</tr>"
        for name, row in result.details.items()
    )
    return f"<div class=scroll><table><tr>{head}</tr>{rows}</table></div>"


def _cell(value: float | str) -> str:
    return escape(value) if isinstance(value, str) else f"{value:.4g}"
