"""Evidently's HTML report, carrying our decision instead of its own.

Evidently draws the distributions; its default tests are not used, because they change with the
number of rows, test categories against the reference as if it were no sample, and drop missing
values unseen. Each column's plot gets the decision through a registered test that returns it.
"""

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from goldpath.drift.decision import ColumnDrift, DriftDecision
from goldpath.drift.profile import as_table, column_kind
from goldpath.errors import ProjectError

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
SHARE_METHOD = "Fisher's exact test with false discovery control; Jensen-Shannon distance"
HEADINGS = [
    "column",
    "drift",
    "compared",
    "shift",
    "counts from",
    "p",
    "p, all tests",
    "what changed",
]


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
        snapshot = Report([_decision_container(decision, before, after, title)]).run(
            Dataset.from_pandas(after, data_definition=definition),
            Dataset.from_pandas(before, data_definition=definition),
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".html.part")
    snapshot.save_html(str(unfinished))
    unfinished.replace(path)


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


def _decision_container(
    decision: DriftDecision, reference: pd.DataFrame, current: pd.DataFrame, title: str
) -> Any:
    """Evidently's extension point: a container of its metrics, our own widgets on top."""
    from evidently.core.container import MetricContainer
    from evidently.legacy.renderers.html_widgets import CounterData, counter, table_data
    from evidently.metrics import MissingValueCount, ValueDrift

    ranked = sorted(decision.columns, key=lambda column: -column.effect / column.limit)
    metrics: list[Any] = [
        ValueDrift(column=inert(column.name), method=_register(column), threshold=column.limit)
        for column in ranked
        if inert(column.name) in reference
    ]
    metrics += [
        MissingValueCount(column=name)
        for name in reference.columns
        if reference[name].isna().any() or current[name].isna().any()
    ]
    counters = [
        CounterData("verdict", f"{decision.verdict.upper()}: {decision.message}"),
        CounterData("current rows", f"{decision.rows:,}"),
        CounterData("reference rows", f"{decision.reference_rows:,}"),
    ]
    drawn = max(len(reference), len(current))
    note = f"Decided on all rows; the plots show up to {drawn:,} rows a side."
    independent = "The p-values take rows as independent of each other."

    class DecisionContainer(MetricContainer):  # type: ignore[misc]  # Evidently is untyped here
        def generate_metrics(self, context: Any) -> list[Any]:  # noqa: ARG002  theirs
            return metrics

        def render(self, context: Any, child_widgets: Any = None) -> list[Any]:
            return [
                counter(title=inert(title), counters=counters),
                table_data(
                    title=f"{note} {independent}",
                    column_names=HEADINGS,
                    data=map(_table_row, ranked),
                ),
                *super().render(context, child_widgets),
            ]

    return DecisionContainer()


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


def _table_row(column: ColumnDrift) -> list[str]:
    return [
        inert(column.name),
        "DRIFT" if column.drifted else "no",
        column.test or "nothing",
        f"{column.effect:.3f}",
        f"{column.limit:.3f}",
        f"{column.p_value:.2g}",
        f"{column.q_value:.2g}",
        inert(column.reason),
    ]
