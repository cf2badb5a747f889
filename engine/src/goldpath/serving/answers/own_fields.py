"""Fields that a project adds to each answer: functions of the row and its prediction.

They are computed alike in the lane, in the app and in batch inference. What a function returns is
held against its return type, which is also the field's schema.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from goldpath.contract import RESERVED
from goldpath.errors import ProjectError
from goldpath.features.row.tracing import Row
from goldpath.handed_over import ProjectDefinitionError, failing_line, place_of

ENGINES_FIELDS = frozenset(
    {
        *("prediction", "decision", "threshold", "probabilities", "prediction_id"),
        *("lower", "upper", "interval"),
        *("model_name", "model_version", "predictions", "decisions", "features", "instances"),
        *("score", "run_id", "predicted_at", "training_row", "entity", "row", "refused"),
        *("fields", *RESERVED),
    }
)
"""Names of the engine's own fields, of `Client`'s, and of columns in the predictions table."""

_INTEGERS = range(-(2**63), 2**63)

_PLAIN = (str, int, float, bool)
_FIX = "write it as: def NAME(row: Row, prediction: Prediction) -> str"


class Prediction(NamedTuple):
    """What a model says about a row, as an answer field sees it.

    Attributes:
        value: The class that is decided, or the value of a regression.
        score: P(positive) of two classes, P(predicted) of more, or the value.
        probabilities: By class; empty for a regression.
        threshold: The one that decided the row, of several classes that of the decided one; None
            where there is none.
        model_version: The version.
        decision: The class that the threshold decides, or `unsure`; None without a threshold.
        lower: The lower end of a regression's interval; None where the version has none.
        upper: The upper end.
        interval: The share of true values that intervals are meant to hold.

    Example:
        >>> from goldpath import Prediction, Row
        >>> def segment(row: Row, prediction: Prediction) -> str:
        ...     return "likely" if prediction.score > 0.6 else "unlikely"
        >>> segment(Row({}.__getitem__), Prediction("yes", 0.7, {"no": 0.3, "yes": 0.7}))
        'likely'
    """

    value: str | float
    score: float
    probabilities: Mapping[str, float]
    threshold: float | None = None
    model_version: str = ""
    decision: str | None = None
    lower: float | None = None
    upper: float | None = None
    interval: float | None = None


Function = Callable[[Row, Prediction], Any]


class AnswerFieldError(ProjectError):
    """An answer field has no value for a row: its function failed, or returned another type.

    Attributes:
        field: Its name.
        reason: What went wrong, without values of the row.
    """

    def __init__(self, field: str, reason: str, place: str) -> None:
        super().__init__(
            f"{place}: the answer field {field} {reason}", "correct it, and try it with: check"
        )
        self.field, self.reason = field, reason


@dataclass(frozen=True)
class AnswerField:
    """A field of each answer.

    Attributes:
        name: As clients see it.
        function: Computes it.
        kind: What it returns.
    """

    name: str
    function: Function
    kind: Any

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Checks what it returns, and makes JSON of it."""
        return TypeAdapter(self.kind)

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """Its JSON schema."""
        return self.adapter.json_schema(mode="serialization")

    @property
    def described(self) -> str:
        """The first line of the function's documentation, or its type."""
        said = (getattr(self.function, "__doc__", None) or "").strip().partition("\n")[0]
        return said or str(getattr(self.kind, "__name__", self.kind))

    def value(self, row: Row, prediction: Prediction) -> Any:
        """The field of a row, as JSON knows it.

        Raises:
            AnswerFieldError: If the function fails, or returns what its type does not allow.
        """
        try:
            found = self.function(row, prediction)
        except Exception as error:
            raise self._failed(
                f"failed: {type(error).__name__}{line_of(self.function, error)}"
            ) from error
        kind = type(found)
        if kind is self.kind and kind in _PLAIN:
            if (kind is float or kind is int) and (fault := _no_number(found)):
                raise self._failed(f"returned {fault}")
            return found
        try:
            checked = self.adapter.validate_python(found, strict=True)
        except ValidationError as error:
            raise self._failed(f"returned a {kind.__name__}, not what its type says") from error
        shown = self.adapter.dump_python(checked, mode="json")
        if fault := _no_number(shown):
            raise self._failed(f"returned {fault}")
        return shown

    def _failed(self, reason: str) -> AnswerFieldError:
        return AnswerFieldError(self.name, reason, place_of(self.function))


def answer_fields(functions: Sequence[object]) -> tuple[AnswerField, ...]:
    """The fields of a project.

    Args:
        functions: Those of `Project(answer_fields=…)`.

    Raises:
        ProjectDefinitionError: If one has another signature, no return type or one that JSON does
            not have, or a name that is taken; names file, line and fix.
    """
    found: dict[str, AnswerField] = {}
    for function in functions:
        field = _field(function)
        if field.name in ENGINES_FIELDS or field.name in found:
            raise ProjectDefinitionError(
                f"{place_of(function)}: an answer has a field {field.name!r} already",
                "give the function another name",
            )
        if field.name.startswith("_") or hasattr(BaseModel, field.name):
            raise ProjectDefinitionError(
                f"{place_of(function)}: an answer field cannot be called {field.name!r}, which "
                "pydantic keeps for itself",
                "give the function another name",
            )
        found[field.name] = field
    return tuple(found.values())


def row_of(values: Mapping[str, Any]) -> Row:
    """A row as an answer field reads it: `row.tenure_months`, or `row["2nd call"]`."""
    return Row(values.__getitem__)


def _field(function: object) -> AnswerField:
    place = place_of(function)
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ProjectDefinitionError(f"{place} among the answer fields is no plain function", _FIX)
    signature = inspect.signature(function)
    given = [each for each in signature.parameters.values() if each.default is each.empty]
    if len(given) != 2 or any(each.kind is not each.POSITIONAL_OR_KEYWORD for each in given):
        raise ProjectDefinitionError(
            f"{place}: an answer field takes a row and its prediction, and this one takes "
            f"{', '.join(signature.parameters) or 'nothing'}",
            _FIX,
        )
    kind = signature.return_annotation
    if isinstance(kind, str):  # `from __future__ import annotations`
        try:
            kind = eval(kind, getattr(function, "__globals__", {}))  # noqa: S307
        except Exception as error:
            raise ProjectDefinitionError(
                f"{place}: the return type {kind!r} is unknown: {error}",
                "import it, not for type checkers alone",
            ) from error
    field = AnswerField(str(getattr(function, "__name__", "")), cast("Function", function), kind)
    if kind is inspect.Signature.empty or kind is None:
        raise ProjectDefinitionError(f"{place}: the answer field has no return type", _FIX)
    try:
        has_schema = bool(field.schema)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise ProjectDefinitionError(
            f"{place}: the return type {kind!r} has no JSON schema: {str(error).splitlines()[0]}",
            "return str, int, float, bool, Literal[…], a list of these, or a dataclass",
        ) from error
    if not has_schema:
        raise ProjectDefinitionError(
            f"{place}: the return type {kind!r} says nothing about the field",
            "return str, int, float, bool, Literal[…], a list of these, or a dataclass",
        )
    return field


def _no_number(shown: object) -> str:
    """A number that readers of the answer do not have, at any depth; empty where there is none."""
    if isinstance(shown, float):
        return "" if math.isfinite(shown) else f"{shown}, which JSON has no number for"
    if isinstance(shown, int):
        return "" if shown in _INTEGERS else "an integer of more than 64 bits"
    inner = shown.values() if isinstance(shown, dict) else shown if isinstance(shown, list) else ()
    return next(filter(None, map(_no_number, inner)), "")


def line_of(function: object, error: Exception) -> str:
    """The line of a function's file in which it failed."""
    line = failing_line(function, error)
    return f" in line {line}" if line else ""
