"""`ModelDeployer` does what the commands do: champion, canary, shadow, rollback."""

from pathlib import Path

import pytest

from goldpath.errors import NothingToDoError, ProjectError
from goldpath.jobs.deployer import ModelDeployer
from goldpath.registry.mlflow_manager import CHALLENGER, CHAMPION, MLflowManager, RegistryError
from goldpath.registry.traffic_plan import TrafficPlan, read_plan

from ..conftest import forget_variables
from ..registry_projects import CONTRACT, add_version, make_registry

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> MLflowManager:
    """A registry with three versions."""
    forget_variables()
    manager = make_registry(tmp_path_factory.mktemp("deployer"))
    for seed in ("1", "2", "3"):
        add_version(manager, seed=seed)
    return manager


@pytest.fixture
def manager(registry: MLflowManager) -> MLflowManager:
    """The first version is the champion, and none is the challenger."""
    registry.set_alias(CHAMPION, "1")
    registry.remove_alias(CHALLENGER)
    return registry


def test_versions_are_rolled_out_in_part_and_taken_back(manager: MLflowManager) -> None:
    deployer = ModelDeployer(manager.settings, CONTRACT)

    canary = deployer.canary("2", share=0.25)
    assert (canary.champion, canary.challenger, canary.share) == ("1", "2", 0.25)
    challenger = manager.version_by_alias(CHALLENGER)
    assert challenger is not None
    assert read_plan(challenger.tags) == TrafficPlan(0.25)

    shadow = deployer.shadow("3")
    assert (shadow.challenger, shadow.share, shadow.shadow) == ("3", 0.0, True)

    stopped = deployer.stop()
    assert (stopped.champion, stopped.challenger) == ("1", None)
    assert deployer.state() == stopped


def test_the_former_champion_comes_back_and_only_a_former_one(manager: MLflowManager) -> None:
    deployer = ModelDeployer(manager.settings, CONTRACT)
    manager.set_alias(CHAMPION, "2")

    result = deployer.rollback()

    assert (result.model_version, result.rolled_back) == ("1", "2")
    assert deployer.state().champion == "1"
    with pytest.raises(NothingToDoError):
        deployer.rollback("1")
    with pytest.raises(RegistryError, match="never was champion"):
        deployer.rollback("3")


def test_the_champion_is_not_tried_a_second_time(manager: MLflowManager) -> None:
    result = ModelDeployer(manager.settings, CONTRACT).deploy("1")

    assert (result.promoted, result.previous_champion) == (True, "1")


def test_without_a_version_there_is_nothing_to_deploy(tmp_path: Path) -> None:
    manager = make_registry(tmp_path)
    with pytest.raises(RegistryError, match="no version"):
        ModelDeployer(manager.settings, CONTRACT).deploy()


@pytest.mark.parametrize("share", [0, -0.1, 1.5])
def test_a_share_that_is_none_is_refused_and_changes_nothing(
    manager: MLflowManager, share: float
) -> None:
    deployer = ModelDeployer(manager.settings, CONTRACT)
    with pytest.raises(ProjectError, match="above 0 and up to 1"):
        deployer.canary("2", share)
    assert deployer.state().challenger is None


def test_the_project_around_the_current_folder_is_taken(
    manager: MLflowManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(manager.settings.root)

    deployer = ModelDeployer()

    assert deployer.settings.root == manager.settings.root.resolve()
    assert deployer.state().champion == "1"
