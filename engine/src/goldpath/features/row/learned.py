"""Row features in a contract: behind the columns that they are computed from.

A version stores this contract, so its own definitions are signed with it and go wherever it goes:
batch, service, drift and explanations compute them from what is stored, never from the project's
present code.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from goldpath.contract import Contract, Feature
from goldpath.domain import PADDING
from goldpath.features.row.document import Definition, DocumentError, parse_definition
from goldpath.features.row.one_row import rows_evaluator
from goldpath.features.row.tracing import KINDS, RowFeature, trace_features


def with_rows(contract: Contract, features: Sequence[RowFeature]) -> Contract:
    """The contract with row features behind its own features.

    Args:
        contract: Of the request, with the columns of window features if there are some.
        features: The project's.

    Raises:
        ProjectDefinitionError: If a feature cannot be used; names file, line and path.
    """
    definitions = trace_features(features, contract)
    personal = [*contract.personal]
    for each in definitions:
        if any(name in personal for name in each.expression.columns):
            personal.append(each.name)
    return contract.with_features([*contract.features, *map(_feature, definitions)], personal)


def _feature(definition: Definition) -> Feature:
    kind = KINDS[definition.expression.type]
    categories = definition.categories if kind == "category" else None
    if categories and any(text != text.strip(PADDING) for text in categories):
        categories = None  # a contract lists trimmed texts only
    return Feature(
        name=definition.name,
        type=kind,
        nullable=True,
        categories=categories or None,
        closed=bool(categories) if kind == "category" else None,
        description=definition.description,
        expression=json.dumps(definition.dump()["expression"], separators=(",", ":")),
    )


def definitions_of(contract: Contract) -> tuple[Definition, ...]:
    """The definitions of a contract's row features, each after those that it reads.

    Raises:
        DocumentError: If one reads a column that does not stand before it.
    """
    return _parsed(_written(contract))


def evaluator_of(contract: Contract) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What completes one row with a contract's row features; see `rows_evaluator`.

    Raises:
        DocumentError: If a feature reads a column that does not stand before it.
    """
    return _evaluator(_written(contract))


def _written(contract: Contract) -> tuple[tuple[str, str], ...]:
    return tuple((each.name, each.expression) for each in contract.features)


@lru_cache(maxsize=32)
def _evaluator(
    features: tuple[tuple[str, str], ...],
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return rows_evaluator(_parsed(features))


@lru_cache(maxsize=32)
def _parsed(features: tuple[tuple[str, str], ...]) -> tuple[Definition, ...]:
    known: set[str] = {name for name, expression in features if not expression}
    found: list[Definition] = []
    for name, expression in features:
        if not expression:
            continue
        document = {"name": name, "description": "", "categories": None}
        made = parse_definition({**document, "expression": json.loads(expression)})
        if strange := [each for each in made.expression.columns if each not in known]:
            raise DocumentError(
                f"the row feature {name} reads {', '.join(strange)}, which stands not before it",
                "use the file as it was registered",
            )
        known.add(name)
        found.append(made)
    return tuple(found)
