"""The data page as a file (`make data-report`), and the figures that each refresh leaves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from goldpath.contract import EVENT_TIME, Contract
from goldpath.features.learned import learned_contract
from goldpath.jobs.data.lake_state import newest_time, read_lake_state
from goldpath.jobs.data.page import render_page
from goldpath.jobs.every_model import further_contracts
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, TableName
from goldpath.lake.tables import gold_table, silver_table
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.reports import write_report, write_text
from goldpath.serving.metrics.reports import SOURCE_FIGURES, read_json, write_textfile
from goldpath.settings import Settings
from goldpath.source_contract import SourceContract, load_sources

if TYPE_CHECKING:
    from goldpath.jobs.data.refresh import DataResult
    from goldpath.jobs.data.source_tables import SourceResult

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


def write_figures(settings: Settings, contract: Contract, result: "DataResult") -> None:
    """Leave what a refresh counted as `reports/data-sources/NAME.json`, which `/metrics` shows.

    A source that is broken keeps the figures of its last refresh that ended well, and says so. The
    files of sources that the project no longer has are deleted.

    Args:
        settings: Those of the model that was refreshed.
        contract: Its contract.
        result: Of it and, for a main model, of each further one.
    """
    with _refresh_is_done():
        _write_model(settings, contract, result)
        for own, its in further_contracts(settings) if result.models else ():
            _write_model(own, its, result.models[own.model])


def write_source_figures(
    settings: Settings, contract: SourceContract, result: "SourceResult"
) -> None:
    """The same after a further source alone was refreshed."""
    with _refresh_is_done():
        _write(settings, contract.dataset, silver_table(contract), result)
        write_textfile(settings.reports, settings.model)


@contextmanager
def _refresh_is_done() -> Iterator[None]:
    """Figures that cannot be written are said; the tables are up to date without them."""
    try:
        yield
    except (OSError, LakehouseError) as error:
        step(f"WARNING: Prometheus is not told what this refresh counted: {error}")


def _write_model(settings: Settings, contract: Contract, result: "DataResult") -> None:
    """A model's own table, and the further sources with the main model's."""
    folder = settings.reports / SOURCE_FIGURES
    sources = () if settings.model else load_sources(settings.root, contract.base)
    known = {contract.dataset, *(each.dataset for each in sources)}
    for gone in [file for file in folder.glob("*.json") if file.stem not in known]:
        gone.unlink(missing_ok=True)
    table = gold_table(contract) if contract.has_time else None
    gold = {"gold": result.silver_rows - result.left_out_rows}
    _write(settings, contract.dataset, table, result, gold)
    for each in sources:
        if each.dataset in result.sources:
            _write(settings, each.dataset, silver_table(each), result.sources[each.dataset])
        elif fault := result.broken_sources.get(each.dataset):
            file = folder / f"{each.dataset}.json"
            write_report(file, {**read_json(file), "fault": fault})
    write_textfile(settings.reports, settings.model)


def _write(
    settings: Settings,
    name: str,
    table: TableName | None,
    result: "DataResult | SourceResult",
    more: Mapping[str, int] | None = None,
) -> None:
    file = settings.reports / SOURCE_FIGURES / f"{name}.json"
    before = read_json(file)
    values: dict[str, Any] = {
        "refreshed_at": datetime.now(UTC).isoformat(),
        "rows": {
            "bronze": result.bronze_rows,
            "silver": result.silver_rows,
            "quarantined": result.quarantined_rows,
            "duplicate": result.duplicate_rows,
            **(more or {}),
        },
        "fault": "",
    }
    if table is not None:
        values |= _newest_event(open_lakehouse(settings), table, before)
    write_report(file, values)


def _newest_event(
    lakehouse: Lakehouse, table: TableName, before: Mapping[str, Any]
) -> Mapping[str, Any]:
    """The newest event, and the snapshot that has it: none of a table that was never made.

    On AWS a query costs money, so a snapshot that was looked at is not looked at again. What the
    refresh itself recomputed would not tell: an earlier one may have failed after its tables.
    """
    current = lakehouse.snapshot(table)
    if current is None:
        return {"newest_event": None, "snapshot": None}
    if before.get("snapshot") == current.snapshot_id:
        return {key: before.get(key) for key in ("newest_event", "snapshot")}
    newest = newest_time(lakehouse, table, EVENT_TIME)
    return {
        "newest_event": newest.replace(tzinfo=UTC).isoformat() if newest else None,
        "snapshot": current.snapshot_id,
    }
