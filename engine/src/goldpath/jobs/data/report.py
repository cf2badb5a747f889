"""`make data-report`: the data page as a file, and what it counts."""

from dataclasses import dataclass

from goldpath.contract import Contract
from goldpath.features.learned import learned_contract
from goldpath.jobs.data.lake_state import read_lake_state
from goldpath.jobs.data.page import render_page
from goldpath.lake.connection import open_lakehouse
from goldpath.privacy.erasure import uses_rows
from goldpath.reports import write_text
from goldpath.settings import Settings
from goldpath.source_contract import load_sources

PAGE = "data.html"


@dataclass(frozen=True)
class DataReport:
    """Where the page is, and what it counts.

    Attributes:
        page: The HTML file.
        intervals: Intervals on it.
        columns: Columns on it.
        gold_rows: Rows that training reads.
        unaccounted: Intervals whose rows do not add up; there should be none. Those of a further
            source have its name in front.
        sources: Rows in silver of each further source.
        broken_sources: Those that the last refresh left as they were, with what is wrong.
    """

    page: str
    intervals: int
    columns: int
    gold_rows: int
    unaccounted: tuple[str, ...]
    sources: dict[str, int]
    broken_sources: dict[str, str]


@uses_rows
def write_data_report(settings: Settings, contract: Contract) -> DataReport:
    """Write `reports/data.html`: one file, with nothing to load from elsewhere.

    Raises:
        LakehouseError: If there is no data yet.
    """
    sources = load_sources(settings.root, contract.base)
    learned = learned_contract(settings, contract)
    state = read_lake_state(open_lakehouse(settings), learned, sources)
    page = settings.reports / PAGE
    write_text(page, render_page(state))
    return DataReport(
        page=settings.shown(page),
        intervals=len(state.intervals),
        columns=len(state.columns),
        gold_rows=state.tables["gold"].rows,
        unaccounted=(
            *(item.subject for item in state.intervals if not item.adds_up),
            *(
                f"{source.name} {item.subject}"
                for source in state.sources
                for item in source.intervals
                if not item.adds_up
            ),
        ),
        sources={source.name: source.silver_rows for source in state.sources},
        broken_sources={source.name: source.fault for source in state.sources if source.fault},
    )
