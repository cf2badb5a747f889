"""Checks of one's own: how they are called, and what is made of one that breaks."""

import inspect

from goldpath.judging.validation_report import (
    ValidationResult,
    ValidationSetupError,
    ValidationStatus,
)
from goldpath.judging.validators import Evidence, Validator


def require_validator(name: str, validator: object) -> None:
    """Insist that a check of one's own can be called.

    Raises:
        ValidationSetupError: If it has no method `validate`.
    """
    if not callable(getattr(validator, "validate", None)):
        raise ValidationSetupError(
            f"validator {name!r} is a {type(validator).__name__} without a method `validate`",
            "derive it from BaseValidator (docs validation)",
        )


async def run_own(name: str, validator: Validator, evidence: Evidence) -> ValidationResult:
    """A check of one's own; one that breaks has not passed."""
    try:
        answer = validator.validate(
            evidence.model,
            evidence.rows,
            evidence.truth,
            reference_data=evidence.reference,
            contract=evidence.contract,
            evidence=evidence,
        )
        result: object = await answer if inspect.isawaitable(answer) else answer
    except Exception as error:  # noqa: BLE001  whatever people's own code raises
        return ValidationResult(
            name, ValidationStatus.FAILED, f"could not be made: {type(error).__name__}: {error}"
        )
    if not isinstance(result, ValidationResult):
        return ValidationResult(
            name,
            ValidationStatus.FAILED,
            f"returned a {type(result).__name__}, not a ValidationResult",
        )
    return result
