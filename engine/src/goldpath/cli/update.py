"""The commands that bring a project to a newer template and engine."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def migrate(
    write: Annotated[
        bool, typer.Option("--apply/--dry-run", help="Write the files; otherwise show the changes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring config/ and .env to what this engine reads; a dry run exits 1 if they are not."""
    from goldpath.presentation import show
    from goldpath.services.migrations import migrate as migrate_files
    from goldpath.settings import project_root

    migration = migrate_files(project_root(), write)
    if as_json:
        show(migration, as_json)
    elif not migration.changes:
        print("Nothing to do: config/ and .env are in the form that this engine reads.")
    else:
        for change in migration.changes:
            print(f"{change.file}: {'; '.join(change.reasons)}\n{change.diff}\n")
        print("Written." if migration.applied else "To write this: make migrate ARGS=--apply")
    raise typer.Exit(1 if migration.changes and not migration.applied else 0)
