"""What the tests' own fixtures and hooks promise."""

from pathlib import Path

import pytest

from goldpath.settings import Settings

from ..conftest import needing_an_account
from ..prepared_projects import PreparedProjects
from ..where_time_goes import SHOWN, TimeByFile


@pytest.mark.parametrize(
    ("markers", "left_out"),
    [("", True), ("slow", True), ("slow or airflow", True), ("aws", False), ("not aws", False)],
)
def test_tests_of_an_aws_account_run_only_when_they_are_asked_for(
    request: pytest.FixtureRequest, markers: str, left_out: bool
) -> None:
    usual, in_an_account = (
        pytest.Function.from_parent(request.node.parent, name=name, callobj=lambda: None)
        for name in ("usual", "in_an_account")
    )
    in_an_account.add_marker(pytest.mark.aws)

    found = needing_an_account(markers, [usual, in_an_account])

    assert found == ([in_an_account] if left_out else [])


def put_a_file(settings: Settings) -> str:
    (settings.root / "lake").mkdir()
    (settings.root / "lake" / "rows").write_text("as filled")
    return "filled"


def test_a_prepared_project_is_put_back_as_it_was(prepared_projects: PreparedProjects) -> None:
    first, result = prepared_projects.restore(put_a_file)
    (first.root / "lake" / "rows").write_text("changed")
    (first.root / "lake" / "more").touch()

    second, again = prepared_projects.restore(put_a_file)

    assert second.root == first.root
    assert (result, again) == ("filled", "filled")
    assert [file.name for file in (second.root / "lake").iterdir()] == ["rows"]
    assert (second.root / "lake" / "rows").read_text() == "as filled"


def test_a_project_that_could_not_be_filled_is_filled_again(tmp_path: Path) -> None:
    calls: list[Path] = []

    def make_project(root: Path) -> Settings:
        root.mkdir(parents=True)
        return Settings(root=root)

    def fails_once(settings: Settings) -> None:
        calls.append(settings.root)
        if len(calls) == 1:
            raise OSError("the disk is full")

    projects = PreparedProjects(tmp_path, make_project)
    with pytest.raises(OSError, match="full"):
        projects.restore(fails_once)

    projects.restore(fails_once)

    assert calls == [calls[0]] * 2


def test_the_files_that_took_most_are_printed_first() -> None:
    times = TimeByFile()
    for number in range(SHOWN + 2):
        report = pytest.TestReport(
            f"tests/test_{number}.py::test_it", ("", None, ""), {}, "passed", None, "call"
        )
        report.duration, report.processor_seconds = 2.0, float(number)  # type: ignore[attr-defined]
        times.pytest_runtest_logreport(report)

    lines = list(times.table())

    assert lines[1].split() == ["16.0s", "12%", "2.0s", "1", "tests/test_16.py"]
    assert len(lines) == SHOWN + 2
    assert lines[-1].split() == ["1.0s", "1%", "4.0s", "2", "2", "further", "files"]
