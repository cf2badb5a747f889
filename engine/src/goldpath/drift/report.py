"""The drift page: our verdict, and below it Evidently's report, which carries the same decision.

Evidently draws the distributions; its default tests are not used, because they change with the
number of rows, test categories against the reference as if it were no sample, and drop missing
values unseen. Each column's plot gets the decision through a registered test that returns it.

Evidently's report is a page with scripts, and shows values that clients sent. It stands in a frame
without rights: it reaches neither our page nor the network.
"""

import json
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from goldpath.drift.decision import Verdict
from goldpath.drift.importance import WeightedShift
from goldpath.drift.profile import as_table, column_kind
from goldpath.drift.source_decision import ColumnShift, SourceDecision
from goldpath.errors import ProjectError
from goldpath.pages.documents import render
from goldpath.reports import write_text

METHODS = {
    ("number", "value"): "Cramér-von Mises distance of ranks; shift in standard deviations",
    ("category", "value"): "two-sample chi-square; Jensen-Shannon distance",
}
EVIDENTLY_SHARE = 0.5
"""`drift_share` of Evidently's DataDriftPreset."""

SHOWN_SHIFTS = 10
SHARE_METHOD = "share of rows; Jensen-Shannon distance"
LOOKS: dict[Verdict, str] = {"ok": "good", "drift": "bad", "insufficient": "warn"}
CALIBRATIONS = {
    "windows": "Calibrated by the {windows} windows of the reference: a shift counts if it is "
    "larger than what these differ by, and reaches its limit.",
    "iid": "Calibration: iid. The reference has too few windows to say how much they differ, so "
    "rows are taken as independent of each other and the limits are doubled.",
}


class ReportError(ProjectError):
    """The report cannot be drawn; the verdict stands without it."""


@dataclass(frozen=True)
class Drawn:
    """What a page or a picture shows beside the decision.

    Attributes:
        title: First line, for example the model and where the rows come from.
        window: The newest window, for people; empty where rows were judged as a whole.
        notes: What was left out, or judged otherwise than usual.
        reference: Rows of the reference.
        current: Rows of the newest window, with the same columns.
    """

    title: str
    window: str
    notes: tuple[str, ...]
    reference: pa.Table
    current: pa.Table


@dataclass(frozen=True)
class EvidentlyCount:
    """What Evidently's drift preset counts on the rows that the plots show, by its own defaults.

    It decides nothing here: its tests look at rows as if they were independent, and each column
    alone.

    Attributes:
        drifted: Columns that drifted by its defaults.
        columns: Columns that it looked at.
        share: The former divided by the latter; from 0.5 on its preset says that a dataset drifted.
        rows: Rows of each side at most.
    """

    drifted: int
    columns: int
    share: float
    rows: int

    @property
    def message(self) -> str:
        """It as a sentence."""
        verdict = "drift" if self.share >= EVIDENTLY_SHARE else "no drift"
        return (
            f"Evidently's defaults: {self.drifted} of {self.columns} columns drifted on up to "
            f"{self.rows:,} rows a side, which its preset calls {verdict} of the dataset (from "
            f"{EVIDENTLY_SHARE:.0%} of the columns on)"
        )


def write_html(
    path: Path,
    drawn: Drawn,
    decision: SourceDecision,
    *,
    rows: int,
    moved: tuple[WeightedShift, ...] = (),
) -> EvidentlyCount:
    """Write the report; an older one stays whole until the new one is.

    Args:
        path: HTML file to write.
        drawn: What it shows.
        decision: What was decided on all rows.
        rows: Rows of each side that the plots show, drawn evenly with a fixed seed.
        moved: What moved and matters, the most important first.

    Returns:
        What Evidently counts by its own defaults.

    Raises:
        ReportError: If Evidently is not installed.
    """
    # Read when Evidently is imported, hence before. It sends usage data otherwise.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import DriftedColumnsCount
    except ImportError as error:
        raise ReportError(
            f"Evidently cannot be imported: {error}",
            "install the monitoring extra (make setup), or leave the report out: --no-html",
        ) from error

    before, after = plain_frames(drawn.reference, drawn.current, rows)
    shown = max(len(before), len(after))
    # Evidently divides by the number of values, or raises: such a column is in the table only.
    filled = [
        name for name in before.columns if before[name].notna().any() and after[name].notna().any()
    ]
    before, after = (_inert_frame(frame[filled]) for frame in (before, after))
    numeric = [name for name in before.columns if before[name].dtype == np.float64]
    definition = DataDefinition(
        numerical_columns=numeric,
        categorical_columns=[name for name in before.columns if name not in numeric],
    )
    with warnings.catch_warnings():
        # NumPy's remarks on Evidently's arithmetic help nobody who reads a drift report.
        warnings.simplefilter("ignore")
        current = Dataset.from_pandas(after, data_definition=definition)
        reference = Dataset.from_pandas(before, data_definition=definition)
        snapshot = Report(_metrics(decision.columns, before, after)).run(current, reference)
        own = Report([DriftedColumnsCount()]).run(current, reference)
    counted = json.loads(own.json())["metrics"][0]["value"]
    count = EvidentlyCount(
        int(counted["count"]), len(filled), float(counted["share"]), min(shown, rows)
    )
    page = snapshot.get_html_str(False)
    write_text(path, render_page(drawn, decision, shown, page, count=count, moved=moved))
    return count


def render_page(
    drawn: Drawn,
    decision: SourceDecision,
    shown: int,
    evidently: str,
    *,
    count: EvidentlyCount | None = None,
    moved: tuple[WeightedShift, ...] = (),
) -> str:
    """The page as one document.

    Args:
        drawn: Title, window and notes.
        decision: What was decided.
        shown: Rows of each side that the plots show at most.
        evidently: Evidently's report, a document of its own.
        count: What Evidently counts by its own defaults.
        moved: What moved and matters, the most important first.
    """
    window = decision.window
    return render(
        "drift.html",
        title=drawn.title,
        when=drawn.window,
        notes=drawn.notes,
        decision=decision,
        verdict=decision.source,
        window=window,
        calibration=CALIBRATIONS[window.calibration].format(windows=window.windows),
        look=LOOKS[decision.source.verdict],
        columns=decision.columns,
        shown=shown,
        evidently=evidently,
        count=count,
        moved=moved[:SHOWN_SHIFTS],
    )


def plain_frames(
    reference: "pa.Table | pd.DataFrame", current: "pa.Table | pd.DataFrame", rows: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Evenly drawn rows of both sides: float64 for numbers, text for categories."""
    before, after = as_table(reference), as_table(current)
    numbers = {
        name
        for name in before.column_names
        for column in [before.column(name)]
        if column_kind(column if column.null_count < len(column) else after.column(name))
        == "number"
    }
    return _plain(before, before.column_names, numbers, rows), _plain(
        after, before.column_names, numbers, rows
    )


def _plain(table: pa.Table, names: list[str], numbers: set[str], rows: int) -> pd.DataFrame:
    if table.num_rows > rows:
        drawn = np.random.default_rng(0).choice(table.num_rows, rows, replace=False)
        table = table.take(pa.array(np.sort(drawn)))
    columns = {}
    for name in names:
        kind = pa.float64() if name in numbers else pa.string()
        column = table.column(name).cast(kind, safe=False).to_pandas()
        columns[name] = column.astype("float64" if name in numbers else "object")
    return pd.DataFrame(columns)


def inert(text: str) -> str:
    """The text without what could end the script element in which Evidently embeds it.

    Evidently 0.7.23 writes values as they are, and an open category holds what a client sent.
    """
    return text.replace("<", "\u2039")


def _inert_frame(frame: pd.DataFrame) -> pd.DataFrame:
    columns = {
        inert(name): frame[name]
        if frame[name].dtype == np.float64
        else frame[name].map(inert, na_action="ignore")
        for name in frame.columns
    }
    return pd.DataFrame(columns)


def _metrics(
    columns: tuple[ColumnShift, ...], reference: pd.DataFrame, current: pd.DataFrame
) -> list[Any]:
    """Evidently's metrics: the decision on each column with its plot, and what is missing."""
    from evidently.metrics import MissingValueCount, ValueDrift

    drifts = [
        ValueDrift(column=inert(column.name), method=_register(column), threshold=column.limit)
        for column in columns
        if inert(column.name) in reference
    ]
    missing = [
        MissingValueCount(column=name)
        for name in reference.columns
        if reference[name].isna().any() or current[name].isna().any()
    ]
    return [*drifts, *missing]


def _register(column: ColumnShift) -> str:
    """Register a test with Evidently that gives the decision on this column; returns its name."""
    from evidently.legacy.calculations.stattests import register_stattest
    from evidently.legacy.calculations.stattests.registry import StatTest
    from evidently.legacy.core import ColumnType

    name = f"decided_{column.name}"
    method = METHODS.get((column.kind, column.test or ""), SHARE_METHOD)
    kinds = [ColumnType.Numerical, ColumnType.Categorical]
    register_stattest(
        StatTest(name, f"{method} (counts from {column.limit:.3g})", kinds), _answer(column)
    )
    return name


def _answer(column: ColumnShift) -> Callable[..., tuple[float, bool]]:
    def decided(*_: object) -> tuple[float, bool]:
        return column.effect, column.drifted

    return decided
