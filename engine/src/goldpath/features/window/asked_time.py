"""The time that a row of a forecast is about: each row of a request says it itself."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

from goldpath.contract import EVENT_TIME, Contract
from goldpath.features.row.texts import seconds_of

_FRACTION = re.compile(r"(?<=:\d\d:\d\d)\.(\d{1,9})(?=Z|[+-]|\Z)", re.ASCII)


def time_field(horizon: str) -> tuple[Any, Any]:
    """The field of a request model.

    Args:
        horizon: How far ahead the model predicts.
    """
    kind = Annotated[
        datetime,
        BeforeValidator(_only_time),
        WithJsonSchema({"type": "string", "format": "date-time"}),
    ]
    said = f"The time that is predicted, at most {horizon} ahead (ISO 8601; UTC without an offset)"
    return kind, Field(..., alias=EVENT_TIME, description=said)


def example_time(contract: Contract) -> dict[str, str]:
    """The field as a request sends it, a horizon from now; nothing where there is no forecast."""
    if contract.forecast is None:
        return {}
    ahead = timedelta(seconds=contract.forecast.horizon_seconds)
    return {EVENT_TIME: f"{datetime.now(UTC) + ahead:%Y-%m-%dT%H:%M:%SZ}"}


def _only_time(value: object) -> object:
    """Read ISO 8601 as the lake does; Pydantic would take numbers, too.

    A fraction of a second may stand behind it, as JavaScript writes one; what is below a
    microsecond is cut off. A route of the project's own may give an aware `datetime`.
    """
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC)
    text = value if isinstance(value, str) else ""
    fraction = _FRACTION.search(text)
    seconds = seconds_of(_FRACTION.sub("", text))
    if seconds is None:
        raise ValueError("not a time such as 2026-11-29T08:30:00Z")
    parts = int(fraction[1][:6].ljust(6, "0")) if fraction else 0
    return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=parts)
