"""The last model that served, kept on this machine: what serves while the registry is away.

A service that starts while MLflow is down loads it, verified again, and says so in `/ready`. The
files lie in a folder named by their digest; `current.json` names the one that counts and is
replaced in one step, so a kill in between leaves the former model.
"""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from goldpath.model_version import ModelVersion
from goldpath.registry.files.registered import require_registered
from goldpath.settings import Settings
from goldpath.trust.signing import Signature, parse_signature, verify_folder

CURRENT = "current.json"


def keep_model(
    folder: Path, version: ModelVersion, signature: Signature, settings: Settings
) -> None:
    """Keep a verified model's folder; the one that was kept before goes.

    Kept is what the alias that the service follows points at, and nothing else: neither what a
    smoke test serves as `staging` nor another version that somebody loads. Failing (a full or a
    read-only disk) costs nothing but the copy.
    """
    if settings.serving.alias not in version.aliases:
        return
    cache = _cache(settings, version.name)
    target = cache / signature.digest
    draft = cache / f".{signature.digest}-{os.getpid()}"
    try:
        if not target.exists():
            cache.mkdir(parents=True, exist_ok=True)
            shutil.copytree(folder, draft, symlinks=True)
            draft.rename(target)
        described = {
            "version": asdict(version) | {"tags": dict(version.tags)},
            "signature": signature.to_json(),
            "folder": signature.digest,
        }
        note = cache / f".{CURRENT}-{os.getpid()}"
        note.write_text(json.dumps(described), encoding="utf-8")
        note.replace(cache / CURRENT)
        for former in cache.iterdir():
            if former.is_dir() and former != target and not former.name.startswith("."):
                shutil.rmtree(former, ignore_errors=True)
    except OSError:
        # Another worker may have been faster; a draft is never read.
        with suppress(OSError):
            shutil.rmtree(draft)


def kept_model(settings: Settings, model_name: str) -> tuple[ModelVersion, Path] | None:
    """The version that was kept and its folder, verified now; None where there is none.

    Raises:
        SignatureError: If the files are not those that were signed and registered.
    """
    cache = _cache(settings, model_name)
    try:
        described = json.loads((cache / CURRENT).read_text(encoding="utf-8"))
        fields = described["version"]
        version = ModelVersion(**fields | {"aliases": tuple(fields["aliases"])})
        folder = cache / str(described["folder"])
        signature = parse_signature(described["signature"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    verify_folder(folder, signature, model_name, settings, version.version)
    require_registered(version, signature, settings)
    return version, folder


def _cache(settings: Settings, model_name: str) -> Path:
    return settings.run_directory / "models" / model_name / settings.serving.alias
