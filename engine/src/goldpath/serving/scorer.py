"""What happens to rows that FastAPI has checked: choose a model, score, log, count."""

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Header, Request

from goldpath.contract import EVENT_TIME
from goldpath.features.row.tracing import Row
from goldpath.learning.decision.fields import fields_of
from goldpath.serving.access.roles import Client
from goldpath.serving.answers.hooks import Hooks, PredictionRequest
from goldpath.serving.answers.models import BatchAnswer, answer_models
from goldpath.serving.answers.own_fields import (
    AnswerField,
    AnswerFieldError,
    Prediction,
    row_of,
)
from goldpath.serving.http.called_hooks import after_answer, before_answer
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.metrics.requests import route_of
from goldpath.serving.metrics.service import Metrics
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog
from goldpath.serving.predictor import (
    Champion,
    NoModelError,
    ScoredRow,
    UnscorableError,
    score_rows,
)
from goldpath.serving.shadow import Shadow
from goldpath.serving.traffic import PIN_ROLE, Traffic
from goldpath.serving.window_values import WindowValues

NO_HOOKS = Hooks()

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """Which model a request is for.

    Attributes:
        body: Of the request; chooses between champion and challenger.
        client: Who asks.
        route: Which one.
        version: The version that it asks for.
    """

    body: bytes
    client: Client
    route: str
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
    client: Client = request.state.client
    if version is not None and PIN_ROLE not in client.roles:
        raise ProblemError(
            403,
            f"the header X-Model-Version asks for the role {PIN_ROLE}",
            "leave the header out, or use a key with that role",
        )
    return Wish(await request.body(), client, route_of(request.scope), version)


async def wish_of_any(request: Request) -> Wish:
    """The same of a route that the model which serves answers, whatever version is asked for."""
    return Wish(b"", request.state.client, route_of(request.scope))


class Scorer:
    """Answers with the model that the traffic's plan, or the request, chooses.

    Attributes:
        fields: The project's own fields of an answer.
        answers: The models of an answer with these fields.
    """

    def __init__(
        self,
        traffic: Traffic,
        prediction_log: PredictionLog,
        metrics: Metrics,
        shadow: Shadow,
        windows: WindowValues,
        fields: Sequence[AnswerField] = (),
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self._hooks = hooks
        self._traffic = traffic
        self._log = prediction_log
        self._metrics = metrics
        self._shadow = shadow
        self._windows = windows
        self.fields = fields
        self.answers = answer_models(fields)

    def score(
        self,
        rows: Sequence[Mapping[str, Any]],
        wish: Wish,
        entities: Sequence[str] | None = None,
    ) -> BatchAnswer:
        """Score rows with one model; the log names the entities where the request did.

        The predictions are logged before the project's own metrics and fields are computed and its
        hooks are called.

        Raises:
            ProblemError: 503 without a model, or without a log that must be kept; 422 where the
                model cannot score the values, or has window features and no entity is named; 409
                where the wish's version is not loaded; 500 where a field or a hook of the
                project's fails; and what a hook refuses with.
        """
        now = datetime.now(UTC)
        self.ask_before(rows, wish, entities)
        try:
            model = self._model(wish)
            contract = model.model.contract
            dictionaries = self._windows.complete(rows, contract, entities, now)
            scored = score_rows(model.model, dictionaries)
        except NoModelError as error:
            raise ProblemError(503, error.message, error.fix, {"Retry-After": "5"}) from error
        except UnscorableError as error:
            raise ProblemError(422, error.message, error.fix) from error
        name, version = model.version.name, model.version.version
        at = now.isoformat()
        logged = [self._windows.loggable(row, contract) for row in dictionaries]
        ids = [str(uuid.uuid4()) for _ in scored]
        named: Sequence[str | None] = entities or [None] * len(ids)
        is_logged = self._log.write(
            [
                LoggedPrediction(each, at, version, features, row.value, row.score, entity, time)
                for each, features, row, entity, time in zip(
                    ids, logged, scored, named, map(_target_time, rows), strict=True
                )
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
            self._offer(rows, entities, now, ids, [row.score for row in scored])
        self._metrics.predicted(version, [row.value for row in scored])
        beside = fields_of(contract)
        own = self._told(dictionaries, scored, ids, model, wish, entities)
        predictions = [
            self.answers.item(
                prediction=row.value,
                **dict(
                    zip(beside.names, beside.of_row(row.value, row.score, row.line), strict=True)
                ),
                probabilities=row.probabilities,
                prediction_id=each,
                **more,
            )
            for each, row, more in zip(ids, scored, own, strict=True)
        ]
        return self.answers.batch(model_name=name, model_version=version, predictions=predictions)

    def ask_before(
        self, rows: Sequence[Mapping[str, Any]], wish: Wish, entities: Sequence[str] | None
    ) -> None:
        """Call the project's hooks before an answer.

        Raises:
            ProblemError: If one refuses the request, or fails.
        """
        if self._hooks.before:
            before_answer(self._hooks, _asked([row_of(row) for row in rows], wish, entities))

    def _told(
        self,
        rows: Sequence[Mapping[str, Any]],
        scored: Sequence[ScoredRow],
        ids: Sequence[str],
        model: Champion,
        wish: Wish,
        entities: Sequence[str] | None,
    ) -> Sequence[dict[str, Any]]:
        """Tell the project's functions of the predictions: its fields of each row.

        Raises:
            ProblemError: 500 where a field or a hook fails; and what a hook refuses with.
        """
        measure = self._metrics.own.of_version(model.version.version)
        if not (self.fields or self._hooks.after or measure):
            return [{} for _ in rows]
        said, seen = self._said(scored, model), [row_of(row) for row in rows]
        if measure is not None:
            for row, prediction in zip(seen, said, strict=True):
                measure(row, prediction)
        own = self._own_fields(seen, said, ids)
        if self._hooks.after:
            after_answer(self._hooks, _asked(seen, wish, entities), said, ids)
        return own

    def _said(self, scored: Sequence[ScoredRow], model: Champion) -> Sequence[Prediction]:
        """The predictions as the project's functions read them."""
        beside = fields_of(model.model.contract)
        return [
            Prediction(
                each.value,
                each.score,
                each.probabilities or {},
                model_version=model.version.version,
                **dict(
                    zip(beside.names, beside.of_row(each.value, each.score, each.line), strict=True)
                ),
            )
            for each in scored
        ]

    def _own_fields(
        self, rows: Sequence[Row], predictions: Sequence[Prediction], ids: Sequence[str]
    ) -> Sequence[dict[str, Any]]:
        """The project's fields of each row.

        Raises:
            ProblemError: 500 where one fails; names it and the logged prediction.
        """
        found: list[dict[str, Any]] = [{} for _ in rows]
        for place, (row, prediction) in enumerate(zip(rows, predictions, strict=True)):
            try:
                for field in self.fields:
                    found[place][field.name] = field.value(row, prediction)
            except AnswerFieldError as error:
                log.exception("%s", error.message)
                raise ProblemError(
                    500,
                    f"the answer field {error.field} of row {place} {error.reason}; the "
                    f"prediction was logged as {ids[place]}",
                    "tell whoever runs the service: its log has the cause",
                ) from error
        return found

    def looks_up(self, wish: Wish) -> bool:
        """Whether the model of a request takes what is known of its entity.

        Raises:
            ProblemError: If the wish's version is not loaded.
        """
        try:
            return bool(self._model(wish).model.contract.window_features)
        except NoModelError:
            return False

    def has_groups(self, wish: Wish) -> bool:
        """Whether the rows of a request may have different thresholds, by group.

        Raises:
            ProblemError: If the wish's version is not loaded.
        """
        try:
            return self._model(wish).model.contract.decision_groups is not None
        except NoModelError:
            return False

    def _offer(
        self,
        rows: Sequence[Mapping[str, Any]],
        entities: Sequence[str] | None,
        at: datetime,
        ids: Sequence[str],
        scores: Sequence[float],
    ) -> None:
        """Have the shadow score the rows; not where it takes what cannot be looked up."""
        shadow = self._traffic.shadow
        if shadow is None:
            return
        try:
            complete = self._windows.complete(rows, shadow.model.contract, entities, at)
        except ProblemError:
            return
        self._shadow.offer(ids, complete, scores)

    def _model(self, wish: Wish) -> Champion:
        if wish.version is not None:
            return self._traffic.pinned(wish.version)
        return self._traffic.choose(wish.body)


def _asked(rows: Sequence[Row], wish: Wish, entities: Sequence[str] | None) -> PredictionRequest:
    """A request as the project's hooks see it."""
    client = wish.client
    return PredictionRequest(client.name, client.roles, wish.route, rows, entities or ())


def _target_time(row: Mapping[str, Any]) -> str | None:
    """The time that a row of a forecast is about."""
    time = row.get(EVENT_TIME)
    return time.isoformat() if isinstance(time, datetime) else None
