"""Prints at the end of a run where its time went, file by file.

Processor time tells more than the clock where several workers share two cores: a test that waits
for a timer costs nothing, one that computes takes its seconds from the others. The time of child
processes counts from the moment they have ended, for the test or the fixture that waited for them.
"""

import resource
import time
from collections import defaultdict
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import Any

import pytest

SHOWN = 15


@dataclass
class Spent:
    """What the tests of one file have taken so far."""

    tests: int = 0
    seconds: float = 0.0
    processor: float = 0.0


class TimeByFile:
    """Measures each phase of each test; the process that reports adds them up."""

    def __init__(self) -> None:
        self.spent: dict[str, Spent] = defaultdict(Spent)
        self.seen = processor_seconds()

    def pytest_collection_finish(self) -> None:
        """Importing the tests is nobody's time."""
        self.seen = processor_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, Any, Any]:
        """Write down what the phase took; under xdist the report carries it to the controller."""
        report = yield
        now = processor_seconds()
        report.processor_seconds, self.seen = now - self.seen, now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a phase to its file."""
        spent = self.spent[report.nodeid.split("::")[0]]
        spent.tests += report.when == "call"
        spent.seconds += report.duration
        spent.processor += getattr(report, "processor_seconds", 0.0)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the files that took most."""
        if len(self.spent) > 1:
            terminalreporter.section("where the time goes")
            for line in self.table():
                terminalreporter.write_line(line)

    def table(self) -> Iterable[str]:
        """The lines of the table: its head, a file each, and one for all others."""
        whole = sum(spent.processor for spent in self.spent.values()) or 1.0
        files = sorted(self.spent.items(), key=lambda item: -item[1].processor)
        yield "processor  share     clock  tests  file"
        for name, spent in files[:SHOWN]:
            yield line_of(spent, whole, name)
        others = [spent for _, spent in files[SHOWN:]]
        if others:
            rest = Spent(
                sum(spent.tests for spent in others),
                sum(spent.seconds for spent in others),
                sum(spent.processor for spent in others),
            )
            yield line_of(rest, whole, f"{len(others)} further files")


def line_of(spent: Spent, whole: float, name: str) -> str:
    """One row of the table."""
    share = spent.processor / whole
    return f"{spent.processor:8.1f}s {share:5.0%} {spent.seconds:8.1f}s {spent.tests:6d}  {name}"


def processor_seconds() -> float:
    """Seconds of this process with all threads, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
