"""What a team owns: every function counts, and edits of their kind stay green and take effect."""

import ast
import json
import re
from pathlib import Path

import pytest
from conftest import BakedProject, Record

NEUTRAL = Path(__file__).with_name("neutral_definitions.py")
# Handed over by project.py, or made by Python: not functions that a team would change for effect.
PLUMBING = {"data", "features", "churn", "service", "__init__"}

# What a team might add in its first week beside the examples of docs/project.md.
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
        append=example(workbench, "def forest("),
    )
    edit(package / "features" / "customers.py", append=example(workbench, "def dollars_an_hour("))
    edit(package / "model" / "metrics.py", append=example(workbench, "def top_decile("))
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
            "return [customers.charge_rate, customers.unbound_tickets, customers.dollars_an_hour]",
        ),
        ("families.linear]", "families.linear, families.forest]"),
        ("        metrics=[", "        metric=metrics.top_decile,\n        metrics=["),
        (
            'validators={"regions": gates.NoRegionLeftBehind()},',
            "validators={\n"
            '            "regions": gates.NoRegionLeftBehind(),\n'
            '            "monday": gates.NeverOnMonday(),\n'
            "        },",
        ),
    )
    output = workbench.make("describe", "check", "lint", "typecheck", "test", timeout=1200).output
    summary = [line.strip("= ") for line in output.splitlines() if " passed" in line][-1]
    record_property("figure", f"a project with edits of a team's kind: {summary}")
    assert "skipped" not in summary

    small = {"MLOPS_TRAINING__TRIALS": "3", "MLOPS_TRAINING__PARITY_ROWS": "5000"}
    workbench.make("sample", ARGS="--rows 2000")
    workbench.make("data", **small)
    workbench.make("train-local", **small)
    evaluation = json.loads(workbench.read("reports/evaluation.json"))
    assert evaluation["metric"] == "top_decile"
    assert "saved_revenue" in evaluation["others"]
    promotion = json.loads(workbench.read("reports/promotion.json"))
    assert promotion["checks"]["never on a monday"].endswith("rows seen")
    shown = workbench.run(".venv/bin/python", "-c", RUN_FACTS, package.name)
    assert shown.code == 0, shown.output
    facts = json.loads(shown.output.strip().splitlines()[-1])
    assert "forest" in facts["families"]
    assert 0 < facts["young_share"] < 1
    assert facts["hours"] == {"open": "8 to 18"}
    assert facts["inputs"]["dollars_an_hour"].startswith("computed by the service, not sent: ")


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


def example(project: BakedProject, words: str) -> str:
    """The example of the project's own page that holds the words, as lines to append."""
    blocks = re.findall(r"^```python\n(.*?)^```", project.read("docs/project.md"), re.M | re.S)
    (found,) = (each for each in blocks if words in each)
    return f"\n\n{found}"


def edit(file: Path, *changes: tuple[str, str], append: str = "") -> None:
    """Change a file as a person would; each text must be there once."""
    text = file.read_text(encoding="utf-8")
    for before, after in changes:
        assert text.count(before) == 1, (file.name, before)
        text = text.replace(before, after)
    file.write_text(text + append, encoding="utf-8")
