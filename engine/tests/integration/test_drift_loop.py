"""`demo-drift`: from a shift to a new champion, each part the real one."""

import shutil
from pathlib import Path

import pytest

from goldpath.demonstration.drift_loop import demonstrate_drift
from goldpath.jobs.retraining.ledger import Ledger
from goldpath.serving.metrics.reports import read_json

from ..conftest import make_project
from ..locations import PROJECT

MOST_SECONDS = 180


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, ("prometheus", "prometheus-alertmanager"))),
    reason="apt-get install prometheus prometheus-alertmanager",
)
def test_an_alert_sets_off_a_training_and_the_new_champion_ends_the_drift(tmp_path: Path) -> None:
    settings = make_project(tmp_path)
    shutil.copytree(PROJECT / "infra", tmp_path / "infra")

    shown = demonstrate_drift(settings)

    assert (shown.before, shown.shifted, shown.after) == ("ok", "drift", "ok")
    assert (shown.former_champion, shown.champion) == ("1", "2")
    assert shown.told_after < 15
    assert "docs/monitoring.md#driftdetected" in shown.message
    assert (tmp_path / shown.picture).read_bytes()[:4] == b"\x89PNG"
    (record,) = Ledger(tmp_path / shown.project).read()
    assert (record.source, record.outcome) == ("service", "promoted")
    last = read_json(tmp_path / shown.project / "reports" / "drift" / "service.json")
    assert (last["verdict"], last["model_version"]) == ("ok", "2")
    # Nothing of it is in the project that was shown.
    assert {path.name for path in tmp_path.iterdir()} == {"config", "infra", "reports", "run"}
    print(f"the loop took {shown.seconds:.0f} s, {MOST_SECONDS} are promised on two free cores")
