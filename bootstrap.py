"""Create the template's environment, .venv, from requirements-dev.txt. Needs Python 3.11 alone.

python3 bootstrap.py         make .venv hold what the lock says; a second call changes nothing
python3 bootstrap.py lock    compile the lock again
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
BIN = ROOT / ".venv" / ("Scripts" if os.name == "nt" else "bin")
LOCK = ROOT / "requirements-dev.txt"


def main() -> int:
    """Create the environment, or compile its lock; 0 when it worked, 2 when it did not."""
    if sys.version_info < (3, 11):  # noqa: UP036  any Python may run this file
        print(f"Error: the template needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
        print("Fix: run it with another one, for example: make demo PYTHON=python3.12")
        return 2
    try:
        create_environment()
        if sys.argv[1:] == ["lock"]:
            compile_lock()
    except subprocess.CalledProcessError as error:
        print(f"Error: `{' '.join(map(str, error.cmd))}` ended with {error.returncode}.")
        return 2
    return 0


def create_environment() -> None:
    """Install the lock, hashes checked, unless that was done."""
    stamp = BIN.parent / "lock.sha256"
    digest = hashlib.sha256(LOCK.read_bytes() + str(ROOT).encode()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    print("Creating .venv, the template's own environment …", flush=True)
    run(sys.executable, "-m", "venv", "--clear", BIN.parent)
    pip = (BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "--requirement", LOCK)
    stamp.write_text(digest)


def compile_lock() -> None:
    """Resolve again; what the generated project locks too gets the project's version."""
    project_lock = "{{cookiecutter.repo_name}}/requirements/dev.txt"
    options = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-annotate"]
    options += ["--no-emit-index-url", "--no-emit-find-links", "--upgrade", "--quiet"]
    options += ["--constraint", project_lock, "--custom-compile-command", "make lock"]
    run(BIN / "uv", "pip", "compile", *options, "--output-file", LOCK.name, "requirements-dev.in")


def run(*command: str | Path) -> None:
    """Run a command in the template's folder and insist that it works."""
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
