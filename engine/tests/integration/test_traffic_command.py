"""`traffic` writes what services follow, and takes it back."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from goldpath.cli.app import app
from goldpath.registry.mlflow_manager import CHALLENGER, CHAMPION
from goldpath.registry.traffic_plan import TrafficPlan, read_plan

from ..registry_projects import add_version, make_registry

pytestmark = pytest.mark.slow


def run(*arguments: str) -> dict[str, Any]:
    found = CliRunner().invoke(app, ["traffic", *arguments, "--json"], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    answer: dict[str, Any] = json.loads(found.stdout)
    return answer


def test_a_version_gets_a_share_and_loses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    manager = make_registry(tmp_path)
    for seed in ("1", "2", "3"):
        add_version(manager, seed=seed)
    manager.set_alias(CHAMPION, "1")

    assert run("show")["challenger"] is None
    split = run("split", "2", "12.5")
    assert (split["champion"], split["challenger"], split["share"]) == ("1", "2", 0.125)
    challenger = manager.version_by_alias(CHALLENGER)
    assert challenger is not None
    assert read_plan(challenger.tags) == TrafficPlan(0.125)

    shadow = run("shadow", "3")
    assert (shadow["challenger"], shadow["share"], shadow["shadow"]) == ("3", 0.0, True)
    assert read_plan(manager.find("2").tags) is None, "the former challenger keeps no traffic"

    assert run("stop")["challenger"] is None
    assert manager.version_by_alias(CHALLENGER) is None
    assert read_plan(manager.find("3").tags) is None
    with pytest.raises(Exception, match="is the champion"):
        CliRunner().invoke(app, ["traffic", "split", "1", "5"], catch_exceptions=False)
