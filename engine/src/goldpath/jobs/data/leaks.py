"""Whether later rows change earlier ones: the lake's own rows, computed with and without the later.

A value that a model learns from must be what was known at its row's time. A recipe that looks at
other rows (a mean of the whole table, a rank, the target's mean of a category) gives a row another
value once later rows are there. So silver and gold are computed anew from bronze, once from all
rows and once for each of a few times from the rows before it alone, and the earlier rows compared.
Window features get the sources' rows in the same way: all of them, and those before the time. Of a
target of events the labels that were known at the time must be the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any

from goldpath.contract import EVENT_TIME, Contract
from goldpath.domain import PADDING
from goldpath.errors import NotEnoughDataError
from goldpath.features.event_labels import NO_EVENTS, Events
from goldpath.features.learned import learned_contract
from goldpath.features.window.learned import definitions_in
from goldpath.jobs.data.layers import Layers, layers_of, marked_rows
from goldpath.jobs.data.recipes import store_raw
from goldpath.jobs.labels.label_events import LabelEvents, label_events
from goldpath.jobs.windows.model_windows import source_rows_of
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.engine import connect_duckdb
from goldpath.lake.lakehouse import Lakehouse
from goldpath.lake.tables import BATCH, ROW_NUMBER, SOURCE_FILE, bronze_table
from goldpath.presentation import show, step
from goldpath.privacy.erasure import uses_rows
from goldpath.project import Data
from goldpath.quality.checks import typed_columns
from goldpath.settings import Settings
from goldpath.source_contract import load_sources

if TYPE_CHECKING:
    import ibis
    import pandas as pd
    import pyarrow as pa

MOST_ROWS = 100_000
CUTS = 3
SEED = 7
TOLERANCE = 1e-9
"""Relative: a sum over the same rows may differ in its last digits."""

ROW = "(the row itself)"
_POSITION = "_position"
_ENTITY = "_entity"


@dataclass(frozen=True)
class Leak:
    """A column whose earlier values depend on later rows.

    Attributes:
        step: What computes it: bronze, silver or gold (its recipe, or a feature).
        column: The column; `(the row itself)` where later rows decide whether the row is there.
        rows: Rows that differ, at the cut with the most of them; None for bronze, whose recipe is
            judged by its formula.
        of_rows: Rows that were compared there.
        example: One of them.
    """

    step: str
    column: str
    rows: int | None
    of_rows: int
    example: str


@dataclass(frozen=True)
class LeakCheck:
    """What was compared, and what depends on later rows.

    Attributes:
        verdict: The answer in a sentence.
        sampled: Which rows of bronze were looked at.
        cuts: The times before which rows were computed alone.
        leaks: What differed.
    """

    verdict: str
    sampled: str
    cuts: tuple[str, ...]
    leaks: tuple[Leak, ...]

    @property
    def exit_code(self) -> int:
        """1 where something leaks."""
        return 1 if self.leaks else 0


@uses_rows
def check_leaks(
    settings: Settings, contract: Contract, most_rows: int = MOST_ROWS, cuts: int = CUTS
) -> LeakCheck:
    """Compare silver and gold of earlier rows, computed with the later rows and without them.

    Rows without a time are cut in the order of their entity: no row may change another.

    Args:
        settings: Where the lake is, and the project's recipes and row features.
        contract: What a row is.
        most_rows: Of a larger table every n-th row of each file is looked at.
        cuts: How many times rows are computed without those after a time.

    Raises:
        NotEnoughDataError: If bronze is missing, or has no two rows with different times.
        ProjectDefinitionError: If a recipe or a row feature cannot be used.
    """
    learned = learned_contract(settings, contract)
    recipes = settings.project.recipes
    lakehouse = open_lakehouse(settings)
    rows, sampled = _sampled(lakehouse, contract, most_rows)
    labels = label_events(lakehouse, learned, load_sources(settings.root, contract.base))
    sources = _source_rows(lakehouse, learned, rows, labels)
    step(f"leaks: {sampled}")
    engine = connect_duckdb(settings.lake.memory)
    engine.raw_sql("SET threads = 1")  # so that sums are added in one order
    order = EVENT_TIME if contract.has_time else contract.entity_column
    try:
        computation = _Computation(engine, rows, learned, recipes, sources, labels)
        marked, full = computation.of_all()
        moments = typed_columns(marked)[order].to_pandas()
        positions = marked[_POSITION].to_pandas()
        found = [*_in_bronze(learned, recipes, rows.num_rows)]
        moments_of_cuts = _cuts(moments, cuts)
        for cut in moments_of_cuts:
            step(f"leaks: rows before {cut} alone")
            earlier = positions[moments.isna() | (moments < cut)].sort_values()
            alone = computation.of(earlier.to_list(), cut)
            before = [_until(each, order, cut, set(earlier)) for each in (full, alone)]
            found += _differences(before[0], before[1], learned, order)
    finally:
        engine.disconnect()
    leaks = tuple(_worst(found))
    names = ", ".join(f"{each.column} ({each.step})" for each in leaks)
    verdict = f"later rows change {names}" if leaks else "no value depends on later rows"
    return LeakCheck(verdict, sampled, tuple(map(str, moments_of_cuts)), leaks)


def _sampled(lakehouse: Lakehouse, contract: Contract, most_rows: int) -> "tuple[pa.Table, str]":
    """Bronze rows, each with its position, and which they are."""
    import pyarrow as pa

    table = bronze_table(contract)
    snapshot = lakehouse.snapshot(table) if lakehouse.exists(table) else None
    if snapshot is None or snapshot.rows == 0:
        raise NotEnoughDataError(f"{table} holds no rows yet", "make data")
    each_nth = -(-snapshot.rows // most_rows)
    rows = lakehouse.read(table, snapshot.snapshot_id)
    said = f"all {snapshot.rows:,} rows of {table}"
    if each_nth > 1:
        rows = rows.filter(rows[ROW_NUMBER] % each_nth == 0)
        said = f"one row in {each_nth} of each file, of {snapshot.rows:,} rows of {table}"
    found = lakehouse.collect(rows)
    return found.append_column(_POSITION, pa.array(range(found.num_rows), pa.int64())), said


def _source_rows(
    lakehouse: Lakehouse, learned: Contract, rows: "pa.Table", labels: LabelEvents | None
) -> "dict[str, pa.Table]":
    """The rows of further sources that features and target may see, of the sampled entities."""
    import pyarrow as pa
    import pyarrow.compute as pc

    # The main table's own rows are those that are sampled, and silver is made of them anew.
    owners = {
        each.source: each.entity
        for each in definitions_in(learned)
        if each.source != learned.dataset
    }
    tables = source_rows_of(lakehouse, learned)
    if labels is not None:
        owners[labels.source.dataset] = labels.source.entity
        events = labels.of(lakehouse).rows
        tables |= {labels.source.dataset: events} if events is not None else {}
    if not owners:
        return {}
    texts = pc.utf8_trim(rows[learned.entity_column].cast(pa.string()), characters=PADDING)
    found: dict[str, pa.Table] = {}
    with lakehouse.staged(pa.table({_ENTITY: pc.unique(texts)})) as asked:
        for name, entity in owners.items():
            if name in tables:
                held = tables[name]
                of_these = held.semi_join(asked, held[entity] == asked[_ENTITY])
                found[name] = lakehouse.collect(of_these)
    return found


class _Computation:
    """Silver and gold of bronze rows; the statements are written once, which takes longest."""

    def __init__(
        self,
        engine: "ibis.BaseBackend",
        rows: "pa.Table",
        learned: Contract,
        recipes: Data,
        sources: "Mapping[str, pa.Table]",
        labels: LabelEvents | None,
    ) -> None:
        self._engine, self._rows, self._sources = engine, rows, sources
        self._known_until = labels.until if labels else None
        for name, held in sources.items():
            engine.create_table(f"source_{name}", held)
        engine.create_table("bronze_rows", rows)
        self._mark = engine.compile(marked_rows(engine.table("bronze_rows"), learned, recipes))
        self._store_marked()
        tables = {name: engine.table(f"source_{name}") for name in sources}
        events = self._events(labels, tables) if labels else NO_EVENTS
        layers: Layers = layers_of(engine.table("marked_rows"), learned, recipes, tables, events)
        self._layers = [engine.compile(each) for each in (layers.silver, layers.gold)]

    def of_all(self) -> "tuple[pa.Table, _Frames]":
        """All rows as the contract reads them; their silver and gold."""
        return self._engine.table("marked_rows").to_pyarrow(), self._frames()

    def of(self, positions: Sequence[int], cut: Any) -> "_Frames":
        """Silver and gold of some of the rows, with the sources' rows before a time."""
        import pyarrow.compute as pc

        for name, held in self._sources.items():
            earlier = held.filter(pc.less(held[EVENT_TIME], cut.to_pydatetime()))
            self._engine.create_table(f"source_{name}", earlier, overwrite=True)
        if self._known_until is not None:
            self._store_known_until(min(self._known_until, cut.to_pydatetime()))
        self._engine.create_table("bronze_rows", self._rows.take(positions), overwrite=True)
        self._store_marked()
        return self._frames()

    def _events(self, labels: LabelEvents, tables: "Mapping[str, ibis.Table]") -> Events:
        """The events, known until a time that a table holds: the statements stay the same."""
        if labels.source.dataset not in tables or self._known_until is None:
            return NO_EVENTS
        self._store_known_until(self._known_until)
        until = self._engine.table("known_until")["until"].max().as_scalar()
        return Events(tables[labels.source.dataset], labels.source.entity, until)

    def _store_known_until(self, until: datetime) -> None:
        import pyarrow as pa

        held = pa.table({"until": pa.array([until], pa.timestamp("us"))})
        self._engine.create_table("known_until", held, overwrite=True)

    def _store_marked(self) -> None:
        self._engine.raw_sql(f"CREATE OR REPLACE TABLE marked_rows AS {self._mark}")

    def _frames(self) -> "_Frames":
        found = [self._engine.con.sql(each).to_arrow_table() for each in self._layers]
        return _Frames(*(each.to_pandas() for each in found))


@dataclass(frozen=True)
class _Frames:
    """Silver and gold as frames."""

    silver: "pd.DataFrame"
    gold: "pd.DataFrame"


def _cuts(moments: "pd.Series[Any]", count: int) -> list[Any]:
    """Times at random among the rows', the ends left out."""
    known = sorted(moments.dropna().unique())
    if len(known) < 2:
        raise NotEnoughDataError(
            f"the lake has rows of {len(known)} different times; nothing is later than another",
            "take in more rows: make data",
        )
    draw = Random(SEED)  # noqa: S311  a sample
    places = {max(1, int(draw.uniform(0.1, 0.9) * len(known))) for _ in range(count)}
    return [known[place] for place in sorted(places)]


def _until(frames: _Frames, order: str, cut: Any, positions: set[int]) -> _Frames:
    """The rows before a cut: of silver by their position, of gold by their time."""
    silver, gold = frames.silver, frames.gold
    return _Frames(silver[silver[_POSITION].isin(positions)], gold[gold[order] < cut])


def _differences(full: _Frames, alone: _Frames, contract: Contract, order: str) -> Iterator[Leak]:
    yield from _compared(full.silver, alone.silver, [_POSITION], "silver", contract)
    key = list(dict.fromkeys([order, contract.entity_column]))
    yield from _compared(full.gold, alone.gold, key, "gold", contract)


def _compared(
    full: "pd.DataFrame", alone: "pd.DataFrame", key: list[str], step: str, contract: Contract
) -> Iterator[Leak]:
    """The columns of a step that differ between the same rows."""
    # Rows that nothing tells apart, such as those of one entity without a time, are left out.
    full, alone = (each.drop_duplicates(key, keep=False) for each in (full, alone))
    both = full.merge(alone, on=key, how="outer", suffixes=("", " alone"), indicator=True)
    once = both[both["_merge"] != "both"]
    subject = [each for each in (contract.entity_column, EVENT_TIME) if each in full.columns]
    if len(once):
        first = once.iloc[0]
        there = first["_merge"] == "left_only"
        who = " at ".join(
            str(first[name] if there or name in key else first[f"{name} alone"]) for name in subject
        )
        said = "only with the later rows" if there else "only without the later rows"
        yield Leak(step, ROW, len(once), len(both), f"{who}: {said}")
    both = both[both["_merge"] == "both"]
    for name in full.columns:
        if name in key or name.startswith("_"):
            continue
        differs = _differs(both[name], both[f"{name} alone"])
        if contract.target.event and name == contract.target.column:
            differs &= both[f"{name} alone"].notna()  # a label that was not known yet is no leak
        if not differs.any():
            continue
        first = both[differs].iloc[0]
        who = " at ".join(str(first[each]) for each in subject)
        values = f"{first[name]} with the later rows, {first[f'{name} alone']} without"
        if name in contract.personal:
            values = "personal values, which are not shown"
        yield Leak(step, name, int(differs.sum()), len(both), f"{who}: {values}")


def _differs(one: "pd.Series[Any]", other: "pd.Series[Any]") -> "pd.Series[bool]":
    import pandas as pd

    missing = one.isna() | other.isna()
    if pd.api.types.is_float_dtype(one) and pd.api.types.is_float_dtype(other):
        unlike = (one - other).abs() > TOLERANCE * one.abs().clip(lower=1)
    else:
        unlike = one != other
    return (one.isna() != other.isna()) | (~missing & unlike)


def _in_bronze(contract: Contract, recipes: Data, rows: int) -> Iterator[Leak]:
    """Columns of bronze's recipe whose formula reads other rows; the raw rows are gone."""
    if recipes.bronze is None:
        return
    import ibis
    from ibis.expr import operations as ops

    kinds = {SOURCE_FILE: "string", BATCH: "string", ROW_NUMBER: "int64"}
    names = [*contract.raw_columns, *contract.ignored]
    raw = ibis.table({**dict.fromkeys(names, "string"), **kinds}, name="raw")
    made = store_raw(raw, contract.request, recipes)
    for relation in made.op().find(ops.Project):
        for name, value in relation.values.items():
            found = {type(each).__name__ for each in value.find((ops.Reduction, ops.Analytic))}
            if found:
                formula = f"its formula reads other rows: {', '.join(sorted(found))}"
                yield Leak("bronze", name, None, rows, formula)


def _worst(found: Sequence[Leak]) -> Iterator[Leak]:
    """Each column once, at the cut with the most rows; in gold only where silver has it right."""
    by_column: dict[tuple[str, str], Leak] = {}
    for each in found:
        key = (each.step, each.column)
        if key not in by_column or (each.rows or 0) > (by_column[key].rows or 0):
            by_column[key] = each
    for (name, column), leak in by_column.items():
        if name != "gold" or ("silver", column) not in by_column:
            yield leak


def show_leaks(result: LeakCheck, as_json: bool) -> None:
    """Print the answer, with a line for each column that depends on later rows."""
    if as_json:
        show(result, as_json)
        return
    lines: dict[str, object] = {
        "verdict": result.verdict,
        "sampled": result.sampled,
        "cuts": result.cuts,
    }
    for each in result.leaks:
        count = "" if each.rows is None else f"{each.rows:,} of {each.of_rows:,} rows differ; "
        lines[f"{each.step}: {each.column}"] = count + each.example
    show(lines, as_json)
