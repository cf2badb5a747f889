"""A stage's result comes back from the run as the dataclass that was stored, or with a reason."""

import json
from dataclasses import asdict, replace
from datetime import UTC, datetime

import pytest

from goldpath.jobs.training.results import EnsembleSearch, Extracted, Found, Judged
from goldpath.learning.metrics import Score
from goldpath.registry.mlflow_manager import RegistryError
from goldpath.registry.stored_result import result_as_json, result_from_json

EXTRACTED = Extracted(
    snapshot_id=8_411_233_441_123_551_001,
    table="gold.churn",
    rows=3000,
    committed_at=datetime(2026, 11, 28, 9, 30, 1, 250_000, tzinfo=UTC),
    quarantine_share=0.004,
)
FOUND = Found(
    family="boosting",
    parameters={"max_depth": 3, "learning_rate": 0.1, "selection": None, "early": True},
    score=0.84,
    fold_scores=(0.8, 0.88),
    trials=2,
    pruned=0,
    learned_rows=2400,
    learned_digest="ab" * 32,
    ensemble=None,
)
ENSEMBLE = EnsembleSearch({"lightgbm": 1.0}, 0.83, 12.5, None, {"xgboost": "not installed"})
JUDGED = Judged(
    metric="roc_auc",
    value=0.84,
    interval=(0.8, 0.88),
    baseline=0.5,
    champion=None,
    search_score=0.83,
    others={"brier": Score("brier", 0.1, (0.09, 0.11))},
    worst_slice="",
    predictions_digest="cd" * 32,
    plot="reports/evaluation.png",
    card="reports/model_card.md",
)


@pytest.mark.parametrize(
    "result", [EXTRACTED, FOUND, replace(FOUND, family="automl", ensemble=ENSEMBLE), JUDGED]
)
def test_a_result_comes_back_as_it_was(result: object) -> None:
    again = result_from_json(type(result), result_as_json(result), "stages/x.json")
    assert again == result
    assert type(again) is type(result)


def test_the_types_of_parameters_survive() -> None:
    again = result_from_json(Found, result_as_json(FOUND), "stages/train.json")
    kinds = {name: type(value) for name, value in again.parameters.items()}
    assert kinds == {
        "max_depth": int,
        "learning_rate": float,
        "selection": type(None),
        "early": bool,
    }


def test_an_unknown_key_is_named() -> None:
    text = json.dumps({**json.loads(result_as_json(EXTRACTED)), "colour": "red"})
    with pytest.raises(RegistryError, match=r"stages/extract\.json has the unknown keys colour"):
        result_from_json(Extracted, text, "stages/extract.json")


def test_a_missing_key_is_named() -> None:
    values = json.loads(result_as_json(EXTRACTED))
    del values["rows"]
    with pytest.raises(RegistryError, match=r"no Extracted: rows: .*required"):
        result_from_json(Extracted, json.dumps(values), "stages/extract.json")


def test_a_value_of_another_type_is_named() -> None:
    values = {**json.loads(result_as_json(EXTRACTED)), "rows": "3000"}
    with pytest.raises(RegistryError, match=r"no Extracted: rows: .*valid integer"):
        result_from_json(Extracted, json.dumps(values), "stages/extract.json")


@pytest.mark.parametrize("text", ["{", "[1, 2]"])
def test_what_is_no_json_object_is_refused(text: str) -> None:
    with pytest.raises(RegistryError, match=r"stages/extract\.json"):
        result_from_json(Extracted, text, "stages/extract.json")


def test_a_metric_that_is_not_defined_survives() -> None:
    nowhere = replace(JUDGED, search_score=float("nan"))
    again = result_from_json(Judged, result_as_json(nowhere), "stages/evaluate.json")
    assert again.search_score != again.search_score
    assert asdict(replace(again, search_score=0.0)) == asdict(replace(nowhere, search_score=0.0))
