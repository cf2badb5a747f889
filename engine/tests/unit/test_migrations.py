"""What a newer engine asks for in config/ and .env is shown, then written; comments stay."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from goldpath.cli.app import app
from goldpath.services.migrations import MigrationError, migrate
from goldpath.settings import SettingsError, load_settings

OLD = """\
# Ours: agreed with the risk team.
champion_rule: proven_not_worse
drift: {value}                      # see the wiki
psi_limit: 0.3
"""
ROWS = ("warn", "refuse", '"off"', "'off'", "off")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLOPS_ROOT", raising=False)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "project.yaml").write_text("dataset: churn\n")
    return tmp_path


def write(root: Path, text: str) -> Path:
    file = root / "config" / "validation.yaml"
    file.write_bytes(text.encode())
    return file


@pytest.mark.parametrize("value", ROWS)
def test_renamed_setting_keeps_its_meaning_and_every_comment(root: Path, value: str) -> None:
    file = write(root, OLD.format(value=value))
    assert migrate(root, apply=True).applied
    text = file.read_text()
    new = "ignore" if "off" in value else value
    assert yaml.safe_load(text) == {
        "champion_rule": "proven_not_worse",
        "on_drift": new,
        "psi_limit": 0.3,
    }
    assert text.startswith("# Ours: agreed with the risk team.\n")
    line = next(line for line in text.splitlines() if "on_drift" in line)
    before = next(line for line in OLD.format(value=value).splitlines() if "wiki" in line)
    assert line.index("# see the wiki") == before.index("# see the wiki")
    assert load_settings(root).validation.on_drift == new


def test_dry_run_shows_the_change_and_writes_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(root, OLD.format(value="refuse"))
    monkeypatch.chdir(root)
    shown = CliRunner().invoke(app, ["migrate"])
    assert shown.exit_code == 1
    assert "-drift: refuse" in shown.output
    assert "+on_drift: refuse" in shown.output
    assert file.read_text() == OLD.format(value="refuse")
    assert CliRunner().invoke(app, ["migrate", "--apply"]).exit_code == 0
    again = CliRunner().invoke(app, ["migrate"])
    assert again.exit_code == 0
    assert "Nothing to do" in again.output


def test_second_run_changes_nothing(root: Path) -> None:
    file = write(root, OLD.format(value="warn"))
    migrate(root, apply=True)
    first = file.read_bytes()
    assert migrate(root, apply=True).changes == ()
    assert file.read_bytes() == first


def test_windows_line_ends_and_a_missing_last_one_stay(root: Path) -> None:
    file = write(root, "psi_limit: 0.3\r\ndrift: warn")
    migrate(root, apply=True)
    assert file.read_bytes() == b"psi_limit: 0.3\r\non_drift: warn"


def test_variables_in_env_are_renamed_and_their_neighbours_not_shown(root: Path) -> None:
    env = root / ".env"
    env.write_text("MLOPS_SERVING__API_KEY=hunter2\nexport MLOPS_VALIDATION__DRIFT=off # night\n")
    env.chmod(0o600)
    (change,) = migrate(root, apply=True).changes
    assert env.read_text() == (
        "MLOPS_SERVING__API_KEY=hunter2\nexport MLOPS_VALIDATION__ON_DRIFT=ignore # night\n"
    )
    assert "hunter2" not in change.diff
    assert env.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{drift: warn}\n", "by hand"),
        ("drift: warn\non_drift: warn\n", "has both"),
        ("drift: [\n", "not valid YAML"),
    ],
)
def test_what_cannot_be_edited_as_lines_is_refused_before_anything_is_written(
    root: Path, text: str, says: str
) -> None:
    file = write(root, text)
    env = root / ".env"
    env.write_text("MLOPS_VALIDATION__DRIFT=warn\n")
    with pytest.raises(MigrationError, match=says):
        migrate(root, apply=True)
    assert file.read_text() == text
    assert env.read_text() == "MLOPS_VALIDATION__DRIFT=warn\n"


def test_old_name_is_refused_with_the_command_that_renames_it(root: Path) -> None:
    write(root, OLD.format(value="warn"))
    with pytest.raises(SettingsError) as refused:
        load_settings(root)
    assert "validation.drift (config/validation.yaml:3)" in str(refused.value)
    assert "validation.on_drift" in str(refused.value)
    assert "make migrate ARGS=--apply" in str(refused.value)


def test_old_variable_is_refused_with_the_new_name(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_VALIDATION__DRIFT", "warn")
    with pytest.raises(SettingsError, match=r"MLOPS_VALIDATION__DRIFT.*on_drift"):
        load_settings(root)


def test_current_project_has_nothing_to_migrate() -> None:
    project = Path(__file__).resolve().parents[1] / "project"
    assert migrate(project, apply=False).changes == ()
