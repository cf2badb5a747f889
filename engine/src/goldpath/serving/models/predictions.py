"""`/predict` and `/predict/batch` of one model."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from goldpath.serving.answers.models import Answer, BatchAnswer
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import DOCUMENTED_CREDENTIALS, PredictionRoute
from goldpath.serving.schemas import RequestModels
from goldpath.serving.scorer import Scorer, Wish, wish_of
from goldpath.serving.stored_features import AskedRows

WishOfRequest = Annotated[Wish, Depends(wish_of)]


def prediction_router(
    models: RequestModels,
    scorer: Scorer,
    asked: AskedRows,
    most_rows: int,
    route_class: type[PredictionRoute] = PredictionRoute,
) -> APIRouter:
    """The routes.

    Args:
        models: The bodies.
        scorer: Answers.
        asked: Reads the rows of a body.
        most_rows: Of one request.
        route_class: How bodies are read.
    """
    router = APIRouter(
        route_class=route_class,
        dependencies=DOCUMENTED_CREDENTIALS,
        tags=["predictions"],
        responses=problem_answers(400, 401, 403, 408, 413, 415, 422, 429, 503),
    )
    single = models.single(f"{models.prefix}PredictRequest")
    batch: type[BaseModel] = models.batch(f"{models.prefix}BatchRequest", most_rows)
    by_key = problem_answers(404, 409) if models.keyed else {}

    # What is not set is left out: a version without a threshold shows no decision.
    answers = scorer.answers

    @router.post(
        "/predict",
        responses=by_key,
        response_model=answers.single,
        response_model_exclude_unset=True,
    )
    def predict(
        body: single,  # type: ignore[valid-type]
        wish: WishOfRequest,
    ) -> Answer:
        """Score one row: the one in `features`, or the online store's for an entity's key."""
        answer = score(body, wish)
        return answers.single(
            model_name=answer.model_name,
            model_version=answer.model_version,
            **answer.predictions[0].model_dump(exclude_unset=True),
        )

    @router.post(
        "/predict/batch",
        responses=by_key,
        response_model=answers.batch,
        response_model_exclude_unset=True,
    )
    def predict_batch(
        body: batch,  # type: ignore[valid-type]
        wish: WishOfRequest,
    ) -> BatchAnswer:
        """Score several rows with one model version: all by their features, or all by their keys.

        What is known of the keys is read once for the whole request.
        """
        return score(body, wish)

    def score(body: BaseModel, wish: Wish) -> BatchAnswer:
        found = asked.of(body, looks_up=lambda: scorer.looks_up(wish))
        return scorer.score(found.rows, wish, found.entities)

    return router
