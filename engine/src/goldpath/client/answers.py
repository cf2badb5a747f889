"""What the service answers, as types; and its refusals, as exceptions."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from typing import Any, Self

from goldpath.errors import ProjectError


@dataclass(frozen=True)
class Prediction:
    """One row's prediction.

    Attributes:
        prediction: The class, or the value of a regression.
        probabilities: By class; None for a regression.
        prediction_id: Names it in the prediction log, and in `Client.feedback`.
        model_name: The model.
        model_version: Its version.
        decision: The class that the threshold decides, or `unsure`; None where the version has no
            threshold.
        threshold: Of the decision.
        fields: What the project adds to its answers, by name.
        lower: The lower end of a regression's interval; None where the version has none.
        upper: The upper end.
        interval: The share of true values that intervals are meant to hold.
    """

    prediction: str | float
    probabilities: Mapping[str, float] | None
    prediction_id: str
    model_name: str
    model_version: str
    decision: str | None = None
    threshold: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    lower: float | None = None
    upper: float | None = None
    interval: float | None = None

    @classmethod
    def read(cls, item: Mapping[str, Any], model: Mapping[str, Any]) -> Self:
        """Make it from an answer's item and the answer's model."""
        return cls(
            item["prediction"],
            item["probabilities"],
            item["prediction_id"],
            model["model_name"],
            model["model_version"],
            item.get("decision"),
            item.get("threshold"),
            {name: value for name, value in item.items() if name not in _ENGINES},
            item.get("lower"),
            item.get("upper"),
            item.get("interval"),
        )


_ENGINES = {each.name for each in dataclass_fields(Prediction)}


@dataclass(frozen=True)
class Contribution:
    """What one feature adds to a prediction.

    Attributes:
        feature: Its name.
        value: Its value in the row.
        contribution: In units of what is explained.
        standard_error: Of the contribution, which is estimated.
    """

    feature: str
    value: Any
    contribution: float
    standard_error: float


@dataclass(frozen=True)
class Explanation:
    """One prediction, taken apart.

    Attributes:
        prediction: The class, or the value of a regression.
        value: The class's probability, or the value.
        baseline: The same, on average over rows of the training data.
        contributions: Largest first; they add up to `value - baseline`.
        model_name: The model.
        model_version: Its version.
    """

    prediction: str | float
    value: float
    baseline: float
    contributions: tuple[Contribution, ...]
    model_name: str
    model_version: str

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> Self:
        """Make it from the answer of `POST /explain`."""
        return cls(
            answer["prediction"],
            answer["value"],
            answer["baseline"],
            tuple(Contribution(**each) for each in answer["contributions"]),
            answer["model_name"],
            answer["model_version"],
        )


@dataclass(frozen=True)
class FieldError:
    """One wrong field of a request.

    Attributes:
        field: Where it is, such as `features.tenure`.
        message: What is wrong with it.
        fix: What to send.
    """

    field: str
    message: str
    fix: str


@dataclass(frozen=True)
class Problem:
    """RFC 9457 problem details, as the service sends them.

    Attributes:
        status: The HTTP status.
        title: The status in words.
        detail: What is wrong.
        fix: What to do about it.
        errors: The wrong fields.
    """

    status: int
    title: str = ""
    detail: str = ""
    fix: str = ""
    errors: tuple[FieldError, ...] = field(default=())

    @classmethod
    def read(cls, status: int, content: bytes) -> Self:
        """Make it from an answer; a proxy's page in between may be no problem details."""
        try:
            values = json.loads(content)
            errors = tuple(
                FieldError(str(each["field"]), str(each["message"]), str(each["fix"]))
                for each in values.get("errors", ())
            )
            title, detail, fix = (str(values.get(name, "")) for name in ("title", "detail", "fix"))
            return cls(status, title, detail, fix, errors)
        except (ValueError, AttributeError, KeyError, TypeError):
            return cls(status, detail=content[:200].decode("utf-8", "replace"))


class ServiceError(ProjectError):
    """The service refused a request, or could not be asked.

    Attributes:
        problem: What the service said; None where it did not answer.
    """

    def __init__(self, message: str, fix: str = "", problem: Problem | None = None) -> None:
        super().__init__(message, fix)
        self.problem = problem


class RefusedError(ServiceError):
    """The request is wrong, and would be so again: 400, 404, 409, 413, 415, 422."""


class NotAllowedError(ServiceError):
    """The key, the token or the role is missing or wrong: 401, 403."""


class TooManyRequestsError(ServiceError):
    """The client's rate is used up, also after the waits that were asked for: 429."""


class UnavailableError(ServiceError):
    """No answer in time: no connection, a 5xx, or an answer that is none."""


def error_of(status: int, content: bytes) -> ServiceError:
    """The exception that an answer stands for."""
    problem = Problem.read(status, content)
    kinds: dict[int, type[ServiceError]] = {
        401: NotAllowedError,
        403: NotAllowedError,
        429: TooManyRequestsError,
    }
    kind = kinds.get(status, UnavailableError if status >= 500 else RefusedError)
    said = f"{status}: {problem.detail or problem.title}"
    for each in problem.errors[:3]:
        said += f"; {each.field}: {each.message}"
    return kind(said, problem.fix, problem)
