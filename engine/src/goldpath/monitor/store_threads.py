"""Reading the stores beside each other, so that one that does not answer holds up nothing else."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from goldpath.monitor.stores import Section, read_section

Value = TypeVar("Value")


@dataclass(frozen=True)
class Part(Generic[Value]):
    """A part of the page that a store says.

    Attributes:
        name: It, for messages.
        read: Reads it.
    """

    name: str
    read: Callable[[], Value]
    _found: "Future[Section[Value]]" = field(default_factory=Future, init=False, repr=False)

    def fill(self) -> None:
        """Read it now."""
        self._found.set_result(read_section(self.name, self.read))

    def by(self, deadline: float) -> Section[Value]:
        """What it says, or that it said nothing until then.

        Args:
            deadline: By `time.monotonic`.
        """
        try:
            return self._found.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            return self._nothing

    def give_up(self) -> None:
        """Say at once that it does not answer."""
        self._found.set_result(self._nothing)

    @property
    def _nothing(self) -> Section[Value]:
        return Section(
            problem=f"{self.name}: no answer in time", fix="look again, or see whether it runs"
        )


class StoreThreads:
    """A thread a store and look; a store that still owes an earlier answer is not asked again."""

    def __init__(self) -> None:
        self._asked: dict[str, threading.Thread] = {}

    def begin(self, store: str, *parts: Part[Any]) -> None:
        """Begin to read a store's parts, one after the other."""
        former = self._asked.get(store)
        if former is not None and former.is_alive():
            for part in parts:
                part.give_up()
            return

        def read() -> None:
            for part in parts:
                part.fill()

        # A thread that waits for a store must not keep a command from ending.
        thread = threading.Thread(target=read, name=f"the page reads {store}", daemon=True)
        self._asked[store] = thread
        thread.start()
