"""The HTTP service: predictions by the champion, its health and its metrics."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response, Security
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.security import APIKeyHeader
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from ..contract import Contract, load_contract
from ..settings import Settings, load_settings
from .fast_lane import FastLane
from .invocations import invocations
from .monitoring import Metrics, RequestMetrics
from .prediction_log import LoggedPrediction, PredictionLog
from .predictor import (
    ModelSource,
    NoModelError,
    Predictor,
    UnscorableError,
    score_rows,
)
from .problems import ProblemError, install_problem_answers, problem_answers
from .request_body import PredictionRoute
from .schemas import (
    Answer,
    BatchAnswer,
    BatchItem,
    Health,
    ModelFacts,
    Readiness,
    RequestModels,
    describe,
    feature_rows,
    keyed_request,
    request_models,
)
from .security import API_KEY_HEADER, SecurityHeaders
from .stored_features import StoredFeatures, predicts_by_key


def create_app(
    settings: Settings | None = None,
    contract: Contract | None = None,
    source: ModelSource | None = None,
    after_loading: Callable[[], None] | None = None,
) -> FastAPI:
    """Make the service; it comes up healthy with no registry, no model and no lake.

    Args:
        settings: Read from the project where not given.
        contract: Read from the project where not given.
        source: Where models come from; MLflow where not given.
        after_loading: Called when a model has taken over.

    Returns:
        The app. `app.state` holds `settings`, `metrics` and `predictor`.
    """
    settings = settings or load_settings()
    contract = contract or load_contract(settings.root)
    metrics = Metrics(contract, settings.reports)

    def loaded(version: str) -> None:
        metrics.model_loaded(version)
        if after_loading is not None:
            after_loading()

    predictor = Predictor(settings, contract, source, loaded)
    prediction_log = PredictionLog(
        settings.root / settings.serving.prediction_log, metrics.log_failed
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        predictor.start()
        yield
        predictor.stop()
        prediction_log.close()

    app = FastAPI(
        title=contract.dataset.replace("_", " ").capitalize(),
        description=f"Predicts `{contract.target.column}` ({contract.problem}).",
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.predictor = predictor
    app.state.prediction_log = prediction_log
    install_problem_answers(app, contract)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestMetrics, metrics=metrics)
    by_key = predicts_by_key(contract)
    models = request_models(contract, settings.serving.maximum_batch_rows, by_key=by_key)
    stored = StoredFeatures(settings, contract, models.row) if by_key else None
    scorer = _Scorer(predictor, prediction_log, metrics)
    app.include_router(_predictions(models, scorer, stored))
    app.include_router(invocations(models.row, settings.serving.maximum_batch_rows, scorer.score))
    app.include_router(_operations(predictor, metrics))
    if settings.automl.routes:
        from .automl_routes import automl_routers

        for router in automl_routers(settings, contract):
            app.include_router(router)
    return app


def create_service(
    settings: Settings | None = None,
    contract: Contract | None = None,
    source: ModelSource | None = None,
    after_loading: Callable[[], None] | None = None,
) -> FastLane:
    """The app behind its fast lane: what `make serve` runs.

    Args:
        settings: Read from the project where not given.
        contract: Read from the project where not given.
        source: Where models come from; MLflow where not given.
        after_loading: Called when a model has taken over.
    """
    settings = settings or load_settings()
    contract = contract or load_contract(settings.root)
    app = create_app(settings, contract, source, after_loading)
    state = app.state
    return FastLane(app, settings, contract, state.predictor, state.prediction_log, state.metrics)


class _Scorer:
    """What happens to a checked row: score, log, count."""

    def __init__(
        self, predictor: Predictor, prediction_log: PredictionLog, metrics: Metrics
    ) -> None:
        self._predictor = predictor
        self._log = prediction_log
        self._metrics = metrics

    def score(self, rows: list[dict[str, Any]], entity: str | None = None) -> BatchAnswer:
        """Score rows with one model; the log names the entity where the request did.

        Raises:
            ProblemError: 503 without a model, 422 where the model cannot score the values.
        """
        try:
            champion = self._predictor.current()
            scored = score_rows(champion.model, rows)
        except NoModelError as error:
            raise ProblemError(503, error.message, error.fix, {"Retry-After": "5"}) from error
        except UnscorableError as error:
            raise ProblemError(422, error.message, error.fix) from error
        name, version = champion.version.name, champion.version.version
        at = datetime.now(UTC).isoformat()
        ids = [str(uuid.uuid4()) for _ in scored]
        self._log.write(
            [
                LoggedPrediction(each, at, version, features, row.value, row.score, entity)
                for each, features, row in zip(ids, rows, scored, strict=True)
            ]
        )
        self._metrics.predicted(version, [row.value for row in scored])
        predictions = [
            BatchItem(prediction=row.value, probabilities=row.probabilities, prediction_id=each)
            for each, row in zip(ids, scored, strict=True)
        ]
        return BatchAnswer(model_name=name, model_version=version, predictions=predictions)


def _predictions(
    models: RequestModels, scorer: _Scorer, stored: StoredFeatures | None
) -> APIRouter:
    # PredictionRoute checks the key before it reads the body; this declares it to /docs.
    documented_key = Security(APIKeyHeader(name=API_KEY_HEADER, auto_error=False))
    router = APIRouter(
        route_class=PredictionRoute,
        dependencies=[documented_key],
        tags=["predictions"],
        responses=problem_answers(400, 401, 413, 415, 422, 503),
    )
    single = models.single
    batch: type[BaseModel] = models.batch

    @router.post("/predict", responses=problem_answers(404, 409) if stored else {})
    def predict(body: single) -> Answer:  # type: ignore[valid-type]
        """Score one row: the one in `features`, or the online store's for an entity's key."""
        request = keyed_request(body) if stored else None
        if stored and request:
            answer = scorer.score([stored.row(request)], request.entity)
        else:
            answer = scorer.score(feature_rows(body))
        return Answer(
            model_name=answer.model_name,
            model_version=answer.model_version,
            **answer.predictions[0].model_dump(),
        )

    @router.post("/predict/batch")
    def predict_batch(body: batch) -> BatchAnswer:  # type: ignore[valid-type]
        """Score several rows with one model version."""
        return scorer.score(feature_rows(body))

    return router


def _operations(predictor: Predictor, metrics: Metrics) -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/", include_in_schema=False)
    async def home() -> Response:
        return RedirectResponse("docs")

    @router.get("/health")
    async def health() -> Health:
        """Whether the process answers; true also without a model."""
        return Health()

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
            compiled=version.tags.get("compiled"),
            from_copy=champion.kept,
            gold_snapshot=version.tags.get("gold_snapshot"),
            problem=contract.problem,
            target=contract.target.column,
            classes=list(contract.target.classes),
            features={feature.name: describe(feature) for feature in contract.features},
        )

    @router.get("/metrics", response_class=Response)
    def prometheus() -> Response:
        """The service's figures in Prometheus' text format."""
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return router
