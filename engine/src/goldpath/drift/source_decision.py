"""What a check says of a source: its verdict, the window that was judged last, and each column."""

from collections.abc import Iterable
from dataclasses import dataclass

from goldpath.drift.bins import Bins
from goldpath.drift.persistence import SourceVerdict
from goldpath.drift.profile import ColumnKind
from goldpath.drift.window_verdict import Shift, WindowSettings, WindowVerdict

NOT_JUDGED = "too few rows to judge it"


@dataclass(frozen=True)
class ColumnShift:
    """What was decided about one column; its figures are those of its most telling test.

    Attributes:
        name: The column; `prediction` is the model's output.
        kind: number or category.
        test: The most telling test, or None where nothing could be compared.
        effect: That test's effect.
        limit: The effect that counts here.
        detectable: The smallest effect that four in five such windows would have shown; None where
            nothing could be compared.
        p_value: The chance that the largest of all tests is so telling without drift.
        own_p_value: The chance of this test alone.
        drifted: Whether any test of the column says so.
        reason: Why, for people.
    """

    name: str
    kind: ColumnKind
    test: str | None
    effect: float
    limit: float
    detectable: float | None
    p_value: float
    own_p_value: float
    drifted: bool
    reason: str


@dataclass(frozen=True)
class SourceDecision:
    """The decision on one source.

    Attributes:
        source: What its windows say together.
        window: The newest window that was judged.
        columns: Each column of that window, the most telling first.
    """

    source: SourceVerdict
    window: WindowVerdict
    columns: tuple[ColumnShift, ...]

    @property
    def drifted(self) -> tuple[ColumnShift, ...]:
        """The columns that drifted in the newest window, the most telling first."""
        return tuple(column for column in self.columns if column.drifted)


def decide_source(
    source: SourceVerdict, window: WindowVerdict, bins: Bins, settings: WindowSettings
) -> SourceDecision:
    """The decision, with a line for each column: one that was not compared says why."""
    kinds = {column.name: column.kind for column in bins.columns}
    tested: dict[str, list[Shift]] = {}
    for shift in window.shifts:
        tested.setdefault(shift.column, []).append(shift)
    untested = dict(window.untested)
    told = [_column(shifts, kinds, untested) for shifts in tested.values()]
    floors = dict(settings.floors)
    silent = [
        ColumnShift(
            name=name,
            kind=kind,
            test=None,
            effect=0.0,
            limit=floors.get(name, settings.floor),
            detectable=None,
            p_value=1.0,
            own_p_value=1.0,
            drifted=False,
            reason=untested.get(name, NOT_JUDGED),
        )
        for name, kind in kinds.items()
        if name not in tested
    ]
    return SourceDecision(source, window, (*_ranked(told), *silent))


def _ranked(columns: Iterable[ColumnShift]) -> list[ColumnShift]:
    return sorted(columns, key=lambda each: (not each.drifted, -each.effect / each.limit))


def _column(
    shifts: list[Shift], kinds: dict[str, ColumnKind], untested: dict[str, str]
) -> ColumnShift:
    """The column of its tests; the window has the most telling of them first."""
    telling = shifts[0]
    drifted = [shift.change for shift in shifts if shift.drifted]
    if drifted:
        reason = "; ".join(drifted)
    elif telling.effect >= telling.limit:
        reason = f"no more than windows move anyway: {telling.change}"
    else:
        reason = f"no shift: {telling.change}"
    if telling.column in untested and not drifted:
        reason = f"{reason}; values: {untested[telling.column]}"
    return ColumnShift(
        name=telling.column,
        kind=kinds.get(telling.column, "category"),
        test=telling.test,
        effect=telling.effect,
        limit=telling.limit,
        detectable=telling.detectable,
        p_value=telling.p_value,
        own_p_value=telling.own_p_value,
        drifted=bool(drifted),
        reason=reason,
    )
