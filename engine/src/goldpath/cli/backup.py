"""The commands under `registry` that keep it: garbage collection, backup, restore."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from goldpath.cli.audit import open_manager, open_settings

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def collect_garbage(
    older_than: Annotated[float, typer.Option(min=0, help="Days since the run ended.")] = 30,
    purge: Annotated[bool, typer.Option("--purge", help="Do it; else only say what.")] = False,
    backend_store_uri: Annotated[
        str | None, typer.Option(help="The server's database, where MLflow is a server.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Purge deleted runs, but none behind a registered version."""
    from goldpath.presentation import show as show_result

    manager = open_manager(None)
    if purge:
        return show_result(manager.collect_garbage(older_than, backend_store_uri), as_json)
    return show_result(manager.garbage(older_than), as_json)


def make_backup(
    to: Annotated[
        Path | None, typer.Option(help="New folder or .tar; backups/registry-TIME.")
    ] = None,
    database: Annotated[str | None, typer.Option(help="The server's database.")] = None,
    artifacts: Annotated[Path | None, typer.Option(help="The server's files.")] = None,
    as_json: Json = False,
) -> None:
    """Save database, files and audit log; the registry may be in use."""
    from dataclasses import replace

    from goldpath.presentation import show as show_result
    from goldpath.services.backup import backup, project_registry

    settings = open_settings()
    place = project_registry(settings, database)
    place = replace(place, artifacts=artifacts) if artifacts else place
    name = f"registry-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    show_result(backup(place, to or settings.root / "backups" / name), as_json)


def restore_backup(
    source: Annotated[Path, typer.Argument(help="The backup.")],
    database: Annotated[str | None, typer.Option(help="The server's database.")] = None,
    artifacts: Annotated[Path | None, typer.Option(help="The server's files.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: Json = False,
) -> None:
    """Bring a backup back, here or in another project folder; verified before."""
    from dataclasses import replace

    from goldpath.presentation import show as show_result
    from goldpath.services.backup import project_registry, restore

    place = project_registry(open_settings(), database)
    place = replace(place, artifacts=artifacts) if artifacts else place
    show_result(restore(source, place, force=force), as_json)
