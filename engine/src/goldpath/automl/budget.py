"""What a search may spend, and the clock that it is measured with."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from goldpath.errors import ProjectError

CLOCKS = {"wall": time.monotonic, "cpu": time.process_time}
LEAST_SECONDS = 1.0
"""Below, the folds are hardly encoded before the time is over."""


@dataclass(frozen=True)
class Budget:
    """What one search may spend: seconds, configurations, or both.

    With `trials` alone no decision depends on a clock, so the same seed gives the same model.

    Attributes:
        seconds: For everything from the call to the returned model.
        clock: Wall time, or CPU time of this process (fair on a machine that others use, too).
        trials: The most configurations that are tried.

    Raises:
        ProjectError: If it has neither seconds nor trials, or less than one of them.

    Example:
        >>> from goldpath import Budget
        >>> Budget(seconds=60, trials=200)
        Budget(seconds=60, clock='wall', trials=200)
        >>> Budget()
        Traceback (most recent call last):
        goldpath.errors.ProjectError: a budget needs seconds or trials; neither was given
          Fix: say Budget(seconds=60)
    """

    seconds: float | None = None
    clock: Literal["wall", "cpu"] = "wall"
    trials: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is None and self.trials is None:
            raise ProjectError(
                "a budget needs seconds or trials; neither was given", "say Budget(seconds=60)"
            )
        if self.seconds is not None and not (0 < self.seconds < math.inf):
            raise ProjectError(
                f"the budget's seconds are {self.seconds}; expected a positive number",
                "say Budget(seconds=60)",
            )
        if self.seconds is not None and self.seconds < LEAST_SECONDS:
            raise ProjectError(
                f"a budget of {self.seconds:g} seconds; a search needs {LEAST_SECONDS:g} at least",
                "say Budget(seconds=60)",
            )
        if self.trials is not None and self.trials < 1:
            raise ProjectError(
                f"the budget's trials are {self.trials}; expected 1 or more",
                "say Budget(trials=20)",
            )
        if self.clock not in CLOCKS:
            raise ProjectError(
                f"the budget's clock is {self.clock!r}; expected 'wall' or 'cpu'",
                "say Budget(seconds=60, clock='wall')",
            )


class Stopwatch:
    """Runs from its creation; knows how much of the budget is left."""

    def __init__(self, budget: Budget) -> None:
        self._now = CLOCKS[budget.clock]
        self._started = self._now()
        self.timed = budget.seconds is not None
        self.seconds = math.inf if budget.seconds is None else budget.seconds

    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._now() - self._started

    def left(self) -> float:
        """Seconds that may still be spent; infinite without a limit."""
        return self.seconds - self.elapsed()

    def deadline(self, seconds: float) -> "Deadline":
        """A moment so many seconds from now, at the latest the budget's end."""
        return Deadline(self, self.elapsed() + min(seconds, self.left()))

    def never(self) -> "Deadline":
        """No limit."""
        return Deadline(self, math.inf)


@dataclass(frozen=True)
class Deadline:
    """A moment on a stopwatch, at which a fit stops with what it has."""

    stopwatch: Stopwatch
    at: float

    def left(self) -> float:
        """Seconds until then; negative afterwards."""
        return self.at - self.stopwatch.elapsed()

    def passed(self) -> bool:
        """Whether it is over."""
        return math.isfinite(self.at) and self.left() <= 0


@contextlib.contextmanager
def limited_threads(threads: int) -> Iterator[None]:
    """At most so many threads in the libraries below."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads):
        yield
