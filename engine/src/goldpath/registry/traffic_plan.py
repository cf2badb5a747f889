"""What the registry says about the challenger's part of the traffic: two tags on its version.

They are kept where the aliases are, so that every service that follows the registry does the same,
on every machine, without a restart.
"""

from collections.abc import Mapping
from dataclasses import dataclass

SHARE_TAG, SHADOW_TAG = "traffic_share", "traffic_shadow"


@dataclass(frozen=True)
class TrafficPlan:
    """What a challenger is for.

    Attributes:
        share: Of the requests, from 0 to 1, that it answers.
        shadow: Whether it also scores what the champion answers, unseen.
    """

    share: float = 0.0
    shadow: bool = False

    def tags(self) -> dict[str, str]:
        """The tags that say so."""
        return {SHARE_TAG: f"{self.share:g}", SHADOW_TAG: str(self.shadow).lower()}


def read_plan(tags: Mapping[str, str]) -> TrafficPlan | None:
    """The plan that a version's tags hold; None without one. What cannot be read is no traffic."""
    if not tags.get(SHARE_TAG) and not tags.get(SHADOW_TAG):
        return None
    try:
        share = float(tags.get(SHARE_TAG) or "0")
    except ValueError:
        share = 0.0
    return TrafficPlan(share if 0 <= share <= 1 else 0.0, tags.get(SHADOW_TAG) == "true")
