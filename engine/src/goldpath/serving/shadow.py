"""A challenger that scores what the champion answers, and whose answers nobody gets.

It works behind the answers, in a thread of its own: a slow or failing shadow costs requests
nothing. Under more load than it can take it scores a part of them, the newest. What it says goes
to `logs/shadow`, without the rows, under the ids that the clients got; its distance
from the champion's score goes to a metric.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog
from goldpath.serving.predictor import Champion, UnscorableError, score_rows
from goldpath.serving.traffic import Traffic

MOST_WAITING = 10_000
ROWS_AT_ONCE = 256

log = logging.getLogger(__name__)

Waiting = tuple[str, dict[str, Any], float]
"""A prediction's id, its row and the score that the client got."""


class Shadow:
    """Scores rows again.

    Args:
        traffic: Says whether there is a shadow, and which model it is.
        prediction_log: Gets its predictions.
        compared: Called with the shadow's version and the difference of each pair of scores.
    """

    def __init__(
        self,
        traffic: Traffic,
        prediction_log: PredictionLog,
        compared: Callable[[str, float], None],
    ) -> None:
        self._traffic = traffic
        self._log = prediction_log
        self._compared = compared
        self._waiting: deque[Waiting] = deque(maxlen=MOST_WAITING)
        self._news = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def wants(self, answered_by: Champion) -> bool:
        """Whether rows that this model answered are to be scored again."""
        shadow = self._traffic.shadow
        return shadow is not None and shadow.version.version != answered_by.version.version

    @property
    def looks_up(self) -> bool:
        """Whether it takes what is known of an entity, beside the features of a row."""
        shadow = self._traffic.shadow
        return shadow is not None and bool(shadow.model.contract.window_features)

    def offer(
        self, names: Sequence[str], rows: Sequence[dict[str, Any]], scores: Sequence[float]
    ) -> None:
        """Score these rows later; returns at once.

        Args:
            names: The predictions' ids.
            rows: By feature name.
            scores: What the clients got.
        """
        self._waiting.extend(zip(names, rows, scores, strict=True))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
            self._thread.start()
        self._news.set()

    def stop(self) -> None:
        """Stop; what is still waiting is not scored."""
        self._stopping = True
        self._news.set()
        if self._thread is not None:
            self._thread.join(2)
        self._log.close()

    def _work(self) -> None:
        while not self._stopping:
            self._news.wait()
            self._news.clear()
            while self._waiting and not self._stopping:
                count = min(ROWS_AT_ONCE, len(self._waiting))
                self._score([self._waiting.popleft() for _ in range(count)])

    def _score(self, batch: list[Waiting]) -> None:
        shadow = self._traffic.shadow
        if shadow is None:
            return
        version = shadow.version.version
        try:
            scored = score_rows(shadow.model, [row for _, row, _ in batch])
        except UnscorableError:
            return
        except Exception:
            log.exception("the shadow, version %s, failed", version)
            return
        at = datetime.now(UTC).isoformat()
        lines = []
        for (name, _, score), found in zip(batch, scored, strict=True):
            self._compared(version, found.score - score)
            lines.append(LoggedPrediction(name, at, version, {}, found.value, found.score))
        self._log.write(lines)
