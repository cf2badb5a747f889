"""Everything that is held about a person, wherever it is held; read by `forget` and by `export`."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from goldpath.contract import Contract
from goldpath.domain import PADDING
from goldpath.errors import ProjectError
from goldpath.features.online.open_store import open_online_store
from goldpath.features.online.store import OnlineRow
from goldpath.features.views import FeatureError, FeatureView, load_views
from goldpath.features.window.online import written_views
from goldpath.jobs.every_model import further_contracts
from goldpath.jobs.privacy.person_feedback import PersonFeedback, find_feedback
from goldpath.lake.lakehouse import Lakehouse
from goldpath.models.main_contract import inherited_from
from goldpath.privacy.person_rows import Holding, PersonTables, find_rows, tables_of_person
from goldpath.row_contract import RowContract
from goldpath.serving.log.erasure import holds_lines
from goldpath.settings import Settings, deleted_settings
from goldpath.source_contract import load_sources
from goldpath.sources.read import list_parts, open_part

# Pages for people may show a few rows; the JSON reports hold figures only.
PAGES = "*.html"


@dataclass(frozen=True)
class HeldByModel:
    """What is held about a person because of one model.

    Attributes:
        settings: The model's: its folders and its views.
        contract: Its contract.
        online: The online store's row, by feature view.
        log_lines: Lines of the prediction log.
        feedback: Labels of the person's predictions.
    """

    settings: Settings
    contract: Contract
    online: dict[str, OnlineRow]
    log_lines: int
    feedback: PersonFeedback


@dataclass(frozen=True)
class Held:
    """What is held about a person.

    Attributes:
        tables: The tables that were searched, and those that were not.
        holdings: Each searched table's rows and snapshots.
        models: What each model's log and its views of the online store hold, the main one first and
            those without a folder in `models/` last.
        pages: Reports in which the id stands.
        sources: What the sources still hold: rows by file, or why that is not known.
    """

    tables: PersonTables
    holdings: tuple[Holding, ...]
    models: tuple[HeldByModel, ...]
    pages: tuple[Path, ...]
    sources: dict[str, str]

    @property
    def online(self) -> dict[str, OnlineRow]:
        """The online store's row, by feature view; a further model's with its name."""
        return {
            f"{view}@{each.settings.model}" if each.settings.model else view: row
            for each in self.models
            for view, row in each.online.items()
        }

    @property
    def log_lines(self) -> int:
        """Lines of the prediction logs."""
        return sum(each.log_lines for each in self.models)

    @property
    def labels(self) -> int:
        """Labels of the person's predictions."""
        return sum(each.feedback.count for each in self.models)

    @property
    def is_empty(self) -> bool:
        """Whether the project itself holds nothing."""
        in_lake = any(found.rows or found.snapshots for found in self.holdings)
        return not (in_lake or self.online or self.log_lines or self.labels or self.pages)


def find_person(settings: Settings, contract: Contract, lakehouse: Lakehouse, entity: str) -> Held:
    """Look for a person in the lake and its snapshots, the online store, the log and the source.

    Raises:
        OnlineStoreError: If the online store does not answer.
        ProjectError: If a further model's files are wrong, so that nobody knows what it holds.
    """
    sources = load_sources(settings.root, contract.base)
    models = [(settings, contract), *_further(settings)]
    views = [view.source for each in models for view in person_views(*each)]
    datasets = [each.dataset for _, each in models]
    models += _deleted(settings, contract)
    tables = tables_of_person(lakehouse, contract, sources, views, datasets)
    return Held(
        tables=tables,
        holdings=tuple(find_rows(lakehouse, *place, entity) for place in tables.searched.items()),
        models=tuple(_of_model(*each, lakehouse, entity) for each in models),
        pages=tuple(pages_with(settings, entity)),
        sources={
            file: rows
            for each in (contract, *sources)
            for file, rows in _rows_in_source(settings, each, entity).items()
        },
    )


def _further(settings: Settings) -> list[tuple[Settings, Contract]]:
    """The further models, each of which must be known: what it holds is the person's, too."""
    try:
        return further_contracts(settings)
    except ProjectError as error:
        error.message += "; nobody is forgotten or exported until this is corrected"
        raise


def _deleted(settings: Settings, contract: Contract) -> list[tuple[Settings, Contract]]:
    """Models that have logs and no folder any more, with the dataset that such a model has.

    Their tables are not searched but named: nobody knows what their columns were.
    """
    return [
        (each, contract.with_parts(dataset=inherited_from(contract, each.model)["dataset"]))
        for each in deleted_settings(settings)
    ]


def _of_model(
    settings: Settings, contract: Contract, lakehouse: Lakehouse, entity: str
) -> HeldByModel:
    return HeldByModel(
        settings=settings,
        contract=contract,
        online=online_rows(settings, contract, entity),
        log_lines=holds_lines(settings.root / settings.serving.prediction_log, entity),
        feedback=find_feedback(settings, contract, lakehouse, entity),
    )


def person_views(settings: Settings, contract: Contract) -> tuple[FeatureView, ...]:
    """The feature views whose entity is the contract's."""
    try:
        views = load_views(settings, contract)
    except FeatureError:
        return ()  # a contract without a time has no features to look up
    return tuple(view for view in views if view.entity == contract.entity)


def online_rows(settings: Settings, contract: Contract, entity: str) -> dict[str, OnlineRow]:
    """What the online store holds about a person, by feature view and window feature."""
    store = open_online_store(settings)
    found = {
        view.name: store.read(view.name, [entity])[0]
        for view in person_views(settings, contract)
        if store.count(view.name)
    }
    windows = {view: store.read(view, [entity])[0] for view in written_views(store)}
    return {name: row for name, row in (found | windows).items() if row is not None}


def pages_with(settings: Settings, entity: str) -> Iterator[Path]:
    """Reports for people in which the id stands, escaped or not."""
    for page in sorted(settings.reports.rglob(PAGES)):
        text = page.read_text(encoding="utf-8", errors="replace")
        # A page's text is escaped: O'Neil stands in it as O&#39;Neil.
        if entity in text or entity in html.unescape(text):
            yield page


def _rows_in_source(settings: Settings, contract: RowContract, entity: str) -> dict[str, str]:
    found = {}
    try:
        for part in list_parts(contract.source, settings.root):
            with open_part(part) as reader:
                rows = sum(_rows_in(batch, str(contract.entity), entity) for batch in reader)
            if rows:
                found[part.shown] = f"{rows} rows"
    except ProjectError as error:
        found[contract.source.name] = f"not known: {error.message}"
    return found


def _rows_in(batch: pa.RecordBatch, column: str, entity: str) -> int:
    if column not in batch.schema.names:
        return 0
    trimmed = pc.utf8_trim(batch.column(column), characters=PADDING)
    return int(pc.sum(pc.equal(trimmed, entity)).as_py() or 0)
