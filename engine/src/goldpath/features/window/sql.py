"""Window features of many questions, in SQL: what gold, training and batches compute.

For DuckDB and Athena, in Ibis. Rows become tiles first, so an entity with a million rows costs a
question no more than the tiles of its longest window. Questions that end with the same tile are
asked once. A question meets the tiles of two buckets, each as long as the longest window, by an
equality join; a tile that it meets is merged once, into the ring between two windows, and the rings
into the windows.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from goldpath.features.point_in_time import as_type
from goldpath.features.views import FeatureError
from goldpath.features.window.definition import EVERYBODY, Output, State, WindowDefinition
from goldpath.features.window.geometry import MICROSECONDS, Geometry
from goldpath.features.window.sql_exact import constant, deviation, mean, squares, total
from goldpath.features.window.sql_states import (
    ENTITY,
    TILE,
    VALUE,
    Part,
    SourceRows,
    distinct_values,
    end_of,
    microseconds,
    parts_of,
    source_rows,
    tiles_in_sql,
)
from goldpath.features.window.tiles import DAY

if TYPE_CHECKING:
    import ibis

Column: TypeAlias = Any
"""A column of Ibis."""

KEY, END, BUCKET, RING, ASKED = (
    f"win_{name}__" for name in ("key", "end", "bucket", "ring", "asked")
)
_TYPES = {"number": "float64", "integer": "int64", "boolean": "boolean", "text": "string"}


def with_window_features(
    definitions: Sequence[WindowDefinition],
    questions: "ibis.Table",
    sources: "Mapping[str, ibis.Table]",
    *,
    entity: str,
    event_time: str,
    source_time: str = "event_time",
) -> "ibis.Table":
    """Give each question the features of its entity at its time; `aggregates` states the rules.

    Each question comes back once, with all its columns; there is no order. One without an entity
    or without a time gets what an entity has that nobody knows.

    Args:
        definitions: The features.
        questions: Whom and when to ask for; read twice, so it should be a table at a snapshot.
        sources: The rows of each source that a feature names.
        entity: The entity's column in `questions`.
        event_time: The time's column in `questions`.
        source_time: The time's column in the sources.

    Raises:
        FeatureError: If a column is missing, a name is taken, or a type cannot be compared.
    """
    import ibis

    groups: dict[tuple[str, str, Geometry], list[WindowDefinition]] = {}
    for each in definitions:
        groups.setdefault((each.source, each.entity, each.geometry), []).append(each)
    _refuse(definitions, questions, sources, entity, event_time, source_time)
    complete = questions
    for (source, owner, _), group in groups.items():
        rows = source_rows(group, sources[source], source_time)
        kind = rows.table[ENTITY].type()

        def asked(
            table: "ibis.Table", owner: str = owner, kind: "ibis.DataType" = kind
        ) -> "tuple[Column, Column]":
            key = as_type(table, entity, kind) if owner else ibis.literal(EVERYBODY)
            return key, table[event_time]

        complete = _Group(group, rows).answered(complete, questions, asked)
    return complete


class _Group:
    """Features of one source and geometry: their tiles are made, and met, together."""

    def __init__(self, definitions: Sequence[WindowDefinition], rows: SourceRows) -> None:
        self._definitions = definitions
        self._geometry = definitions[0].geometry
        self._rows = rows
        found = {digest: each for one in definitions for digest, each in one.states.items()}
        self._merged = [each for each in found.values() if each.kind != "distinct"]
        self._distinct = [each for each in found.values() if each.kind == "distinct"]
        columns = [pair for one in definitions for pair in one.columns.values()]
        self._lengths = sorted({length for _, length in columns})

    def answered(
        self,
        complete: "ibis.Table",
        questions: "ibis.Table",
        asks: "Callable[[ibis.Table], tuple[Column, Column]]",
    ) -> "ibis.Table":
        """The questions with the features' columns.

        Args:
            complete: The questions, with the columns of former groups.
            questions: Without them: what is asked does not wait for the former groups' answers.
            asks: Whom and when a row of either is about.
        """
        own = complete.columns
        numbered = self._numbered(questions, *asks(questions))
        known = numbered.filter(numbered[KEY].notnull() & numbered[END].notnull())
        asked = known.select(KEY, END).distinct()
        answers = [self._windows_of_tiles(asked)] if self._merged else []
        answers += [self._windows_of_values(asked, *each) for each in enumerate(self._distinct)]
        complete = self._numbered(complete, *asks(complete))
        for number, answer in enumerate(answers):
            names = {name: _side(name, number) for name in (KEY, END)}
            right = answer.rename({new: old for old, new in names.items()})
            matches = [complete[old] == right[new] for old, new in names.items()]
            complete = complete.left_join(right, matches)
        features = {
            name: self._result(output, length, complete)
            for one in self._definitions
            for name, (output, length) in one.columns.items()
        }
        return complete.select(*own, **features)

    def _numbered(self, rows: "ibis.Table", key: Column, time: Column) -> "ibis.Table":
        at = microseconds(time)
        return rows.mutate(**{KEY: key, ASKED: at, END: end_of(self._geometry, at)})

    def _met(self, asked: "ibis.Table", tiles: "ibis.Table") -> "ibis.Table":
        """Each question with each tile of its longest window, and the ring that this belongs to."""
        import ibis

        longest = self._lengths[-1]
        # The window's last tile lies in one bucket, and its others there or in the one before.
        last = ((asked[END] - 1) // longest).cast("int64")
        buckets = [asked.mutate(**{BUCKET: last - back}) for back in (0, 1)]
        both = buckets[0].union(buckets[1], distinct=False)
        held = tiles.mutate(win_tile_bucket__=(tiles[TILE] // longest).cast("int64"))
        met = both.inner_join(
            held,
            [
                both[KEY] == held[ENTITY],
                both[BUCKET] == held.win_tile_bucket__,
                held[TILE] < both[END],
                held[TILE] >= both[END] - longest,
            ],
        )
        inner = [
            (met[TILE] >= met[END] - length, ring) for ring, length in enumerate(self._lengths[:-1])
        ]
        ring = ibis.cases(*inner, else_=len(self._lengths) - 1) if inner else ibis.literal(0)
        return met.mutate(**{RING: ring})

    def _windows_of_tiles(self, asked: "ibis.Table") -> "ibis.Table":
        """The states of each question's windows."""
        met = self._met(asked, tiles_in_sql(self._merged, self._rows))
        parts = [
            part for number, each in enumerate(self._merged) for part in parts_of(number, each)
        ]
        rings = met.group_by(KEY, END, RING).aggregate(
            **{part.name: part.merged(met) for part in parts}
        )
        windows = {
            _in_window(part, ring): part.merged(rings, rings[RING] <= ring)
            for ring in range(len(self._lengths))
            for part in parts
        }
        found = rings.group_by(KEY, END).aggregate(**windows)
        # Sums are put together before the join: Ibis repeats what it does not select in between.
        return found.select(
            KEY,
            END,
            **{
                _state_in_window(number, ring): _complete_state(number, state, ring, found)
                for ring in range(len(self._lengths))
                for number, state in enumerate(self._merged)
            },
        )

    def _windows_of_values(self, asked: "ibis.Table", number: int, state: State) -> "ibis.Table":
        """How many different values each question's windows hold."""
        met = self._met(asked, distinct_values(state, self._rows))
        counts = {
            f"win_distinct_{number}_{ring}": met[VALUE].nunique(where=met[RING] <= ring)
            for ring in range(len(self._lengths))
        }
        return met.group_by(KEY, END).aggregate(**counts)

    def _result(self, output: Output, length: int, answers: "ibis.Table") -> Column:
        import ibis

        ring = self._lengths.index(length)
        states = output.states()

        def state(kind: str) -> Column:
            return answers[_state_in_window(self._merged.index(states[kind]), ring)]

        def count(kind: str) -> Column:
            return state(kind).fill_null(0)

        match output.aggregation:
            case "count":
                result = count("rows")
            case "sum":
                # A total that is too large is missing; where no tile was met it is 0.
                unmet = answers[_side(KEY, 0)].isnull()
                result = ibis.cases((unmet, constant(0)), else_=state("total"))
            case "mean":
                result = mean(state("total"), count("known"))
            case "std":
                result = deviation(state("total"), state("squares"), count("known"))
            case "share":
                rows = count("rows").cast("float64").nullif(constant(0))
                result = count("holding").cast("float64") / rows
            case "distinct_count":
                number = self._distinct.index(states["distinct"])
                result = answers[f"win_distinct_{number}_{ring}"].fill_null(0)
            case "seconds_since_last" | "days_since_last":
                past = (answers[ASKED] - state("newest")).cast("float64")
                result = past / constant(MICROSECONDS)
                if output.aggregation == "days_since_last":
                    result = result / constant(DAY)
            case _:
                result = state(next(iter(states)))
        if output.aggregation == "count":
            # DuckDB adds whole numbers up to HUGEINT, which Ibis takes for int64 and does not cast.
            result = result.cast("float64")
        return result.cast(_TYPES[output.type])


def _in_window(part: Part, ring: int) -> str:
    """The column of a part, merged over the windows up to a ring."""
    return f"{part.name}__{ring}"


def _state_in_window(number: int, ring: int) -> str:
    """The column of a state, complete, over the windows up to a ring."""
    return f"win_{number}__{ring}__"


def _side(name: str, number: int) -> str:
    """A column of the questions as the answers of a number have it."""
    return f"{name}{number}"


def _complete_state(number: int, state: State, ring: int, found: "ibis.Table") -> Column:
    columns = [found[_in_window(part, ring)] for part in parts_of(number, state)]
    if state.kind in ("total", "squares"):
        sums = [each.fill_null(constant(0)) for each in columns]
        return total(sums) if state.kind == "total" else squares(sums)
    return columns[0]


def _refuse(
    definitions: Sequence[WindowDefinition],
    questions: "ibis.Table",
    sources: "Mapping[str, ibis.Table]",
    entity: str,
    event_time: str,
    source_time: str,
) -> None:
    """Refuse what would fail in the middle of a query."""
    who = [entity] if any(each.entity for each in definitions) else []
    if lacking := [name for name in (*who, event_time) if name not in questions.columns]:
        raise FeatureError(
            f"the questions lack the columns {', '.join(lacking)}",
            f"they have: {', '.join(questions.columns)}",
        )
    names = [name for each in definitions for name in each.columns]
    taken = [name for name in names if name in questions.columns or names.count(name) > 1]
    if taken:
        raise FeatureError(
            f"these window features would stand twice in the result: {', '.join(sorted({*taken}))}",
            "give one of them another name: @window_feature(name=…)",
        )
    for each in definitions:
        if each.source not in sources:
            raise FeatureError(
                f"the window feature {each.name!r} reads the source {each.source!r}, "
                "which is not there",
                f"there are: {', '.join(sources) or 'none'}",
            )
        rows = sources[each.source]
        wanted = [*([each.entity] if each.entity else []), source_time, *each.read]
        if lacking := [name for name in wanted if name not in rows.columns]:
            raise FeatureError(
                f"the window feature {each.name!r}: the source {each.source!r} lacks the columns "
                f"{', '.join(lacking)}",
                f"it has: {', '.join(rows.columns)}",
            )
