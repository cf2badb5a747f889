"""What a drift check leaves: `reports/drift.json`, picture and page, and each source's state."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from goldpath.drift.importance import WeightedShift, weigh
from goldpath.drift.plot import write_plot
from goldpath.drift.report import Drawn, write_html
from goldpath.drift.source_decision import SourceDecision
from goldpath.jobs.drift.current_rows import LONG_AGO, CurrentRows
from goldpath.jobs.drift.estimated_quality import QualityEstimate
from goldpath.jobs.drift.history import HistoryKey, history_file, stored_history
from goldpath.jobs.drift.judged_windows import JudgedSource
from goldpath.learning.scoring import ModelVersion
from goldpath.presentation import step
from goldpath.reports import write_report
from goldpath.serving.metrics.reports import read_json, write_textfile
from goldpath.settings import Settings

TOLD_SHIFTS = 3
LESS_SENSITIVE = 1.2
"""From here on a larger smallest shift is said to be larger."""
ALIKE_ROWS = 1.5
"""Windows whose rows differ by more are not compared: more rows show a smaller shift."""


@dataclass(frozen=True)
class DriftReport:
    """What a drift check found, and where it is written.

    Attributes:
        verdict: ok, drift or insufficient; the last also where nothing was compared.
        message: The verdict as a sentence: what changed, since when, and what could be seen.
        drifted_columns: What changed in the newest window, by column, the largest shift first.
        rows: Rows of the newest window.
        window: That window; empty where rows were judged as a whole.
        since: Start of the first window of the present shift; empty where there is none.
        rejected_rows: Rows that the contract refused.
        training_rows: Rows that were left out: the champion was trained or judged on them.
        reference_rows: Rows of the reference.
        source: Where the rows come from.
        model_version: The champion whose training rows are the reference.
        calibration: `windows` if the reference's own windows say what is usual; `iid` if rows are
            taken as independent, and the floor is widened.
        detectable: The smallest shift of a typical column that four in five such windows would have
            shown; None where nothing was compared.
        estimated_quality: What the newest window's probabilities say about quality, or why nothing.
        moved_and_matters: The columns whose shift matters most to the model: how many times their
            limit they moved, and their share of importance. An order to look at, and no alarm.
        evidently: What Evidently's preset counts by its own defaults; empty without its report.
        notes: What was left out, or judged otherwise than usual.
        report: The JSON report.
        html: Evidently's report, or None where it was not asked for.
        plot: The picture; None where no rows were compared.
        exit_code: 0 ok, 1 drift, 3 too few rows, or nothing to compare.
    """

    verdict: str
    message: str
    drifted_columns: dict[str, str]
    rows: int
    window: str
    since: str
    rejected_rows: int
    training_rows: int
    reference_rows: int
    source: str
    model_version: str
    calibration: str
    detectable: float | None
    estimated_quality: str
    moved_and_matters: dict[str, str]
    evidently: str
    notes: tuple[str, ...]
    report: str
    html: str | None
    plot: str | None
    exit_code: int


@dataclass(frozen=True)
class FormerSensitivity:
    """The smallest shift that could be seen with the champion before: its last check's.

    After a retraining on rows from before and after a shift both kinds of windows are usual. Then
    "no drift" is partly that less can be seen.

    Attributes:
        model_version: That version.
        detectable: The shift of a typical column.
        calibration: Whether its reference's windows said what is usual, or rows were independent.
        rows: The rows that it was seen in; None where a former engine did not keep them.
    """

    model_version: str
    detectable: float
    calibration: str
    rows: int | None = None

    def beside(self, detectable: float, version: str, rows: int) -> str:
        """What can be seen now beside it, as a sentence."""
        change = detectable / self.detectable
        if self.rows and not 1 / ALIKE_ROWS <= rows / self.rows <= ALIKE_ROWS:
            told = f"{rows:,} rows now and {self.rows:,} then, so the two say nothing of the models"
        elif change >= LESS_SENSITIVE:
            told = f"{change:.1f} times as large a shift is needed now"
        else:
            told = "about as much or more can be seen now"
        return (
            f"smallest shift of a typical column that would be seen: {detectable:.2f} with version "
            f"{version}, {self.detectable:.2f} with version {self.model_version} before "
            f"(calibration: {self.calibration}); {told}"
        )


def read_former(reports: Path, kind: str, champion: ModelVersion) -> FormerSensitivity | None:
    """What the last check of the champion before could see of this source."""
    state = read_json(history_file(reports, kind))
    if state.get("model_name") != champion.name:
        return None
    is_former = state.get("model_version") != champion.version
    found = state if is_former else state.get("former")
    if not isinstance(found, Mapping) or not isinstance(found.get("detectable"), float):
        return None
    rows = found.get("rows")
    return FormerSensitivity(
        str(found["model_version"]),
        found["detectable"],
        str(found.get("calibration")),
        rows if isinstance(rows, int) else None,
    )


@dataclass(frozen=True)
class CheckedRows:
    """What was checked, and what was found.

    Attributes:
        rows: The rows and where they come from.
        judged: The verdict.
        key: What the source's history is of.
        champion: The version.
        left_out: Columns of the reference that the rows do not have.
        now: When the check was made.
        estimate: What the newest window's probabilities say about quality.
        former: What could be seen with the champion before; None where that is not known.
        repeated: That the verdict is the last one, since nothing has come.
        importances: What the model's metric lost on test rows when a feature was shuffled.
    """

    rows: CurrentRows
    judged: JudgedSource
    key: HistoryKey
    champion: ModelVersion
    left_out: tuple[str, ...]
    now: datetime
    estimate: QualityEstimate
    former: FormerSensitivity | None = None
    repeated: tuple[str, ...] = ()
    importances: Mapping[str, float] = field(default_factory=dict)

    @property
    def moved(self) -> tuple[WeightedShift, ...]:
        """What moved and matters, the most important first."""
        return weigh(self.decision.columns, self.importances)

    @property
    def decision(self) -> SourceDecision:
        """The decision on the source."""
        return self.judged.decision

    @property
    def notes(self) -> tuple[str, ...]:
        """What people must know beside the verdict."""
        notes = (*self.judged.notes, *self.repeated)
        if self.rows.log is not None and self.rows.log.copies:
            notes = (
                *notes,
                f"{self.rows.log.copies:,} new lines of the log are copies of others, with the "
                "same prediction ids: each is counted once",
            )
        if not self.moved and self.decision.window.shifts:
            notes = (*notes, "what moved is not weighed: no importance of its columns is known")
        if self.left_out:
            notes = (*notes, f"not compared: {', '.join(self.left_out)}")
        window = self.decision.window
        if self.former is not None and window.detectable == window.detectable:
            notes = (
                *notes,
                self.former.beside(window.detectable, self.champion.version, window.rows),
            )
        return notes

    @property
    def window(self) -> str:
        """The newest window, for people."""
        start, end = self.decision.window.start, self.judged.end
        if start is None or end is None:
            return ""
        return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC"


def write_reports(
    settings: Settings, checked: CheckedRows, reference: pa.Table, *, html: bool
) -> DriftReport:
    """The verdict first: a picture that cannot be drawn must not cost it."""
    values = _values(checked)
    file, scored_at = history_file(settings.reports, checked.rows.kind), checked.rows.at
    state = {
        **values,
        **judged_marks(
            read_json(file),
            values["checked_at"],
            # A window of the service may take a month to end; a batch is run, or has stopped.
            is_judged=values["verdict"] != "insufficient"
            and not (checked.repeated and checked.rows.kind == "batch"),
        ),
        "scored_at": None if scored_at == LONG_AGO else scored_at.isoformat(),
        "key": asdict(checked.key),
        "history": stored_history(checked.judged.history),
        "former": asdict(checked.former) if checked.former else None,
    }
    write_verdict(settings, values)
    write_report(file, state)
    write_textfile(settings.reports, settings.model)
    file, page, plot = (settings.reports / f"drift.{suffix}" for suffix in ("json", "html", "png"))
    title = f"{checked.champion.name} version {checked.champion.version}: {checked.rows.source}"
    notes = (*checked.notes, checked.estimate.message)
    drawn = Drawn(title, checked.window, notes, reference, checked.judged.rows)
    write_plot(plot, drawn, checked.decision)
    values["plot"] = settings.shown(plot)
    if html:
        step("Writing Evidently's report")
        shown = settings.monitoring.report_rows
        count = write_html(page, drawn, checked.decision, rows=shown, moved=checked.moved)
        values["evidently"] = {**asdict(count), "message": count.message}
        values["html"] = settings.shown(page)
    write_report(file, values)
    return as_report(settings, values)


def _values(checked: CheckedRows) -> dict[str, Any]:
    decision, rows = checked.decision, checked.rows
    verdict, window = decision.source, decision.window
    detectable = window.detectable
    return {
        "verdict": verdict.verdict,
        "exit_code": verdict.exit_code,
        "message": verdict.message,
        "checked_at": checked.now.isoformat(timespec="seconds"),
        "rows": window.rows,
        "rejected_rows": rows.rejected,
        "training_rows": rows.training_rows,
        "reference_rows": window.reference_rows,
        "model_name": checked.champion.name,
        "model_version": checked.champion.version,
        "source": rows.source,
        "kind": rows.kind,
        "window": checked.window,
        "window_start": window.start.isoformat() if window.start else None,
        "since": verdict.since.isoformat() if verdict.since else None,
        "alarms": verdict.alarms,
        "windows": verdict.windows,
        "calibration": window.calibration,
        "reference_windows": window.windows,
        "p_value": window.p_value,
        "detectable": None if detectable != detectable else detectable,
        "sensitivity": window.sensitivity,
        "estimate": asdict(checked.estimate),
        "notes": checked.notes,
        "columns": [asdict(column) for column in decision.columns],
        "moved_and_matters": [asdict(each) for each in checked.moved],
        "evidently": None,
        "html": None,
        "plot": None,
    }


def judged_marks(
    before: Mapping[str, Any], checked_at: str, *, is_judged: bool
) -> dict[str, str | None]:
    """When a source was judged last; where it never was, since when checks gave no verdict.

    Both outlive a champion: nobody sees drift in a source, whichever version is not judged.

    Args:
        before: The source's state.
        checked_at: When it was checked now.
        is_judged: Whether that was a verdict on rows; too few are none, nor are those of the last
            verdict again.
    """
    judged, since = before.get("judged_at"), before.get("unjudged_since")
    if is_judged:
        judged = checked_at
    if isinstance(judged, str):
        return {"judged_at": judged, "unjudged_since": None}
    return {"judged_at": None, "unjudged_since": since if isinstance(since, str) else checked_at}


def write_verdict(settings: Settings, values: Mapping[str, Any]) -> None:
    """An older verdict's pages must not stand beside the new verdict."""
    for suffix in ("html", "png"):
        (settings.reports / f"drift.{suffix}").unlink(missing_ok=True)
    write_report(settings.reports / "drift.json", values)


def as_report(settings: Settings, values: Mapping[str, Any]) -> DriftReport:
    """What `reports/drift.json` says, for whoever asked for the check."""
    return DriftReport(
        verdict=values["verdict"],
        message=values["message"],
        drifted_columns={
            column["name"]: f"{column['effect']:.2f} (counts from {column['limit']:.2f}): "
            f"{column['reason']}"
            for column in values["columns"]
            if column["drifted"]
        },
        rows=values["rows"],
        window=values["window"],
        since=values["since"] or "",
        rejected_rows=values["rejected_rows"],
        training_rows=values["training_rows"],
        reference_rows=values["reference_rows"],
        source=values["source"],
        model_version=values["model_version"],
        calibration=values["calibration"],
        detectable=values["detectable"],
        estimated_quality=values["estimate"]["message"] if values["estimate"] else "",
        moved_and_matters={
            each["name"]: f"{each['moved']:.2f} times its limit, {each['share']:.0%} of importance"
            for each in values["moved_and_matters"][:TOLD_SHIFTS]
        },
        evidently=values["evidently"]["message"] if values["evidently"] else "",
        notes=values["notes"],
        report=settings.shown(settings.reports / "drift.json"),
        html=values["html"],
        plot=values["plot"],
        exit_code=values["exit_code"],
    )
