"""The window columns that a version computes, for rows of gold, of a file or of a frame.

A version computes its own: where gold holds columns of another formula, the values come from the
sources' rows in the lake.
"""

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import ProjectError
from goldpath.features.learned import learned_contract
from goldpath.features.window.lake_columns import with_window_columns
from goldpath.features.window.learned import definitions_in, names_in
from goldpath.lake.lakehouse import Lakehouse, LakehouseError, Snapshot, TableName
from goldpath.lake.run_log import is_same_contract, latest_by_subject, read_records
from goldpath.learning.predictions import Predictions
from goldpath.learning.scoring import LoadedModel
from goldpath.presentation import step
from goldpath.settings import Settings

if TYPE_CHECKING:
    import ibis
    import pandas as pd
    import pyarrow as pa

_PLACE = "win_place__"


def source_rows_of(lakehouse: Lakehouse, contract: Contract) -> "dict[str, ibis.Table]":
    """All rows of the sources that a contract's window features read, as the lake has them now.

    A version's sources are read by their names: the project may have taken one out of
    `config/sources` since, and its rows are still in the lake.
    """
    names = dict.fromkeys(each.source for each in definitions_in(contract))
    tables = {name: TableName("silver", name) for name in names}
    return {
        name: lakehouse.read(table) for name, table in tables.items() if lakehouse.exists(table)
    }


def gold_holds_windows(
    lakehouse: Lakehouse, model: Contract, learned: Contract, snapshot: Snapshot
) -> bool:
    """Whether the columns of gold are what a contract's window features compute.

    Args:
        lakehouse: Where gold is.
        model: The contract that is asked for.
        learned: The project's present one.
        snapshot: Of gold; after a rollback it may be of a time when the formulas were others.
    """
    now = {each.name: each.window for each in learned.window_features}
    if any(now.get(each.name) != each.window for each in model.window_features):
        return False
    return not model.window_features or _is_made_with(lakehouse, learned, snapshot)


def _is_made_with(lakehouse: Lakehouse, learned: Contract, snapshot: Snapshot) -> bool:
    """Whether all of gold was made with the project's present contract."""
    committed = snapshot.committed_at
    if committed.tzinfo is not None:
        committed = committed.astimezone(UTC).replace(tzinfo=None)
    records = read_records(lakehouse, learned, "gold")
    made = latest_by_subject(each for each in records if each.started_at <= committed)
    return all(is_same_contract(learned, each.fingerprint) for each in made.values())


def require_windows_of_gold(lakehouse: Lakehouse, learned: Contract, snapshot: Snapshot) -> None:
    """Refuse to learn from columns, or from labels of events, that another formula made.

    Raises:
        LakehouseError: If gold is not made with the contract's window features and target.
    """
    if not gold_holds_windows(lakehouse, learned, learned, snapshot):
        names = ", ".join(names_in(learned))
        raise LakehouseError(
            f"gold was made with other features than the project has now: {names}",
            "make data; after a rollback, name the days: data --from … --to …",
        )
    if learned.target.event and not _is_made_with(lakehouse, learned, snapshot):
        raise LakehouseError(
            f"gold was made with another contract than {learned.file} holds now, so its labels "
            f"({learned.target.column}) may be other ones",
            "make data; after a rollback, name the days: data --from … --to …",
        )


def table_with_windows(lakehouse: Lakehouse, rows: "pa.Table", contract: Contract) -> "pa.Table":
    """Rows with the window columns of a contract, as of each row's time.

    Args:
        lakehouse: Where the sources are.
        rows: With entity and event time; own columns of these names are replaced.
        contract: Whose window columns.

    Raises:
        LakehouseError: If entity or event time are missing.
        FeatureError: If a source lacks a column.
    """
    import pyarrow as pa

    if not contract.window_features:
        return rows
    who, wanted = _asked(contract), names_in(contract)
    if lacking := [name for name in who if name not in rows.column_names]:
        raise LakehouseError(
            f"the rows lack {' and '.join(lacking)}, and the model takes what the sources say of "
            f"an entity at a time: {', '.join(wanted)}",
            "give the rows with whom they are about, and when",
        )
    times = rows[EVENT_TIME].cast(pa.timestamp("us"))
    _say_beyond(lakehouse, times, contract)
    owner = {name: rows[name].cast(pa.string()) for name in who if name != EVENT_TIME}
    numbers = {_PLACE: pa.array(range(rows.num_rows), pa.int64())}
    asked = pa.table({**owner, EVENT_TIME: times, **numbers})
    with lakehouse.staged(asked) as questions:
        answers = with_window_columns(questions, contract, source_rows_of(lakehouse, contract))
        found = lakehouse.collect(answers).sort_by(_PLACE)
    kept = rows.drop_columns([name for name in wanted if name in rows.column_names])
    for name in wanted:
        kept = kept.append_column(name, found[name])
    return kept


def _say_beyond(lakehouse: Lakehouse, times: "pa.ChunkedArray", contract: Contract) -> None:
    """Say which rows a forecast's horizon does not reach: the service would refuse them."""
    import pyarrow.compute as pc

    forecast, table = contract.forecast, TableName("silver", contract.dataset)
    if forecast is None or not lakehouse.exists(table):
        return
    known = lakehouse.read(table)
    newest = lakehouse.collect(known.aggregate(newest=known[EVENT_TIME].max()))["newest"][0].as_py()
    if newest is None:
        return
    reach = newest + timedelta(seconds=forecast.horizon_seconds)
    beyond = times.filter(pc.greater(times, reach))
    if len(beyond):
        first = pc.min(beyond).as_py()
        step(
            f"windows: {len(beyond):,} of {len(times):,} rows, from {first:%F %T} on, are more "
            f"than {forecast.horizon} (forecast.horizon) after the newest row of "
            f"{contract.dataset}, {newest:%F %T}: what they take of the series is not known yet "
            "and is missing, so their predictions are worth little; bring newer rows (make data), "
            "or leave them out"
        )


def frame_with_windows(
    lakehouse: Lakehouse, rows: "pd.DataFrame", contract: Contract
) -> "pd.DataFrame":
    """The same for a frame."""
    import pyarrow as pa

    who = [name for name in _asked(contract) if name in rows.columns]
    found = table_with_windows(lakehouse, pa.Table.from_pandas(rows[who]), contract).to_pandas()
    return rows.assign(**{name: found[name].to_numpy() for name in names_in(contract)})


def _asked(contract: Contract) -> list[str]:
    """What a row must say of itself: when, and whom it is about, unless the rows are one series."""
    has_owners = any(each.entity for each in definitions_in(contract))
    return [*([contract.entity_column] if has_owners else []), EVENT_TIME]


@dataclass(frozen=True)
class WindowedModel(LoadedModel):
    """A model that takes its own window columns from the lake, whatever its rows bring along."""

    lakehouse: Any = None

    def predict(self, rows: Any) -> Predictions:
        """Score rows of gold, of which each has its entity and its time."""
        return super().predict(frame_with_windows(self.lakehouse, rows, self.contract))


def with_own_windows(
    model: LoadedModel | None, rows: Contract, lakehouse: Lakehouse
) -> LoadedModel | None:
    """A version that is to score rows that were made for another contract.

    Args:
        model: The version.
        rows: The contract that the rows were made with.
        lakehouse: Where the sources are.
    """
    if model is None:
        return None
    held = {each.name: each.window for each in rows.window_features}
    if all(held.get(each.name) == each.window for each in model.contract.window_features):
        return model
    return WindowedModel(model.pipeline, model.contract, model.version, model.background, lakehouse)


def project_contract(settings: Settings, contract: Contract) -> Contract:
    """The project's present contract; that of the request where its features cannot be used."""
    try:
        return learned_contract(settings, contract)
    except ProjectError:
        return contract
