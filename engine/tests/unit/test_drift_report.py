"""The pages that a drift check leaves for people."""

import json
import os
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from goldpath.drift.counts import count_rows
from goldpath.drift.importance import weigh
from goldpath.drift.persistence import judge_source
from goldpath.drift.plot import write_plot
from goldpath.drift.profile import as_table
from goldpath.drift.reference import build_reference
from goldpath.drift.report import Drawn, inert, plain_frames, write_html
from goldpath.drift.source_decision import SourceDecision, decide_source
from goldpath.drift.window_verdict import WindowJudge

HOSTILE = "</script><script>document.title='owned'</script>"
PNG = b"\x89PNG\r\n\x1a\n"


def draw(random: np.random.Generator, rows: int, shift: float = 0.0) -> pd.DataFrame:
    towns = ["north", "south"] + ([HOSTILE] if shift else [])
    return pd.DataFrame(
        {
            "charges": random.lognormal(3, 0.4, rows) * (1 + shift),
            "hours": np.where(
                random.random(rows) < 0.05 + shift / 4, np.nan, random.normal(size=rows)
            ),
            "region": np.array(towns, dtype=object)[random.integers(0, len(towns), rows)],
            "paperless": random.random(rows) < 0.5,
            "cost_$": random.integers(0, 9, rows),
            "empty": np.full(rows, np.nan),
            "constant": np.ones(rows),
            "prediction": np.clip(random.beta(2, 5, rows) + shift / 5, 0, 1),
        }
    )


def judge(reference: pd.DataFrame, current: pd.DataFrame) -> SourceDecision:
    judge = WindowJudge(build_reference(as_table(reference), None))
    bins = judge.reference.whole.bins
    verdict = judge.judge(count_rows(bins, as_table(current)))
    return decide_source(judge_source([verdict]), verdict, bins, judge.settings)


def drawn(reference: pd.DataFrame, current: pd.DataFrame, title: str) -> Drawn:
    return Drawn(title, "", ("a note",), as_table(reference), as_table(current))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rows", "shift", "verdict"), [(2000, 0.5, "DRIFT"), (40, 0.0, "INSUFFICIENT")]
)
def test_evidently_shows_our_verdict_and_sends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, shift: float, verdict: str
) -> None:
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    random = np.random.default_rng(0)
    reference, current = draw(random, 3000), draw(random, rows, shift)
    decision = judge(reference, current)
    page = tmp_path / "reports" / "drift.html"

    moved = weigh(decision.columns, {"charges": 0.2, "hours": 0.05, "region": -0.01})
    count = write_html(
        page, drawn(reference, current, "churn version 3"), decision, rows=500, moved=moved
    )

    text = page.read_text(encoding="utf-8")
    for said in (f"{verdict}: ", "churn version 3", "a note", "Calibration: iid"):
        assert said in text
    assert ("would have been seen" in text) is True
    for column in decision.columns:
        assert column.name in text
    assert text.count("Data drift detected.") == len(decision.drifted)
    assert HOSTILE not in text
    assert ("What moved and matters" in text) is (verdict == "DRIFT")
    assert (count.columns, count.rows) == (len(reference.columns) - 1, 500), "one is empty"
    assert count.message in unescape(text)
    assert (count.drifted > 0) is (verdict == "DRIFT")
    assert count.share == pytest.approx(count.drifted / count.columns)
    assert list(page.parent.iterdir()) == [page]
    assert os.environ["DO_NOT_TRACK"]


@pytest.mark.parametrize(("rows", "shift"), [(2000, 0.5), (1, 0.0)])
def test_picture_is_drawn_for_any_verdict(tmp_path: Path, rows: int, shift: float) -> None:
    random = np.random.default_rng(1)
    reference, current = draw(random, 3000), draw(random, rows, shift)
    picture = tmp_path / "drift.png"

    write_plot(picture, drawn(reference, current, "costs in $"), judge(reference, current))

    assert picture.read_bytes().startswith(PNG)
    assert list(tmp_path.iterdir()) == [picture]


def test_the_title_of_the_picture_is_a_headline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence about windows, sizes and sensitivity is in the report."""
    titles = []
    monkeypatch.setattr(Figure, "suptitle", lambda _, text, **__: titles.append(text))
    random = np.random.default_rng(1)
    reference = draw(random, 3000)
    named = "customer_churn version 3: batch run 2026-03-01 to 2026-03-09 (12,000 rows left out)"
    for current in (draw(random, 2000, 0.5), draw(random, 2000), draw(random, 1)):
        write_plot(
            tmp_path / "drift.png", drawn(reference, current, named), judge(reference, current)
        )

    for title in titles:
        assert len(title.splitlines()) == 2
        assert all(len(line) <= 110 for line in title.splitlines())
    headlines = [title.splitlines()[0] for title in titles]
    assert headlines[0].startswith("DRIFT: ")
    assert "charges" in headlines[0]
    assert headlines[1:] == ["NO DRIFT", "NO VERDICT: too few rows"]


def test_what_moved_is_weighed_by_what_the_model_depends_on() -> None:
    random = np.random.default_rng(4)
    reference, current = draw(random, 3000), draw(random, 2000, 0.5)
    columns = judge(reference, current).columns
    by_name = {column.name: column for column in columns}

    found = weigh(columns, {"hours": 0.3, "charges": 0.1, "region": -0.2, "empty": 0.1, "gone": 0})

    assert {each.name for each in found} == {"hours", "charges"}, "compared, and of any use"
    weights = {each.name: each for each in found}
    charges = by_name["charges"]
    assert weights["charges"].moved == pytest.approx(charges.effect / charges.limit)
    assert weights["charges"].share == pytest.approx(0.2)
    assert weights["hours"].weight == pytest.approx(weights["hours"].moved * 0.6)
    assert [each.weight for each in found] == sorted((w.weight for w in found), reverse=True)
    assert weigh(columns, {"hours": float("nan"), "charges": 0.0}) == ()


def test_a_text_has_the_importance_of_its_feature_in_both_of_its_numbers() -> None:
    random = np.random.default_rng(5)
    names = ("remarks (words)", "remarks (share of new words)", "age")
    reference, current = (
        pd.DataFrame({name: random.normal(shift, 1, 2000) for name in names}) for shift in (0, 1)
    )

    found = weigh(judge(reference, current).columns, {"remarks": 0.2, "age": 0.2})

    assert {each.name: each.share for each in found} == dict.fromkeys(names, 0.5)


def test_picture_of_a_wide_table_leaves_out_the_smallest_shifts(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    names = [f"column {number}" for number in range(60)]
    reference, current = (
        pd.DataFrame(random.normal(size=(300, 60)), columns=names) for _ in range(2)
    )

    picture = tmp_path / "drift.png"
    write_plot(picture, drawn(reference, current, "wide"), judge(reference, current))

    assert (tmp_path / "drift.png").read_bytes().startswith(PNG)


def test_pages_show_an_even_draw_that_is_the_same_every_time() -> None:
    random = np.random.default_rng(3)
    reference, current = draw(random, 3000), draw(random, 100)

    first, second = plain_frames(reference, current, 500), plain_frames(reference, current, 500)

    assert [len(frame) for frame in first] == [500, 100]
    pd.testing.assert_frame_equal(first[0], second[0])
    assert first[0]["charges"].mean() == pytest.approx(reference["charges"].mean(), rel=0.1)


def test_text_for_the_page_cannot_end_its_script_element() -> None:
    assert "<" not in inert(json.dumps(HOSTILE))
