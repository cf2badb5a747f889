"""The commands under `registry`, as a person or a script calls them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..api.examples import write_project
from ..registry_projects import add_version, make_registry

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::UserWarning")]

DOOR = """
import sys
from goldpath.cli.registry import app
from goldpath.errors import ProjectError
from goldpath.presentation import show_error
try:
    code = app(sys.argv[1:], standalone_mode=False)
except ProjectError as error:
    show_error(error, as_json="--json" in sys.argv)
    code = error.exit_code
heavy = [name for name in ("mlflow", "pandas", "sklearn") if name in sys.modules]
sys.stderr.write("imported: " + ",".join(heavy))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("registry-cli")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_ROOT", str(root))
        manager = make_registry(root)
        for seed in ("1", "2", "3"):
            add_version(manager, {"semantic_version": f"1.0.{seed}"}, seed=seed)
        manager.set_champion("1")
        manager.set_champion("2")
    return root


def registry(root: Path, *arguments: str) -> tuple[int, Any, str]:
    """Exit code, the JSON that was printed, and what was imported."""
    done = subprocess.run(
        [sys.executable, "-c", DOOR, *arguments, "--json"],
        env={**os.environ, "MLOPS_ROOT": str(root), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(done.stdout), done.stderr.rpartition("imported: ")[2]


def test_looking_imports_neither_mlflow_nor_pandas(project: Path) -> None:
    code, found, imported = registry(project, "show")
    assert (code, imported) == (0, "")
    assert (found["version"], found["stage"], found["aliases"]) == ("2", "Production", ["champion"])
    assert found["metrics"]["accuracy"] == 0.85

    code, found, imported = registry(project, "list")
    assert (code, imported) == (0, "")
    assert [row["version"] for row in found["versions"]] == ["1", "2", "3"]
    assert found["versions"][0]["semantic"] == "1.0.1"

    for arguments in (["history"], ["compare", "1", "2"], ["list", "--all"], ["audit", "verify"]):
        code, _, imported = registry(project, *arguments)
        assert (code, imported) == (0, ""), arguments


def test_unknown_version_is_an_error_that_says_what_to_do(project: Path) -> None:
    code, found, _ = registry(project, "show", "9")

    assert code == 2
    assert found["error"] == "small has no version 9"
    assert "registry list" in found["fix"]


def test_commands_change_what_they_say_and_record_it(project: Path) -> None:
    assert registry(project, "tag", "3", "team=data-science", "--describe", "the third")[0] == 0
    code, found, _ = registry(project, "show", "1.0.3")
    assert (found["description"], found["tags"]["team"]) == ("the third", "data-science")
    assert registry(project, "tag", "3", "--remove", "team")[1]["tags"].get("team") is None
    assert registry(project, "tag", "3", "team")[0] == 2

    assert registry(project, "stage", "3", "Staging")[1]["stage"] == "Staging"
    assert registry(project, "archive", "3")[1]["stage"] == "Archived"
    assert registry(project, "verify", "champion")[1]["signed_as"] == "small"

    code, found, _ = registry(project, "rollback", "--to", "1")
    assert (code, found["model_version"]) == (0, "1")
    assert registry(project, "rollback", "--to", "1")[0] == 99
    assert registry(project, "rollback", "--to", "2")[0] == 0

    code, found, _ = registry(project, "delete", "2")
    assert (code, found["error"]) == (2, "version 2 of small is champion")
    copied = registry(project, "copy", "3", "--to", "prod.small")[1]
    assert (copied["model"], copied["version"]) == ("prod.small", "1")
    assert registry(project, "delete", "--whole", "--model", "prod.small")[0] == 0

    actions = [row["action"] for row in registry(project, "history")[1]["records"]]
    assert {"registered", "alias moved", "tagged", "described", "staged", "rolled back"} <= set(
        actions
    )
    code, found, _ = registry(project, "audit", "verify")
    assert (code, found["intact"]) == (0, True)


def test_promotion_of_an_unexpected_champion_is_refused(project: Path) -> None:
    code, found, _ = registry(project, "promote", "3", "--expect", "none")

    assert code == 1
    assert "and none was expected" in found["error"]


def test_champion_on_a_date(project: Path) -> None:
    code, found, _ = registry(project, "audit", "champion", "2020-01-01")
    assert (code, found["version"]) == (0, None)

    code, found, _ = registry(project, "audit", "champion", "2999-01-01")
    assert (code, found["version"]) == (0, "2")
    # A day means its end: the champion of today is the one of this day.
    code, found, _ = registry(project, "audit", "champion", found["since"][:10])
    assert (code, found["version"]) == (0, "2")
    code, found, _ = registry(project, "audit", "champion", f"{found['since'][:10]}T00:00+14:00")
    assert (code, found["version"]) == (0, None)
    assert registry(project, "audit", "champion", "yesterday")[0] == 2


def test_changed_audit_log_is_exit_code_1(project: Path, tmp_path: Path) -> None:
    log = project / "audit" / "registry.jsonl"
    content = log.read_bytes()
    log.write_bytes(content.replace(b'"version":"1"', b'"version":"3"', 1))
    try:
        code, found, _ = registry(project, "audit", "verify")
    finally:
        log.write_bytes(content)

    assert code == 1
    assert "its content does not belong to its hash" in found["problems"][0]


def test_key_is_made_once_and_rotated_only_on_request(tmp_path: Path) -> None:
    write_project(tmp_path)

    code, made, imported = registry(tmp_path, "keygen")

    assert (code, imported) == (0, "")
    assert (made["private_file"], made["public_file"]) == (
        ".secrets/signing.pem",
        f"config/keys/{made['key']}.pem",
    )
    private = tmp_path / made["private_file"]
    assert private.stat().st_mode & 0o777 == 0o600
    content = private.read_bytes()
    code, found, _ = registry(tmp_path, "keygen")
    assert (code, found["error"]) == (2, "there is a key already: .secrets/signing.pem")
    assert private.read_bytes() == content

    code, renewed, _ = registry(tmp_path, "keygen", "--rotate")
    assert code == 0
    assert renewed["key"] != made["key"]
    assert (private.parent / f"signing-before-{renewed['key']}.pem").read_bytes() == content
    assert {file.stem for file in (tmp_path / "config" / "keys").iterdir()} == {
        made["key"],
        renewed["key"],
    }


def test_backup_and_restore(project: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"

    assert registry(project, "backup", "--to", str(saved))[0] == 0
    code, found, _ = registry(project, "restore", str(saved))
    assert code == 2
    assert "there is a registry already" in found["error"]
    assert registry(project, "restore", str(saved), "--force")[0] == 0
    assert registry(project, "show")[0] == 0


def test_sign_all_goes_on_after_a_version_that_cannot_be_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    manager = make_registry(tmp_path)
    first = add_version(manager)
    add_version(manager, seed="2")
    manager.tag_version(first.version, {"signature": "lost.json"})

    code, found, _ = registry(tmp_path, "sign", "--all")

    assert (code, found["signed"]) == (1, "2")
    assert "version 1 of small is unsigned" in found["not_signed"]["1"]
    assert registry(tmp_path, "sign", "2")[0] == 0
    assert registry(tmp_path, "sign", "1")[0] == 2
