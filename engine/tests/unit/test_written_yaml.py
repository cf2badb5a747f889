"""A key that stands twice is refused, wherever a person writes YAML."""

import pytest
import yaml

from goldpath.contract import ContractError, parse_contract
from goldpath.overlay import OverlayError, read_overlay
from goldpath.settings import Settings, SettingsError, load_settings
from goldpath.written_yaml import parse_yaml

TWICE = "memory: 1GB\nkind: local\nmemory: 2GB\n"


def test_both_places_are_named() -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        parse_yaml("a:\n  b: 1\n  c: 2\n  b: 3\n")
    message = str(caught.value)
    assert "'b' is written twice" in message
    assert ("line 2" in message, "line 4" in message) == (True, True)


def test_a_merged_mapping_may_be_overridden_and_lists_of_lists_are_keys_of_nothing() -> None:
    merged = parse_yaml("base: &base {a: 1, b: 2}\nown:\n  <<: *base\n  a: 3\n")
    assert merged["own"] == {"a": 3, "b": 2}
    assert parse_yaml(b"- [1, 1]\n- {a: 1}\n- {a: 1}\n") == [[1, 1], {"a": 1}, {"a": 1}]


def test_a_section_a_contract_and_an_environment_say_it(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = project.root / "config"
    monkeypatch.setenv("MLOPS_ENVIRONMENT", "staging")
    (config / "environments").mkdir(exist_ok=True)
    (config / "environments" / "staging.yaml").write_text("lake: {a: 1}\nlake: {b: 1}\n")
    with pytest.raises(OverlayError, match="'lake' is written twice"):
        read_overlay(project.root)
    (config / "environments" / "staging.yaml").unlink()
    monkeypatch.delenv("MLOPS_ENVIRONMENT")
    with pytest.raises(ContractError, match="'target' is written twice"):
        parse_contract("target: {}\nfeatures: []\ntarget: {}\n")
    (config / "lake.yaml").write_text(TWICE)
    with pytest.raises(SettingsError, match=r"config/lake\.yaml .* 'memory' is written twice"):
        load_settings(project.root)
