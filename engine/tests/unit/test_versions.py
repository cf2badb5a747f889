"""The next number follows from what changed, and says why."""

from datetime import date
from typing import Any

import pytest

from goldpath.contract import Contract
from goldpath.registry.contract_change import contract_change
from goldpath.registry.versions import ChangelogEntry, PreviousVersion, VersionError, VersionManager
from goldpath.settings import VersionSettings

BASE: dict[str, Any] = {
    "dataset": "churn",
    "problem": "classification",
    "source": {"path": "rows.csv"},
    "entity": "id",
    "target": {"column": "churned", "classes": ["no", "yes"]},
    "features": [
        {"name": "age", "type": "integer", "nullable": True, "minimum": 18, "maximum": 110},
        {"name": "plan", "type": "category", "categories": ["free", "paid"]},
        {"name": "city", "type": "category"},
    ],
}


def contract(**changes: Any) -> Contract:
    return Contract.model_validate({**BASE, **changes})


def with_feature(name: str, **changes: Any) -> Contract:
    """The contract with one feature changed, or added where it is new."""
    features = [dict(feature) for feature in BASE["features"]]
    known = [feature for feature in features if feature["name"] == name]
    if known:
        known[0].update(changes)
    else:
        features.append({"name": name, **changes})
    return contract(features=features)


@pytest.fixture
def manager() -> VersionManager:
    return VersionManager()


def test_the_guides_example_gives_a_minor_version(manager: VersionManager) -> None:
    context = {"performance_improvement": 0.1, "breaking_change": False, "new_feature": True}
    version, reason = manager.suggest_version("1.0.0", context)
    assert version == "1.1.0"
    assert "new features" in reason
    assert "0.1" in reason


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({}, "1.4.3"),
        ({"performance_improvement": 0.001}, "1.4.3"),
        ({"performance_improvement": -0.2}, "1.4.3"),
        ({"performance_improvement": 0.02}, "1.5.0"),
        ({"new_feature": True}, "1.5.0"),
        ({"breaking_change": True}, "2.0.0"),
        ({"breaking_change": True, "new_feature": True, "performance_improvement": 1.0}, "2.0.0"),
        ({"something_else": True}, "1.4.3"),
    ],
)
def test_the_largest_step_that_applies_decides(
    context: dict[str, Any], expected: str, manager: VersionManager
) -> None:
    assert manager.suggest_version("1.4.2", context)[0] == expected


def test_first_version_is_1_0_0(manager: VersionManager) -> None:
    assert manager.suggest_version(None, {"breaking_change": True}) == (
        "1.0.0",
        "the first version",
    )


def test_rules_of_ones_own_come_beside_the_built_in_ones() -> None:
    rules = {
        "significant_gain": 0.5,
        "rules": [{"bump": "major", "when": "latency_ms", "at_least": 100, "reason": "slower"}],
    }
    manager = VersionManager(VersionSettings.model_validate(rules))
    assert manager.suggest_version("1.0.0", {"latency_ms": 120}) == ("2.0.0", "slower (120)")
    assert manager.suggest_version("1.0.0", {"latency_ms": 20})[0] == "1.0.1"
    assert manager.suggest_version("1.0.0", {"performance_improvement": 0.1})[0] == "1.0.1"
    with pytest.raises(VersionError, match="not a number"):
        manager.suggest_version("1.0.0", {"latency_ms": "slow"})


@pytest.mark.parametrize("text", ["", "1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "latest"])
def test_text_that_is_no_version_is_refused(text: str, manager: VersionManager) -> None:
    with pytest.raises(VersionError, match="not a semantic version"):
        manager.compare(text, "1.0.0")


def test_versions_are_compared_as_numbers_not_as_text(manager: VersionManager) -> None:
    assert manager.compare("1.10.0", "1.9.0") == 1
    assert manager.compare("1.0.0-rc.1", "1.0.0") == -1
    assert manager.compare("2.0.0", "2.0.0") == 0


def test_compatible_is_the_same_or_a_newer_version_below_the_next_major(
    manager: VersionManager,
) -> None:
    assert manager.is_compatible("1.2.0", "1.3.1")
    assert not manager.is_compatible("1.3.0", "1.2.0")
    assert not manager.is_compatible("1.3.0", "2.0.0")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (contract(features=BASE["features"][:2]), "feature city was removed"),
        (with_feature("age", type="category", minimum=None, maximum=None), "changed its type"),
        (with_feature("age", nullable=False), "may no longer be missing"),
        (with_feature("age", maximum=90), "maximum 110 -> 90"),
        (with_feature("plan", categories=["paid"]), "without free"),
        (with_feature("city", categories=["Rio"]), "a closed list"),
        (with_feature("income", type="number"), "added and is required"),
        (contract(problem="regression", target={"column": "churned"}), "problem changed"),
        (contract(target={"column": "left", "classes": ["no", "yes"]}), "the target changed"),
        (contract(target={"column": "churned", "classes": ["yes", "no"]}), "classes changed"),
        (contract(entity="key"), "entity changed"),
        (contract(dataset="other"), "dataset changed"),
    ],
)
def test_what_breaks_a_client_is_a_major_version(
    changed: Contract, said: str, manager: VersionManager
) -> None:
    assert any(said in line for line in contract_change(contract(), changed).breaking)
    suggestion = manager.suggest_for(changed, {}, PreviousVersion("1.2.3", contract(), {}))
    assert suggestion.version == "2.0.0"
    assert said in suggestion.reason


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (with_feature("income", type="number", nullable=True), "may be left out"),
        (with_feature("age", type="number"), "takes any number"),
        (with_feature("age", maximum=120), "maximum 110 -> 120"),
        (with_feature("age", minimum=None), "minimum 18 -> none"),
        (with_feature("plan", nullable=True), "may be missing"),
        (with_feature("plan", categories=["free", "paid", "gold"]), "also gold"),
        (with_feature("plan", categories=None), "any value"),
    ],
)
def test_what_a_client_may_use_from_now_on_is_a_minor_version(
    changed: Contract, said: str, manager: VersionManager
) -> None:
    change = contract_change(contract(), changed)
    assert change.breaking == ()
    assert any(said in line for line in change.added)
    suggestion = manager.suggest_for(changed, {}, PreviousVersion("1.2.3", contract(), {}))
    assert suggestion.version == "1.3.0"


@pytest.mark.parametrize(
    "changed",
    [
        contract(),
        contract(features=BASE["features"][::-1]),
        contract(source={"path": "newer.csv"}),
        contract(personal=["age"]),
        with_feature("age", description="Age in years"),
    ],
)
def test_what_no_client_can_see_is_a_patch(changed: Contract, manager: VersionManager) -> None:
    suggestion = manager.suggest_for(changed, {}, PreviousVersion("1.2.3", contract(), {}))
    assert (suggestion.version, suggestion.reason) == ("1.2.4", "trained again")


def test_significant_gain_of_the_main_metric_is_a_minor_version(manager: VersionManager) -> None:
    previous = PreviousVersion("1.0.0", contract(), {"roc_auc": 0.80})
    better = manager.suggest_for(contract(), {"roc_auc": 0.83}, previous)
    assert better.version == "1.1.0"
    assert better.gain == pytest.approx(0.03)
    assert manager.suggest_for(contract(), {"roc_auc": 0.801}, previous).version == "1.0.1"


def test_suggestion_lies_above_every_version_that_exists(manager: VersionManager) -> None:
    previous = PreviousVersion("1.0.0", contract(), {})
    taken = ["1.0.0", "1.0.1", "1.2.0"]
    assert manager.suggest_for(contract(), {}, previous, taken).version == "1.2.1"
    richer = with_feature("income", type="number", nullable=True)
    assert manager.suggest_for(richer, {}, previous, taken).version == "1.3.0"
    assert manager.suggest_for(contract(), {}, None, taken).version == "1.2.1"


def test_changelog_lists_versions_newest_first_and_shows_text_as_it_is(
    manager: VersionManager,
) -> None:
    change = contract_change(contract(), with_feature("<b>_x_", type="number"))
    entries = [
        ChangelogEntry("1.9.0", date(2026, 1, 2), "more"),
        ChangelogEntry("2.0.0", date(2026, 3, 4), "the\ncontract breaks", change, {"roc_auc": 0.8}),
        ChangelogEntry("1.10.0", date(2026, 2, 3), "even more"),
    ]
    text = manager.changelog(entries)
    titles = [line for line in text.splitlines() if line.startswith("## ")]
    assert titles == ["## 2.0.0 (2026-03-04)", "## 1.10.0 (2026-02-03)", "## 1.9.0 (2026-01-02)"]
    assert "the contract breaks" in text
    assert r"feature \<b\>\_x\_ (number) was added and is required" in text
    assert r"roc\_auc: 0.8000" in text
