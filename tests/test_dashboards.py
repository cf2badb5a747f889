"""The Grafana dashboards are what `dashboards/` builds, and reach a project as they are."""

import json
from pathlib import Path

import pytest
from conftest import BakedProject
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import rules
from dashboards.__main__ import BOARDS, FOLDER, texts, write
from dashboards.panels import Query, Section, board, from_alert, number

FILES = sorted(FOLDER.glob("*.json"))


def test_the_committed_dashboards_are_what_the_code_builds() -> None:
    committed = {file.name: file.read_text(encoding="utf-8") for file in FILES}

    assert committed == texts(), "run: make dashboards"


def test_a_dashboard_that_is_gone_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("{}")

    write(tmp_path)

    assert {file.stem for file in tmp_path.iterdir()} == set(BOARDS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_grafanas_types_know_all_that_a_dashboard_says(file: Path) -> None:
    register_default_plugins()
    said = json.loads(file.read_text(encoding="utf-8"))

    read = Dashboard.from_json(said)

    assert json.loads(JSONEncoder().encode(read)) == said


def test_names_of_series_reach_a_project_with_their_braces(default_project: BakedProject) -> None:
    """They look like Cookiecutter's, which copies these files without rendering them."""
    for file in FILES:
        text = file.read_text(encoding="utf-8")
        assert "{{" in text
        assert default_project.read(f"infra/grafana/dashboards/{file.name}") == text


def test_a_panels_line_is_where_its_alert_fires(monkeypatch: pytest.MonkeyPatch) -> None:
    assert from_alert("HighErrorShare").value == 0.05
    assert from_alert("HighLatency").value == 0.5
    assert from_alert("DriftCheckStale").value == 2 * 86_400
    assert from_alert("DriftNotJudged").value == 8 * 86_400
    assert 0 < from_alert("ModelLoadFailing").value < 1  # it fires above nothing

    monkeypatch.setattr(rules, "alerts", lambda: {"HighLatency": "slow > 0.7\nand\nmany > 0.1"})
    assert from_alert("HighLatency").value == 0.7


def test_a_rule_without_a_number_has_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "alerts", lambda: {"Odd": "up == 0"})

    with pytest.raises(ValueError, match="the rule of Odd compares with no number: up == 0"):
        rules.limit_of("Odd")


@pytest.mark.parametrize(("widths", "line"), [((12, 13), 25), ((24, 6), 6)])
def test_panels_that_do_not_fill_their_lines_are_refused(
    widths: tuple[int, ...], line: int
) -> None:
    """Grafana's builder would put them on top of each other."""
    panels = [number("One", "One.", Query("up", "{{job}}"), width=width) for width in widths]

    with pytest.raises(ValueError, match=f"of Now is {line} wide"):
        board("x", "X", "X.", [Section("Now", panels)])
