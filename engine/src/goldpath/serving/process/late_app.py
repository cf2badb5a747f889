"""An app that is made while the service already answers without it."""

import asyncio
import logging
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HEAD_START_SECONDS = 0.02
"""Requests that waited for the service are answered before the import competes with them."""

log = logging.getLogger(__name__)


class LateApp:
    """Makes an app in a thread, as soon as the service is up; who needs it waits for it (ASGI).

    The server must tell it that it starts, as ASGI's lifespan has it.

    Args:
        make: Imports and makes it. It has no lifespan of its own to be told about.
        running: What holds while the service runs.
        on_failure: Called where the app cannot be made.
    """

    def __init__(
        self,
        make: "Callable[[], ASGIApp]",
        running: Callable[[], AbstractAsyncContextManager[None]],
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self._make = make
        self._running = running
        self._on_failure = on_failure
        self._app: Future[ASGIApp] = Future()
        self._app.set_running_or_notify_cancel()  # a client that goes away must not cancel it

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Wait for the app and let it answer."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        made = self._app
        app = made.result() if made.done() else await asyncio.wrap_future(made)
        await app(scope, receive, send)

    async def _live(self, receive: "Receive", send: "Send") -> None:
        """From the server's word that it starts to its word that it stops."""
        await receive()
        is_up = False
        try:
            async with self._running():
                maker = threading.Thread(target=self._work, name="app", daemon=True)
                maker.start()
                is_up = True
                await send({"type": "lifespan.startup.complete"})
                await receive()
                await asyncio.to_thread(maker.join)  # an import cannot be stopped half-way
        except BaseException:
            step = "shutdown" if is_up else "startup"
            await send({"type": f"lifespan.{step}.failed", "message": traceback.format_exc()})
            raise
        await send({"type": "lifespan.shutdown.complete"})

    def _work(self) -> None:
        time.sleep(HEAD_START_SECONDS)
        try:
            self._app.set_result(self._make())
        except Exception as error:
            log.exception("the app cannot be made")
            self._app.set_exception(error)
            self._on_failure()
