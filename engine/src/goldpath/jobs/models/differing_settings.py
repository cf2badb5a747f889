"""Settings of the main model that a further one cannot have: its own files undo them."""

from typing import Any

import yaml

from goldpath.contract import Contract
from goldpath.learning.decision.groups import can_group
from goldpath.learning.families import BUILT_IN
from goldpath.settings import Settings
from goldpath.settings.section import file_of

UNDONE = "# Undoes what {} says, which is not for this model.\n"


def undo_unfit_settings(settings: Settings, contract: Contract, main: Contract) -> tuple[str, ...]:
    """Write the files of `models/NAME` that undo what the main model's settings ask for.

    A file that is there already is left as it is.

    Args:
        settings: Those of the main model.
        contract: The further model's.
        main: The main model's.

    Returns:
        What was written, a sentence for each file.
    """
    said = []
    for section, values in _unfit(settings, contract, main).items():
        file = settings.root / file_of(section, contract.model)
        if not values or file.exists():
            continue
        shared = file_of(section, "")
        text = UNDONE.format(shared) + yaml.safe_dump(values, sort_keys=False)
        file.write_text(text, encoding="utf-8")
        said.append(
            f"{settings.shown(file)} undoes {' and '.join(values)} of {shared}, which "
            f"{'are' if len(values) > 1 else 'is'} not for this model; put its own there"
        )
    return tuple(said)


def _unfit(settings: Settings, contract: Contract, main: Contract) -> dict[str, dict[str, Any]]:
    """By section, the keys that are set and do not fit, with the values that undo them."""
    decision, validation = settings.decision, settings.validation
    classes = contract.target.classes
    undone: dict[str, Any] = {}
    groups = decision.groups
    if groups is not None and (not contract.is_binary or not can_group(contract, groups.column)):
        undone["groups"] = None
    if not contract.is_binary:
        undone |= {"values": {}, "threshold": None, "capacity": None, "unsure": None}
        if not classes or decision.tune_for == "value":
            undone["tune_for"] = ""
    if contract.is_binary or not {*decision.thresholds} < {*classes}:
        undone["thresholds"] = {}
    if contract.problem != "regression":
        undone["interval"] = None
    found = {"decision": {key: empty for key, empty in undone.items() if getattr(decision, key)}}
    foreign = [each for each in settings.training.families if each not in BUILT_IN]
    unused = foreign or (settings.training.families and not contract.has_target)
    found["training"] = {"families": []} if unused else {}
    if contract.problem == main.problem:
        return found
    limits: dict[str, Any] = {"thresholds": {}, "gates": []}
    found["validation"] = {key: empty for key, empty in limits.items() if getattr(validation, key)}
    if settings.training.metric:
        found["training"]["metric"] = ""
    return found
