"""The errors that a person reads, and the exit code that each one stands for."""

from typing import ClassVar


class ProjectError(Exception):
    """Something a person can mend: what was found, what was expected, what to do.

    Args:
        message: What was found and what was expected.
        fix: What to do about it, as a command or a sentence.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  Fix: {self.fix}" if self.fix else self.message


class CheckFailedError(ProjectError):
    """A check ran and its answer is no: drift was found, or a gate refused."""

    exit_code = 1


class NotEnoughDataError(ProjectError):
    """There is too little data for an honest answer."""

    exit_code = 3


class NothingToDoError(ProjectError):
    """The work is already done, or there is none. Airflow shows such a task as skipped."""

    exit_code = 99
