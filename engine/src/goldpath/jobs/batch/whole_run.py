"""A batch inference in shards as one call: planned, scored wherever a runner does it, completed.

Each shard is scored by the command that Airflow's tasks use, in a process of its own: its memory is
free when it ends, and one that is killed is one shard that is missing. Called again with the same
name, a run goes on with its plan and scores what is missing.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Thread
from typing import Any

from goldpath.contract import Contract
from goldpath.errors import NothingToDoError, ProjectError
from goldpath.jobs.batch.completion import complete_batch
from goldpath.jobs.batch.days import Days
from goldpath.jobs.batch.partitions import Local, OnRay, Runner, map_partitions
from goldpath.jobs.batch.plans import (
    COMPLETION,
    BatchPlan,
    BatchPlanError,
    missing_shards,
    numbers,
    plan_of,
    read_plans,
    records_of,
)
from goldpath.jobs.batch.shards import plan_batch
from goldpath.jobs.batch.table import BatchResult
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse
from goldpath.lake.tables import gold_table
from goldpath.models.folders import VARIABLE
from goldpath.presentation import step
from goldpath.settings import Settings

RUNNERS: Mapping[str, type[Local] | type[OnRay]] = {"local": Local, "ray": OnRay}
LAST_LINES = 5
WITH_CALLER = "--with-caller"
"""The option by which a shard's process ends where the run's process was killed."""


@dataclass(frozen=True)
class ShardCommand:
    """What scores one shard, wherever it is called.

    Attributes:
        package: The project's name: `python -m PACKAGE`.
        root: Its folder.
        model: A further model, empty for the main one.
        run_id: Name of the run.
        number: The shard's, from 1 on.
    """

    package: str
    root: str
    model: str
    run_id: str
    number: int


def predict_in_shards(
    settings: Settings,
    contract: Contract,
    run_id: str,
    shards: int,
    runner: Runner,
    days: Days | None = None,
) -> BatchResult:
    """Score the gold table, or some days of it, in shards that a runner scores.

    Args:
        settings: Where lake and registry are.
        contract: What a row is.
        run_id: Name of the run. One that has a plan and is not complete goes on with it: with the
            snapshot and the version of then.
        shards: How many.
        runner: Where they are scored.
        days: Score gold's rows of these days only.

    Raises:
        BatchPlanError: If the run has another plan, or one whose rows have expired, or shards were
            not scored; names them, and the predictions table has none of the run's rows.
        RunnerError: If the runner is not there.
        NothingToDoError: If the run is complete, or there is no row to score.
    """
    lakehouse = open_lakehouse(settings)
    is_begun = _is_begun(lakehouse, contract, run_id, shards, days)
    if not is_begun:
        plan_batch(settings, contract, run_id, shards, days)
    plan = plan_of(lakehouse, contract, run_id)
    records = records_of(lakehouse, contract, plan)
    if COMPLETION in records:
        raise NothingToDoError(
            f"the batch run {run_id} is complete",
            "give another --run-id, or begin it anew: batch plan",
        )
    missing = missing_shards(plan, records)
    if is_begun:
        _require_rows(lakehouse, contract, plan)
        step(
            f"batch run {run_id} goes on with its plan of {plan.planned_at:%Y-%m-%d %H:%M} UTC, "
            f"and gold's rows of then: {len(records)} of {shards} shards are done"
        )
    step(f"score: {shards} shards with version {plan.model_version}")
    _score(settings, plan, missing, runner)
    return complete_batch(settings, contract, run_id)


def score_by_command(shard: ShardCommand) -> int:
    """Score a shard in a process of its own.

    Returns:
        Rows with a prediction.

    Raises:
        BatchPlanError: If the command fails; says what it said last.
    """
    words = ["batch", "score", "--run-id", shard.run_id, "--shard", str(shard.number), "--json"]
    reading, writing = os.pipe()  # nobody writes: it ends when this process does, however it does
    with os.fdopen(reading), os.fdopen(writing, "w"):
        done = subprocess.run(
            [sys.executable, "-m", shard.package, *words, WITH_CALLER],
            cwd=shard.root,
            env={**os.environ, "MLOPS_ROOT": shard.root, VARIABLE: shard.model},
            stdin=reading,
            capture_output=True,
            text=True,
            check=False,
        )
    said = _last_object(done.stdout)
    if done.returncode == 0 and "rows" in said:
        return int(said["rows"])
    if "error" in said:
        raise BatchPlanError(str(said["error"]), str(said["fix"]))
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise BatchPlanError(
            f"its process was killed by {name}",
            "where memory is short, take a smaller --at-once, or more shards",
        )
    last = " / ".join(done.stderr.strip().splitlines()[-LAST_LINES:])
    raise BatchPlanError(f"its process ended with {done.returncode}: {last or 'it said nothing'}")


def end_with_caller() -> None:
    """End this process when its standard input does: its caller was killed, and nobody waits."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=watch, daemon=True).start()


def _is_begun(
    lakehouse: Lakehouse, contract: Contract, run_id: str, shards: int, days: Days | None
) -> bool:
    """Whether the run has a plan, which has to be what is asked for now."""
    plans = [plan for plan in read_plans(lakehouse, contract) if plan.run_id == run_id]
    if not plans:
        return False
    plan = plans[-1]
    if (len(plan.rows), plan.days) != (shards, days):
        planned = f"{len(plan.rows)} shards" + (f" of {plan.days}" if plan.days else "")
        asked = f"{shards} shards" + (f" of {days}" if days else "")
        raise BatchPlanError(
            f"the batch run {run_id} was planned as {planned}, and {asked} are asked for",
            "ask for the same, give another --run-id, or begin it anew: batch plan",
        )
    return True


def _require_rows(lakehouse: Lakehouse, contract: Contract, plan: BatchPlan) -> None:
    """Refuse to go on with a plan whose snapshot of gold has expired: no shard would find it."""
    gold = gold_table(contract)
    if plan.snapshot_id not in {each.snapshot_id for each in lakehouse.snapshots(gold)}:
        raise BatchPlanError(
            f"the batch run {plan.run_id} was planned on {plan.planned_at:%Y-%m-%d} with the "
            f"snapshot {plan.snapshot_id} of {gold}, which has expired",
            "give another --run-id, or begin it anew: batch plan",
        )


def _score(settings: Settings, plan: BatchPlan, missing: list[int], runner: Runner) -> None:
    """Score these shards; one that fails stops no other, and all of them are named in the end."""
    name, root = settings.project.name, str(settings.root)
    commands = [ShardCommand(name, root, settings.model, plan.run_id, number) for number in missing]
    failed: dict[int, Exception] = {}
    for outcome in map_partitions(score_by_command, commands, runner):
        number = outcome.partition.number
        if outcome.error is None:
            step(f"shard {number} of {len(plan.rows)}: {outcome.result} rows")
            continue
        failed[number] = outcome.error
        step(f"shard {number} of {len(plan.rows)} failed: {_said(outcome.error)}")
    if failed:
        first = min(failed)
        error = failed[first]
        mend = (error.fix if isinstance(error, ProjectError) else "") or "mend that"
        raise BatchPlanError(
            f"the batch run {plan.run_id} is not complete: {numbers(sorted(failed))} of "
            f"{len(plan.rows)} failed; shard {first}: {_said(error)}",
            f"{mend}; then give the same command again: it scores what is missing",
        )


def _said(error: Exception) -> str:
    return error.message if isinstance(error, ProjectError) else f"{type(error).__name__}: {error}"


def _last_object(output: str) -> Mapping[str, Any]:
    """The command's result, its last line; empty where it is none."""
    try:
        found = json.loads(output.strip().splitlines()[-1])
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
