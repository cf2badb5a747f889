"""Metrics of a project's own: a figure of each prediction, shown by `GET /metrics`."""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING, Literal, get_args, overload

from goldpath.handed_over import ProjectDefinitionError, place_of

if TYPE_CHECKING:
    from goldpath.features.row.tracing import Row
    from goldpath.serving.answers.own_fields import Prediction

Kind = Literal["histogram", "counter", "gauge"]
ENGINES_PREFIXES = ("ml_", "process_", "python_")
"""Of the engine's metrics and of those that Prometheus' library brings."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FIX = "write it as: def NAME(row: Row, prediction: Prediction) -> float"


@dataclass(frozen=True)
class ServiceMetric:
    """A figure of each prediction that the service gives; `@service_metric` makes it.

    Attributes:
        name: As `/metrics` shows it.
        function: Computes it from a row and its prediction.
        kind: What is kept of the figures: a histogram, their sum, or the newest.
        buckets: The upper ends of a histogram's buckets; Prometheus' usual ones where empty.

    Example:
        >>> from goldpath import Prediction, Row, service_metric
        >>> @service_metric(buckets=[0, 10, 100])
        ... def expected_loss(row: Row, prediction: Prediction) -> float:
        ...     return prediction.score * row.monthly_charges
        >>> expected_loss.name, expected_loss.kind
        ('expected_loss', 'histogram')
    """

    name: str
    function: "Callable[[Row, Prediction], float]"
    kind: Kind = "histogram"
    buckets: tuple[float, ...] = ()

    @property
    def described(self) -> str:
        """The first line of the function's documentation, or its name in words."""
        said = (self.function.__doc__ or "").strip().partition("\n")[0]
        return said or self.name.replace("_", " ").capitalize()

    def value(self, row: "Row", prediction: "Prediction") -> float:
        """The figure of one prediction.

        Raises:
            TypeError: If the function returns what is no number.
            ValueError: If it is not finite, or a counter's is less than 0.
        """
        found: object = self.function(row, prediction)
        if not isinstance(found, Real):
            raise TypeError(f"it returned a {type(found).__name__}, not a number")
        figure = float(found)
        if not isfinite(figure):
            raise ValueError(f"it returned {figure}")
        if self.kind == "counter" and figure < 0:
            raise ValueError(f"it returned {figure:g}, and a counter only rises")
        return figure


@overload
def service_metric(function: "Callable[[Row, Prediction], float]", /) -> ServiceMetric: ...
@overload
def service_metric(
    *, kind: Kind = "histogram", buckets: Sequence[float] = ()
) -> "Callable[[Callable[[Row, Prediction], float]], ServiceMetric]": ...
def service_metric(
    function: "Callable[[Row, Prediction], float] | None" = None,
    /,
    *,
    kind: Kind = "histogram",
    buckets: Sequence[float] = (),
) -> "ServiceMetric | Callable[[Callable[[Row, Prediction], float]], ServiceMetric]":
    """Make a metric of the service of a function of a row and its prediction.

    It is called for each prediction that the service gives, after it was logged. Where it fails,
    the failure is counted, and the answer is given all the same.

    Args:
        function: Computes the figure; its name is the metric's.
        kind: What `/metrics` shows of the figures, by model version: `histogram` (how many lie
            below each bucket's end, their sum and their number), `counter` (their sum, none of
            which may be negative; True counts as 1) or `gauge` (the newest).
        buckets: The upper ends of a histogram's buckets, rising; Prometheus' usual ones, from
            0.005 to 10, where not given.

    Returns:
        The metric; or a decorator that makes one, where options are given.

    Raises:
        ProjectDefinitionError: If the function has another signature, or the name, the kind or the
            buckets cannot be used; names file and line.

    Example:
        >>> from goldpath import Hooks, Prediction, Row, service_metric
        >>> @service_metric(kind="counter")
        ... def likely_leavers(row: Row, prediction: Prediction) -> bool:
        ...     return prediction.score > 0.5
        >>> hooks = Hooks(metrics=[likely_leavers])
    """

    def decorate(decorated: "Callable[[Row, Prediction], float]") -> ServiceMetric:
        _require_figure(decorated)
        _require_shown(decorated, kind, tuple(buckets))
        return ServiceMetric(decorated.__name__, decorated, kind, tuple(map(float, buckets)))

    return decorate if function is None else decorate(function)


_RUN_LATER = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)


def parameters_of(function: object) -> list[str] | None:
    """The parameters that a plain function asks for by place; None where it is none.

    Also None where it asks for one by name alone. A function with `yield` is none: a call of it
    runs nothing, so a check before an answer would let everybody pass.
    """
    if not callable(function) or any(is_other(function) for is_other in _RUN_LATER):
        return None
    given = [
        each
        for each in inspect.signature(function).parameters.values()
        if each.default is each.empty
    ]
    if any(each.kind is not each.POSITIONAL_OR_KEYWORD for each in given):
        return None
    return [each.name for each in given]


def _require_figure(function: object) -> None:
    place, asked = place_of(function), parameters_of(function)
    if asked is None or len(asked) != 2:
        takes = (
            "is no plain function" if asked is None else f"takes {', '.join(asked) or 'nothing'}"
        )
        raise ProjectDefinitionError(
            f"{place}: a metric of the service takes a row and its prediction, and this one "
            f"{takes}",
            _FIX,
        )


def _require_shown(function: object, kind: str, buckets: tuple[float, ...]) -> None:
    place, name = place_of(function), str(getattr(function, "__name__", ""))
    if not _NAME.fullmatch(name) or name.startswith(ENGINES_PREFIXES):
        raise ProjectDefinitionError(
            f"{place}: a metric of the service cannot be called {name!r}",
            "name it in small letters, digits and _, and not after the engine's: "
            + ", ".join(f"{each}…" for each in ENGINES_PREFIXES),
        )
    if kind not in get_args(Kind):
        raise ProjectDefinitionError(
            f"{place}: the metric {name} has the kind {kind!r}",
            f"write one of {', '.join(get_args(Kind))}",
        )
    rises = all(low < high for low, high in pairwise(buckets))
    if buckets and (kind != "histogram" or not rises or not all(map(isfinite, buckets))):
        what = f"a {kind} has none" if kind != "histogram" else "they must rise"
        raise ProjectDefinitionError(
            f"{place}: the metric {name} has the buckets {list(buckets)}, and {what}",
            "leave them out" if kind != "histogram" else "write finite numbers, the least first",
        )
