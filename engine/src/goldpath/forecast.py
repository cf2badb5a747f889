"""What is predicted, how long after what is known of a row, and how far off a number may be.

Of a clustering nothing is predicted that anybody could check later: segments of similar rows stand
in the place of a target. Whatever answers, stores or compares labels treats them as classes;
whatever needs a true label asks `Contract.has_target` first.

A target is a column of the rows, or it is made from later events: whether one happens within so
long after a row's time. Of a forecast the rows themselves are asked for before their time, and the
horizon says how long before. Everything that a model reads of the series itself ends there: a lag
below it would be a value that nobody has when the question is asked.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from goldpath.durations import FORMS, duration_seconds
from goldpath.raw_source import EventTime, Part

TARGET_OF_EVENTS = ("event", "within", "where", "observed_until", "exclude_after_event")
"""The keys of a target that is made from events."""

CLUSTERING: Literal["clustering"] = "clustering"
Criterion = Literal["equal_opportunity", "demographic_parity"]
SEGMENT = "segment"
"""What answers call the label of a row; no table has a column of it."""

Plain = bool | int | float | str
EVENT_CLASSES = ("no", "yes")


class Target(Part):
    """What is predicted: a column, or whether an event happens within so long after a row's time.

    Attributes:
        column: The raw column; of an event what gold calls the label, such as
            `cancellations_within_30d`.
        classes: Classification: every label, as text. A binary target's positive label is last. Of
            an event the labels without and with one: `no` and `yes`.
        aliases: Classification: other spellings of a label in raw text, each with the label.
        unit: Regression: what raw text writes before or behind the number, such as `$`.
        missing_words: Regression: further words of raw text for a missing value.
        event: The further source whose rows are the events, by its name in `config/sources`.
        within: How long after a row's time an event counts, its end included: `30d`.
        where: Which rows of the source are the event, by column: a value, or a list of values.
        observed_until: Until when all events are known, in UTC; the newest time of the source's
            rows where not given. A row whose `within` ends later has no label yet.
        exclude_after_event: Whether rows at or after an event of their entity are kept out of gold.

    Example:
        >>> from goldpath.forecast import Target
        >>> target = Target.model_validate({"event": "cancellations", "within": "30d"})
        >>> target.column, target.classes
        ('cancellations_within_30d', ('no', 'yes'))
    """

    column: str
    classes: tuple[str, ...] = ()
    aliases: dict[str, str] = Field(default_factory=dict)
    unit: str = ""
    missing_words: tuple[str, ...] = ()
    event: str = ""
    within: str = ""
    where: dict[str, Plain | tuple[Plain, ...]] = Field(default_factory=dict)
    observed_until: datetime | None = None
    exclude_after_event: bool = False

    def check_decisions(
        self,
        problem: str,
        threshold: float | None,
        thresholds: Mapping[str, float] | None,
        unsure: tuple[float, float] | None,
    ) -> None:
        """Check what a version says of its decisions, and of other spellings of its labels.

        Thresholds are of some of several classes: where none is reached, another is decided.

        Raises:
            ValueError: If a threshold is of no target of two classes, or a band around none;
                if thresholds are of two classes or of a number, or of classes that there are not,
                or leave no class over; if an alias is of no class.
        """
        if threshold is not None and not (problem == "classification" and len(self.classes) == 2):
            raise ValueError("decision_threshold is for a target of two classes")
        if unsure is not None and threshold is None:
            raise ValueError("decision_unsure is a band around a decision_threshold")
        if strangers := sorted({*self.aliases.values()} - {*self.classes}):
            raise ValueError(f"target.aliases names labels that are no classes: {strangers}")
        if thresholds is None:
            return
        if len(self.classes) < 3:
            raise ValueError("decision_thresholds is for a target of three classes or more")
        if strange := [name for name in thresholds if name not in self.classes]:
            raise ValueError(f"decision_thresholds names labels that are no classes: {strange}")
        if not set(self.classes) - set(thresholds):
            raise ValueError("decision_thresholds must leave a class without one")

    @model_validator(mode="before")
    @classmethod
    def name_label(cls, given: Any) -> Any:
        """Of an event, the label's column and its classes where they are not given."""
        if not isinstance(given, Mapping) or not given.get("event"):
            return given
        column = f"{given['event']}_within_{given.get('within', '')}"
        return {"column": column, "classes": EVENT_CLASSES, **given}

    @field_validator("observed_until")
    @classmethod
    def in_utc(cls, moment: datetime | None) -> datetime | None:
        """Times of the lake are UTC and say no zone."""
        if moment is None or moment.tzinfo is None:
            return moment
        return moment.astimezone(UTC).replace(tzinfo=None)

    @model_validator(mode="after")
    def check_event(self) -> Self:
        """An event has a duration, and a column nothing that belongs to events."""
        if not self.event:
            for key in TARGET_OF_EVENTS[1:]:
                if getattr(self, key):
                    raise ValueError(f"{key} is for a target of events: add event: SOURCE")
            return self
        if duration_seconds(self.within) is None:
            raise ValueError(f"within: {self.within!r} is no duration above zero; write {FORMS}")
        if len(set(self.classes)) != 2:
            raise ValueError(
                f"classes: {list(self.classes)} are not two: the label without an event, then the "
                "one with it; leave them out for no and yes"
            )
        for key in ("aliases", "unit", "missing_words"):
            if getattr(self, key):
                raise ValueError(f"{key} is for a column, and the label is made from events")
        return self

    def check_rows(
        self,
        problem: str,
        dataset: str,
        entity: str | None,
        event_time: EventTime | None,
        taken: Collection[str],
    ) -> None:
        """Check that a table's rows can have events.

        Args:
            problem: Classification or regression.
            dataset: The table's name.
            entity: The column with the rows' subject.
            event_time: When a row became true.
            taken: Columns that gold has anyway.

        Raises:
            ValueError: If they cannot; says why.
        """
        if not self.event:
            return
        if problem != "classification":
            raise ValueError(
                f"target.event {self.event!r} is whether it happens, so problem is classification, "
                f"not {problem}"
            )
        for role, value in {"entity": entity, "event_time": event_time}.items():
            if value is None:
                raise ValueError(
                    f"target.event {self.event!r} needs the {role} of a row, and the contract "
                    "names none: whose events, and after when?"
                )
        if self.event == dataset:
            raise ValueError(
                f"target.event {self.event!r} is the main table: name a further source of "
                "config/sources"
            )
        if self.column.startswith("_") or self.column in taken or self.column == entity:
            raise ValueError(
                f"target.column {self.column!r} is a column of gold already: name another"
            )

    @property
    def positive(self) -> str:
        """The label whose probability a binary model gives."""
        return self.classes[-1]

    @property
    def conditions(self) -> dict[str, tuple[Plain, ...]]:
        """`where` with a list of values for each column."""
        return {
            column: given if isinstance(given, tuple) else (given,)
            for column, given in self.where.items()
        }

    @property
    def horizon(self) -> timedelta:
        """`within` as a duration; none where the target is a column."""
        return timedelta(seconds=duration_seconds(self.within) or 0)

    def written(self, values: dict[str, Any]) -> dict[str, Any]:
        """Its values for a file, without what is named after the event."""
        if not self.event:
            return values
        named = Target.model_validate({"event": self.event, "within": self.within})
        same = [key for key in ("column", "classes") if getattr(self, key) == getattr(named, key)]
        return {key: value for key, value in values.items() if key not in same}


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PredictionInterval:
    """The interval around each answer of a regression's version.

    Attributes:
        level: The share of true values that it is meant to hold: 0.9.
        half_width: From the prediction to either end.
        minimum: No end is below this: 0 where no target of the training is negative.
        errors: How many errors the half width was estimated from; None of versions before it was
            kept.
    """

    level: float = Field(gt=0, lt=1)
    half_width: float = Field(ge=0, allow_inf_nan=False)
    minimum: float | None = None
    errors: int | None = Field(default=None, ge=1)


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class GroupThresholds:
    """The thresholds of a version that treats the groups of a column alike by one rate.

    Attributes:
        column: The feature whose values are the groups.
        criterion: The rate: of true positives (equal_opportunity), or of selected rows.
        tolerance: By how much it may differ between groups, on the rows of the tuning.
        thresholds: By group; a boolean's groups are `true` and `false`. All other rows, those
            without a value included, have the contract's `decision_threshold`.
        small: The largest groups of those with too few rows for one, and how many they had.
        gaps: The largest difference on the rows of the tuning, at the common threshold and at
            these; None: fewer than two groups had enough rows.
        metric: What was maximised; empty: the common threshold was fixed.
    """

    column: str
    criterion: Criterion
    tolerance: float
    thresholds: dict[str, float]
    small: dict[str, int]
    gaps: tuple[float, float] | None = None
    metric: str = ""

    def check_rows(self, kinds: Mapping[str, str], threshold: float | None) -> None:
        """Refuse a column without groups, and rows of no group that have no threshold."""
        if kinds.get(self.column) not in ("category", "boolean"):
            raise ValueError(f"decision_groups: no category or boolean {self.column!r} is sent")
        if threshold is None:
            raise ValueError("decision_groups needs a decision_threshold for rows of no group")


class Forecast(Part):
    """How far ahead a series is predicted, and which of its former values the model is given.

    Attributes:
        horizon: How long before its time a row is asked for: `24h`. A row counts as known at its
            own time; where that is the beginning of what it counts, add that to the horizon.
        step: The grid that the rows' times stand on: `1h`.
        season: After how long the series repeats itself: `7d`. The value of that long ago is the
            seasonal-naive forecast, which stands beside the model as its baseline.
        lags: The target's values of so long ago are features: `24h`, `7d`.
        means: The target's means over so long, up to the horizon, are features.
        per_entity: Whether each entity is a series of its own; else all rows are one, with one row
            a time. A contract with an entity must say.
    """

    horizon: str
    step: str
    season: str
    lags: tuple[str, ...]
    means: tuple[str, ...] = ()
    per_entity: bool | None = None

    @model_validator(mode="after")
    def check_durations(self) -> Self:
        """Durations stand on the grid, and nothing is younger than the horizon."""
        step = self._seconds("step", self.step)
        horizon = self._seconds("horizon", self.horizon)
        named = {"horizon": (self.horizon,), "season": (self.season,)}
        for key, texts in {**named, "lags": self.lags, "means": self.means}.items():
            seconds = [self._seconds(key, text) for text in texts]
            if len(set(seconds)) < len(seconds):
                raise ValueError(f"{key}: a duration stands twice: {', '.join(texts)}")
            for text, length in zip(texts, seconds, strict=True):
                if length % step:
                    raise ValueError(f"{key}: {text} is no multiple of the step {self.step}")
                if key == "lags" and length < horizon:
                    raise ValueError(
                        f"lags: {text} is not known {self.horizon} ahead (horizon); "
                        f"take {self.horizon} or more"
                    )
        if self.season not in self.lags:
            raise ValueError(
                f"season: {self.season} is not among the lags, of which it is the baseline: "
                f"{', '.join(self.lags) or 'none'}"
            )
        return self

    def check_rows(self, problem: str, entity: str | None, event_time: EventTime | None) -> None:
        """Check that a table's rows are a series.

        Raises:
            ValueError: If they are not; says why.
        """
        if problem != "regression":
            raise ValueError("forecast is for a regression: lags and means are of numbers")
        if event_time is None:
            raise ValueError("forecast needs an event_time: whose value of how long ago is a lag?")
        if self.per_entity is None and entity is not None:
            raise ValueError(
                f"forecast.per_entity is missing: write true where each {entity} is a series "
                "of its own, false where all rows are one series, with one row a time"
            )
        if self.per_entity and entity is None:
            raise ValueError("forecast.per_entity needs an entity: it names the series")

    @property
    def horizon_seconds(self) -> int:
        """The horizon in seconds."""
        return self._seconds("horizon", self.horizon)

    def naive_column(self, target: str) -> str:
        """The feature that is the seasonal-naive forecast."""
        return lag_column(target, self.season)

    @staticmethod
    def _seconds(key: str, text: str) -> int:
        seconds = duration_seconds(text)
        if seconds is None:
            raise ValueError(f"{key}: {text!r} is no duration; write {FORMS}")
        return seconds


def lag_column(column: str, duration: str) -> str:
    """What the value of so long ago is called."""
    return f"{column}_lag_{duration}"


def with_segments(given: Any) -> Any:
    """A contract's values, with its segments in the place of a target.

    Args:
        given: What the contract is made from; of another problem it is returned as it is.

    Raises:
        ValueError: If a segmentation is given a target, or something that needs one.
    """
    if not isinstance(given, Mapping) or given.get("problem") != CLUSTERING:
        return given
    target = given.get("target")
    if target is not None and not (isinstance(target, Target) and target.column == SEGMENT):
        column = target.get("column", target) if isinstance(target, Mapping) else target
        raise ValueError(
            f"target: {column!r} is given, and problem: clustering has none: take the key target "
            "out, or write problem: classification or regression"
        )
    if groups := given.get("fairness_groups"):
        raise ValueError(
            f"fairness_groups: {list(groups)} are judged by true labels, and problem: clustering "
            "has none: take the key out"
        )
    segments = given.get("segments") or {}
    names = tuple(segments.values()) if isinstance(segments, Mapping) else ()
    return {**given, "target": Target(column=SEGMENT, classes=names)}


def check_segments(problem: str, segments: Mapping[int, str] | None, texts: list[str]) -> None:
    """Check what a version says of its segments.

    Args:
        problem: The contract's.
        segments: Their names by number; None where nothing was trained yet.
        texts: Features that are free text.

    Raises:
        ValueError: If another problem has segments, fewer than two are named, or two are called
            alike, or a feature is free text.
    """
    if problem != CLUSTERING:
        if segments is not None:
            raise ValueError(f"segments are of problem: clustering, not of {problem}")
        return
    if texts:
        raise ValueError(
            f"features: {', '.join(texts)} is free text, by which rows are not grouped: move it "
            "to `ignored`"
        )
    if segments is not None and len({*segments.values()}) < max(2, len(segments)):
        raise ValueError(f"segments: {segments} are not two or more different names")
