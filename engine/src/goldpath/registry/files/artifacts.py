"""Artifacts without MLflow's import: files of this machine, and those that an MLflow server serves.

A service that starts, and each of its workers, would pay seconds and a hundred megabytes for that
import. Other stores (S3 without a server in between, …) are left to MLflow.
"""

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from goldpath.registry.stores.rest import RestStore
from goldpath.registry.stores.store import RegistryError, RegistryStore

SERVED = "mlflow-artifacts"
SERVED_API = "/api/2.0/mlflow-artifacts/artifacts"


def can_fetch(store: RegistryStore, location: str) -> bool:
    """Whether the location can be read without MLflow."""
    return _local(location) is not None or (
        isinstance(store, RestStore) and urlsplit(location).scheme == SERVED
    )


def has_file(store: RegistryStore, location: str, path: str) -> bool:
    """Whether there is a file of this path below the location.

    Raises:
        RegistryError: If the server does not answer.
    """
    folder = _local(location)
    if folder is not None:
        return (folder / path).is_file()
    parent, _, name = path.rpartition("/")
    return any(
        item["path"] == name and not item["is_dir"] for item in _listed(store, location, parent)
    )


def fetch_file(store: RegistryStore, location: str, path: str, folder: Path) -> Path:
    """Copy one file into a folder, under its own name.

    Raises:
        RegistryError: If there is no such file, or the server does not answer.
    """
    target = folder / path.rpartition("/")[2]
    source = _local(location)
    if source is None:
        target.write_bytes(_content(store, _served_path(location, path)))
        return target
    try:
        shutil.copyfile(source / path, target)
    except OSError as error:
        raise _missing(f"{location}/{path}", error) from error
    return target


def fetch_folder(store: RegistryStore, location: str, folder: Path) -> None:
    """Copy everything below the location into a folder.

    Raises:
        RegistryError: If it is not there, or the server does not answer.
    """
    source = _local(location)
    if source is None:
        _fetch_served(store, location, "", folder)
        return
    try:
        # Links are copied as links, so that the signature's check finds and refuses them.
        shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True)
    except OSError as error:
        raise _missing(location, error) from error


def _local(location: str) -> Path | None:
    """The folder of a `file:` URI or of a plain path."""
    parts = urlsplit(location)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return Path(unquote(parts.path))
    return Path(location) if location.startswith("/") else None


def _fetch_served(store: RegistryStore, location: str, below: str, folder: Path) -> None:
    for item in _listed(store, location, below):
        name = str(item["path"])
        if name in ("", ".", "..") or "/" in name or "\\" in name:
            raise RegistryError(
                f"the MLflow server lists a file called {name!r}", "do not trust this server"
            )
        path = f"{below}/{name}" if below else name
        if item["is_dir"]:
            (folder / name).mkdir(exist_ok=True)
            _fetch_served(store, location, path, folder / name)
        else:
            (folder / name).write_bytes(_content(store, _served_path(location, path)))


def _listed(store: RegistryStore, location: str, below: str) -> list[dict[str, Any]]:
    target = f"{SERVED_API}?path={quote(_served_path(location, below), safe='')}"
    found: list[dict[str, Any]] = json.loads(_asked(store, target) or b"{}").get("files", [])
    return found


def _content(store: RegistryStore, path: str) -> bytes:
    return _asked(store, f"{SERVED_API}/{quote(path)}")


def _asked(store: RegistryStore, target: str) -> bytes:
    if not isinstance(store, RestStore):
        raise TypeError("only a server serves artifacts")
    status, content = store.exchange("GET", target)
    if status != 200:
        text = content.decode("utf-8", "replace")[:200]
        raise _missing(unquote(target.partition(SERVED_API)[2]), f"HTTP {status} {text}")
    return content


def _served_path(location: str, path: str) -> str:
    """Where the server keeps it: mlflow-artifacts:/1/run/artifacts and a path below."""
    return "/".join(part for part in (urlsplit(location).path.strip("/"), path) if part)


def _missing(what: str, why: object) -> RegistryError:
    return RegistryError(f"{what} cannot be read: {why}", "register it again: make train-local")
