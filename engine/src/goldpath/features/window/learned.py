"""Window features in a contract: a feature for each column, with the definition that it is from.

A version stores the contract that it was trained with, so the definitions are signed with it. They
are read back from there, and the project's present code never matters to it.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from goldpath.contract import Contract, Feature
from goldpath.domain import PADDING, Kind
from goldpath.features.row.document import DocumentError, possible_texts
from goldpath.features.row.operations import Plain
from goldpath.features.row.tracing import KINDS, TYPES
from goldpath.features.window.definition import Output, WindowDefinition, parse_window
from goldpath.features.window.feature import WindowFeature, trace_window
from goldpath.features.window.geometry import seconds_in
from goldpath.features.window.lags import OWN_TABLE, forecast_features
from goldpath.features.window.tiles import unknown, values_at
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.row_contract import RowContract
from goldpath.source_contract import FOLDER, SourceContract


def with_windows(
    contract: Contract, features: Sequence[WindowFeature], sources: Sequence[SourceContract]
) -> Contract:
    """The contract with the columns of window features behind its own features.

    The lags and means that its `forecast` names come first.

    Args:
        contract: Of the request.
        features: The project's.
        sources: The further sources.

    Raises:
        ProjectDefinitionError: If the contract has no entity or time, a source is unknown or the
            main table, whose rows are younger than the forecast's horizon, a column is unknown, or
            two columns have one name; names file and line.
    """
    by_name = {each.dataset: each for each in sources}
    columns: dict[str, Feature] = {}
    personal = [*contract.personal]
    named = forecast_features(contract)
    for feature in (*named, *features):
        place = f"{contract.file}: forecast" if feature in named else place_of(feature.function)
        if feature.source in (OWN_TABLE, contract.dataset, contract.base):
            source: RowContract = contract
            definition = _of_own_table(feature, contract, list(by_name), place)
        else:
            source = _source(feature, contract, by_name, place)
            definition = _traced(feature, source)
        _require_known(definition, contract, place)
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
        if TYPES[kind] != definition.types.get(name):
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


def reads_own_table(contract: Contract) -> bool:
    """Whether some window features of a contract aggregate the main table's own rows."""
    return any(each.source == contract.dataset for each in definitions_in(contract))


def _source(
    feature: WindowFeature, contract: Contract, sources: Mapping[str, SourceContract], place: str
) -> SourceContract:
    """The further source that a feature aggregates."""
    if contract.entity is None or not contract.has_time:
        lacking = "entity" if contract.entity is None else "event_time"
        raise ProjectDefinitionError(
            f"{place}: a window feature asks for an entity's rows before a time, and "
            f"{contract.file} names no {lacking}",
            f"say which column it is ({lacking}: …), or leave the feature out",
        )
    if feature.source not in sources:
        raise ProjectDefinitionError(
            f"{place}: there is no source {feature.source!r}; {FOLDER} holds: "
            f"{', '.join(sources) or f'none of {contract.dataset}'}",
            f"make add-source NAME={feature.source} DATA=… ID=… TIME=…",
        )
    return sources[feature.source]


def _of_own_table(
    feature: WindowFeature, contract: Contract, sources: Sequence[str], place: str
) -> WindowDefinition:
    """A feature of the main table's rows, none of them younger than the forecast's horizon."""
    forecast = contract.forecast
    if forecast is None:
        raise ProjectDefinitionError(
            f"{place}: {contract.dataset!r} is the main table, whose rows hold the target, and "
            f"{contract.file} does not say how long before its time a row is asked for",
            "aggregate a further source (source=…), or say it (forecast: horizon, step, season, "
            f"lags; make adopt … HORIZON=24h writes them); {FOLDER} holds: "
            f"{', '.join(sources) or 'none'}",
        )
    own = replace(
        _on_the_grid(feature, forecast.step, place),
        source=contract.dataset,
        lag=feature.lag or forecast.horizon,
    )
    columns = {each.name: TYPES[each.type] for each in contract.request.features}
    columns[contract.target.column] = "number"
    entity = str(contract.entity) if forecast.per_entity else ""
    return trace_window(own, entity=entity, columns=columns, place=place)


def _on_the_grid(feature: WindowFeature, step: str, place: str) -> WindowFeature:
    """The feature with the series' step, where it says none of its own.

    On wider tiles than the series' a lag would be a value of another time, under the same name.
    """
    if not feature.takes_step:
        return feature
    if feature.lag and seconds_in(feature.lag) % seconds_in(step):
        raise ProjectDefinitionError(
            f"{place}: {feature.lag} before is no multiple of the series' step, {step} "
            "(forecast.step)",
            f"take a multiple of {step}, or say step=…",
        )
    over = (step,) if feature.takes_step == "window" else feature.over
    return replace(feature, tile=step, over=over)


def _require_known(definition: WindowDefinition, contract: Contract, place: str) -> None:
    """Refuse to read rows that are younger than the forecast's horizon."""
    forecast = contract.forecast
    if forecast is not None and definition.geometry.lag < forecast.horizon_seconds:
        raise ProjectDefinitionError(
            f"{place}: it reads rows of {definition.source} up to {definition.geometry.lag:,} "
            f"seconds before the row's time, and a row is asked for {forecast.horizon} before its "
            f"time (forecast.horizon in {contract.file}): nobody knows them by then",
            f"take {forecast.horizon} or more: lag=, behind=, hours= or days=",
        )


def _traced(feature: WindowFeature, source: SourceContract) -> WindowDefinition:
    columns = {each.name: TYPES[each.type] for each in source.features}
    columns |= dict.fromkeys(source.key_columns, "text")
    return trace_window(feature, entity=source.entity, columns=columns)


def _feature(
    name: str, output: Output, definition: WindowDefinition, source: RowContract
) -> Feature:
    kind = KINDS[output.type]
    categories = _categories(output, source) if kind == "category" else None
    length = definition.columns[name][1] * definition.geometry.tile
    over = definition.over[definition.windows.index(length)]
    said = definition.description.rstrip(".") or f"{output.aggregation} of {definition.source}"
    if not definition.column:
        said += f", over {over}"
    document = {**definition.dump(), "description": ""}
    return Feature(
        name=name,
        type=kind,
        nullable=True,
        categories=categories or None,
        closed=bool(categories) if kind == "category" else None,
        description=said,
        window=json.dumps(document, separators=(",", ":")),
    )


def _categories(output: Output, source: RowContract) -> tuple[str, ...] | None:
    """All texts that a column can be, where the source's contract tells."""
    if output.value is None:
        return None
    known = possible_texts(output.value, {each.name: each.categories for each in source.features})
    if known and any(text != text.strip(PADDING) for text in known):
        return None  # a contract lists trimmed texts only
    return known


def personal_windows(contract: Contract, personal: Mapping[str, Collection[str]]) -> list[str]:
    """The window columns of a contract that read personal columns of a source.

    Args:
        contract: Of a version, which may be older than what the sources say of their columns.
        personal: The personal columns of each source, by its name.
    """
    return [
        name
        for definition in definitions_in(contract)
        for name, (output, _) in definition.columns.items()
        if _reads(output, personal.get(definition.source, ()))
    ]


def _is_personal(output: Output, source: RowContract) -> bool:
    return _reads(output, source.personal)


def _reads(output: Output, names: Collection[str]) -> bool:
    read = [each.columns for each in (output.value, output.condition) if each is not None]
    return any(name in names for columns in read for name in columns)


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
