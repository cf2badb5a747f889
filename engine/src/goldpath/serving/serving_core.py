"""What answers predictions, without FastAPI: models, access, limits, metrics and logs.

The fast lane needs no more, so a worker answers with it before FastAPI is imported; that and the
routes would double the time from its start to its first answer.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.registry.stages import CHALLENGER
from goldpath.registry.traffic_plan import read_plan
from goldpath.serving.access.clients import Access
from goldpath.serving.access.limits import Limits
from goldpath.serving.answers.hooks import Hooks, require_used
from goldpath.serving.answers.own_fields import answer_fields
from goldpath.serving.http.forwarding import TrustedProxies
from goldpath.serving.http.tracing import Tracing, start_tracing
from goldpath.serving.lane.trail import LaneTrail, lane_trail
from goldpath.serving.log.personal import PersonalValues
from goldpath.serving.log.shipping import shipping
from goldpath.serving.log.streams import open_stream
from goldpath.serving.metrics.service import FURTHER_ROUTES, Metrics
from goldpath.serving.prediction_log import PredictionLog, rotation_of
from goldpath.serving.predictor import Champion, ModelSource, Predictor
from goldpath.serving.refresh_bell import RefreshBell
from goldpath.serving.shadow import Shadow
from goldpath.serving.traffic import Traffic
from goldpath.settings import Settings

FIRST_LOOK_SECONDS = 5.0
"""The service comes up without a model after so long, and says what is missing."""


class ServingCore:
    """The parts of one process that the fast lane and the app share.

    Args:
        settings: All of them.
        contract: What a row is.
        source: Where models come from; MLflow where not given.
        after_loading: Called when a model has taken over.
        main: Of a further model: what serves the main one. Access, limits and traces are its.

    Attributes:
        further: What serves the further models, by name.
        unusable: The further models that cannot be served, by name, and why.
        answer_fields: The project's own fields of an answer.
        hooks: What the project does around each answer.
        at_end: What is called when the service has ended, the last first.
        before_serving: What is called with a model before it answers, in the thread that loads it.
    """

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        source: ModelSource | None = None,
        after_loading: Callable[[], None] = lambda: None,
        main: "ServingCore | None" = None,
    ) -> None:
        require_used(settings.whole_project, contract.base)
        self.settings, self.contract = settings, contract
        self.after_loading = after_loading
        self.further: dict[str, ServingCore] = {}
        self.tracing: Tracing | None
        self.access: Access
        self.proxies: TrustedProxies
        self.limits: Limits
        self.lane_trail: LaneTrail | None
        self.unusable: dict[str, ProjectError] = {}
        self.answer_fields = answer_fields(settings.project.own_answer_fields)
        self.hooks = settings.project.own_hooks or Hooks()
        prefix = f"{FURTHER_ROUTES}/{settings.model}" if main else ""
        self.metrics = metrics = Metrics(
            contract, settings.reports, settings.model, prefix, self.hooks.metrics
        )

        def loaded(version: str) -> None:
            metrics.model_loaded(version)
            after_loading()

        self.before_serving: list[Callable[[Champion], None]] = []

        def prepare(model: Champion) -> None:
            for step in self.before_serving:
                step(model)

        self.tracing = main.tracing if main else start_tracing(settings, contract.model_name)
        self.predictor = Predictor(
            settings, contract, source, loaded, metrics.model_load_failed, prepare=prepare
        )
        challenger = Predictor(
            settings,
            contract,
            source,
            lambda _: after_loading(),
            metrics.model_load_failed,
            CHALLENGER,
            lambda version: read_plan(version.tags) is not None,
            prepare,
        )
        self.traffic = Traffic(self.predictor, challenger)
        port = (main or self).settings.serving.port
        self.bell = RefreshBell(settings.run_directory / f"refresh-{port}")
        self._log_folder = settings.root / settings.serving.prediction_log
        self.prediction_log = PredictionLog(
            self._log_folder,
            metrics.log_failed,
            rotation_of(settings),
            required=settings.prediction_log.required,
            personal=PersonalValues(settings, contract),
        )
        shadow_log = PredictionLog(
            settings.root / settings.serving.shadow_log,
            metrics.log_failed,
            rotation_of(settings),
            personal=self.prediction_log.personal,
        )
        self.shadow = Shadow(self.traffic, shadow_log, metrics.shadow_compared)
        self.at_end: list[Callable[[], None]] = []
        if main is not None:
            self.access, self.proxies, self.limits = main.access, main.proxies, main.limits
            self.lane_trail = main.lane_trail
            return
        self.access = Access(settings)
        self.proxies = TrustedProxies(settings.serving.trusted_proxies)
        self.limits = Limits(
            settings.run_directory / f"clients-{settings.serving.port}.table",
            settings.access.requests_per_second,
            settings.access.burst_seconds,
            settings.access.concurrent_requests,
        )
        self.lane_trail = lane_trail(settings, self.tracing)
        if self.tracing is not None:
            self.at_end.append(self.tracing.stop)
        self.at_end += [self.limits.close, self.access.close]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the registry inside, and close every file and thread afterwards."""
        cores = (self, *self.further.values())
        for each in cores:
            each.predictor.start(each.bell, each.traffic.refresh)
        # A worker that starts beside others takes no connection before it can answer.
        until = time.monotonic() + FIRST_LOOK_SECONDS
        for each in cores:
            left = max(until - time.monotonic(), 0)
            await asyncio.to_thread(each.predictor.wait_for_first_look, left)
        with ExitStack() as streams:
            for each in cores:
                streams.enter_context(shipping(each._log_folder, open_stream(each.settings)))
            yield
        for each in reversed(cores):
            each._close()

    def _close(self) -> None:
        self.predictor.stop()
        self.shadow.stop()
        self.prediction_log.close()
        for close in reversed(self.at_end):
            close()
