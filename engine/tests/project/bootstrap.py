"""Create the project's environments from the locks. Needs Python and nothing else.

    python3 bootstrap.py            the project's own environment, .venv
    python3 bootstrap.py airflow    Airflow's, .venv-airflow (it pins what the service needs newer)
    python3 bootstrap.py lock       compile the locks in requirements/ again

Every package is checked against the hashes in the lock. A second call changes nothing.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
REQUIREMENTS = ROOT / "requirements"
OLDEST = "3.11"
BIN = "Scripts" if os.name == "nt" else "bin"
LOCKS: dict[str, list[str]] = {
    "dev": ["--all-extras", "--group", "dev", "pyproject.toml"],
    "core": ["--extra", "core", "--extra", "aws", "--extra", "servers", "pyproject.toml"],
    "serving": [
        *("--extra", "serving", "--extra", "servers", "--extra", "kafka", "--extra", "tracing"),
        "pyproject.toml",
    ],
    "monitoring": [
        *("--extra", "monitoring", "--extra", "core", "--extra", "serving"),
        *("--extra", "aws", "--extra", "servers", "pyproject.toml"),
    ],
    "airflow": ["requirements/airflow.in"],
    "bootstrap": ["requirements/bootstrap.in"],
}


def main() -> int:
    """Run one of the commands above; the exit code is 0 when it worked, 2 when it did not."""
    command = sys.argv[1] if len(sys.argv) > 1 else "project"
    try:
        if command == "project":
            create_environment(ROOT / ".venv", "dev", install_project=True)
            print("Ready. Next: make data, make train-local, make serve (or make help).")
        elif command == "airflow":
            create_environment(ROOT / ".venv-airflow", "airflow", install_project=False)
        elif command == "lock":
            compile_locks()
        else:
            print(f"Error: unknown command {command!r}: project, airflow or lock.", file=sys.stderr)
            return 2
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        print(f"Error: `{command}` ended with {error.returncode}.", file=sys.stderr)
        return 2
    return 0


def create_environment(folder: Path, lock: str, *, install_project: bool) -> None:
    """Make the environment hold exactly what the lock says."""
    stamp = folder / "lock.sha256"
    lock_file = REQUIREMENTS / f"{lock}.txt"
    inputs = (lock_file.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), str(ROOT).encode())
    digest = hashlib.sha256(b"".join(inputs)).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        print(f"{folder.name} is up to date.")
        return
    python = create_virtualenv(folder)
    uv = install_uv()
    print(f"Installing requirements/{lock}.txt into {folder.name} …", flush=True)
    environment = {**os.environ, "UV_COMPILE_BYTECODE": "1"}
    install = [uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", str(lock_file)]
    run(install, environment)
    if install_project:
        editable = ["--no-deps", "--editable", str(ROOT)]
        run([uv, "pip", "install", "--quiet", "--python", python, *editable], environment)
    stamp.write_text(digest)


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
    stamp = folder / "lock.sha256"
    lock = REQUIREMENTS / "bootstrap.txt"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    if not (stamp.is_file() and stamp.read_text() == digest):
        run([find_python(), "-m", "venv", str(folder)])
        pip = [str(folder / BIN / "python"), "-m", "pip", "install", "--quiet"]
        run([*pip, "--disable-pip-version-check", "--require-hashes", "-r", str(lock)])
        stamp.write_text(digest)
    return str(folder / BIN / "uv")


def find_python() -> str:
    """The running Python where it is new enough, else `python3.X` on the PATH.

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


def compile_locks() -> None:
    """Resolve each environment again and write its lock with hashes, for Python 3.11 to 3.13."""
    uv = install_uv()
    for name, inputs in LOCKS.items():
        output = f"requirements/{name}.txt"
        print(f"Compiling {output} …", flush=True)
        options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate"]
        options += ["--no-emit-index-url", "--no-emit-find-links", "--upgrade", "--quiet"]
        options += ["--custom-compile-command", "make lock", "--output-file", output]
        if name in ("core", "serving", "monitoring"):
            # The versions that the tests ran on are the versions that are shipped.
            options += ["--constraint", "requirements/dev.txt"]
        run([uv, "pip", "compile", *options, *inputs], stdout=subprocess.DEVNULL)


def run(
    command: list[str], environment: dict[str, str] | None = None, stdout: int | None = None
) -> None:
    """Run a command in the project's folder and insist that it works."""
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=stdout)


if __name__ == "__main__":
    sys.exit(main())
