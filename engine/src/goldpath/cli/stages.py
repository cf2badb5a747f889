"""The commands under `training` and `batch`: their stages one by one, and a run's repetition."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from goldpath.jobs.batch.days import Days

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
RunKey = Annotated[
    str, typer.Option("--run-id", help="Name of the training; the same for all of its stages.")
]

BatchKey = Annotated[
    str, typer.Option("--run-id", help="Name of the batch run; the same for all of its shards.")
]
Shards = Annotated[int, typer.Option(min=1, help="Into how many parts.")]
DAY = "%Y-%m-%d"
FromDay = Annotated[
    datetime | None,
    typer.Option("--from", formats=[DAY], help="Score gold's rows from this day on …"),
]
ToDay = Annotated[
    datetime | None, typer.Option("--to", formats=[DAY], help="… up to the day before this one.")
]

training = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The six stages of a training one by one, each with the project's own steps before it; "
    "`train` does them all.",
)
batch = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A batch inference in shards: plan it, score each shard, complete it, or `run` it all; "
    "`batch-predict` does it all in one task.",
)


class RunnerName(StrEnum):
    """Where shards are scored."""

    local = "local"
    ray = "ray"


@training.command()
def extract(run_id: RunKey, as_json: Json = False) -> None:
    """1. Pin and tag gold's snapshot; refuse a delivery that is mostly in quarantine."""
    _run_stage("extract", run_id, as_json)


@training.command()
def features(run_id: RunKey, as_json: Json = False) -> None:
    """2. Split the rows; refuse leaks and rows of the future."""
    _run_stage("features", run_id, as_json)


@training.command()
def train(run_id: RunKey, as_json: Json = False) -> None:
    """3. Search on the training rows; goes on where a killed search stopped."""
    _run_stage("train", run_id, as_json)


@training.command()
def evaluate(run_id: RunKey, as_json: Json = False) -> None:
    """4. Judge the winner on unseen rows, beside the baseline and the champion."""
    _run_stage("evaluate", run_id, as_json)


@training.command()
def register(run_id: RunKey, as_json: Json = False) -> None:
    """5. Sign and register the model with everything that belongs to it."""
    _run_stage("register", run_id, as_json)


@training.command()
def deploy(
    version: Annotated[
        str | None, typer.Option(help="Model version; the newest where not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """6. Try the version behind HTTP as staging, then ask the gate to make it the champion."""
    from goldpath.contract import load_contract
    from goldpath.jobs.training import deployment
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(deployment.deploy(settings, load_contract(settings.root), version), as_json)


@training.command()
def run_step(
    name: Annotated[str, typer.Argument(help="The function's name; another one lists them all.")],
    run_id: RunKey,
    as_json: Json = False,
) -> None:
    """One step of the project's recipe, its own steps too; what is done is not done again."""
    from goldpath.contract import load_contract
    from goldpath.jobs.training import stages
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    result = stages.run_step(settings, load_contract(settings.root), name, run_id)
    show({} if result is None else result, as_json)


@training.command()
def reproduce(
    run: Annotated[str, typer.Argument(help="MLflow's run id, or a version's number.")],
    as_json: Json = False,
) -> None:
    """Train again from a run's snapshot and settings, and compare; exit 1 if it differs."""
    from goldpath.contract import load_contract
    from goldpath.jobs.training import reproduction
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(reproduction.reproduce(settings, load_contract(settings.root), run), as_json)


def days_between(start: datetime | None, end: datetime | None) -> "Days | None":
    """The days of `--from` and `--to`; None without them.

    Raises:
        typer.BadParameter: If one is missing, or the second is not after the first.
    """
    if (start is None) != (end is None):
        raise typer.BadParameter("--from and --to go together: the first day, and the one after")
    if start is None or end is None:
        return None
    if start >= end:
        raise typer.BadParameter(f"--to {end:%Y-%m-%d} is not after --from {start:%Y-%m-%d}")
    from goldpath.jobs.batch.days import Days

    return Days(start.date(), end.date())


def _run_stage(stage: str, run_id: str, as_json: bool) -> None:
    from goldpath.contract import load_contract
    from goldpath.jobs.training.stages import run_stage
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(run_stage(settings, load_contract(settings.root), stage, run_id), as_json)


def _refuse_a_days_name(run_id: str) -> None:
    from goldpath.jobs.batch.days import is_day

    if is_day(run_id):
        raise typer.BadParameter(f"--run-id {run_id} is what a day's predictions are called")


@batch.command()
def plan(
    run_id: BatchKey,
    shards: Shards,
    start: FromDay = None,
    end: ToDay = None,
    as_json: Json = False,
) -> None:
    """1. Pin gold's snapshot and the champion, and divide the rows into shards."""
    days = days_between(start, end)
    _refuse_a_days_name(run_id)
    from goldpath.contract import load_contract
    from goldpath.jobs.batch.shards import plan_batch
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(plan_batch(settings, load_contract(settings.root), run_id, shards, days), as_json)


@batch.command()
def score(
    run_id: BatchKey,
    shard: Annotated[int, typer.Option(min=1, help="Which one, from 1 on.")],
    with_caller: Annotated[bool, typer.Option("--with-caller", hidden=True)] = False,
    as_json: Json = False,
) -> None:
    """2. Score a shard; its rows replace those that were stored of it before."""
    from goldpath.contract import load_contract
    from goldpath.jobs.batch.shards import score_shard
    from goldpath.jobs.batch.whole_run import end_with_caller
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    if with_caller:
        end_with_caller()
    settings = load_settings()
    show(score_shard(settings, load_contract(settings.root), run_id, shard), as_json)


@batch.command()
def complete(run_id: BatchKey, as_json: Json = False) -> None:
    """3. Move all shards to the predictions table; refuse, and name, what is missing."""
    from goldpath.contract import load_contract
    from goldpath.jobs.batch.completion import complete_batch
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(complete_batch(settings, load_contract(settings.root), run_id), as_json)


@batch.command()
def run(
    run_id: BatchKey,
    shards: Shards,
    runner: Annotated[
        RunnerName,
        typer.Option(help="Processes of this machine, or Ray: RAY_ADDRESS, else one for the run."),
    ] = RunnerName.local,
    at_once: Annotated[
        int | None,
        typer.Option(min=1, help="Shards at once, each with its rows in memory; default: cores."),
    ] = None,
    start: FromDay = None,
    end: ToDay = None,
    as_json: Json = False,
) -> None:
    """All three; a second call goes on with the plan and scores the shards that are missing."""
    days = days_between(start, end)
    _refuse_a_days_name(run_id)
    from goldpath.contract import load_contract
    from goldpath.jobs.batch.whole_run import RUNNERS, predict_in_shards
    from goldpath.learning.threads import usable_cores
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    contract = load_contract(settings.root)
    place = RUNNERS[runner.value](at_once or min(shards, usable_cores()))
    show(predict_in_shards(settings, contract, run_id, shards, place, days), as_json)
