"""A registry at another path: the database names its files absolutely, so the names must follow."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

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


def relocate(database: str, before: str, after: str) -> int:
    """Let the database name the folder `after` where it named `before`.

    Args:
        database: sqlite:///… or a URL for SQLAlchemy.
        before: The former absolute folder.
        after: The new one.

    Returns:
        How many places were changed.
    """
    if before == after:
        return 0
    pairs = [(Path(before).as_uri(), Path(after).as_uri()), (before, after)]
    if database.startswith(SQLITE):
        with closing(sqlite3.connect(database.removeprefix(SQLITE))) as file, file:
            return _rewrite(lambda sql, values: file.execute(sql, values).rowcount, "?", pairs)
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
