"""Prints at the end of a run the figures that tests have counted.

A test says one by `record_property("figure", "log: 3 of 100,000 rows differ")`.
"""

import pytest

FIGURE = "figure"


class Figures:
    """Collects them; under xdist a report carries them to the controller."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a test's figures."""
        if report.when == "call":
            self.found += [str(value) for name, value in report.user_properties if name == FIGURE]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print all of them."""
        if self.found:
            terminalreporter.section("figures")
            for line in self.found:
                terminalreporter.write_line(line)
