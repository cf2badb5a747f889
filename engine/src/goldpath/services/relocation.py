"""A project at another path: lake and registry name their files absolutely; the names must follow.

What was copied is relocated like what was moved: its files then name this folder, and the other
folder, whose files are never touched, stays what it was.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from goldpath.lake.local.relocation import foreign_warehouse, relocate_lake
from goldpath.registry.stores.answering import WAIT_SECONDS, file_error
from goldpath.registry.stores.artifact_root import ARTIFACTS, foreign_artifacts
from goldpath.registry.stores.store import RegistryError
from goldpath.settings import Settings

SQLITE = "sqlite:///"
COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""Where MLflow 3.17 writes absolute locations."""

TAGS = (("experiment_tags", "value"), ("trace_tags", "value"))


@dataclass(frozen=True)
class Relocation:
    """What names another folder, and what was done about it.

    Attributes:
        project: This project's folder.
        lake: The warehouse that the lake named; empty where it is this project's.
        registry: The artifacts that the registry named; empty where they are this project's.
        tables: How many tables were relocated.
        places: How many places in the registry's database.
        next: What to do now.
    """

    project: str
    lake: str
    registry: str
    tables: int = 0
    places: int = 0
    next: str = ""


def relocate_project(settings: Settings, *, yes: bool = True) -> Relocation:
    """Let a copied or moved project's lake and registry name their own folder.

    Args:
        settings: Say where lake and registry are.
        yes: Whether to do it; else it is only said what would be done.

    Raises:
        LakehouseError: If files of the lake are not here; nothing is changed then.
        RegistryError: If the registry's files are not here, and nothing is changed then; or if its
            database is locked or damaged.
    """
    root, local = settings.root, settings.lake.backend == "local"
    catalog, warehouse = root / settings.lake.catalog, root / settings.lake.warehouse
    lake = foreign_warehouse(catalog, warehouse, root) if local else None
    registry = foreign_artifacts(settings.tracking_uri, root)
    found = Relocation(str(root), str(lake or ""), str(registry or ""))
    if lake is None and registry is None:
        return replace(found, next="nothing: all files are this project's")
    if registry is not None and not (root / ARTIFACTS).is_dir():
        raise RegistryError(
            f"{root / ARTIFACTS} is missing, so the registry cannot be relocated",
            "copy the folder mlflow/ as a whole, or restore it (make restore FROM=backups/…), or "
            "move it away and begin with an empty registry (mv mlflow mlflow.damaged)",
        )
    if not yes:
        return replace(found, next="make relocate ARGS=--yes")
    tables = places = 0
    while lake is not None:  # a project that moved twice may name two folders
        tables += relocate_lake(catalog, lake, warehouse)
        lake = foreign_warehouse(catalog, warehouse, root)
    while registry is not None:
        places += relocate(settings.tracking_uri, str(registry), str(root / ARTIFACTS))
        former, registry = registry, foreign_artifacts(settings.tracking_uri, root)
        if registry == former:
            raise RegistryError(
                f"the registry still names {former}", "stop what uses it: make mlflow-down"
            )
    return replace(found, tables=tables, places=places, next="make status")


def relocate(database: str, before: str, after: str) -> int:
    """Let the database name the folder `after` where it named `before`.

    Args:
        database: sqlite:///… or a URL for SQLAlchemy.
        before: The former absolute folder.
        after: The new one.

    Returns:
        How many places were changed.

    Raises:
        RegistryError: If it is a SQLite file that is locked or damaged.
    """
    if before == after:
        return 0
    pairs = [(Path(before).as_uri(), Path(after).as_uri()), (before, after)]
    if database.startswith(SQLITE):
        path = Path(database.removeprefix(SQLITE))
        try:
            with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as file, file:
                return _rewrite(lambda sql, values: file.execute(sql, values).rowcount, "?", pairs)
        except sqlite3.Error as error:
            raise file_error(path, error) from error
    from sqlalchemy import create_engine

    # SQLAlchemy's name of the driver that is installed with the project (psycopg 3).
    url = database.replace("postgres://", "postgresql://", 1)
    url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url.replace("postgresql+psycopg2://", "postgresql+psycopg://", 1))
    try:
        with engine.begin() as connection:
            return _rewrite(
                lambda sql, values: connection.exec_driver_sql(sql, values).rowcount, "%s", pairs
            )
    finally:
        engine.dispose()


def _rewrite(execute: Any, mark: str, pairs: Sequence[tuple[str, str]]) -> int:
    changed = 0
    for table, column in (*COLUMNS, *TAGS):
        for before, after in pairs:
            # A prefix, followed by nothing or a slash: /data/mlflow is not in /data/mlflow-old.
            changed += execute(
                f"UPDATE {table} SET {column} = {mark} || substr({column}, {len(before) + 1}) "  # noqa: S608
                f"WHERE {column} = {mark} OR substr({column}, 1, {len(before) + 1}) = {mark}",
                (after, before, before + "/"),
            )
    return changed
