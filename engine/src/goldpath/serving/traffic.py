"""Which model version answers a request: the champion, or for a share of them a challenger.

The alias `challenger` names the other version, and tags on that version say what it is for
(`registry/traffic_plan.py`, `traffic split`).

A request is given to a version by its content: the same request, sent again, is answered by the
same version as long as the shares stay.
"""

import threading
import zlib

from goldpath.registry.traffic_plan import TrafficPlan, read_plan
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.predictor import Champion, Predictor

TICKETS = 1 << 32
PIN_ROLE = "admin"
"""May ask for a certain version."""


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
            plan = read_plan(challenger.version.tags) if challenger else None
            self.plan = plan or TrafficPlan()
            self._below = round(self.plan.share * TICKETS)

    def choose(self, body: bytes) -> Champion:
        """The model for a request without a wish.

        Args:
            body: Of the request; equal ones are answered by the same model.

        Raises:
            NoModelError: If there is none.
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
