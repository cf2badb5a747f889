"""Do two samples of rows differ? The gate asks it of test rows and training rows.

Rows of production are judged by their windows instead: see `window_verdict`.

A column has drifted where a test is both *certain* (Benjamini-Hochberg over all tests of all
columns) and *large* (its effect reaches the floor, and more than sampling noise reaches). The first
keeps forty columns from crying wolf; the second keeps a million rows from reporting trifles.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from goldpath.drift.profile import ColumnKind, ColumnProfile, ShiftTest, TestName
from goldpath.settings import MonitoringSettings

Verdict = Literal["ok", "drift", "insufficient"]
EXIT_CODES: dict[Verdict, int] = {"ok": 0, "drift": 1, "insufficient": 3}


@dataclass(frozen=True)
class JudgedTest:
    """What was decided about one test.

    Attributes:
        name: What was compared: value, missing or unseen.
        effect: How much it shifted.
        limit: The effect that counts here: the floor, or sampling noise where that is larger.
        p_value: Of this test alone.
        q_value: The p-value adjusted for all tests of the check (Benjamini-Hochberg).
        drifted: Whether the test is both certain and large.
        change: What changed, for people.
    """

    name: TestName
    effect: float
    limit: float
    p_value: float
    q_value: float
    drifted: bool
    change: str


@dataclass(frozen=True)
class ColumnDrift:
    """What was decided about one column; its figures are those of its most telling test.

    Attributes:
        name: The column; `prediction` is the model's output.
        kind: number or category.
        test: The most telling test, or None where nothing could be compared.
        effect: That test's effect.
        limit: That test's limit.
        p_value: That test's p-value.
        q_value: That test's adjusted p-value.
        drifted: Whether any test of the column says so.
        reason: Why, for people.
        tests: Every test of the column.
    """

    name: str
    kind: ColumnKind
    test: TestName | None
    effect: float
    limit: float
    p_value: float
    q_value: float
    drifted: bool
    reason: str
    tests: tuple[JudgedTest, ...]


@dataclass(frozen=True)
class DriftDecision:
    """What the check says.

    Attributes:
        verdict: ok, drift, or insufficient: too few rows for an honest answer.
        exit_code: 0, 1 or 3.
        rows: Current rows.
        reference_rows: Reference rows.
        columns: One entry a column, in the reference's order.
        calibration: "iid": p-values hold for rows drawn independently. Rows of one day are not
            quite that; a steady daily swing of every row counts as drift here.
        message: The verdict as a sentence.
    """

    verdict: Verdict
    exit_code: int
    rows: int
    reference_rows: int
    columns: tuple[ColumnDrift, ...]
    calibration: Literal["iid"]
    message: str

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """The columns that drifted, the largest shift against its limit first."""
        found = [column for column in self.columns if column.drifted]
        return tuple(sorted(found, key=lambda column: -column.effect / column.limit))


def decide(
    columns: tuple[ColumnProfile, ...], settings: MonitoringSettings, rows: int, reference_rows: int
) -> DriftDecision:
    """Judge the profiles of all columns together.

    Args:
        columns: What `compare_frames` measured.
        settings: The floor, the false discovery rate and the smallest number of rows.
        rows: Current rows.
        reference_rows: Reference rows.

    Returns:
        The decision. With too few rows on either side no column is called drifted.
    """
    enough = min(rows, reference_rows) >= settings.minimum_rows
    adjusted = iter(adjust_p_values([test.p_value for column in columns for test in column.tests]))
    judged = []
    for column in columns:
        tests = tuple(_judge(test, next(adjusted), settings, enough) for test in column.tests)
        judged.append(_summarise(column, tests, settings, enough))
    drifted = any(column.drifted for column in judged)
    verdict: Verdict = "insufficient" if not enough else "drift" if drifted else "ok"
    return DriftDecision(
        verdict=verdict,
        exit_code=EXIT_CODES[verdict],
        rows=rows,
        reference_rows=reference_rows,
        columns=tuple(judged),
        calibration="iid",
        message=_sentence(verdict, rows, reference_rows, judged, settings.minimum_rows),
    )


def adjust_p_values(p_values: list[float]) -> list[float]:
    """Benjamini-Hochberg: calling drift where the result is at most q makes q of the calls false.

    Args:
        p_values: One for each test, in any order.

    Returns:
        The adjusted p-values, in the same order.
    """
    if not p_values:
        return []
    values = np.asarray(p_values)
    order = np.argsort(values, kind="stable")
    scaled = values[order] * len(values) / np.arange(1, len(values) + 1)
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return [float(value) for value in adjusted]


def _judge(
    test: ShiftTest, q_value: float, settings: MonitoringSettings, enough: bool
) -> JudgedTest:
    limit = max(settings.effect_floor, test.noise)
    certain = q_value <= settings.false_discovery_rate
    return JudgedTest(
        name=test.name,
        effect=test.effect,
        limit=limit,
        p_value=test.p_value,
        q_value=q_value,
        drifted=enough and certain and test.effect >= limit,
        change=test.change,
    )


def _summarise(
    column: ColumnProfile, tests: tuple[JudgedTest, ...], settings: MonitoringSettings, enough: bool
) -> ColumnDrift:
    if not tests:
        floor = settings.effect_floor
        return ColumnDrift(
            column.name, column.kind, None, 0.0, floor, 1.0, 1.0, False, column.note, ()
        )
    telling = max(tests, key=lambda test: (test.drifted, test.effect / test.limit))
    return ColumnDrift(
        name=column.name,
        kind=column.kind,
        test=telling.name,
        effect=telling.effect,
        limit=telling.limit,
        p_value=telling.p_value,
        q_value=telling.q_value,
        drifted=telling.drifted,
        reason=_reason(tests, telling, settings.false_discovery_rate, enough),
        tests=tests,
    )


def _reason(tests: tuple[JudgedTest, ...], telling: JudgedTest, rate: float, enough: bool) -> str:
    if telling.drifted:
        return "; ".join(test.change for test in tests if test.drifted)
    if not enough:
        return f"too few rows to judge; {telling.change}"
    if telling.effect < telling.limit:
        size = "certain but small" if telling.q_value <= rate else "no shift"
        return f"{size}: {telling.change}"
    return f"large but not certain: {telling.change}"


def _sentence(
    verdict: Verdict, rows: int, reference_rows: int, judged: list[ColumnDrift], minimum: int
) -> str:
    if verdict == "insufficient":
        return f"{rows} rows against {reference_rows}: a verdict needs {minimum} on each side"
    drifted = sum(column.drifted for column in judged)
    return f"{drifted or 'none'} of {len(judged)} columns drifted"
