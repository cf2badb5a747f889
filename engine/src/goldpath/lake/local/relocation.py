"""A lake whose folder was copied or moved: its files name one another by absolute paths.

Iceberg has no relative paths. So a copy's catalog names the files of the original, into which it
would write; it is refused until its files name its own folder.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldpath.lake.lakehouse import LakehouseError
from goldpath.lake.local.avro_paths import NewPath, rewrite_paths
from goldpath.lake.local.damage import ANEW, BUSY_SECONDS, catalog_errors, way_out

FILE_SCHEME = "file://"
RELOCATE = (
    "make relocate shows what would change, make relocate ARGS=--yes does it: this project then "
    "has files of its own, and the other folder stays as it is"
)


@dataclass(frozen=True)
class CatalogEntry:
    """A table's row in the catalog.

    Attributes:
        layer: The namespace.
        name: The table.
        metadata: Where its current metadata is.
        previous: Where the metadata before that is; empty for a new table.
    """

    layer: str
    name: str
    metadata: str
    previous: str

    def warehouse(self) -> Path | None:
        """The warehouse that the metadata's path is in; None where it lies otherwise."""
        place, found, _ = self.metadata.rpartition(f"/{self.layer}/{self.name}/metadata/")
        return Path(place.removeprefix(FILE_SCHEME)) if found else None


def catalog_entries(catalog: Path) -> list[CatalogEntry]:
    """The tables of a catalog, read without Iceberg.

    Raises:
        LakehouseError: If the file is locked, or is no database that can be read.
    """
    with catalog_errors(catalog):
        if not catalog.is_file():
            return []
    with (
        catalog_errors(catalog),
        closing(sqlite3.connect(catalog, timeout=BUSY_SECONDS)) as connection,
    ):
        known = connection.execute(
            "SELECT name FROM sqlite_master WHERE name = 'iceberg_tables'"
        ).fetchall()
        rows = known and connection.execute(
            "SELECT table_namespace, table_name, metadata_location, previous_metadata_location "
            "FROM iceberg_tables WHERE metadata_location IS NOT NULL"
        )
        return [CatalogEntry(layer, name, now, before or "") for layer, name, now, before in rows]


def foreign_warehouse(catalog: Path, warehouse: Path, root: Path) -> Path | None:
    """The warehouse of another folder that the catalog names; None where all is this project's."""
    for entry in catalog_entries(catalog):
        found = entry.warehouse()
        if found is None or found == warehouse or found.is_relative_to(root):
            continue
        if found.exists() and warehouse.exists() and found.samefile(warehouse):
            continue
        return found
    return None


def require_own_files(catalog: Path, warehouse: Path, root: Path) -> None:
    """Refuse to write where the catalog names another folder's files.

    Raises:
        LakehouseError: Names both folders and the command that relocates.
    """
    former = foreign_warehouse(catalog, warehouse, root)
    if former is not None:
        raise LakehouseError(
            f"the lake of this project ({root}) names its files in {former}, "
            + (
                "which belongs to another folder: this one is a copy"
                if former.exists()
                else "which is gone: the project was moved"
            ),
            RELOCATE,
        )


def relocate_lake(catalog: Path, former: Path, warehouse: Path) -> int:
    """Let a lake's files name the folder that they are in; a killed call is done again.

    Args:
        catalog: The catalog's file.
        former: The warehouse that it names.
        warehouse: The one that its files are in.

    Returns:
        How many tables were relocated.

    Raises:
        LakehouseError: If a table's current metadata is missing or damaged, and nothing is changed
            then; or if a file cannot be written.
    """

    def new_path(text: str) -> str:
        scheme = FILE_SCHEME if text.startswith(FILE_SCHEME) else ""
        path = text.removeprefix(scheme)
        inside = path == str(former) or path.startswith(f"{former}/")
        return f"{scheme}{warehouse}{path[len(str(former)) :]}" if inside else text

    entries = [entry for entry in catalog_entries(catalog) if entry.warehouse() == former]
    for entry in entries:
        with _file_errors(entry):
            _require_metadata(entry, Path(new_path(entry.metadata).removeprefix(FILE_SCHEME)))
    for entry in entries:
        with _file_errors(entry):
            _relocate_table(warehouse / entry.layer / entry.name / "metadata", new_path)
    with (
        catalog_errors(catalog),
        closing(sqlite3.connect(catalog, timeout=BUSY_SECONDS)) as connection,
        connection,
    ):
        for entry in entries:
            connection.execute(
                "UPDATE iceberg_tables SET metadata_location = ?, previous_metadata_location = ? "
                "WHERE table_namespace = ? AND table_name = ?",
                (
                    new_path(entry.metadata),
                    new_path(entry.previous) or None,
                    entry.layer,
                    entry.name,
                ),
            )
    return len(entries)


@contextmanager
def _file_errors(entry: CatalogEntry) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LakehouseError(
            f"{entry.layer}.{entry.name} cannot be relocated: {error}", way_out(error)
        ) from error


def _require_metadata(entry: CatalogEntry, file: Path) -> None:
    try:
        json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError) as error:
        state = f"is damaged ({error})" if isinstance(error, ValueError) else "is missing"
        raise LakehouseError(
            f"{file} {state}, so {entry.layer}.{entry.name} cannot be relocated",
            f"copy the whole folder lake/ again, or {ANEW}",
        ) from error


def _relocate_table(metadata: Path, new_path: NewPath) -> None:
    """Relocate a table's metadata.

    Torn files are skipped: those of a killed writer belong to no snapshot, and if a snapshot needs
    one, the first read names it.
    """
    avro = sorted(metadata.glob("*.avro"))
    # Manifests first: a list says how long each of them is.
    for file in sorted(avro, key=lambda file: file.name.startswith("snap-")):
        with suppress(ValueError, FileNotFoundError):
            rewrite_paths(file, new_path)
    for file in metadata.glob("*.metadata.json"):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, FileNotFoundError):
            continue
        draft = file.with_name(f".{file.name}.draft")
        draft.write_text(json.dumps(_with_paths(content, new_path)), encoding="utf-8")
        draft.replace(file)


def _with_paths(value: Any, new_path: NewPath) -> Any:
    if isinstance(value, str):
        return new_path(value)
    if isinstance(value, list):
        return [_with_paths(item, new_path) for item in value]
    if isinstance(value, dict):
        return {key: _with_paths(item, new_path) for key, item in value.items()}
    return value
