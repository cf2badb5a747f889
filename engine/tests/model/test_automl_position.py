"""How far the time has gone is a feature only where newer rows are known better with it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.automl import search
from goldpath.automl.budget import Budget, Stopwatch
from goldpath.automl.engine import find_model, run_of
from goldpath.automl.preparation import TablePreparation
from goldpath.automl.search import LEAST_FOR_POSITION
from goldpath.automl.sharing import find_model_parallel
from goldpath.automl.structure.findings import Finding
from goldpath.automl.structure.position import Position, position_of

ROWS = 900
FAMILIES = ("linear", "hist_boosting")
DAYS = pd.date_range("2021-03-01", periods=ROWS)
TELLING: dict[str, dict[str, Any]] = {
    "text": {"date": DAYS.strftime("%Y-%m-%d")},
    "time": {"date": DAYS},
    "counter": {"tick": 3 * np.arange(ROWS) + 7},
    "parts": {"year": DAYS.year, "month": DAYS.month, "day": DAYS.day},
}
POSITIONS = {
    "text": Position(dated=("date",)),
    "time": Position(dated=("date",)),
    "counter": Position(counted=("tick",)),
    "parts": Position(counted=("year",)),
}


def table(kind: str, *, trend: float, seed: int = 3) -> tuple[pd.DataFrame, np.ndarray]:
    """A level that wanders and is measured, and a trend that is not."""
    random = np.random.default_rng(seed)
    level = np.zeros(ROWS)
    for step in range(1, ROWS):
        level[step] = 0.97 * level[step - 1] + random.normal(scale=0.5)
    frame = pd.DataFrame(
        {
            **TELLING[kind],
            "measured": level + random.normal(size=ROWS),
            "x": random.normal(size=ROWS),
            "born": pd.Timestamp("1960-01-01")
            + pd.to_timedelta(random.integers(0, 9_000, ROWS), unit="D"),
        }
    )
    drift = trend * np.arange(ROWS) / ROWS
    return frame, level + frame["x"].to_numpy() + drift + random.normal(scale=0.3, size=ROWS)


@pytest.mark.parametrize("kind", TELLING)
def test_what_rises_from_row_to_row_tells_the_position(kind: str) -> None:
    frame, _ = table(kind, trend=0)
    assert position_of(frame, ()) == POSITIONS[kind]
    assert position_of(frame.iloc[::-1], ()) == Position()
    assert position_of(frame, [*POSITIONS[kind].counted, *POSITIONS[kind].dated]) == Position()


@pytest.mark.parametrize("kind", TELLING)
def test_it_is_left_out_where_a_level_only_wanders_and_stays_where_a_trend_goes_on(
    kind: str,
) -> None:
    for trend, expected in ((0.0, POSITIONS[kind]), (40.0, Position())):
        frame, target = table(kind, trend=trend)
        said: list[Finding] = []
        run = run_of(
            frame, target, "regression", Budget(trials=2), families=FAMILIES, time_ordered=True
        )

        assert run.try_without_position() == expected

        run.say_findings(said.append)
        told = [each for each in said if each.about == "position"]
        assert len(told) == bool(expected)
        for each in told:
            assert each.column == ", ".join([*expected.counted, *expected.dated])
            assert "rmse" in each.sentence


def test_rows_that_no_time_orders_are_not_asked() -> None:
    frame, target = table("text", trend=0)
    run = run_of(frame, target, "regression", Budget(trials=2), time_ordered=False, groups=False)
    assert run.try_without_position() == Position()


def test_a_budget_that_is_too_short_for_it_keeps_the_position() -> None:
    frame, target = table("text", trend=0)
    budget = Budget(seconds=LEAST_FOR_POSITION - 1)
    run = run_of(frame, target, "regression", budget, families=FAMILIES, time_ordered=True)
    assert isinstance(run.stopwatch, Stopwatch)
    assert run.try_without_position() == Position()
    assert not [each for each in run.findings if each.about == "position"]


@pytest.mark.parametrize("losses", [(np.inf, np.inf), (1.0, 1.0), (1.0, np.inf), (np.inf, 1.0)])
def test_what_no_fit_has_shown_leaves_the_position(
    monkeypatch: pytest.MonkeyPatch, losses: tuple[float, float]
) -> None:
    frame, target = table("text", trend=0)
    run = run_of(
        frame, target, "regression", Budget(trials=2), families=FAMILIES, time_ordered=True
    )
    found = iter(losses)
    monkeypatch.setattr(search, "_least_loss", lambda *_: next(found))

    assert run.try_without_position() == Position()

    assert run.evaluator.undated == ()
    assert run.findings == []


@pytest.mark.parametrize("kind", ["text", "counter"])
def test_the_models_answers_follow_no_time_then(kind: str) -> None:
    frame, target = table(kind, trend=0)
    found = find_model(
        frame, target, "regression", Budget(trials=4), families=FAMILIES, time_ordered=True
    )
    (column,) = [*POSITIONS[kind].counted, *POSITIONS[kind].dated]
    assert column in [each.column for each in found.findings]

    newest = frame.tail(20)
    later = newest.copy()
    if kind == "counter":
        later[column] += 50_000
    else:  # the same days of the week and of the year
        later[column] = [str(int(each[:4]) + 28) + each[4:] for each in later[column]]

    assert found.model.predict(later) == pytest.approx(found.model.predict(newest))


@pytest.mark.slow
def test_several_processes_leave_the_same_out() -> None:
    frame, target = table("text", trend=0)
    found = find_model_parallel(
        frame,
        target,
        "regression",
        Budget(trials=10),
        processes=2,
        families=FAMILIES,
        time_ordered=True,
    )
    assert "date" in [each.column for each in found.findings]
    assert [each.state for each in found.leaderboard if each.reason] == []
    assert np.isfinite(found.model.predict(frame)).all()


def test_a_preparation_of_before_the_question_reads_rows_as_it_did() -> None:
    frame, target = table("text", trend=0)
    preparation = TablePreparation()
    preparation.fit(frame, target)
    expected = preparation.transform(frame)
    del preparation.undated

    assert np.array_equal(preparation.transform(frame), expected, equal_nan=True)
