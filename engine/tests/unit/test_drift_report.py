"""The pages that a drift check leaves for people."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from goldpath.drift.decision import DriftDecision, decide
from goldpath.drift.plot import write_plot
from goldpath.drift.profile import compare_frames
from goldpath.drift.report import inert, plain_frames, write_html
from goldpath.settings import MonitoringSettings

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


def judge(reference: pd.DataFrame, current: pd.DataFrame) -> DriftDecision:
    profiles = compare_frames(reference, current)
    return decide(profiles, MonitoringSettings(), len(current), len(reference))


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

    write_html(page, reference, current, decision, rows=500, title="churn version 3")

    text = page.read_text(encoding="utf-8")
    assert f"{verdict}: {decision.message}" in text
    assert "churn version 3" in text
    for column in decision.columns:
        assert column.name in text
    assert text.count("Data drift detected.") == len(decision.drifted)
    assert HOSTILE not in text
    assert list(page.parent.iterdir()) == [page]
    assert os.environ["DO_NOT_TRACK"]


@pytest.mark.parametrize(("rows", "shift"), [(2000, 0.5), (1, 0.0)])
def test_picture_is_drawn_for_any_verdict(tmp_path: Path, rows: int, shift: float) -> None:
    random = np.random.default_rng(1)
    reference, current = draw(random, 3000), draw(random, rows, shift)
    picture = tmp_path / "drift.png"

    write_plot(picture, reference, current, judge(reference, current), title="churn version 3")

    assert picture.read_bytes().startswith(PNG)
    assert list(tmp_path.iterdir()) == [picture]


def test_picture_of_a_wide_table_leaves_out_the_smallest_shifts(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    names = [f"column {number}" for number in range(60)]
    reference, current = (
        pd.DataFrame(random.normal(size=(300, 60)), columns=names) for _ in range(2)
    )

    write_plot(tmp_path / "drift.png", reference, current, judge(reference, current), title="wide")

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
