"""Tells every worker of this machine to look at the registry now, instead of at its next turn."""

import secrets
import threading
import time
from pathlib import Path

LOOK_SECONDS = 0.25


class RefreshBell:
    """A file; who rings writes something new into it.

    Args:
        file: Need not exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._heard = self._read()

    def ring(self) -> None:
        """Wake all who wait; also those in other processes."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        part = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}")
        part.write_text(secrets.token_hex(16), encoding="ascii")
        part.replace(self._file)

    def wait(self, seconds: float, stopping: threading.Event) -> None:
        """Wait until somebody rings, the time has passed, or `stopping` is set."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if stopping.wait(min(left, LOOK_SECONDS)):
                return
            now = self._read()
            if now != self._heard:
                self._heard = now
                return

    def _read(self) -> bytes:
        try:
            return self._file.read_bytes()
        except OSError:
            return b""
