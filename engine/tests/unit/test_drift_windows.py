"""The verdict on windows, where days differ without any drift."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from goldpath.drift.bins import Floats
from goldpath.drift.calibration import between_windows, fit_gumbel
from goldpath.drift.counts import count_rows, empty_profile
from goldpath.drift.distances import Distances, tail_law
from goldpath.drift.persistence import judge_source
from goldpath.drift.profile import DriftError
from goldpath.drift.reference import Reference, build_reference
from goldpath.drift.window_verdict import (
    Shift,
    WindowJudge,
    WindowSettings,
    WindowState,
    WindowVerdict,
)
from goldpath.settings.monitoring import Season

NUMBERS, DAYS, ROWS, DAY = 8, 42, 400, 0.05
FIRST = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
AFTER = FIRST + timedelta(days=DAYS)


def day_of(
    random: np.random.Generator,
    rows: int = ROWS,
    *,
    sd: float = DAY,
    shift: float = 0.0,
    all_by: float = 0.0,
) -> pa.Table:
    """A day's rows: each column moves by a normal variable, the first by `shift` more."""
    moved = random.normal(scale=sd, size=NUMBERS + 1) + all_by
    moved[0] += shift
    columns: dict[str, object] = {
        f"x{number}": random.normal(moved[number], 1, rows) for number in range(NUMBERS)
    }
    columns["x1"] = np.exp(np.asarray(columns["x1"]))
    codes = np.searchsorted([-0.5, 0.5, 1.5], random.normal(moved[-1], 1, rows))
    columns["plan"] = np.array(["a", "b", "c", "d"], dtype=object)[codes]
    return pa.table(columns)


def days(count: int, start: int = 0) -> np.ndarray:
    return np.datetime64("2026-01-05", "s") + np.arange(start, start + count) * 86_400


def reference_of(seed: int, sd: float = DAY, weekend: float = 0.0) -> Reference:
    random = np.random.default_rng(seed)
    tables = [day_of(random, sd=sd, all_by=weekend * (day % 7 >= 5)) for day in range(DAYS)]
    times = np.repeat(days(DAYS), ROWS)
    season: Season = "weekend" if weekend else "none"
    return build_reference(pa.concat_tables(tables), times, season=season)


@pytest.fixture(scope="module")
def judge() -> WindowJudge:
    return WindowJudge(reference_of(0))


def verdict_of(judge: WindowJudge, rows: pa.Table, **options: object) -> WindowVerdict:
    return judge.judge(count_rows(judge.reference.whole.bins, rows), AFTER, **options)  # type: ignore[arg-type]


def test_days_that_differ_as_those_of_the_reference_do_are_no_alarm() -> None:
    """Of 240 days at most 2 % are an alarm; a test of rows is certain on half of them."""
    alarms = rows_alarm = 0
    for seed in range(4):
        judge = WindowJudge(reference_of(seed, sd=0.1))
        of_rows = WindowJudge(replace(judge.reference, windows=None))
        random = np.random.default_rng(100 + seed)
        for number in range(60):
            rows = day_of(random, sd=0.1)
            alarms += verdict_of(judge, rows).state == "alarm"
            if number < 10:
                shifts = verdict_of(of_rows, rows).shifts
                rows_alarm += min(shift.p_value for shift in shifts) < 0.01
    assert alarms <= 4
    assert rows_alarm >= 20


def test_weekends_are_compared_with_weekends() -> None:
    judge = WindowJudge(reference_of(1, weekend=0.3))
    random = np.random.default_rng(2)
    states = [
        judge.judge(
            count_rows(judge.reference.whole.bins, day_of(random, all_by=0.3 * (day % 7 >= 5))),
            AFTER + timedelta(days=day),
        ).state
        for day in range(28)
    ]

    assert states.count("alarm") <= 1
    monday_like_a_weekend = verdict_of(judge, day_of(random, all_by=0.3))
    assert monday_like_a_weekend.state == "alarm"


def test_shift_beyond_what_days_do_is_found_and_told(judge: WindowJudge) -> None:
    random = np.random.default_rng(3)
    verdicts = [verdict_of(judge, day_of(random, shift=0.4)) for _ in range(20)]

    assert sum(verdict.state == "alarm" for verdict in verdicts) >= 18
    verdict = next(each for each in verdicts if each.state == "alarm")
    assert [shift.column for shift in verdict.drifted] == ["x0"]
    assert verdict.calibration == "windows"
    assert verdict.windows == DAYS
    assert verdict.message.startswith("x0: mean ")
    json.dumps([asdict(shift) for shift in verdict.shifts], allow_nan=False)


def test_smallest_shift_that_is_stated_is_found_in_four_of_five_windows(
    judge: WindowJudge,
) -> None:
    random = np.random.default_rng(4)
    stated = next(
        shift.detectable
        for shift in verdict_of(judge, day_of(random)).shifts
        if (shift.column, shift.test) == ("x0", "value")
    )

    found = sum(verdict_of(judge, day_of(random, shift=stated)).state == "alarm" for _ in range(60))

    assert 38 <= found <= 58  # 48 are expected, and a calibration has noise of its own


def test_fewer_rows_can_see_less_and_say_so(judge: WindowJudge) -> None:
    random = np.random.default_rng(5)
    few, many = (verdict_of(judge, day_of(random, rows)) for rows in (200, 5000))

    assert few.detectable > many.detectable > judge.settings.floor
    assert f"a shift of {few.detectable:.2f} in a typical column" in few.sensitivity


def test_without_windows_rows_are_taken_as_independent_and_that_is_said() -> None:
    judge = WindowJudge(replace(reference_of(0), windows=None))
    random = np.random.default_rng(6)

    small = verdict_of(judge, day_of(random, 5000, sd=0.0, shift=0.15))
    large = verdict_of(judge, day_of(random, 5000, sd=0.0, shift=0.4))

    assert (small.state, large.state) == ("ok", "alarm")
    assert small.calibration == large.calibration == "iid"
    assert "calibration: iid" in small.sensitivity
    assert large.drifted[0].limit == 2 * judge.settings.floor
    assert min(shift.p_value for shift in small.shifts) < 0.01  # certain, and below the floor


def test_a_reference_without_times_has_no_windows() -> None:
    rows = day_of(np.random.default_rng(7), 1000)
    reference = build_reference(rows, None)

    assert reference.windows is None
    assert verdict_of(WindowJudge(reference), rows).calibration == "iid"
    with pytest.raises(DriftError, match="1000 rows of the reference have 3 times"):
        build_reference(rows, days(3))


def spoil(rows: pa.Table, name: str, values: Sequence[object], kind: pa.DataType) -> pa.Table:
    column = rows.column(name).to_pylist()
    column[: len(values)] = values
    return rows.set_column(rows.column_names.index(name), name, pa.array(column, kind))


def test_missing_values_new_categories_and_refused_rows_are_columns_too(
    judge: WindowJudge,
) -> None:
    random = np.random.default_rng(8)
    cases = {
        ("x2", "missing"): spoil(day_of(random), "x2", [None] * 60, pa.float64()),
        ("plan", "unseen"): spoil(day_of(random), "plan", ["e"] * 60, pa.string()),
    }
    for (column, test), rows in cases.items():
        drifted = verdict_of(judge, rows).drifted
        assert (column, test) in [(shift.column, shift.test) for shift in drifted]
    changes = [shift.change for shift in verdict_of(judge, cases["plan", "unseen"]).drifted]
    assert "0.0% -> 15.0% in unseen categories ('e')" in changes

    profile = count_rows(judge.reference.whole.bins, day_of(random), refused=60)
    assert judge.judge(profile).drifted[0].change == "0.0% -> 13.0% of the rows break the contract"


def test_refused_rows_are_compared_with_the_share_that_is_usual() -> None:
    random = np.random.default_rng(15)
    rows = pa.concat_tables([day_of(random, sd=0.0) for _ in range(20)])
    times = np.repeat(days(20), ROWS)
    judge = WindowJudge(build_reference(rows, times, season="weekend", refused=900))
    bins = judge.reference.whole.bins

    usual = judge.judge(count_rows(bins, day_of(random, sd=0.0), refused=45), AFTER)
    many = judge.judge(count_rows(bins, day_of(random, sd=0.0), refused=200), AFTER)

    assert "rejected" not in [shift.test for shift in usual.drifted]
    assert many.drifted[0].change == "10.1% -> 33.3% of the rows break the contract"


def test_volume_is_compared_with_earlier_windows_of_the_source(judge: WindowJudge) -> None:
    rows = day_of(np.random.default_rng(9))
    usual = [400, 420, 390, 410, 405, 395, 400, 415, 385]

    assert verdict_of(judge, rows, usual_rows=usual).state == "ok"
    (shift,) = verdict_of(judge, rows, usual_rows=[9 * each for each in usual]).drifted
    assert (shift.column, shift.test) == ("(rows)", "volume")
    assert shift.change == "3,600 -> 400 rows a window"
    few = verdict_of(judge, rows, usual_rows=[9 * each for each in usual[:7]])
    assert few.state == "ok"
    assert all(shift.test != "volume" for shift in few.shifts)


def test_empty_and_small_windows_are_not_enough_data(judge: WindowJudge) -> None:
    bins = judge.reference.whole.bins
    small = count_rows(bins, day_of(np.random.default_rng(10), 199))
    for profile in (empty_profile(bins), small):
        verdict = judge.judge(profile, AFTER)
        assert verdict.state == "insufficient"
        assert verdict.message.startswith("not enough data")
        assert "no drift" not in verdict.message + verdict.sensitivity


def test_column_without_values_is_named_and_never_passed_over(judge: WindowJudge) -> None:
    rows = spoil(day_of(np.random.default_rng(11)), "x3", [None] * ROWS, pa.float64())

    verdict = verdict_of(judge, rows)

    assert verdict.state == "alarm"
    assert verdict.drifted[0].change == "0.0% -> 100.0% missing"
    assert verdict.untested == (("x3", "no value in this window"),)


def test_window_in_which_nothing_can_be_compared_is_not_enough_data() -> None:
    empty = pa.table({"x": pa.array([None] * 500, pa.float64())})
    judge = WindowJudge(build_reference(empty, None))

    verdict = verdict_of(judge, empty)

    assert verdict.state == "insufficient"
    assert "no column has values on both sides" in verdict.message


def test_window_of_another_model_version_is_refused(judge: WindowJudge) -> None:
    other = reference_of(12)
    with pytest.raises(DriftError, match="different bins"):
        judge.judge(other.whole)


def test_one_odd_window_of_the_reference_does_not_blind_the_check() -> None:
    random = np.random.default_rng(13)
    excess = random.normal(size=(56, 5)) ** 2
    odd = excess.copy()
    odd[7] = 400.0

    nothing = np.zeros_like(excess)

    plain, spoiled = between_windows(excess, nothing)[1], between_windows(odd, nothing)[1]

    assert spoiled == pytest.approx(plain, rel=0.12)
    without: Floats = between_windows(excess, nothing)[0]
    assert without[3] == pytest.approx(np.delete(excess, 3, axis=0).mean(axis=0))


def test_chance_makes_no_ordinary_window_odd() -> None:
    """Held against the variance between windows alone, one in thirty was left out of it."""
    random = np.random.default_rng(16)
    chance = np.ones((4000, 3))
    squared = (1 + 0.75) * random.normal(size=chance.shape) ** 2

    _, between = between_windows(squared - chance, chance)

    assert between == pytest.approx(0.75, rel=0.1)


def test_new_record_of_a_column_of_few_values_is_no_drift() -> None:
    """One day of 57 is the farthest of all, and shifts many rows beyond all that was seen."""
    random = np.random.default_rng(17)

    def day(shift: float) -> pa.Table:
        hours = np.floor(random.uniform(0, 100, ROWS) + shift)
        return pa.table({"hours": hours, "degrees": random.normal(size=ROWS)})

    shifts = np.r_[random.normal(scale=1.0, size=DAYS - 1), 5.0]
    reference = build_reference(
        pa.concat_tables([day(shift) for shift in shifts]), np.repeat(days(DAYS), ROWS)
    )
    judge = WindowJudge(reference)
    plain = WindowJudge(replace(reference, windows=None))
    beyond = count_rows(reference.whole.bins, day(9.0))
    start = FIRST + timedelta(days=DAYS)

    def unseen(judge: WindowJudge) -> Shift:
        shifts = judge.judge(beyond, start).shifts
        return next(each for each in shifts if (each.column, each.test) == ("hours", "unseen"))

    assert unseen(judge).limit > 0.2 >= unseen(plain).limit
    assert unseen(judge).limit <= 0.3  # a record of any size does not switch the check off
    own = WindowJudge(reference, WindowSettings(floors=(("hours", 0.05),)))
    assert unseen(own).limit == 0.05  # whoever names a column knows it
    far = judge.judge(count_rows(reference.whole.bins, day(60.0)), start)
    assert ("hours", "unseen") in {(each.column, each.test) for each in far.drifted}


def test_estimated_variance_has_the_law_of_an_estimate() -> None:
    """Student's: the square of a t variable of 55 degrees of freedom, for a variance of 56 days."""
    one = np.ones(1)
    distances = Distances(9.0 * one, 0.3 * one, 1e-12 * one, np.full((3, 1), 1e-12))

    estimated, known = tail_law(distances, one, 56), tail_law(distances, 0 * one)

    assert estimated.p_values(9.0 * one) == pytest.approx(2 * stats.t.sf(3.0, 55), rel=1e-6)
    assert estimated.quantile(2 * stats.t.sf(3.0, 55)) == pytest.approx(9.0, rel=1e-6)
    spread = replace(distances, first=one, moments=np.ones((3, 1)))
    assert tail_law(spread, 0 * one).p_values(9.0 * one) == pytest.approx(
        stats.chi2.sf(9.0, 1), rel=1e-6
    )
    assert known.known[0] > 1e8


@pytest.mark.parametrize("chance", [1e-6, 1e-17, 1e-30, 1e-100, 0.0])
def test_a_law_has_a_quantile_however_small_the_chance(chance: float) -> None:
    """Many columns with a day of outage each make the limit so strict; infinity is no shift."""
    one = np.ones(1)
    distances = Distances(one, one, one, np.ones((3, 1)))
    for windows in (19, 56, 365):
        law = tail_law(distances, 0.5 * one, windows)
        assert np.isfinite(law.quantile(chance)).all()
        if chance > 1e-250:
            np.testing.assert_allclose(
                np.log(law.p_values(law.quantile(chance))), np.log(chance), rtol=1e-6
            )
    if chance:
        exact = tail_law(distances, 0 * one).quantile(chance)
        np.testing.assert_allclose(exact, stats.chi2.isf(chance, 1), rtol=1e-3)


def test_what_only_one_window_of_the_reference_has_was_unseen_in_it() -> None:
    """Else no window of the reference would ever set a record, and each new record were drift."""
    random = np.random.default_rng(15)
    weeks = []
    for number in range(DAYS):
        degrees, sky = random.normal(size=ROWS), np.array(["clear", "rain"] * (ROWS // 2), object)
        if number == 7:
            degrees[:40], sky[:30] = 9.0, "hail"
        weeks.append(pa.table({"degrees": degrees, "sky": sky}))
    reference = build_reference(pa.concat_tables(weeks), np.repeat(days(DAYS), ROWS))
    assert reference.windows is not None

    for column in ("degrees", "sky"):
        test = next(
            number
            for number, each in enumerate(reference.comparer.tests)
            if (each.column, each.test) == (column, "unseen")
        )
        effect = np.nan_to_num(reference.windows.distances.effect[:, test])
        assert effect[7] > 0.15
        assert np.delete(effect, 7).max() < 0.05


def test_tail_of_the_largest_test_is_fitted_and_one_odd_window_does_not_stretch_it() -> None:
    random = np.random.default_rng(14)
    largest = random.gumbel(3.0, 1.0, size=400)

    location, scale = fit_gumbel(largest)
    assert (location, scale) == pytest.approx((3.0, 1.0), abs=0.15)
    assert fit_gumbel(np.concatenate([largest, [500.0]]))[1] == pytest.approx(scale, abs=0.03)


def windows(states: str) -> list[WindowVerdict]:
    """Verdicts of consecutive days: a is an alarm, o is ok, and i is insufficient."""
    names: dict[str, WindowState] = {"a": "alarm", "o": "ok", "i": "insufficient"}
    return [
        WindowVerdict(
            start=FIRST + timedelta(days=day),
            state=names[state],
            rows=500,
            reference_rows=5000,
            calibration="windows",
            windows=56,
            p_value=0.5,
            detectable=0.2,
            shifts=(),
            untested=(),
            message={"a": "x: mean 1 -> 2", "o": "no drift", "i": "not enough data: 3 rows"}[state],
            sensitivity="a shift of 0.20 in a typical column would have been seen",
        )
        for day, state in enumerate(states)
    ]


@pytest.mark.parametrize(
    ("states", "verdict", "since"),
    [
        ("ooo", "ok", None),
        ("oooa", "ok", 3),
        ("ooaa", "drift", 2),
        ("oaoa", "drift", 1),
        ("aooa", "ok", 0),
        ("aoooa", "ok", 4),
        ("oaaaao", "drift", 1),
        ("oaaaaoo", "ok", 1),
        ("aiia", "drift", 0),
        ("aai", "insufficient", None),
        ("aa", "drift", 0),
        ("a", "drift", 0),
        ("ia", "drift", 1),
        ("", "insufficient", None),
    ],
)
def test_two_of_the_last_three_windows_make_drift(
    states: str, verdict: str, since: int | None
) -> None:
    found = judge_source(windows(states))

    assert found.verdict == verdict
    assert found.exit_code == {"ok": 0, "drift": 1, "insufficient": 3}[verdict]
    assert found.since == (None if since is None else FIRST + timedelta(days=since))


def test_a_lasting_shift_is_told_in_one_sentence() -> None:
    assert judge_source(windows("ooaa")).message == (
        "x: mean 1 -> 2, since 2026-01-07 00:00, in 2 of the last 3 windows; "
        "a shift of 0.20 in a typical column would have been seen"
    )
    assert judge_source(windows("oooa")).message.startswith("no lasting drift, 1 of the last 3")
    alone = judge_source(windows("a")).message
    assert "judged by this window alone, as there is no other" in alone
