"""The main metric from YAML, and what decisions are worth, computed alike by whoever judges."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from goldpath.contract import Contract
from goldpath.handed_over import ProjectDefinitionError
from goldpath.judging.evaluation import evaluate
from goldpath.judging.model_validator import ModelValidator
from goldpath.learning.decision.chosen import with_chosen_metrics
from goldpath.learning.metric import Metric, metric
from goldpath.learning.metrics import built_in_metrics, further_names, metric_value
from goldpath.learning.scoring import LoadedModel, Predictions
from goldpath.learning.search import search
from goldpath.project import Model
from goldpath.settings import DecisionSettings, SettingsError, TrainingSettings, load_settings

VALUES = DecisionSettings(values={"tp": 80, "fp": -10}, unit="dollars")


def contract(*classes: str) -> Contract:
    target = {"column": "y", "classes": list(classes)} if classes else {"column": "y"}
    return Contract.model_validate(
        {
            "dataset": "d",
            "problem": "classification" if classes else "regression",
            "source": {"path": "d.csv"},
            "target": target,
            "features": [{"name": "x", "type": "number"}],
        }
    )


BINARY = contract("n", "y")
NUMBER = contract()


@metric(greater_is_better=False)
def misses(truth: np.ndarray, decided: np.ndarray) -> float:
    return float(np.mean(truth != decided))


def chosen(
    name: str = "",
    *own: Metric,
    of: Contract = BINARY,
    decision: DecisionSettings | None = None,
    main: Metric | None = None,
) -> Model:
    definitions = Model(metric=main, metrics=own)
    return with_chosen_metrics(
        definitions, of, TrainingSettings(metric=name), decision or DecisionSettings()
    )


def predictions() -> tuple[np.ndarray, Predictions]:
    truth = np.array(["y", "y", "n", "n", "n"])
    positive = np.array([0.9, 0.2, 0.8, 0.3, 0.1])
    decided = ["y" if each > 0.5 else "n" for each in positive]
    return truth, Predictions(
        list(decided), np.column_stack([1 - positive, positive]), positive.tolist()
    )


def some_rows(is_number: bool = False) -> pd.DataFrame:
    random = np.random.default_rng(0)
    x = random.normal(size=400)
    noisy = x + random.normal(size=400)
    return pd.DataFrame({"x": x, "y": noisy if is_number else np.where(noisy > 0, "y", "n")})


def test_the_value_is_the_mean_of_what_each_decision_is_worth() -> None:
    truth, predicted = predictions()
    main = chosen("value", decision=VALUES).metric

    found = metric_value(BINARY, truth, predicted, main)

    assert found == (80 + 0 - 10 + 0 + 0) / 5, "a hit, a miss, a false alarm, two rightly left"
    assert main is not None
    assert main.unit == "dollars a row"


def test_without_being_the_main_metric_the_value_is_a_further_one() -> None:
    found = chosen(decision=VALUES)

    assert found.metric is None
    assert [each.name for each in found.metrics] == ["value"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("neg_log_loss", "log_loss"), ("neg_brier", "brier"), ("pr_auc", "pr_auc")],
)
def test_a_built_in_metric_is_maximised_in_its_direction(name: str, expected: str) -> None:
    truth, predicted = predictions()
    main = chosen(expected).metric
    assert main is not None
    assert main.name == name
    sign = -1 if name != expected else 1

    found = metric_value(BINARY, truth, predicted, main)

    assert found == sign * built_in_metrics(BINARY, truth, predicted)[expected](np.arange(5))


def test_a_metric_of_ones_own_of_which_less_is_better_is_turned_round() -> None:
    truth, predicted = predictions()
    found = chosen("misses", misses)

    assert found.metric is not None
    assert found.metric.name == "neg_misses"
    assert metric_value(BINARY, truth, predicted, found.metric) == -0.4
    assert [each.name for each in found.metrics] == ["misses"], "and is still reported as it is"


def test_the_projects_main_metric_is_a_further_one_where_the_settings_choose_another() -> None:
    @metric()
    def hits(truth: Any, decided: Any) -> float:
        return float(np.mean(truth == decided))

    found = chosen("roc_auc", misses, main=hits)
    assert (found.metric, [each.name for each in found.metrics]) == (None, ["hits", "misses"])
    kept = chosen("", misses, main=hits)
    assert (kept.metric, list(kept.metrics)) == (hits, [misses])


@pytest.mark.parametrize("of", [BINARY, NUMBER, contract("a", "b", "c")])
def test_every_name_that_may_be_chosen_is_computed(of: Contract) -> None:
    is_number = of.problem == "regression"
    count = len(of.target.classes)
    truth = np.array([1.0, 2, 3, 4]) if is_number else np.array([*of.target.classes, "a", "a"])
    probabilities = None if is_number else np.full((len(truth), count), 1 / count)
    values = [1.5, 2, 3, 4] if is_number else list(truth)
    predicted = Predictions(values, probabilities, [0.5] * len(truth))

    assert set(built_in_metrics(of, truth, predicted)) == set(further_names(of))
    for name in further_names(of):
        assert chosen(name, of=of).metric is not None


@pytest.mark.parametrize(
    ("of", "name"), [(BINARY, "value"), (BINARY, "neg_log_loss"), (NUMBER, "neg_mae")]
)
def test_search_evaluation_and_gate_follow_it(of: Contract, name: str, tmp_path: Path) -> None:
    rows = some_rows(of is NUMBER)
    settings = TrainingSettings(
        metric=name.removeprefix("neg_"), families=("linear",), trials=1, bootstrap_samples=100
    )
    definitions = with_chosen_metrics(Model(), of, settings, VALUES if of is BINARY else DECISIONS)
    found = search(rows, of, settings, lambda _trial, _best: None, definitions=definitions)
    learner = LinearRegression() if of is NUMBER else LogisticRegression()
    model = LoadedModel(learner.fit(rows[["x"]], rows["y"]), of)

    judged = evaluate(model, rows, rows, settings, definitions)

    low, high = judged.score.interval
    assert judged.score.metric == name
    assert low < judged.score.value < high
    assert judged.score.value > judged.baseline
    assert found.score == pytest.approx(judged.score.value, rel=0.2)
    every = load_settings(tmp_path).model_copy(
        update={"training": settings, "decision": VALUES if of is BINARY else DECISIONS}
    )
    report = ModelValidator(settings=every).validate(
        model=model, validation_data=rows, reference_data=rows, champion=model
    )
    assert report.result("beats the baseline").message.startswith(f"{name} ")
    assert report.result("not worse than the champion").message.startswith(f"{name}: ")


DECISIONS = DecisionSettings()


@pytest.mark.parametrize(
    ("name", "of", "decision", "said", "fix"),
    [
        (
            "auc",
            BINARY,
            DECISIONS,
            "'auc' is no metric of this problem; there are roc_auc",
            "corre",
        ),
        ("r2", BINARY, DECISIONS, "'r2' is no metric of this problem", "config/training.yaml"),
        ("value", BINARY, DECISIONS, "'value' is no metric", "set decision.values in config/decis"),
        ("", NUMBER, VALUES, "names tp, fp, and the target y is a number", "write a @metric"),
        ("", contract("a", "b", "c"), VALUES, "the target y has 3 classes", "write a @metric"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    name: str, of: Contract, decision: DecisionSettings, said: str, fix: str
) -> None:
    with pytest.raises(ProjectDefinitionError, match=said) as it:
        chosen(name, of=of, decision=decision)
    assert fix in it.value.fix


def test_two_metrics_called_value_are_refused() -> None:
    @metric(name="value")
    def own(truth: Any, decided: Any) -> float:
        return 0.0

    with pytest.raises(ProjectDefinitionError, match=r"hands over a metric 'value'") as it:
        chosen("", own, decision=VALUES)
    assert "rename" in it.value.fix


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("values: {tp: 80, fb: -10}", "decision.values.fb"),
        ("values: {tp: lots}", "decision.values.tp='lots'"),
        ("values: {tp: .inf}", "tp is no number"),
        ("values: {tp: 5, fn: 5}", "both decisions are worth the same"),
    ],
)
def test_a_wrong_matrix_is_named_with_its_file(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "config" / "decision.yaml"
    file.parent.mkdir()
    file.write_text(text)

    with pytest.raises(SettingsError) as it:
        load_settings(tmp_path)

    assert said in it.value.message
    assert "config/decision.yaml" in it.value.message
