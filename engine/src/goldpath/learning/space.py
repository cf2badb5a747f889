"""What a family searches over, found by calling its function once with a trial that records."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from goldpath.handed_over import ProjectDefinitionError, place_of


@dataclass(frozen=True)
class Dimension:
    """One parameter that a family draws.

    Attributes:
        kind: Whether it is a number, a whole number or one of some values.
        choices: The values of a category.
        low: The smallest number.
        high: The largest one.
        log: Whether small numbers are drawn as often as large ones.

    Example:
        >>> from goldpath.learning.space import Dimension
        >>> str(Dimension("int", low=3, high=16)), Dimension("int", low=3, high=16).holds(20)
        ('3 to 16', False)
    """

    kind: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def holds(self, value: Any) -> bool:
        """Whether the search could draw this value."""
        if self.kind == "categorical":
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (self.kind == "float" or int(value) == value)

    @property
    def fault(self) -> str:
        """Why Optuna could not draw from it; empty where it can."""
        if self.kind == "categorical":
            return ""
        if not self.low <= self.high or not math.isfinite(self.high - self.low):
            return "the low end must not be above the high end, and both must be finite"
        if self.log and self.kind == "int" and self.low < 1:
            return "log=True needs a low end of 1 or more"
        if self.log and self.low <= 0:
            return "log=True needs a low end above 0"
        return ""

    def __str__(self) -> str:
        if self.kind == "categorical":
            return " | ".join(map(str, self.choices))
        return f"{self.low:g} to {self.high:g}" + (" (log)" if self.log else "")


class RecordingTrial:
    """Draws a parameter's default, or the first value that is allowed, and keeps what was asked.

    Args:
        defaults: Values by name; those that cannot be drawn are ignored.
    """

    def __init__(self, defaults: Mapping[str, Any] | None = None) -> None:
        self._defaults = dict(defaults or {})
        self.space: dict[str, Dimension] = {}

    def suggest_float(self, name: str, low: float, high: float, **options: Any) -> float:
        """A number."""
        log = bool(options.get("log", False))
        return float(self._drawn(name, Dimension("float", low=low, high=high, log=log), low))

    def suggest_int(self, name: str, low: int, high: int, **options: Any) -> int:
        """A whole number."""
        log = bool(options.get("log", False))
        return int(self._drawn(name, Dimension("int", low=low, high=high, log=log), low))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of some values."""
        found = Dimension("categorical", choices=tuple(choices))
        return self._drawn(name, found, choices[0])

    def _drawn(self, name: str, found: Dimension, first: Any) -> Any:
        self.space[name] = found
        value = self._defaults.get(name, first)
        return value if found.holds(value) else first


def require_drawable(
    name: str, function: Any, defaults: Mapping[str, Any], space: Mapping[str, Dimension]
) -> None:
    """Refuse ranges that nothing can be drawn from, and defaults that no draw could give.

    Raises:
        ProjectDefinitionError: Names the family's place, the parameter, its value and its range.
    """
    place = place_of(function)
    unknown = [each for each in defaults if each not in space]
    if unknown:
        raise ProjectDefinitionError(
            f"{place}: the defaults of the family {name} name {', '.join(unknown)}, which it does "
            f"not draw; it draws {', '.join(space) or 'nothing'}",
            "name in @family(defaults=…) what trial.suggest_… asks for",
        )
    for each, dimension in space.items():
        if dimension.fault:
            raise ProjectDefinitionError(
                f"{place}: the family {name} draws {each} from {dimension}: {dimension.fault}",
                "change the range",
            )
    for each, value in defaults.items():
        if each in space and not space[each].holds(value):
            raise ProjectDefinitionError(
                f"{place}: the family {name} has {value!r} as the default of {each}, and draws "
                f"{space[each]}",
                "change the default or the range",
            )
