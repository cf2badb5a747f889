"""A skipped test passes nothing: where CI has installed what tests need, a skip fails the run."""

import os

import pytest


class NoSkips:
    """Ends a run of CI with a failure where a test was skipped; the account's are deselected."""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail in the process that reports; workers of xdist have no terminal."""
        terminal = session.config.pluginmanager.get_plugin("terminalreporter")
        if os.environ.get("CI") and terminal and terminal.stats.get("skipped"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why the run failed."""
        skipped = terminalreporter.stats.get("skipped", [])
        if os.environ.get("CI") and skipped:
            terminalreporter.write_line(f"FAILED: {len(skipped)} skipped, and CI is set", red=True)
