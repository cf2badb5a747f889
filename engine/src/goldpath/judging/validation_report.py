"""What the checks of a model said, and the verdict with its reasons."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum

from goldpath.errors import ProjectError
from goldpath.pages.documents import render
from goldpath.reports import finite


class ValidationStatus(StrEnum):
    """How a check ended. A verdict is never WARNING: a warning does not keep a model back.

    Example:
        >>> from goldpath import ValidationStatus
        >>> [status.value for status in ValidationStatus]
        ['passed', 'failed', 'warning', 'not enough data']
    """

    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"
    NOT_ENOUGH_DATA = "not enough data"


class ValidationSeverity(StrEnum):
    """How much a failed or missing check weighs: a LOW one warns, any other keeps the model back.

    Example:
        >>> from goldpath import ValidationResult, ValidationSeverity, ValidationStatus
        >>> noted = ValidationSeverity.LOW
        >>> ValidationResult("margin", ValidationStatus.FAILED, "0.08", severity=noted).passed
        True
    """

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class ValidationSetupError(ProjectError):
    """A model cannot be validated as asked; names what is missing or unknown."""


@dataclass(frozen=True)
class ValidationResult:
    """One check.

    Attributes:
        name: What was checked.
        status: How it ended.
        message: The figures behind it, as a sentence.
        score: The figure that was judged, where there is one.
        threshold: What it was held against.
        severity: How much it weighs where it failed or could not be made.
        optional: Whether the model may pass although the check could not be made.
        details: Further figures: a row each, by column.
        fix: What to do where it failed or could not be made.

    Example:
        >>> from goldpath import ValidationResult, ValidationStatus
        >>> result = ValidationResult(
        ...     "calls", ValidationStatus.FAILED, "31 % are called, 25 % at most", 0.31, 0.25
        ... )
        >>> result.passed
        False
    """

    name: str
    status: ValidationStatus
    message: str
    score: float | None = None
    threshold: float | None = None
    severity: ValidationSeverity = ValidationSeverity.MEDIUM
    optional: bool = False
    details: Mapping[str, Mapping[str, float | str]] = field(default_factory=dict)
    fix: str = ""

    @property
    def passed(self) -> bool:
        """Whether the check lets the model pass."""
        if self.severity is ValidationSeverity.LOW or self.status is ValidationStatus.PASSED:
            return True
        if self.status is ValidationStatus.NOT_ENOUGH_DATA:
            return self.optional
        return self.status is ValidationStatus.WARNING

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of `details`, in the order in which its rows name them."""
        return tuple(dict.fromkeys(name for row in self.details.values() for name in row))

    @property
    def detail(self) -> str:
        """The message, led by what is unusual about the check."""
        if self.status in (ValidationStatus.NOT_ENOUGH_DATA, ValidationStatus.WARNING):
            return f"{self.status}: {self.message}"
        return self.message


@dataclass(frozen=True)
class ValidationReport:
    """Every check of one model.

    Attributes:
        model: The registered model's name.
        version: Its version; empty where it has none yet.
        rows: Rows that it was judged on.
        created: When.
        results: The checks, in the order in which they were made.
    """

    model: str
    version: str
    rows: int
    created: datetime
    results: tuple[ValidationResult, ...]

    @property
    def overall_status(self) -> ValidationStatus:
        """PASSED, FAILED, or NOT_ENOUGH_DATA where nothing failed but a check is missing."""
        blocking = {result.status for result in self.results if not result.passed}
        for status in (ValidationStatus.FAILED, ValidationStatus.NOT_ENOUGH_DATA):
            if status in blocking:
                return status
        return ValidationStatus.PASSED if self.results else ValidationStatus.NOT_ENOUGH_DATA

    @property
    def passed(self) -> bool:
        """Whether every check lets the model pass."""
        return self.overall_status is ValidationStatus.PASSED

    @property
    def errors(self) -> list[str]:
        """What keeps the model back, a sentence each."""
        return [f"{result.name}: {result.detail}" for result in self.results if not result.passed]

    @property
    def warnings(self) -> list[str]:
        """What a person should look at although the model passes."""
        return [
            f"{result.name}: {result.message}"
            for result in self.results
            if result.passed and result.status is not ValidationStatus.PASSED
        ]

    @property
    def verdict(self) -> str:
        """The verdict as a sentence, with its reasons."""
        checks = len(self.results)
        if self.passed:
            noted = f", {len(self.warnings)} of them with a warning" if self.warnings else ""
            return f"passed: all {checks} checks{noted}"
        return f"{self.overall_status}: {'; '.join(self.errors)}"

    def result(self, name: str) -> ValidationResult:
        """The check of a name.

        Raises:
            ValidationSetupError: If no such check was made.
        """
        for result in self.results:
            if result.name == name:
                return result
        made = ", ".join(result.name for result in self.results)
        raise ValidationSetupError(f"no check {name!r} was made", f"made were: {made}")

    def to_json(self) -> str:
        """The report for scripts; a number that JSON lacks becomes null."""
        values = {
            **asdict(self),
            "created": self.created.isoformat(),
            "overall_status": self.overall_status,
            "verdict": self.verdict,
            "errors": self.errors,
            "warnings": self.warnings,
        }
        return json.dumps(finite(values), indent=2, allow_nan=False) + "\n"

    def to_html(self) -> str:
        """The report for people: one page with nothing to load from elsewhere."""
        return render("validation.html", report=self)
