"""Window features in a contract: a feature for each column, with the definition that it is from.

A version stores the contract that it was trained with, so the definitions are signed with it. They
are read back from there, and the project's present code never matters to it.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from goldpath.contract import Contract, Feature
from goldpath.domain import PADDING, Kind
from goldpath.features.row.document import DocumentError, possible_texts
from goldpath.features.row.operations import Plain, Type
from goldpath.features.window.definition import Output, WindowDefinition, parse_window
from goldpath.features.window.feature import WindowFeature, trace_window
from goldpath.features.window.tiles import unknown, values_at
from goldpath.project import ProjectDefinitionError, place_of
from goldpath.source_contract import FOLDER, SourceContract

_TYPES: dict[Kind, Type] = {
    "number": "number",
    "integer": "integer",
    "boolean": "boolean",
    "category": "text",
}
_KINDS: dict[Type, Kind] = {kind: name for name, kind in _TYPES.items()}


def with_windows(
    contract: Contract, features: Sequence[WindowFeature], sources: Sequence[SourceContract]
) -> Contract:
    """The contract with the columns of window features behind its own features.

    Args:
        contract: Of the request.
        features: The project's.
        sources: The further sources.

    Raises:
        ProjectDefinitionError: If the contract has no entity or time, a source is unknown or the
            main table, a column is unknown, or two columns have one name; names file and line.
    """
    by_name = {each.dataset: each for each in sources}
    columns: dict[str, Feature] = {}
    personal = [*contract.personal]
    for feature in features:
        place = place_of(feature.function)
        if contract.entity is None or not contract.has_time:
            lacking = "entity" if contract.entity is None else "event_time"
            raise ProjectDefinitionError(
                f"{place}: a window feature asks for an entity's rows before a time, and "
                f"{contract.file} names no {lacking}",
                f"say which column it is ({lacking}: …), or leave the feature out",
            )
        if feature.source == contract.dataset:
            raise ProjectDefinitionError(
                f"{place}: {feature.source!r} is the main table, whose rows hold the target",
                f"aggregate a further source; {FOLDER} holds: {', '.join(by_name) or 'none'}",
            )
        if feature.source not in by_name:
            raise ProjectDefinitionError(
                f"{place}: there is no source {feature.source!r}; {FOLDER} holds: "
                f"{', '.join(by_name) or 'none'}",
                f"make add-source NAME={feature.source} DATA=… ID=… TIME=…",
            )
        source = by_name[feature.source]
        definition = _traced(feature, source)
        for name, (output, _) in definition.columns.items():
            _require_free(name, place, contract, columns)
            columns[name] = _feature(name, output, definition, source)
            if _is_personal(output, source):
                personal.append(name)
    return contract.with_features([*contract.features, *columns.values()], personal)


def definitions_in(contract: Contract) -> tuple[WindowDefinition, ...]:
    """The definitions of a contract's window features, in the order of their columns.

    Raises:
        DocumentError: If one cannot be read, or is not the one of its column.
    """
    return _parsed(tuple((each.name, each.type, each.window) for each in contract.window_features))


def names_in(contract: Contract) -> list[str]:
    """The names of a contract's window columns."""
    return [each.name for each in contract.window_features]


def values_of_nobody(contract: Contract) -> dict[str, Plain | None]:
    """A contract's window columns of an entity that nobody knows: zeros, and missing values."""
    found: dict[str, Plain | None] = {}
    for each in definitions_in(contract):
        found.update(values_at(unknown(each), 0))
    return {name: found[name] for name in names_in(contract)}


@lru_cache(maxsize=32)
def _parsed(columns: tuple[tuple[str, Kind, str], ...]) -> tuple[WindowDefinition, ...]:
    found: dict[str, WindowDefinition] = {}
    for name, kind, document in columns:
        if document not in found:
            found[document] = parse_window(_read(document))
        definition = found[document]
        if _TYPES[kind] != definition.types.get(name):
            raise DocumentError(
                f"the window feature {definition.name} computes no column {name} of type {kind}",
                "use the file as it was registered",
            )
    return tuple(found.values())


def _read(document: str) -> Mapping[str, Any]:
    values = json.loads(document)
    if not isinstance(values, dict):
        raise DocumentError(
            f"the document of a window feature cannot be read: it says {document[:80]!r}",
            "use the file as it was registered",
        )
    return values


def _traced(feature: WindowFeature, source: SourceContract) -> WindowDefinition:
    columns = {each.name: _TYPES[each.type] for each in source.features}
    columns |= dict.fromkeys(source.key_columns, "text")
    return trace_window(feature, entity=source.entity, columns=columns)


def _feature(
    name: str, output: Output, definition: WindowDefinition, source: SourceContract
) -> Feature:
    kind = _KINDS[output.type]
    categories = _categories(output, source) if kind == "category" else None
    length = definition.columns[name][1] * definition.geometry.tile
    over = definition.over[definition.windows.index(length)]
    said = definition.description.rstrip(".") or f"{output.aggregation} of {definition.source}"
    document = {**definition.dump(), "description": ""}
    return Feature(
        name=name,
        type=kind,
        nullable=True,
        categories=categories or None,
        closed=bool(categories) if kind == "category" else None,
        description=f"{said}, over {over}",
        window=json.dumps(document, separators=(",", ":")),
    )


def _categories(output: Output, source: SourceContract) -> tuple[str, ...] | None:
    """All texts that a column can be, where the source's contract tells."""
    if output.value is None:
        return None
    known = possible_texts(output.value, {each.name: each.categories for each in source.features})
    if known and any(text != text.strip(PADDING) for text in known):
        return None  # a contract lists trimmed texts only
    return known


def _is_personal(output: Output, source: SourceContract) -> bool:
    read = [each.columns for each in (output.value, output.condition) if each is not None]
    return any(name in source.personal for columns in read for name in columns)


def _require_free(name: str, place: str, contract: Contract, taken: Mapping[str, Feature]) -> None:
    """Refuse a column whose name means something else already."""
    holder = ""
    if name in taken:
        other = parse_window(_read(taken[name].window))
        holder = f"a column of the window feature {other.name}, too"
    elif name in (*contract.raw_columns, *contract.ignored):
        holder = f"a column of {contract.file}"
    if holder:
        raise ProjectDefinitionError(
            f"{place}: its column {name!r} is {holder}",
            "give the feature another name: @window_feature(name=…)",
        )
