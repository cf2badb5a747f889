"""The commands under `features`: the feature store."""

from datetime import datetime
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Feature views, and the online store that /predict reads by key.",
)


@app.command("list")
def list_views(as_json: Json = False) -> None:
    """List the feature views, their owners and how many entities are online."""
    from goldpath.contract import load_contract
    from goldpath.features.feature_store import FeatureStore
    from goldpath.lake.connection import open_lakehouse
    from goldpath.presentation import as_plain, show
    from goldpath.settings import load_settings

    settings = load_settings()
    store = FeatureStore(settings, load_contract(settings.root), open_lakehouse(settings))
    views = store.summaries()
    if as_json:
        return show({view.name: as_plain(view) for view in views}, as_json)
    for view in views:
        show(view, as_json)
    return None


@app.command()
def materialize(
    start: Annotated[
        datetime | None,
        typer.Option("--from", formats=FORMATS, help="Only rows from this moment on (UTC)."),
    ] = None,
    end: Annotated[
        datetime | None,
        typer.Option("--to", formats=FORMATS, help="Only rows up to this moment (UTC)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the newest features of each entity, and what its windows hold, to the online store."""
    from goldpath.contract import load_contract
    from goldpath.jobs.upkeep.materialization import materialize_all as bring_up_to_date
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    show(bring_up_to_date(settings, load_contract(settings.root), start, end), as_json)


@app.command()
def get(
    key: Annotated[str, typer.Argument(help="The entity.")],
    as_json: Json = False,
) -> None:
    """Show what the online store knows about one entity; exit 1 where it does not know it."""
    from goldpath.contract import load_contract
    from goldpath.features.serving import OnlineReader
    from goldpath.presentation import show
    from goldpath.settings import load_settings

    settings = load_settings()
    found = OnlineReader(settings, load_contract(settings.root)).get([key])[0]
    show(found, as_json)
    raise typer.Exit(0 if found.found else 1)
