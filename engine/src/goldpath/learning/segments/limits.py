"""What segments must reach, and which settings mean nothing where there are no labels."""

from collections.abc import Mapping
from types import MappingProxyType

from goldpath.contract import Contract
from goldpath.handed_over import ProjectDefinitionError, place_of
from goldpath.project import Model
from goldpath.settings import Settings
from goldpath.settings.section import file_of

METRIC = "stability"
FURTHER = ("silhouette", "smallest_share")
FLOORS: Mapping[str, float] = MappingProxyType({METRIC: 0.75, "smallest_share": 0.02})
"""What the gate asks where `validation.thresholds` does not say."""
NOTHING_TO_SEARCH = (
    "AutoML searches for a model of a target, and problem: clustering has none",
    "make train-local finds the segments; ExperimentManager (docs automl) compares clustering "
    "methods on a table of your own",
)
"""What AutoML says of the gold table of a clustering, and what to do instead."""


def least(thresholds: Mapping[str, float]) -> dict[str, float]:
    """The least values of the metrics: the engine's, and those of `validation.thresholds`."""
    known = {METRIC, *FURTHER}
    return {**FLOORS, **{name: value for name, value in thresholds.items() if name in known}}


def require_usable(contract: Contract, settings: Settings, definitions: Model) -> None:
    """Refuse settings and definitions of a project that need labels, before anything is fitted.

    Args:
        contract: Of a clustering; nothing is asked of another problem.
        settings: The project's.
        definitions: The project's, as it hands them over.

    Raises:
        ProjectDefinitionError: Names the setting, its value and what to do.
    """
    if contract.has_target:
        return
    for section, name, value in _set(settings):
        raise ProjectDefinitionError(
            f"{file_of(section, contract.model)}: {section}.{name}={value!r} needs labels, and "
            "problem: clustering has none",
            "write its limits as validation.thresholds: {stability: …, smallest_share: …, "
            "silhouette: …}"
            if section == "validation"
            else "take it out",
        )
    known = (METRIC, *FURTHER)
    if strange := [name for name in settings.validation.thresholds if name not in known]:
        raise ProjectDefinitionError(
            f"{file_of('validation', contract.model)}: validation.thresholds names {strange[0]!r}; "
            f"a clustering has {', '.join(known)}",
            "correct the name",
        )
    metrics = [definitions.metric] if definitions.metric else []
    for each in (*metrics, *definitions.metrics):
        raise ProjectDefinitionError(
            f"{place_of(each.function)}: {each.name} measures by labels, and problem: "
            "clustering has none",
            "take it out of Model(…) in project.py; validators and gates of one's own may stay",
        )


def unused_families(contract: Contract, definitions: Model) -> str:
    """Which families of the project a clustering does not use, as a sentence; empty where none."""
    if contract.has_target or not definitions.families:
        return ""
    names = ", ".join(each.name for each in definitions.families)
    return f"not used: the families of project.py ({names}) learn a target, and there is none"


def _set(settings: Settings) -> list[tuple[str, str, object]]:
    """What is set and needs labels: section, key and value."""
    decision, training = settings.decision, settings.training
    names = ("values", "threshold", "tune_for", "capacity", "unsure", "thresholds", "interval")
    found: list[tuple[str, str, object]] = [
        ("decision", name, value) for name in names if (value := getattr(decision, name))
    ]
    if training.families:
        found.append(("training", "families", training.families))
    if training.metric not in ("", METRIC):
        found.append(("training", "metric", training.metric))
    if settings.validation.gates:
        titles = [gate.title for gate in settings.validation.gates]
        found.append(("validation", "gates", titles))
    return found
