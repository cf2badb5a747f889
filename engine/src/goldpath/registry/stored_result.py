"""A stage's result as JSON in the MLflow run, and back as the dataclass that it was."""

import json
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from goldpath.registry.stores.store import RegistryError
from goldpath.reports import finite

Result = TypeVar("Result")
RETRAIN = "start another training (another --run-id); its stages are then stored anew"


def result_as_json(result: object) -> str:
    """A frozen dataclass as JSON; times as ISO 8601, undefined numbers as null."""
    values = finite(asdict(result))  # type: ignore[call-overload]
    return json.dumps(values, indent=2, default=_plain, allow_nan=False)


def result_from_json(kind: type[Result], text: str, where: str) -> Result:
    """A stored result as the dataclass that wrote it.

    Args:
        kind: The dataclass.
        text: What `result_as_json` wrote.
        where: The file's name, for people.

    Raises:
        RegistryError: If a key is unknown or missing, or a value has another type.
    """
    try:
        values: Any = json.loads(text)
    except ValueError as error:
        raise RegistryError(f"{where} is not JSON: {error}", RETRAIN) from error
    if not isinstance(values, dict):
        raise RegistryError(f"{where} holds no JSON object", RETRAIN)
    if unknown := sorted(values.keys() - {field.name for field in fields(kind)}):  # type: ignore[arg-type]
        raise RegistryError(
            f"{where} has the unknown keys {', '.join(unknown)}: another version of the engine, "
            "or of this project's step, wrote it",
            RETRAIN,
        )
    try:
        # Strict: a text is no number. From JSON, so that a list may fill a tuple.
        return TypeAdapter(kind).validate_json(text, strict=True)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()
        )
        raise RegistryError(f"{where} is no {kind.__name__}: {faults}", RETRAIN) from error


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")
