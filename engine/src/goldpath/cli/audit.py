"""The commands under `registry audit`: the audit log."""

from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from goldpath.registry.mlflow_manager import MLflowManager
    from goldpath.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="The audit log (`docs registry`)."
)


@app.command("verify")
def verify_audit(as_json: Json = False) -> None:
    """Find changed or missing records, and changes made without this project; exit 1 if any."""
    from goldpath.jobs.promotion.registry_audit import verify_audit as verify_log
    from goldpath.presentation import show as show_result

    settings = open_settings()
    report = verify_log(settings, open_manager(None, settings).contract)
    show_result(report, as_json)
    raise typer.Exit(0 if report.intact else 1)


@app.command("champion")
def champion_on(
    date: Annotated[str, typer.Argument(help="A day (its end) or a moment, in UTC.")],
    as_json: Json = False,
) -> None:
    """Say which version was champion on a date, since when and who made it so."""
    from goldpath.errors import ProjectError
    from goldpath.jobs.promotion.registry_audit import champion_at
    from goldpath.presentation import show as show_result

    try:
        moment = datetime.fromisoformat(date)
        if len(date) <= len("2026-11-21"):
            moment = datetime.combine(moment, time.max)
    except ValueError as error:
        raise ProjectError(
            f"{date!r} is not a date", "write 2026-11-21 or 2026-11-21T15:30"
        ) from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    settings = open_settings()
    contract = open_manager(None, settings).contract
    show_result(champion_at(settings, contract, moment), as_json)


def open_settings() -> "Settings":
    """The project's settings."""
    from goldpath.settings import load_settings

    return load_settings()


def open_manager(model: str | None, settings: "Settings | None" = None) -> "MLflowManager":
    """The registry; of another model than the contract's where one is named."""
    from goldpath.contract import load_contract
    from goldpath.registry.mlflow_manager import MLflowManager

    settings = settings or open_settings()
    return MLflowManager(settings, load_contract(settings.root), model)
