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

NAMES = (bronze_table, silver_table, quarantine_table, gold_table, predictions_table)


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
    """Look at the lake and the registry; nothing is changed and nothing must exist.

    A store that does not answer is named, and what to do about it comes before everything else.
    """
    tables, lake_next = _tables(settings, contract)
    champion, registry_next = _champion(settings, contract)
    own = unused_definitions(contract.dataset) or f"those of {settings.project.name}"
    following = lake_next or registry_next or "make serve"
    return ProjectStatus(contract.dataset, contract.problem, tables, champion, own, following)


def _tables(settings: Settings, contract: Contract) -> tuple[dict[str, str], str]:
    """The tables with their rows, and what is to be done for the lake."""
    tables = {}
    try:
        lakehouse = open_lakehouse(settings)
        for name in NAMES:
            snapshot = lakehouse.snapshot(name(contract))
            tables[str(name(contract))] = f"{snapshot.rows} rows" if snapshot else "missing"
    except ProjectError as error:
        return {"lake": f"unknown: {error.message}"}, error.fix or "make data"
    missing = tables[str(gold_table(contract))] == "missing"
    return tables, "make data" if missing else ""


def _champion(settings: Settings, contract: Contract) -> tuple[str, str]:
    """The champion, and what is to be done for the registry."""
    try:
        manager = MLflowManager(settings, contract)
        champion = manager.champion_version()
        newest = manager.newest_version() if champion is None else None
    except ProjectError as error:
        return f"unknown: {error.message}", error.fix or "make train-local"
    if champion is not None:
        return f"version {champion.version}", ""
    if newest is not None:
        return f"none; the newest version is {newest.version}", "make promote"
    return "none", "make train-local"
