"""The commands under `registry webhook`: MLflow's webhooks, and a relay for them."""

from typing import Annotated

import typer

from goldpath.cli.audit import open_manager, open_settings

Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object.")]

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="MLflow's webhooks, and a relay for them."
)


@app.command("create")
def create_webhook(
    name: Annotated[str, typer.Argument(help="Its name.")],
    url: Annotated[str, typer.Argument(help="Where the server sends its messages.")],
    event: Annotated[list[str], typer.Option(help="Such as model_version_alias.created.")],
    as_json: Json = False,
) -> None:
    """Let the MLflow server call a URL; the secret is registry.webhook_secret."""
    from goldpath.presentation import show as show_result

    manager = open_manager(None)
    secret = manager.settings.registry.webhook_secret.get_secret_value() or None
    made = manager.create_webhook(name, url, event, secret)
    show_result({"webhook": made.webhook_id, "name": made.name, "url": made.url}, as_json)


@app.command("list")
def list_webhooks(as_json: Json = False) -> None:
    """List the MLflow server's webhooks."""
    from goldpath.jobs.promotion.registry_view import webhook_rows
    from goldpath.presentation import show_list

    show_list("webhooks", webhook_rows(open_manager(None)), "Webhooks", as_json)


@app.command("test")
def try_webhook(
    webhook: Annotated[str, typer.Argument(help="Its id.")], as_json: Json = False
) -> None:
    """Let the server send a trial message; exit 1 where the receiver does not take it."""
    from goldpath.presentation import show as show_result

    answer = open_manager(None).try_webhook(webhook)
    show_result(
        {
            "success": answer.success,
            "status": answer.response_status,
            "error": answer.error_message or "",
        },
        as_json,
    )
    raise typer.Exit(0 if answer.success else 1)


@app.command("delete")
def delete_webhook(
    webhook: Annotated[str, typer.Argument(help="Its id.")], as_json: Json = False
) -> None:
    """Remove a webhook."""
    from goldpath.presentation import show as show_result

    open_manager(None).delete_webhook(webhook)
    show_result({"webhook": webhook, "state": "deleted"}, as_json)


@app.command("relay")
def relay(
    host: Annotated[str, typer.Option(help="Address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port.")] = 8090,
    as_json: Json = False,
) -> None:
    """Pass MLflow's messages on to registry.webhook_url as JSON, to Slack or Teams; Ctrl-C ends."""
    import contextlib

    from goldpath.presentation import print_json, step
    from goldpath.services.webhook_relay import WebhookRelay

    with (
        WebhookRelay(open_settings(), host, port) as server,
        contextlib.suppress(KeyboardInterrupt),
    ):
        if as_json:
            print_json({"url": server.url})
        else:
            step(f"relay: listening on {server.url}")
        server.serve_forever()
