"""A CSV file whose text tells the outcome: adopted, trained, served, scored in batches, watched."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.adoption.answers import Answers
from goldpath.adoption.infer import Adoption
from goldpath.contract import Contract, load_contract
from goldpath.jobs.batch.files import predict_file
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.adoption import adopt_file
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.data.report import write_data_report
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.drift.written_reports import DriftReport
from goldpath.jobs.promotion.promote import promote
from goldpath.jobs.training.automl import run_automl
from goldpath.jobs.training.stages import train
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.serving.api import create_service
from goldpath.settings import Settings, load_settings

from ..api.conftest import until
from ..api.examples import TestClient
from ..conftest import forget_variables
from ..prepared_projects import PreparedProjects
from ..ready_made import add_ready_made

WORDS = [f"word{number}" for number in range(40)]
QUICK = {
    "TRAINING__TRIALS": "2",
    "TRAINING__CV_FOLDS": "2",
    "TRAINING__BOOTSTRAP_SAMPLES": "100",
    "TRAINING__FAMILIES": '["boosting", "linear"]',
    "VALIDATION__STABILITY_FOLDS": "0",
}


def messages(rows: int, seed: int, *, words: list[str] | None = None) -> pd.DataFrame:
    """Texts of ten words, one of which tells the outcome in nine of ten rows."""
    dice = np.random.default_rng(seed)
    leaves = dice.random(rows) < 0.5
    told = np.where(dice.random(rows) < 0.1, ~leaves, leaves)
    texts = [
        " ".join(
            dice.permutation([*dice.choice(words or WORDS, 9), "refund" if each else "thanks"])
        )
        for each in told
    ]
    return pd.DataFrame(
        {
            "customer_id": [f"c{seed}-{number}" for number in range(rows)],
            "message": pd.Series(texts).mask(dice.random(rows) < 0.03, None),
            "age": dice.integers(18, 80, rows) + 2 * leaves,
            "leaves": np.where(leaves, "yes", "no"),
        }
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A search of few trials, for whoever loads the settings."""
    for name, value in QUICK.items():
        monkeypatch.setenv(f"MLOPS_{name}", value)
    yield
    forget_variables()


def adopt_messages(
    settings: Settings, rows: pd.DataFrame, **columns: str
) -> tuple[Adoption, Settings, Contract]:
    """Adopt rows, with what is said of their columns, and bring them into the lake."""
    add_ready_made(settings)
    file = settings.root / "messages.csv"
    rows.to_csv(file, index=False)
    adopted = adopt_file(settings, file, "leaves", None, None, None, Answers(columns))
    own = load_settings(settings.root)
    contract = load_contract(own.root)
    refresh(own, contract)
    return adopted, own, contract


def texts_with_champion(settings: Settings) -> dict[str, Any]:
    """Adopt the file, train on it, and promote the version."""
    adopted, own, contract = adopt_messages(settings, messages(1_200, seed=1))
    blind = train(own, without_texts(contract))
    result = train(own, contract)
    promote(own, contract, result.model_version)
    (why,) = (each.reason for each in adopted.decisions if each.column == "message")
    return {"notes": adopted.notes, "why": why, "value": result.value, "blind": blind.value}


def without_texts(contract: Contract) -> Contract:
    """The same rows, of which a model does not read the texts."""
    ignored = {**contract.ignored, **dict.fromkeys(contract.text_features, "not read")}
    rest = tuple(each for each in contract.features if not each.is_free_text)
    return contract.model_copy(update={"features": rest, "ignored": ignored})


@pytest.fixture
def adopted(quick: None, prepared_projects: PreparedProjects) -> tuple[Settings, dict[str, Any]]:
    settings, found = prepared_projects.restore(texts_with_champion)
    return load_settings(settings.root), found


def test_the_text_is_adopted_learned_from_and_shown(
    adopted: tuple[Settings, dict[str, Any]],
) -> None:
    settings, found = adopted
    contract = load_contract(settings.root)
    assert contract.text_features == ["message"]
    assert contract.by_name["message"].nullable
    assert any("message is read as free text" in note for note in found["notes"])
    assert found["why"].startswith("free text")
    assert found["value"] > 0.85, "nine of ten texts tell it; without them it is a guess by age"
    assert found["value"] >= found["blind"] + 0.05
    card = (settings.reports / "model_card.md").read_text()
    assert "- Free text: message: 10.0 words in the mean; common ones: " in card
    slices = json.loads((settings.reports / "evaluation.json").read_text())["slices"]
    assert not [each for each in slices if each["name"].startswith("message =")]
    page = settings.root / write_data_report(settings, contract).page
    assert "characters" in page.read_text()
    assert "refund" in page.read_text()


@pytest.mark.usefixtures("quick")
def test_automl_reads_short_texts_at_trainings_sizes(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its values the column is one of categories: a word that tells, and one of 40 others."""
    monkeypatch.setenv("MLOPS_TRAINING__TEXT_TERMS", "30")
    rows = messages(400, seed=1)
    told = rows["message"].str.extract("(refund|thanks)", expand=False).fillna("nothing")
    rows["message"] = told + " " + np.resize(WORDS, len(rows))
    _, settings, contract = adopt_messages(project, rows, message="text")
    found = run_automl(settings, contract, trials=1)
    manager = MLflowManager(settings, contract)
    model = manager.load(manager.version(found.model_version)).pipeline
    for preparation in model.preparations:
        kinds = dict(zip(preparation.columns_, preparation.kinds_, strict=True))
        assert kinds == {"message": "text", "age": "number"}
        assert len(preparation.vectors_["message"].terms_) == 30
    assert (found.value > 0.8, found.findings) == (True, ())


@pytest.mark.usefixtures("quick")
def test_a_file_of_texts_alone_is_learned_from(project: Settings) -> None:
    rows = messages(400, seed=1).drop(columns="age")
    _, settings, contract = adopt_messages(project, rows)
    assert [each.name for each in contract.features] == ["message"]
    assert train(settings, contract).value > 0.8


def test_the_service_answers_for_texts(adopted: tuple[Settings, dict[str, Any]]) -> None:
    settings, _ = adopted
    angry, happy = (
        {"message": f"I want word1 {word} now", "age": 40} for word in ("a refund", "thanks")
    )
    with TestClient(create_service(settings, load_contract(settings.root))) as client:
        until(lambda: client.get("/ready").status_code == 200)
        facts = client.get("/model").json()
        assert facts["engine"] == "pipeline"
        assert "message" in facts["compiled"]
        single = client.post("/predict", json={"features": angry}).json()
        assert single["prediction"] == "yes"
        batch = client.post("/predict/batch", json={"instances": [angry, happy]}).json()
        assert [each["prediction"] for each in batch["predictions"]] == ["yes", "no"]
        first, second = (each["probabilities"]["yes"] for each in batch["predictions"])
        assert first > 0.7 > 0.3 > second
        silent = client.post("/predict", json={"features": {"message": None, "age": 40}})
        assert silent.status_code == 200
        long = client.post("/predict", json={"features": {**angry, "message": "a" * 5_001}})
        assert (long.status_code, long.json()["errors"][0]["fix"]) == (
            422,
            "send a text of 1 to 5000 characters, or null",
        )
        explained = client.post("/explain", json={"features": angry}).json()["contributions"]
        assert [each["feature"] for each in explained] == ["message", "age"]
        schema = client.get("/openapi.json").json()["components"]["schemas"]["Features"]
        assert {"type": "string", "minLength": 1, "maxLength": 5_000} in schema["properties"][
            "message"
        ]["anyOf"]
        assert "<textarea" in client.get("/").text


def test_batches_score_texts_and_refuse_those_that_are_too_long(
    adopted: tuple[Settings, dict[str, Any]],
) -> None:
    settings, _ = adopted
    contract, new = load_contract(settings.root), messages(50, seed=2)
    new.loc[3, "message"] = "a " * 3_000
    file, typed = settings.root / "new.csv", settings.root / "new.parquet"
    new.to_csv(file, index=False)
    new.to_parquet(typed, index=False)
    assert predict_batch(settings, contract).rows == 1_200
    scored = predict_batch(settings, contract, file)
    assert (scored.rows, scored.refused_rows) == (49, 1)
    assert "message: is longer than 5000 characters" in scored.refused_reasons
    written = predict_file(settings, contract, typed, settings.root / "scored.parquet")
    assert (written.rows, written.refused_rows) == (49, 1)


def test_drift_is_seen_in_the_length_and_in_new_words(
    adopted: tuple[Settings, dict[str, Any]],
) -> None:
    settings, _ = adopted
    contract, file = load_contract(settings.root), settings.root / "later.csv"

    def checked(rows: pd.DataFrame) -> DriftReport:
        rows.to_csv(file, index=False)
        return check_drift(settings, contract, file, html=False)

    same = checked(messages(400, seed=3))
    assert (same.verdict, set(same.drifted_columns)) == ("ok", set())
    foreign = checked(messages(400, seed=6, words=[f"other{number}" for number in range(40)]))
    assert foreign.verdict == "drift"
    assert next(iter(foreign.drifted_columns)) == "message (share of new words)"
    other = messages(400, seed=4, words=[*WORDS, "parcel", "charger", "late"])
    assert "message (share of new words)" in checked(other).drifted_columns
    longer = messages(400, seed=5)
    longer["message"] += " " + longer["message"]
    assert "message (words)" in checked(longer).drifted_columns
    written = (settings.reports / "drift.json").read_text()
    assert "refund" not in written  # no text and no word is kept of the training rows
