"""The command `automl`."""

from typing import Annotated

import typer


def automl(
    budget: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds for the search; automl.budget_seconds if not given."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="At most so many; without --budget no clock decides anything."),
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many share the search; automl.processes.")
    ] = None,
    latency_ms: Annotated[
        float | None,
        typer.Option(min=0.01, help="For one row, before compiling; automl.latency_ms."),
    ] = None,
    run_id: Annotated[
        str | None, typer.Option(help="Name of this run; a second call with it changes nothing.")
    ] = None,
    promote: Annotated[
        bool, typer.Option("--promote", help="Then try it over HTTP and ask the gate for champion.")
    ] = False,
    job: Annotated[
        str | None, typer.Option(hidden=True, help="Run a job that the service has accepted.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON.")] = False,
) -> None:
    """Search all model families within a budget; evaluate and register the best ensemble."""
    from goldpath.presentation import as_plain, show
    from goldpath.settings import load_settings

    settings = load_settings()
    if job is not None:
        from goldpath.jobs.training.automl_job import run_job

        show(run_job(settings, job), as_json)
        return
    from goldpath.contract import load_contract
    from goldpath.jobs.training.automl import run_automl

    contract = load_contract(settings.root)
    result = run_automl(
        settings,
        contract,
        budget,
        trials=trials,
        processes=processes,
        latency_ms=latency_ms,
        run_key=run_id,
    )
    if not promote:
        show(result, as_json)
        return
    if not as_json:
        show(result, as_json)
    from goldpath.jobs.training.deployment import deploy

    gate = deploy(settings, contract, result.model_version)
    show(gate if not as_json else {**as_plain(result), "promotion": as_plain(gate)}, as_json)
