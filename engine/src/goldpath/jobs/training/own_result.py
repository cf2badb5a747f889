"""What a step of the project's own may return, and how it is stored and logged."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import SimpleNamespace
from typing import Any, get_type_hints

import numpy as np

from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.jobs.step_order import Step
from goldpath.jobs.training.results import Plain
from goldpath.registry.layout import ENGINES_TAGS
from goldpath.registry.mlflow_manager import MLflowManager

ENGINES_NAMES = ("test_", "baseline_", "search_", "champion_", "noise_", "mlflow.")
"""How the engine's own metrics and tags of a run begin."""
MLFLOW_NAME = re.compile(r"[\w.\- :/]+")
LONGEST_TAG = 500


def plain_values(step: Step, returned: Any) -> dict[str, Plain] | None:
    """What a step returned as names and plain values.

    Args:
        step: The step.
        returned: A mapping, a frozen dataclass that the step's return annotation names, or None.

    Raises:
        ProjectDefinitionError: If it is anything else, or a value is no number, text, truth value
            or None; names the step's file and line.
    """
    if returned is None:
        return None
    if isinstance(returned, Mapping):
        values = dict(returned)
    elif is_dataclass(returned) and not isinstance(returned, type):
        _require_declared(step, type(returned))
        values = {each.name: getattr(returned, each.name) for each in fields(returned)}
    else:
        raise ProjectDefinitionError(
            f"{place_of(step)} returned a {type(returned).__name__}",
            "return a mapping of names to numbers or texts, a frozen dataclass of them, or nothing",
        )
    return {_name(step, name): _plain(step, name, value) for name, value in values.items()}


def as_returned(step: Callable[..., Any], values: Mapping[str, Plain] | None) -> Any:
    """Stored values as the step returned them: its dataclass, a mapping, or None."""
    if values is None:
        return None
    kind = _declared(step)
    if not (isinstance(kind, type) and is_dataclass(kind)):
        return dict(values)
    try:
        return kind(**values)
    except TypeError as error:
        raise ProjectDefinitionError(
            f"{place_of(step)}: what it stored is no {kind.__name__} any more: {error}",
            "start another training (another --run-id)",
        ) from error


def log_values(manager: MLflowManager, run_id: str, values: Mapping[str, Plain]) -> None:
    """Log numbers as metrics of the run and the rest as its tags; None is not logged."""
    metrics: dict[str, float] = {}
    tags: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, bool):
            tags[name] = str(value).lower()
        elif isinstance(value, int | float) and math.isfinite(value):
            metrics[name] = float(value)
        elif value is not None:
            tags[name] = str(value)[:LONGEST_TAG]
    manager.log_metrics(run_id, metrics)
    manager.log_tags(run_id, tags)


def _require_declared(step: Step, kind: type) -> None:
    """Insist that the dataclass can be found again by the process that reads the result."""
    if _declared(step) is not kind:
        raise ProjectDefinitionError(
            f"{place_of(step)} returned a {kind.__name__} that its return annotation does not name",
            f"write def {step.__name__}(work: TrainingWork) -> {kind.__name__}:",
        )
    if not kind.__dataclass_params__.frozen:
        raise ProjectDefinitionError(
            f"{place_of(step)} returned a {kind.__name__}, which can be changed afterwards",
            "write @dataclass(frozen=True)",
        )


def _declared(step: Callable[..., Any]) -> Any:
    """What the return annotation names; None where it cannot be read at run time."""
    annotation = getattr(step, "__annotations__", {}).get("return")
    alone = SimpleNamespace(__annotations__={"return": annotation})
    try:
        return get_type_hints(alone, getattr(step, "__globals__", {})).get("return")
    except NameError:  # imported for type checkers only
        return None


def _name(step: Step, name: Any) -> str:
    if not isinstance(name, str) or not MLFLOW_NAME.fullmatch(name):
        raise ProjectDefinitionError(
            f"{place_of(step)} returned a value called {name!r}",
            "name it with letters, digits, spaces and . _ - : /",
        )
    if name.startswith(ENGINES_NAMES) or name in ENGINES_TAGS:
        raise ProjectDefinitionError(
            f"{place_of(step)} returned a value called {name}, a name of the engine's own",
            f"choose another that does not begin with {', '.join(ENGINES_NAMES)}",
        )
    return name


def _plain(step: Step, name: str, value: Any) -> Plain:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | int | float | bool):
        plain: Plain = value
        return plain
    raise ProjectDefinitionError(
        f"{place_of(step)} returned {name} as a {type(value).__name__}",
        "return numbers, texts, truth values or None; log anything larger as a file: "
        "work.manager.log_file(work.run.run_id, …)",
    )
