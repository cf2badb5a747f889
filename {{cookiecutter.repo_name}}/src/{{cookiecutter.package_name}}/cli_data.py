"""The commands under `data`: the lake, its versions, its privacy and its page."""

from datetime import date, datetime
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    help="Run bronze, silver and gold; the commands below look after what is there.",
)


@app.callback()
def refresh(
    context: typer.Context,
    start: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="Recompute from this day on …"),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], help="… up to the day before this one."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run bronze, silver and gold; the sample is generated where the contract asks for it.

    Only what changed is computed. With --from or --to, the intervals of that period are made anew.
    """
    if context.invoked_subcommand is not None:
        return
    from .contract import load_contract
    from .pipelines.data_engineering import refresh
    from .presentation import show
    from .settings import load_settings

    settings = load_settings()
    result = refresh(settings, load_contract(settings.root), _day(start), _day(end))
    show(result, as_json)


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()
