"""What happens to rows that FastAPI has checked: choose a model, score, log, count."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Header, Request

from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.monitoring import Metrics
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog
from goldpath.serving.predictor import Champion, NoModelError, UnscorableError, score_rows
from goldpath.serving.schemas import BatchAnswer, BatchItem
from goldpath.serving.shadow import Shadow
from goldpath.serving.traffic import PIN_ROLE, Traffic
from goldpath.serving.window_values import WindowValues


@dataclass(frozen=True)
class Wish:
    """Which model a request is for.

    Attributes:
        body: Of the request; chooses between champion and challenger.
        version: The version that it asks for.
    """

    body: bytes
    version: str | None = None


async def wish_of(
    request: Request,
    version: Annotated[
        str | None,
        Header(
            alias="X-Model-Version",
            max_length=20,
            description=f"Ask a certain version that is loaded (role {PIN_ROLE}).",
        ),
    ] = None,
) -> Wish:
    """Read it from a request.

    Raises:
        ProblemError: 403 where a version is asked for by somebody who may not choose.
    """
    if version is not None and PIN_ROLE not in request.state.client.roles:
        raise ProblemError(
            403,
            f"the header X-Model-Version asks for the role {PIN_ROLE}",
            "leave the header out, or use a key with that role",
        )
    return Wish(await request.body(), version)


class Scorer:
    """Answers with the model that the traffic's plan, or the request, chooses."""

    def __init__(
        self,
        traffic: Traffic,
        prediction_log: PredictionLog,
        metrics: Metrics,
        shadow: Shadow,
        windows: WindowValues,
    ) -> None:
        self._traffic = traffic
        self._log = prediction_log
        self._metrics = metrics
        self._shadow = shadow
        self._windows = windows

    def score(
        self, rows: Sequence[Mapping[str, Any]], wish: Wish, entity: str | None = None
    ) -> BatchAnswer:
        """Score rows with one model; the log names the entity where the request did.

        Raises:
            ProblemError: 503 without a model, or without a log that must be kept; 422 where the
                model cannot score the values, or has window features and no entity is named; 409
                where the wish's version is not loaded.
        """
        now = datetime.now(UTC)
        try:
            model = self._model(wish)
            contract = model.model.contract
            dictionaries = self._windows.complete(rows, contract, entity, now)
            scored = score_rows(model.model, dictionaries)
        except NoModelError as error:
            raise ProblemError(503, error.message, error.fix, {"Retry-After": "5"}) from error
        except UnscorableError as error:
            raise ProblemError(422, error.message, error.fix) from error
        name, version = model.version.name, model.version.version
        at = now.isoformat()
        logged = [self._windows.loggable(row, contract) for row in dictionaries]
        ids = [str(uuid.uuid4()) for _ in scored]
        is_logged = self._log.write(
            [
                LoggedPrediction(each, at, version, features, row.value, row.score, entity)
                for each, features, row in zip(ids, logged, scored, strict=True)
            ]
        )
        if not is_logged:
            raise ProblemError(
                503,
                "the prediction cannot be logged, and prediction_log.required says that it must be",
                "make room on the service's disk, and send the request again",
                {"Retry-After": "5"},
            )
        if self._shadow.wants(model):
            self._offer(rows, entity, now, ids, [row.score for row in scored])
        self._metrics.predicted(version, [row.value for row in scored])
        predictions = [
            BatchItem(prediction=row.value, probabilities=row.probabilities, prediction_id=each)
            for each, row in zip(ids, scored, strict=True)
        ]
        return BatchAnswer(model_name=name, model_version=version, predictions=predictions)

    def looks_up(self, wish: Wish) -> bool:
        """Whether the model of a request takes what is known of its entity.

        Raises:
            ProblemError: If the wish's version is not loaded.
        """
        try:
            return bool(self._model(wish).model.contract.window_features)
        except NoModelError:
            return False

    def _offer(
        self,
        rows: Sequence[Mapping[str, Any]],
        entity: str | None,
        at: datetime,
        ids: Sequence[str],
        scores: Sequence[float],
    ) -> None:
        """Have the shadow score the rows; not where it takes what cannot be looked up."""
        shadow = self._traffic.shadow
        if shadow is None:
            return
        try:
            complete = self._windows.complete(rows, shadow.model.contract, entity, at)
        except ProblemError:
            return
        self._shadow.offer(ids, complete, scores)

    def _model(self, wish: Wish) -> Champion:
        if wish.version is not None:
            return self._traffic.pinned(wish.version)
        return self._traffic.choose(wish.body)
