"""The report of a search: complete, self-contained, and safe whatever the columns are called."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from goldpath.automl.budget import Budget
from goldpath.automl.engine import find_model
from goldpath.automl.report import Report, make_report
from goldpath.automl.report_page import render_page, write_report_files
from goldpath.automl.result import AutoMLResult

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("search-report")]

EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def searched() -> tuple[AutoMLResult, pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            EVIL: random.normal(size=150),
            "kind": random.choice([EVIL, "b"], 150),
            "noise": random.normal(size=150),
        }
    )
    target = np.where(table[EVIL] + random.normal(0, 0.3, 150) > 0, EVIL, "no")
    found = find_model(
        table,
        target,
        "classification",
        Budget(trials=3),
        families=["linear", "extra_trees", "neighbours"],
    )
    return found, table, target


@pytest.fixture(scope="module")
def report(searched: tuple[AutoMLResult, pd.DataFrame, np.ndarray]) -> Report:
    return make_report(*searched, title=EVIL, budget_seconds=None, rows_seen=True, seconds=5)


class Tags(HTMLParser):
    """Which elements a page has, and that each one is closed."""

    VOID = ("meta",)

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.loads: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID and tag not in ("circle", "line", "polyline"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def test_the_page_holds_no_script_and_loads_nothing(report: Report) -> None:
    tags = Tags(render_page(report))
    assert "script" not in tags.seen
    assert tags.loads == []
    assert tags.seen.count("polyline") >= 3  # two learning curves, the front


def test_every_curve_is_drawn_beside_the_others(report: Report) -> None:
    # An attribute without quotes before "/>" would swallow the slash and nest what follows.
    page = render_page(report)
    assert not [part for part in page.split("<") if part.endswith("/>") and "=" in part
                and part[-3] not in "'\""]  # fmt: skip


def test_what_decides_comes_first(report: Report) -> None:
    assert report.importances[0].feature == EVIL
    assert report.importances[0].loss > 5 * abs(report.importances[-1].loss)
    curve = next(iter(report.dependences[0].curves.values()))
    assert report.dependences[0].feature == EVIL
    assert abs(curve[-1] - curve[0]) > 0.3


def test_the_front_holds_what_nothing_beats(report: Report) -> None:
    best = [point for point in report.points if point.best]
    assert best
    for point in best:
        assert not any(
            other.score < point.score and other.microseconds < point.microseconds
            for other in report.points
        )
    assert "ensemble" in [point.name for point in report.points]


def test_a_wide_table_costs_no_more_time_than_allowed(
    searched: tuple[AutoMLResult, pd.DataFrame, np.ndarray],
) -> None:
    hurried = make_report(*searched, title="x", budget_seconds=1, rows_seen=False, seconds=0.0)
    assert (hurried.importances, hurried.features_not_judged) == ((), 3)
    page = render_page(hurried)
    assert "3 features were not judged" in page
    assert "which the search never saw" in page


def test_the_json_says_what_the_page_says(report: Report, tmp_path: Path) -> None:
    page, values = write_report_files(report, tmp_path, "automl")
    said = json.loads(values.read_text())
    assert said["score"] == report.score
    assert len(said["leaderboard"]) == len(report.leaderboard)
    assert EVIL not in page.read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["automl.html", "automl.json"]


def test_shap_is_added_where_it_is_installed(
    searched: tuple[AutoMLResult, pd.DataFrame, np.ndarray],
) -> None:
    pytest.importorskip("shap")
    explained = make_report(
        *searched, title="x", budget_seconds=1, rows_seen=True, explain=True, seconds=5
    )
    assert next(iter(explained.attributions)) == EVIL
    assert "Mean absolute SHAP value" in render_page(explained)
