"""Git in one folder: without prompts, and without a repository that the caller's shell names."""

import os
import subprocess
from pathlib import Path

from goldpath.errors import ProjectError

# A git hook that calls this program sets these for its own repository.
LEAKING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX")


class GitError(ProjectError):
    """Git is missing, or a command of it failed."""


def git(folder: Path, *arguments: str | Path, stdin: str | None = None) -> str:
    """Run git in a folder.

    Args:
        folder: Where to run it.
        *arguments: Subcommand and arguments.
        stdin: Text for its standard input.

    Returns:
        Its standard output.

    Raises:
        GitError: If git is not installed or the command fails.
    """
    try:
        finished = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment(),
            input=stdin or "",
            check=False,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
    except FileNotFoundError as error:
        raise GitError("git is not installed, or not on the PATH", "install git") from error
    if finished.returncode:
        lines = finished.stderr.strip().splitlines()
        raise GitError(f"git {arguments[0]} failed in {folder}: {' '.join(lines[-3:])}")
    return finished.stdout


def environment(**extra: str) -> dict[str, str]:
    """The caller's environment for a git that acts on the folder where it runs."""
    kept = {name: value for name, value in os.environ.items() if name not in LEAKING}
    return {**kept, "GIT_TERMINAL_PROMPT": "0", **extra}
