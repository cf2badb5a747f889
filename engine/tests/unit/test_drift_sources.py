"""The verdict on a source: its windows, what earlier checks said of them, and what is left out."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from goldpath.drift.calibration import FEWEST_WINDOWS
from goldpath.drift.counts import count_rows
from goldpath.drift.profile import DriftError
from goldpath.drift.reference import Reference, build_reference
from goldpath.drift.selection import select_columns
from goldpath.drift.window_verdict import WindowJudge
from goldpath.drift.windows import window_end, window_starts
from goldpath.jobs.data.bronze import SAMPLE_ROWS, SAMPLE_SEED
from goldpath.jobs.drift import judged_windows
from goldpath.jobs.drift.check import judge_for, require_settings
from goldpath.jobs.drift.current_rows import CurrentRows, SourceKind
from goldpath.jobs.drift.history import (
    HistoryKey,
    JudgedWindow,
    history_file,
    read_history,
    stored_history,
)
from goldpath.jobs.drift.judged_windows import JudgedSource, judge_rows
from goldpath.jobs.drift.written_reports import read_former
from goldpath.jobs.training.drift_reference import longer_window, shorter_window
from goldpath.model_version import ModelVersion
from goldpath.reports import write_report
from goldpath.sample.customers import write_sample
from goldpath.settings import MonitoringSettings

from ..locations import PROJECT

NUMBERS, DAYS, ROWS, DAY = 5, 42, 400, 0.05
FIRST = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
AFTER = FIRST + timedelta(days=DAYS)
KEY = HistoryKey("3", "digest", "1d")


def rows_of(random: np.random.Generator, rows: int = ROWS, shift: float = 0.0) -> pa.Table:
    moved = random.normal(scale=DAY, size=NUMBERS)
    moved[0] += shift
    return pa.table({f"x{place}": random.normal(moved[place], 1, rows) for place in range(NUMBERS)})


def times_of(start: datetime, sizes: Sequence[int]) -> np.ndarray:
    """So many rows on each day, spread over it."""
    day = np.datetime64(start.replace(tzinfo=None), "s")
    spread = [np.linspace(0, 86_399, size).astype(int) + 86_400 * d for d, size in enumerate(sizes)]
    times: np.ndarray = day + np.concatenate(spread).astype("m8[s]")
    return times


@pytest.fixture(scope="module")
def reference() -> Reference:
    random = np.random.default_rng(0)
    tables = [rows_of(random) for _ in range(DAYS)]
    return build_reference(pa.concat_tables(tables), times_of(FIRST, [ROWS] * DAYS))


@pytest.fixture
def judge(reference: Reference) -> WindowJudge:
    return WindowJudge(reference)


def judged(
    judge: WindowJudge,
    shifts: Sequence[float],
    *,
    kind: SourceKind = "service",
    now: datetime | None = None,
    start: datetime = AFTER,
    rows: int = ROWS,
    earlier: Sequence[JudgedWindow] = (),
    seed: int = 1,
    rejected: int = 0,
) -> JudgedSource:
    """A source of consecutive days, each with its shift of the first column."""
    random = np.random.default_rng(seed)
    table = pa.concat_tables([rows_of(random, rows, shift) for shift in shifts])
    times = times_of(start, [rows] * len(shifts))
    found = CurrentRows(kind, "some rows", table, times, rejected=rejected)
    return judge_rows(judge, table, found, earlier, now or start + timedelta(days=len(shifts)))


def states(found: JudgedSource) -> str:
    return "".join(each.verdict.state[0] for each in found.history)


def test_new_drift_is_not_diluted_by_older_rows(judge: WindowJudge) -> None:
    found = judged(judge, [0.0] * 10 + [0.6, 0.6])

    source = found.decision.source
    assert (source.verdict, source.exit_code) == ("drift", 1)
    assert source.since == AFTER + timedelta(days=10)
    assert [column.name for column in found.decision.drifted] == ["x0"]
    assert f"since {source.since:%Y-%m-%d %H:%M}, in 2 of the last 3 windows" in source.message


def test_one_odd_day_is_no_drift_and_is_told(judge: WindowJudge) -> None:
    source = judged(judge, [0.0, 0.0, 0.8]).decision.source

    assert (source.verdict, source.alarms) == ("ok", 1)
    assert source.message.startswith("no lasting drift, 1 of the last 3 windows differ")


def test_a_window_that_has_not_ended_waits(judge: WindowJudge) -> None:
    """Its hours are not those of a whole day."""
    now = AFTER + timedelta(days=2, hours=6)
    found = judged(judge, [0.0, 0.0, 0.8], now=now)

    assert states(found) == "oo"
    assert found.end == AFTER + timedelta(days=2)
    assert found.notes == (
        "400 rows since 2026-02-18 00:00 UTC are judged when their window has ended",
    )


def test_where_no_window_has_ended_the_newest_is_judged_and_that_is_said(
    judge: WindowJudge,
) -> None:
    found = judged(judge, [0.8], now=AFTER + timedelta(hours=23))

    assert found.decision.source.verdict == "drift"
    assert "judged by this window alone" in found.decision.source.message
    assert found.notes[0].startswith("no window has ended yet: that of 2026-02-16 00:00 UTC")
    assert [each.is_final for each in found.history] == [False]


def test_a_batch_run_is_a_window_that_has_ended(judge: WindowJudge) -> None:
    random = np.random.default_rng(2)
    table = rows_of(random)
    moment = np.full(ROWS, np.datetime64(AFTER.replace(tzinfo=None), "s"))
    found = judge_rows(
        judge, table, CurrentRows("batch", "a run", table, moment), (), AFTER + timedelta(hours=1)
    )

    assert (states(found), found.notes) == ("o", ())
    assert found.history[0].is_final


def test_rows_without_time_are_one_window_without_history(judge: WindowJudge) -> None:
    table = rows_of(np.random.default_rng(3), shift=0.8)
    found = judge_rows(judge, table, CurrentRows("file", "now.csv", table), (), AFTER)

    assert (found.decision.source.verdict, found.history, found.end) == ("drift", (), None)
    assert found.notes == ("now.csv has no event time: judged as one window, without earlier ones",)


@pytest.mark.parametrize("kind", ["file", "table", "batch"])
def test_a_population_over_many_small_windows_is_judged_whole_and_that_is_said(
    judge: WindowJudge, kind: SourceKind
) -> None:
    earlier = judged(judge, [0.0, 0.0], kind=kind).history
    found = judged(judge, [0.8] * 30, kind=kind, rows=20, earlier=earlier)

    assert (found.decision.source.verdict, found.decision.window.rows) == ("drift", 600)
    assert found.history == earlier
    assert "none of the 30 windows of 1d has 200 rows (the largest has 20)" in found.notes[0]


def test_a_file_that_ends_within_a_window_is_judged_by_its_whole_ones(judge: WindowJudge) -> None:
    random = np.random.default_rng(5)
    sizes = [ROWS, ROWS, 30]
    table = pa.concat_tables([rows_of(random, size, 0.6) for size in sizes])
    times = times_of(AFTER, sizes)
    now = AFTER + timedelta(days=9)

    def check(kind: SourceKind) -> JudgedSource:
        return judge_rows(judge, table, CurrentRows(kind, "some rows", table, times), (), now)

    for kind in ("file", "table", "batch"):
        found = check(kind)
        assert (found.decision.source.verdict, found.decision.window.rows) == ("drift", ROWS)
        assert found.end == AFTER + timedelta(days=2)
        assert found.notes[-1] == (
            "the last 30 rows, since 2026-02-18 00:00 UTC, are too few for a window (200 are "
            "needed) and are not judged"
        )
    assert check("service").decision.source.verdict == "insufficient"


def test_small_windows_of_the_service_are_never_pooled(judge: WindowJudge) -> None:
    found = judged(judge, [0.8] * 30, rows=20)

    source = found.decision.source
    assert (source.verdict, source.exit_code) == ("insufficient", 3)
    assert "no drift" not in source.message
    assert {column.test for column in found.decision.columns} == {None}


def test_windows_that_were_judged_are_not_judged_again(
    judge: WindowJudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = judged(judge, [0.0, 0.0, 0.6])
    counted: list[int] = []

    def counting(*arguments: Any, **options: Any) -> Any:
        counted.append(arguments[1].num_rows)
        return count_rows(*arguments, **options)

    monkeypatch.setattr(judged_windows, "count_rows", counting)
    again = judged(judge, [0.0, 0.0, 0.6, 0.6], earlier=first.history)

    assert len(counted) == 1
    assert again.decision.source.verdict == "drift"
    assert again.decision.source.since == AFTER + timedelta(days=2)
    assert states(again) == "ooaa"


def test_earlier_windows_say_how_many_rows_are_usual(judge: WindowJudge) -> None:
    usual = judged(judge, [0.0] * 10, rows=2000)
    start = AFTER + timedelta(days=10)
    found = judged(judge, [0.0, 0.0], start=start, earlier=usual.history, seed=4)
    of_file = judged(judge, [0.0, 0.0], start=start, earlier=usual.history, seed=4, kind="file")

    assert [column.name for column in found.decision.drifted] == ["(rows)"]
    assert "2,000 -> 400 rows a window" in found.decision.source.message
    assert of_file.decision.source.verdict == "ok"


def test_refused_rows_of_a_file_count_in_each_window_by_its_rows(judge: WindowJudge) -> None:
    found = judged(judge, [0.0, 0.0], kind="file", rejected=200)

    assert states(found) == "aa"
    assert "20.0% of the rows break the contract" in found.decision.source.message


def test_the_newest_of_very_many_windows_are_judged_and_that_is_said(judge: WindowJudge) -> None:
    found = judged(judge, [0.0] * 62, kind="file", rows=200)

    assert len(found.history) == judged_windows.MOST_WINDOWS
    assert found.notes == ("the 60 newest of 62 windows are judged",)


def test_history_is_kept_by_source_and_begins_anew_with_another_version(
    judge: WindowJudge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = judged(judge, [0.0, 0.6, 0.6])
    values = {"key": vars(KEY), "history": stored_history(found.history)}
    write_report(history_file(tmp_path, "service"), values)

    read = read_history(tmp_path, "service", KEY)
    assert [each.verdict.state for each in read] == ["ok", "alarm", "alarm"]
    assert [each.verdict.start for each in read] == [e.verdict.start for e in found.history]
    assert read[2].verdict.drifted == found.history[2].verdict.drifted
    assert read_history(tmp_path, "batch", KEY) == []
    assert read_history(tmp_path, "service", HistoryKey("4", "digest", "1d")) == []
    assert "starts over" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 3}', '{"history": [{}]}'])
def test_a_torn_history_is_said_and_begins_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = history_file(tmp_path, "service")
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")

    assert read_history(tmp_path, "service", KEY) == []
    assert "history of service starts over" in capsys.readouterr().err


def test_fewer_columns_are_judged_as_if_the_reference_had_only_these() -> None:
    random = np.random.default_rng(5)
    table = pa.concat_tables([rows_of(random, 200) for _ in range(25)])
    times = times_of(FIRST, [200] * 25)
    names = ["x1", "x3"]
    current = rows_of(random, 500, 0.3).select(names)

    verdicts = []
    for reduced in (
        select_columns(build_reference(table, times), names),
        build_reference(table.select(names), times),
    ):
        judge = WindowJudge(reduced)
        verdicts.append(judge.judge(count_rows(reduced.whole.bins, current), AFTER))

    selected, built = (
        [(shift.column, shift.test, shift.drifted) for shift in verdict.shifts]
        for verdict in verdicts
    )
    assert selected == built
    assert verdicts[0].p_value == pytest.approx(verdicts[1].p_value)
    assert verdicts[0].detectable == pytest.approx(verdicts[1].detectable)
    assert [column.name for column in reduced.whole.bins.columns] == names


def test_columns_that_rows_lack_are_named_and_unknown_ones_refused(reference: Reference) -> None:
    judge, left_out = judge_for(MonitoringSettings(), reference, ["x0", "x1"])

    assert left_out == ("x2", "x3", "x4")
    assert len(judge.reference.whole.bins.columns) == 2
    with pytest.raises(DriftError, match="the reference lacks new, which the rows have"):
        judge_for(MonitoringSettings(), reference, ["x0", "new"])
    with pytest.raises(DriftError, match="none of the reference's: x0, x1"):
        select_columns(reference, [])


@pytest.mark.parametrize(
    ("monitoring", "said"),
    [
        ({"window": "1h"}, "monitoring.window is '1h', and the profile of version 3"),
        ({"season": "weekend"}, "monitoring.season is 'weekend', and the profile of version 3"),
        ({"floors": {"gone": 0.3}}, "monitoring.floors names gone, which the profile"),
    ],
)
def test_settings_that_the_profile_was_not_made_for_are_refused(
    reference: Reference, monitoring: dict[str, Any], said: str
) -> None:
    champion = ModelVersion("churn", "3", "run", (), {})
    settings = MonitoringSettings.model_validate({"season": "none", **monitoring})

    with pytest.raises(DriftError, match=said):
        require_settings(settings, reference, champion)
    require_settings(MonitoringSettings(season="none", floors={"x1": 0.2}), reference, champion)


@pytest.mark.parametrize(
    "values",
    [
        {"window": "2d"},
        {"window": "1w", "season": "weekday"},
        {"season": "lunar"},
        {"alpha": 0.0},
        {"floors": {"x": 0.0}},
        {"persistence": 3},
    ],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values)) + "|season"):
        MonitoringSettings.model_validate(values)


def test_a_day_has_weekends_unless_somebody_says_otherwise() -> None:
    assert MonitoringSettings().usual_season == "weekend"
    assert MonitoringSettings(window="1h").usual_season == "none"
    assert MonitoringSettings(season="weekday").usual_season == "weekday"


@pytest.mark.parametrize(
    ("window", "end"),
    [("1h", "2026-01-31T01"), ("1d", "2026-02-01T00"), ("1w", "2026-02-07T00")],
)
def test_windows_end_where_the_next_begins(window: Any, end: str) -> None:
    assert window_end(np.datetime64("2026-01-31T00:00:00"), window) == np.datetime64(end, "s")


def test_state_of_a_source_is_json_that_anyone_can_read(judge: WindowJudge) -> None:
    found = judged(judge, [0.0, 0.6])
    for entry in stored_history(found.history):
        json.dumps(entry, allow_nan=False)


def test_days_that_are_too_small_name_the_window_that_is_not() -> None:
    times = times_of(FIRST, [60] * 200)
    assert longer_window(times, MonitoringSettings()) == ("1w", 29)
    assert longer_window(times, MonitoringSettings(window="1w", minimum_rows=2_000)) is None


@pytest.mark.parametrize(
    ("detectable", "rows", "said"),
    [
        (0.48, 500, "4.0 times as large a shift is needed now"),
        (0.13, 500, "about as much or more"),
        (0.48, 60, "60 rows now and 400 then, so the two say nothing of the models"),
        (0.06, 4000, "4,000 rows now and 400 then, so the two say nothing of the models"),
    ],
)
def test_what_could_be_seen_with_the_champion_before_stands_beside(
    tmp_path: Path, detectable: float, rows: int, said: str
) -> None:
    old, new = (ModelVersion("churn", version, "run", (), {}) for version in ("3", "4"))
    state = {
        "model_name": "churn",
        "model_version": "3",
        "detectable": 0.12,
        "calibration": "windows",
        "rows": 400,
    }
    write_report(history_file(tmp_path, "service"), state)

    former = read_former(tmp_path, "service", new)

    assert former is not None
    told = former.beside(detectable, "4", rows)
    assert f"{detectable:.2f} with version 4, 0.12 with version 3" in told
    assert said in told
    assert read_former(tmp_path, "service", old) is None
    kept = {"model_name": "churn", "model_version": "4", "former": vars(former)}
    write_report(history_file(tmp_path, "service"), kept)
    assert read_former(tmp_path, "service", new) == former, "it stays as long as the version serves"
    other = ModelVersion("revenue", "4", "run", (), {})
    assert read_former(tmp_path, "service", other) is None


def test_a_shorter_window_that_would_do_is_named_and_no_other() -> None:
    """What is said at each training must be of use: of the sample no days would do."""
    a_year = np.datetime64("2025-01-01", "s") + np.arange(365) * np.timedelta64(86_400, "s")
    weekly = MonitoringSettings(window="1w")
    sample, busy = np.repeat(a_year, 55), np.repeat(a_year, 300)

    assert shorter_window(sample, weekly) is None
    assert shorter_window(busy, weekly) == ("1d", 365)
    assert shorter_window(busy, MonitoringSettings(window="1h")) is None
    assert longer_window(sample, MonitoringSettings()) == ("1w", 52)


def test_the_templates_window_is_the_one_that_its_sample_has_enough_rows_for(
    tmp_path: Path,
) -> None:
    write_sample(tmp_path / "customers.csv", SAMPLE_ROWS, SAMPLE_SEED, {})
    observed = pd.read_csv(tmp_path / "customers.csv", usecols=["observed_at"])["observed_at"]
    times = pd.to_datetime(observed, errors="coerce").dropna().to_numpy("datetime64[s]")
    learned = np.sort(times)[: int(0.8 * len(times))]  # the newest are the test rows
    config = yaml.safe_load((PROJECT / "config" / "monitoring.yaml").read_text())

    starts = window_starts(learned, config["window"])
    _, sizes = np.unique(starts, return_counts=True)

    assert np.sum(sizes >= config["minimum_rows"]) >= FEWEST_WINDOWS
    assert shorter_window(learned, MonitoringSettings(window=config["window"])) is None
