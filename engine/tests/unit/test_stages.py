"""None, Staging, Production and Archived as a view on aliases and tags."""

import pytest

from goldpath.model_version import ModelVersion
from goldpath.registry.stages import Stage, in_stage, parse_stage, plan_transition, stage_of
from goldpath.registry.stores.store import RegistryError


def version(
    number: str, *aliases: str, stage: str | None = None, mlflow: str = "None"
) -> ModelVersion:
    tags = {"stage": stage} if stage else {}
    return ModelVersion("churn", number, "run", aliases, tags, mlflow_stage=mlflow)


@pytest.mark.parametrize(
    ("given", "stage"),
    [
        (version("1"), "None"),
        (version("1", "champion"), "Production"),
        (version("1", "champion", stage="Archived"), "Production"),
        (version("1", "staging"), "Staging"),
        (version("1", "challenger", stage="Production"), "Production"),
        (version("1", stage="Archived"), "Archived"),
        (version("1", mlflow="Staging"), "Staging"),
        (version("1", stage="nonsense"), "None"),
    ],
)
def test_stage_of_a_version(given: ModelVersion, stage: Stage) -> None:
    assert stage_of(given) == stage


def test_promotion_to_production_archives_the_former_champion() -> None:
    plan = plan_transition(
        [version("1", "champion"), version("2", "staging")],
        "2",
        "Production",
        archive_existing=True,
    )

    assert plan.tags == {"2": "Production", "1": "Archived"}
    assert plan.aliases == {"staging": None, "champion": "2"}


def test_two_versions_in_production_are_champion_and_challenger() -> None:
    plan = plan_transition(
        [version("1", "champion"), version("2")], "2", "Production", archive_existing=False
    )

    assert plan.tags == {"2": "Production", "1": "Production"}
    assert plan.aliases == {"challenger": "2"}


def test_first_in_production_becomes_champion_either_way() -> None:
    for archive in (True, False):
        plan = plan_transition([version("1")], "1", "Production", archive_existing=archive)
        assert plan.aliases == {"champion": "1"}


def test_challenger_that_becomes_champion_is_no_longer_challenger() -> None:
    versions = [version("1", "champion"), version("2", "challenger", stage="Production")]

    plan = plan_transition(versions, "2", "Production", archive_existing=True)

    assert plan.aliases == {"champion": "2", "challenger": None}
    assert plan.tags == {"2": "Production", "1": "Archived"}


@pytest.mark.parametrize("stage", ["Archived", "Staging", "None"])
def test_champion_cannot_leave_production(stage: Stage) -> None:
    with pytest.raises(RegistryError, match="is the champion and cannot go to"):
        plan_transition([version("1", "champion")], "1", stage, archive_existing=True)


def test_alias_comes_first_and_then_the_newest() -> None:
    versions = [
        version("1", "champion"),
        version("2", stage="Production"),
        version("10", stage="Production"),
    ]

    assert [item.version for item in in_stage(versions, "Production")] == ["1", "10", "2"]


def test_stage_is_read_in_any_case_and_nothing_else_is() -> None:
    assert parse_stage("production") == "Production"
    with pytest.raises(RegistryError, match="there is no stage 'live'"):
        parse_stage("live")
