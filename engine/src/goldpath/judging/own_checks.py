"""Checks of one's own: how they are called, and what is made of one that breaks."""

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from goldpath.handed_over import ProjectDefinitionError, failing_line, place_of
from goldpath.judging.checks import RESERVED_NAMES
from goldpath.judging.evidence import Evidence
from goldpath.judging.gates import Gate
from goldpath.judging.validation_report import (
    ValidationResult,
    ValidationSetupError,
    ValidationStatus,
)
from goldpath.judging.validators import Validator
from goldpath.project import Model
from goldpath.settings import Settings
from goldpath.settings.section import place_of_value


def own_checks(definitions: Model, taken: Iterable[str] = ()) -> Mapping[str, Validator]:
    """The project's validators and gates by name.

    Args:
        definitions: The project's.
        taken: Further names that are in use: the gates of the settings.

    Raises:
        ProjectDefinitionError: If one of the gates is none, or the name of a check is taken; a
            validator may have that of a built-in check, whose place it takes.
    """
    taken, found = {*taken}, dict(definitions.validators)
    if twice := [name for name in found if name in taken]:
        raise ProjectDefinitionError(
            f"Model(validators=…) and gates in config/validation.yaml both have {twice[0]!r}",
            "give one of them another name",
        )
    for each in definitions.gates:
        if not isinstance(each, Gate):
            raise ProjectDefinitionError(
                f"{place_of(each)} among the gates is a {type(each).__name__}",
                "decorate the function with @gate",
            )
        if each.name in found or each.name in taken | RESERVED_NAMES:
            raise ProjectDefinitionError(
                f"{place_of(each.function)}: a check is called {each.name!r} already",
                "give the gate another name: @gate(name=…)",
            )
        found[each.name] = each
    return found


def require_validator(name: str, validator: object) -> None:
    """Insist that a check of one's own can be called.

    Raises:
        ValidationSetupError: If it is a class, or has no method `validate`.
    """
    if isinstance(validator, type):
        raise ValidationSetupError(
            f"validator {name!r} is the class {validator.__name__}, not an object of it",
            f"write {validator.__name__}()",
        )
    if not callable(getattr(validator, "validate", None)):
        raise ValidationSetupError(
            f"validator {name!r} is a {type(validator).__name__} without a method `validate`",
            "derive it from BaseValidator (docs validation)",
        )


def require_optional(settings: Settings, known: Sequence[str]) -> None:
    """Insist that what the settings call optional is a check.

    Raises:
        ProjectDefinitionError: If there is no check of that name; names file and line.
    """
    for place, name in enumerate(settings.validation.optional):
        if name not in known:
            where = place_of_value(settings.root, settings.model, "validation", "optional", place)
            raise ProjectDefinitionError(
                f"{where}: no check is called {name!r}, which validation.optional names",
                f"there are: {', '.join(known)}",
            )


async def run_own(name: str, validator: Validator, evidence: Evidence) -> ValidationResult:
    """A check of one's own; one that breaks has not passed."""
    try:
        result = await verdict_of(validator, evidence)
    except Exception as error:  # noqa: BLE001  whatever people's own code raises
        return ValidationResult(
            name,
            ValidationStatus.FAILED,
            f"could not be made: {type(error).__name__}: {error} ({_place(validator, error)})",
            fix=f"correct the check {name!r} in that line, then run: promote",
        )
    if not isinstance(result, ValidationResult):
        return ValidationResult(
            name,
            ValidationStatus.FAILED,
            f"returned a {type(result).__name__}, not a ValidationResult",
            fix=f"correct the check {name!r}, then run: promote",
        )
    return result


async def verdict_of(validator: Validator, evidence: Evidence) -> object:
    """What a check of one's own returns, or raises.

    It gets a copy of the rows, so that what it writes into them reaches no other check.
    """
    evidence = replace(evidence, rows=evidence.rows.copy(deep=False))
    answer = validator.validate(
        evidence.model,
        evidence.rows,
        evidence.truth,
        reference_data=evidence.reference,
        contract=evidence.contract,
        evidence=evidence,
    )
    return await answer if inspect.isawaitable(answer) else answer


def _place(validator: Validator, error: Exception) -> str:
    """Where the check stands, and the line of its file in which it failed."""
    function = validator.function if isinstance(validator, Gate) else validator.validate
    line = failing_line(function, error)
    return f"{place_of(function)}{f', line {line}' if line else ''}"
