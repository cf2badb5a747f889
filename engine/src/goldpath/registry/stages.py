"""The stage vocabulary — None, Staging, Production, Archived — as a view on aliases and a tag.

MLflow's own stages are deprecated and go with its next major release. Here a version is

* in Production where the alias `champion` points at it, or where its tag `stage` says so: that is
  how two versions are in Production for an A/B test, the second one with the alias `challenger`;
* in Staging where the alias `staging` points at it, or the tag says so;
* Archived where the tag says so;
* and what MLflow's own stage says where there is neither alias nor tag.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from goldpath.model_version import ModelVersion
from goldpath.registry.stores.store import RegistryError

CHAMPION = "champion"
CHALLENGER = "challenger"
STAGING = "staging"

Stage = Literal["None", "Staging", "Production", "Archived"]
STAGES: tuple[Stage, ...] = ("None", "Staging", "Production", "Archived")
STAGE_TAG = "stage"
ALIAS_OF: dict[Stage, str] = {"Staging": STAGING, "Production": CHAMPION}


@dataclass(frozen=True)
class StageChange:
    """What a transition comes to.

    Attributes:
        tags: The stage that each version's tag gets.
        aliases: The version that each alias gets; None to remove it.
    """

    tags: dict[str, Stage]
    aliases: dict[str, str | None]


def parse_stage(text: str) -> Stage:
    """A stage's name, in any case.

    Raises:
        RegistryError: If it is none.
    """
    for stage in STAGES:
        if stage.lower() == text.lower():
            return stage
    raise RegistryError(f"there is no stage {text!r}", f"use one of {', '.join(STAGES)}")


def stage_of(version: ModelVersion) -> Stage:
    """The stage that a version is in."""
    if CHAMPION in version.aliases:
        return "Production"
    tagged = version.tags.get(STAGE_TAG)
    if STAGING in version.aliases and tagged != "Production":
        return "Staging"
    stage = tagged if tagged is not None else version.mlflow_stage
    return next((name for name in STAGES if name == stage), "None")


def in_stage(versions: Iterable[ModelVersion], stage: Stage) -> list[ModelVersion]:
    """The versions in a stage: first the one its alias names, then the newest."""
    alias = ALIAS_OF.get(stage)
    found = [version for version in versions if stage_of(version) == stage]
    return sorted(found, key=lambda version: (alias not in version.aliases, -int(version.version)))


def plan_transition(
    versions: Sequence[ModelVersion], number: str, stage: Stage, *, archive_existing: bool
) -> StageChange:
    """What must change for a version to be in a stage.

    Args:
        versions: All versions of the model.
        number: The one that moves.
        stage: Where to.
        archive_existing: Whether the others in that stage are archived. Otherwise they stay:
            the champion keeps its alias, and the second in Production becomes the challenger.

    Raises:
        RegistryError: If the version is the champion and is to leave Production.
    """
    version = next((item for item in versions if item.version == number), None)
    if version is None:
        raise RegistryError(f"there is no version {number}", "see: registry list")
    others = [item for item in in_stage(versions, stage) if item.version != number]
    tags: dict[str, Stage] = {number: stage}
    aliases: dict[str, str | None] = {}
    for held, alias in ALIAS_OF.items():
        if held != stage and alias in version.aliases:
            if alias == CHAMPION:
                raise RegistryError(
                    f"version {number} is the champion and cannot go to {stage}",
                    "promote another version first: the service would have no model",
                )
            aliases[alias] = None
    if stage == "Archived" and CHALLENGER in version.aliases:
        aliases[CHALLENGER] = None
    if archive_existing and stage in ALIAS_OF:
        for other in others:
            tags[other.version] = "Archived"
            if CHALLENGER in other.aliases:
                aliases[CHALLENGER] = None
    own = ALIAS_OF.get(stage)
    if own is not None and own not in version.aliases:
        taken = any(own in other.aliases for other in others)
        if archive_existing or not taken:
            aliases[own] = number
        elif stage == "Production":
            for other in others:  # the champion's tag, so that it stays when the alias moves on
                tags.setdefault(other.version, stage)
            aliases[CHALLENGER] = number
    if own is not None and aliases.get(own) == number and CHALLENGER in version.aliases:
        aliases[CHALLENGER] = None
    return StageChange(tags, aliases)
