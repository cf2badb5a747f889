"""`eject-example`: the example leaves a project, and its places stay for a team's own code."""

import ast
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldpath.errors import NothingToDoError, ProjectError
from goldpath.services.template.bare_project import (
    BARE,
    DOCUMENTS,
    EXAMPLES,
    FEATURES,
    REMOVED,
)
from goldpath.services.template.git import GitError, git

EXAMPLE_PART = re.compile(
    r"<!-- example -->\n.*?<!-- end of the example -->\n\n?|^\| `eject-example` [^\n]*\n",
    re.DOTALL | re.MULTILINE,
)


class EjectionError(ProjectError):
    """The example cannot leave the project, and nothing was changed."""


@dataclass(frozen=True)
class Ejected:
    """What became of the project's files.

    Attributes:
        removed: Files that are gone.
        written: Files that are places now, or hold the engine's steps alone.
        next: What to do with it.
    """

    removed: Sequence[str]
    written: Sequence[str]
    next: str


def eject_example(root: Path, package: str) -> Ejected:
    """Take the churn example out of a project: its definitions, their tests and its documents.

    The contract stays until another file is adopted, since no command works without one. Git keeps
    everything that goes.

    Args:
        root: The project.
        package: Its package.

    Raises:
        NothingToDoError: If the example has left before.
        EjectionError: If a file that would change is not in git as it is, or holds code that is
            not the example's.
    """
    texts = {_named(file, package): _named(text, package) for file, text in BARE.items()}
    gone = [name for file in REMOVED if (root / (name := _named(file, package))).is_file()]
    if _named(REMOVED[0], package) not in gone:
        raise NothingToDoError("the example has left this project: features/customers.py is gone")
    texts |= _documents(root)
    _require_in_git(root, [*gone, *(name for name in texts if (root / name).exists())])
    _require_examples(root, [name for name in (*gone, *texts) if name.startswith("src/")])
    for name, text in texts.items():
        draft = root / f"{name}.draft"
        draft.write_text(text, encoding="utf-8")
        draft.replace(root / name)
    for name in gone:
        (root / name).unlink()
    _describe(root, package)
    return Ejected(
        removed=tuple(gone),
        written=tuple(texts),
        next="make check lint typecheck test; then make adopt DATA=… TARGET=…",
    )


def _named(text: str, package: str) -> str:
    return text.replace("PACKAGE", package)


def _documents(root: Path) -> dict[str, str]:
    """The documents without what they say of the example."""
    place = Path(FEATURES).name
    changed = {}
    for name in DOCUMENTS:
        if not (root / name).is_file():
            continue
        text = (root / name).read_text(encoding="utf-8")
        bare = EXAMPLE_PART.sub("", text).replace("customers.py", place)
        bare = bare.replace("`customers.*`", f"`{Path(place).stem}.*`")
        if bare != text:
            changed[name] = bare
    return changed


def _require_in_git(root: Path, names: Sequence[str]) -> None:
    """Insist that git can bring back every file that changes."""
    fix = "git add -A && git commit, so that git keeps what goes; then run it again"
    try:
        known = set(git(root, "ls-files", "-z", "--", *names).split("\0"))
        changed = git(root, "status", "--porcelain", "--", *names).splitlines()
    except GitError as error:
        raise EjectionError(f"git does not keep this project: {error.message}", fix) from error
    if unknown := [name for name in names if name not in known]:
        raise EjectionError(f"git does not have {', '.join(unknown)}", fix)
    if changed:
        raise EjectionError(f"changes are not committed: {', '.join(changed)}", fix)


def _require_examples(root: Path, names: Sequence[str]) -> None:
    """Insist that the modules define nothing but the example."""
    for name in names:
        file = root / name
        if not file.is_file():
            continue
        own = [each for each in _defined(file.read_text(encoding="utf-8")) if each not in EXAMPLES]
        if own:
            raise EjectionError(
                f"{name} defines {', '.join(own)}, which is none of the example's",
                "move it to a module of its own, and hand it over in project.py afterwards",
            )


def _defined(code: str) -> list[str]:
    """The names that a module defines at its top level."""
    names: list[str] = []
    for node in ast.parse(code).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names += [each.id for each in targets if isinstance(each, ast.Name)]
    return names


def _describe(root: Path, package: str) -> None:
    """Tell Airflow's DAGs, from a process that reads the new `project.py`."""
    command = [sys.executable, "-m", package, "describe"]
    done = subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
    if done.returncode:
        raise EjectionError(
            f"the example has left, and `describe` failed: {done.stderr.strip()[-500:]}",
            "make check says what is wrong; make describe afterwards",
        )
