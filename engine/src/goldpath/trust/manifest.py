"""The files of a model's folder and their digests: what a signature is made over."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NoReturn

import yaml

from goldpath.trust.signing_keys import SignatureError

SIGNATURE_FILE = "signature.json"
REGISTRY_NOTE = "registered_model_meta"
"""MLflow writes this file into a folder that it downloads, so it cannot have been signed."""

RETRAIN = "register the model again: make train-local"


def model_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file of the folder by its relative path; links and special files are refused."""
    for parent, directories, names in os.walk(folder, onerror=_raise):
        directories.sort()
        for entry in sorted([*directories, *names]):
            path = Path(parent) / entry
            name = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                refuse(f"{name} is a symbolic link")
            if stat.S_ISDIR(mode) or name == SIGNATURE_FILE:
                continue
            if not stat.S_ISREG(mode):
                refuse(f"{name} is not a regular file")
            if name == REGISTRY_NOTE and _is_registry_note(path):
                continue
            check_path(name)
            yield name, path


def _is_registry_note(file: Path) -> bool:
    """Whether the file holds no more than the name and version that MLflow notes there."""
    if file.stat().st_size > 4096:
        return False
    try:
        values = yaml.safe_load(file.read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    return isinstance(values, dict) and set(values) == {"model_name", "model_version"}


def content_digests(contents: Mapping[str, bytes]) -> dict[str, str]:
    """The manifest of files that are in memory."""
    for name in contents:
        check_path(name)
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def file_digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def manifest_digest(files: Mapping[str, str]) -> str:
    """SHA-256 of a manifest in its one spelling: sorted keys, no blanks, ASCII."""
    text = json.dumps(dict(files), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def check_path(name: object) -> None:
    """A path stays inside the folder, is spelled in one way only, and means one thing anywhere."""
    if (
        not isinstance(name, str)
        or not name.isprintable()
        or re.search(r'[\\:*?"<>|]', name)
        or PurePosixPath(name).is_absolute()
        or any(part in ("", ".", "..") for part in name.split("/"))
    ):
        refuse(f"{name!r} is not a plain relative path")


def refuse(message: str) -> NoReturn:
    """Raise that a model is not what was signed."""
    raise SignatureError(message, RETRAIN)


def _raise(error: OSError) -> NoReturn:
    raise SignatureError(f"{error.filename} cannot be read: {error.strerror}", RETRAIN) from error
