"""`demo-drift`: prices rise, an alert is told, the model is trained again, and the drift is gone.

Every part is the real one: the service answers over HTTP, Prometheus and Alertmanager watch it, the
alert itself sets the training off, and the gate decides.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from goldpath.contract import Contract, load_contract
from goldpath.demonstration.scene import (
    MessageBoard,
    free_port,
    message_board,
    project_of_its_own,
)
from goldpath.demonstration.timeline import Event, Timeline, draw_timeline, read_series
from goldpath.errors import ProjectError
from goldpath.features.learned import learned_contract
from goldpath.jobs.data.bronze import SAMPLE
from goldpath.jobs.data.recipes import clean_file
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.retraining.ledger import RUNNING, Ledger, Retraining
from goldpath.jobs.training.deployment import deploy
from goldpath.jobs.training.stages import train
from goldpath.presentation import FOR_SCRIPTS, step
from goldpath.quality.file_rows import typed_frame
from goldpath.sample.customers import DAYS, START, write_sample
from goldpath.services.prometheus_server import start_prometheus
from goldpath.serving.metrics.reports import read_json
from goldpath.serving.process.loopback import LoopbackService, loopback_service
from goldpath.settings import Settings
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.read import read_raw

COLUMN = "monthly_charges"
SHIFT = {COLUMN: 1.0, "support_tickets": 0.8}
OLD_ROWS, NEW_ROWS, ASKED_ROWS = 4_000, 7_000, 1_500
CALLERS: dict[int, dict[str, float]] = {11: {}, 12: SHIFT, 13: SHIFT, 14: SHIFT}
"""Customers who ask, by the seed that they are drawn with: the first as usual, the others after."""

NEW_DAYS = 182
"""The shifted rows are of the half year after the sample's: they have windows of their own."""

BATCH = 1_000
PATIENCE_SECONDS = 300.0
SEEN_SECONDS = 7.0
"""Until Prometheus has seen a check."""

PICTURE = "demo-drift.png"
VARIABLES = {
    "MLOPS_TRAINING__TRIALS": "2",
    "MLOPS_TRAINING__PARITY_ROWS": "20000",
    "MLOPS_SERVING__REFRESH_SECONDS": "1",
    "MLOPS_MONITORING__WINDOW": "1w",
    "MLOPS_MONITORING__SEASON": "none",
    "MLOPS_MONITORING__MINIMUM_ROWS": "40",
    "MLOPS_MONITORING__ALERTS__ROUTES": '[{"to": "webhook"}]',
    "MLOPS_MONITORING__RETRAIN__AUTOMATIC": "true",
    "DO_NOT_TRACK": "true",
}

T = TypeVar("T")


class DemonstrationError(ProjectError):
    """A part of the loop did not do what it must."""


@dataclass(frozen=True)
class DriftDemo:
    """What was seen.

    Attributes:
        seconds: From the first row to the last message, the first training included.
        told_after: Seconds from the check that found drift to the message.
        champion_after: Seconds from that check to the new champion.
        message: What the team was told.
        former_champion: The champion before.
        champion: The champion now.
        before: The verdict on usual customers.
        shifted: The verdict once prices had risen.
        after: The verdict on such customers with the new champion.
        timeline: What happened when.
        picture: The same as a picture.
        project: The project that it was shown in, to be looked at.
    """

    seconds: float
    told_after: float
    champion_after: float
    message: str
    former_champion: str
    champion: str
    before: str
    shifted: str
    after: str
    timeline: dict[str, str] = field(metadata=FOR_SCRIPTS)
    picture: str
    project: str


class _Story:
    """What happened so far."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.alarm_from: list[tuple[float, float]] = []

    def tell(self, name: str, detail: str = "", at: float | None = None) -> Event:
        """Add an event, and say it."""
        event = Event(time.time() if at is None else at, name)
        self.events.append(event)
        seconds = event.at - self.events[0].at
        step(f"{seconds:5.1f} s  {name}" + (f": {detail}" if detail else ""))
        return event

    def tell_check(self, own: Settings, name: str, detail: str = "") -> Event:
        """Add a check, and from which shift on it would have been an alarm."""
        # The verdict is written before the picture of it: Prometheus has it from then on.
        written = (own.reports / "drift" / "service.json").stat().st_mtime
        event = self.tell(name, detail, written)
        for column in read_json(own.reports / "drift.json").get("columns", ()):
            if column["name"] == COLUMN:
                shift = max(column["limit"], column["detectable"] or 0)
                self.alarm_from.append((event.at, shift))
        return event

    @property
    def in_order(self) -> list[Event]:
        """The events by their time: some were seen later than they happened."""
        return sorted(self.events, key=lambda event: event.at)


def demonstrate_drift(settings: Settings) -> DriftDemo:
    """Show the loop from drift to a new champion, live.

    Args:
        settings: The project; what happens is in a copy of it.

    Raises:
        DemonstrationError: If the project is not the sample's, or a part of the loop fails.
        MonitoringError: If Prometheus is missing.
    """
    contract = load_contract(settings.root)
    if contract.source.path != SAMPLE:
        raise DemonstrationError(
            f"the demonstration is of the sample, and this project's source is "
            f"{contract.source.name}",
            "docs/monitoring.md says how the loop is set up for your own data",
        )
    ports = {
        f"MLOPS_MONITORING__{server}_PORT": str(free_port())
        for server in ("PROMETHEUS", "ALERTMANAGER", "RECEIVER", "PAGE")
    }
    with message_board() as board:
        told = {"MLOPS_MONITORING__ALERTS__WEBHOOK_URL": board.url}
        with project_of_its_own(settings, {**VARIABLES, **ports, **told}) as own:
            return _play(settings, own, contract, board)


def _play(settings: Settings, own: Settings, contract: Contract, board: MessageBoard) -> DriftDemo:
    began, story = time.monotonic(), _Story()
    step("Training the first model, in a project of its own")
    looks_up = bool(learned_contract(own, contract).window_features)
    write_sample(own.root / SAMPLE, OLD_ROWS, 7, {}, history=looks_up)
    for seed, drift in CALLERS.items():
        write_sample(_callers(own, seed), ASKED_ROWS, seed, drift, history=looks_up)
    refresh(own, contract)
    deploy(own, contract, train(own, contract).model_version)
    with loopback_service(own, "demo-service", {}) as service:
        watched = _at_port(own, service)
        start_prometheus(watched)
        story.tell("the service answers, and is watched")
        _ask(service, own, contract, 11)
        before = check_drift(own, contract, None, html=False, source="service")
        _require(before.verdict == "ok", f"usual customers were {before.message}")
        story.tell_check(own, "usual customers: ok")
        time.sleep(SEEN_SECONDS)  # so that Prometheus has seen this verdict, too

        _ask(service, own, contract, 12)
        _ask(service, own, contract, 13)
        story.tell("prices rise")
        _deliver_labelled(own, contract)
        story.tell("labelled rows of such customers arrive")
        shifted = check_drift(own, contract, None, html=False, source="service")
        _require(shifted.verdict == "drift", f"shifted customers were {shifted.message}")
        found = shifted.message.partition(";")[0]
        checked = story.tell_check(own, "the drift check finds drift", found)

        at, message = _wait(lambda: board.first("firing"), "a message of the alert", own)
        said = message["alerts"][0]["annotations"]
        told = story.tell("the team is told", said["summary"], at)
        begun = _wait(lambda: next(iter(Ledger(own.root).read()), None), "a retraining", own)
        story.tell("the alert starts a retraining", "", begun.at.timestamp())
        done = _wait(lambda: _ended(own), "the end of the retraining", own)
        _require(done.outcome == "promoted", f"the retraining was {done.outcome}: {done.detail}")
        ended = datetime.fromisoformat(done.ended).timestamp()
        promoted = story.tell("the new model passes the gate", f"version {done.detail}", ended)
        _wait(lambda: _serves(service, done.detail), f"version {done.detail} to serve", own)
        story.tell("the service uses it")

        _ask(service, own, contract, 14)
        after = check_drift(own, contract, None, html=False, source="service")
        _require(after.verdict == "ok", f"with the new champion they were {after.message}")
        story.tell_check(own, "such customers are no drift now")
        at, _ = _wait(lambda: board.first("resolved"), "the message that it is over", own)
        story.tell("the team is told that it is resolved", "", at)
        time.sleep(SEEN_SECONDS)
        picture = settings.reports / PICTURE
        _draw(picture, story, own)
    events = story.in_order
    return DriftDemo(
        seconds=time.monotonic() - began,
        told_after=told.at - checked.at,
        champion_after=promoted.at - checked.at,
        message=f"{said['summary']} Runbook: {said['runbook']}",
        former_champion=done.champion,
        champion=done.detail,
        before=before.verdict,
        shifted=shifted.verdict,
        after=after.verdict,
        timeline={f"{event.at - events[0].at:.1f} s": event.name for event in events},
        picture=settings.shown(picture),
        project=settings.shown(own.root),
    )


def _callers(own: Settings, seed: int) -> Path:
    """The file of customers who ask; what they paid and asked lies where the sources look."""
    return own.root / Path(SAMPLE).parent / f"callers-{seed}.csv"


def _ask(service: LoopbackService, own: Settings, contract: Contract, seed: int) -> None:
    """Customers whom nobody has seen ask for their predictions over HTTP."""
    raw = read_raw(detect_dialect(_callers(own, seed), contract.source), own.root)
    typed = typed_frame(raw, contract, clean_file(contract, own.project.recipes))
    rows = typed.select(contract.feature_names).to_pylist()
    if learned_contract(own, contract).window_features:
        who = typed[contract.entity_column].to_pylist()
        key = str(contract.entity)
        rows = [{key: each, "features": row} for each, row in zip(who, rows, strict=True)]
    for start in range(0, len(rows), BATCH):
        service.post("/predict/batch", {"instances": rows[start : start + BATCH]})


def _deliver_labelled(own: Settings, contract: Contract) -> None:
    """The next extract of the source: later customers, whose labels are known by now."""
    write_sample(
        own.root / SAMPLE,
        NEW_ROWS,
        8,
        SHIFT,
        history=bool(learned_contract(own, contract).window_features),
        begin=START + timedelta(days=DAYS),
        days=NEW_DAYS,
    )


def _ended(own: Settings) -> Retraining | None:
    found = [each for each in Ledger(own.root).read() if each.outcome != RUNNING]
    return found[-1] if found else None


def _serves(service: LoopbackService, version: str) -> bool:
    status, answer = service.get("/model")
    return status == 200 and str(answer.get("model_version", answer.get("version"))) == version


def _wait(found: Callable[[], T | None], what: str, own: Settings) -> T:
    """Wait until there is something.

    Raises:
        DemonstrationError: If there is nothing in time; says what a retraining said.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if value := found():
            return value
        decided = read_json(own.reports / "retraining.json")
        if decided.get("outcome") in ("refused", "failed"):
            raise DemonstrationError(
                f"the retraining was {decided['outcome']}: {decided['message']}"
            )
        time.sleep(0.2)
    raise DemonstrationError(
        f"there was not {what} within {PATIENCE_SECONDS:.0f} s",
        f"read the logs in {own.run_directory}",
    )


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise DemonstrationError(otherwise, "run it again, and say so if it stays")


def _at_port(own: Settings, service: LoopbackService) -> Settings:
    """The settings with the port that the service was given."""
    serving = own.serving.model_copy(update={"port": int(service.url.rpartition(":")[2])})
    return own.model_copy(update={"serving": serving})


def _draw(picture: Path, story: _Story, own: Settings) -> None:
    prometheus = f"http://127.0.0.1:{own.monitoring.prometheus_port}"
    events, end = story.in_order, time.time()
    effect, firing = (
        read_series(prometheus, expression, events[0].at, end)
        for expression in (
            f'ml_drift_column_effect{{source="service",column="{COLUMN}"}}',
            'ALERTS{alertname="DriftDetected",alertstate="firing"}',
        )
    )
    draw_timeline(picture, Timeline(events, COLUMN, effect, story.alarm_from, firing))
