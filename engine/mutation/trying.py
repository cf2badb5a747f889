"""Try the mutants of a sample, on the tests that are most likely to notice them first."""

import math
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from mutation.measuring import Stages
from mutation.mutants import Mutant
from mutation.outcomes import TESTS_PASSED, Kept, Outcome
from mutation.rooms import ROOMS
from mutation.runner import PytestBrokeError, Runner
from mutation.seen import Seen, tests_of

STEPS = ((False, True), (True, True), (False, False), (True, False))
"""Whether the slow tests of a room are asked, and whether those that run the mutant, or the others.
All mutants of the sample take a step before the first takes the next."""


@dataclass
class Try:
    """A mutant on its way through the tests.

    Attributes:
        mutant: Which.
        outcome: What is known at its end; None until then, or where the minutes were over.
        steps: How many groups of tests it has passed.
        is_run: Whether a test runs its statement.
        is_broken: Whether it is no mutant, so that it does not count.
    """

    mutant: Mutant
    outcome: Outcome | None = None
    steps: int = 0
    is_run: bool = False
    is_broken: bool = False

    def is_due(self, step: int) -> bool:
        """Whether it has passed all steps before this one, and nothing noticed it."""
        return self.outcome is None and not self.is_broken and self.steps == step

    def end_after(self, step: int, *, quick: bool) -> None:
        """Call it a survivor where no further step is to be tried on it."""
        is_last = step + 1 == len(STEPS) or (quick and self.is_run and not STEPS[step + 1][1])
        if is_last and self.is_due(step + 1):
            self.outcome = Outcome(TESTS_PASSED)
            print(f"\n{self.mutant.difference()}", flush=True)


@dataclass(frozen=True)
class Tried:
    """What came of a sample.

    Attributes:
        outcomes: Of each mutant; None where the minutes were over, or where it is none.
        doubtful: The tests that noticed something, and fail without a mutant, too.
        ended: When the last mutant was tried, on the monotonic clock.
    """

    outcomes: list[Outcome | None]
    doubtful: set[str]
    ended: float


def try_all(
    chosen: Sequence[Mutant], kept: Kept, *, workers: int, end: float = math.inf, quick: bool
) -> Tried:
    """Try a sample.

    Args:
        chosen: Its mutants.
        kept: What was noticed before; what is noticed now is added.
        workers: How many processes run tests at the same time.
        end: No further mutant is begun then, on the monotonic clock.
        quick: Ask no test that does not run the mutant.
    """
    with tempfile.TemporaryDirectory() as folder:
        runners: SimpleQueue[Runner] = SimpleQueue()
        for number in range(workers):
            runners.put(Runner(Path(folder) / str(number)))
        with ThreadPoolExecutor(workers) as pool:
            stages = Stages()
            tries = [Try(each, kept.get(each)) for each in chosen]
            for number, (is_slow, runs_it) in enumerate(STEPS):
                left = [each for each in tries if each.is_due(number)]
                step = partial(
                    _try_one, runners, stages, kept, end, is_slow=is_slow, runs_it=runs_it
                )
                list(pool.map(step, left))
                for each in tries:
                    each.end_after(number, quick=quick)
            outcomes = [each.outcome for each in tries]
            ended = time.monotonic()
            doubtful = {
                test
                for room in ROOMS
                for test in _failing_anyway(runners, room, stages.known(room), chosen, outcomes)
            }
        for _ in range(workers):
            runners.get().close()
    return Tried(outcomes, doubtful, ended)


def _try_one(
    runners: SimpleQueue[Runner],
    stages: Stages,
    kept: Kept,
    end: float,
    tried: Try,
    *,
    is_slow: bool,
    runs_it: bool,
) -> None:
    """Try a mutant on the room's quick or slow tests, those that run it or the others."""
    mutant = tried.mutant
    if time.monotonic() > end:
        return
    runner = runners.get()
    try:
        seen = stages.of(mutant.room, runner, is_slow=is_slow)
        tests = tests_of(mutant, seen)
        tried.is_run = tried.is_run or bool(tests)
        likely = kept.likely(mutant, tests) if runs_it else []
        selection = tests if runs_it else seen.seconds.keys() - tests
        outcome = runner.try_text(mutant.module, mutant.source(), seen, [selection], likely)
    except (SyntaxError, PytestBrokeError) as error:  # not counted
        print(f"\n{mutant}: {error!r}", flush=True)
        tried.is_broken = True
        return
    finally:
        runners.put(runner)
    tried.steps += 1
    if outcome.code != TESTS_PASSED:
        tried.outcome = outcome
        kept.add(mutant, outcome)
    print({TESTS_PASSED: "s", None: "t"}.get(outcome.code, "."), flush=True, end="")


def _failing_anyway(
    runners: SimpleQueue[Runner],
    room: str,
    seen: Seen,
    chosen: Iterable[Mutant],
    found: Iterable[Outcome | None],
) -> set[str]:
    """Of the tests that noticed a mutant of the room those that fail without one, too."""
    by = {
        outcome.by
        for mutant, outcome in zip(chosen, found, strict=True)
        if mutant.room == room and outcome is not None and outcome.by in seen.seconds
    }
    if not by:
        return set()
    runner = runners.get()
    try:
        return {*runner.run(["--maxfail=0", *seen.in_order(by)], seen.limits).failed}
    finally:
        runners.put(runner)
