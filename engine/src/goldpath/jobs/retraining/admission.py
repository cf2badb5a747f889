"""Whether a model is trained again: a verdict that stands, enough time, a budget, labelled rows.

Each rule that says no says why, and from when or by what it would say yes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from goldpath.contract import Contract
from goldpath.errors import CheckFailedError, NotEnoughDataError, NothingToDoError
from goldpath.jobs.batch.training_rows import UnknownTrainingRowsError, known_training_rows
from goldpath.jobs.data.refresh import DataResult
from goldpath.jobs.drift.history import history_file
from goldpath.jobs.retraining.ledger import INTERRUPTED, KILLED, Retraining
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.lake.tables import gold_table
from goldpath.model_version import ModelVersion
from goldpath.serving.metrics.reports import read_json
from goldpath.settings import Settings
from goldpath.settings.monitoring import RetrainSettings

Reason = Literal["newest", "batch", "service", "table", "file", "labels"]
"""Whose verdict asks: that of a source of rows, of the newest check, or of the labels."""


@dataclass(frozen=True)
class Verdict:
    """A verdict that a retraining follows from.

    Attributes:
        source: Whose rows, or `labels`.
        message: It as a sentence.
        model_version: The version that it is about.
        model_name: The model that it is about; empty in the report of an older goldpath.
    """

    source: str
    message: str
    model_version: str
    model_name: str = ""


def standing_verdict(reports: Path, reason: Reason) -> Verdict:
    """The verdict that asks for a retraining.

    Raises:
        NothingToDoError: If there is none, or it asks for nothing.
    """
    values: Mapping[str, Any]
    feedback: Mapping[str, Any] = {}
    if reason == "labels":
        feedback = read_json(reports / "feedback.json")
        found = feedback.get("quality")
        values, bad, command = found if isinstance(found, dict) else {}, "low", "logs performance"
    else:
        file = reports / "drift.json" if reason == "newest" else history_file(reports, reason)
        values, bad = read_json(file), "drift"
        command = "drift-check" + ("" if reason == "newest" else f" --source {reason}")
    if not values:
        raise NothingToDoError(f"no retraining: {reason} has no verdict yet", command)
    message = str(values.get("message", ""))
    if values.get("verdict") != bad:
        raise NothingToDoError(f"no retraining: the last verdict is no {bad}: {message}", command)
    return Verdict(
        str(values.get("kind", reason)),
        message,
        str(values.get("model_version", "")),
        str((feedback or values).get("model_name", "")),
    )


def require_about(verdict: Verdict, champion: ModelVersion | None) -> ModelVersion:
    """Refuse a verdict on a version that is no longer champion, or on another model.

    Raises:
        NothingToDoError: If it is of another version.
    """
    name = champion.name if champion else ""
    is_other = verdict.model_name not in ("", name)
    if champion is None or is_other or verdict.model_version != champion.version:
        now = f"version {champion.version}" if champion else "no version"
        about = f"version {verdict.model_version}"
        if is_other:
            now, about = f"{now} of {name or 'this model'}", f"{about} of {verdict.model_name}"
        raise NothingToDoError(
            f"no retraining: the verdict is about {about}, and {now} is champion",
            "check again: drift-check, logs performance",
        )
    return champion


def require_pause(rules: RetrainSettings, earlier: Sequence[Retraining], now: datetime) -> None:
    """Keep the cooldown and the budget, by the time that has passed.

    One that was interrupted says nothing about the data, and counts for neither. One that was
    killed starts no cooldown, but is in the budget: a training that memory does not suffice for
    would otherwise be tried with each message of the alert.

    Raises:
        CheckFailedError: If it is too early; says when it will not be.
    """
    counted = [each for each in earlier if each.outcome != INTERRUPTED]
    if last := max((each.at for each in counted if each.outcome != KILLED), default=None):
        _require_cooldown(rules, last, now)
    period = timedelta(days=rules.budget_days)
    spent = sorted(each.at for each in counted if each.at > now - period)
    if len(spent) >= rules.budget:
        # When the oldest of those that fill the budget no longer counts.
        until = f"{spent[-rules.budget] + period:%Y-%m-%d %H:%M} UTC" if rules.budget else "never"
        raise CheckFailedError(
            f"no retraining: {len(spent)} of {rules.budget} in the last {rules.budget_days:g} days "
            "are spent (monitoring.retrain.budget); training again did not help for long",
            f"find out why the data moves; again from {until}, or by hand: retrain --force",
        )


def _require_cooldown(rules: RetrainSettings, last: datetime, now: datetime) -> None:
    if last > now:
        raise CheckFailedError(
            f"no retraining: the last one is recorded at {last:%Y-%m-%d %H:%M} UTC, which is yet "
            "to come, so nobody knows how long ago it was",
            "correct the clock; or by hand: retrain --force",
        )
    again = last + timedelta(hours=rules.cooldown_hours)
    if now < again:
        raise CheckFailedError(
            f"no retraining: the last one began {_hours(now - last)} ago, at "
            f"{last:%Y-%m-%d %H:%M} UTC, and monitoring.retrain.cooldown_hours is "
            f"{rules.cooldown_hours:g}",
            f"again from {again:%Y-%m-%d %H:%M} UTC on; or by hand: retrain --force",
        )


def require_labelled_rows(
    settings: Settings, contract: Contract, champion: ModelVersion, data: DataResult
) -> int:
    """How many rows with a label the champion was not trained on.

    Gold holds only rows that fulfil the contract and have a label; the others are in quarantine,
    and a training never sees them. Where the target is made from events, gold's rows without a
    label yet do not count.

    Raises:
        NotEnoughDataError: If they are too few to learn anything new from, or nobody can tell.
    """
    lakehouse = open_lakehouse(settings)
    snapshot = gold_snapshot(lakehouse, contract)
    gold = lakehouse.read(gold_table(contract), snapshot.snapshot_id)
    if contract.target.event:
        gold = gold.filter(gold[contract.target.column].notnull())
    rows = lakehouse.collect(gold)
    try:
        new = int((~known_training_rows(rows, contract, lakehouse, champion)).sum())
    except UnknownTrainingRowsError as error:
        raise NotEnoughDataError(
            f"no retraining: it cannot be told which rows are new: {error.message}",
            "train once by hand (train-local), which asks the gate; from then on it can be told",
        ) from error
    wanted = settings.monitoring.retrain.minimum_rows
    if new < wanted:
        refused = "".join(
            f"; {count:,} rows are refused: {reason}"
            for reason, count in data.quarantine_reasons.items()
        )
        with_labels = " with a label" * contract.has_target
        kind = "labelled" if contract.has_target else "new"
        raise NotEnoughDataError(
            f"no retraining: {new:,} rows{with_labels} that version {champion.version} was not "
            f"trained on, and monitoring.retrain.minimum_rows is {wanted:,}{refused}",
            f"bring {kind} rows to {data.source}; without them the model would be the same",
        )
    return new


def _hours(passed: timedelta) -> str:
    hours = passed.total_seconds() / 3600
    return f"{hours:.1f} hours" if hours < 48 else f"{hours / 24:.1f} days"
