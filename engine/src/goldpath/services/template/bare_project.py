"""What a project's files hold once the example has left: the places for a team's own code.

The texts are those of files, so `PACKAGE` stands for the package's name. A place says in its
docstring what belongs there, with a few lines that show how; `project.py` names it.
"""

from collections.abc import Mapping

FEATURES = "src/PACKAGE/features/rows.py"

PROJECT = '''\
"""What this project is, on one screen.

Each function below hands a part of the project to the engine and is called when that part is first
needed, so its imports stand inside.
"""

from goldpath import Data, Model, Project, RowFeature, Service, WindowFeature


def data() -> Data:
    """From the source to the table that models learn from."""
    from .data import aws_integration

    # Recipes of pipelines/data_engineering: bronze=bronze.store, silver=silver.clean, …
    return Data(aws=aws_integration.names)


def features() -> list[RowFeature | WindowFeature]:
    """What is computed of a row and looked up in sources, in the lake, batches and the service."""
    return []  # of features/rows.py


def model() -> Model:
    """The model: what is tried, what counts, and what keeps a candidate back."""
    from .model import families, mlflow_manager
    from .pipelines import batch_inference, training

    return Model(
        families=[families.boosting, families.linear],
        metrics=[],  # of model/metrics.py
        validators={},  # of model/gates.py
        training=training.steps,
        batch=batch_inference.steps,
        tags=mlflow_manager.tags,
        description=mlflow_manager.description,
    )


def service() -> Service:
    """What the HTTP service answers beyond predictions."""
    return Service(routers=[])  # of inference/api.py


project = Project(
    name="PACKAGE",
    data=data,
    features=features,
    models={"model": model},
    service=service,
)
'''

PLACES: Mapping[str, str] = {
    FEATURES: '''\
"""What is computed of a row; `docs features` lists the operations.

Each function runs once, on a row without values: what it does is written down, becomes a column of
gold, and is computed by the service of what a caller sends. Callers never send a row feature:

    @row_feature
    def charge_rate(row: Row) -> Value:
        return row.charges / (row.months + 1)

Then `return [rows.charge_rate]` in `features()` of project.py. What is looked up in further tables
(`make add-source`) is a window feature, in the same list: `docs features`.
"""
''',
    "src/PACKAGE/inference/api.py": '''\
"""Routes of one's own: FastAPI, behind the same keys and limits as `/predict`.

    router = APIRouter()


    @router.post("/offer")
    def offer(request: Request, features: dict[str, Any]) -> dict[str, bool]:
        return {"call": predict(request, features).prediction == "yes"}

Then `routers=[api.router]` in `service()` of project.py; `docs serving`.
"""
''',
    "src/PACKAGE/inference/monitoring.py": '''\
"""Metrics of one's own: `GET /metrics` shows them beside the engine's, over all workers.

    OFFERS = Counter("offers", "Offers by kind.", ["kind"])  # of prometheus_client

A route counts with `OFFERS.labels("call").inc()`.
"""
''',
    "src/PACKAGE/model/gates.py": '''\
"""What keeps a candidate from becoming champion, beside the engine's checks.

A subclass of `goldpath.BaseValidator`; then `validators={"name": gates.Own()}` in `model()` of
project.py. `docs validation` has an example, and config/validation.yaml the engine's limits.
"""
''',
    "src/PACKAGE/model/metrics.py": '''\
"""What good predictions are worth to this business, beside the usual metrics.

The names of a metric's parameters choose what it is given: `truth`, `probability`, `decided`,
`rows`. To let the search maximise one, hand it over as `metric=` in `project.py`:

    @metric(unit="share of rows")
    def right(truth: np.ndarray, decided: np.ndarray) -> float:
        return float(np.mean(truth == decided))
"""
''',
    "src/PACKAGE/pipelines/monitoring.py": '''\
"""Drift monitoring: which columns are compared with what the champion was trained on.

    def compared(rows: "pa.Table") -> "pa.Table":
        return rows.drop_columns(["age"])  # what grows for everybody

Then `compared=monitoring.compared` in `model()` of project.py.
"""
''',
    "src/PACKAGE/pipelines/data_engineering/bronze.py": '''\
"""Bronze: raw rows as they are stored, every column text. Each row must stay.

    def store(rows: "ibis.Table") -> "ibis.Table":
        return rows.mutate(office=rows["customer"].split("-")[0])

Then `bronze=bronze.store` in `data()` of project.py.
"""
''',
    "src/PACKAGE/pipelines/data_engineering/silver.py": '''\
"""Silver: raw rows as the contract reads them. Each row must stay, and is checked next.

    def clean(rows: "ibis.Table") -> "ibis.Table":
        return rows.mutate(term=rows["term"].lower())

Then `silver=silver.clean` in `data()` of project.py.
"""
''',
    "src/PACKAGE/pipelines/data_engineering/gold.py": '''\
"""Gold: the rows of silver that models learn from and that the batch scores.

    def choose(rows: "ibis.Table") -> "ibis.Table":
        return rows.filter(rows["months"] >= 1)

Then `gold=gold.choose` in `data()` of project.py.
"""
''',
}

STEPS: Mapping[str, str] = {
    "src/PACKAGE/pipelines/training.py": '''\
"""Training, top to bottom: the engine's five steps. One of your own is a function among them."""

from goldpath import training

steps = (
    training.extract,  # pin the snapshot of gold that everything else uses
    training.prepare_features,  # divide the rows; refuse leaks and rows of the future
    training.search_and_fit,  # the families of model/families.py, on the training rows only
    training.evaluate_candidate,  # on the test rows, beside a baseline and the champion
    training.register_candidate,  # sign it, and store it as a version in MLflow
)
''',
    "src/PACKAGE/pipelines/batch_inference.py": '''\
"""Batch inference, top to bottom: the engine's three steps, and a place for your own."""

from goldpath import batch

steps = (
    batch.load_rows,  # gold, or the rows of a file that fulfil the contract
    batch.score_rows,  # with the champion
    batch.store_predictions,  # one row each in the predictions table
)
''',
    "src/PACKAGE/model/mlflow_manager.py": '''\
"""What MLflow shows of this project's runs and versions."""

from collections.abc import Mapping
from typing import Any


def tags(result: Mapping[str, Any]) -> dict[str, str]:
    """Tags of a training's run and of the version that it registers.

    Args:
        result: The training's result: `reports/training.json` holds the same values.
    """
    return {"family": str(result["family"])}


def description(result: Mapping[str, Any]) -> str:
    """What lists of versions show; the first line is the title.

    Args:
        result: The training's result.
    """
    low, high = result["interval"]
    score = f"{result['metric']} {result['value']:.4f} ({low:.4f} to {high:.4f})"
    return (
        f"{result['family']}: {score}\\n\\n"
        f"Learned from {result['n_train']} rows, judged on {result['n_test']} others of "
        f"gold snapshot {result['gold_snapshot']}."
    )
''',
}

TESTS: Mapping[str, str] = {
    "tests/conftest.py": '''\
"""A folder to test with: this project's configuration, and commands that run there."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from goldpath import Contract, Model, Settings, load_contract, load_settings

from PACKAGE.project import project

ROOT = Path(__file__).resolve().parents[1]
FURTHER = sorted(file.parent.name for file in ROOT.glob("models/*/project.yaml"))
MODELS = ["", *FURTHER]
"""The main model, which goes by no name here, and those that `make add-model` has added."""


def definitions_of(model: str) -> Model:
    """What `project.py` hands over for one of `MODELS`."""
    return project.for_model(model, FURTHER).definitions


@dataclass(frozen=True)
class Workplace:
    """A folder with this project's configuration, where commands run as they do in earnest."""

    root: Path

    def run(self, *command: str, expect: int = 0) -> dict[str, Any]:
        """Run a command of this project with `--json` and return its result."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "MLFLOW_"))}
        done = subprocess.run(
            [sys.executable, "-m", project.name, *command, "--json"],
            cwd=self.root,
            env={**kept, "MLOPS_ROOT": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == expect, done.stdout[-2000:] + done.stderr[-2000:]
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return result

    @property
    def settings(self) -> Settings:
        """The settings of the workplace."""
        return load_settings(self.root, project=project)


@pytest.fixture(scope="session")
def contract() -> Contract:
    """What a row of this project's data is, as the main model reads it."""
    return load_contract(ROOT, model="")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A workplace without data."""
    root = tmp_path_factory.mktemp("workplace")
    for folder in ("config", "models"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, root / folder)
    return Workplace(root)


@pytest.fixture(scope="session")
def checked(workplace: Workplace) -> dict[str, Any]:
    """What `check` says of each of `MODELS`."""
    found = workplace.run("check")
    return {"": found, **found["models"]}
''',
}

BARE: Mapping[str, str] = {"src/PACKAGE/project.py": PROJECT, **PLACES, **STEPS, **TESTS}
"""Every file that is written, by its path."""

REMOVED = (
    "src/PACKAGE/features/customers.py",
    "src/PACKAGE/features/history.py",
    "tests/test_data_recipes.py",
    "tests/test_features.py",
    "tests/test_model.py",
    "tests/test_service.py",
    "tests/test_whole_path.py",
)
"""Every file that goes: the example's, and the tests of it."""

DATASET = "customer_churn"
SOURCES = {"payments": "data/sample/payments", "tickets": "data/sample/tickets"}
"""The example's further sources by name, each with its path; a team's own of that name stays."""

MODEL = "churn"
"""What `project.py` calls the example's model."""

DOCUMENTS = ("README.md", "docs/project.md")
"""Where parts between `<!-- example -->` and `<!-- end of the example -->` go."""

EXAMPLES = frozenset(
    {
        *("data", "features", "churn", "service", "project"),  # project.py
        *("charge_rate", "unbound_tickets", "paid", "paid_above", "asked"),
        *("router", "CALL_FROM", "MAIL_FROM", "Customer", "Offer", "retention_offer"),
        *("choose_offer", "OFFERS"),
        *("MOST_BEHIND", "FEWEST_ROWS", "CERTAINTY", "NoRegionLeftBehind"),
        *("CALL_COST", "MONTHS_KEPT", "saved_revenue", "tags", "description"),
        *("AGEING", "compared", "store", "clean", "choose"),
        *("churn_by_contract", "rank_calls", "steps"),
    }
)
"""What the example's modules define; any other name is a team's own."""
