"""A training draws the line where the settings say, and the version keeps it."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
import yaml

from goldpath import Prediction, Project, Row
from goldpath.contract import Contract, load_contract
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.drift.live_performance import live_performance
from goldpath.jobs.training.automl import run_automl
from goldpath.jobs.training.reproduction import reproduce
from goldpath.jobs.training.stages import train
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import read_gold
from goldpath.lake.tables import predictions_table
from goldpath.learning import splitting
from goldpath.learning.splitting import split_rows
from goldpath.registry.layout import REFERENCE_FILE
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.sample.customers import write_sample
from goldpath.serving.answers.own_fields import AnswerFieldError
from goldpath.serving.feedback import FeedbackLog
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog
from goldpath.settings import DecisionSettings, Settings

from ..conftest import forget_variables, make_project
from ..locations import ENGINE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("decided-versions")]

ROWS, TARGET = 1500, "monthly_charges"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return filled(make_project(tmp_path_factory.mktemp("decided")))


@pytest.fixture(scope="module")
def charges(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The same rows, of which the monthly charges are predicted."""
    settings = make_project(tmp_path_factory.mktemp("charges"))
    file = settings.root / "config" / "project.yaml"
    values = yaml.safe_load(file.read_text())
    named = [each for each in values["features"] if each["name"] != TARGET]
    values |= {"problem": "regression", "target": {"column": TARGET}, "features": named}
    file.write_text(yaml.safe_dump(values | {"dataset": "charges"}))
    return filled(settings)


def filled(settings: Settings) -> Settings:
    forget_variables()
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, ROWS, 5, {})
    refresh(settings, contract)
    training = settings.training.model_copy(
        update={"trials": 1, "families": ("linear",), "bootstrap_samples": 100, "parity_rows": 1000}
    )
    validation = settings.validation.model_copy(update={"stability_folds": 0})
    return settings.model_copy(update={"training": training, "validation": validation})


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The same rows, of which the contract's term is predicted: three classes."""
    settings = make_project(tmp_path_factory.mktemp("contracts"))
    file = settings.root / "config" / "project.yaml"
    values = yaml.safe_load(file.read_text())
    (term,) = [each for each in values["features"] if each["name"] == "contract"]
    values["features"].remove(term)
    values["target"] = {"column": "contract", "classes": term["categories"]}
    file.write_text(yaml.safe_dump(values | {"dataset": "contracts"}), encoding="utf-8")
    return filled(settings)


def segment(row: Row, prediction: Prediction) -> str:
    return f"{row.region}: {prediction.score > 0.6}"


def cases(row: Row, prediction: Prediction) -> list[str]:
    return [str(prediction.value), prediction.model_version]


def fails_late(row: Row, prediction: Prediction) -> str:
    if 0 < prediction.score < 0.4:
        raise ValueError(row.region)
    return "fine"


def deciding(settings: Settings, metric: str = "", **decision: object) -> Settings:
    training = settings.training.model_copy(update={"metric": metric})
    return settings.model_copy(
        update={"training": training, "decision": DecisionSettings.model_validate(decision)}
    )


def test_a_version_keeps_the_threshold_that_was_tuned_for_the_values(lake: Settings) -> None:
    contract = load_contract(lake.root)
    tuned = deciding(lake, "value", values={"tp": 80, "fp": -10}, tune_for="value")

    after = train(tuned, contract, "tuned")

    assert after.metric == "value"
    assert after.threshold is not None
    assert after.threshold < 0.4, "a call costs an eighth of what it may bring"
    manager = MLflowManager(tuned, contract)
    version = manager.version(after.model_version)
    assert version.tags["decision_threshold"] == f"{after.threshold:.9g}"
    for model in (manager.load(version), manager.load_for_serving(version)):
        assert model.contract.decision_threshold == after.threshold
    assert reproduce(tuned, contract, after.run_id).same_predictions


def test_many_rows_are_searched_on_a_draw_and_the_winner_learns_from_all(
    lake: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splitting, "FEWEST_SEARCHED", 100)  # of 1,200 rows
    contract = load_contract(lake.root)
    training = lake.training.model_copy(update={"search_rows": 500})
    tuned = deciding(lake.model_copy(update={"training": training}), tune_for="f1_macro")

    result = train(tuned, contract, "drawn")

    assert result.searched_rows is not None
    assert 500 <= result.searched_rows <= 1002 < result.n_train
    said = " ".join(capsys.readouterr().err.split())
    assert f"{result.searched_rows} drawn of {result.n_train} rows" in said
    assert f"fitting linear on {result.n_train} rows" in said
    card = (lake.root / result.card).read_text(encoding="utf-8")
    assert f"Searched on {result.searched_rows:,} of the training rows" in card
    run = MLflowManager(tuned, contract).store.run(result.run_id)
    assert run is not None
    assert run.parameters["search_rows"] == str(result.searched_rows)
    again = reproduce(tuned, contract, result.run_id)
    assert again.same_choice
    assert again.same_predictions


@pytest.mark.parametrize("search", [train, run_automl], ids=["train", "automl"])
def test_a_version_of_several_classes_keeps_its_thresholds_in_batch_and_reference(
    contracts: Settings, search: Callable[..., object], tmp_path: Path
) -> None:
    contract = load_contract(contracts.root)
    run = f"several-{search.__name__}"
    if search is train:
        settings = deciding(contracts, tune_for="balanced_accuracy")
        train(settings, contract, run)
    else:
        settings = deciding(contracts, thresholds={"one-year": 0.25, "two-year": 0.2})
        run_automl(settings, contract, trials=2, processes=1, run_key=run)
    manager = MLflowManager(settings, contract)
    version = manager.version_of_run_key(run)
    assert version is not None
    model = manager.load_for_serving(version)
    lines = model.contract.decision_thresholds
    assert lines
    for name, line in lines.items():
        assert f"{name} {line:.9g}" in version.tags["decision_threshold"]
    training = json.loads((settings.root / "reports/training.json").read_text())
    assert search is not train or training["thresholds"] == lines

    reference = pd.read_parquet(manager.download_artifact(version.run_id, REFERENCE_FILE, tmp_path))
    decided = model.predict(read_gold(open_lakehouse(settings), contract)).values
    served, known = (
        pd.Series(each).value_counts(normalize=True) for each in (decided, reference["prediction"])
    )
    # By the most probable class both of these would be far rarer in the reference.
    for name in lines:
        assert known.get(name, 0.0) > 0.5 * served.get(name, 0.0)
    manager.set_champion(version.version)
    rows = batch_rows(settings, contract)
    assert set(rows["prediction"]) & set(lines)
    assert (rows["decision"] == rows["prediction"]).all()
    wanted = rows["prediction"].map(lines)
    assert rows["threshold"].fillna(0).tolist() == wanted.fillna(0).tolist()
    assert (rows["score"] > rows["threshold"].fillna(0)).all()


@pytest.mark.parametrize("search", [train, run_automl], ids=["train", "automl"])
def test_by_capacity_that_share_of_new_rows_is_decided(
    lake: Settings, search: Callable[..., object]
) -> None:
    contract: Contract = load_contract(lake.root)
    settings = deciding(lake, capacity=0.1)
    run = f"capacity-{search.__name__}"
    if search is train:
        train(settings, contract, run)
    else:
        run_automl(settings, contract, trials=2, processes=1, run_key=run)
    manager = MLflowManager(settings, contract)
    version = manager.version_of_run_key(run)
    assert version is not None
    model = manager.load(version)
    gold = read_gold(open_lakehouse(lake), contract)
    test = split_rows(gold, contract, settings.training).test

    found = model.predict(test)

    positive = np.array(found.values) == contract.target.positive
    assert 0.04 < positive.mean() < 0.2
    assert (positive == (np.array(found.scores) > model.contract.decision_threshold)).all()


def test_the_predictions_table_shows_decision_and_threshold_of_a_version_that_has_one(
    lake: Settings,
) -> None:
    contract = load_contract(lake.root)
    fixed = deciding(lake, threshold=0.3)
    fixed._project = Project(name="shop", answer_fields=lambda: [segment, cases])
    manager = MLflowManager(fixed, contract)
    manager.set_champion(train(fixed, contract, "fixed").model_version)

    decided = predict_batch(fixed, contract)
    manager.set_champion(train(lake, contract, "plain").model_version)
    plain = predict_batch(lake, contract)

    lakehouse = open_lakehouse(lake)
    rows = lakehouse.collect(lakehouse.read(predictions_table(contract))).to_pandas()
    ours = rows[rows["run_id"] == decided.run_id]
    assert len(ours) == decided.rows
    assert (ours["threshold"] == 0.3).all()
    assert (ours["decision"] == ours["prediction"]).all()
    assert ((ours["decision"] == contract.target.positive) == (ours["score"] > 0.3)).all()
    scored = zip(ours["region"], ours["score"], ours["prediction"], strict=True)
    expected = [f"{region}: {score > 0.6}" for region, score, _ in scored]
    assert ours["segment"].tolist() == expected
    assert json.loads(ours["cases"].iloc[0]) == [ours["prediction"].iloc[0], decided.model_version]
    others = rows[rows["run_id"] == plain.run_id]
    assert len(others) == plain.rows
    assert others[["decision", "threshold"]].isna().all().all()


def documented(heading: str) -> dict[str, Any]:
    """The settings that a section of docs/models.md shows first."""
    section = (ENGINE / "docs" / "models.md").read_text(encoding="utf-8").split(heading)[1]
    values: dict[str, Any] = yaml.safe_load(section.split("```yaml")[1].split("```")[0])
    return values


def test_the_documented_band_is_one(lake: Settings) -> None:
    values = documented("### Rows that are left open")
    found = deciding(lake, **values).decision

    assert found.unsure == (0.4, 0.6)
    assert values["values"] == {"tp": 80, "fp": -10, "unsure": -2}


def test_a_version_leaves_the_decisions_open_that_the_band_holds(lake: Settings) -> None:
    contract = load_contract(lake.root)
    values = {"tp": 80, "fp": -10, "unsure": -1}
    settings = deciding(lake, values=values, tune_for="value", unsure={"share": 0.2})

    after = train(settings, contract, "unsure")

    manager = MLflowManager(settings, contract)
    version = manager.version(after.model_version)
    assert after.unsure is not None
    low, high = after.unsure
    assert low < after.threshold < high  # type: ignore[operator]
    assert version.tags["decision_unsure"] == f"{low:.9g} to {high:.9g}"
    metrics = manager.run_record(version).metrics  # type: ignore[union-attr]
    assert 0.1 < metrics["test_unsure_share"] < 0.3
    assert metrics["test_decided_accuracy"] > metrics["test_accuracy"]
    assert f"From {low:.4g} to {high:.4g}" in (lake.reports / "model_card.md").read_text()
    manager.set_champion(after.model_version)
    rows = batch_rows(settings, contract)
    is_open = rows["score"].between(low, high)
    assert is_open.any()
    assert (rows["decision"] == rows["prediction"].where(~is_open, "unsure")).all()


@pytest.mark.parametrize("search", [train, run_automl], ids=["train", "automl"])
def test_a_version_decides_by_group_in_table_report_card_and_a_repeated_training(
    lake: Settings, search: Callable[..., object]
) -> None:
    contract = load_contract(lake.root)
    limits = {"tolerance": 0.05, "minimum_rows": 50}
    groups = {"column": "contract", "criterion": "demographic_parity", **limits}
    settings = deciding(lake, tune_for="f1_macro", groups=groups)
    run = f"groups-{search.__name__}"
    if search is train:
        train(settings, contract, run)
    else:
        run_automl(settings, contract, trials=2, processes=1, run_key=run)
    manager = MLflowManager(settings, contract)
    version = manager.version_of_run_key(run)
    assert version is not None
    model = manager.load_for_serving(version)
    found = model.contract.decision_groups
    assert found is not None
    assert found.gaps is not None
    assert found.gaps[1] <= 0.05 < found.gaps[0]
    assert set(found.thresholds) == {"month-to-month", "one-year", "two-year"}
    assert version.tags["decision_groups"].startswith("thresholds by contract: month-to-month")
    training = json.loads((settings.reports / "training.json").read_text())
    assert training["groups"]["thresholds"] == found.thresholds
    card = (settings.reports / "model_card.md").read_text()
    assert "Different people are held to different thresholds by contract" in card
    assert "selection rate, one threshold" in card
    if search is train:
        assert reproduce(settings, contract, version.run_id).same_predictions

    manager.set_champion(version.version)
    rows = batch_rows(settings, contract)

    wanted = rows["contract"].map(found.thresholds)
    assert rows["threshold"].tolist() == wanted.tolist()
    positive = rows["prediction"] == contract.target.positive
    assert (positive == (rows["score"] > wanted)).all()
    assert (rows["decision"] == rows["prediction"]).all()
    rates = positive.groupby(rows["contract"]).mean()
    plain = (rows["score"] > training["threshold"]).groupby(rows["contract"]).mean()
    assert rates.max() - rates.min() < 0.5 * (plain.max() - plain.min())


@pytest.mark.parametrize("search", [train, run_automl], ids=["train", "automl"])
def test_a_version_of_a_number_has_intervals_that_new_rows_keep_to(
    charges: Settings, search: Callable[..., object]
) -> None:
    contract = load_contract(charges.root)
    settings = deciding(charges, **documented("## How far off a number may be"))
    run = f"interval-{search.__name__}"
    if search is train:
        train(settings, contract, run)
    else:
        run_automl(settings, contract, trials=2, processes=1, run_key=run)
    manager = MLflowManager(settings, contract)
    version = manager.version_of_run_key(run)
    assert version is not None
    interval = manager.load_for_serving(version).contract.prediction_interval
    assert interval is not None
    assert (interval.level, interval.minimum) == (0.9, 0.0)
    assert version.tags["prediction_interval"].startswith("±")
    metrics = manager.run_record(version).metrics  # type: ignore[union-attr]
    assert 0.84 < metrics["test_coverage"] < 0.96
    assert metrics["test_interval_width"] == pytest.approx(2 * interval.half_width)
    card = (settings.reports / "model_card.md").read_text()
    assert "lie in their intervals (level 0.9)" in card
    assert f"±{interval.half_width:.4g} at level 0.9, never below 0" in card
    if search is train:
        assert reproduce(settings, contract, version.run_id).same_predictions

    manager.set_champion(version.version)
    rows = batch_rows(settings, contract)

    assert (rows["upper"] == rows["prediction"] + interval.half_width).all()
    assert (rows["lower"] == (rows["prediction"] - interval.half_width).clip(lower=0)).all()
    assert "interval" not in rows


def test_the_labels_that_come_back_tell_what_the_intervals_hold(charges: Settings) -> None:
    contract = load_contract(charges.root)
    settings = deciding(charges, interval=0.9)
    trained = train(settings, contract, "interval-train")
    version, interval = trained.model_version, trained.prediction_interval
    assert interval is not None
    predictions, labels = PredictionLog(settings.root / "logs/predictions"), FeedbackLog(settings)
    now = datetime.now(UTC).isoformat()
    errors = [0.5, -0.9, 1.1, 0.0]
    ids = [str(UUID(int=number)) for number in range(4)]
    predictions.write([LoggedPrediction(each, now, version, {}, 90.0, 90.0) for each in ids])
    predictions.close()
    labels.write(
        [
            {"prediction_id": each, "label": 90.0 + error * interval.half_width, "at": None}
            for each, error in zip(ids, errors, strict=True)
        ]
    )
    labels.close()

    (found,) = live_performance(settings, contract).versions

    assert found.metrics["coverage"] == 0.75


def batch_rows(settings: Settings, contract: Contract) -> pd.DataFrame:
    run = predict_batch(settings, contract).run_id
    lakehouse = open_lakehouse(settings)
    rows: pd.DataFrame = lakehouse.collect(lakehouse.read(predictions_table(contract))).to_pandas()
    return rows.loc[rows["run_id"] == run]


def test_a_batch_with_an_answer_field_that_fails_writes_nothing(lake: Settings) -> None:
    contract = load_contract(lake.root)
    manager = MLflowManager(lake, contract)
    manager.set_champion(train(lake, contract, "plain").model_version)
    predict_batch(lake, contract)
    lakehouse = open_lakehouse(lake)
    before = lakehouse.snapshot(predictions_table(contract))
    settings = deciding(lake)
    settings._project = Project(name="shop", answer_fields=lambda: [fails_late])

    with pytest.raises(AnswerFieldError) as caught:
        predict_batch(settings, contract, run_id="fails")

    assert "test_decided_versions.py:" in caught.value.message
    assert "the answer field fails_late failed: ValueError in line" in caught.value.message
    assert lakehouse.snapshot(predictions_table(contract)) == before
