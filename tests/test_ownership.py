"""What a team owns: every function counts, and edits of their kind stay green and take effect."""

import ast
import json
from pathlib import Path

import pytest
from conftest import BakedProject, Record

NEUTRAL = Path(__file__).with_name("neutral_definitions.py")
# Handed over by project.py, or made by Python: not functions that a team would change for effect.
PLUMBING = {"data", "features", "churn", "service", "__init__"}

# What a team might add in its first week, by file: appended there, or put in place of a line.
FAMILY = '''

@family(defaults={"max_depth": 8}, trusted=["sklearn.ensemble._forest.RandomForestClassifier"])
def forest(trial: Trial, columns: Columns) -> Pipeline:
    """Random forest."""
    depth = trial.suggest_int("max_depth", 3, 16)
    model = RandomForestClassifier(n_estimators=50, max_depth=depth, random_state=columns.seed)
    return Pipeline([("columns", columns.encoded()), ("model", model)])
'''
FEATURE = '''

@row_feature
def invoice_band(row: Row) -> Value:
    """Whether the last invoice is low, usual or high."""
    low, high = row.monthly_charges < 40, row.monthly_charges > 80
    return case((low, "low"), (high, "high"), otherwise="usual")
'''
METRIC = '''

@metric(unit="share of churners")
def top_decile(truth: np.ndarray, probability: np.ndarray) -> float:
    """Which share of those who leave is among the tenth with the highest probability."""
    chosen = probability >= np.quantile(probability, 0.9)
    leaving = truth == "yes"
    return float(np.mean(chosen[leaving])) if leaving.any() else 0.0
'''
GATE = '''

class NeverOnMonday(BaseValidator):
    """A check that always has something to say."""

    def __init__(self) -> None:
        super().__init__("never on a monday")

    def validate(
        self, model: LoadedModel, data: pd.DataFrame, target: Any = None, **_: Any
    ) -> ValidationResult:
        """Pass, and say how many rows were looked at."""
        return self.create_result(ValidationStatus.PASSED, None, f"{len(data)} rows seen")
'''
ROUTE = '''

@router.get("/our-hours")
def our_hours() -> dict[str, str]:
    """When somebody answers the phone."""
    return {"open": "8 to 18"}
'''
STEP = '''

def young_share(work: TrainingWork) -> dict[str, float]:
    """Log the share of young customers among the training rows."""
    return {"young_share": float((work.train_rows["age"] < 30).mean())}


'''


def functions_of(project: BakedProject) -> set[str]:
    """Every function and method that is defined below `src/`."""
    return {
        node.name
        for file in project.package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.slow
def test_every_function_replaced_by_its_neutral_one_changes_something(
    workbench: BakedProject,
) -> None:
    done = workbench.run(".venv/bin/python", NEUTRAL, workbench.package.name, timeout=900)
    assert done.code == 0, done.output[-4000:]
    outcome = json.loads(done.output.strip().splitlines()[-1])
    assert set(outcome) - {"OFFERS"} == functions_of(workbench) - PLUMBING
    assert {name: pair for name, pair in outcome.items() if pair[0] == pair[1]} == {}


@pytest.mark.slow
def test_edits_of_a_teams_kind_stay_green_and_take_effect(
    workbench: BakedProject, record_property: Record
) -> None:
    package = workbench.package
    edit(
        package / "model" / "families.py",
        ("import HistGradientBoostingClassifier, HistGradientBoostingRegressor\n", MORE_ENSEMBLES),
        append=FAMILY,
    )
    edit(package / "features" / "customers.py", append=FEATURE)
    edit(package / "model" / "metrics.py", append=METRIC)
    edit(package / "model" / "gates.py", append=GATE)
    edit(package / "inference" / "api.py", append=ROUTE)
    edit(
        package / "pipelines" / "training.py",
        ("\n\nsteps = (", f"{STEP}steps = ("),
        ("    churn_by_contract,\n", "    churn_by_contract,\n    young_share,\n"),
    )
    edit(
        package / "project.py",
        (
            "return [customers.charge_rate, customers.unbound_tickets]",
            "return [customers.charge_rate, customers.unbound_tickets, customers.invoice_band]",
        ),
        ("families.linear]", "families.linear, families.forest]"),
        ("metrics=[metrics.saved_revenue]", "metrics=[metrics.saved_revenue, metrics.top_decile]"),
        (
            'validators={"regions": gates.NoRegionLeftBehind()},',
            "validators={\n"
            '            "regions": gates.NoRegionLeftBehind(),\n'
            '            "monday": gates.NeverOnMonday(),\n'
            "        },",
        ),
    )
    edit(
        workbench.root / "tests" / "test_project.py",
        ('"unbound_tickets"]', '"unbound_tickets", "invoice_band"]'),
        ('["boosting", "linear"]', '["boosting", "linear", "forest"]'),
        ('["/retention-offer"]', '["/retention-offer", "/our-hours"]'),
    )
    output = workbench.make("check", "lint", "typecheck", "test", timeout=1200).output
    summary = [line.strip("= ") for line in output.splitlines() if " passed" in line][-1]
    record_property("figure", f"a project with edits of a team's kind: {summary}")
    assert "skipped" not in summary

    small = {"MLOPS_TRAINING__TRIALS": "3", "MLOPS_TRAINING__PARITY_ROWS": "5000"}
    workbench.make("sample", ARGS="--rows 2000")
    workbench.make("data", **small)
    workbench.make("train-local", **small)
    evaluation = json.loads(workbench.read("reports/evaluation.json"))
    assert 0 < evaluation["others"]["top_decile"][0] <= 1
    promotion = json.loads(workbench.read("reports/promotion.json"))
    assert promotion["checks"]["never on a monday"].endswith("rows seen")
    shown = workbench.run(".venv/bin/python", "-c", RUN_FACTS, package.name)
    assert shown.code == 0, shown.output
    facts = json.loads(shown.output.strip().splitlines()[-1])
    assert "forest" in facts["families"]
    assert 0 < facts["young_share"] < 1
    assert facts["hours"] == {"open": "8 to 18"}
    assert facts["inputs"]["invoice_band"].startswith("computed by the service, not sent: ")


MORE_ENSEMBLES = """import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
"""
# Run by the project's Python: what the run holds, and what the service answers.
RUN_FACTS = """
import importlib, json, sys, warnings
warnings.simplefilter("ignore")
from fastapi.testclient import TestClient
from goldpath import MLflowManager, create_app, load_contract, load_settings
settings = load_settings(project=importlib.import_module(sys.argv[1] + ".project").project)
manager = MLflowManager(settings, load_contract(settings.root))
version = manager.champion_version()
runs = manager.client.search_runs([manager.experiment_id()])
with TestClient(create_app(settings)) as client:
    hours = client.get("/our-hours").json()
    inputs = client.get("/model").json()["features"]
print(json.dumps({
    "families": sorted({run.data.params.get("family", "") for run in runs}),
    "young_share": manager.client.get_run(version.run_id).data.metrics["young_share"],
    "hours": hours,
    "inputs": inputs,
}))
"""


def edit(file: Path, *changes: tuple[str, str], append: str = "") -> None:
    """Change a file as a person would; each text must be there once."""
    text = file.read_text(encoding="utf-8")
    for before, after in changes:
        assert text.count(before) == 1, (file.name, before)
        text = text.replace(before, after)
    file.write_text(text + append, encoding="utf-8")
