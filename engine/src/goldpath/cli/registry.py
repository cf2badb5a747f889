"""The commands under `registry`: versions, aliases, stages, promotion, audit, backup.

None of them imports MLflow where HTTP or SQLite does, so that looking costs less than a second.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from goldpath.cli.audit import app as audit_app
from goldpath.cli.audit import open_manager, open_settings
from goldpath.cli.backup import collect_garbage, make_backup, restore_backup
from goldpath.cli.webhook import app as webhook_app

if TYPE_CHECKING:
    from goldpath.registry.mlflow_manager import MLflowManager

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
Name = Annotated[
    str | None, typer.Option("--model", help="Another registered model than the contract's.")
]
Reference = Annotated[
    str, typer.Argument(help="Number, alias, stage or semantic version: 3, champion, 1.4.2.")
]
Force = Annotated[bool, typer.Option("--force", help="Although an alias points at it.")]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Versions of the model: who is champion, who made it so, and back again.",
)
app.add_typer(audit_app, name="audit")
app.add_typer(webhook_app, name="webhook")


@app.command("list")
def list_versions(
    model: Name = None,
    stage: Annotated[str | None, typer.Option(help="Only versions in this stage.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag: KEY=VALUE.")] = None,
    text: Annotated[str, typer.Option(help="Only with this text in the description.")] = "",
    every: Annotated[bool, typer.Option("--all", help="The registered models instead.")] = False,
    as_json: Json = False,
) -> None:
    """List the versions, or search them; --all lists the registered models."""
    from goldpath.jobs.promotion.registry_view import model_rows, version_rows
    from goldpath.presentation import show_list

    manager = open_manager(model)
    if every:
        return show_list("models", model_rows(manager, text), "Registered models", as_json)
    rows = version_rows(manager.search_versions(_pairs(tag), stage, text))
    return show_list("versions", rows, manager.model_name, as_json)


@app.command()
def show(
    reference: Annotated[str | None, typer.Argument(help="As in `load`; the champion.")] = None,
    model: Name = None,
    as_json: Json = False,
) -> None:
    """Show one version: aliases, stage, metrics, data, signature."""
    _show_version(open_manager(model), reference or "champion", as_json)


@app.command()
def compare(first: Reference, second: Reference, model: Name = None, as_json: Json = False) -> None:
    """Compare two versions: metrics, data, parameters, tags; what differs is marked."""
    from goldpath.presentation import as_plain, print_json, show_rows

    found = open_manager(model).compare_versions(first, second)
    if as_json:
        return print_json(as_plain(found))
    return show_rows(found.rows, f"version {found.first} and version {found.second}")


@app.command()
def promote(
    version: Annotated[str | None, typer.Argument(help="Number; the newest if not given.")] = None,
    alias: Annotated[str, typer.Option(help="champion or challenger.")] = "champion",
    expect: Annotated[
        str | None,
        typer.Option(help="Refuse unless this version has the alias now (none: no version)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask the gate; move the alias if every check passes. Exit 1 if not, or if it was moved."""
    from goldpath.jobs.promotion import promote as promotion
    from goldpath.presentation import show as show_result

    settings = open_settings()
    contract = open_manager(None, settings).contract
    show_result(promotion.promote(settings, contract, version, expect, alias), as_json)


@app.command()
def rollback(
    to: Annotated[str | None, typer.Option(help="A former champion's number.")] = None,
    as_json: Json = False,
) -> None:
    """Make the former champion champion again, at once and without the gate."""
    from goldpath.jobs.promotion import rollback as rollbacks
    from goldpath.presentation import show as show_result

    settings = open_settings()
    contract = open_manager(None, settings).contract
    show_result(rollbacks.rollback(settings, contract, to), as_json)


@app.command()
def stage(
    version: Annotated[str, typer.Argument(help="Number.")],
    stage: Annotated[str, typer.Argument(help="None, Staging, Production or Archived.")],
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the versions that are in that stage (A/B).")
    ] = False,
    model: Name = None,
    as_json: Json = False,
) -> None:
    """Bring a version into a stage without asking the gate; recorded."""
    manager = open_manager(model)
    manager.transition_stage(version, stage, archive_existing=not keep)
    _show_version(manager, version, as_json)


@app.command()
def archive(
    version: Annotated[str, typer.Argument(help="Number.")],
    model: Name = None,
    as_json: Json = False,
) -> None:
    """Archive a version; the champion cannot be."""
    manager = open_manager(model)
    manager.archive(version)
    _show_version(manager, version, as_json)


@app.command()
def tag(
    reference: Reference,
    tags: Annotated[list[str] | None, typer.Argument(help="KEY=VALUE …")] = None,
    remove: Annotated[list[str] | None, typer.Option(help="KEY to remove.")] = None,
    describe: Annotated[str | None, typer.Option(help="The description.")] = None,
    model: Name = None,
    as_json: Json = False,
) -> None:
    """Set or remove tags of a version, or describe it; recorded."""
    manager = open_manager(model)
    version = manager.find(reference).version
    manager.annotate(version, _pairs(tags), tuple(remove or ()), describe)
    _show_version(manager, version, as_json)


@app.command()
def history(
    model: Name = None,
    version: Annotated[str | None, typer.Option(help="Only this version.")] = None,
    last: Annotated[int, typer.Option(min=1, help="At most so many records.")] = 50,
    as_json: Json = False,
) -> None:
    """Show who did what, from the audit log."""
    from goldpath.jobs.promotion.registry_view import history_rows
    from goldpath.presentation import show_list

    manager = open_manager(model)
    rows = history_rows(manager.settings, manager.model_name, version)[-last:]
    show_list("records", rows, f"History of {manager.model_name}", as_json)


@app.command()
def verify(
    reference: Annotated[str, typer.Argument(help="Number, alias, stage …")] = "champion",
    model: Name = None,
    as_json: Json = False,
) -> None:
    """Check a version's files, documents and report: exit 2 if they are not what was signed."""
    from goldpath.jobs.promotion.registry_audit import record_of
    from goldpath.presentation import show as show_result

    manager = open_manager(model)
    version = manager.find(reference)
    found = manager.verify_signature(version)
    show_result(
        {
            "model": version.name,
            "version": version.version,
            "signed_as": found.subject,
            "key": found.key_id,
            "files": len(found.files),
            "documents": sorted(found.documents or ()),
            "digest": found.digest,
            "registered": record_of(manager.settings, version, found),
        },
        as_json,
    )


@app.command()
def sign(
    reference: Reference = "champion",
    every: Annotated[bool, typer.Option("--all", help="All versions of the model.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Although nothing says which files were registered.")
    ] = False,
    model: Name = None,
    as_json: Json = False,
) -> None:
    """Sign a version again whose signature names no version or was overwritten; compares its files.

    With --all, exit 1 if any version could not be signed.
    """
    from goldpath.errors import ProjectError
    from goldpath.presentation import show as show_result

    manager = open_manager(model)
    signed: list[str] = []
    refused: dict[str, str] = {}
    for version in manager.versions() if every else [manager.find(reference)]:
        try:
            manager.files.renew(version, force=force)
            signed.append(version.version)
        except ProjectError as error:
            if not every:
                raise
            refused[version.version] = str(error)
    shown = {"model": manager.model_name, "signed": ", ".join(signed)}
    show_result({**shown, "not_signed": refused} if refused else shown, as_json)
    if refused:
        raise typer.Exit(1)


@app.command()
def keygen(
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Set the key that is there aside; it stays trusted.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the key that models are signed with; refused where there is one."""
    from goldpath.presentation import show as show_result
    from goldpath.trust.signing_keys import keygen as make_key

    settings = open_settings()
    made = make_key(settings, rotate=rotate)
    show_result(
        {
            "key": made.key_id,
            "private_file": settings.shown(made.private_file) if made.private_file else "",
            "public_file": settings.shown(made.public_file),
            "next": "commit the public file; give the private one only to what registers models",
        },
        as_json,
    )


@app.command()
def delete(
    version: Annotated[str | None, typer.Argument(help="Number; or --whole.")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="The model, all versions.")] = False,
    force: Force = False,
    model: Name = None,
    as_json: Json = False,
) -> None:
    """Delete a version, or the whole model; refused while an alias points at it; recorded."""
    from goldpath.errors import ProjectError
    from goldpath.presentation import show as show_result

    if whole == (version is not None):
        raise ProjectError("give a version or --whole", "registry delete 3")
    manager = open_manager(model)
    if version is None:
        manager.delete_model(force=force)
    else:
        manager.delete_version(version, force=force)
    show_result({"model": manager.model_name, "deleted": version or "all versions"}, as_json)


@app.command()
def rename(
    name: Annotated[str, typer.Argument(help="The new name.")],
    model: Name = None,
    as_json: Json = False,
) -> None:
    """Rename the registered model; its versions are signed anew for the name."""
    from goldpath.presentation import show as show_result

    manager = open_manager(model)
    before = manager.model_name
    manager.rename(name)
    show_result({"model": name, "before": before}, as_json)


@app.command("copy")
def copy_to(
    reference: Reference,
    to: Annotated[str | None, typer.Option(help="Another registered model.")] = None,
    registry: Annotated[str | None, typer.Option(help="Another registry's tracking URI.")] = None,
    model: Name = None,
    as_json: Json = False,
) -> None:
    """Copy a version to another registered model or another registry, with run and files."""
    manager = open_manager(model)
    target = manager.at(registry) if registry else manager
    target = target.named(to) if to else target
    copied = manager.copy(reference, target)
    _show_version(target, copied.version, as_json)


app.command("gc")(collect_garbage)
app.command("backup")(make_backup)
app.command("restore")(restore_backup)


def _show_version(manager: "MLflowManager", reference: str, as_json: bool) -> None:
    from goldpath.jobs.promotion.registry_view import short_view, version_view
    from goldpath.presentation import show as show_result

    view = version_view(manager, reference)
    show_result(view if as_json else short_view(view), as_json)


def _pairs(items: list[str] | None) -> dict[str, str]:
    from goldpath.errors import ProjectError

    pairs = dict(item.partition("=")[::2] for item in items or ())
    if any("=" not in item for item in items or ()):
        raise ProjectError("a tag is KEY=VALUE", "registry tag 3 team=data-science")
    return pairs
