"""`ModelDeployer`: the rollout of model versions, for code; the commands do the same."""

from goldpath.contract import Contract, load_contract
from goldpath.errors import ProjectError
from goldpath.jobs.promotion.promote import PromotionResult
from goldpath.jobs.promotion.rollback import RollbackResult, rollback
from goldpath.jobs.promotion.traffic import (
    TrafficState,
    direct_traffic,
    stop_traffic,
    traffic_state,
)
from goldpath.jobs.training.deployment import deploy
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.traffic_plan import TrafficPlan
from goldpath.settings import Settings, load_settings


class ModelDeployer:
    """Brings model versions into production, in part or as a whole, and takes them back.

    Services follow the registry's aliases and load a new version beside the old one, so that no
    request is lost and nothing is restarted (`serving.refresh_seconds` says how soon). Each method
    moves an alias, records it in the audit log and returns what holds from then on.

    Args:
        settings: Where the registry is, and the gate's limits; the project's where not given.
        contract: Names the registered model; the project's where not given.

    Raises:
        SettingsError: If there is no project, or a setting is wrong.
        ContractError: If `config/project.yaml` is missing or wrong.

    Example:
        In a project whose first version is the champion:

        >>> from goldpath import ModelDeployer
        >>> deployer = ModelDeployer()
        >>> deployer.state()  # doctest: +NORMALIZE_WHITESPACE
        TrafficState(model='customer_churn', champion='1', challenger=None, share=0.0,
            shadow=False)
        >>> deployer.deploy("1").promoted
        True
        >>> deployer.canary("1", share=0.1)
        Traceback (most recent call last):
        goldpath.registry.stores.store.RegistryError: version 1 is the champion, ...
    """

    def __init__(self, settings: Settings | None = None, contract: Contract | None = None) -> None:
        self.settings = settings or load_settings()
        self.contract = contract or load_contract(self.settings.root)
        self._registry = MLflowManager(self.settings, self.contract)

    def state(self) -> TrafficState:
        """Which versions answer, and which share of the requests each.

        Raises:
            RegistryError: If the registry cannot be reached.
        """
        return traffic_state(self._registry)

    def deploy(self, version: str | None = None) -> PromotionResult:
        """Make a version the champion, which all services then answer with.

        It is tried behind a real HTTP service first, and then judged by the gate.

        Args:
            version: Its number; the newest version where not given.

        Raises:
            RegistryError: If there is no such version.
            CheckFailedError: If the trial service answers wrongly, or the gate says no; the former
                champion stays.
            SignatureError: If the version is not what was signed.
        """
        return deploy(self.settings, self.contract, version)

    def canary(self, version: str, share: float) -> TrafficState:
        """Let a version answer a share of the requests; the champion answers the rest.

        Args:
            version: Its number, alias, stage or semantic version.
            share: Of the requests, above 0 and up to 1. Which requests these are is decided by
                their content, so that the same request has the same answer.

        Raises:
            ProjectError: If the share lies outside.
            RegistryError: If there is no such version, or it is the champion.
        """
        if not 0 < share <= 1:
            raise ProjectError(
                f"the share is {share}; expected a number above 0 and up to 1",
                "say share=0.1 for a tenth of the requests; stop() takes all of them back",
            )
        return direct_traffic(self._registry, version, TrafficPlan(share))

    def shadow(self, version: str) -> TrafficState:
        """Let a version score what the champion answers; nobody but the shadow log sees it.

        Args:
            version: Its number, alias, stage or semantic version.

        Raises:
            RegistryError: If there is no such version, or it is the champion.
        """
        return direct_traffic(self._registry, version, TrafficPlan(shadow=True))

    def stop(self) -> TrafficState:
        """End a canary or a shadow: the champion answers everything alone."""
        return stop_traffic(self._registry)

    def rollback(self, to: str | None = None) -> RollbackResult:
        """Make a former champion the champion again, without asking the gate.

        Args:
            to: The version's number; the champion before today's where not given.

        Raises:
            RegistryError: If no former champion is known, or the version never was champion.
            NothingToDoError: If the version is the champion.
            AliasMovedError: If somebody else moved the alias meanwhile.
        """
        return rollback(self.settings, self.contract, to)
