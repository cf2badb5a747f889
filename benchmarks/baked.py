"""The baked project that a benchmark measures, and which code of it."""

import os
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

DEMO = Path("demo/customer-churn")
ENGINE = "goldpath"


@dataclass(frozen=True)
class Baked:
    """An installed project.

    Attributes:
        root: Its folder.
        python: Its interpreter, or the one that BENCH_PYTHON names.
        package: Its own package.
        module: What `python -m` runs: the engine by itself, so that figures of different states
            of the template compare, without the example's recipes and row features, which peers
            do not compute; BENCH_MODULE names the project's package instead.
    """

    root: Path
    python: Path
    package: str
    module: str


def find_project(arguments: list[str] | None = None) -> Baked:
    """The project that the first argument names, else the demo; exits with 2 without one."""
    arguments = sys.argv[1:] if arguments is None else arguments
    root = Path(arguments[0] if arguments else DEMO).resolve()
    python = Path(os.environ.get("BENCH_PYTHON", root / ".venv" / "bin" / "python"))
    packages = [file.parent.name for file in (root / "src").glob("*/__main__.py")]
    if not python.exists() or len(packages) != 1:
        print(f"Error: {root} is no installed project. Fix: make demo", file=sys.stderr)
        sys.exit(2)
    return Baked(root, python, packages[0], os.environ.get("BENCH_MODULE", ENGINE))


def unpack_engine(project: Path, folder: Path) -> Path:
    """Unpack a project's vendored engine, for interpreters that lack it; goes on PYTHONPATH."""
    (wheel,) = (project / "vendor").glob("goldpath-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder
