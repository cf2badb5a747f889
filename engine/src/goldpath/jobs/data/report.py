"""`make data-report`: the data page as a file, and what it counts."""

from dataclasses import dataclass

from goldpath.contract import Contract
from goldpath.features.row.learned import with_row_features
from goldpath.jobs.data.lake_state import read_lake_state
from goldpath.jobs.data.page import render_page
from goldpath.lake.connection import open_lakehouse
from goldpath.privacy.erasure import uses_rows
from goldpath.reports import write_text
from goldpath.settings import Settings

PAGE = "data.html"


@dataclass(frozen=True)
class DataReport:
    """Where the page is, and what it counts.

    Attributes:
        page: The HTML file.
        intervals: Intervals on it.
        columns: Columns on it.
        gold_rows: Rows that training reads.
        unaccounted: Intervals whose rows do not add up; there should be none.
    """

    page: str
    intervals: int
    columns: int
    gold_rows: int
    unaccounted: tuple[str, ...]


@uses_rows
def write_data_report(settings: Settings, contract: Contract) -> DataReport:
    """Write `reports/data.html`: one file, with nothing to load from elsewhere.

    Raises:
        LakehouseError: If there is no data yet.
    """
    state = read_lake_state(open_lakehouse(settings), with_row_features(contract, settings.project))
    page = settings.reports / PAGE
    write_text(page, render_page(state))
    return DataReport(
        page=settings.shown(page),
        intervals=len(state.intervals),
        columns=len(state.columns),
        gold_rows=state.tables["gold"].rows,
        unaccounted=tuple(item.subject for item in state.intervals if not item.adds_up),
    )
