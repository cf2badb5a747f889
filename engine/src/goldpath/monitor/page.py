"""The monitoring page: the stores' state as what its template shows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from goldpath.models.folders import with_model
from goldpath.monitor.charts import (
    DriftCard,
    drift_card,
    prediction_columns,
    quality_card,
    score_map,
    score_spread,
    traffic_charts,
)
from goldpath.monitor.predictions import BATCH, SERVICE, Predictions
from goldpath.monitor.state import MonitorState
from goldpath.monitor.stores import Section
from goldpath.pages.documents import digits, render

FIRST_COMMAND = "make data train-local"
LOOKS = {"ok": "good", "drift": "bad", "low": "bad", "insufficient": "warn"}
KINDS = (SERVICE, BATCH, "table", "file")
FILE = KINDS[-1]
"""A source that somebody checks by hand: its drift alarms nobody."""


@dataclass(frozen=True)
class Notice:
    """Something to know or to do: what is the case, and the command that changes it."""

    look: str
    text: str
    fix: str = ""


@dataclass(frozen=True)
class Tile:
    """A figure at the top of the page."""

    name: str
    value: str


@dataclass(frozen=True)
class PredictionDay:
    """The predictions of a day."""

    day: str
    service: int
    batch: int
    mean: str


def render_page(
    state: MonitorState, *, reports: str, is_live: bool, look_again_seconds: int = 60
) -> str:
    """One HTML document with nothing to load from elsewhere.

    Args:
        state: What was read.
        reports: Where the links to reports begin: the page's server has them elsewhere than a file.
        is_live: Whether a server made it, which reads the stores again at the next look.
        look_again_seconds: How often the browser asks such a server.
    """
    notices = list(notices_of(state))
    predictions = state.predictions.value
    quality = state.quality.value
    traffic = state.traffic.value
    page = render(
        "monitor.html",
        state=state,
        overall=_overall(state, notices),
        notices=notices,
        tiles=_tiles(state),
        drift=_drift_cards(state),
        drift_looks=LOOKS,
        quality=quality_card(quality) if quality else None,
        prediction_days=list(_prediction_days(predictions)) if predictions else [],
        prediction_columns=prediction_columns(predictions) if predictions else (),
        score_map=score_map(predictions) if predictions and predictions.is_probability else None,
        score_spread=(
            score_spread(predictions) if predictions and not predictions.is_probability else None
        ),
        traffic=traffic_charts(traffic) if traffic else None,
        reports=reports,
        is_live=is_live,
        look_again="minute" if look_again_seconds == 60 else f"{look_again_seconds // 60} minutes",
        runs_problem=any(part.problem for part in state.runs),
    )
    return with_model(page, state.model)


def _drift_cards(state: MonitorState) -> list[DriftCard]:
    """The sources in drift first, then those that are watched."""
    found = [check.value for check in state.drift if check.value]
    order = sorted(found, key=lambda each: (each.verdict != "drift", KINDS.index(each.kind)))
    return [drift_card(each) for each in order]


def _overall(state: MonitorState, notices: Sequence[Notice]) -> Notice:
    looks = {notice.look for notice in notices}
    if state.champion is None and not state.registry.problem:
        return Notice("warn", "NO MODEL")
    if "bad" in looks:
        return Notice("bad", "ALARM")
    return Notice("warn", "LOOK") if "warn" in looks else Notice("good", "OK")


def notices_of(state: MonitorState) -> Iterator[Notice]:
    """What somebody should look at, the alarms first."""
    for found in state.drift_of_champion:
        if found.verdict == "drift" and found.kind != FILE:
            yield Notice("bad", f"Drift ({found.kind}): {found.message}", "make retrain")
    for found in state.drift_of_champion:
        nothing = found.nothing_compared
        if nothing is not None and found.kind != FILE:
            when = f"{nothing.checked_at:%Y-%m-%d %H:%M} UTC"
            yield Notice(
                "warn",
                f"Drift ({found.kind}), {when}: {nothing.message}",
                "score new rows, then: make drift-check",
            )
    quality = state.quality_of_champion
    if quality and quality.quality.verdict == "low":
        yield Notice("bad", f"Quality: {quality.quality.message}", "make retrain, or make rollback")
    alerts = state.alerts.value
    for alert in alerts.alerts if alerts else ():
        if alert.is_firing:
            yield Notice("bad", f"Alert {alert.named}: {alert.summary}", "docs/monitoring.md")
    yield from _missing(state)
    told = set()
    for look, sections in (("warn", _stores(state)), ("soft", (state.alerts, state.traffic))):
        for section in sections:
            if section.problem and section.problem not in told:
                told.add(section.problem)
                yield Notice(look, section.problem, section.fix)


def _missing(state: MonitorState) -> Iterator[Notice]:
    """What was never done, and what does it."""
    if state.registry.problem:
        return  # said already, and with the fix
    if state.champion is None:
        yield Notice("warn", "No version is champion, so nothing is predicted.", FIRST_COMMAND)
        return
    if not any(check.value for check in state.drift):
        yield Notice(
            "warn", "Drift was never checked.", "make batch-predict (or make serve) drift-check"
        )
    elif not state.drift_of_champion:
        yield Notice(
            "warn",
            f"Version {state.champion} was not checked yet: what is shown of drift is about a "
            "former champion.",
            "make batch-predict (or make serve) drift-check",
        )
    if state.quality.value and not state.quality_of_champion:
        yield Notice(
            "warn",
            f"Live quality of version {state.champion} was not judged yet: the verdict that is "
            "shown is about a former champion.",
            "make live-performance",
        )
    if state.quality.value is None and not state.quality.problem:
        yield Notice(
            "warn",
            "Nobody has joined labels with predictions, so live quality is not known.",
            "send labels to POST /feedback, then: make live-performance",
        )


def _stores(state: MonitorState) -> tuple[Section[object], ...]:
    """What must be readable; Prometheus need not run."""
    return (
        *state.drift, state.quality, state.predictions, state.registry, state.moves, state.sources,
        *state.runs,
    )  # fmt: skip


def _tiles(state: MonitorState) -> list[Tile]:
    drift = [each for each in state.drift_of_champion if each.kind != FILE]
    worst = next(
        (verdict for verdict in ("drift", "insufficient", "ok")
         if any(each.verdict == verdict for each in drift)),
        "not known" if any(check.problem for check in state.drift) else "not checked",
    )  # fmt: skip
    judged = state.quality_of_champion
    quality = judged.quality if judged else None
    live = "not known" if state.quality.problem else "no labels"
    if state.quality.value and not judged:
        live = "not judged"
    if quality is not None and quality.value is not None:
        live = digits(quality.value)
    unknown = "none known" if state.registry.problem else "none"
    alerts = state.alerts.value
    firing = "not known"
    if alerts:
        firing = str(sum(each.is_firing for each in alerts.alerts))
    predictions = state.predictions.value
    total = (
        sum(scores.count for days in predictions.by_source.values() for scores in days.values())
        if predictions
        else None
    )
    return [
        Tile("champion", f"version {state.champion}" if state.champion else unknown),
        Tile("drift", {"insufficient": "no verdict"}.get(worst, worst)),
        Tile(f"live {quality.metric}" if quality else "live quality", live),
        Tile("open alerts", firing),
        Tile("predictions, 30 days", "not known" if total is None else f"{total:,}"),
    ]


def _prediction_days(predictions: Predictions) -> Iterator[PredictionDay]:
    """The days that have predictions, the newest first."""
    for day in reversed(predictions.days):
        scores = predictions.of_day(day)
        if scores.count:
            counts = {
                name: days[day].count if day in days else 0
                for name, days in predictions.by_source.items()
            }
            yield PredictionDay(
                f"{day:%Y-%m-%d}",
                counts.get(SERVICE, 0),
                counts.get(BATCH, 0),
                digits(scores.mean),
            )
