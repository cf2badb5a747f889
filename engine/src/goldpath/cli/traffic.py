"""The commands under `traffic`: which version answers which part of the requests."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Name = Annotated[
    str | None, typer.Option("--model", help="Another registered model than the contract's.")
]
Reference = Annotated[
    str, typer.Argument(help="Number, alias, stage or semantic version: 3, staging, 1.4.2.")
]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Try a version beside the champion: for a share of the requests, or unseen.",
)


@app.command()
def show(model: Name = None, as_json: Json = False) -> None:
    """Show champion, challenger and the challenger's share."""
    from goldpath.cli.audit import open_manager
    from goldpath.jobs.promotion.traffic import traffic_state
    from goldpath.presentation import show as show_result

    show_result(traffic_state(open_manager(model)), as_json)


@app.command()
def split(
    reference: Reference,
    percent: Annotated[float, typer.Argument(min=0, max=100, help="Of the requests.")],
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Let it score the champion's requests, too.")
    ] = False,
    model: Name = None,
    as_json: Json = False,
) -> None:
    """Let a version answer a share of the requests; services follow within seconds."""
    from goldpath.cli.audit import open_manager
    from goldpath.jobs.promotion.traffic import direct_traffic
    from goldpath.presentation import show as show_result
    from goldpath.registry.traffic_plan import TrafficPlan

    plan = TrafficPlan(percent / 100, shadow)
    show_result(direct_traffic(open_manager(model), reference, plan), as_json)


@app.command()
def shadow(reference: Reference, model: Name = None, as_json: Json = False) -> None:
    """Let a version score what the champion answers, without anybody seeing its answers."""
    from goldpath.cli.audit import open_manager
    from goldpath.jobs.promotion.traffic import direct_traffic
    from goldpath.presentation import show as show_result
    from goldpath.registry.traffic_plan import TrafficPlan

    show_result(direct_traffic(open_manager(model), reference, TrafficPlan(shadow=True)), as_json)


@app.command()
def stop(model: Name = None, as_json: Json = False) -> None:
    """Let the champion answer everything again."""
    from goldpath.cli.audit import open_manager
    from goldpath.jobs.promotion.traffic import stop_traffic
    from goldpath.presentation import show as show_result

    show_result(stop_traffic(open_manager(model)), as_json)
