"""A project's gates in a promotion: what they say reaches report, card and audit log, or nothing
moves."""

import json

import numpy as np
import pytest

from goldpath import Evidence, Gate, Model, Project, gate
from goldpath.contract import Contract, load_contract
from goldpath.errors import CheckFailedError
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.promotion.promote import promote
from goldpath.jobs.training.stages import train
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings
from goldpath.settings.validation import GateLimit
from goldpath.trust.audit import history

from ..conftest import forget_variables, make_project

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("gates-in-a-promotion")]


@gate(at_most=0.9)
def share_of_calls(evidence: Evidence) -> float:
    """Not everybody is called."""
    return float(np.mean(np.asarray(evidence.predictions.values) == "yes"))


@gate
def logged_what_it_measures(evidence: Evidence) -> bool:
    """The run's own figure is at hand."""
    return evidence.run is not None and evidence.run.metrics["test_roc_auc"] > 0.5


@gate
def reads_income(evidence: Evidence) -> bool:
    """A column that gold does not have."""
    return bool(evidence.rows["income"].mean() > 0)


def with_gates(settings: Settings, *gates: Gate) -> Settings:
    changed = settings.model_copy()
    changed._project = Project(models={"churn": lambda: Model(gates=gates)})
    return changed


@pytest.fixture(scope="module")
def project_with_version(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Contract]:
    forget_variables()
    settings = make_project(tmp_path_factory.mktemp("gates"))
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, 1500, 5, {})
    refresh(settings, contract)
    training = settings.training.model_copy(
        update={"trials": 1, "families": ("linear",), "bootstrap_samples": 100, "parity_rows": 1000}
    )
    limits = (GateLimit(metric="accuracy", at_least=0.5, by="region", minimum_rows=10),)
    validation = settings.validation.model_copy(update={"stability_folds": 0, "gates": limits})
    settings = settings.model_copy(update={"training": training, "validation": validation})
    train(with_gates(settings, share_of_calls, logged_what_it_measures), contract, "gated")
    return settings, contract


def test_a_gate_that_raises_refuses_and_nothing_moves_until_it_is_corrected(
    project_with_version: tuple[Settings, Contract],
) -> None:
    settings, contract = project_with_version
    manager = MLflowManager(settings, contract)
    before = len(history(settings, contract.model_name))

    with pytest.raises(CheckFailedError) as caught:
        promote(with_gates(settings, reads_income), contract)

    assert "reads income: could not be made: KeyError: 'income' (" in caught.value.message
    assert "test_gates_in_a_promotion.py:" in caught.value.message
    assert ": reads_income, line " in caught.value.message
    assert "correct the check 'reads income' in that line" in caught.value.fix
    assert manager.champion_version() is None
    assert len(history(settings, contract.model_name)) == before
    written = json.loads((settings.reports / "promotion.json").read_text("utf-8"))
    assert written["promoted"] is False
    assert written["outcomes"]["reads income"] == "failed"

    alarm = settings.reports / "drift" / "service.json"
    alarm.parent.mkdir(parents=True, exist_ok=True)
    alarm.write_text(json.dumps({"verdict": "drift", "model_version": "0", "columns": []}))
    own = with_gates(settings, share_of_calls, logged_what_it_measures)
    result = promote(own, contract)
    assert json.loads(alarm.read_text("utf-8"))["verdict"] == "insufficient", "of no champion now"

    champion = manager.champion_version()
    assert champion is not None
    names = ("accuracy at least 0.5 by region", "share of calls", "logged what it measures")
    card = manager.read_text(champion.run_id, "model_card.md")
    page = (settings.reports / "validation.html").read_text("utf-8")
    record = history(settings, contract.model_name)[-1]
    assert record.action == "promoted"
    for name in names:
        assert result.checks[name].startswith("pass: "), name
        assert f"| {name} | passed |" in card
        assert name in page
        assert record.details["results"][name] == "passed"
    assert "by its compiled form" in result.checks["served latency"]
    assert "in all files of the version" in result.checks["size"]
