"""Row features of one row, in plain Python: what the service computes before the model.

A version's features become one function, compiled when they are loaded; see `row_source`. Numbers
are floats in it, whole ones too, so that it rounds where the other evaluators do.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from goldpath.features.row.document import Definition
from goldpath.features.row.row_source import RowSource


def rows_evaluator(
    definitions: Sequence[Definition],
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """A function from a row to the row with its features; its own values of these are not read.

    The row holds what the contract allows: numbers, whole numbers, truth values and texts by the
    names of their columns; None, NaN or no entry where a value is missing. A feature's value is an
    int, a float, a bool or a str, or None where it is missing.
    """
    source = RowSource(lambda source, name: f"row.get({source.name_of(name)})")
    source.lines.append("found = dict(row)")
    for each in definitions:
        source.add(each)
        shown = source.as_found(each.name)
        source.lines.append(f"found[{source.name_of(each.name)}] = {shown}")
    return _compiled(source, "row", "found")


def values_evaluator(
    definitions: Sequence[Definition], given: Sequence[str], wanted: Sequence[str]
) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """The same without names, from a tuple to a tuple.

    Args:
        definitions: The features.
        given: The column of each value that the function takes, as `rows_evaluator` describes them.
        wanted: The feature or column of each value that it returns: columns as they are, numbers
            among the features as floats, NaN where they are missing.
    """
    columns = {name: f"c{place}" for place, name in enumerate(given)}
    source = RowSource(lambda _, name: columns.get(name, "None"))
    source.lines.append(f"{_tuple_of(columns.values())} = values")
    for each in definitions:
        source.add(each)
    returned = [source.as_float_or_object(name) or columns[name] for name in wanted]
    return _compiled(source, "values", _tuple_of(returned))


def _tuple_of(names: Iterable[str]) -> str:
    return f"({''.join(f'{name}, ' for name in names)})"


def _compiled(source: RowSource, argument: str, result: str) -> Callable[[Any], Any]:
    lines = [f"def evaluate({argument}):", *source.lines, f"return {result}"]
    exec(compile("\n    ".join(lines), "<row features>", "exec"), source.names)  # noqa: S102
    function: Callable[[Any], Any] = source.names["evaluate"]
    return function
