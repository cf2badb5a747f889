"""How far each column of a sample of rows lies from another, and how certain that is.

Three tests a column, because each sees what the others miss: the *value* (of the rows that have
one), the share of *missing* values, and the share of rows whose category was *unseen*. Each has an
effect, which says how much, and a p-value, which says how surely; neither can stand for the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

from goldpath.errors import ProjectError

Numbers = npt.NDArray[np.float64]
Counts = dict[str, int]
ColumnKind = Literal["number", "category"]
TestName = Literal["value", "missing", "unseen"]

MINIMUM_VALUES = 30
"""Fewer values than this on one side, and the value test is left out: its p-value is asymptotic."""

MINIMUM_EXPECTED = 5.0
"""Rarer categories are merged, or chi-square's distribution is not chi-square."""

REJECTED_ROWS = "(rejected rows)"
"""Stands among the columns for the rows that the contract refused."""

NOISE_QUANTILE = 0.99
BRIDGE_QUANTILE = 2.4
"""99 % quantile over mean of the integral of |Brownian bridge|: 0.752 over 0.313."""


class DriftError(ProjectError):
    """The two frames cannot be compared."""


@dataclass(frozen=True)
class ShiftTest:
    """One comparison of one column.

    Attributes:
        name: What is compared.
        effect: Value of a number: Wasserstein-1 distance in standard deviations of the reference.
            Else: Jensen-Shannon distance (0 to 1) between the two sets of shares.
        noise: What about one in a hundred samples of these sizes would reach without any drift.
        p_value: Of the two-sample test that both samples come from one distribution.
        change: What changed, from the reference to the current rows, for people.
    """

    name: TestName
    effect: float
    noise: float
    p_value: float
    change: str


@dataclass(frozen=True)
class ColumnProfile:
    """A column's tests. None of them: nothing can be compared, and `note` says why."""

    name: str
    kind: ColumnKind
    tests: tuple[ShiftTest, ...]
    note: str = ""


def compare_frames(
    reference: "pa.Table | pd.DataFrame", current: "pa.Table | pd.DataFrame"
) -> tuple[ColumnProfile, ...]:
    """Compare every column of the reference with the current rows.

    Args:
        reference: Rows that the model was trained on, with its `prediction` for each.
        current: Rows to judge; columns that the reference lacks are left out.

    Returns:
        One profile a column, in the reference's order.

    Raises:
        DriftError: If a column is absent, or holds text where the reference holds numbers.
    """
    before, after = as_table(reference), as_table(current)
    absent = [name for name in before.column_names if name not in after.column_names]
    if absent:
        raise DriftError(
            f"the current rows lack {', '.join(absent)}, which the champion was trained on",
            "give rows with every feature of the contract, or train again: make train-local",
        )
    return tuple(
        compare_columns(name, before.column(name), after.column(name))
        for name in before.column_names
    )


def compare_columns(
    name: str, reference: pa.ChunkedArray, current: pa.ChunkedArray
) -> ColumnProfile:
    """Compare one column; the reference's type says whether it is a number or a category."""
    kind = column_kind(reference if reference.null_count < len(reference) else current)
    tests: list[ShiftTest] = []
    if kind == "number":
        before, after = read_numbers(name, reference), read_numbers(name, current)
        present = len(before), len(after)
        if min(present) >= MINIMUM_VALUES:
            tests += number_shift(before, after)
    else:
        seen, now = count_categories(reference), count_categories(current)
        present = sum(seen.values()), sum(now.values())
        if min(present) >= MINIMUM_VALUES:
            tests += category_shift(seen, now)
        if min(present) > 0:
            tests += unseen_shift(seen, now)
    tests += missing_shift(len(reference), present[0], len(current), present[1])
    return ColumnProfile(name, kind, tuple(tests), "" if tests else _why_untested(*present))


def number_shift(reference: Numbers, current: Numbers) -> list[ShiftTest]:
    """Kolmogorov-Smirnov for the certainty, Wasserstein-1 in standard deviations for the amount."""
    largest = max(float(np.abs(reference).max()), float(np.abs(current).max()))
    if largest == 0:
        return []
    # Scaled first, so that no square of a huge number overflows.
    before, after = np.sort(reference / largest), np.sort(current / largest)
    # A constant reference has no spread of its own; then both samples together give the scale.
    deviation = float(before.std()) or float(np.concatenate([before, after]).std())
    if deviation == 0:
        return []
    spread = 1 / len(before) + 1 / len(after)
    means = float(before.mean()) * largest, float(after.mean()) * largest
    return [
        ShiftTest(
            name="value",
            effect=float(stats.wasserstein_distance(before, after)) / deviation,
            noise=BRIDGE_QUANTILE * expected_distance(before) / deviation * spread**0.5,
            # "asymp": the exact p-value switches itself off for some sizes, with a warning.
            p_value=float(stats.ks_2samp(before, after, method="asymp").pvalue),
            change=f"mean {means[0]:.4g} -> {means[1]:.4g}",
        )
    ]


def expected_distance(ordered: Numbers) -> float:
    """Mean Wasserstein-1 distance of two samples of one distribution, over sqrt(1/n + 1/m).

    The empirical distribution differs from F by a Brownian bridge of variance F(1-F), and the mean
    absolute value of a normal variable is sqrt(2/pi) standard deviations (del Barrio et al., 1999).

    Args:
        ordered: A sorted sample, shape (n,).
    """
    below = np.arange(1, len(ordered)) / len(ordered)
    return float(np.sqrt(2 / np.pi) * np.sum(np.sqrt(below * (1 - below)) * np.diff(ordered)))


def category_shift(reference: Counts, current: Counts) -> list[ShiftTest]:
    """Two-sample chi-square, rare categories merged, and the Jensen-Shannon distance.

    Two-sample, because the reference is a sample too: a one-sample test against its shares
    alarms on half of all 10-level columns that have not changed.
    """
    table = merge_rare(reference, current)
    if table.shape[1] < 2:
        return []
    sizes = table.sum(axis=1)
    result = stats.chi2_contingency(table, correction=False)
    return [
        ShiftTest(
            name="value",
            effect=share_distance(table[0], table[1]),
            noise=distance_noise(int(result.dof), int(sizes[0]), int(sizes[1])),
            p_value=float(result.pvalue),
            change=_largest_move(reference, current),
        )
    ]


def merge_rare(reference: Counts, current: Counts) -> Numbers:
    """Counts of both samples, shape (2, categories), each expected at least five times in both."""
    names = sorted({*reference, *current})
    table = np.array([[c.get(n, 0) for n in names] for c in (reference, current)], dtype=np.float64)
    totals = table.sum(axis=0)
    smaller_share = table.sum(axis=1).min() / table.sum()
    # Ordered by the pooled counts, never by one sample's: the choice must not favour a verdict.
    table = table[:, np.argsort(-totals, kind="stable")]
    expected = table.sum(axis=0) * smaller_share
    kept = int((expected >= MINIMUM_EXPECTED).sum())
    if kept < len(names) and expected[kept:].sum() < MINIMUM_EXPECTED:
        kept -= 1  # the rest is too small to stand alone; it joins the smallest that could
    kept = max(kept, 0)
    rest = table[:, kept:].sum(axis=1, keepdims=True)
    merged: Numbers = np.hstack([table[:, :kept], rest]) if rest.sum() > 0 else table[:, :kept]
    return merged


def unseen_shift(reference: Counts, current: Counts) -> list[ShiftTest]:
    """Whether more rows hold an unseen category than an open set of categories explains.

    "Unseen" is defined by the reference, so its own share is zero by definition and is no
    yardstick. The share of its rows whose category occurs once is (Good-Turing): that many would be
    unseen had they come later.
    """
    size, current_size = sum(reference.values()), sum(current.values())
    new = {name: count for name, count in current.items() if name not in reference}
    unseen = sum(new.values())
    if unseen == 0:
        return []
    once = sum(1 for count in reference.values() if count == 1)
    names = ", ".join(repr(name) for name, _ in _most_common(new)[:3])
    return [
        _share_test(
            "unseen", once, size, unseen, current_size, f"in unseen categories ({names})", "greater"
        )
    ]


def missing_shift(
    size: int, present: int, current_size: int, current_present: int
) -> list[ShiftTest]:
    """Whether the share of missing values changed; the value tests cannot see it."""
    missing, current_missing = size - present, current_size - current_present
    if missing + current_missing == 0 or present + current_present == 0:
        return []
    return [
        _share_test("missing", missing, size, current_missing, current_size, "missing", "two-sided")
    ]


def share_distance(first: Numbers, second: Numbers) -> float:
    """Jensen-Shannon distance (base 2: 0 to 1) of two sets of counts, shape (categories,)."""
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        divergence = sum(
            float(np.where(share > 0, share * np.log2(share / middle), 0.0).sum())
            for share in (p, q)
        )
    return float(np.sqrt(np.clip(divergence / 2, 0.0, 1.0)))


def distance_noise(freedom: int, size: int, current_size: int) -> float:
    """The Jensen-Shannon distance that 1 % of sample pairs from one distribution exceed.

    To second order the divergence is chi-square times (1/n + 1/m) / (8 ln 2).
    """
    quantile = float(stats.chi2.ppf(NOISE_QUANTILE, freedom))
    return min(float(np.sqrt(quantile * (1 / size + 1 / current_size) / (8 * np.log(2)))), 1.0)


def as_table(frame: "pa.Table | pd.DataFrame") -> pa.Table:
    """The frame as Arrow, which tells a missing value from the text "nan"."""
    if isinstance(frame, pd.DataFrame):
        return pa.Table.from_pandas(frame, preserve_index=False)
    return frame


def column_kind(values: pa.ChunkedArray) -> ColumnKind:
    """Numbers are compared as numbers; text and booleans as categories."""
    kind = values.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return "number" if is_number else "category"


def read_numbers(name: str, values: pa.ChunkedArray) -> Numbers:
    """The finite numbers of a column, shape (n,).

    Raises:
        DriftError: If the column holds something else.
    """
    try:
        numbers = values.cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowException as error:
        raise DriftError(
            f"{name} was a number when the champion was trained and is {values.type} now",
            "give the column as numbers, or train again: make train-local",
        ) from error
    finite: Numbers = numbers[np.isfinite(numbers)]
    return finite


def count_categories(values: pa.ChunkedArray) -> Counts:
    """Rows of each category, as text; missing values are left out."""
    pairs: Any = pc.value_counts(values.cast(pa.string()).drop_null())
    return {str(pair["values"]): int(pair["counts"]) for pair in pairs.to_pylist()}


def _share_test(
    name: TestName,
    count: int,
    size: int,
    current_count: int,
    current_size: int,
    what: str,
    side: str,
) -> ShiftTest:
    """Fisher's exact test of two shares, each measured as a category of two values."""
    before, after = (count, size - count), (current_count, current_size - current_count)
    effect = share_distance(np.array(before, dtype=np.float64), np.array(after, dtype=np.float64))
    if side == "greater" and current_count * size <= count * current_size:
        effect = 0.0
    return ShiftTest(
        name=name,
        effect=effect,
        noise=distance_noise(1, size, current_size),
        # SciPy asks whether the first row's share is the smaller one.
        p_value=float(stats.fisher_exact([after, before], alternative=side).pvalue),
        change=f"{count / size:.1%} -> {current_count / current_size:.1%} {what}",
    )


def _largest_move(reference: Counts, current: Counts) -> str:
    """The category whose share moved most, with both shares."""
    size, current_size = sum(reference.values()), sum(current.values())
    shares = {
        name: (reference.get(name, 0) / size, current.get(name, 0) / current_size)
        for name in sorted({*reference, *current})
    }
    name = max(shares, key=lambda key: abs(shares[key][1] - shares[key][0]))
    return f"{name!r} {shares[name][0]:.1%} -> {shares[name][1]:.1%}"


def _most_common(counts: Counts) -> Sequence[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _why_untested(present: int, current_present: int) -> str:
    if present == 0 and current_present == 0:
        return "no value on either side"
    if min(present, current_present) < MINIMUM_VALUES:
        return f"{present} and {current_present} values: {MINIMUM_VALUES} are needed on each side"
    return "one and the same value on both sides"
