"""Row features as a project writes them: plain functions of a row, with one decorator.

`trace_features` runs each function once on a row that holds no values, and so learns what it
computes, of which columns, and of which other features.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, overload

from goldpath.contract import RESERVED, Contract
from goldpath.domain import Kind
from goldpath.errors import ProjectError
from goldpath.features.row.document import Definition, Expression, possible_texts
from goldpath.features.row.operations import Type
from goldpath.features.row.tracer import Tracer, refused
from goldpath.features.row.values import Value, added
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.project import naming

TYPES: dict[Kind, Type] = {
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "category": "text",
    "text": "text",
}
KINDS: dict[Type, Kind] = {kind: name for name, kind in TYPES.items() if name != "text"}
"""What the contract calls the types that a feature may have; a time is none of them. A computed
text is a category."""


class Row:
    """The row that a feature is computed from: `row.tenure_months`, or `row["2nd call"]`.

    Its columns are those that the request sends, and the other row features.

    Args:
        read: Gives the value of a column's name.

    Example:
        >>> from goldpath import Row, Value, row_feature
        >>> @row_feature
        ... def charge_rate(row: Row) -> Value:
        ...     return row.monthly_charges / (row.tenure_months + 1)
        >>> charge_rate.name
        'charge_rate'
    """

    def __init__(self, read: Callable[[str], "Value"]) -> None:
        self.__dict__["_read"] = read

    def __getattr__(self, name: str) -> "Value":
        if name.startswith("__"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> "Value":
        read: Callable[[str], Value] = self.__dict__["_read"]
        return read(name)

    def __setattr__(self, name: str, _: object) -> None:
        raise refused(
            f"the column {name!r} is set; a row feature only reads",
            "give the new value a name of its own, and return it",
        )

    def __iter__(self) -> NoReturn:
        raise refused("a loop goes over the row's columns", "name the columns: row.a + row.b")


@dataclass(frozen=True)
class RowFeature:
    """A feature that is computed from the columns of its row.

    Attributes:
        name: Names its column.
        function: Computes it: `(row) -> value`.
        description: For people: the card, the data report, the service's documentation.

    Example:
        >>> from goldpath import row_feature
        >>> @row_feature(description="Dollars for a month of tenure.")
        ... def charge_rate(row):
        ...     return row.monthly_charges / (row.tenure_months + 1)
        >>> charge_rate.description
        'Dollars for a month of tenure.'
    """

    name: str
    function: Callable[[Row], Value]
    description: str = ""


@overload
def row_feature(function: Callable[[Row], Value], /) -> RowFeature: ...
@overload
def row_feature(
    *, name: str | None = None, description: str | None = None
) -> Callable[[Callable[[Row], Value]], RowFeature]: ...
def row_feature(
    function: Callable[[Row], Value] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
) -> RowFeature | Callable[[Callable[[Row], Value]], RowFeature]:
    """Make a row feature of a function `(row) -> value`.

    The function is run once, on a row without values: what it does to the row's columns is written
    down, and computed alike in the lake, in batches and in the service. It may read the columns
    that a request sends and other row features, and must give the same expression each time.

    Args:
        function: Computes the feature.
        name: Names its column; the function's name where not given.
        description: For people; the first line of the function's docstring where not given.

    Example:
        >>> from goldpath import Row, Value, row_feature
        >>> @row_feature
        ... def charge_rate(row: Row) -> Value:
        ...     return row.monthly_charges / (row.tenure_months + 1)
        >>> charge_rate.name
        'charge_rate'
    """

    def decorate(decorated: Callable[[Row], Value]) -> RowFeature:
        said = (decorated.__doc__ or "").strip().partition("\n")[0]
        own = name or str(getattr(decorated, "__name__", ""))
        return RowFeature(own, decorated, said if description is None else description)

    return decorate if function is None else decorate(function)


def trace_features(features: Sequence[RowFeature], contract: Contract) -> tuple[Definition, ...]:
    """What the project's features compute, each after those that it reads.

    Args:
        features: The project's, in any order.
        contract: Names the columns that a request sends, with their types.

    Raises:
        ProjectDefinitionError: If a function fails, reads a column that no request sends, reads
            itself in a circle, or computes what no engine could; names file, line and the path.
    """
    tracing = _Tracing(features, contract)
    for feature in features:
        tracing.definition(feature.name)
    return tuple(tracing.done.values())


class _Tracing:
    """The features of one project while they are traced."""

    def __init__(self, features: Sequence[RowFeature], contract: Contract) -> None:
        self.done: dict[str, Definition] = {}
        self._contract = contract
        self._features: dict[str, RowFeature] = {}
        self._path: list[str] = []
        self._categories = {each.name: each.categories for each in contract.features}
        for feature in features:
            self._admit(feature)

    def _admit(self, feature: object) -> None:
        if not isinstance(feature, RowFeature):
            raise ProjectDefinitionError(
                f"{place_of(feature)} among the features is a {type(feature).__name__}",
                "decorate the function with @row_feature or @window_feature",
            )
        place, taken = place_of(feature.function), self._taken_by(feature.name)
        if taken:
            raise ProjectDefinitionError(
                f"{place}: a row feature cannot be called {feature.name!r}, which is {taken}",
                "give it another name: @row_feature(name=…)",
            )
        self._features[feature.name] = feature

    def _taken_by(self, name: str) -> str:
        contract = self._contract
        if name in self._features:
            return f"another one's name: {place_of(self._features[name].function)}"
        if name in (*contract.raw_columns, *contract.ignored):
            return "a column of config/project.yaml"
        if name in contract.by_name:
            return "a column of a window feature"
        if not name or name.lower() in RESERVED or name.startswith("_") or not name.isprintable():
            return "reserved, or no name of a column"
        return ""

    def definition(self, name: str) -> Definition:
        """A feature's definition; traced now where it is not known yet."""
        if name in self.done:
            return self.done[name]
        feature = self._features[name]
        self._path.append(name)
        try:
            expression = self._expression(feature)
        finally:
            self._path.pop()
        texts = possible_texts(expression, self._categories)
        made = Definition(name, expression, feature.description, texts)
        self._categories[name] = texts
        self.done[name] = made
        return made

    def _expression(self, feature: RowFeature) -> Expression:
        tracer = Tracer()
        with naming(feature.function):
            result = feature.function(Row(lambda name: self._column(tracer, name)))
        place = place_of(feature.function)
        if not isinstance(result, Value) or result._tracer is not tracer:
            raise ProjectDefinitionError(
                f"{place} returned a {type(result).__name__} that is no value of its row",
                "return what is computed from the row: return row.a / row.b",
            )
        try:
            expression = tracer.expression(result._place)
        except ProjectError as error:
            raise ProjectDefinitionError(f"{place}: {error.message}", error.fix) from error
        if expression.type not in KINDS:
            raise ProjectDefinitionError(
                f"{place} returns a {expression.type}, which no model takes",
                "return a part of it, such as year(), or days_since() another one",
            )
        if not expression.columns:
            raise ProjectDefinitionError(
                f"{place} reads no column of the row", "use the row, or leave the feature out"
            )
        return expression

    def _column(self, tracer: Tracer, name: str) -> Value:
        if name in self._path:
            circle = [*self._path[self._path.index(name) :], name]
            raise refused(
                f"row features that need each other: {_shown(circle)}",
                "take one of them out of the circle",
            )
        if name in self._features:
            kind = self.definition(name).expression.type
        elif name in self._contract.by_name:
            kind = TYPES[self._contract.by_name[name].type]
        else:
            self._refuse_column(name)
        return added(tracer, "column", parameters=(name, kind))

    def _refuse_column(self, name: str) -> NoReturn:
        contract, path = self._contract, _shown([*self._path, name])
        time = contract.event_time.columns if contract.event_time else ()
        roles: Mapping[str, str] = {
            **dict.fromkeys(contract.ignored, "left out by config/project.yaml (`ignored`)"),
            **dict.fromkeys((*time, "event_time"), "the row's time, which no request sends"),
            **({contract.entity: "the entity"} if contract.entity else {}),
            **dict.fromkeys(contract.label_columns, "the target: what is to be predicted"),
        }
        known = [*contract.feature_names, *self._features]
        raise refused(
            f"{path}: {name!r} is {roles.get(name, 'no column')}",
            f"a row feature may read: {', '.join(x for x in known if x not in self._path)}",
        )


def _shown(path: Sequence[str]) -> str:
    return " → ".join(path)
