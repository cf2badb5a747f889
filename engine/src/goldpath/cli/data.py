"""The commands under `data`: the lake, its versions, its privacy and its page."""

from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from goldpath.jobs.data.refresh import DataResult
    from goldpath.jobs.data.source_tables import SourceResult

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
TABLE = "A layer (bronze, silver, quarantine, gold, predictions) or layer.table."
SNAPSHOT = "A snapshot's number, previous, current, or run:<training run>."

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
    only: Annotated[
        str | None,
        typer.Option(
            help="Bronze and silver of this further source; or the main table's name: all of its "
            "layers, from the further sources as they are in the lake."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Run bronze, silver and gold; the sample is generated where the contract asks for it.

    Only what changed is computed. With --from or --to, the intervals of that period are made anew.
    """
    if context.invoked_subcommand is not None:
        return
    if start is not None and end is not None and start >= end:
        raise typer.BadParameter(f"--to {end:%Y-%m-%d} is not after --from {start:%Y-%m-%d}")
    from goldpath.contract import load_contract
    from goldpath.jobs.data.refresh import refresh_all, refresh_source_alone
    from goldpath.jobs.data.report import write_figures, write_source_figures
    from goldpath.presentation import show
    from goldpath.settings import load_settings
    from goldpath.source_contract import load_sources

    settings = load_settings()
    contract = load_contract(settings.root)
    period = _day(start), _day(end)
    if only and only != contract.base:
        alone = refresh_source_alone(settings, contract, only, *period)
        sources = {each.dataset: each for each in load_sources(settings.root, contract.base)}
        write_source_figures(settings, sources[only], alone)
        show(alone, as_json)
        return
    result = refresh_all(settings, contract, *period, further_sources=not only)
    write_figures(settings, contract, result)
    show(result if as_json else for_people(result), as_json)


@app.command()
def versions(
    table: Annotated[str | None, typer.Argument(help=TABLE)] = None, as_json: Json = False
) -> None:
    """List the snapshots of a table, or of all: number, time, rows, tags."""
    from goldpath.contract import load_contract
    from goldpath.jobs.data.versions import list_versions, show_versions
    from goldpath.settings import load_settings

    settings = load_settings()
    show_versions(list_versions(settings, load_contract(settings.root), table), as_json)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help=SNAPSHOT)] = "previous",
    after: Annotated[str, typer.Argument(help=SNAPSHOT)] = "current",
    table: Annotated[str, typer.Option(help=TABLE)] = "gold",
    as_json: Json = False,
) -> None:
    """Say which rows came, went and changed between two snapshots, and in which columns."""
    from goldpath.contract import load_contract
    from goldpath.jobs.data.versions import diff_snapshots
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    contract = load_contract(settings.root)
    show(diff_snapshots(settings, contract, table, before, after), as_json)


@app.command()
def rollback(
    table: Annotated[str, typer.Argument(help=TABLE)],
    snapshot: Annotated[str, typer.Argument(help=SNAPSHOT)],
    as_json: Json = False,
) -> None:
    """Make a former snapshot of a table the current one; nothing is deleted."""
    from goldpath.contract import load_contract
    from goldpath.jobs.data.versions import rollback as roll_back
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(roll_back(settings, load_contract(settings.root), table, snapshot), as_json)


@app.command()
def maintain(as_json: Json = False) -> None:
    """Rewrite small files into large ones, and expire old snapshots that carry no tag."""
    from goldpath.jobs.data.versions import maintain as look_after
    from goldpath.jobs.data.versions import show_maintenance
    from goldpath.settings import load_settings

    show_maintenance(look_after(load_settings()), as_json)


@app.command()
def report(as_json: Json = False) -> None:
    """Write reports/data.html: lineage, accounts by interval, quarantine, freshness, columns."""
    from goldpath.contract import load_contract
    from goldpath.jobs.data.report import write_data_report
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(write_data_report(settings, load_contract(settings.root)), as_json)


@app.command()
def forget(
    entity_id: Annotated[str, typer.Argument(help="The person, by the contract's entity.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only say what goes.")] = False,
    reason: Annotated[str, typer.Option(help="For the audit record, such as a ticket.")] = "",
    as_json: Json = False,
) -> None:
    """Remove a person from every layer, snapshot, store and log (LGPD, GDPR)."""
    from goldpath.contract import load_contract
    from goldpath.jobs.privacy.forgetting import forget as erase
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings(model="")  # a person is in the rows of all models
    contract = load_contract(settings.root, "")
    result = erase(settings, contract, entity_id, yes=yes, reason=reason)
    show(result, as_json)
    raise typer.Exit(result.exit_code)


@app.command()
def export(
    entity_id: Annotated[str, typer.Argument(help="The person, by the contract's entity.")],
    output: Annotated[Path, typer.Option(help="JSON file to write.")] = Path("person.json"),
    as_json: Json = False,
) -> None:
    """Write everything that is held about a person to one JSON file."""
    from goldpath.contract import load_contract
    from goldpath.jobs.privacy.person_export import export_person
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings(model="")  # a person is in the rows of all models
    show(export_person(settings, load_contract(settings.root, ""), entity_id, output), as_json)


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


def for_people(result: "DataResult") -> dict[str, Any]:
    """The same as `data` prints it: further sources and models in a sentence each."""
    sources = {name: _account(each) for name, each in result.sources.items()}
    return asdict(result) | {
        "sources": sources,
        "models": {name: _account(each) for name, each in result.models.items()},
    }


def _account(rows: "DataResult | SourceResult") -> str:
    """What became of a table's rows; what happened to none of them is left out."""
    from goldpath.jobs.data.source_tables import SourceResult

    said = [f"{rows.silver_rows:,} of {rows.bronze_rows:,} rows fulfil the contract"]
    reasons = "; ".join(f"{why}: {count:,}" for why, count in rows.quarantine_reasons.items())
    counts = {f"quarantined ({reasons})": rows.quarantined_rows, "duplicate": rows.duplicate_rows}
    if isinstance(rows, SourceResult):
        counts |= {"forgotten": rows.forgotten_rows, "no longer held": rows.rows_no_longer_held}
    else:
        labels = rows.labels
        counts |= {"left out of gold": rows.left_out_rows}
        counts |= {"without a label yet": labels.unlabelled if labels else 0}
    return ", ".join(said + [f"{count:,} {what}" for what, count in counts.items() if count])
