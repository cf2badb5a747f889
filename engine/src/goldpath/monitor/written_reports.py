"""The reports for people that lie in `reports/`, and what the page's server may show of them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from goldpath.registry.layout import CARD_FILE


@dataclass(frozen=True)
class ReportFile:
    """A report that was written.

    Attributes:
        name: Its file.
        title: What it is.
        made: When it was written.
    """

    name: str
    title: str
    made: datetime


@dataclass(frozen=True)
class KnownReport:
    """A report that may be there, and which command writes it."""

    name: str
    title: str
    command: str


KNOWN = (
    KnownReport("drift.html", "Drift: the last check, with distributions", "make drift-check"),
    KnownReport("drift.png", "Drift: the last check as a picture", "make drift-check"),
    KnownReport("data.html", "Data: lineage, quarantine, columns", "make data-report"),
    KnownReport("evaluation.png", "Evaluation of the last training", "make train-local"),
    KnownReport("validation.html", "Gate: what it said of the last version", "make promote"),
    KnownReport(CARD_FILE, "Model card of the last training", "make train-local"),
    KnownReport("automl.html", "AutoML: the last search", "make automl"),
)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".png": "image/png",
}


def written_reports(reports: Path) -> tuple[ReportFile, ...]:
    """Those that were written, the newest first."""
    found = [
        ReportFile(each.name, each.title, made)
        for each in KNOWN
        if (made := _made(reports / each.name)) is not None
    ]
    return tuple(sorted(found, key=lambda each: each.made, reverse=True))


def missing_reports(reports: Path) -> tuple[KnownReport, ...]:
    """Those that were not."""
    return tuple(each for each in KNOWN if _made(reports / each.name) is None)


def _made(file: Path) -> datetime | None:
    """When a report was written; None where it is not there, or was just taken away."""
    try:
        return datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
