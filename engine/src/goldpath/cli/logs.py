"""The commands under `logs`: the prediction log, its way into the lake, and the labels."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="What the service predicted, and what turned out to be true.",
)


@app.command()
def status(as_json: Json = False) -> None:
    """Say what waits in the logs: segments, bytes, what the stream lacks, rows in the lake."""
    from goldpath.contract import load_contract
    from goldpath.jobs.upkeep.log_status import log_status
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(log_status(settings, load_contract(settings.root)), as_json)


@app.command()
def compact(
    seal: Annotated[
        bool, typer.Option(help="First have a running service seal what it writes to.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Move what was logged into the lake; a run that was killed is finished by the next one."""
    from goldpath.contract import load_contract
    from goldpath.jobs.upkeep.log_compaction import compact_logs
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(compact_logs(settings, load_contract(settings.root), seal=seal), as_json)


@app.command()
def ship(
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until Ctrl-C, beside the service.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Send what Kafka or Kinesis lacks; the service does so, too, while it runs."""
    from goldpath.jobs.upkeep.log_status import ship_log
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    show(ship_log(load_settings(), follow=follow), as_json)


@app.command()
def performance(
    days: Annotated[
        int | None, typer.Option(min=1, help="How far back; the settings' where not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare predictions with the labels that came back; exit 1 if quality has fallen."""
    from goldpath.contract import load_contract
    from goldpath.jobs.drift.live_performance import live_performance, show_performance
    from goldpath.settings import load_settings

    settings = load_settings()
    result = live_performance(settings, load_contract(settings.root), days)
    show_performance(result, as_json)
    raise typer.Exit(result.quality.exit_code)
