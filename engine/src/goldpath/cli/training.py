"""The commands under `training`: the stages one by one, and the repetition of a former run."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
RunKey = Annotated[
    str, typer.Option("--run-id", help="Name of the training; the same for all of its stages.")
]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The six stages of a training one by one, each with the project's own steps before it; "
    "`train` does them all.",
)


@app.command()
def extract(run_id: RunKey, as_json: Json = False) -> None:
    """1. Pin and tag gold's snapshot; refuse a delivery that is mostly in quarantine."""
    _run_stage("extract", run_id, as_json)


@app.command()
def features(run_id: RunKey, as_json: Json = False) -> None:
    """2. Split the rows; refuse leaks and rows of the future."""
    _run_stage("features", run_id, as_json)


@app.command()
def train(run_id: RunKey, as_json: Json = False) -> None:
    """3. Search on the training rows; goes on where a killed search stopped."""
    _run_stage("train", run_id, as_json)


@app.command()
def evaluate(run_id: RunKey, as_json: Json = False) -> None:
    """4. Judge the winner on unseen rows, beside the baseline and the champion."""
    _run_stage("evaluate", run_id, as_json)


@app.command()
def register(run_id: RunKey, as_json: Json = False) -> None:
    """5. Sign and register the model with everything that belongs to it."""
    _run_stage("register", run_id, as_json)


@app.command()
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


@app.command()
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


@app.command()
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


def _run_stage(stage: str, run_id: str, as_json: bool) -> None:
    from goldpath.contract import load_contract
    from goldpath.jobs.training.stages import run_stage
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(run_stage(settings, load_contract(settings.root), stage, run_id), as_json)
