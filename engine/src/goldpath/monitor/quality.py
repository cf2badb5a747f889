"""How good served predictions were, by the labels that came back (`logs performance`)."""

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import FiniteFloat

from goldpath.jobs.drift.live_performance import REPORT
from goldpath.monitor.stores import StoredForm, read_form

Interval = tuple[FiniteFloat, FiniteFloat]


class VersionQuality(StoredForm):
    """A version on one day, or on all of them."""

    model_version: str
    day: str
    predictions: int
    labelled: int
    metrics: dict[str, FiniteFloat]
    interval: Interval | None = None


class PeriodValue(StoredForm):
    """What the decisions of a day or a week were worth."""

    period: Literal["day", "week"]
    start: str
    predictions: int
    labelled: int
    mean: FiniteFloat
    total: FiniteFloat


class Verdict(StoredForm):
    """Whether the champion's quality has fallen."""

    verdict: Literal["ok", "low", "insufficient"]
    message: str
    model_version: str
    metric: str
    value: FiniteFloat | None = None
    limit: FiniteFloat | None = None


class LiveQuality(StoredForm):
    """The report.

    Attributes:
        model_name: The model; empty in the report of an older goldpath.
        checked_at: When labels and predictions were joined.
        since: The first day.
        quality: The verdict on the champion.
        versions: Each version on all days.
        days: Each version day by day.
        labels: Labels that came.
        unmatched_labels: Labels whose prediction is not known.
        values: What the decisions of each day and week were worth.
        unit: Of these values.
    """

    model_name: str = ""
    checked_at: datetime
    since: str
    quality: Verdict
    versions: tuple[VersionQuality, ...]
    days: tuple[VersionQuality, ...]
    labels: int
    unmatched_labels: int
    values: tuple[PeriodValue, ...] = ()
    unit: str = ""


def read_quality(reports: Path, model_name: str) -> LiveQuality | None:
    """The report; None where `logs performance` never ran for this model.

    Raises:
        StoreError: If it is damaged.
    """
    found = read_form(reports / REPORT, LiveQuality, f"reports/{REPORT}", "make live-performance")
    return found if found and found.model_name in ("", model_name) else None
