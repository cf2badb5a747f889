"""The commands that change a project's own files: a newer template, and the example taken out."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from goldpath.services.template.update import TemplateUpdate

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]


def template_update(
    template: Annotated[
        str | None, typer.Option(help="Address of the template; the recorded one if not given.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(help="Branch, tag or commit; the newest if not given.")
    ] = None,
    drop_patch: Annotated[
        bool, typer.Option("--drop-patch", help="Replace a patched engine by the released one.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Bring a newer version of the template into this project; exit 1 if files conflict."""
    from goldpath.presentation import show
    from goldpath.services.template.update import update_project
    from goldpath.settings import project_root

    update = update_project(project_root(), template, to, drop_patch)
    if as_json:
        show(update, as_json)
    else:
        _print(update)
    raise typer.Exit(1 if update.conflicts else 0)


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


def _print(update: "TemplateUpdate") -> None:
    """Files first, then what a person must finish, then the commands to run."""
    if update.before == update.after:
        print(f"Nothing to do: the project is at the template's {update.after}.")
        return
    print(f"Template: {update.before} -> {update.after}")
    for line in update.changed:
        print(f"  {line}")
    if update.left_out:
        print("Changed in the template, but not in this project any more:")
        for path in update.left_out:
            print(f"  {path}")
    if update.conflicts:
        print(f"Conflicts: finish {len(update.conflicts)} by hand.")
        for path in update.conflicts:
            how = (
                "apply these hunks to the file of that name, then delete this one"
                if path.endswith(".rej")
                else "choose between the marked lines, then: git add"
            )
            print(f"  {path}: {how}")
    print(f"Next: {', '.join(update.next_steps)}. To take it back: git reset --hard")


def eject_example(as_json: Json = False) -> None:
    """Take the churn example out; its places stay for your own code. Git keeps what goes."""
    from goldpath.presentation import show
    from goldpath.services.template import ejection
    from goldpath.settings import load_settings

    settings = load_settings()
    show(ejection.eject_example(settings.root, settings.project.name), as_json)
