"""The HTTP service: predictions by the champion, its health and its metrics."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from fastapi import APIRouter, FastAPI, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST

from goldpath.contract import EVENT_TIME, Contract, load_contract
from goldpath.serving.access.control import install_access_control
from goldpath.serving.explanations import Explanations, explanations
from goldpath.serving.feedback import FeedbackLog, feedback_router
from goldpath.serving.http.forwarding import ForwardedRequests, refuse_taken_prefix
from goldpath.serving.http.json_bodies import JsonBodies
from goldpath.serving.http.problems import (
    install_problem_answers,
    problem_answer,
)
from goldpath.serving.http.request_body import (
    DOCUMENTED_CREDENTIALS,
    KeyedRoute,
    for_role,
)
from goldpath.serving.http.request_line import RequestLine
from goldpath.serving.http.request_trail import RequestTrail
from goldpath.serving.http.service_logs import access_line
from goldpath.serving.http.tracing import NO_OTHER_TELEMETRY
from goldpath.serving.http.value_count import Bounds
from goldpath.serving.invocations import invocations
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.metrics.requests import RequestMetrics
from goldpath.serving.metrics.service import Metrics
from goldpath.serving.models.cores import add_further_models
from goldpath.serving.models.facts import facts_router
from goldpath.serving.models.further import (
    include_further_models,
    present_contract,
    scorer_of,
)
from goldpath.serving.models.predictions import prediction_router
from goldpath.serving.operations.routes import operations_router
from goldpath.serving.own_routes import include_own_routes
from goldpath.serving.pages.routes import page_router
from goldpath.serving.predictor import ModelSource
from goldpath.serving.registry_hook import registry_hook
from goldpath.serving.schemas import (
    Health,
    request_models,
)
from goldpath.serving.serving_core import ServingCore
from goldpath.serving.stored_features import AskedRows, StoredFeatures, predicts_by_key
from goldpath.serving.window_values import WindowValues
from goldpath.settings import Settings, load_settings

log = logging.getLogger(__name__)


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
    learned = present_contract(settings, contract)
    app = FastAPI(
        title=contract.dataset.replace("_", " ").capitalize(),
        description=_purpose(contract) + _computed(learned),
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
    most_rows = settings.serving.maximum_batch_rows
    looked_up = [each.name for each in learned.window_features]
    models = request_models(contract, by_key=by_key, looks_up=bool(looked_up))
    stored = StoredFeatures(settings, contract, models.row) if by_key else None
    asked, windows = AskedRows(stored), WindowValues(settings, metrics, learned)
    scorer = scorer_of(core, windows)
    feedback_log = FeedbackLog(settings)
    core.at_end.append(feedback_log.close)
    app.include_router(prediction_router(models, scorer, asked, most_rows))
    app.include_router(invocations(models, most_rows, scorer))
    explained = Explanations(core.predictor, asked, windows, scorer.ask_before)
    app.include_router(explanations(models, explained))
    app.include_router(feedback_router(contract, most_rows, feedback_log))
    app.include_router(page_router(contract, looked_up=looked_up, has_swagger=has_swagger))
    app.include_router(_health())
    app.include_router(facts_router(core, learned))
    app.include_router(registry_hook(settings, core.bell))
    app.include_router(operations_router(settings, contract, core.predictor, core.traffic, metrics))
    app.include_router(_metrics(metrics, settings))
    include_further_models(app, core)
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


def _purpose(contract: Contract) -> str:
    if not contract.has_target:
        return "Tells which segment of similar rows a row belongs to (clustering)."
    return f"Predicts `{contract.target.column}` ({contract.problem})."


def _computed(contract: Contract) -> str:
    """Which features the service adds to those that a request sends, for people."""
    names = ", ".join(f"`{feature.name}`" for feature in contract.row_features)
    said = f" Computed by the service, never sent: {names}." if names else ""
    looked_up = ", ".join(f"`{feature.name}`" for feature in contract.window_features)
    if looked_up and contract.forecast is not None:
        said += f" Looked up for the time in `{EVENT_TIME}`, which each row sends: {looked_up}."
    elif looked_up:
        said += (
            f" Looked up for the request's `{contract.entity}`, which is sent beside `features` "
            f"(`/invocations`: as a column of each row): {looked_up}."
        )
    return said


def _core_of(
    settings: Settings | None,
    contract: Contract | None,
    source: ModelSource | None,
) -> ServingCore:
    settings = settings or load_settings()
    contract = contract or load_contract(settings.root, settings.model)
    core = ServingCore(settings, contract, source)
    add_further_models(core)
    return core


def _health() -> APIRouter:
    router = APIRouter(tags=["operations"])

    @router.get("/health")
    async def health() -> Health:
        """Whether the process answers; true also without a model."""
        return Health()

    return router


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
