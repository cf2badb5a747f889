"""Everything that the monitoring page shows, read from the stores that exist.

Nothing must exist, and nothing is changed: a store that is empty, broken or down is a sentence.
"""

import time
from dataclasses import dataclass
from datetime import datetime

from goldpath.contract import Contract
from goldpath.monitor.drift_windows import SourceDrift, read_drift
from goldpath.monitor.lake_runs import (
    Run,
    SourceFreshness,
    lake_runs,
    newest_first,
    reported_runs,
    source_freshness,
)
from goldpath.monitor.predictions import PredictionCounter, Predictions
from goldpath.monitor.quality import LiveQuality, read_quality
from goldpath.monitor.running import OpenAlerts, ServiceTraffic, open_alerts, service_traffic
from goldpath.monitor.store_threads import Part, StoreThreads
from goldpath.monitor.stores import Section, read_section
from goldpath.monitor.written_reports import (
    KnownReport,
    ReportFile,
    missing_reports,
    written_reports,
)
from goldpath.services.processes import shown_servers
from goldpath.serving.metrics.reports import SOURCES
from goldpath.serving.operations.registry_facts import Move, RegistryFacts, RegistryStats
from goldpath.settings import Settings

SECONDS, SECONDS_ON_AWS = 10.0, 60.0
"""So long a look waits for its stores, all together; a few of Athena's queries take longer."""


@dataclass(frozen=True)
class MonitorState:
    """What the page shows.

    Attributes:
        model: A further model, whose commands take MODEL=; empty: the main one.
        dataset: The contract's dataset.
        environment: Which one this is.
        made_at: When the stores were read, UTC.
        drift: The last check of each source that was checked.
        quality: How good predictions were, by their labels; None where nobody joined them.
        predictions: Predictions by day.
        registry: The versions.
        moves: The newest moves of aliases, by this machine's audit log.
        alerts: Open alerts.
        traffic: The service, as Prometheus sees it.
        sources: How fresh each source is.
        runs: The last runs: those of the lake, and those that reports tell of.
        reports: Reports that were written.
        missing: Reports that were not.
        servers: The background servers that run, each with its address.
    """

    model: str
    dataset: str
    environment: str
    made_at: datetime
    drift: tuple[Section[SourceDrift], ...]
    quality: Section[LiveQuality | None]
    predictions: Section[Predictions]
    registry: Section[RegistryStats]
    moves: Section[list[Move]]
    alerts: Section[OpenAlerts]
    traffic: Section[ServiceTraffic]
    sources: Section[tuple[SourceFreshness, ...]]
    runs: tuple[Section[tuple[Run, ...]], ...]
    reports: tuple[ReportFile, ...]
    missing: tuple[KnownReport, ...]
    servers: dict[str, str]

    @property
    def champion(self) -> str | None:
        """The version that serves; None where there is none, or nobody can tell."""
        return self.registry.value.aliases.get("champion") if self.registry.value else None

    @property
    def drift_of_champion(self) -> tuple[SourceDrift, ...]:
        """The checks that are about what serves; all of them where nobody can tell."""
        found = (check.value for check in self.drift)
        return tuple(each for each in found if each and self._is_about_champion(each.model_version))

    @property
    def quality_of_champion(self) -> LiveQuality | None:
        """The verdict of the labels, where it is about what serves."""
        found = self.quality.value
        return found if found and self._is_about_champion(found.quality.model_version) else None

    def _is_about_champion(self, version: str) -> bool:
        return self.champion in (None, version)

    @property
    def last_runs(self) -> tuple[Run, ...]:
        """Every run that is known of, the newest first."""
        return newest_first([run for part in self.runs for run in part.value or ()])


class MonitorReader:
    """Reads a project's stores; keeps what need not be read twice.

    Args:
        settings: The project's settings.
        contract: The project's contract; names the model.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings = settings
        self._contract = contract
        self._counter = PredictionCounter(settings, contract)
        self._facts = RegistryFacts(settings, contract)
        self._threads = StoreThreads()
        self._seconds = SECONDS if settings.lake.backend == "local" else SECONDS_ON_AWS

    def read(self, now: datetime) -> MonitorState:
        """The state as it is now.

        Args:
            now: The moment, UTC.
        """
        settings, contract, facts = self._settings, self._contract, self._facts
        reports = settings.reports
        predictions = Part("the predictions", lambda: self._counter.count(now))
        sources = Part("the lake", lambda: source_freshness(settings, contract))
        runs = Part("the lake's runs", lambda: lake_runs(settings, contract))
        registry = Part("the registry", facts.stats)
        alerts = Part("the alerts", lambda: open_alerts(settings))
        traffic = Part("the traffic", lambda: service_traffic(settings, now))
        deadline = time.monotonic() + self._seconds
        self._threads.begin("the lake", predictions, sources, runs)
        self._threads.begin("the registry", registry)
        self._threads.begin("Prometheus", alerts, traffic)
        checks = [self._drift_of(each) for each in SOURCES]
        return MonitorState(
            model=settings.model,
            dataset=contract.dataset,
            environment=settings.environment,
            made_at=now,
            drift=tuple(each for each in checks if each is not None),
            quality=read_section(
                "live quality", lambda: read_quality(reports, contract.model_name)
            ),
            predictions=predictions.by(deadline),
            registry=registry.by(deadline),
            moves=read_section("the audit log", facts.moves),
            alerts=alerts.by(deadline),
            traffic=traffic.by(deadline),
            sources=sources.by(deadline),
            runs=(
                runs.by(deadline),
                read_section("the reports", lambda: reported_runs(settings)),
            ),
            reports=written_reports(reports),
            missing=missing_reports(reports),
            servers=shown_servers(settings.run_directory),
        )

    def _drift_of(self, source: str) -> Section[SourceDrift] | None:
        """The last check of a source; None where it was never checked."""
        reports, name = self._settings.reports, self._contract.model_name
        found = read_section(f"the drift of {source}", lambda: read_drift(reports, source, name))
        if found.value is None and not found.problem:
            return None
        return Section(found.value, found.problem, found.fix)
