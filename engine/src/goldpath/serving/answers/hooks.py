"""What a project does around each answer: functions before and after it, and metrics of it.

The functions see what a request asks and what it gets, whichever route it takes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from goldpath.handed_over import HOOKS, ProjectDefinitionError, place_of
from goldpath.project import Project
from goldpath.serving.answers.service_metric import ServiceMetric, parameters_of

if TYPE_CHECKING:
    from goldpath.features.row.tracing import Row
    from goldpath.serving.answers.own_fields import Prediction

STATUSES = range(400, 600)
"""What a refusal may answer."""


class RefusedError(Exception):
    """Raised by a hook to refuse a request; the caller gets a problem with this status.

    Args:
        status: The HTTP status, from 400 to 599.
        message: What is wrong, for the caller.
        fix: What the caller can do.

    Example:
        >>> from goldpath import RefusedError
        >>> raise RefusedError(403, "only analysts ask for more than 100 rows")
        Traceback (most recent call last):
        goldpath.serving.answers.hooks.RefusedError: only analysts ask for more than 100 rows
    """

    def __init__(self, status: int, message: str, fix: str = "") -> None:
        if status not in STATUSES:
            raise ValueError(f"a refusal has a status from 400 to 599, not {status}")
        super().__init__(message)
        self.status, self.message, self.fix = status, message, fix


@dataclass(frozen=True)
class PredictionRequest:
    """A request for predictions, as a hook sees it.

    Attributes:
        subject: Who asks: the name of the key or of the user.
        roles: What they may do.
        route: Which one was asked, such as `/predict` or `/models/revenue/predict/batch`.
        rows: What was asked, by feature name: `request.rows[0].age`. By key they hold what the
            online store knew. After the prediction they hold the columns of window features, too.
        entities: Whom each row is about; empty where the request does not say.

    Example:
        >>> from goldpath import PredictionRequest, Row
        >>> one = Row({"age": 33}.__getitem__)
        >>> request = PredictionRequest("batch-job", frozenset({"predict"}), "/predict", [one])
        >>> request.rows[0].age
        33
    """

    subject: str
    roles: frozenset[str]
    route: str
    rows: "Sequence[Row]"
    entities: Sequence[str] = ()


Before = Callable[[PredictionRequest], None]


@dataclass(frozen=True)
class Hooks:
    """What is done around each answer of a model; `Project(hooks=…)`.

    The functions are called in their order, in a thread of the request's own, so they may take
    their time; the fast lane leaves the requests of a model with such functions to the app.

    Attributes:
        before: Functions `(request: PredictionRequest) -> None`, called before the model is asked.
            One refuses the request by raising `RefusedError`; then nothing is scored.
        after: Functions `(request: PredictionRequest, predictions: Sequence[Prediction]) -> None`,
            called when the predictions are logged.
        metrics: Figures of each prediction, made with `@service_metric`; the fast lane has them.

    Raises:
        ProjectDefinitionError: If one cannot be used; names file, line and fix.

    Example:
        >>> from goldpath import Hooks, PredictionRequest, RefusedError
        >>> def few_rows(request: PredictionRequest) -> None:
        ...     if len(request.rows) > 100 and "admin" not in request.roles:
        ...         raise RefusedError(403, "only admins ask for more than 100 rows")
        >>> Hooks(before=[few_rows]).names
        ('few_rows',)
    """

    MADE_BY: ClassVar[str] = HOOKS

    before: Sequence[Before] = ()
    after: "Sequence[Callable[[PredictionRequest, Sequence[Prediction]], None]]" = ()
    metrics: Sequence[ServiceMetric] = ()

    def __post_init__(self) -> None:
        for part, functions in (("before", self.before), ("after", self.after)):
            for function in functions:
                _require_hook(function, part)
        known: set[str] = set()
        for metric in self.metrics:
            if not isinstance(metric, ServiceMetric):
                raise ProjectDefinitionError(
                    f"{place_of(metric)} among Hooks(metrics=[…]) is none",
                    "write @service_metric above it",
                )
            if metric.name in known:
                raise ProjectDefinitionError(
                    f"{place_of(metric.function)}: there is a metric {metric.name!r} already",
                    "give the function another name",
                )
            known.add(metric.name)

    @property
    def names(self) -> tuple[str, ...]:
        """The functions before and after, in their order."""
        return tuple(map(hook_name, (*self.before, *self.after)))


def require_used(project: Project, dataset: str) -> None:
    """Refuse to serve without the hooks that a project hands over for another dataset.

    Raises:
        ProjectDefinitionError: If there are such hooks, of the project or of one of its models.
    """
    if project.suits(dataset):
        return
    handed = [project.hooks(), *(make().hooks for make in project.models.values())]
    if names := [name for each in handed if each is not None for name in each.names]:
        raise ProjectDefinitionError(
            f"project.py has the hooks {', '.join(names)} around each answer, for the dataset "
            f"{project.dataset}; with {dataset} nothing would call them",
            f"set dataset={dataset!r} there once they suit it, or take them out of hooks=",
        )


def hook_name(function: object) -> str:
    """As messages name a hook."""
    return str(getattr(function, "__name__", function))


def _require_hook(function: object, part: str) -> None:
    asked, wanted = parameters_of(function), ["request", "predictions"]
    wanted = wanted[:1] if part == "before" else wanted
    if asked is None or len(asked) != len(wanted):
        takes = (
            "is no plain function" if asked is None else f"takes {', '.join(asked) or 'nothing'}"
        )
        shown = "request: PredictionRequest" + ", predictions: Sequence[Prediction]" * (
            part == "after"
        )
        raise ProjectDefinitionError(
            f"{place_of(function)}: a hook {part} an answer takes {' and '.join(wanted)}, and this "
            f"one {takes}",
            f"write it as: def NAME({shown}) -> None",
        )
