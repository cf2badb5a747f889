"""`/ready` and `/model`: which version of a model serves, or what is missing."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from goldpath.contract import Contract, Feature
from goldpath.features.learned import changed_features
from goldpath.registry.layout import COMPILED_TAG
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import problem_answers
from goldpath.serving.lane.entity_rows import left_to_app
from goldpath.serving.predictor import NoModelError
from goldpath.serving.schemas import ModelFacts, Readiness
from goldpath.serving.serving_core import ServingCore


def facts_router(core: ServingCore, learned: Contract, no_lane: str | None = None) -> APIRouter:
    """The routes.

    Args:
        core: Serves the model.
        learned: The contract with the project's present features.
        no_lane: Why the fast lane does not answer, whatever the model.
    """
    predictor, settings = core.predictor, core.settings
    router = APIRouter(tags=["operations"])

    @router.get("/ready", responses={503: {"model": Readiness}})
    async def ready(_: Request) -> Response:
        """Whether a model serves; otherwise what is missing and which command brings it."""
        status = predictor.status()
        answer = Readiness(
            ready=status.version is not None,
            missing=list(status.missing),
            fix=status.fix,
            model_name=status.version.name if status.version else None,
            model_version=status.version.version if status.version else None,
        )
        return JSONResponse(answer.model_dump(), 200 if answer.ready else 503)

    @router.get("/model", responses=problem_answers(503))
    async def model() -> ModelFacts:
        """The model that serves."""
        try:
            champion = predictor.current()
        except NoModelError as error:
            raise ProblemError(503, error.message, error.fix, {"Retry-After": "5"}) from error
        version, contract = champion.version, champion.model.contract
        return ModelFacts(
            model_name=version.name,
            model_version=version.version,
            semantic_version=version.tags.get("semantic_version"),
            aliases=list(version.aliases),
            description=version.description,
            engine=getattr(champion.model, "engine", "pipeline"),
            compiled=version.tags.get(COMPILED_TAG),
            from_copy=champion.kept,
            gold_snapshot=version.tags.get("gold_snapshot"),
            problem=contract.problem,
            target=contract.target.column if contract.has_target else "",
            classes=list(contract.target.classes),
            threshold=contract.decision_threshold,
            thresholds=contract.decision_thresholds,
            unsure=contract.decision_unsure,
            groups=contract.decision_groups,
            interval=contract.prediction_interval,
            features={
                each.name: _described(each, is_forecast=contract.forecast is not None)
                for each in contract.features
            },
            left_to_app=no_lane or left_to_app(champion.model, learned, settings),
            answer_fields={field.name: field.described for field in core.answer_fields},
            service_metrics={each.name: each.described for each in core.hooks.metrics},
            changed_row_features=list(changed_features(contract, learned)),
        )

    return router


def _described(feature: Feature, *, is_forecast: bool) -> str:
    words = feature.domain.describe()
    if feature.window:
        whose = "row's time" if is_forecast else "request's entity"
        return f"looked up by the service for the {whose}, not sent: {words}"
    return f"computed by the service, not sent: {words}" if feature.expression else words
