"""A version decides where the settings draw the line, and alike wherever it runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldpath.compiled.compiler import compile_pipeline
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract, ContractError, dump_contract, load_contract, parse_contract
from goldpath.errors import NotEnoughDataError
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.batch.file_scorer import BatchScorer
from goldpath.learning.decision.choice import chosen_threshold, require_tunable
from goldpath.learning.decision.chosen import with_chosen_metrics
from goldpath.learning.decision.threshold import DecisionRule
from goldpath.learning.metric import metric
from goldpath.learning.scoring import LoadedModel
from goldpath.project import Model
from goldpath.serving.predictor import score_rows
from goldpath.settings import DecisionSettings, SettingsError, TrainingSettings, load_settings

from ..api.examples import contract_of, fitted, random_rows

BINARY = contract_of("binary")
ROWS = random_rows(BINARY, 60, seed=5)


def of_the_settings(decision: DecisionSettings, contract: Contract = BINARY) -> Model:
    return with_chosen_metrics(Model(), contract, TrainingSettings(), decision)


def threshold_for(decision: DecisionSettings, truth: np.ndarray, scores: np.ndarray) -> float:
    rows = pd.DataFrame({"x": scores})
    found = chosen_threshold(BINARY, decision, of_the_settings(decision), truth, scores, rows)
    assert found is not None
    return found


def calibrated(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    scores = random.uniform(size=count)
    return np.where(random.uniform(size=count) < scores, "yes", "no"), scores


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
    st.none() | st.floats(0, 1),
)
def test_a_row_alone_is_decided_as_among_others(
    scores: list[float], threshold: float | None
) -> None:
    rule = DecisionRule(threshold)
    answers = np.column_stack([1 - np.array(scores), scores])

    assert [rule.label(row) for row in answers.tolist()] == rule.labels(answers).tolist()


def test_without_a_threshold_the_most_probable_class_is_decided() -> None:
    answers = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]])

    assert DecisionRule(None).labels(answers).tolist() == [1, 0]
    assert DecisionRule(None).labels(np.array([[7.5], [-1.0]])).tolist() == [0, 0], "a regression"


def test_the_threshold_for_the_values_is_where_both_decisions_are_worth_the_same() -> None:
    truth, scores = calibrated()
    decision = DecisionSettings(values={"tp": 80, "fp": -10}, tune_for="value")

    found = threshold_for(decision, truth, scores)

    assert found == pytest.approx(10 / 90, abs=0.05), "p * 80 = (1 - p) * 10"


def test_a_metric_of_which_less_is_better_is_made_small() -> None:
    @metric(greater_is_better=False)
    def misses(truth: Any, decided: Any) -> float:
        return float(np.mean(truth != decided))

    truth, scores = calibrated()
    decision = DecisionSettings(tune_for="misses")
    found = chosen_threshold(BINARY, decision, Model(metrics=[misses]), truth, scores, ROWS_FRAME)

    assert found == pytest.approx(0.5, abs=0.1)


ROWS_FRAME = pd.DataFrame({"x": [1.0]})


@pytest.mark.parametrize("share", [0.1, 0.25, 0.9])
def test_by_capacity_no_more_rows_are_decided_than_can_be_acted_on(share: float) -> None:
    scores = np.round(np.random.default_rng(1).uniform(size=997), 2)  # many ties

    found = threshold_for(DecisionSettings(capacity=share), np.array([]), scores)

    decided = (scores > found).mean()
    below = scores[scores <= found].max()
    assert decided <= share < (scores >= below).mean(), "and as many as that allows"


def test_a_capacity_that_ties_do_not_allow_is_said() -> None:
    with pytest.raises(NotEnoughDataError, match="decides no row: 5 of 10 rows share the highest"):
        threshold_for(DecisionSettings(capacity=0.2), np.array([]), np.array([0.1] * 5 + [0.9] * 5))


@pytest.mark.parametrize("threshold", [None, 0.3, 0.55])
def test_pipeline_compiled_model_service_and_batch_decide_alike(threshold: float | None) -> None:
    plain = fitted("binary")
    contract = BINARY.with_threshold(threshold)
    model = LoadedModel(plain.pipeline, contract, plain.version)
    compiled = CompiledModel(compile_pipeline(plain.pipeline, contract), contract, plain.version)
    scores = plain.predict(ROWS).scores
    line = 0.5 if threshold is None else threshold
    expected = ["yes" if score > line else "no" for score in scores]
    assert len(set(expected)) == 2

    assert model.predict(ROWS).values == expected
    assert compiled.predict(ROWS).values == expected
    assert [row.value for row in score_rows(compiled, [dict(row) for row in ROWS])] == expected
    table = pa.Table.from_pylist(ROWS, _types()).combine_chunks().to_batches()[0]
    for each in (model, compiled):
        scored, _ = BatchScorer(each, BINARY, "1").score(table, 0)
        assert scored.column("prediction").to_pylist() == expected


def _types() -> pa.Schema:
    kinds = {"boolean": pa.bool_(), "category": pa.string(), "integer": pa.int64()}
    return pa.schema([(f.name, kinds.get(f.type, pa.float64())) for f in BINARY.features])


def test_it_is_a_part_of_the_contract_that_is_signed_and_of_no_lakes_rules() -> None:
    contract = BINARY.with_threshold(0.3)

    assert parse_contract(dump_contract(contract)) == contract
    assert dump_contract(BINARY.with_threshold(None)) == dump_contract(BINARY)
    assert contract.rules == BINARY.rules


@pytest.mark.parametrize(
    ("of", "decision", "said"),
    [
        ("multiclass", DecisionSettings(threshold=0.3), "decision.threshold is for a target of"),
        (
            "regression",
            DecisionSettings(capacity=0.3),
            "decision.capacity is for .*; amount has",
        ),
        ("binary", DecisionSettings(tune_for="f2"), "decision.tune_for='f2' is no metric of this"),
        ("binary", DecisionSettings(tune_for="roc_auc"), "'roc_auc' looks at probabilities"),
        ("binary", DecisionSettings(tune_for="log_loss"), "'log_loss' looks at probabilities"),
    ],
)
def test_a_rule_that_cannot_be_applied_is_refused(
    of: str, decision: DecisionSettings, said: str
) -> None:
    contract = contract_of(of)

    with pytest.raises(ProjectDefinitionError, match=f"config/decision.yaml: .*{said}") as it:
        require_tunable(contract, decision, of_the_settings(decision, contract))
    assert it.value.fix


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("threshold: 1.5", "decision.threshold=1.5"),
        ("capacity: 0", "decision.capacity=0"),
        ("threshold: 0.5\ncapacity: 0.1", "threshold and capacity each set the threshold"),
    ],
)
def test_settings_that_draw_no_line_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "decision.yaml").write_text(text)

    with pytest.raises(SettingsError) as it:
        load_settings(tmp_path)
    assert said in it.value.message


def test_the_projects_contract_holds_no_threshold(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    text = dump_contract(BINARY.with_threshold(0.3))
    (tmp_path / "config" / "project.yaml").write_text(text)

    with pytest.raises(ContractError, match=r"decision_threshold=0\.3 is a model version") as it:
        load_contract(tmp_path)
    assert "decision.threshold in config/decision.yaml" in it.value.fix
