"""The verdict on one window: has anything moved by more than windows do anyway?

The largest of all tests is judged, by how large it gets among the reference's own windows; so there
is one false alarm rate for the check, however many columns it has and however alike they are. A
test counts as drift if that chance is at most alpha and its effect reaches the floor.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Literal

import numpy as np

from goldpath.drift.bins import Floats
from goldpath.drift.calibration import Calibration, calibrate, record_floors, scores
from goldpath.drift.changes import describe_change, untested_columns
from goldpath.drift.counts import Profile
from goldpath.drift.distances import Distances, TailLaw, tail_law
from goldpath.drift.reference import Reference
from goldpath.drift.volume import VOLUME, VOLUME_FLOOR, volume_shift

WindowState = Literal["ok", "alarm", "insufficient"]
CalibrationName = Literal["windows", "iid"]

WIDENED = 2.0
"""Without windows to compare with, a shift must be so many times the floor: days move, and how much
is not known."""

RANK_SLOPE = float((2 * np.pi * np.sqrt(3)) ** -0.5)
"""What a small shift of a normal column by one sd does to the distance over ranks."""

FOUND = 0.8416
"""Standard normal quantile of four in five."""


@dataclass(frozen=True)
class WindowSettings:
    """When a window is an alarm.

    Attributes:
        alpha: Share of windows without drift that may be an alarm.
        floor: Smallest effect that counts: sd of a number, Jensen-Shannon distance of the rest.
        minimum_rows: Fewer rows give no verdict.
        floors: Other floors, by column.
    """

    alpha: float = 0.006
    floor: float = 0.1
    minimum_rows: int = 200
    floors: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Shift:
    """What was found of one test.

    Attributes:
        column: The column; `(rejected rows)` or `(rows)` for what is none.
        test: value, missing, unseen, rejected or volume.
        effect: How large it is.
        limit: From where on it counts.
        p_value: The chance that the largest of all tests is so telling without drift.
        own_p_value: The chance of this test alone.
        detectable: The smallest effect that four in five such windows would have shown.
        drifted: Whether it counts as drift.
        change: What changed, for people.
    """

    column: str
    test: str
    effect: float
    limit: float
    p_value: float
    own_p_value: float
    detectable: float
    drifted: bool
    change: str


@dataclass(frozen=True)
class WindowVerdict:
    """What was decided about a window.

    Attributes:
        start: When it began; None for rows without a time, such as a file.
        state: ok, alarm, or insufficient.
        rows: Its rows.
        reference_rows: Rows that it was compared with.
        calibration: `windows` if the reference's own windows say what is usual; `iid` if it has too
            few, so that rows are taken as independent and the floor is widened.
        windows: How many windows that were.
        p_value: The chance of its largest shift without drift; 1 where there is no verdict.
        detectable: The smallest shift of a typical column that four in five such windows would have
            shown, in the unit of its effect.
        shifts: Every test that is defined, the most telling first.
        untested: Columns that could not be compared, with the reason.
        message: What changed, as a sentence.
        sensitivity: What such a window could have seen, as a sentence.
    """

    start: datetime | None
    state: WindowState
    rows: int
    reference_rows: int
    calibration: CalibrationName
    windows: int
    p_value: float
    detectable: float
    shifts: tuple[Shift, ...]
    untested: tuple[tuple[str, str], ...]
    message: str
    sensitivity: str

    @property
    def drifted(self) -> tuple[Shift, ...]:
        """What counts as drift, the most telling first."""
        return tuple(shift for shift in self.shifts if shift.drifted)


class WindowJudge:
    """Judges windows by a reference; its calibration is computed once.

    Args:
        reference: The model's profile.
        settings: When a window is an alarm.
    """

    def __init__(self, reference: Reference, settings: WindowSettings | None = None) -> None:
        self.reference = reference
        self.settings = settings or WindowSettings()

    @cached_property
    def _floors(self) -> Floats:
        named = dict(self.settings.floors)
        tests = self.reference.comparer.tests
        usual = record_floors(
            self.reference.windows, tests, np.full(len(tests), self.settings.floor)
        )
        return np.array(
            [named.get(test.column, floor) for test, floor in zip(tests, usual, strict=True)]
        )

    @cached_property
    def calibration(self) -> Calibration | None:
        """What the reference's windows say about noise; None where they are too few."""
        return calibrate(self.reference.windows, self.reference.comparer.tests, self._floors)

    def judge(
        self, window: Profile, start: datetime | None = None, usual_rows: Sequence[int] = ()
    ) -> WindowVerdict:
        """The verdict on a window.

        Args:
            window: Its counts, over the reference's bins.
            start: When it began; says its season.
            usual_rows: Rows of earlier windows of the same source; its volume is not judged where
                they are few.

        Raises:
            DriftError: If it was counted over other bins.
        """
        whole = self.reference.whole
        whole.bins.require_same(window.bins)
        kind = self.reference.season_of(_stamp(start))
        before = whole if kind is None else self.reference.seasons[kind]
        needed = self.settings.minimum_rows
        if min(window.rows, before.rows) < needed:
            why = (
                f"{window.rows:,} of the {needed:,} rows that a verdict needs, against "
                f"{before.rows:,} of the reference"
            )
            return self._insufficient(window, before, start, why)
        found = self.reference.comparer.compare(window, before)
        law, calibration = self._law(found, kind), self.calibration
        widened = 1.0 if calibration else WIDENED
        floors = self._floors * widened
        score = scores(law, found, self.reference.comparer.tests, floors)
        tested = int(np.sum(~np.isnan(found.squared)))
        volume = volume_shift(window.rows, usual_rows)
        if tested == 0:
            return self._insufficient(window, before, start, "no column has values on both sides")
        chances = self._chances(score, tested)
        detectable = self._detectable(law, tested, floors)
        shifts = [
            Shift(
                column=test.column,
                test=test.test,
                effect=float(found.effect[number]),
                limit=float(floors[number]),
                p_value=float(chances[number]),
                own_p_value=float(own),
                detectable=float(detectable[number]),
                drifted=bool(
                    chances[number] <= self.settings.alpha
                    and found.effect[number] >= floors[number]
                ),
                change=describe_change(test, whole if test.test == "rejected" else before, window),
            )
            for number, (test, own) in enumerate(
                zip(self.reference.comparer.tests, law.p_values(found.squared), strict=True)
            )
            if not np.isnan(found.squared[number])
        ]
        if volume is not None:
            shifts.append(self._volume(volume, window.rows, usual_rows, tested))
        shifts.sort(key=lambda shift: (not shift.drifted, shift.p_value, -shift.effect))
        return self._verdict(window, before, start, kind, shifts, found)

    def _law(self, found: Distances, kind: int | None) -> TailLaw:
        calibration, windows = self.calibration, self.reference.windows
        if calibration is None or windows is None:
            return tail_law(found, np.zeros_like(found.squared))
        alike = len(windows) if kind is None else self.reference.season_windows[kind]
        return tail_law(found, calibration.between * (1 + 1 / alike), len(windows))

    def _chances(self, score: Floats, tested: int) -> Floats:
        """Each score's chance to be reached by the largest of all tests."""
        plain = np.nan_to_num(score)
        if self.calibration is not None:
            return np.where(np.isnan(score), 1.0, self.calibration.p_values(plain))
        with np.errstate(divide="ignore"):
            single = np.log1p(-np.exp(-plain))
        return np.where(np.isnan(score), 1.0, -np.expm1(tested * single))

    def _detectable(self, law: TailLaw, tested: int, floors: Floats) -> Floats:
        if self.calibration is not None:
            single = float(np.exp(-self.calibration.critical_score(self.settings.alpha)))
        else:
            single = 1 - (1 - self.settings.alpha) ** (1 / tested)
        distance = np.sqrt(law.quantile(single)) + FOUND * np.sqrt(law.first)
        bins = self.reference.whole.bins
        is_rank = np.array(
            [
                test.test == "value" and bins.columns[test.place].kind == "number"
                for test in self.reference.comparer.tests
            ]
        )
        effect: Floats = np.where(is_rank, distance / RANK_SLOPE, distance)
        return np.maximum(effect, floors)

    def _volume(
        self, volume: tuple[float, float], rows: int, usual: Sequence[int], tested: int
    ) -> Shift:
        effect, own = volume
        score = np.array([-np.log(own) if effect >= VOLUME_FLOOR else np.nan])
        chance = float(self._chances(score, tested + 1)[0])
        return Shift(
            column=VOLUME,
            test="volume",
            effect=effect,
            limit=VOLUME_FLOOR,
            p_value=chance,
            own_p_value=own,
            detectable=VOLUME_FLOOR,
            drifted=chance <= self.settings.alpha and effect >= VOLUME_FLOOR,
            change=f"{float(np.median(usual)):,.0f} -> {rows:,} rows a window",
        )

    def _verdict(
        self,
        window: Profile,
        before: Profile,
        start: datetime | None,
        kind: int | None,
        shifts: list[Shift],
        found: Distances,
    ) -> WindowVerdict:
        drifted = [shift for shift in shifts if shift.drifted]
        numbers = [shift.detectable for shift in shifts if shift.test == "value"]
        detectable = float(np.median(numbers)) if numbers else float("nan")
        calibrated = self.calibration is not None
        return WindowVerdict(
            start=start,
            state="alarm" if drifted else "ok",
            rows=window.rows,
            reference_rows=before.rows,
            calibration="windows" if calibrated else "iid",
            windows=len(self.reference.windows or ()) if calibrated else 0,
            p_value=min(shift.p_value for shift in shifts),
            detectable=detectable,
            shifts=tuple(shifts),
            untested=untested_columns(self.reference.comparer.tests, found, before, window),
            message=_sentence(drifted),
            sensitivity=self._sensitivity(detectable, kind),
        )

    def _sensitivity(self, detectable: float, kind: int | None) -> str:
        seen = f"a shift of {detectable:.2f} in a typical column would have been seen"
        if self.calibration is None:
            return (
                f"{seen}; calibration: iid (rows taken as independent), as the reference has too "
                "few windows"
            )
        if self.reference.season != "none" and kind is None:
            return f"{seen}; the reference has too few windows of this season, and all are used"
        return seen

    def _insufficient(
        self, window: Profile, before: Profile, start: datetime | None, why: str
    ) -> WindowVerdict:
        return WindowVerdict(
            start=start,
            state="insufficient",
            rows=window.rows,
            reference_rows=before.rows,
            calibration="windows" if self.calibration else "iid",
            windows=len(self.reference.windows or ()) if self.calibration else 0,
            p_value=1.0,
            detectable=float("nan"),
            shifts=(),
            untested=(),
            message=f"not enough data: {why}",
            sensitivity="no shift would have been seen",
        )


def _sentence(drifted: list[Shift]) -> str:
    if not drifted:
        return "no drift"
    changes: dict[str, list[str]] = {}
    for shift in drifted:
        changes.setdefault(shift.column, []).append(shift.change)
    told = [f"{column}: {', '.join(found)}" for column, found in changes.items()]
    named = "; ".join(told[:3])
    return f"{named}; and {len(told) - 3} more" if len(told) > 3 else named


def _stamp(start: datetime | None) -> np.datetime64 | None:
    if start is None:
        return None
    return np.datetime64(start.astimezone(UTC).replace(tzinfo=None), "s")
