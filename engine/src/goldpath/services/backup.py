"""Backup and restore of the registry: database first, then files, with a manifest of both.

In this order, because MLflow writes files before it writes the row that names them: a database that
is older than the files misses nothing, one that is newer names files that are not there.
"""

import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from goldpath.presentation import step
from goldpath.services.backup_database import (
    SQLITE,
    BackupError,
    dump_database,
    is_empty,
    load_database,
    scheme,
    shown_database,
)
from goldpath.services.relocation import relocate
from goldpath.settings import Settings

__all__ = [
    "BackupError",
    "BackupResult",
    "Manifest",
    "RegistryPlace",
    "backup",
    "project_registry",
    "restore",
    "verify_backup",
]

MANIFEST = "manifest.json"
ARTIFACTS = "artifacts"
AUDIT = "audit"
FORMAT = 1


@dataclass(frozen=True)
class Manifest:
    """What a backup holds.

    Attributes:
        format: The layout's number.
        created: When, UTC.
        database: sqlite or postgresql.
        artifact_root: Where the files were; the database names them with it.
        files: SHA-256 by path.
    """

    format: int
    created: str
    database: str
    artifact_root: str
    files: dict[str, str]


@dataclass(frozen=True)
class BackupResult:
    """What was saved or brought back.

    Attributes:
        backup: The folder or tar file.
        database: sqlite or postgresql.
        files: How many files, the database's among them.
        megabytes: Their size.
        relocated: How many places in the database name the new folder; 0 where it is the same.
    """

    backup: str
    database: str
    files: int
    megabytes: float
    relocated: int = 0


@dataclass(frozen=True)
class RegistryPlace:
    """Where a registry is.

    Attributes:
        database: sqlite:/// or postgresql:// and the rest.
        artifacts: The folder with its files.
        audit: The audit log's folder; None to leave it out.
    """

    database: str
    artifacts: Path
    audit: Path | None = None


def project_registry(settings: Settings, database: str | None = None) -> RegistryPlace:
    """The project's own registry, or the database behind a server.

    Raises:
        BackupError: If MLflow is a server and its database is not named.
    """
    uri = database or settings.tracking_uri
    if uri.startswith("http"):
        raise BackupError(
            "a server's database is not reached over HTTP",
            "name it: --database postgresql://… (and --artifacts, its files), on the server",
        )
    if uri.startswith(SQLITE):
        folder = Path(uri.removeprefix(SQLITE)).parent
    else:
        folder = settings.root / "mlflow"
    audit = (settings.root / settings.registry.audit_log).parent
    return RegistryPlace(uri, folder / ARTIFACTS, audit if audit != settings.root else None)


def backup(place: RegistryPlace, target: Path) -> BackupResult:
    """Save a registry, while it is in use, into a new folder or `.tar` file.

    Raises:
        BackupError: If the target exists, or the database cannot be read.
    """
    if target.exists():
        raise BackupError(f"{target} exists", "name a new one: a backup overwrites nothing")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    if part.exists():
        shutil.rmtree(part)
    part.mkdir()
    step("backup: database")
    kind = dump_database(place.database, part)
    step("backup: files")
    if place.artifacts.is_dir():
        shutil.copytree(place.artifacts, part / ARTIFACTS, symlinks=True)
    if place.audit is not None and place.audit.is_dir():
        shutil.copytree(place.audit, part / AUDIT, ignore=shutil.ignore_patterns("*.lock"))
    manifest = Manifest(
        FORMAT,
        datetime.now(UTC).isoformat(timespec="seconds"),
        kind,
        str(place.artifacts.resolve()),
        {name: _digest(file) for name, file in _walk(part)},
    )
    (part / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    size = sum(file.stat().st_size for _, file in _walk(part))
    if target.suffix == ".tar":
        packed = target.with_name(f"{target.name}.packing")
        with tarfile.open(packed, "w") as archive:
            archive.add(part, arcname=".")
        shutil.rmtree(part)
        packed.replace(target)
    else:
        part.replace(target)
    return BackupResult(str(target), kind, len(manifest.files), round(size / 1e6, 2))


def restore(source: Path, place: RegistryPlace, *, force: bool = False) -> BackupResult:
    """Bring a registry back, here or at another path, after its manifest was verified.

    Args:
        source: The backup.
        place: Where the registry shall be.
        force: Whether a registry that is there is replaced.

    Raises:
        BackupError: If the backup is damaged, or there is a registry already.
    """
    with _opened(source) as folder:
        manifest = verify_backup(folder)
        if (manifest.database == "sqlite") != place.database.startswith(SQLITE):
            raise BackupError(
                f"the backup is of {manifest.database}, and {scheme(place.database)} is to be "
                "restored",
                "name a database of the same kind: --database",
            )
        _require_empty(place, force=force)
        step("restore: database")
        load_database(folder, place.database, force=force)
        step("restore: files")
        _replace_folder(folder / ARTIFACTS, place.artifacts)
        if place.audit is not None and (folder / AUDIT).is_dir():
            _replace_folder(folder / AUDIT, place.audit)
        moved = relocate(place.database, manifest.artifact_root, str(place.artifacts.resolve()))
        size = sum(file.stat().st_size for _, file in _walk(folder))
        return BackupResult(
            str(source), manifest.database, len(manifest.files), round(size / 1e6, 2), moved
        )


def verify_backup(folder: Path) -> Manifest:
    """Check every file of a backup against its manifest.

    Raises:
        BackupError: Names the first file that is missing, altered or not in the manifest.
    """
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(**values)
    except (OSError, ValueError, TypeError) as error:
        raise BackupError(
            f"{folder} is no backup: it holds no {MANIFEST} that can be read",
            "name one: make restore FROM=backups/registry-…",
        ) from error
    if manifest.format != FORMAT:
        raise BackupError(f"the backup has format {manifest.format}, known is {FORMAT}", "")
    found = {name: file for name, file in _walk(folder) if name != MANIFEST}
    for name in sorted(set(found) ^ set(manifest.files)):
        fault = "is missing" if name not in found else "is not in the manifest"
        raise BackupError(f"the backup is damaged: {name} {fault}", "use another backup")
    for name, file in found.items():
        if _digest(file) != manifest.files[name]:
            raise BackupError(f"the backup is damaged: {name} was altered", "use another backup")
    return manifest


def _require_empty(place: RegistryPlace, *, force: bool) -> None:
    if force:
        return
    fix = "restore elsewhere, or overwrite it with --force"
    if not is_empty(place.database):
        raise BackupError(f"there is a registry already: {shown_database(place.database)}", fix)
    for folder in (place.artifacts, place.audit):
        if folder is not None and folder.is_dir() and any(folder.iterdir()):
            raise BackupError(f"{folder} is not empty", fix)


@contextmanager
def _opened(source: Path) -> Iterator[Path]:
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise BackupError(f"there is no backup {source}", "make backup")
    with TemporaryDirectory(prefix="restore-") as name:
        try:
            with tarfile.open(source) as archive:
                archive.extractall(name, filter="data")
        except (tarfile.TarError, OSError) as error:
            raise BackupError(
                f"{source} cannot be unpacked: {error}", "use another backup"
            ) from error
        yield Path(name)


def _replace_folder(source: Path, target: Path) -> None:
    """Put a folder in place of another in one step; a former one is gone only then."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part, former = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.old")
    for leftover in (part, former):
        shutil.rmtree(leftover, ignore_errors=True)
    if source.is_dir():
        shutil.copytree(source, part, symlinks=True)
    else:
        part.mkdir()
    if target.exists():
        target.replace(former)
    part.replace(target)
    shutil.rmtree(former, ignore_errors=True)


def _walk(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() or file.is_symlink():
            yield str(PurePosixPath(file.relative_to(folder))), file


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
