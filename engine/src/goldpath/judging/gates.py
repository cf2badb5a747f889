"""Gates in Python: functions of the evidence, one decorator, a verdict in a line."""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from goldpath.handed_over import ProjectDefinitionError, place_of, require_plain
from goldpath.judging.evidence import Evidence
from goldpath.judging.validation_report import (
    ValidationResult,
    ValidationSeverity,
    ValidationStatus,
)

if TYPE_CHECKING:
    import pandas as pd

    from goldpath.learning.scoring import LoadedModel

Verdict = bool | float | Mapping[str, float] | ValidationResult
Function = Callable[[Evidence], Verdict]


@dataclass(frozen=True)
class Gate:
    """A check of the promotion gate, made of a function by `@gate`.

    `ModelValidator.add_validator(gate.name, gate)` and `Model(gates=[gate])` are the same check.

    Attributes:
        name: As reports, the card and the audit log show it.
        function: Judges: `(evidence) -> verdict`.
        at_least: What a figure that the function returns must reach.
        at_most: What it may not exceed.
        severity: How much a failure weighs: a LOW one warns.
        description: What it asks for, in a sentence.

    Example:
        >>> from goldpath import Evidence, gate
        >>> @gate(at_least=0.2)
        ... def finds_some(evidence: Evidence) -> float:
        ...     called = [label == "yes" for label in evidence.predictions.values]
        ...     return sum(called) / len(called)
        >>> finds_some.name, finds_some.at_least
        ('finds some', 0.2)
    """

    name: str
    function: Function
    at_least: float | None = None
    at_most: float | None = None
    severity: ValidationSeverity = ValidationSeverity.MEDIUM
    description: str = ""

    def validate(
        self,
        model: "LoadedModel",  # noqa: ARG002
        data: "pd.DataFrame",  # noqa: ARG002
        target: Any = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> ValidationResult:
        """Judge, as `ModelValidator` asks its validators."""
        verdict: Any = self.function(kwargs["evidence"])  # whatever people's own code returns
        if isinstance(verdict, ValidationResult):
            return verdict
        if isinstance(verdict, Mapping):
            return self._of_parts({str(name): float(value) for name, value in verdict.items()})
        if isinstance(verdict, bool) or type(verdict).__name__ == "bool":  # NumPy's, too
            return self._of_truth(bool(verdict))
        if verdict is None or isinstance(verdict, str):
            raise TypeError(f"it returned {verdict!r}: return True, False, a figure, or several")
        return self._of_parts({"": float(verdict)})

    def _of_truth(self, is_kept: bool) -> ValidationResult:
        status = ValidationStatus.PASSED if is_kept else ValidationStatus.FAILED
        said = self.description or self.name
        message = said if is_kept else f"not so: {said}"
        return ValidationResult(self.name, status, message, severity=self.severity)

    def _of_parts(self, figures: Mapping[str, float]) -> ValidationResult:
        """Every figure must keep the limits; one that is no number is not judged, and is named."""
        if self.at_least is None and self.at_most is None:
            raise TypeError("it returned a figure, and @gate has no at_least or at_most")
        defined = {name: value for name, value in figures.items() if not math.isnan(value)}
        undefined = [name for name in figures if name not in defined]
        left = f"; undefined: {', '.join(undefined)}" if any(undefined) else ""
        details: dict[str, dict[str, float | str]] = {
            name: {"value": value} for name, value in figures.items() if name
        }
        if not defined:
            status, worst, said = ValidationStatus.NOT_ENOUGH_DATA, None, "nothing could be judged"
        else:
            name = min(defined, key=lambda each: self._margin(defined[each]))
            worst = defined[name]
            kept = self._margin(worst) >= 0
            status = ValidationStatus.PASSED if kept else ValidationStatus.FAILED
            said = f"{f'{name}: ' if name else ''}{worst:.4g}, {self._limit()}"
        limit = self.at_least if self.at_least is not None else self.at_most
        return ValidationResult(
            self.name, status, said + left, worst, limit, self.severity, details=details
        )

    def _margin(self, value: float) -> float:
        below = math.inf if self.at_least is None else value - self.at_least
        above = math.inf if self.at_most is None else self.at_most - value
        return min(below, above)

    def _limit(self) -> str:
        ends = {"at least": self.at_least, "at most": self.at_most}
        return " and ".join(f"{word} {end:g}" for word, end in ends.items() if end is not None)


@overload
def gate(function: Function, /) -> Gate: ...
@overload
def gate(
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    name: str | None = None,
    severity: ValidationSeverity = ValidationSeverity.MEDIUM,
) -> Callable[[Function], Gate]: ...
def gate(
    function: Function | None = None,
    /,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    name: str | None = None,
    severity: ValidationSeverity = ValidationSeverity.MEDIUM,
) -> Gate | Callable[[Function], Gate]:
    """Make a check of the promotion gate of a function `(evidence) -> verdict`.

    The verdict is True or False; or, with `at_least` or `at_most`, a figure, or figures by name,
    such as one for each region: the worst one decides and all stand in the report. A figure that is
    no number was not judged; where none was, the candidate is kept back. A `ValidationResult` says
    everything itself. If the function raises, the candidate is refused.

    Args:
        function: Judges.
        at_least: What each figure must reach.
        at_most: What no figure may exceed.
        name: As reports show it; the function's name where not given.
        severity: How much a failure weighs: a LOW one only warns.

    Raises:
        ProjectDefinitionError: If the function does not take exactly one argument, is a class, a
            generator or an async function, or has limits that no figure can meet.

    Example:
        >>> import numpy as np
        >>> from goldpath import Evidence, gate
        >>> @gate(at_most=0.25)
        ... def share_of_calls(evidence: Evidence) -> float:
        ...     return float(np.mean(np.asarray(evidence.predictions.values) == "yes"))
        >>> share_of_calls.name, share_of_calls.at_most
        ('share of calls', 0.25)
    """

    def decorate(decorated: Function) -> Gate:
        parameters = list(inspect.signature(decorated).parameters)
        if len(parameters) != 1:
            raise ProjectDefinitionError(
                f"{place_of(decorated)}: a gate takes one argument, the evidence, and this one "
                f"takes {', '.join(parameters) or 'none'}",
                "write it as: def NAME(evidence: Evidence) -> float",
            )
        require_plain(decorated, "a gate", name)
        _require_limits(decorated, at_least, at_most, severity)
        said = (decorated.__doc__ or "").strip().partition("\n")[0]
        title = name or str(getattr(decorated, "__name__", "")).replace("_", " ").strip()
        return Gate(title, decorated, at_least, at_most, severity, said)

    return decorate if function is None else decorate(function)


def _require_limits(function: Function, at_least: Any, at_most: Any, severity: Any) -> None:
    """Insist on limits that a figure can keep; a text would fail only once a model is trained."""
    limits = {"at_least": at_least, "at_most": at_most}
    for name, limit in limits.items():
        is_number = isinstance(limit, int | float) and not isinstance(limit, bool)
        if limit is not None and not (is_number and math.isfinite(limit)):
            raise ProjectDefinitionError(
                f"{place_of(function)}: @gate({name}={limit!r}) is no finite number",
                f"write a number: @gate({name}=0.5)",
            )
    if None not in limits.values() and at_least > at_most:
        raise ProjectDefinitionError(
            f"{place_of(function)}: @gate has at_least={at_least:g} above at_most={at_most:g}",
            "exchange them: no figure keeps both",
        )
    if not isinstance(severity, ValidationSeverity):
        levels = ", ".join(f"ValidationSeverity.{each.name}" for each in ValidationSeverity)
        raise ProjectDefinitionError(
            f"{place_of(function)}: @gate(severity={severity!r}) is no severity",
            f"write one of {levels}",
        )
