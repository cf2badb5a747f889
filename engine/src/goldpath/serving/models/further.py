"""Further models beside the main one, in one service: `/models/NAME/predict` and its neighbours.

Access, limits and problems are those of the main model; log, metrics and champion are each model's
own. A further model that cannot be used, or has no champion, answers 503; the main one goes on.
"""

import logging

from fastapi import APIRouter, FastAPI

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.features.learned import learned_contract
from goldpath.serving.feedback import FeedbackLog, feedback_router
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.http.request_body import (
    DOCUMENTED_CREDENTIALS,
    KeyedRoute,
    PredictionRoute,
)
from goldpath.serving.http.value_count import Bounds
from goldpath.serving.metrics.service import FURTHER_ROUTES
from goldpath.serving.models.facts import facts_router
from goldpath.serving.models.predictions import prediction_router
from goldpath.serving.schemas import request_models
from goldpath.serving.scorer import Scorer
from goldpath.serving.serving_core import ServingCore
from goldpath.serving.stored_features import AskedRows, StoredFeatures, predicts_by_key
from goldpath.serving.window_values import WindowValues
from goldpath.settings import Settings

NO_LANE = "the fast lane is the main model's; alone, with the lane: make serve MODEL={}"

log = logging.getLogger(__name__)


def include_further_models(app: FastAPI, core: ServingCore) -> None:
    """Add the routes of the further models to the app."""
    for name, error in core.unusable.items():
        app.include_router(_refusals(error), prefix=f"{FURTHER_ROUTES}/{name}")
    for name, further in core.further.items():
        app.include_router(
            _routes(name, further), prefix=f"{FURTHER_ROUTES}/{name}", tags=[f"model {name}"]
        )


def present_contract(settings: Settings, contract: Contract) -> Contract:
    """The contract with the project's present features, where they can be used."""
    try:
        return learned_contract(settings, contract)
    except ProjectError as error:  # the model that is there serves with its own
        log.warning("the project's features cannot be used: %s", error.message)
        return contract


def scorer_of(core: ServingCore, windows: WindowValues) -> Scorer:
    """What scores the rows of a model that FastAPI has checked."""
    return Scorer(
        core.traffic,
        core.prediction_log,
        core.metrics,
        core.shadow,
        windows,
        core.answer_fields,
        core.hooks,
    )


def _routes(name: str, core: ServingCore) -> APIRouter:
    settings, contract = core.settings, core.contract
    learned = present_contract(settings, contract)
    by_key, most_rows = predicts_by_key(contract), settings.serving.maximum_batch_rows
    prefix = "".join(part.title() for part in name.split("_"))
    models = request_models(
        contract, by_key=by_key, looks_up=bool(learned.window_features), prefix=prefix
    )
    asked = AskedRows(StoredFeatures(settings, contract, models.row) if by_key else None)
    windows = WindowValues(settings, core.metrics, learned)
    scorer = scorer_of(core, windows)
    bounds = Bounds.of(most_rows, len(contract.features), settings.serving.maximum_nesting)
    route = type(f"{prefix}Route", (PredictionRoute,), {"bounds": bounds, "contract": contract})
    feedback_log = FeedbackLog(settings)
    core.at_end.append(feedback_log.close)
    no_lane = NO_LANE.format(name)
    router = APIRouter()
    router.include_router(prediction_router(models, scorer, asked, most_rows, route))
    router.include_router(facts_router(core, learned, no_lane))
    router.include_router(feedback_router(contract, most_rows, feedback_log, prefix))
    return router


def _refusals(error: ProjectError) -> APIRouter:
    """What answers for a model whose folder cannot be used: why, to those who may predict."""
    router = APIRouter(
        route_class=KeyedRoute,
        dependencies=DOCUMENTED_CREDENTIALS,
        tags=["operations"],
        responses=problem_answers(401, 403, 429, 503),
    )

    @router.api_route("/{rest:path}", methods=["GET", "POST"], include_in_schema=False)
    def refuse(rest: str) -> None:  # noqa: ARG001  every path of the model
        raise ProblemError(503, error.message, error.fix)

    return router
