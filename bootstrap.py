"""Create the template's and the engine's environments from their locks. Needs Python 3.11 alone.

python3 bootstrap.py         .venv at the top: Cookiecutter, the build backend, test tools
python3 bootstrap.py engine  engine/.venv, and Airflow's in a cache folder, whose path is printed
python3 bootstrap.py lock    compile every lock of this repository again; --upgrade: newest versions

Every package is checked against the hashes in a lock. A second call changes nothing.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENGINE = ROOT / "engine"
PROJECT = ROOT / "{{cookiecutter.repo_name}}"
SCRIPTS = "Scripts" if os.name == "nt" else "bin"
BIN = ROOT / ".venv" / SCRIPTS
LOCK = ROOT / "requirements-dev.txt"
ENGINE_LOCK = ENGINE / "requirements" / "dev.txt"
COMPILE = [
    *("--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate", "--quiet"),
    *("--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "make lock"),
]
# What a lock says of one package: its name, and everything up to the next one.
LOCKED = re.compile(r"^([a-z0-9._-]+)==.*?(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Run one of the commands above; 0 when it worked, 2 when it did not."""
    if sys.version_info < (3, 11):  # noqa: UP036  any Python may run this file
        print(f"Error: the template needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
        print("Fix: run it with another one, for example: make demo PYTHON=python3.12")
        return 2
    try:
        create_template_environment()
        if sys.argv[1:2] == ["engine"]:
            create_engine_environment()
            print(create_airflow_environment())
        elif sys.argv[1:2] == ["lock"]:
            compile_locks(upgrade="--upgrade" in sys.argv[2:])
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        print(f"Error: `{command}` ended with {error.returncode}.", file=sys.stderr)
        return 2
    return 0


def create_template_environment() -> None:
    """Install the lock at the top, hashes checked, unless that was done."""
    folder = BIN.parent
    if is_current(folder, LOCK):
        return
    say("Creating .venv, the template's own environment …")
    run(sys.executable, "-m", "venv", "--clear", folder)
    pip = (BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "--requirement", LOCK)
    record(folder, LOCK)


def create_engine_environment() -> None:
    """Install the engine's lock, and the engine as a path to its sources."""
    folder = ENGINE / ".venv"
    if is_current(folder, ENGINE_LOCK, ENGINE / "pyproject.toml"):
        return
    say("Creating engine/.venv …")
    python = fill_environment(folder, ENGINE_LOCK)
    # The backend is in the lock; nothing is fetched.
    sources = ("--no-deps", "--no-build-isolation", "--offline", "--editable", ENGINE)
    run(BIN / "uv", "pip", "install", "--quiet", "--python", python, *sources)
    record(folder, ENGINE_LOCK, ENGINE / "pyproject.toml")


def create_airflow_environment() -> Path:
    """Airflow's environment for the tests, outside the tree since it outlives a clone."""
    lock = PROJECT / "requirements" / "airflow.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"mlops-template-tests-{user}" / f"airflow-{digest}"
    if not is_current(folder, lock):
        say("Creating Airflow's environment …")
        folder.parent.mkdir(exist_ok=True)
        fill_environment(folder, lock)
        record(folder, lock)
    return folder


def fill_environment(folder: Path, lock: Path) -> Path:
    """A new environment that holds what a lock says; returns its interpreter."""
    run(sys.executable, "-m", "venv", "--clear", "--without-pip", folder)
    python = folder / SCRIPTS / "python"
    hashed = ("--require-hashes", "--only-binary", ":all:", "--compile-bytecode")
    run(BIN / "uv", "pip", "sync", "--quiet", "--python", python, *hashed, lock)
    return python


def compile_locks(*, upgrade: bool) -> None:
    """Resolve the engine, then a project and the template's tools with the engine's versions."""
    newest = ["--upgrade"] if upgrade else []
    pyproject = ENGINE / "pyproject.toml"
    say("Compiling engine/requirements/dev.txt …")
    inputs = ("--all-extras", "--group", f"{pyproject}:dev", pyproject)
    output = ("--output-file", ENGINE_LOCK)
    run(BIN / "uv", "pip", "compile", *COMPILE, *newest, *output, *inputs)
    compile_project_locks(upgrade=upgrade)
    say("Compiling requirements-dev.txt …")
    output = ("--constraint", ENGINE_LOCK, "--output-file", LOCK)
    run(BIN / "uv", "pip", "compile", *COMPILE, *newest, *output, "requirements-dev.in")


def compile_project_locks(*, upgrade: bool) -> None:
    """Bake a project, let it compile its locks, and bring them back into the template.

    Uv prefers the versions of the lock that it replaces, so the engine's lock is put there first.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = ("--no-input", "--default-config", "--output-dir", folder)
        run(BIN / "cookiecutter", ROOT, *options, stdout=subprocess.DEVNULL)
        (project,) = Path(folder).iterdir()
        locks = sorted((project / "requirements").glob("*.txt"))
        locks = [lock for lock in locks if lock.name != "engine.txt"]
        dev = project / "requirements" / "dev.txt"
        own = "" if upgrade else dev.read_text(encoding="utf-8")
        for lock in locks:
            if upgrade and lock.name != "bootstrap.txt":  # which installs the resolver
                lock.unlink()
        dev.write_text(preferred(ENGINE_LOCK.read_text(encoding="utf-8"), own), encoding="utf-8")
        run(sys.executable, project / "bootstrap.py", "lock")
        for lock in locks:
            shutil.copyfile(lock, PROJECT / "requirements" / lock.name)


def preferred(engine_lock: str, own_lock: str) -> str:
    """The engine's locked packages, and those that only the project locks."""
    known = {match[1] for match in LOCKED.finditer(engine_lock)}
    own = [match[0] for match in LOCKED.finditer(own_lock) if match[1] not in known]
    return engine_lock + "".join(own)


def is_current(folder: Path, *inputs: Path) -> bool:
    """Whether the environment was made here, from these very files."""
    stamp = folder / "lock.sha256"
    return stamp.is_file() and stamp.read_text() == digest_of(folder, *inputs)


def record(folder: Path, *inputs: Path) -> None:
    """Note what the environment was made from."""
    (folder / "lock.sha256").write_text(digest_of(folder, *inputs))


def digest_of(folder: Path, *inputs: Path) -> str:
    """SHA-256 of the files and of the folder, since an environment cannot be moved."""
    contents = b"".join(file.read_bytes() for file in inputs)
    return hashlib.sha256(contents + str(folder).encode()).hexdigest()


def say(text: str) -> None:
    """Tell a person; standard output is for what a command answers."""
    print(text, file=sys.stderr, flush=True)


def run(*command: str | Path, stdout: int | None = None) -> None:
    """Run a command in the template's folder and insist that it works."""
    subprocess.run(command, cwd=ROOT, check=True, stdout=stdout)


if __name__ == "__main__":
    sys.exit(main())
