"""`docs` lists the engine's documents and prints one, in the words of the project that asks."""

import io
import json
import shutil
from pathlib import Path

import pytest
from rich.console import Console

import goldpath
from goldpath.cli import docs as command
from goldpath.cli.docs import docs, document, documents
from goldpath.errors import ProjectError
from goldpath.project import Project

DOCS = Path(goldpath.__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def churn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goldpath.project._running", Project(name="customer_churn"))


def test_every_document_is_listed_with_its_title(capsys: pytest.CaptureFixture[str]) -> None:
    docs(as_json=True)

    listed = {each["topic"]: each["summary"] for each in read(capsys)["documents"]}
    assert set(listed) == {file.stem for file in DOCS.glob("*.md")}
    for topic, summary in listed.items():
        assert summary.startswith((DOCS / f"{topic}.md").read_text("utf-8")[2:].split("\n")[0])


def test_a_summary_is_the_title_and_the_first_sentence_if_the_document_begins_with_one() -> None:
    summaries = {each.topic: each.summary for each in documents()}

    assert summaries["aws"] == "AWS: The lake of a laptop is a folder"
    assert summaries["architecture"] == "Architecture"


def test_a_document_is_printed_as_it_is_with_the_projects_package_in_its_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    docs("features")

    text = (DOCS / "features.md").read_text("utf-8")
    assert "python -m PACKAGE features get" in text
    assert capsys.readouterr().out == text.replace("PACKAGE", "customer_churn")


def test_a_document_is_laid_out_for_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=100)
    monkeypatch.setattr("goldpath.presentation.console", screen)

    docs("scaling")

    assert isinstance(screen.file, io.StringIO)
    shown = screen.file.getvalue()
    assert "\x1b[" in shown
    assert "| limit | what to turn |" not in shown  # a table, not its source
    assert "slow search" in shown


@pytest.mark.parametrize("topic", ["prediction_log", "Prediction-Log", "prediction_log.md"])
def test_a_topic_may_be_written_in_more_than_one_way(topic: str) -> None:
    assert document(topic).startswith("# The prediction log")


def test_an_unknown_topic_names_the_closest_one_and_all_others() -> None:
    with pytest.raises(ProjectError) as caught:
        document("trainings")

    assert "no document 'trainings'" in caught.value.message
    assert caught.value.fix.startswith("Did you mean training?")
    assert all(each.topic in caught.value.fix for each in documents())


def test_a_topic_is_no_path() -> None:
    with pytest.raises(ProjectError, match="no document"):
        document("../README")


def test_the_documents_in_the_wheel_come_before_a_checkouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site-packages" / "goldpath"
    shutil.copytree(Path(goldpath.__file__).parent / "cli", package / "cli")
    (package / "docs").mkdir()
    (package / "docs" / "packed.md").write_text("# Packed\n", "utf-8")
    monkeypatch.setattr(command, "__file__", str(package / "cli" / "docs.py"))

    assert [each.topic for each in documents()] == ["packed"]


def read(capsys: pytest.CaptureFixture[str]) -> dict[str, list[dict[str, str]]]:
    values: dict[str, list[dict[str, str]]] = json.loads(capsys.readouterr().out)
    return values
