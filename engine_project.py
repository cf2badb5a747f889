"""Bake a project and copy into engine/tests/project what the engine's tests read of one.

The engine's tests run without a bake; tests/test_engine_project.py proves that these copies are a
bake's own files. Run by `make engine-project` after a change of the template's files.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
TARGET = ROOT / "engine" / "tests" / "project"
# Files and folders of a default bake, and nothing that no test reads.
COPIED = (
    ".env.example",
    ".github",
    ".pre-commit-config.yaml",
    "Makefile",
    "airflow",
    "config",
    "data",
    "docs/airflow.md",
    "docs/monitoring.md",
    "infra",
    "requirements/airflow.in",
)


def main() -> None:
    """Replace the copies with those of a new bake."""
    with tempfile.TemporaryDirectory() as folder:
        bake = [Path(sys.executable).with_name("cookiecutter"), ROOT, "--no-input"]
        options = ["--default-config", "--output-dir", folder]
        subprocess.run([*bake, *options], check=True, stdout=subprocess.DEVNULL)
        (project,) = Path(folder).iterdir()
        shutil.rmtree(TARGET, ignore_errors=True)
        for name in files(project):
            (TARGET / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(project / name, TARGET / name)


def files(project: Path) -> list[str]:
    """The files of a project that are copied, relative to it."""
    found = [project / name for name in COPIED]
    found += [path for folder in found for path in folder.rglob("*")]
    return sorted(
        path.relative_to(project).as_posix()
        for path in found
        if path.is_file() and "__pycache__" not in path.parts
    )


if __name__ == "__main__":
    main()
