"""The HTTP service: predictions by the champion, its health and its metrics."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from goldpath.contract import Contract, Feature, load_contract
from goldpath.errors import ProjectError
from goldpath.features.learned import changed_features, learned_contract
from goldpath.registry.layout import COMPILED_TAG
from goldpath.serving.access.control import install_access_control
from goldpath.serving.explanations import explanations
from goldpath.serving.feedback import FeedbackLog, feedback_router
from goldpath.serving.http.forwarding import ForwardedRequests, refuse_taken_prefix
from goldpath.serving.http.json_bodies import JsonBodies
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.problems import (
    install_problem_answers,
    problem_answer,
    problem_answers,
)
from goldpath.serving.http.request_body import (
    DOCUMENTED_CREDENTIALS,
    KeyedRoute,
    PredictionRoute,
    for_role,
)
from goldpath.serving.http.request_line import RequestLine
from goldpath.serving.http.request_trail import RequestTrail
from goldpath.serving.http.service_logs import access_line
from goldpath.serving.http.tracing import NO_OTHER_TELEMETRY
from goldpath.serving.http.value_count import Bounds
from goldpath.serving.invocations import invocations
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.monitoring import Metrics, RequestMetrics
from goldpath.serving.operations.routes import operations_router
from goldpath.serving.own_routes import include_own_routes
from goldpath.serving.pages.routes import page_router
from goldpath.serving.predictor import ModelSource, NoModelError, Predictor
from goldpath.serving.registry_hook import registry_hook
from goldpath.serving.schemas import (
    Answer,
    BatchAnswer,
    Health,
    ModelFacts,
    Readiness,
    RequestModels,
    feature_rows,
    keyed_request,
    request_models,
)
from goldpath.serving.scorer import Scorer, Wish, wish_of
from goldpath.serving.serving_core import ServingCore
from goldpath.serving.stored_features import StoredFeatures, predicts_by_key
from goldpath.serving.window_values import WindowValues
from goldpath.settings import Settings, load_settings

log = logging.getLogger(__name__)

WishOfRequest = Annotated[Wish, Depends(wish_of)]


def create_app(
    settings: Settings | None = None,
    contract: Contract | None = None,
    source: ModelSource | None = None,
) -> FastAPI:
    """Make the service; it comes up healthy with no registry, no model and no lake.

    Args:
        settings: Read from the project where not given.
        contract: Read from the project where not given.
        source: Where models come from; MLflow where not given.

    Returns:
        The app. `app.state` holds `settings`, `metrics` and `predictor`.

    Raises:
        SettingsError: If there is no project, or a setting is wrong.
        ContractError: If `config/project.yaml` is missing or wrong.

    Example:
        >>> from goldpath import create_app
        >>> app = create_app()
        >>> app.title
        'Customer churn'
        >>> {"/predict", "/predict/batch", "/health"} <= set(app.openapi()["paths"])
        True
    """
    core = _core_of(settings, contract, source)
    return app_around(core, core.running)


def app_around(
    core: ServingCore, running: Callable[[], AbstractAsyncContextManager[None]] | None = None
) -> FastAPI:
    """Make the app of a core.

    Args:
        core: Its parts.
        running: The app's lifespan; none where somebody else keeps the core running.
    """
    settings, contract, metrics = core.settings, core.contract, core.metrics
    has_swagger = settings.environment == "development"
    learned = _learned(settings, contract)
    app = FastAPI(
        title=contract.dataset.replace("_", " ").capitalize(),
        description=f"Predicts `{contract.target.column}` ({contract.problem})."
        + _computed(learned),
        lifespan=(lambda _: running()) if running else None,
        telemetry=NO_OTHER_TELEMETRY,
        # A redirect names an address of its own: behind TLS it sent key and body in the clear.
        redirect_slashes=False,
        # Swagger loads its scripts from a CDN; elsewhere /docs is this service's own page.
        docs_url="/docs" if has_swagger else None,
        redoc_url="/redoc" if has_swagger else None,
    )
    app.state.settings = settings
    app.state.metrics = metrics
    app.state.predictor = core.predictor
    app.state.traffic = core.traffic
    app.state.shadow = core.shadow
    app.state.prediction_log = core.prediction_log
    app.state.access, app.state.limits = core.access, core.limits
    app.state.lane_trail = core.lane_trail
    bounds = Bounds.of(
        settings.serving.maximum_batch_rows,
        len(contract.features),
        settings.serving.maximum_nesting,
    )
    app.state.json_bodies = json_bodies = JsonBodies(bounds)
    core.at_end.append(json_bodies.close)
    install_problem_answers(app, contract)
    app.add_middleware(RequestLine, refuse=problem_answer)
    core.at_end.append(install_access_control(app, settings, core.access, core.limits))
    app.add_middleware(RequestMetrics, metrics=metrics)
    app.add_middleware(RequestTrail, line=access_line(settings), tracing=core.tracing)
    if settings.serving.trusted_proxies or settings.serving.root_path:
        app.add_middleware(
            ForwardedRequests, proxies=core.proxies, root_path=settings.serving.root_path
        )
    by_key = predicts_by_key(contract)
    models = request_models(contract, settings.serving.maximum_batch_rows, by_key=by_key)
    stored = StoredFeatures(settings, contract, models.row) if by_key else None
    windows = WindowValues(settings, metrics)
    scorer = Scorer(core.traffic, core.prediction_log, metrics, core.shadow, windows)
    feedback_log = FeedbackLog(settings)
    core.at_end.append(feedback_log.close)
    app.include_router(_predictions(models, scorer, stored))
    app.include_router(invocations(models.row, settings.serving.maximum_batch_rows, scorer.score))
    app.include_router(explanations(models.row, contract, core.predictor))
    app.include_router(feedback_router(contract, settings.serving.maximum_batch_rows, feedback_log))
    app.include_router(page_router(contract, has_swagger=has_swagger))
    app.include_router(_operations(core.predictor, learned))
    app.include_router(registry_hook(settings, core.bell))
    app.include_router(operations_router(settings, contract, core.predictor, core.traffic, metrics))
    app.include_router(_metrics(metrics, settings))
    if settings.automl.routes:
        from goldpath.serving.automl.routes import automl_routers

        for router in automl_routers(settings, contract):
            app.include_router(router)
    app.state.scorer, app.state.row_model = scorer, models.row
    include_own_routes(
        app, settings.project.extensions.routers, settings.serving.maximum_body_bytes
    )
    refuse_taken_prefix(app, settings.serving.root_path)
    return app


def create_service(
    settings: Settings | None = None,
    contract: Contract | None = None,
    source: ModelSource | None = None,
) -> FastLane:
    """The app behind its fast lane: what `make serve` runs.

    Args:
        settings: Read from the project where not given.
        contract: Read from the project where not given.
        source: Where models come from; MLflow where not given.
    """
    core = _core_of(settings, contract, source)
    return FastLane(app_around(core, core.running), core)


def _learned(settings: Settings, contract: Contract) -> Contract:
    """The contract with the project's present features, where they can be used."""
    try:
        return learned_contract(settings, contract)
    except ProjectError as error:  # the model that is there serves with its own
        log.warning("the project's features cannot be used: %s", error.message)
        return contract


def _computed(contract: Contract) -> str:
    """Which features the service adds to those that a request sends, for people."""
    names = ", ".join(f"`{feature.name}`" for feature in contract.row_features)
    said = f" Computed by the service, never sent: {names}." if names else ""
    looked_up = ", ".join(f"`{feature.name}`" for feature in contract.window_features)
    if looked_up:
        said += (
            f" Looked up for the request's `{contract.entity}`, which is sent beside `features`: "
            f"{looked_up}."
        )
    return said


def _core_of(
    settings: Settings | None,
    contract: Contract | None,
    source: ModelSource | None,
) -> ServingCore:
    settings = settings or load_settings()
    contract = contract or load_contract(settings.root)
    return ServingCore(settings, contract, source)


def _predictions(models: RequestModels, scorer: Scorer, stored: StoredFeatures | None) -> APIRouter:
    router = APIRouter(
        route_class=PredictionRoute,
        dependencies=DOCUMENTED_CREDENTIALS,
        tags=["predictions"],
        responses=problem_answers(400, 401, 403, 408, 413, 415, 422, 429, 503),
    )
    single = models.single
    batch: type[BaseModel] = models.batch

    @router.post("/predict", responses=problem_answers(404, 409) if stored else {})
    def predict(
        body: single,  # type: ignore[valid-type]
        wish: WishOfRequest,
    ) -> Answer:
        """Score one row: the one in `features`, or the online store's for an entity's key."""
        request = keyed_request(body) if stored else None
        if stored and request:
            row = stored.row(request, may_be_unknown=scorer.looks_up(wish))
            answer = scorer.score([row], wish, request.entity)
        else:
            answer = scorer.score(feature_rows(body), wish)
        return Answer(
            model_name=answer.model_name,
            model_version=answer.model_version,
            **answer.predictions[0].model_dump(),
        )

    @router.post("/predict/batch")
    def predict_batch(
        body: batch,  # type: ignore[valid-type]
        wish: WishOfRequest,
    ) -> BatchAnswer:
        """Score several rows with one model version."""
        return scorer.score(feature_rows(body), wish)

    return router


def _operations(predictor: Predictor, learned: Contract) -> APIRouter:
    router = APIRouter(tags=["operations"])

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
            compiled=version.tags.get(COMPILED_TAG),
            from_copy=champion.kept,
            gold_snapshot=version.tags.get("gold_snapshot"),
            problem=contract.problem,
            target=contract.target.column,
            classes=list(contract.target.classes),
            threshold=contract.decision_threshold,
            features={feature.name: _described(feature) for feature in contract.features},
            changed_row_features=list(changed_features(contract, learned)),
        )

    return router


def _described(feature: Feature) -> str:
    words = feature.domain.describe()
    if feature.window:
        return f"looked up by the service for the request's entity, not sent: {words}"
    return f"computed by the service, not sent: {words}" if feature.expression else words


def _metrics(metrics: Metrics, settings: Settings) -> APIRouter:
    is_open = settings.access.metrics == "open"
    router = APIRouter(
        route_class=APIRoute if is_open else for_role(KeyedRoute, "read-metrics"),
        dependencies=[] if is_open else DOCUMENTED_CREDENTIALS,
        tags=["operations"],
    )

    @router.get("/metrics", response_class=Response)
    def prometheus() -> Response:
        """The service's figures in Prometheus' text format."""
        return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)

    return router
