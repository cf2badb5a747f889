"""The commands `api-key`, `user` and `access`: who may ask the service, and what was done to them.

Passwords come from the terminal or from standard input, never as an argument, which every process
of the machine could read.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from goldpath.serving.access.store import AccessStore
    from goldpath.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]
RoleOption = Annotated[
    list[str] | None,
    typer.Option("--role", help="predict, label, admin, automl, read-metrics; repeat it for more."),
]

keys = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keys that callers of the service send as X-API-Key.",
)
users = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="People who get a token from the service with their password.",
)
access = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="What was done to keys and users; the keys that sign tokens.",
)


@keys.command("create")
def create_key(
    name: Annotated[str, typer.Argument(help="Who gets it: a program, a team.")],
    role: RoleOption = None,
    days: Annotated[float | None, typer.Option(help="Valid for so long; for ever.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key and print it, this once: only a hash of it is kept."""
    from goldpath.presentation import show

    with _opened() as (settings, store):
        made, text = store.create_key(name, _roles(role), days, _actor(settings))
    note = "keep it now: it cannot be shown again"
    show({"key": text, **made.shown(), "note": note}, as_json)


@keys.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the keys: whose, what for, until when, when last used."""
    from goldpath.presentation import show_list

    with _opened() as (_, store):
        found = store.all_keys()
    show_list("keys", [key.shown() for key in found], "API keys", as_json)


@keys.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(help="Its id; its name where it is the only one.")],
    as_json: Json = False,
) -> None:
    """Revoke a key; services refuse it within access.cache_seconds."""
    from goldpath.presentation import show

    with _opened() as (settings, store):
        gone = store.revoke_key(key, _actor(settings))
    show(gone.shown(), as_json)


@users.command("add")
def add_user(
    name: Annotated[str, typer.Argument(help="What the user logs in with.")],
    role: RoleOption = None,
    as_json: Json = False,
) -> None:
    """Add a user; the password is asked for, or read from standard input."""
    from goldpath.presentation import show

    password = _password()
    with _opened() as (settings, store):
        made = store.add_user(name, password, _roles(role), _actor(settings))
    show(made.shown(), as_json)


@users.command("list")
def list_users(as_json: Json = False) -> None:
    """List the users."""
    from goldpath.presentation import show_list

    with _opened() as (_, store):
        found = store.all_users()
    show_list("users", [user.shown() for user in found], "Users", as_json)


@users.command("disable")
def disable_user(
    name: Annotated[str, typer.Argument(help="Who.")],
    enable: Annotated[bool, typer.Option("--undo", help="Let the user in again.")] = False,
    as_json: Json = False,
) -> None:
    """Shut a user out: no new token, and those from before are void."""
    from goldpath.presentation import show

    with _opened() as (settings, store):
        changed = store.disable_user(name, _actor(settings), enable=enable)
    show(changed.shown(), as_json)


@users.command("password")
def change_password(
    name: Annotated[str, typer.Argument(help="Whose.")], as_json: Json = False
) -> None:
    """Set a new password; the user's tokens are void."""
    from goldpath.presentation import show

    password = _password()
    with _opened() as (settings, store):
        changed = store.set_password(name, password, _actor(settings))
    show(changed.shown(), as_json)


@access.command("audit")
def audit(
    last: Annotated[int, typer.Option(min=1, help="At most so many actions.")] = 50,
    as_json: Json = False,
) -> None:
    """Show who did what to keys and users; exit 1 where a line was changed or removed."""
    from goldpath.presentation import print_json, show_list
    from goldpath.serving.access.tables import faults

    with _opened() as (_, store):
        found = store.actions()
    wrong = faults(found)
    rows = [
        {
            "time": each.time[:19],
            "actor": each.actor,
            "action": each.action,
            "subject": each.subject,
            "details": each.details,
        }
        for each in found[-last:]
    ]
    if as_json:
        print_json({"actions": rows, "intact": not wrong, "faults": wrong})
    else:
        show_list("actions", rows, "Keys and users", as_json=False)
        for fault in wrong:
            typer.echo(fault, err=True)
    raise typer.Exit(1 if wrong else 0)


@access.command("rotate")
def rotate_token_key(
    at_once: Annotated[
        bool, typer.Option("--now", help="Tokens of the keys before are void at once.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a new key that signs tokens; those that are out live to their end."""
    from goldpath.presentation import show
    from goldpath.serving.access.tokens import keys_file, rotate

    with _opened() as (settings, store):
        made = rotate(settings, at_once=at_once)
        store.record(_actor(settings), "token key made", made.kid, {"at_once": at_once})
    show({"kid": made.kid, "file": settings.shown(keys_file(settings))}, as_json)


@contextmanager
def _opened() -> "Iterator[tuple[Settings, AccessStore]]":
    from goldpath.serving.access.store import open_or_make
    from goldpath.settings import load_settings

    settings = load_settings()
    store = open_or_make(settings)
    try:
        yield settings, store
    finally:
        store.close()


def _actor(settings: "Settings") -> str:
    from goldpath.trust.audit import actor

    return actor(settings)


def _roles(given: list[str] | None) -> list[str]:
    """Roles as they were given, also several in one word: predict,automl."""
    words = [word.strip() for each in given or ["predict"] for word in each.split(",")]
    return list(dict.fromkeys(filter(None, words)))


def _password() -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    chosen: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return chosen
