"""`eject-example`: the example leaves a project, and its places stay for a team's own code."""

import ast
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldpath.contract import load_contract
from goldpath.errors import NothingToDoError, ProjectError
from goldpath.models.folders import further_models
from goldpath.services.template.bare_project import (
    BARE,
    DATASET,
    DOCUMENTS,
    EXAMPLES,
    FEATURES,
    MODEL,
    REMOVED,
    SOURCES,
)
from goldpath.services.template.git import GitError, git
from goldpath.source_contract import SourceContract, load_sources

EXAMPLE_PART = re.compile(
    r"<!-- example -->\n.*?<!-- end of the example -->\n\n?|^\| `eject-example` [^\n]*\n"
    r"|^\|[^\n]*`(?:features/history\.py|history\.\*)`[^\n]*\n|; history\.py: [^\n]*",
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
            not the example's, or a target is made from one of the example's sources.
        ContractError: If a contract or a source is wrong.
    """
    texts = {_named(file, package): _named(text, package) for file, text in BARE.items()}
    gone = [name for file in REMOVED if (root / (name := _named(file, package))).is_file()]
    if _named(REMOVED[0], package) not in gone:
        raise NothingToDoError("the example has left this project: features/customers.py is gone")
    texts |= _documents(root)
    sources = _example_sources(root)
    _require_no_target(root, sources)
    gone += [each.file for each in sources]
    _require_in_git(root, [*gone, *(name for name in texts if (root / name).exists())])
    _require_examples(root, [name for name in (*gone, *texts) if name.startswith("src/")])
    _require_one_model(root, _named("src/PACKAGE/project.py", package))
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


def _require_one_model(root: Path, name: str) -> None:
    """Insist that `project.py`, which is rewritten, hands over the example's model alone."""
    handed = [
        ast.unparse(key) if key else "**"
        for node in ast.walk(ast.parse((root / name).read_text(encoding="utf-8")))
        if isinstance(node, ast.keyword) and node.arg == "models"
        for key in (node.value.keys if isinstance(node.value, ast.Dict) else [node.value])
    ]
    if own := [each for each in handed if each != repr(MODEL)]:
        raise EjectionError(
            f"{name}, which would be rewritten, hands over the models {', '.join(own)} beside "
            f"{MODEL!r}",
            "take them out of models= there and commit; hand them over again afterwards",
        )


def _example_sources(root: Path) -> list[SourceContract]:
    """The further sources that are the example's, and not a team's own of the same name."""
    return [
        each
        for each in load_sources(root)
        if each.belongs_to == DATASET and SOURCES.get(each.dataset) == each.source.path
    ]


def _require_no_target(root: Path, sources: Sequence[SourceContract]) -> None:
    """Insist that no model's target is made from a source that goes."""
    going = {each.dataset: each.file for each in sources}
    for model in ("", *further_models(root)):
        contract = load_contract(root, model)
        if file := going.get(contract.target.event):
            raise EjectionError(
                f"{contract.file}: target.event is {contract.target.event}, and {file} goes with "
                "the example",
                f"delete models/{model}, or give it another target"
                if model
                else "adopt your own data first: make adopt DATA=… TARGET=…",
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
