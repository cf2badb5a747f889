"""What exists, what is missing, and which command brings it."""

from dataclasses import dataclass

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import (
    bronze_table,
    gold_table,
    predictions_table,
    quarantine_table,
    silver_table,
)
from goldpath.project import unused_definitions
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.settings import Settings


@dataclass(frozen=True)
class ProjectStatus:
    """The project at a glance."""

    dataset: str
    problem: str
    tables: dict[str, str]
    champion: str
    definitions: str
    next_command: str


def project_status(settings: Settings, contract: Contract) -> ProjectStatus:
    """Look at the lake and the registry; nothing is changed and nothing must exist."""
    lakehouse = open_lakehouse(settings)
    names = (bronze_table, silver_table, quarantine_table, gold_table, predictions_table)
    tables = {}
    for name in names:
        snapshot = lakehouse.snapshot(name(contract))
        tables[str(name(contract))] = f"{snapshot.rows} rows" if snapshot else "missing"
    try:
        champion = MLflowManager(settings, contract).champion_version()
        shown = f"version {champion.version}" if champion else "none"
    except ProjectError as error:
        champion, shown = None, f"unknown: {error.message}"
    if lakehouse.snapshot(gold_table(contract)) is None:
        following = "make data"
    elif champion is None:
        following = "make train-local"
    else:
        following = "make serve"
    own = unused_definitions(contract.dataset) or f"those of {settings.project.name}"
    return ProjectStatus(contract.dataset, contract.problem, tables, shown, own, following)
