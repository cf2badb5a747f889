"""A lake of a few rows, in memory, with the project's recipes and row features."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from goldpath.contract import EVENT_TIME, Contract, Feature, load_contract
from goldpath.features.event_labels import NO_EVENTS, Events, event_source
from goldpath.features.learned import with_own_features
from goldpath.jobs.data.bronze import with_interval
from goldpath.jobs.data.layers import layers_of, marked_rows
from goldpath.jobs.data.recipes import store_raw
from goldpath.jobs.data.silver import latest_of_each_key
from goldpath.lake.tables import BATCH, REASONS, ROW_NUMBER, SOURCE_FILE
from goldpath.project import Project, running_project
from goldpath.quality.checks import divide_rows, mark_rows
from goldpath.raw_source import EventTime
from goldpath.settings import project_root
from goldpath.source_contract import SourceContract, load_sources
from goldpath.testing.feature_values import RowTestError, shared_engine

if TYPE_CHECKING:
    import ibis
    import pandas as pd
    import pyarrow as pa

Layer: TypeAlias = Literal["bronze", "silver", "quarantine", "gold"]

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
DAYS = 31
_EPOCHS = {"%s": 1, "%s%f": 1_000}


@dataclass(frozen=True)
class TinyLake:
    """A lake of a few rows: what each layer holds of them.

    Attributes:
        contract: Of its rows, with the project's row features.
        given: The raw rows, with what was filled in.
        layers: Each layer as an Ibis expression.
    """

    contract: Contract
    given: tuple[Mapping[str, str | None], ...]
    layers: "Mapping[Layer, ibis.Table]" = field(repr=False)

    def rows(self, layer: Layer) -> list[dict[str, Any]]:
        """The rows of a layer, by time and entity, or in the order given (bronze, quarantine).

        Raises:
            RowTestError: If there is no such layer.
            ProjectDefinitionError: If a recipe of the project cannot be used.
        """
        rows: list[dict[str, Any]] = self._table(layer).to_pylist()
        return rows

    def frame(self, layer: Layer) -> "pd.DataFrame":
        """The same as a pandas frame."""
        frame: pd.DataFrame = self._table(layer).to_pandas()
        return frame

    def _table(self, layer: Layer) -> "pa.Table":
        if layer not in self.layers:
            raise RowTestError(
                f"a tiny lake has no layer {layer!r}", f"it has {', '.join(self.layers)}"
            )
        rows = self.layers[layer]
        order = [EVENT_TIME, self.contract.entity_column] if layer in ("silver", "gold") else []
        found = [name for name in [*order, ROW_NUMBER] if name in rows.columns]
        return shared_engine().to_pyarrow(rows.order_by(found))


def tiny_lake(
    rows: Sequence[Mapping[str, object]],
    *,
    project: Project | None = None,
    contract: Contract | None = None,
    sources: Mapping[str, Sequence[Mapping[str, object]]] | None = None,
) -> TinyLake:
    """Take a few raw rows through bronze, silver and gold, as `data` does, and store nothing.

    A row names the columns that the test is about. The others get a value that the contract
    allows: the contract's example, else the smallest value or the first category; the first class;
    an entity of its own (`row-1`), and a day of January 2024. `given` shows them.

    Args:
        rows: Raw rows, as the source would have them; None is a missing value.
        project: Its recipes and row features; those of the project that this process runs where
            it is not given.
        contract: What a row is; that of the project around the current folder where not given.
        sources: Raw rows of further sources, which window features aggregate and a target of events
            is made from, by the sources' names in `config/sources`; one that is not given has no
            rows. What a row leaves out is filled in as above, but entity, key and time must be
            there. Events are known until `target.observed_until`, else until the newest given one.

    Returns:
        The lake; silver, quarantine and gold are computed when they are asked for.

    Raises:
        RowTestError: If there is no row, or one names a column that the contract does not read.
        ProjectDefinitionError: If a recipe or a row feature cannot be used.

    Example:
        >>> from goldpath import Data, Project
        >>> from goldpath.testing import tiny_lake
        >>> def choose(rows):
        ...     return rows.filter(rows.tenure_months >= 1)
        >>> project = Project(name="customer_churn", data=lambda: Data(gold=choose))
        >>> lake = tiny_lake([{"tenure_months": 0}, {"tenure_months": 30}], project=project)
        >>> [row["tenure_months"] for row in lake.rows("gold")]
        [30]
        >>> lake = tiny_lake([{"contract": "weekly"}], project=project)
        >>> [row["_reasons"] for row in lake.rows("quarantine")]
        ["contract: 'weekly' is not one of its categories"]
    """
    import ibis

    sent = (contract or load_contract(project_root())).request
    own = (project or running_project()).for_dataset(sent.base)
    described = _described(contract, own, is_needed=bool(sent.target.event))
    learned = with_own_features(sent, own, described)
    given = tuple(_filled(row, number, sent) for number, row in enumerate(rows, start=1))
    if not given:
        raise RowTestError("a tiny lake without a row holds nothing", "give rows=[{…}, …]")
    raw = store_raw(ibis.memtable(_raw_table(given)), sent, own.recipes)
    engine = shared_engine()
    bronze = ibis.memtable(engine.to_pyarrow(with_interval(raw, sent, FIRST.replace(tzinfo=None))))
    marked = ibis.memtable(engine.to_pyarrow(marked_rows(bronze, learned, own.recipes)))
    held = _checked_sources(sources or {}, described)
    made = layers_of(marked, learned, own.recipes, held, _events(learned, described, held))
    layers: dict[Layer, ibis.Table] = {
        "bronze": bronze,
        "silver": made.silver,
        "quarantine": made.quarantine,
        "gold": made.gold,
    }
    return TinyLake(learned, given, layers)


def _described(
    contract: Contract | None, project: Project, *, is_needed: bool
) -> tuple[SourceContract, ...]:
    """The further sources of the project around, where features or the target read some."""
    if not (project.window_features or is_needed):
        return ()
    return load_sources(project_root(), contract.base if contract else None)


def _events(
    contract: Contract, described: Sequence[SourceContract], held: "Mapping[str, ibis.Table]"
) -> Events:
    """What the target is made from, known until the newest of the given events."""
    if not contract.target.event:
        return NO_EVENTS
    source = event_source(contract, described)
    if source.dataset not in held:
        return Events(None, source.entity, None)
    rows = held[source.dataset]
    newest = shared_engine().to_pyarrow(rows.aggregate(newest=rows[EVENT_TIME].max()))
    until = contract.target.observed_until or newest["newest"][0].as_py()
    return Events(rows, source.entity, until)


def _checked_sources(
    given: Mapping[str, Sequence[Mapping[str, object]]], described: Sequence[SourceContract]
) -> "dict[str, ibis.Table]":
    """The rows of further sources that fulfil their contracts.

    Raises:
        RowTestError: If a source is unknown, or one of its rows is refused or lacks a column.
    """
    import ibis

    by_name = {each.dataset: each for each in described}
    found: dict[str, ibis.Table] = {}
    for name, rows in given.items():
        if name not in by_name:
            raise RowTestError(
                f"there is no source {name!r} that the features read",
                f"config/sources holds: {', '.join(by_name) or 'none'}",
            )
        source = by_name[name]
        raw = [_filled_source_row(row, number, source) for number, row in enumerate(rows, 1)]
        if not raw:
            continue
        bronze = with_interval(ibis.memtable(_raw_table(raw)), source, FIRST.replace(tzinfo=None))
        divided = divide_rows(mark_rows(bronze, source, require_target=False))
        refused = shared_engine().to_pyarrow(divided.rejected).to_pylist()
        if refused:
            raise RowTestError(
                f"a row of {name} is refused: {refused[0][REASONS]}", f"correct it: {refused[0]}"
            )
        kept = latest_of_each_key(divided.accepted, source)
        found[name] = ibis.memtable(shared_engine().to_pyarrow(kept))
    return found


def _filled_source_row(
    row: Mapping[str, object], number: int, source: SourceContract
) -> dict[str, str | None]:
    needed = [*source.identifiers, *source.event_time.columns]
    known = {*source.raw_columns, *source.ignored}
    wrong = [name for name in row if name not in known]
    if lacking := [name for name in needed if name not in row]:
        raise RowTestError(
            f"row {number} of {source.dataset} lacks {', '.join(lacking)}",
            "say whom it is about, and when",
        )
    if wrong:
        raise RowTestError(
            f"row {number} of {source.dataset} has a column {wrong[0]!r} that {source.file} does "
            "not read",
            f"it reads {', '.join(source.raw_columns)}",
        )
    filled = {each.name: _allowed(each) for each in source.features}
    return {name: _text(value) for name, value in {**filled, **row}.items()}


def _raw_table(rows: Sequence[Mapping[str, str | None]]) -> "pa.Table":
    """The rows as bronze's recipe gets them: texts, each row with its file and its number."""
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)
    texts = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}
    origin = {
        SOURCE_FILE: pa.array(["rows"] * len(rows), pa.string()),
        BATCH: pa.array(["rows"] * len(rows), pa.string()),
        ROW_NUMBER: pa.array(range(1, len(rows) + 1), pa.int64()),
    }
    return pa.table(texts | origin)


def _filled(row: Mapping[str, object], number: int, contract: Contract) -> dict[str, str | None]:
    """A raw row with every column that the contract reads, as text.

    Raises:
        RowTestError: If it has a column that the contract does not read.
    """
    known = dict.fromkeys([*contract.raw_columns, *contract.ignored, *contract.personal])
    for name in row:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise RowTestError(
                f"row {number} has a column {name!r} that the contract does not read"
                + (f"; did you mean {near[0]!r}?" if near else ""),
                f"it reads {', '.join(contract.raw_columns)}",
            )
    filled: dict[str, object] = {each.name: _allowed(each) for each in contract.features}
    target = contract.target
    if contract.has_target and not target.event:
        filled[target.column] = target.classes[0] if target.classes else "0"
    if contract.entity:
        filled[contract.entity] = f"row-{number}"
    if contract.event_time:
        filled |= _time_texts(contract.event_time, FIRST + timedelta(days=(number - 1) % DAYS))
    return {name: _text(value) for name, value in {**filled, **row}.items()}


def _allowed(feature: Feature) -> object:
    """A value that the contract allows: its example, or the first that there is."""
    if feature.example is not None:
        return feature.example
    if not feature.is_numeric:
        return feature.categories[0] if feature.categories else "a"
    if feature.type == "boolean":
        return True
    low, high = feature.domain.limits
    return min(max(0, low), high)


def _time_texts(event_time: EventTime, moment: datetime) -> dict[str, object]:
    """The raw texts of a time, in the contract's format."""
    names = [event_time.column, *event_time.more_columns]
    if event_time.format in _EPOCHS:
        texts = [str(int(moment.timestamp()) * _EPOCHS[event_time.format])]
    elif event_time.format is None:
        texts = [moment.strftime("%Y-%m-%d")]
    else:
        texts = moment.strftime(event_time.format).split(" ", len(names) - 1)
    found: dict[str, object] = dict(zip(names, texts, strict=False))
    return found | ({event_time.hour_column: 0} if event_time.hour_column else {})


def _text(value: object) -> str | None:
    """A value as a source writes it; None is missing."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, datetime) else str(value)
