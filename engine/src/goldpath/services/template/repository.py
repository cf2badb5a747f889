"""The template's own repository: its commits, and the project that one of them generates."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from goldpath.errors import ProjectError
from goldpath.services.template.git import GitError, environment, git
from goldpath.services.template.record import TemplateRecord

SOURCE = "{{cookiecutter.repo_name}}"
PACKAGE = "{{cookiecutter.package_name}}"
COMMITS_SEARCHED = 1000


class TemplateError(ProjectError):
    """The template cannot be reached, or has no such version."""


def copy_repository(address: str, folder: Path) -> None:
    """Copy a template's repository, with every branch and tag, into a new folder.

    Raises:
        TemplateError: If there is no repository at the address.
    """
    fix = "name the template's git repository: make template-update TEMPLATE=ADDRESS"
    if address.lower().endswith(".zip"):
        raise TemplateError(f"{address} is an archive; an update needs the template's history", fix)
    try:
        git(folder.parent, "clone", "--quiet", "--mirror", "--", address, folder)
    except GitError as error:
        raise TemplateError(f"no template at {address!r}: {error.message}", fix) from error


def resolve(repository: Path, reference: str) -> str:
    """The full hash of a branch, tag or commit.

    Raises:
        TemplateError: If the template has none of this name.
    """
    try:
        commit = git(repository, "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}")
    except GitError as error:
        raise TemplateError(
            f"the template has no branch, tag or commit {reference!r}",
            "leave --to away for the newest commit, or name one of its tags",
        ) from error
    return commit.strip()


def has_commit(repository: Path, commit: str) -> bool:
    """Whether a commit is in the repository."""
    try:
        return resolve(repository, commit) == commit
    except TemplateError:
        return False


def same_files(repository: Path, first: str, second: str) -> bool:
    """Whether two commits hold the same files, as after a change that was taken back."""
    return git(repository, "diff-tree", first, second) == ""


def find_commit(repository: Path, record: TemplateRecord, project: Mapping[str, str]) -> str:
    """The commit that a project was generated from, where the record does not say.

    It is the tag of the recorded version; without such a tag, the newest commit that most of the
    project's files are equal to. Most files of a template hold no answers, so they are copies.

    Args:
        repository: The template's repository.
        record: What the project knows of its template.
        project: The project's files, see `files_of`.

    Raises:
        TemplateError: If no commit holds a single file of the project.
    """
    for tag in (f"v{record.version}", record.version):
        if record.version and has_tag(repository, tag):
            return resolve(repository, tag)
    best, equal = "", 0
    for commit in git(repository, "rev-list", f"-{COMMITS_SEARCHED}", "HEAD").split():
        files = source_files(repository, commit, record)
        found = sum(project.get(path) == blob for path, blob in files.items())
        if found > equal:
            best, equal = commit, found
    if not best:
        raise TemplateError(
            "no commit of the template holds a file of this project",
            "name the template that it was generated from: make template-update TEMPLATE=ADDRESS",
        )
    return best


def has_tag(repository: Path, tag: str) -> bool:
    """Whether the repository has a tag of this name."""
    return bool(git(repository, "tag", "--list", tag).strip())


def files_of(repository: Path, tree: str) -> dict[str, str]:
    """The files of a commit or folder by path, each with the hash of its content."""
    listing = git(repository, "ls-tree", "-r", "-z", tree).split("\0")
    entries = (entry.split("\t", 1) for entry in listing if entry)
    return {path: details.split()[2] for details, path in entries}


def source_files(repository: Path, commit: str, record: TemplateRecord) -> dict[str, str]:
    """The files of a project at a commit of its template, by their path in the project."""
    folder = "/".join(filter(None, (record.directory, SOURCE)))
    try:
        files = files_of(repository, f"{commit}:{folder}")
    except GitError:  # a commit before the template had this folder
        return {}
    package = record.answers.get("package_name", PACKAGE)
    return {path.replace(PACKAGE, package): blob for path, blob in files.items()}


def render(
    repository: Path, commit: str, record: TemplateRecord, cookiecutter: Path, folder: Path
) -> Path:
    """Generate the project as a commit of the template does, without running its hooks.

    Args:
        repository: The template's repository.
        commit: The commit to check out.
        record: The answers.
        cookiecutter: The program.
        folder: A new folder to work in.

    Returns:
        The project's folder, below `folder`.

    Raises:
        TemplateError: If Cookiecutter fails.
    """
    checkout, output = folder / "template", folder / "output"
    output.mkdir(parents=True)
    git(repository, "worktree", "add", "--quiet", "--detach", checkout, commit)
    finished = subprocess.run(
        [
            *(cookiecutter, checkout / record.directory, "--no-input", "--default-config"),
            *("--accept-hooks", "no", "--output-dir", output),
            *(f"{name}={value}" for name, value in record.answers.items()),
        ],
        env=environment(HOME=str(folder)),  # it keeps the answers of its last run there
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if finished.returncode:
        raise TemplateError(
            f"the template's commit {commit[:8]} does not generate this project: "
            f"{finished.stdout.strip()[-1000:]}",
            "compare the answers in .cruft.json with cookiecutter.json at that commit",
        )
    return next(output.iterdir())
