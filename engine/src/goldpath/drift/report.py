"""The drift page: our verdict, and below it Evidently's report, which carries the same decision.

Evidently draws the distributions; its default tests are not used, because they change with the
number of rows, test categories against the reference as if it were no sample, and drop missing
values unseen. Each column's plot gets the decision through a registered test that returns it.

Evidently's report is a page with scripts, and shows values that clients sent. It stands in a frame
without rights: it reaches neither our page nor the network.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from goldpath.drift.decision import ColumnDrift, DriftDecision, Verdict
from goldpath.drift.profile import as_table, column_kind
from goldpath.errors import ProjectError
from goldpath.pages.documents import render
from goldpath.reports import write_text

METHODS = {
    (
        "number",
        "value",
    ): "Kolmogorov-Smirnov with false discovery control; Wasserstein distance in sd",
    (
        "category",
        "value",
    ): "two-sample chi-square with false discovery control; Jensen-Shannon distance",
}
LOOKS: dict[Verdict, str] = {"ok": "good", "drift": "bad", "insufficient": "warn"}
SHARE_METHOD = "Fisher's exact test with false discovery control; Jensen-Shannon distance"


class ReportError(ProjectError):
    """The report cannot be drawn; the verdict stands without it."""


def write_html(
    path: Path,
    reference: "pa.Table | pd.DataFrame",
    current: "pa.Table | pd.DataFrame",
    decision: DriftDecision,
    *,
    rows: int,
    title: str,
) -> None:
    """Write the report; an older one stays whole until the new one is.

    Args:
        path: HTML file to write.
        reference: Reference rows.
        current: Current rows.
        decision: What was decided on all rows.
        rows: Rows of each side that the plots show, drawn evenly with a fixed seed.
        title: First line, for example the model and where the rows come from.

    Raises:
        ReportError: If Evidently is not installed.
    """
    # Read when Evidently is imported, hence before. It sends usage data otherwise.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        from evidently import DataDefinition, Dataset, Report
    except ImportError as error:
        raise ReportError(
            f"Evidently cannot be imported: {error}",
            "install the monitoring extra (make setup), or leave the report out: --no-html",
        ) from error

    before, after = plain_frames(reference, current, rows)
    ranked = tuple(sorted(decision.columns, key=lambda column: -column.effect / column.limit))
    drawn = max(len(before), len(after))
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
        snapshot = Report(_metrics(ranked, before, after)).run(
            Dataset.from_pandas(after, data_definition=definition),
            Dataset.from_pandas(before, data_definition=definition),
        )
    write_text(path, render_page(title, decision, ranked, drawn, snapshot.get_html_str(False)))


def render_page(
    title: str,
    decision: DriftDecision,
    ranked: tuple[ColumnDrift, ...],
    drawn: int,
    evidently: str,
) -> str:
    """The page as one document.

    Args:
        title: First line.
        decision: What was decided.
        ranked: Its columns in the order in which they are shown.
        drawn: Rows of each side that the plots show at most.
        evidently: Evidently's report, a document of its own.
    """
    return render(
        "drift.html",
        title=title,
        decision=decision,
        look=LOOKS[decision.verdict],
        columns=ranked,
        drawn=drawn,
        evidently=evidently,
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
    ranked: tuple[ColumnDrift, ...], reference: pd.DataFrame, current: pd.DataFrame
) -> list[Any]:
    """Evidently's metrics: the decision on each column with its plot, and what is missing."""
    from evidently.metrics import MissingValueCount, ValueDrift

    drifts = [
        ValueDrift(column=inert(column.name), method=_register(column), threshold=column.limit)
        for column in ranked
        if inert(column.name) in reference
    ]
    missing = [
        MissingValueCount(column=name)
        for name in reference.columns
        if reference[name].isna().any() or current[name].isna().any()
    ]
    return [*drifts, *missing]


def _register(column: ColumnDrift) -> str:
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


def _answer(column: ColumnDrift) -> Callable[..., tuple[float, bool]]:
    def decided(*_: object) -> tuple[float, bool]:
        return column.effect, column.drifted

    return decided
