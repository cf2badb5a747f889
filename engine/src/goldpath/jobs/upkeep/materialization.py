"""`make materialize`: the online store holds what feature views and window features say now.

Window features are kept for the project's present definitions and for those of each version that an
alias names, since a version is served with its own.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from goldpath.contract import Contract, parse_contract
from goldpath.errors import ProjectError
from goldpath.features.feature_store import FeatureStore
from goldpath.features.online.open_store import open_online_store
from goldpath.features.online.store import OnlineStore
from goldpath.features.views import has_views
from goldpath.features.window.definition import WindowDefinition, parse_window
from goldpath.features.window.learned import definitions_in
from goldpath.features.window.materialized import WrittenTiles, retire_tiles, write_tiles
from goldpath.features.window.online import TilesWritten, view_of, written_views
from goldpath.jobs.every_model import for_every_model
from goldpath.jobs.windows.model_windows import project_contract
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse
from goldpath.presentation import step
from goldpath.privacy.erasure import rows_in_use
from goldpath.registry.layout import CONTRACT_FILE
from goldpath.registry.mlflow_manager import CHAMPION, STAGING, MLflowManager
from goldpath.registry.stages import CHALLENGER
from goldpath.settings import Settings
from goldpath.source_contract import unused_parts

ALIASES = (CHAMPION, CHALLENGER, STAGING)
ONLY_WHOLE = "untouched: --from and --to are for feature views"


@dataclass(frozen=True)
class Materialized:
    """What was written to the online store.

    Attributes:
        online_store: Which one.
        until: The newest event time that could be taken; window features are known until then.
        written: By feature view: rows that are new or changed.
        removed: By feature view: entities whose rows are no longer in the lake.
        windows: By window feature: entities that are new or changed, and those without a row that
            a window reaches.
        models: The same of each further model, by name.
        retired_windows: Window features that neither the project nor a version in use computes;
            they were taken out.
    """

    online_store: str
    until: str
    written: dict[str, int]
    removed: dict[str, int]
    windows: dict[str, WrittenTiles | str] = field(default_factory=dict)
    retired_windows: tuple[str, ...] = ()
    models: Mapping[str, "Materialized"] = field(default_factory=dict)


def materialize_all(
    settings: Settings,
    contract: Contract,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Materialized:
    """As `materialize`, and then the same of each further model.

    Raises:
        ProjectError: The first model's that has one, as `materialize`; the others' rows are up to
            date then.
    """
    models = for_every_model(settings, contract, lambda own, its: materialize(own, its, start, end))
    return replace(models.pop(settings.model), models=models)


def materialize(
    settings: Settings,
    contract: Contract,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Materialized:
    """Bring the online store up to date with the lake.

    Args:
        settings: Where lake, registry and online store are.
        contract: What a row is.
        start: Only feature views, and rows from this event time on.
        end: Only feature views, and rows up to this event time.

    Raises:
        FeatureError: If no view is online, or a source lacks a column.
        LakehouseError: If a view's table does not exist.
        OnlineStoreError: If the store does not answer.
    """
    if unused := unused_parts(settings.root, contract.base):
        step(unused)
    lakehouse, store = open_lakehouse(settings), open_online_store(settings)
    done = _views(settings, contract, lakehouse, store, start, end)
    definitions, is_known = _in_use(settings, contract, store)
    if not definitions and not written_views(store):
        return done
    if start is not None or end is not None:
        names = {each.name: ONLY_WHOLE for each in definitions}
        return Materialized(**{**vars(done), "windows": names})
    with rows_in_use(settings):
        written = write_tiles(lakehouse, store, definitions, _now())
        gone = retire_tiles(lakehouse, store, definitions) if is_known else []
    return Materialized(**{**vars(done), "windows": written, "retired_windows": tuple(gone)})


def materialize_version(settings: Settings, lakehouse: Lakehouse, contract: Contract) -> None:
    """Have the online store know what a version's window features read, before it serves.

    Args:
        settings: Which store.
        lakehouse: Where the sources are.
        contract: The version's.
    """
    definitions = definitions_in(contract)
    if not definitions:
        return
    step(f"windows: bringing {', '.join(each.name for each in definitions)} into the online store")
    with rows_in_use(settings):
        write_tiles(lakehouse, open_online_store(settings), definitions, _now())


def _views(
    settings: Settings,
    contract: Contract,
    lakehouse: Lakehouse,
    store: OnlineStore,
    start: datetime | None,
    end: datetime | None,
) -> Materialized:
    """The feature views; a series without an entity has none, and is asked by its times alone."""
    if contract.forecast is not None and not has_views(contract):
        return Materialized(settings.features.online_store, _now().isoformat(), {}, {})
    views = FeatureStore(settings, contract, lakehouse, store).materialize(start, end)
    return Materialized(views.online_store, views.until, views.written, views.removed)


def _in_use(
    settings: Settings, contract: Contract, store: OnlineStore
) -> tuple[list[WindowDefinition], bool]:
    """The definitions of the project and of the versions that aliases name, and whether all are.

    Where the registry cannot be asked, what the store holds is kept up to date.
    """
    found = {view_of(each): each for each in definitions_in(project_contract(settings, contract))}
    try:
        manager = MLflowManager(settings, contract)
        for alias in ALIASES:
            version = manager.version_by_alias(alias)
            if version is None:
                continue
            theirs = parse_contract(manager.read_text(version.run_id, CONTRACT_FILE))
            found |= {view_of(each): each for each in definitions_in(theirs)}
    except (ProjectError, OSError) as error:
        held = written_views(store)
        if held:
            step(f"windows: the registry cannot be asked, so what is held is kept: {error}")
        for view in held:
            if text := store.read_state(view):
                found[view] = parse_window(json.loads(TilesWritten.parse(text).definition))
        return list(found.values()), False
    return list(found.values()), True


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
