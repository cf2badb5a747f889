"""Bring a newer version of the template into a project, with cruft in an environment of its own.

Cruft renders the template's old and new version with the project's answers and applies the
difference. What it leaves to its caller is here: the address and the commit where a record lacks
them, a merge base for every file, and an honest word about conflicts.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from goldpath.errors import ProjectError
from goldpath.presentation import step
from goldpath.services.template.git import environment, git
from goldpath.services.template.record import RECORD, TemplateRecord, read_record, write_record
from goldpath.services.template.repository import (
    copy_repository,
    files_of,
    find_commit,
    has_commit,
    render,
    resolve,
    same_files,
    source_files,
)
from goldpath.services.vendored_engine import VENDOR, install_wheel, local_patch, vendored_wheel

ENVIRONMENT = ".venv-update"
UNMERGED = frozenset({"DD", "AU", "UD", "UA", "DU", "AA", "UU"})
NEXT_STEPS = ("make setup", "make migrate", "make describe", "make test", "git commit")


class UpdateError(ProjectError):
    """The project cannot be updated as it is, or cruft failed."""


@dataclass(frozen=True)
class TemplateUpdate:
    """What an update did.

    Attributes:
        template: The template's address.
        before: Version and commit before.
        after: Version and commit after.
        changed: Files that were changed, added, renamed or deleted, as `git status` names them.
        conflicts: Files that a person must finish.
        left_out: Files that changed in the template and are not in the project, since they were
            deleted or renamed here.
        next_steps: The commands to run now.
    """

    template: str
    before: str
    after: str
    changed: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    next_steps: tuple[str, ...] = ()


def update_project(
    root: Path, template: str | None = None, to: str | None = None, drop_patch: bool = False
) -> TemplateUpdate:
    """Apply what changed in the template since the project was generated or last updated.

    Nothing is committed but two facts that an update needs: the template's commit where it was
    unknown, and the released engine in place of a patched one, where that was asked for.

    Args:
        root: The project's folder, the top of its repository or a folder in it.
        template: Another address of the template; the recorded one where not given.
        to: A branch, tag or commit of the template; the newest commit where not given.
        drop_patch: Whether a patched engine may be replaced.

    Returns:
        What changed, and which files conflict.

    Raises:
        UpdateError: If the project has uncommitted changes or a patched engine, or cruft fails.
        RecordError: If the project does not know its template.
        TemplateError: If the template cannot be reached, or has no such version.
    """
    record = read_record(root)
    require_clean(root)
    patch = local_patch(root) if any((root / VENDOR).glob("goldpath-*.whl")) else None
    if patch and not drop_patch:
        raise UpdateError(
            f"the engine is patched ({vendored_wheel(root).name}); an update replaces it, and your "
            "patch with it",
            "keep your sources (engine unpack), then: make template-update ARGS=--drop-patch, and "
            "patch the new engine again",
        )
    programs = _programs(root)
    address = _absolute(template) if template else record.template
    with tempfile.TemporaryDirectory(prefix="template-update-") as name:
        work = Path(name).resolve()
        # A template of long ago commits in its hook, which breaks cruft, unless the folder that
        # it renders into is under git already.
        git(work, "init", "--quiet")
        repository = work / "template.git"
        step(f"Fetching {address}")
        copy_repository(address, repository)
        target = resolve(repository, to or "HEAD")
        commit = record.commit
        if not commit or not has_commit(repository, commit):
            commit = find_commit(repository, record, files_of(root, "HEAD"))
            step(f"This project was generated from commit {commit[:8]} of the template")
        if (address, commit) != (record.template, record.commit):
            write_record(root, address, commit)
            _commit(root, "Record the template's address and commit", RECORD)
        if commit == target or same_files(repository, commit, target):
            return TemplateUpdate(address, record.shown, read_record(root).shown)
        rendered = render(repository, commit, record, programs / "cookiecutter", work / "old")
        _store(root, rendered)
        if patch:
            install_wheel(root, vendored_wheel(rendered))
            _commit(root, "Put the released engine back", VENDOR, "pyproject.toml", "requirements")
        step(f"Updating from {commit[:8]} to {target[:8]}")
        log = _run_cruft(root, programs / "cruft", repository, to, work)
        changed, conflicts = outcome(root)
        require_success(root, target, changed, conflicts, log)
        left_out = _left_out(root, repository, record, commit, target)
    after = read_record(root)
    return TemplateUpdate(
        address, record.shown, after.shown, changed, conflicts, left_out, NEXT_STEPS
    )


def require_clean(root: Path) -> None:
    """Insist that everything is committed: only then can an update be looked at, or undone.

    Raises:
        UpdateError: If there are changes, or no repository.
    """
    try:
        changes = git(root, "status", "--porcelain").splitlines()
        git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except ProjectError as error:
        raise UpdateError(
            f"{root} is not a git repository with a commit, so an update could not be undone",
            'run: git init && git add --all && git commit -m "Before the update"',
        ) from error
    if changes:
        shown = "\n  ".join(changes[:10] + ["…"] * (len(changes) > 10))
        raise UpdateError(
            f"the project has changes that are not committed:\n  {shown}",
            "commit or stash them, then run make template-update again",
        )


def _programs(root: Path) -> Path:
    """The folder of cruft and Cookiecutter, whose environment is created or brought up to date."""
    if not (root / ENVIRONMENT).exists():
        step(f"Creating {ENVIRONMENT}, the environment of cruft (once)")
    # A second call compares the lock's hash and changes nothing. Standard output is the result's.
    done = subprocess.run(
        [sys.executable, str(root / "bootstrap.py"), "update"], stdout=sys.stderr, check=False
    )
    if done.returncode:
        raise UpdateError(
            f"{ENVIRONMENT} could not be made", "run python3 bootstrap.py update, which says why"
        )
    return root / ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")


def _absolute(address: str) -> str:
    path = Path(address).expanduser()
    return str(path.resolve()) if path.exists() else address


def _store(root: Path, rendered: Path) -> None:
    """Store each file of the old render in the project's repository, as a base for merges.

    The first commit holds these files only as long as the template's answers, clock and line ends
    are those of that day; after an update, a merged file is a third one. Git drops what nobody
    refers to after some weeks.
    """
    files = (path for path in rendered.rglob("*") if path.is_file() and not path.is_symlink())
    paths = "".join(f"{path}\n" for path in files)
    git(root, "hash-object", "-w", "--no-filters", "--stdin-paths", stdin=paths)


def _commit(root: Path, message: str, *paths: str) -> None:
    git(root, "add", "--all", "--", *paths)
    git(root, "commit", "--quiet", "--no-verify", "--message", message, "--", *paths)
    step(f"Committed: {message}")


def _run_cruft(root: Path, cruft: Path, repository: Path, to: str | None, work: Path) -> str:
    """Run `cruft update` and return what it printed."""
    renders = work / "renders"
    renders.mkdir()
    finished = subprocess.run(
        [
            *(cruft, "update", "--skip-apply-ask", "--project-dir", root),
            *("--template-path", repository, *(("--checkout", to) if to else ())),
        ],
        cwd=root,
        env=environment(TMPDIR=str(renders), NO_COLOR="1"),
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if finished.returncode:
        raise UpdateError(
            f"cruft update failed: {finished.stdout.strip()[-2000:]}",
            "mend what it names; git reset --hard brings the project back as it was",
        )
    return finished.stdout


def outcome(root: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The files that changed, each with git's letters, and those with a conflict."""
    changed, conflicts = [], []
    entries = iter(git(root, "status", "--porcelain", "-z", "--", ".").split("\0"))
    for entry in filter(None, entries):
        state, path = entry[:2], entry[3:]
        if "R" in state or "C" in state:
            path = f"{next(entries)} -> {path}"
        if state in UNMERGED:
            conflicts.append(path)
        elif not path.endswith((".rej", RECORD)):
            changed.append(f"{state.strip()} {path}")
    rejects = git(root, "ls-files", "--others", "-z", "--", "*.rej").split("\0")
    return tuple(changed), (*conflicts, *filter(None, rejects))


def require_success(
    root: Path, target: str, changed: tuple[str, ...], conflicts: tuple[str, ...], log: str
) -> None:
    """Insist that cruft did something: it calls every end a good one.

    Raises:
        UpdateError: If git refused the difference as a whole; the record is put back.
    """
    refused = [line for line in log.splitlines() if line.startswith(("error:", "fatal:"))]
    if read_record(root).commit != target or (refused and not changed and not conflicts):
        git(root, "checkout", "--quiet", "--", RECORD)
        raise UpdateError(
            f"cruft changed nothing: {' '.join(refused[:5]) or log.strip()[-1000:]}",
            "the project is as it was; apply by hand: cruft diff shows what differs",
        )


def _left_out(
    root: Path, repository: Path, record: TemplateRecord, before: str, after: str
) -> tuple[str, ...]:
    """Files that the template changed and that are not in the project any more."""
    old, new = (source_files(repository, commit, record) for commit in (before, after))
    return tuple(
        path
        for path, blob in sorted(new.items())
        if path in old and old[path] != blob and not (root / path).exists()
    )
