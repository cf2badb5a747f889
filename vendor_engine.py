"""Build the engine's wheel and vendor it in the template, or check the one that is vendored.

python vendor_engine.py          what `make wheel` calls
python vendor_engine.py check    what `make check-wheel` calls

Every wheel that was committed has a version of its own: a build that differs from a committed wheel
of the same version becomes the next `.devN`. Needs the build backend that engine/pyproject.toml
pins, and no network.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENGINE = ROOT / "engine"
PROJECT = ROOT / "{{cookiecutter.repo_name}}"
TEMPLATE_VERSION = re.compile(r'("_template_version": ")[^"]*(")')

sys.path.insert(0, str(ENGINE / "src"))

from goldpath.errors import ProjectError  # noqa: E402  the engine needs no installation for this
from goldpath.services import vendored_engine as wheels  # noqa: E402


def main() -> int:
    """Run one of the commands above: 0 when it worked, 1 where the wheel is not current."""
    try:
        if sys.argv[1:] == ["check"]:
            return check()
        return vendor()
    except ProjectError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code


def vendor() -> int:
    """Put a current wheel into the template, under a version that no other wheel has had."""
    with tempfile.TemporaryDirectory() as folder:
        built = wheels.build_wheel(ENGINE, Path(folder))
        record_version(wheels.wheel_version(built))
        if is_vendored(built):
            print(f"{built.name} is current.")
            return 0
        if was_committed(built.name):
            wheels.set_project_version(ENGINE, next_version(wheels.wheel_version(built)))
            built = wheels.build_wheel(ENGINE, Path(folder))
        placed = wheels.install_wheel(PROJECT, built)
    record_version(wheels.wheel_version(placed))
    print(f"{placed.name}: commit it with engine/pyproject.toml, its lock and its pin.")
    return 0


def check() -> int:
    """Compare the vendored wheel with a rebuild, file by file; print what differs."""
    outdated = outdated_files()
    for name in outdated:
        print(f"differs from engine/: {name}")
    print("The vendored wheel is not current. Fix: make wheel" if outdated else "Current.")
    return 1 if outdated else 0


def outdated_files() -> list[str]:
    """The files in which the vendored wheel differs from a rebuild; its name where that does."""
    with tempfile.TemporaryDirectory() as folder:
        built = wheels.build_wheel(ENGINE, Path(folder))
        vendored = wheels.vendored_wheel(PROJECT)
        if vendored.name != built.name:
            return [vendored.name]
        version = f'"{wheels.wheel_version(vendored)}"'
        recorded = TEMPLATE_VERSION.search((ROOT / "cookiecutter.json").read_text("utf-8"))
        other = [] if recorded and version in recorded[0] else ["cookiecutter.json"]
        return wheels.differences(vendored, built) + other


def record_version(version: str) -> None:
    """Write what a project records as its template's version: the version of its engine."""
    file = ROOT / "cookiecutter.json"
    text = TEMPLATE_VERSION.sub(rf"\g<1>{version}\g<2>", file.read_text("utf-8"))
    file.write_text(text, encoding="utf-8")


def is_vendored(built: Path) -> bool:
    """Whether the template holds the very files of this wheel, locked and pinned."""
    placed = PROJECT / wheels.VENDOR / built.name
    if not placed.is_file() or wheels.differences(placed, built):
        return False
    lock = PROJECT / wheels.ENGINE_LOCK
    pinned = (
        f'"goldpath=={wheels.wheel_version(built)}"' in (PROJECT / "pyproject.toml").read_text()
    )
    return pinned and lock.is_file() and lock.read_text() == wheels.engine_lock(placed)


def was_committed(name: str) -> bool:
    """Whether the history of this branch has a vendored wheel of this name."""
    path = f":(top,literal){PROJECT.name}/{wheels.VENDOR}/{name}"
    log = subprocess.run(
        ["git", "log", "-1", "--format=%H", "--", path],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return bool(log.stdout.strip())


def next_version(version: str) -> str:
    """`0.1.0.dev4` after `0.1.0.dev3`, `0.1.1.dev1` after the release `0.1.0`."""
    if development := re.fullmatch(r"(.+\.dev)(\d+)", version):
        return f"{development[1]}{int(development[2]) + 1}"
    start, _, last = version.rpartition(".")
    return f"{start}.{int(last) + 1}.dev1"


if __name__ == "__main__":
    sys.exit(main())
