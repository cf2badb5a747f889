"""Which model version answers a request: the champion, or for a share of them a challenger.

The alias `challenger` names the other version; two tags on that version say what it is for:
`traffic_share` (0 to 1: the share of requests that it answers) and `traffic_shadow` (`true`: it
scores what the champion answers, too, and nobody sees its answers). So every service that follows
the registry does the same, on every machine, without a restart.

A request is given to a version by its content: the same request, sent again, is answered by the
same version as long as the shares stay.
"""

import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from .predictor import Champion, Predictor
from .problems import ProblemError

CHALLENGER = "challenger"
SHARE_TAG, SHADOW_TAG = "traffic_share", "traffic_shadow"
TICKETS = 1 << 32


@dataclass(frozen=True)
class TrafficPlan:
    """What the challenger is for.

    Attributes:
        share: Of the requests, from 0 to 1, that the challenger answers.
        shadow: Whether it scores the champion's requests as well.
    """

    share: float = 0.0
    shadow: bool = False


def read_plan(tags: Mapping[str, str]) -> TrafficPlan:
    """The plan that a version's tags hold; what cannot be read is no traffic."""
    try:
        share = float(tags.get(SHARE_TAG, "0"))
    except ValueError:
        share = 0.0
    if not 0 <= share <= 1:
        share = 0.0
    return TrafficPlan(share, tags.get(SHADOW_TAG, "").lower() == "true")


class Traffic:
    """Chooses among the models that are loaded.

    Args:
        champion: Follows the alias that answers.
        challenger: Follows the alias `challenger`; it may have no model.
    """

    def __init__(self, champion: Predictor, challenger: Predictor) -> None:
        self._champion = champion
        self._challenger = challenger
        self._lock = threading.Lock()
        self.plan = TrafficPlan()
        self._below = 0

    def refresh(self) -> None:
        """Look at the challenger's alias and its tags once."""
        with self._lock:
            self._challenger.refresh()
            challenger = self._challenger.loaded()
            self.plan = read_plan(challenger.version.tags) if challenger else TrafficPlan()
            self._below = round(self.plan.share * TICKETS)

    def choose(self, body: bytes) -> Champion:
        """The model for a request without a wish.

        Args:
            body: Of the request; equal ones are answered by the same model.

        Raises:
            NoModelError: Where there is none.
        """
        if self._below and zlib.crc32(body) < self._below:
            challenger = self._challenger.loaded()
            if challenger is not None:
                return challenger
        return self._champion.current()

    def pinned(self, version: str) -> Champion:
        """The model of a version that a request asks for.

        Raises:
            ProblemError: 409 where that version is not loaded.
        """
        models = [self._champion.loaded(), self._challenger.loaded()]
        for model in models:
            if model is not None and model.version.version == version:
                return model
        loaded = ", ".join(sorted({model.version.version for model in models if model})) or "none"
        raise ProblemError(
            409,
            f"X-Model-Version asks for a version that is not loaded; loaded: {loaded}",
            "leave the header out, or give the version the alias challenger",
        )

    def loaded_versions(self) -> frozenset[str]:
        """The versions that can answer now."""
        models = (self._champion.loaded(), self._challenger.loaded())
        return frozenset(model.version.version for model in models if model is not None)

    @property
    def shadow(self) -> Champion | None:
        """The model that scores along with the champion; None where there is none."""
        return self._challenger.loaded() if self.plan.shadow else None
