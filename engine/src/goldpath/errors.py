"""The errors that a person reads, and the exit code that each one stands for."""

from typing import ClassVar


class ProjectError(Exception):
    """Something a person can mend: what was found, what was expected, what to do.

    Args:
        message: What was found and what was expected.
        fix: What to do about it, as a command or a sentence.

    Example:
        >>> from goldpath import ProjectError
        >>> error = ProjectError("data/raw holds no CSV file", "copy the export there")
        >>> print(error)
        data/raw holds no CSV file
          Fix: copy the export there
        >>> error.exit_code
        2
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  Fix: {self.fix}" if self.fix else self.message


class CheckFailedError(ProjectError):
    """A check ran and its answer is no: drift was found, or a gate refused.

    Example:
        >>> from goldpath import CheckFailedError
        >>> raise CheckFailedError("62 % of the calls go to one region", "look at the region")
        Traceback (most recent call last):
        goldpath.errors.CheckFailedError: 62 % of the calls go to one region
          Fix: look at the region
        >>> CheckFailedError.exit_code
        1
    """

    exit_code = 1


class NotEnoughDataError(ProjectError):
    """There is too little data for an honest answer.

    Example:
        >>> from goldpath import NotEnoughDataError
        >>> NotEnoughDataError("12 rows; a test needs 200", "wait for more").exit_code
        3
    """

    exit_code = 3


class NothingToDoError(ProjectError):
    """The work is already done, or there is none. Airflow shows such a task as skipped.

    Example:
        >>> from goldpath import NothingToDoError
        >>> NothingToDoError("no file has come since yesterday").exit_code
        99
    """

    exit_code = 99
