"""The card says what is known of a model, and its front matter is what Hugging Face reads."""

import dataclasses
import re
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from goldpath.contract import Contract
from goldpath.judging.card import CardFacts, write_card
from goldpath.judging.error_analysis import Slice
from goldpath.judging.validation_report import ValidationReport, ValidationResult, ValidationStatus
from goldpath.learning.metrics import Score
from goldpath.trust.lineage import Lineage

WHEN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
CONTRACT = Contract.model_validate(
    {
        "dataset": "customer_churn",
        "problem": "classification",
        "source": {"path": "x.csv"},
        "target": {"column": "churned", "classes": ["no", "yes"]},
        "features": [
            {"name": "age", "type": "integer"},
            {"name": "region", "type": "category"},
        ],
        "personal": ["age"],
        "fairness_groups": ["region"],
    }
)


@pytest.fixture
def facts() -> CardFacts:
    bias = ValidationResult(
        "bias",
        ValidationStatus.PASSED,
        "region: no difference",
        details={"region = north": {"rows": 120.0, "accuracy": 0.81}},
    )
    return CardFacts(
        contract=CONTRACT,
        version="1.2.0",
        created=WHEN,
        family="boosting",
        rows=(2400, 600),
        split_rule="by time",
        scores=(
            Score("roc_auc", 0.8134, (0.77, 0.85)),
            Score("brier", 0.14, (0.12, 0.16)),
            Score("calibration_error", 0.08, (0.05, 0.11)),
        ),
        baseline=0.5,
        lineage=Lineage("run1", "8812345", "abc123", "d" * 64, "c" * 64, 42, "0123456789abcdef"),
        period=("2025-01-01", "2026-01-31"),
        slices=(Slice("region = north", 90, 0.7, 0.9, 0.4, (0.3, 0.7), worse=True),),
        importances={"age": 0.12},
        validation=ValidationReport("customer_churn", "3", 600, WHEN, (bias,)),
        license="mit",
    )


def front_matter(card: str) -> dict[str, Any]:
    parts = card.split("---\n", 2)
    assert parts[0] == ""
    values = yaml.safe_load(parts[1])
    assert isinstance(values, dict)
    return values


def test_front_matter_has_the_layout_of_a_model_index(facts: CardFacts) -> None:
    values = front_matter(write_card(facts))
    assert values["license"] == "mit"
    assert values["language"] == ["en"]
    assert values["library_name"] == "sklearn"
    assert values["pipeline_tag"] == "tabular-classification"
    assert values["datasets"] == ["customer_churn"]
    assert values["metrics"] == ["roc_auc", "brier", "calibration_error"]
    assert {"tabular", "classification"} <= set(values["tags"])
    (entry,) = values["model-index"]
    assert set(entry) == {"name", "results"}
    for result in entry["results"]:
        assert set(result) == {"task", "dataset", "metrics"}
        assert result["task"]["type"] == "tabular-classification"
        assert {"type", "name"} <= set(result["dataset"])
        assert result["dataset"]["revision"] == "8812345"
        for metric in result["metrics"]:
            assert set(metric) == {"type", "value", "name"}
            assert isinstance(metric["value"], float)
    assert entry["results"][0]["metrics"][0]["value"] == 0.8134


def test_card_has_every_part_and_the_figures(facts: CardFacts) -> None:
    card = write_card(facts)
    titles = re.findall(r"^## (.+)$", card, re.MULTILINE)
    assert titles == [
        "Intended use",
        "Data",
        "Quality",
        "Calibration",
        "Where it is worse",
        "Fairness",
        "Checks",
        "Limits",
        "Lineage",
    ]
    for said in (
        "0.8134 | 0.7700 to 0.8500",
        "2,400 for training, 600 for the test",
        "2025-01-01 to 2026-01-31",
        "Personal data: age",
        "region = north | 90",
        "region = north | 120 | 0.81",
        "8812345",
        "abc123",
        "d" * 64,
        "c" * 64,
        "0123456789abcdef",
        "Do not read its scores as probabilities",
        "Nothing is known of its quality on rows after 2026-01-31",
    ):
        assert said in card, said


def test_what_was_not_examined_is_said(facts: CardFacts) -> None:
    plain = facts.contract.model_copy(update={"fairness_groups": ()})
    card = write_card(dataclasses.replace(facts, contract=plain, validation=None, slices=()))
    assert "not examined" in card
    assert "Whether it treats groups of people alike was not examined." in card


def test_markup_in_names_stays_text(facts: CardFacts) -> None:
    hostile = "<script>|a\n---\n# b"
    slices = (Slice(hostile, 90, 0.7, 0.9, 0.4, (0.3, 0.7), worse=True),)
    card = write_card(dataclasses.replace(facts, slices=slices, family=hostile))
    assert "<script>" not in card.replace(r"\<script\>", "")
    assert front_matter(card)["license"] == "mit"
    tables = [line for line in card.splitlines() if line.startswith("| \\<script")]
    assert len(tables) == 1
    assert "\n# b" not in card


def test_a_figure_that_is_no_number_is_left_out_of_the_front_matter(facts: CardFacts) -> None:
    scores = (*facts.scores, Score("log_loss", float("nan"), (float("nan"), float("nan"))))
    values = front_matter(write_card(dataclasses.replace(facts, scores=scores)))
    assert "log_loss" not in values["metrics"]


def test_same_facts_give_the_same_card(facts: CardFacts) -> None:
    assert write_card(facts) == write_card(facts)
