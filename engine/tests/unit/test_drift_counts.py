"""Profiles: every row is counted once, over bins that were chosen when the model was trained."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldpath.drift import bins as bins_module
from goldpath.drift import counts as counts_module
from goldpath.drift.bins import choose_bins
from goldpath.drift.counts import count_rows
from goldpath.drift.profile import DriftError
from goldpath.drift.reference import build_reference
from goldpath.drift.stored_reference import read_reference, write_reference
from goldpath.drift.windows import season_classes, window_starts
from goldpath.settings.monitoring import Season, WindowLength

finite_or_not = st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([np.inf, -np.inf, 3.0]))
names = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "new", ""]))


def table(numbers: list[float | None], labels: list[str | None]) -> pa.Table:
    return pa.table({"x": pa.array(numbers, pa.float64()), "c": pa.array(labels, pa.string())})


REFERENCE = table([0.0, 1.0, 1.0, 2.5, None], ["a", "a", "b", None, "c"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(finite_or_not, names), max_size=60), st.integers(0, 60))
def test_a_window_is_the_sum_of_its_parts(rows: list[tuple[float, str]], cut: int) -> None:
    bins = choose_bins(REFERENCE)
    first, second = (
        count_rows(bins, table([x for x, _ in part], [c for _, c in part]), refused=2)
        for part in (rows[:cut], rows[cut:])
    )
    whole = count_rows(bins, table([x for x, _ in rows], [c for _, c in rows]), refused=4)

    merged = first + second

    assert (merged.rows, merged.refused) == (whole.rows, whole.refused) == (len(rows), 4)
    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.missing.tolist() == whole.missing.tolist()
    assert merged.sums == pytest.approx(whole.sums)
    for place in range(2):
        assert merged.of(place).sum() + merged.missing[place] == len(rows)
    assert (merged - second).counts.tolist() == first.counts.tolist()


def test_a_value_is_counted_at_the_first_edge_that_is_not_below_it() -> None:
    profile = count_rows(choose_bins(REFERENCE), table([-5, 0, 0.5, 1, 2.4, 9, None], [None] * 7))

    # Edges: just below 0, then 0, 1 and 2.5; what lies outside has the first and the last bin.
    assert profile.of(0).tolist() == [1, 1, 2, 1, 1]
    assert profile.missing.tolist() == [1, 7]


def test_infinite_numbers_are_missing_and_spoil_no_sum() -> None:
    profile = count_rows(choose_bins(REFERENCE), table([np.inf, -np.inf, np.nan, 2.0], ["a"] * 4))

    assert profile.missing[0] == 3
    assert profile.sums[0] == 2.0


def test_names_beyond_the_most_frequent_are_counted_together_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bins_module, "MOST_NAMES", 2)
    (column,) = choose_bins(pa.table({"c": ["a"] * 3 + ["b"] * 2 + ["rare"]})).columns
    assert (column.names, column.is_complete) == (("a", "b"), False)


def test_unlisted_names_are_named_but_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts_module, "MOST_EXAMPLES", 2)
    rows = table([None] * 6, ["z", "z", "y", "y", "y", "x" * 200])

    profile = count_rows(choose_bins(REFERENCE), rows)

    assert profile.examples == {"c": {"y": 3, "z": 2}}
    assert profile.of(1)[-1] == 6


def test_rows_are_counted_in_batches_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    rows = pa.table({"x": random.normal(size=1000), "c": random.choice(["a", "b"], 1000)})
    bins = choose_bins(rows)
    whole = count_rows(bins, rows)
    monkeypatch.setattr(counts_module, "BATCH_ROWS", 7)

    assert count_rows(bins, rows.to_batches(300)).counts.tolist() == whole.counts.tolist()


def test_edges_are_quantiles_of_a_bounded_number() -> None:
    random = np.random.default_rng(1)
    rows = pa.table({"x": random.lognormal(size=200_000)})

    bins = choose_bins(rows)
    shares = count_rows(bins, rows).of(0) / rows.num_rows

    assert bins.columns[0].size <= bins_module.QUANTILES + 2
    assert shares.max() < 2.5 / bins_module.QUANTILES


def test_columns_that_are_missing_or_unknown_are_named() -> None:
    bins = choose_bins(REFERENCE)
    with pytest.raises(DriftError, match="lack c, which the reference has"):
        count_rows(bins, REFERENCE.select(["x"]))
    with pytest.raises(DriftError, match="reference lacks y, which the rows have"):
        count_rows(bins, REFERENCE.append_column("y", pa.array([1] * 5)))
    with pytest.raises(DriftError, match="x was a number"):
        count_rows(bins, pa.table({"x": ["many"], "c": ["a"]}))
    with pytest.raises(DriftError, match="has no rows"):
        choose_bins(REFERENCE.slice(0, 0))


def test_profiles_of_other_bins_are_not_added() -> None:
    first, second = (
        count_rows(choose_bins(pa.table({"x": values})), pa.table({"x": values}))
        for values in ([1.0, 2.0], [1.0, 3.0])
    )
    with pytest.raises(DriftError, match="different bins"):
        first + second


@pytest.mark.parametrize(
    ("window", "start"),
    [("1h", "2026-03-05T13"), ("1d", "2026-03-05"), ("1w", "2026-03-02"), ("1mo", "2026-03-01")],
)
def test_windows_are_times_in_utc(window: WindowLength, start: str) -> None:
    at = datetime.fromisoformat("2026-03-05T14:59:59+01:00")

    assert window_starts([at], window) == np.datetime64(start, "s")
    assert window_starts([at.astimezone(UTC)], window) == np.datetime64(start, "s")


@pytest.mark.parametrize(
    ("season", "classes"),
    [
        ("none", [0, 0, 0]),
        ("weekend", [0, 0, 1]),
        ("weekday", [0, 4, 5]),
        ("month", [1, 2, 2]),
        ("hour", [23, 0, 7]),
    ],
)
def test_seasons_tell_windows_apart(season: Season, classes: list[int]) -> None:
    starts = np.array(["2026-02-23T23", "2026-03-06T00", "2026-03-07T07"], "M8[s]")

    assert season_classes(starts, season).tolist() == classes


def test_season_that_such_windows_do_not_have_is_refused() -> None:
    with pytest.raises(DriftError, match="windows of 1w have no season 'weekday'"):
        build_reference(REFERENCE, None, window="1w", season="weekday")


def stored(folder: Path) -> Path:
    random = np.random.default_rng(2)
    times = np.repeat(np.datetime64("2026-01-05", "s") + np.arange(21) * 86_400, 40)
    rows = pa.table({"x": random.normal(size=840), "c": random.choice(["a", "b"], 840)})
    reference = build_reference(rows, times, season="weekend", minimum_rows=20, refused=3)
    write_reference(folder / "profile.npz", reference)
    return folder / "profile.npz"


def test_reference_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    file = stored(tmp_path)
    content = file.read_bytes()

    reference = read_reference(file)
    write_reference(file, reference)

    assert file.read_bytes() == content
    assert (reference.whole.rows, reference.whole.refused) == (840, 3)
    assert (reference.window, reference.season) == ("1d", "weekend")
    assert reference.season_windows == {0: 15, 1: 6}
    assert sum(profile.rows for profile in reference.seasons.values()) == 840
    assert reference.windows is not None
    assert len(reference.windows) == 21


def test_reference_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    file = stored(tmp_path)
    content = file.read_bytes()
    for damaged in (b"", b"no archive", content[: len(content) // 2]):
        file.write_bytes(damaged)
        with pytest.raises(DriftError, match="no reference profile") as raised:
            read_reference(file)
        assert "make train-local" in raised.value.fix
    with pytest.raises(DriftError, match="there is no reference profile"):
        read_reference(tmp_path / "absent.npz")


def test_reference_with_counts_that_do_not_fit_is_refused(tmp_path: Path) -> None:
    file = stored(tmp_path)
    with np.load(file) as found:
        arrays = dict(found)
    changes = {
        "counts": arrays["counts"][:, :-1],
        "missing": -1 - arrays["missing"],
        "edges": arrays["edges"][::-1],
        "squared": arrays["squared"][:, :-1],
        "head": np.frombuffer(b'{"format": "another 7"}', np.uint8),
    }
    for name, values in changes.items():
        np.savez(file, **{**arrays, name: values})
        with pytest.raises(DriftError):
            read_reference(file)
