"""Create the project's environments from the locks. Needs Python and nothing else.

    python3 bootstrap.py            the project's own environment, .venv
    python3 bootstrap.py airflow    Airflow's, .venv-airflow (it pins what the service needs newer)
    python3 bootstrap.py update     cruft's, .venv-update, for make template-update
    python3 bootstrap.py lock       compile the locks in requirements/; --upgrade: newest versions

Every package is checked against the hashes in a lock, and nothing is built: the engine is a wheel,
and the project itself is found by a path file. A second call changes nothing.
"""

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
REQUIREMENTS = ROOT / "requirements"
OLDEST = "{{ cookiecutter.python_version }}"
BIN = "Scripts" if os.name == "nt" else "bin"
# Each lock, and what it is compiled from. The engine itself is locked in engine.txt.
LOCKS: dict[str, list[str]] = {
    "dev": ["--all-extras", "--group", "dev", "pyproject.toml"],
    "core": ["--extra", "core", "pyproject.toml"],
    "serving": ["--extra", "serving", "pyproject.toml"],
    "monitoring": [
        *("--extra", "core", "--extra", "serving", "--extra", "monitoring"),
        "pyproject.toml",
    ],
    "bootstrap": ["requirements/bootstrap.in"],
    "airflow": ["requirements/airflow.in"],
    "update": ["requirements/update.in"],
}


def main() -> int:
    """Run one of the commands above; the exit code is 0 when it worked, 2 when it did not."""
    command = sys.argv[1] if len(sys.argv) > 1 else "project"
    try:
        if command == "project":
            create_environment(ROOT / ".venv", "dev", with_project=True)
            make_first_key()
            print("Ready. Next: make data, make train-local, make serve (or make help).")
        elif command == "airflow":
            create_environment(ROOT / ".venv-airflow", "airflow", with_project=False)
        elif command == "update":
            create_environment(ROOT / ".venv-update", "update", with_project=False)
        elif command == "lock":
            compile_locks(upgrade="--upgrade" in sys.argv[2:])
        else:
            known = "project, airflow, update or lock"
            print(f"Error: unknown command {command!r}: {known}.", file=sys.stderr)
            return 2
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        print(f"Error: `{command}` ended with {error.returncode}.", file=sys.stderr)
        return 2
    return 0


def create_environment(folder: Path, lock: str, *, with_project: bool) -> None:
    """Make the environment hold exactly what the locks say, and the project's sources."""
    locks = [REQUIREMENTS / f"{lock}.txt", *([REQUIREMENTS / "engine.txt"] if with_project else [])]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in locks)).hexdigest()
    stamp = folder / "installed.txt"
    place = str(folder.resolve())
    recorded = stamp.read_text(encoding="utf-8").splitlines() if stamp.is_file() else []
    if recorded == [place, digest]:
        print(f"{folder.name} is up to date.")
        return
    if folder.exists() and recorded[:1] != [place]:
        # Its programs start the interpreter of the folder that they were installed in.
        print(f"{folder.name} is unfinished, or was copied from another folder: making it anew.")
        shutil.rmtree(folder)
    python = create_virtualenv(folder)
    stamp.write_text(f"{place}\n", encoding="utf-8")
    uv = install_uv()
    print(f"Installing requirements/{lock}.txt into {folder.name} …", flush=True)
    pip = [uv, "pip"]
    here = ["--quiet", "--python", python]
    hashed = [*here, "--require-hashes", "--only-binary", ":all:"]
    run([*pip, "sync", *hashed, str(locks[0])], UV_COMPILE_BYTECODE="1")
    if with_project:
        install = [*hashed, "--no-deps", "--requirement", str(locks[1])]
        run([*pip, "install", *install], UV_COMPILE_BYTECODE="1")
        run([*pip, "check", *here])
        add_sources(python)
    stamp.write_text(f"{place}\n{digest}\n", encoding="utf-8")


def make_first_key() -> None:
    """The key of the service's owner, so that production is closed to strangers from the start."""
    file = ROOT / ".secrets" / "api.key"
    if file.exists():
        return
    file.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(f"{secrets.token_urlsafe(32)}\n")
    print("Made .secrets/api.key: callers of the service send what it holds as X-API-Key.")


def add_sources(python: str) -> None:
    """Let the environment import src/ where it lies, by a path file as in the images."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    path_file = Path(packages.stdout.strip()) / "project.pth"
    path_file.write_text(f"{ROOT / 'src'}\n", encoding="utf-8")


def create_virtualenv(folder: Path) -> str:
    """An environment of a Python that the project supports; returns its interpreter."""
    python = folder / BIN / "python"
    if not python.exists():
        print(f"Creating {folder.name} …", flush=True)
        run([find_python(), "-m", "venv", "--without-pip", str(folder)])
    return str(python)


def install_uv() -> str:
    """The uv that installs the locks, in an environment of its own; returns its path."""
    folder = ROOT / ".venv-uv"
    stamp = folder / "installed.txt"
    lock = REQUIREMENTS / "bootstrap.txt"
    state = f"{folder}\n{hashlib.sha256(lock.read_bytes()).hexdigest()}\n"
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == state):
        run([find_python(), "-m", "venv", "--clear", str(folder)])
        pip = [str(folder / BIN / "python"), "-m", "pip", "install", "--quiet"]
        run([*pip, "--disable-pip-version-check", "--require-hashes", "-r", str(lock)])
        stamp.write_text(state, encoding="utf-8")
    return str(folder / BIN / "uv")


def find_python() -> str:
    """The running Python if it is new enough, else `python3.X` on the PATH.

    Raises:
        SystemExit: If there is none; says which version is needed.
    """
    needed = tuple(map(int, OLDEST.split(".")))
    if sys.version_info[:2] >= needed:
        return sys.executable
    for minor in range(needed[1], 14):
        if found := shutil.which(f"python3.{minor}"):
            return found
    raise SystemExit(
        f"Error: this project needs Python {OLDEST} or newer; this is {sys.version.split()[0]}.\n"
        f"Fix: install python{OLDEST} with its venv module, or bake for an older version."
    )


def compile_locks(*, upgrade: bool) -> None:
    """Resolve each environment and write its lock with hashes, for every supported Python.

    Versions that are locked stay unless pyproject.toml excludes them, or `upgrade` asks for newer.
    """
    uv = install_uv()
    for name, inputs in LOCKS.items():
        output = f"requirements/{name}.txt"
        print(f"Compiling {output} …", flush=True)
        options = ["--universal", "--python-version", OLDEST, "--generate-hashes", "--no-annotate"]
        options += ["--no-emit-index-url", "--no-emit-find-links", "--quiet"]
        options += ["--no-emit-package", "goldpath", *(["--upgrade"] if upgrade else [])]
        options += ["--custom-compile-command", "make lock", "--output-file", output]
        if name not in ("dev", "airflow"):
            # The versions that the tests ran on are the versions that are shipped.
            options += ["--constraint", "requirements/dev.txt"]
        run([uv, "pip", "compile", *options, *inputs], stdout=subprocess.DEVNULL)


def run(command: list[str], stdout: int | None = None, **environment: str) -> None:
    """Run a command in the project's folder and insist that it works."""
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, check=True, stdout=stdout)


if __name__ == "__main__":
    sys.exit(main())
