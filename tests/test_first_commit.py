"""The bake ends with a commit where that is possible, and never fails where it is not."""

import os
import shutil
from pathlib import Path

import pytest
from conftest import Bake, cookiecutter, run

GIT = shutil.which("git")
needs_git = pytest.mark.skipif(GIT is None, reason="git is not on the PATH")


@needs_git
def test_first_commit_holds_every_file_on_main(bake: Bake) -> None:
    project = bake(author_name="Ada Lovelace", author_email="ada@example.com")
    log = project.run("git", "log", "--format=%D|%an|%ae").output
    assert log == "HEAD -> main|Ada Lovelace|ada@example.com\n"
    assert project.run("git", "status", "--porcelain").output == ""
    tracked = set(project.run("git", "ls-files").output.splitlines())
    assert {".cruft.json", ".gitignore", "Makefile", "src/customer_churn/project.py"} <= tracked


@needs_git
def test_raw_data_and_audit_logs_are_ignored_wherever_they_lie(bake: Bake) -> None:
    project = bake(repo_name="ignored", package_name="ignored")
    ignored = ("data/raw.csv", "models/x/data/raw.csv", "audit/log.jsonl", "models/x/audit/a.jsonl")
    kept = ("data/.gitkeep", "src/ignored/data/more.py", "src/ignored/data/query.sql")
    for name in (*ignored, *kept):
        file = project.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    shown = project.run("git", "status", "--porcelain", "--untracked-files=all").output

    assert not [name for name in ignored if name in shown]
    assert [name for name in kept[1:] if name not in shown] == []


def test_next_three_commands_are_printed(bake: Bake) -> None:
    output = bake(repo_name="next-steps", package_name="next_steps").output
    after = output[output.index("Next:") :].splitlines()[1:4]
    assert [line.split("#")[0].strip() for line in after] == [
        "cd next-steps",
        "make setup",
        "make demo",
    ]


def test_bake_works_without_git(tmp_path: Path) -> None:
    output = tmp_path / "here"
    output.mkdir()
    finished = cookiecutter(output, path=str(tmp_path / "no-such-folder"))
    assert finished.code == 0, finished.output
    assert "git: not found" in finished.output
    assert "make setup" in finished.output
    assert not (output / "customer-churn" / ".git").exists()


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 1\n", "not a program\n"])
def test_bake_works_with_a_git_that_fails(tmp_path: Path, script: str) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").write_text(script)
    (tools / "git").chmod(0o755)
    output = tmp_path / "here"
    output.mkdir()
    finished = cookiecutter(output, path=str(tools))
    assert finished.code == 0, finished.output
    assert "git: no first commit" in finished.output


@needs_git
def test_project_inside_another_repository_is_left_to_it(tmp_path: Path) -> None:
    output = tmp_path / "outer"
    output.mkdir()
    environment = dict(os.environ)
    run("git", "init", "--quiet", cwd=output, timeout=30, env=environment)
    finished = cookiecutter(output)
    assert finished.code == 0, finished.output
    assert "inside another repository" in finished.output
    assert not (output / "customer-churn" / ".git").exists()


@needs_git
def test_second_bake_over_a_project_commits_nothing(bake: Bake) -> None:
    project = bake()
    finished = cookiecutter(project.root.parent, "--overwrite-if-exists")
    assert finished.code == 0, finished.output
    assert "nothing was committed" in finished.output
    assert project.run("git", "rev-list", "--count", "HEAD").output == "1\n"
