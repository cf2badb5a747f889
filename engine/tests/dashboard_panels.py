"""The committed Grafana dashboards, as the tests read them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .locations import PROJECT

DASHBOARDS = sorted((PROJECT / "infra" / "grafana" / "dashboards").glob("*.json"))

CHOSEN = {
    "${model:raw}": ".*",
    "$source": ".*",
    "$table": ".*",
    "$dag": ".*",
    "$__rate_interval": "1m",
}
"""What Grafana puts in place of variables where somebody has chosen nothing."""


def panels_of(file: Path) -> list[dict[str, Any]]:
    """A dashboard's panels, without the titles of its rows."""
    panels = json.loads(file.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in panels if panel["type"] != "row"]


def queries_of(file: Path) -> Iterator[str]:
    """What the panels of a dashboard ask, with variables."""
    for panel in panels_of(file):
        yield from (target["expr"] for target in panel["targets"])


def variables_of(file: Path) -> list[dict[str, Any]]:
    """What can be chosen at a dashboard's top."""
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["templating"]["list"]
    return found


def as_prometheus_is_asked(query: str) -> str:
    """A query with everything chosen."""
    for variable, value in CHOSEN.items():
        query = query.replace(variable, value)
    return query
