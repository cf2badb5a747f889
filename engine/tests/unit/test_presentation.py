"""Tables in a terminal: a line a row, short ids, times to the second, whatever the width."""

import io
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from rich.console import Console

from goldpath import presentation
from goldpath.adoption.column_profile import percentage
from goldpath.jobs.data.versions import Version, Versions, show_versions
from goldpath.jobs.promotion.registry_view import HistoryRow, VersionView, short_view
from goldpath.presentation import FOR_SCRIPTS, show, show_rows
from goldpath.registry.comparison import ComparedValue

RUN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
MOMENT = datetime(2026, 11, 29, 1, 2, 3, 456789, tzinfo=UTC)
JSON = '{"enough test rows": "pass: 500 test rows", "champion": "pass: 0.01 better"}'
HISTORY = [
    HistoryRow(
        12, "2026-11-29 01:02:03", "a.person@a-machine", "promoted", "3", "champion: 2 -> 3"
    ),
    HistoryRow(13, "2026-11-29 01:02:04", "a.person@a-machine", "tagged", "3", f"run: {RUN}, " * 4),
]
COMPARED = [
    ComparedValue("metric", "test_roc_auc", "0.81", "0.82", "+0.01"),
    ComparedValue(
        "tag", "semantic_version_reason", "a long sentence " * 6, "another " * 9, "differs"
    ),
    ComparedValue("version", "run", RUN, RUN[::-1], "differs"),
    ComparedValue("tag", "gate_checks", JSON, JSON, ""),
]
VERSIONS = Versions(
    tuple(
        Version(
            "quarantine.customer_churn",
            8765432109876543210 - number,
            MOMENT,
            120_000,
            "overwrite",
            (f"train-{RUN}",),
            number == 0,
        )
        for number in range(3)
    )
)


@pytest.fixture(params=[(80, True), (120, True), (80, False)], ids=["80", "120", "no colours"])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Console:
    width, colours = request.param
    console = Console(file=io.StringIO(), width=width, force_terminal=colours, no_color=not colours)
    monkeypatch.setattr(presentation, "console", console)
    return console


def lines(screen: Console) -> list[str]:
    from rich.text import Text

    assert isinstance(screen.file, io.StringIO)
    found = Text.from_ansi(screen.file.getvalue()).plain.splitlines()
    assert all(len(line) <= screen.width for line in found)
    return [line for line in found if line.strip()]


def test_history_has_a_line_a_record(screen: Console) -> None:
    show_rows(HISTORY, "History of small")

    shown = lines(screen)
    assert len(shown) == 1 + 1 + len(HISTORY) + 1
    assert "2026-11-29 01:02:03" in shown[2]
    assert "champion: 2 -> 3" in shown[2]
    assert RUN not in "".join(shown)
    assert shown[-1].endswith("--json")


def test_comparison_has_a_line_a_fact(screen: Console) -> None:
    show_rows(COMPARED, "version 1 and version 2")

    shown = lines(screen)
    assert len(shown) == 1 + 1 + len(COMPARED) + 1
    assert "0.81" in shown[2]
    assert "+0.01" in shown[2]
    assert RUN[:8] in shown[4]
    assert RUN[::-1][:8] in shown[4]


def test_snapshots_have_a_line_each_with_the_number_that_commands_take(screen: Console) -> None:
    show_versions(VERSIONS, as_json=False)

    shown = lines(screen)
    assert "quarantine.customer_churn" in shown[0]
    assert len(shown) == 1 + 1 + 3 + 1
    assert "8765432109876543210" in shown[2]
    assert "2026-11-29 01:02:03" in shown[2]
    assert ".456" not in "".join(shown)
    assert "train-0f1e2d" in shown[2]


def test_version_is_shown_without_broken_ids_and_json(screen: Console) -> None:
    view = VersionView(
        "small",
        "3",
        "1.2.0",
        "Production",
        ("champion",),
        "a model",
        "2026-11-29 01:02:03",
        RUN,
        {"accuracy": 0.8125},
        {"gate_checks": JSON, "predictions_digest": RUN * 2},
        RUN[:16],
        RUN * 2,
        f"models:/m-{RUN}",
    )
    show(short_view(view), as_json=False)

    shown = lines(screen)
    assert RUN not in "".join(shown)
    assert sum("gate_checks" in line for line in shown) == 1
    assert len(shown) == 15
    assert shown[-1].split() == ["in", "full", "registry", "show", "3", "--json"]


def test_short_tables_are_not_said_to_be_shortened(screen: Console) -> None:
    @dataclass(frozen=True)
    class Row:
        name: str
        value: float

    show_rows([Row("a", 0.123456)], "Rows")
    assert lines(screen)[-1].split() == ["a", "0.1235"]


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 %"),
        (1453, "100 %"),
        (1452, "> 99.9 %"),
        (1, "< 0.1 %"),
        (145, "10.0 %"),
        (727, "50.0 %"),
    ],
)
def test_shares_have_no_exponent(count: int, said: str) -> None:
    assert percentage(count, 1453) == said


@dataclass(frozen=True)
class Outcome:
    rows: int
    promoted: bool
    champion: str | None
    recomputed: tuple[str, ...]
    sources: dict[str, dict[str, object]]
    digest: str = field(default="abcdef", metadata=FOR_SCRIPTS)


def test_people_see_no_empty_field_and_what_belongs_together_below_its_name(
    screen: Console,
) -> None:
    months = tuple(f"2025-{month:02}" for month in range(1, 13))
    show(
        Outcome(0, True, None, (*months, "unknown"), {"payments": {"rows": 7, "left": {}}}),
        as_json=False,
    )

    assert [line.rstrip() for line in lines(screen)] == [
        "rows        0",
        "promoted    yes",
        "recomputed  2025-01 to 2025-12 (12), unknown",
        "sources     payments:",
        "              rows: 7",
    ]


def test_scripts_get_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    show(Outcome(0, True, None, ("2025-01",), {}), as_json=True)

    assert json.loads(capsys.readouterr().out) == {
        "rows": 0, "promoted": True, "champion": None, "recomputed": ["2025-01"], "sources": {},
        "digest": "abcdef",
    }  # fmt: skip


def test_periods_are_a_range_only_where_none_is_missing() -> None:
    def shown(months: list[int]) -> str:
        return presentation._cell([f"2025-{month:02}" for month in months])

    assert shown([1, 2, 3, 4, 5]) == "2025-01 to 2025-05 (5)"
    assert shown([1, 2, 3, 4, 12]) == "2025-01, 2025-02, 2025-03, 2025-04, 2025-12"
    days = [f"2026-02-{day}" for day in range(25, 29)]
    assert presentation._cell([*days, "2026-03-01"]) == "2026-02-25 to 2026-03-01 (5)"
