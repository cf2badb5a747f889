"""Flow control of a connection on which much arrives: others have their turns meanwhile."""

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl

PART = 65_536
"""Bytes of a request in memory that Uvicorn gets in one turn of the event loop."""


class PartedFlow(FlowControl):
    """Reads megabytes in parts, of which each takes a turn of the event loop.

    libuv reads all that is there, up to 8 MB, before it looks at another connection; `rest` ends
    that. A request that was kept until it was whole gets to Uvicorn in parts, too, the next when
    the app asks for it: an app that refuses the request has been given little of it.

    Args:
        transport: The connection.
        loop: Its event loop.
        take: Gets each part.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[bytes], None],
    ) -> None:
        super().__init__(transport)
        self._loop = loop
        self._take: Callable[[bytes], None] | None = take
        self._parts = memoryview(b"")
        self._is_due = False
        self._is_resting = False

    @property
    def is_passing(self) -> bool:
        """Whether parts are left."""
        return len(self._parts) > 0

    def pass_on(self, data: bytes) -> None:
        """Give the first part; nothing is read from the connection until the last one is given."""
        self.pause_reading()
        self._parts = memoryview(data)
        self._next()

    def rest(self, seconds: float = 0.0) -> None:
        """Read nothing until the next turn of the event loop, or for some time."""
        if self._is_resting:
            return
        if not self.read_paused:
            self._transport.pause_reading()
        self._is_resting = True
        if seconds:
            self._loop.call_later(seconds, self._go_on)
        else:
            self._loop.call_soon(self._go_on)

    def pause_reading(self) -> None:
        """Read nothing until `resume_reading`."""
        if self._is_resting:
            self.read_paused = True
        else:
            super().pause_reading()

    def resume_reading(self) -> None:
        """Give the next part, or read on where there is none."""
        if self.is_passing:
            if not self._is_due:
                self._is_due = True
                self._loop.call_soon(self._next)
        elif self._is_resting:
            self.read_paused = False
        else:
            super().resume_reading()

    def end(self) -> None:
        """Forget what is left: the connection is gone."""
        self._parts, self._take = memoryview(b""), None

    def _next(self) -> None:
        self._is_due = False
        if self._take is None or self._transport.is_closing():
            self.end()
            return
        part, self._parts = self._parts[:PART], self._parts[PART:]
        self._take(bytes(part))

    def _go_on(self) -> None:
        self._is_resting = False
        if not self.read_paused and not self._transport.is_closing():
            self._transport.resume_reading()
