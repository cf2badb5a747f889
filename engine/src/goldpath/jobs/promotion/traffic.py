"""Gives a version a part of the traffic, as challenger of the champion, and takes it away."""

from dataclasses import dataclass

from goldpath.registry.mlflow_manager import CHALLENGER, CHAMPION, MLflowManager, RegistryError
from goldpath.registry.traffic_plan import SHADOW_TAG, SHARE_TAG, TrafficPlan, read_plan


@dataclass(frozen=True)
class TrafficState:
    """Who answers.

    Attributes:
        model: The registered model.
        champion: Its version; None where there is none.
        challenger: The challenger's version; None where it has no traffic.
        share: Of the requests that the challenger answers, from 0 to 1.
        shadow: Whether the challenger scores the champion's requests, unseen.
    """

    model: str
    champion: str | None
    challenger: str | None
    share: float
    shadow: bool


def traffic_state(manager: MLflowManager) -> TrafficState:
    """Who answers now."""
    champion = manager.version_by_alias(CHAMPION)
    challenger = manager.version_by_alias(CHALLENGER)
    plan = read_plan(challenger.tags) if challenger else None
    return TrafficState(
        model=manager.model_name,
        champion=champion.version if champion else None,
        challenger=challenger.version if challenger and plan else None,
        share=plan.share if plan else 0.0,
        shadow=plan.shadow if plan else False,
    )


def direct_traffic(manager: MLflowManager, reference: str, plan: TrafficPlan) -> TrafficState:
    """Make a version the challenger, with this part of the traffic.

    Args:
        manager: The registry.
        reference: Number, alias, stage or semantic version.
        plan: What the challenger is for.

    Raises:
        RegistryError: If the version is the champion, or does not exist.
    """
    version = manager.find(reference)
    if CHAMPION in version.aliases:
        raise RegistryError(
            f"version {version.version} is the champion, which answers the rest anyway",
            "name another version (registry list)",
        )
    former = manager.version_by_alias(CHALLENGER)
    if former is not None and former.version != version.version:
        manager.tag_version(former.version, {SHARE_TAG: "", SHADOW_TAG: ""})
    # The tags come first: an alias without them would mean no traffic, which is harmless.
    manager.tag_version(version.version, plan.tags())
    manager.set_alias(CHALLENGER, version.version)
    return traffic_state(manager)


def stop_traffic(manager: MLflowManager) -> TrafficState:
    """Let the champion answer everything."""
    challenger = manager.version_by_alias(CHALLENGER)
    if challenger is not None:
        manager.tag_version(challenger.version, {SHARE_TAG: "", SHADOW_TAG: ""})
        manager.remove_alias(CHALLENGER)
    return traffic_state(manager)
