"""Window features as a project writes them: plain functions of a source's rows, one decorator.

`trace_window` runs the function once on rows that hold no values, and so learns what it
aggregates, of which columns, under which conditions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from goldpath.contract import RESERVED
from goldpath.errors import ProjectError
from goldpath.features.row.operations import Type
from goldpath.features.row.tracer import refused
from goldpath.features.window.definition import Output, WindowDefinition
from goldpath.features.window.geometry import Geometry, seconds_in, tile_width
from goldpath.features.window.rows import Aggregate, Rows, rows_of
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.project import naming

Function: TypeAlias = Callable[[Rows], "Aggregate | Mapping[str, Aggregate]"]


@dataclass(frozen=True)
class WindowFeature:
    """Aggregates of a source's rows by entity, over one or more windows.

    Attributes:
        name: The first part of its columns' names.
        function: Asks for the aggregates: `(rows) -> aggregate`, or a dictionary of them by name.
        source: The source.
        over: The windows: `30d`.
        tile: The width of the tiles; None: `geometry.tile_width` chooses.
        lag: How long a row may take until the service knows it.
        including: Whether a row at the row's own time counts.
        description: For people.
        column: The one column's name, where it has one that is not made of the parts.
        takes_step: Which of its durations the step of the main table's forecast takes the place of,
            where it reads that: the tiles', or those of the tiles and of the window.

    Example:
        >>> from goldpath import window_feature
        >>> paid = window_feature(source="payments", over="30d", name="paid")(
        ...     lambda payments: payments.amount.sum()
        ... )
        >>> paid.name, paid.over
        ('paid', ('30d',))
    """

    name: str
    function: Function
    source: str
    over: tuple[str, ...]
    tile: str | None = None
    lag: str | None = None
    including: bool = False
    description: str = ""
    column: str = ""
    takes_step: Literal["", "tile", "window"] = ""


def window_feature(
    *,
    source: str,
    over: str | tuple[str, ...],
    tile: str | None = None,
    lag: str | None = None,
    including: bool = False,
    name: str | None = None,
    description: str | None = None,
) -> Callable[[Function], WindowFeature]:
    """Make a window feature of a function `(rows) -> aggregate`, or `-> {name: aggregate}`.

    The function is run once, on rows without values: what it asks of them is written down, and
    computed alike in training, in batches and in the service. Its columns are called
    `function_window`, or `function_name_window`: `paid_total_30d`.

    Args:
        source: The source whose rows are aggregated.
        over: The windows, each a whole number and s, m, h, d or w: `30d`, or `("30d", "90d")`.
        tile: The width of the time tiles that windows are made of; it divides each window. Where
            not given, a width that suits the shortest window: a day for `30d`, an hour for `24h`.
        lag: How long a row may take until it is in the online store, such as `1d` where
            `make materialize` runs daily. Younger rows do not count in training either, so that it
            sees what the service will see; none where not given.
        including: Whether a row at the row's own time counts.
        name: The first part of the columns' names; the function's name where not given.
        description: For people; the first line of the function's docstring where not given.

    Example:
        >>> from goldpath import Aggregate, Project, Rows, window_feature
        >>> @window_feature(source="payments", over=("30d", "90d"))
        ... def paid(payments: Rows) -> dict[str, Aggregate]:
        ...     return {"total": payments.amount.sum(), "count": payments.count()}
        >>> project = Project(name="customer_churn", features=lambda: [paid])
        >>> [each.name for each in project.window_features]
        ['paid']
    """

    def decorate(function: Function) -> WindowFeature:
        said = (function.__doc__ or "").strip().partition("\n")[0]
        return WindowFeature(
            name or str(getattr(function, "__name__", "")),
            function,
            source,
            (over,) if isinstance(over, str) else tuple(over),
            tile,
            lag,
            including,
            said if description is None else description,
        )

    return decorate


def trace_window(
    feature: WindowFeature,
    *,
    entity: str,
    columns: Mapping[str, Type],
    time: str = "event_time",
    place: str = "",
) -> WindowDefinition:
    """What a feature computes.

    Args:
        feature: The project's.
        entity: The source's column that says whom a row belongs to.
        columns: The source's other columns, with their types.
        time: The source's column that holds the rows' time.
        place: What messages call the feature's place; the function's where not given.

    Raises:
        ProjectDefinitionError: If the function fails, reads a column that the source lacks, or
            returns what is no aggregate, or if a window cannot be used; names file and line.
    """
    place = place or place_of(feature.function)
    windows, geometry = _geometry(feature, place)

    def read(name: str) -> Type:
        if name in columns:
            return columns[name]
        roles = {entity: "the entity", time: "the rows' time"}
        raise refused(
            f"{feature.name}: {name!r} is {roles.get(name, f'no column of {feature.source}')}",
            f"{feature.source} has: {', '.join(columns)}",
        )

    with naming(feature.function):
        result = feature.function(rows_of(read))
    named = {"": result} if isinstance(result, Aggregate) else result
    if not isinstance(named, Mapping) or not named:
        raise ProjectDefinitionError(
            f"{place} returned a {type(result).__name__} that is no aggregate",
            'return one, or some by name: {"total": payments.amount.sum()}',
        )
    outputs = tuple(_output(place, name, each) for name, each in named.items())
    try:
        made = WindowDefinition(
            feature.name,
            feature.source,
            entity,
            windows,
            geometry,
            outputs,
            feature.description,
            feature.column,
        )
    except ProjectError as error:
        raise ProjectDefinitionError(f"{place}: {error.message}", error.fix) from error
    for column in made.columns:
        if column.lower() in RESERVED or column.startswith("_") or not column.isprintable():
            raise ProjectDefinitionError(
                f"{place}: a column cannot be called {column!r}",
                "give the feature another name: @window_feature(name=…)",
            )
    return made


def _geometry(feature: WindowFeature, place: str) -> tuple[tuple[str, ...], Geometry]:
    over = feature.over
    try:
        if not over:
            raise ProjectDefinitionError("it has no window", 'say over="30d"')
        seconds = tuple(map(seconds_in, over))
        if len(set(seconds)) != len(seconds):
            raise ProjectDefinitionError(
                f"two windows are equally long: {', '.join(over)}", "name each once"
            )
        tile = tile_width(seconds) if feature.tile is None else seconds_in(feature.tile)
        lag = 0 if feature.lag is None else seconds_in(feature.lag)
    except ProjectError as error:
        raise ProjectDefinitionError(f"{place}: {error.message}", error.fix) from error
    return over, Geometry(tile, lag, feature.including)


def _output(place: str, name: object, aggregate: object) -> Output:
    if not isinstance(name, str) or not isinstance(aggregate, Aggregate):
        raise ProjectDefinitionError(
            f"{place} returned a {type(aggregate).__name__} as {name!r}, which is no aggregate",
            "return aggregates by name: payments.amount.sum(), payments.count()",
        )
    return Output(name, aggregate.aggregation, aggregate.value, aggregate.condition)
