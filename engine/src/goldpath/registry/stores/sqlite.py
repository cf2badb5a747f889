"""The registry in MLflow's SQLite file, read and moved without importing MLflow.

MLflow's tables are read as MLflow 3.17 writes them, and only where the file says that it has
exactly that schema; any other goes through MLflow's client. Written are aliases and tags: single
rows, as MLflow writes them. MLflow sends webhooks from its server only, so none is missed.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from goldpath.model_version import ModelVersion
from goldpath.registry.stores.answering import WAIT_SECONDS, file_error, require_answer
from goldpath.registry.stores.mlflow import MlflowStore
from goldpath.registry.stores.store import SQLITE, RegisteredModel, RegistryError, RunRecord

KNOWN_SCHEMAS = frozenset({"dc11669786a5"})
"""Alembic's revision in MLflow 3.17."""

WORKSPACE = "default"
DELETED = "Deleted_Internal"
BUSY_SECONDS = 20.0
"""Writers wait so long for one another; whoever looks gives up sooner (`answering`)."""

Row = tuple[object, ...]


class SqliteStore(MlflowStore):
    """Reads and moves aliases by SQL; everything else is MLflow's.

    Args:
        uri: sqlite:/// and the file's path.
    """

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.file = Path(uri.removeprefix(SQLITE))

    @staticmethod
    def knows(uri: str) -> bool:
        """Whether the file exists and has a schema that is known here.

        Raises:
            RegistryError: If it is locked, damaged or empty.
        """
        file = Path(uri.removeprefix(SQLITE))
        if not file.is_file():
            return False
        try:
            with closing(_connect(file)) as connection:
                found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        except sqlite3.Error as error:
            if "no such table" not in str(error):
                raise file_error(file, error) from error
            require_answer(uri)  # an empty file has lost its tables
            return False
        return len(found) == 1 and found[0][0] in KNOWN_SCHEMAS

    def model(self, name: str) -> RegisteredModel | None:
        """A registered model, or None."""
        return next(iter(self._models("AND name = ?", name)), None)

    def models(self) -> list[RegisteredModel]:
        """All registered models, by name."""
        return self._models("")

    def version(self, name: str, version: str) -> ModelVersion | None:
        """A version, or None."""
        if not version.isdigit():
            return None
        return next(iter(self._versions("AND version = ?", name, int(version))), None)

    def version_by_alias(self, name: str, alias: str) -> ModelVersion | None:
        """The version that an alias points at, or None."""
        condition = (
            "AND version = (SELECT version FROM registered_model_aliases "
            "WHERE workspace = ? AND name = ? AND alias = ?)"
        )
        return next(iter(self._versions(condition, name, WORKSPACE, name, alias)), None)

    def versions(self, name: str) -> list[ModelVersion]:
        """All versions, the oldest first."""
        return self._versions("", name)

    def model_location(self, model_id: str) -> str | None:
        """Where a logged model's files are, or None."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT artifact_location FROM logged_models WHERE model_id = ?", (model_id,)
            ).fetchone()
        return str(found[0]) if found else None

    def run(self, run_id: str) -> RunRecord | None:
        """A run, or None."""
        with self._reading() as connection:
            found = connection.execute(
                "SELECT name, status, lifecycle_stage, artifact_uri FROM runs WHERE run_uuid = ?",
                (run_id,),
            ).fetchone()
            if found is None:
                return None

            def pairs(table: str) -> dict[str, str]:
                query = f"SELECT key, value FROM {table} WHERE run_uuid = ?"  # noqa: S608
                return dict(connection.execute(query, (run_id,)))

            metrics = connection.execute(
                "SELECT key, CASE WHEN is_nan THEN NULL ELSE value END FROM latest_metrics "
                "WHERE run_uuid = ?",
                (run_id,),
            )
            return RunRecord(
                run_id=run_id,
                name=found[0] or "",
                status=found[1] or "",
                deleted=found[2] == "deleted",
                parameters=pairs("params"),
                metrics={key: float("nan") if value is None else value for key, value in metrics},
                tags=pairs("tags"),
                artifact_uri=found[3] or "",
            )

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        with self._writing() as connection:
            self._require(connection, name, version)
            self._put_alias(connection, name, alias, version)

    def swap_alias(
        self, name: str, alias: str, before: str | None, after: str | None, tag: tuple[str, str]
    ) -> bool:
        """Move an alias and set a tag of the model, if the alias is where it is said to be.

        One transaction: nobody moves it in between, and neither is done without the other.

        Args:
            name: The registered model.
            alias: The alias.
            before: The version that it must point at; None where it must not exist.
            after: The version that it shall point at; None to remove it.
            tag: Key and value.

        Returns:
            Whether it was moved.
        """
        with self._writing() as connection:
            if _aliases(connection, name).get(alias) != before:
                return False
            if after is None:
                self._drop_alias(connection, name, alias)
            else:
                self._require(connection, name, after)
                self._put_alias(connection, name, alias, after)
            self._put_model_tag(connection, name, *tag)
        return True

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove an alias; nothing happens where there is none."""
        with self._writing() as connection:
            self._drop_alias(connection, name, alias)

    def set_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        """Tag a version."""
        with self._writing() as connection:
            self._require(connection, name, version)
            connection.execute(
                "INSERT INTO model_version_tags (workspace, name, version, key, value) "
                "VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (workspace, key, name, version) DO UPDATE SET value = excluded.value",
                (WORKSPACE, name, int(version), key, value),
            )

    def delete_version_tag(self, name: str, version: str, key: str) -> None:
        """Remove a tag."""
        with self._writing() as connection:
            connection.execute(
                "DELETE FROM model_version_tags "
                "WHERE workspace = ? AND name = ? AND version = ? AND key = ?",
                (WORKSPACE, name, int(version), key),
            )

    def set_model_tag(self, name: str, key: str, value: str) -> None:
        """Tag a registered model."""
        with self._writing() as connection:
            self._put_model_tag(connection, name, key, value)

    def _put_alias(
        self, connection: sqlite3.Connection, name: str, alias: str, version: str
    ) -> None:
        connection.execute(
            "INSERT INTO registered_model_aliases (workspace, name, alias, version) "
            "VALUES (?, ?, ?, ?) "
            "ON CONFLICT (workspace, name, alias) DO UPDATE SET version = excluded.version",
            (WORKSPACE, name, alias, int(version)),
        )

    def _drop_alias(self, connection: sqlite3.Connection, name: str, alias: str) -> None:
        connection.execute(
            "DELETE FROM registered_model_aliases WHERE workspace = ? AND name = ? AND alias = ?",
            (WORKSPACE, name, alias),
        )

    def _put_model_tag(
        self, connection: sqlite3.Connection, name: str, key: str, value: str
    ) -> None:
        connection.execute(
            "INSERT INTO registered_model_tags (workspace, name, key, value) "
            "VALUES (?, ?, ?, ?) "
            "ON CONFLICT (workspace, key, name) DO UPDATE SET value = excluded.value",
            (WORKSPACE, name, key, value),
        )

    def _models(self, condition: str, *values: object) -> list[RegisteredModel]:
        query = (
            "SELECT name, description, creation_time FROM registered_models "  # noqa: S608
            f"WHERE workspace = ? {condition} ORDER BY name"
        )
        with self._reading() as connection:
            rows = connection.execute(query, (WORKSPACE, *values)).fetchall()
            return [
                RegisteredModel(
                    name=name,
                    description=description or "",
                    tags=dict(
                        connection.execute(
                            "SELECT key, value FROM registered_model_tags "
                            "WHERE workspace = ? AND name = ?",
                            (WORKSPACE, name),
                        )
                    ),
                    aliases=_aliases(connection, name),
                    created=(created or 0) / 1000,
                )
                for name, description, created in rows
            ]

    def _versions(self, condition: str, name: str, *values: object) -> list[ModelVersion]:
        query = (
            "SELECT version, run_id, description, source, creation_time, current_stage "  # noqa: S608
            "FROM model_versions WHERE workspace = ? AND name = ? "
            f"AND current_stage != '{DELETED}' {condition} ORDER BY version"
        )
        with self._reading() as connection:
            rows = connection.execute(query, (WORKSPACE, name, *values)).fetchall()
            aliases = _aliases(connection, name)
            tags: dict[int, dict[str, str]] = {}
            for version, key, value in connection.execute(
                "SELECT version, key, value FROM model_version_tags "
                "WHERE workspace = ? AND name = ?",
                (WORKSPACE, name),
            ):
                tags.setdefault(version, {})[key] = value
        return [
            ModelVersion(
                name=name,
                version=str(number),
                run_id=run_id or "",
                aliases=tuple(
                    sorted(alias for alias, version in aliases.items() if version == str(number))
                ),
                tags=tags.get(number, {}),
                description=description or "",
                source=source or "",
                created=(created or 0) / 1000,
                mlflow_stage=stage or "None",
            )
            for number, run_id, description, source, created, stage in rows
        ]

    def _require(self, connection: sqlite3.Connection, name: str, version: str) -> None:
        found = connection.execute(
            "SELECT 1 FROM model_versions WHERE workspace = ? AND name = ? AND version = ? "
            "AND current_stage != ?",
            (WORKSPACE, name, int(version) if version.isdigit() else -1, DELETED),
        ).fetchone()
        if found is None:
            raise RegistryError(
                f"{name} has no version {version}", "see what there is: registry list"
            )

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(_connect(self.file)) as connection:
                yield connection
        except sqlite3.Error as error:
            raise file_error(self.file, error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self.file, timeout=BUSY_SECONDS)) as connection:
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("BEGIN IMMEDIATE")
                with connection:
                    yield connection
        except sqlite3.Error as error:
            raise file_error(self.file, error) from error


def _aliases(connection: sqlite3.Connection, name: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT alias, version FROM registered_model_aliases WHERE workspace = ? AND name = ?",
        (WORKSPACE, name),
    )
    return {alias: str(version) for alias, version in rows}


def _connect(file: Path) -> sqlite3.Connection:
    # Not mode=ro: a killed writer leaves a journal that the next one who opens the file rolls back.
    # A file that nobody may write to is opened for reading all the same.
    connection = sqlite3.connect(
        f"{file.resolve().as_uri()}?mode=rw", uri=True, timeout=WAIT_SECONDS
    )
    connection.execute("PRAGMA query_only = ON")
    return connection
