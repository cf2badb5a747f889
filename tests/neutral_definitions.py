"""Runs a project's definitions, and the same with each function replaced by its neutral one.

Run by a generated project's Python in its folder, with the package's name; prints, as JSON, what
each function is about: first with it, then without.
"""

import importlib
import json
import os
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastapi import APIRouter
from fastapi.testclient import TestClient
from goldpath import (
    BaseValidator,
    Data,
    Model,
    Project,
    RowFeature,
    Service,
    ValidationStatus,
    WindowFeature,
    create_app,
    load_contract,
    load_settings,
)
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.promotion.promote import promote
from goldpath.jobs.training.stages import train
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import read_gold
from goldpath.lake.tables import bronze_table, gold_table, predictions_table
from goldpath.learning.search import search
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.sample.customers import write_sample
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier

PACKAGE = sys.argv[1]
SMALL = {"MLOPS_TRAINING__TRIALS": "2", "MLOPS_TRAINING__PARITY_ROWS": "2000"}
SMALL |= {"MLOPS_VALIDATION__LATENCY_MS": "5000"}  # is not what this is about, on a busy machine
ROWS = 1_500
project: Project = importlib.import_module(f"{PACKAGE}.project").project
api = importlib.import_module(f"{PACKAGE}.inference.api")


class Silent(BaseValidator):
    """A check that has nothing to say."""

    def validate(self, *_: Any, **__: Any) -> Any:
        return self.create_result(ValidationStatus.PASSED, None, "nothing")


def plain_tree(_: Any, columns: Any) -> Pipeline:
    tree = DecisionTreeClassifier(max_depth=4, min_samples_leaf=20, random_state=columns.seed)
    return Pipeline([("columns", columns.encoded()), ("model", tree)])


def same(value: Any, *_: Any) -> Any:
    return value


def offers() -> float:
    """How many offers were counted in this process."""
    samples = [sample for each in api.OFFERS.collect() for sample in each.samples]
    return sum(sample.value for sample in samples if sample.name.endswith("_total"))


def neutral_features() -> list[RowFeature | WindowFeature]:
    windows = {
        "paid": lambda payments: {"mean": (payments.amount * 0).mean()},
        "asked": lambda tickets: {"cancellations": tickets.where(tickets.minutes < 0).count()},
    }
    return [
        *(replace(each, function=windows[each.name]) for each in project.window_features),
        *(replace(each, function=lambda row: row.age * 0) for each in project.row_features),
    ]


def neutral_model() -> Model:
    own = project.definitions

    def neutral(step: Any) -> Any:
        if not step.__module__.startswith(PACKAGE):
            return step

        def nothing(work: Any) -> Any:
            return {} if step in own.training else work

        nothing.__name__ = step.__name__
        return nothing

    return replace(
        own,
        families=[replace(each, function=plain_tree, defaults={}) for each in own.families],
        metrics=[replace(each, function=lambda *_: 0.0) for each in own.metrics],
        validators={name: Silent("no region left behind") for name in own.validators},
        training=[neutral(step) for step in own.training],
        batch=[neutral(step) for step in own.batch],
        compared=None,
        tags=None,
        description=None,
    )


def neutral_service() -> Service:
    router = APIRouter()

    @router.post("/retention-offer")
    def offer() -> dict[str, str]:
        return {}

    return Service(routers=[router])


def about(own: Project, folder: Path) -> dict[str, Any]:
    """What each function is about, from one small run of the whole path."""
    shutil.copytree("config", folder / "config")
    for name in [name for name in os.environ if name.startswith(("MLOPS_", "MLFLOW_"))]:
        del os.environ[name]  # of the run before
    os.environ |= {**SMALL, "MLOPS_ROOT": str(folder)}
    settings = load_settings(folder, own)
    contract = load_contract(folder)
    write_sample(folder / contract.source.path, ROWS, 7, {}, history=True)
    data = refresh(settings, contract)
    lakehouse = open_lakehouse(settings)
    gold = read_gold(lakehouse, contract)
    published = lakehouse.collect(lakehouse.read(gold_table(contract))).to_pandas()
    columns = {"paid": "paid_mean_90d", "asked": "asked_cancellations_90d"}
    computed = {
        each.name: float(published[columns.get(each.name, each.name)].mean())
        for each in own.own_features
    }
    tried = search(gold, contract, settings.training, lambda *_: None, (), own.definitions)
    candidate = train(settings, contract)
    manager = MLflowManager(settings, contract)
    version = manager.version(candidate.model_version)
    evaluation = json.loads((settings.reports / "evaluation.json").read_text())
    gate = promote(settings, contract, version.version)
    predict_batch(settings, contract)
    shifted = folder / "shifted.csv"
    write_sample(shifted, 600, 8, {"tenure_months": 2.0})
    drift = check_drift(settings, contract, shifted, html=False)
    before = offers()
    with TestClient(create_app(settings)) as client:
        rows = gold[contract.feature_names].head(40).to_json(orient="records")
        answers = [
            client.post(
                "/retention-offer", json={"customer_id": "C7-000001", "features": row}
            ).json()
            for row in json.loads(rows)
        ]
        counted = "churn_offers_total{" in client.get("/metrics").text and offers() - before
    os.environ |= {"MLOPS_ENVIRONMENT": "staging", "MLOPS_SERVING__API_KEY": "x" * 20}
    staging = load_settings(folder, own)
    for name in ("MLOPS_ENVIRONMENT", "MLOPS_SERVING__API_KEY"):
        del os.environ[name]
    run = manager.client.get_run(version.run_id).data
    by_family = {trial.family: trial.fold_scores for trial in tried.trials}
    return {
        "store": lakehouse.read(bronze_table(contract)).columns,
        "clean": data.silver_rows,
        "choose": len(gold) / data.silver_rows,
        "names": staging.aws.bucket if staging.aws else None,
        **computed,
        "boosting": by_family["boosting"],
        "linear": by_family["linear"],
        "saved_revenue": evaluation["others"]["saved_revenue"],
        "validate": gate.checks["no region left behind"],
        "churn_by_contract": sorted(name for name in run.metrics if name.startswith("churn_rate")),
        "rank_calls": lakehouse.read(predictions_table(contract)).columns,
        "compared": sorted(drift.drifted_columns),
        "tags": version.tags.get("team"),
        "description": version.description,
        "retention_offer": sorted(answers[0]),
        "choose_offer": sorted({answer.get("offer", "") for answer in answers}),
        "OFFERS": counted,
    }


neutral = Project(
    name=project.name,
    dataset=project.dataset,
    data=lambda: Data(bronze=same, silver=same, gold=same, aws=same),
    features=neutral_features,
    models={"churn": neutral_model},
    service=neutral_service,
)
warnings.simplefilter("ignore")
with TemporaryDirectory() as first, TemporaryDirectory() as second:
    with_them = about(project, Path(first) / "own")
    without = about(neutral, Path(second) / "neutral")
json.dump({name: [value, without[name]] for name, value in with_them.items()}, sys.stdout)
