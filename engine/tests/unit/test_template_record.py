"""What a project knows of its template, and how an unknown commit of it is found."""

import json
import shutil
from pathlib import Path

import pytest

from goldpath.services.template.git import GitError, git
from goldpath.services.template.record import RecordError, read_record, write_record
from goldpath.services.template.repository import (
    TemplateError,
    copy_repository,
    files_of,
    find_commit,
    resolve,
)
from goldpath.services.template.update import (
    UpdateError,
    outcome,
    require_clean,
    require_success,
    update_project,
)

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

SOURCE = "{{cookiecutter.repo_name}}"
PACKAGE = "src/{{cookiecutter.package_name}}"


def commit(folder: Path, files: dict[str, str]) -> str:
    """Write files and commit all; returns the commit."""
    if not (folder / ".git").exists():
        folder.mkdir(parents=True, exist_ok=True)
        git(folder, "init", "--quiet")
        git(folder, "config", "user.name", "Ada")
        git(folder, "config", "user.email", "ada@example.com")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--no-verify", "--message", "change")
    return git(folder, "rev-parse", "HEAD").strip()


def record_file(root: Path, **changes: object) -> None:
    """A `.cruft.json` as the template's hook writes it."""
    answers = {"package_name": "churn", "_template_version": "0.2.0", "_commit": None}
    values = {"template": "t", "commit": None, "context": {"cookiecutter": answers}}
    root.mkdir(parents=True, exist_ok=True)
    (root / ".cruft.json").write_text(json.dumps({**values, **changes}))


def test_address_and_commit_change_and_all_else_stays(tmp_path: Path) -> None:
    record_file(tmp_path, skip=["docs/*"])
    write_record(tmp_path, "https://example.com/t.git", "a" * 40)
    record = read_record(tmp_path)
    assert (record.template, record.commit) == ("https://example.com/t.git", "a" * 40)
    assert record.version == "0.2.0"
    assert record.answers == {"package_name": "churn"}
    assert json.loads((tmp_path / ".cruft.json").read_text())["skip"] == ["docs/*"]


@pytest.mark.parametrize("text", [None, "[1, 2]", "{", '{"template": "t"}'])
def test_missing_or_damaged_record_says_what_to_do(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / ".cruft.json").write_text(text)
    with pytest.raises(RecordError, match=r"cruft") as refused:
        read_record(tmp_path)
    assert refused.value.fix


def test_commit_is_found_by_the_files_that_are_copies(tmp_path: Path) -> None:
    template = tmp_path / "template"
    source = {f"{SOURCE}/Makefile": "all:\n", f"{SOURCE}/{PACKAGE}/app.py": "x = 1\n"}
    commit(template, source)
    second = commit(template, {f"{SOURCE}/{PACKAGE}/app.py": "x = 2\n"})
    commit(template, {f"{SOURCE}/Makefile": "all: test\n"})
    commit(template, {"README.md": "not of the project\n"})
    project = tmp_path / "project"
    record_file(project)
    commit(project, {"Makefile": "all:\n", "src/churn/app.py": "x = 2\n", "own.py": ""})
    copy_repository(str(template), tmp_path / "copy")
    found = find_commit(tmp_path / "copy", read_record(project), files_of(project, "HEAD"))
    assert found == second


def test_tag_of_the_recorded_version_comes_first(tmp_path: Path) -> None:
    template = tmp_path / "template"
    first = commit(template, {f"{SOURCE}/Makefile": "all:\n"})
    git(template, "tag", "v0.2.0")
    commit(template, {f"{SOURCE}/Makefile": "all: test\n"})
    project = tmp_path / "project"
    record_file(project)
    commit(project, {"Makefile": "all: test\n"})
    copy_repository(str(template), tmp_path / "copy")
    assert find_commit(tmp_path / "copy", read_record(project), {}) == first


def test_template_of_other_files_is_not_taken_for_the_projects_own(tmp_path: Path) -> None:
    commit(tmp_path / "template", {f"{SOURCE}/Makefile": "all:\n"})
    record_file(tmp_path / "project")
    copy_repository(str(tmp_path / "template"), tmp_path / "copy")
    with pytest.raises(TemplateError, match="no commit of the template holds a file"):
        find_commit(tmp_path / "copy", read_record(tmp_path / "project"), {"Makefile": "0" * 40})


@pytest.mark.parametrize(
    ("address", "says"), [("https://example.com/main.zip", "archive"), ("nowhere", "no template")]
)
def test_what_is_no_repository_is_refused_with_a_fix(
    tmp_path: Path, address: str, says: str
) -> None:
    with pytest.raises(TemplateError, match=says) as refused:
        copy_repository(address, tmp_path / "copy")
    assert "TEMPLATE=" in refused.value.fix


def test_unknown_version_is_refused(tmp_path: Path) -> None:
    commit(tmp_path / "template", {"a": ""})
    with pytest.raises(TemplateError, match="v9"):
        resolve(tmp_path / "template", "v9")


def test_uncommitted_changes_stop_an_update_before_it_begins(tmp_path: Path) -> None:
    project = tmp_path / "project"
    record_file(project)
    with pytest.raises(UpdateError, match="not a git repository"):
        require_clean(project)
    commit(project, {"Makefile": "all:\n"})
    require_clean(project)
    (project / "Makefile").write_text("all: mine\n")
    with pytest.raises(UpdateError, match="M Makefile"):
        update_project(project)


def test_patched_engine_stops_an_update_before_it_begins(tmp_path: Path) -> None:
    project = tmp_path / "project"
    record_file(project)
    commit(project, {"vendor/goldpath-0.2.0+local.1-py3-none-any.whl": "patched"})
    with pytest.raises(UpdateError, match=r"goldpath-0\.2\.0\+local\.1") as refused:
        update_project(project)
    assert "--drop-patch" in refused.value.fix


def test_conflicts_are_what_git_marked_and_what_it_rejected(tmp_path: Path) -> None:
    project = tmp_path / "project"
    record_file(project)
    commit(project, {"port.txt": "8000\n", "old name.txt": "a\nb\nc\n"})
    git(project, "checkout", "--quiet", "-b", "theirs")
    git(project, "mv", "old name.txt", "new.txt")
    theirs = commit(project, {"port.txt": "8001\n"})
    git(project, "checkout", "--quiet", "-")
    commit(project, {"port.txt": "8123\n", ".gitignore": "*.rej\n"})
    with pytest.raises(GitError):
        git(project, "cherry-pick", "--no-commit", theirs)
    (project / "Makefile.rej").write_text("@@ -1 +1 @@\n")
    record_file(project, commit=theirs)
    changed, conflicts = outcome(project)
    assert changed == ("R old name.txt -> new.txt",)
    assert conflicts == ("port.txt", "Makefile.rej")


@pytest.mark.parametrize("recorded", [True, False])
def test_update_that_changed_nothing_is_no_success(tmp_path: Path, recorded: bool) -> None:
    """As when git refuses the whole difference: cruft then says that all is well."""
    project = tmp_path / "project"
    record_file(project)
    commit(project, {"Makefile": "all:\n"})
    target = "b" * 40
    if recorded:
        record_file(project, commit=target)
    with pytest.raises(UpdateError, match=r"invalid path"):
        require_success(project, target, (), (), "error: invalid path '.git/HEAD'\nGood work!\n")
    assert read_record(project).commit is None
    assert git(project, "status", "--porcelain") == ""
