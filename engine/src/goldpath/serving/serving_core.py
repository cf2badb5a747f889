"""What answers predictions, without FastAPI: models, access, limits, metrics and logs.

The fast lane needs no more, so a worker answers with it before FastAPI is imported; that and the
routes would double the time from its start to its first answer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from goldpath.contract import Contract
from goldpath.registry.stages import CHALLENGER
from goldpath.registry.traffic_plan import read_plan
from goldpath.serving.access.clients import Access
from goldpath.serving.access.limits import Limits
from goldpath.serving.http.forwarding import TrustedProxies
from goldpath.serving.http.tracing import start_tracing
from goldpath.serving.lane.trail import lane_trail
from goldpath.serving.log.personal import PersonalValues
from goldpath.serving.log.shipping import shipping
from goldpath.serving.log.streams import open_stream
from goldpath.serving.monitoring import Metrics
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

    Attributes:
        at_end: What is called when the service has ended, the last first.
        before_serving: What is called with a model before it answers, in the thread that loads it.
    """

    def __init__(
        self,
        settings: Settings,
        contract: Contract,
        source: ModelSource | None = None,
        after_loading: Callable[[], None] = lambda: None,
    ) -> None:
        self.settings, self.contract = settings, contract
        self.metrics = metrics = Metrics(contract, settings.reports)

        def loaded(version: str) -> None:
            metrics.model_loaded(version)
            after_loading()

        self.before_serving: list[Callable[[Champion], None]] = []

        def prepare(model: Champion) -> None:
            for step in self.before_serving:
                step(model)

        self.tracing = start_tracing(settings, contract.model_name)
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
        self.bell = RefreshBell(settings.run_directory / f"refresh-{settings.serving.port}")
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
        self.access = Access(settings)
        self.proxies = TrustedProxies(settings.serving.trusted_proxies)
        self.limits = Limits(
            settings.run_directory / f"clients-{settings.serving.port}.table",
            settings.access.requests_per_second,
            settings.access.burst_seconds,
            settings.access.concurrent_requests,
        )
        self.lane_trail = lane_trail(settings, self.tracing)
        self.at_end: list[Callable[[], None]] = []
        if self.tracing is not None:
            self.at_end.append(self.tracing.stop)
        self.at_end += [self.limits.close, self.access.close]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the registry inside, and close every file and thread afterwards."""
        self.predictor.start(self.bell, self.traffic.refresh)
        # A worker that starts beside others takes no connection before it can answer.
        await asyncio.to_thread(self.predictor.wait_for_first_look, FIRST_LOOK_SECONDS)
        with shipping(self._log_folder, open_stream(self.settings)):
            yield
        self.predictor.stop()
        self.shadow.stop()
        self.prediction_log.close()
        for close in reversed(self.at_end):
            close()
