"""Thresholds of several classes: one rule for a row and for many, tuned or fixed, and refused."""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from goldpath import Model, metric
from goldpath.contract import Contract, dump_contract, parse_contract
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.models.differing_settings import _unfit
from goldpath.judging.card import _decisions
from goldpath.learning.decision.choice import (
    Decided,
    as_trained,
    chosen_decision,
    decided_by,
    needs_predictions,
    require_tunable,
)
from goldpath.learning.decision.chosen import metric_named
from goldpath.learning.decision.fields import fields_of
from goldpath.learning.decision.lines import _moving
from goldpath.learning.decision.threshold import DecisionRule, rule_of, scores_of
from goldpath.learning.decision.worth import MOST_ROWS, worth_of_decisions
from goldpath.learning.families import FAMILIES
from goldpath.learning.predictions import Predictions
from goldpath.learning.search import held_out_predictions, unseen_scores
from goldpath.project import ENGINES_OWN
from goldpath.settings import DecisionSettings, Settings, TrainingSettings

from ..api.examples import contract_of, fitted, random_rows

SEVERAL = contract_of("multiclass")
LINES = {"b": 0.3, "c": 0.2}


def with_lines(lines: dict[str, float] | None, contract: Contract = SEVERAL) -> Contract:
    return contract.with_parts(decision_thresholds=lines)


@pytest.mark.parametrize(
    ("answer", "decided"),
    [
        ((0.9, 0.06, 0.04), "a"),  # no threshold is reached
        ((0.65, 0.31, 0.04), "b"),
        ((0.3, 0.45, 0.25), "b"),  # 1.5 times its threshold, and c 1.25 times
        ((0.3, 0.36, 0.34), "c"),  # 1.2 times, and c 1.7 times
        ((0.5, 0.3, 0.2), "a"),  # at a threshold is not above it
    ],
)
def test_of_classes_above_their_threshold_that_with_the_most_times_it_is_decided(
    answer: tuple[float, ...], decided: str
) -> None:
    rule = rule_of(with_lines(LINES))
    assert SEVERAL.target.classes[rule.label(answer)] == decided


def test_a_row_and_many_rows_are_decided_alike_and_scored_by_the_decided_class() -> None:
    answers = np.random.default_rng(3).dirichlet([2.0, 1.0, 0.5], 5_000)
    answers[:50] = [0.5, 0.3, 0.2]
    for lines in (LINES, {"a": 0.6, "b": 0.1}, {"c": 0.01}, None):
        rule = rule_of(with_lines(lines))
        places = rule.labels(answers)
        assert places.tolist() == [rule.label(each) for each in answers.tolist()]
        assert scores_of(answers, places).tolist() == [
            each[place] for each, place in zip(answers.tolist(), places.tolist(), strict=True)
        ]
    assert set(rule_of(with_lines(LINES)).labels(answers)) == {0, 1, 2}


def test_one_threshold_of_two_classes_is_the_same_rule() -> None:
    share = np.random.default_rng(4).uniform(size=500)
    answers = np.column_stack([1 - share, share])
    assert (
        DecisionRule(0.3).labels(answers)
        == DecisionRule(None, by_class=(None, 0.3)).labels(answers)
    ).all()


def test_a_model_predicts_decides_and_scores_by_the_versions_thresholds() -> None:
    plain, rows = fitted("multiclass"), random_rows(SEVERAL, 60, seed=2)
    found = type(plain)(plain.pipeline, with_lines({"c": 0.055}), plain.version).predict(rows)
    probabilities = plain.predict(rows).probabilities
    assert probabilities is not None
    expected = [
        "c" if each[2] > 0.055 else "ab"[int(each[1] > each[0])] for each in probabilities.tolist()
    ]
    assert found.values == expected != plain.predict(rows).values
    assert found.scores == [
        each["abc".index(label)]
        for each, label in zip(probabilities.tolist(), expected, strict=True)
    ]


def test_a_contract_keeps_the_thresholds_and_refuses_what_cannot_be() -> None:
    known = with_lines(LINES)
    assert parse_contract(dump_contract(known)).decision_thresholds == LINES
    assert decided_by(known).of(SEVERAL) == known
    assert Decided().of(known) == SEVERAL
    for lines, said in (
        ({"d": 0.3}, "no classes"),
        ({"a": 0.1, "b": 0.1, "c": 0.1}, "leave a class without"),
    ):
        with pytest.raises(ValueError, match=said):
            with_lines(lines)
    with pytest.raises(ValueError, match="three classes or more"):
        with_lines({"yes": 0.3}, contract_of("binary"))


def test_answers_show_the_threshold_of_the_decided_class() -> None:
    fields = fields_of(with_lines(LINES))
    assert fields.names == ("decision", "threshold")
    assert [fields.of_row(each, 0.5) for each in ("a", "b")] == [("a", None), ("b", 0.3)]
    assert fields.of_rows(["a", "c"], [0.5, 0.5]) == (["a", "c"], [None, 0.2])
    facts: Any = type("Facts", (), {"contract": with_lines(LINES)})
    assert "b above 0.3, c above 0.2" in _decisions(facts)


# --- tuned ---


def rare_classes(rows: int = 4_000) -> tuple[np.ndarray, np.ndarray]:
    """Truths, of which c is rare, and probabilities that know a little of them."""
    random = np.random.default_rng(7)
    truth = random.choice([0, 1, 2], rows, p=[0.9, 0.07, 0.03])
    known = np.full((rows, 3), [0.9, 0.07, 0.03]) * np.exp(random.normal(0, 0.5, (rows, 3)))
    known[np.arange(rows), truth] *= 5
    return np.array(["a", "b", "c"])[truth], known / known.sum(axis=1, keepdims=True)


def test_thresholds_are_tuned_for_a_metric_and_only_of_the_rarer_classes() -> None:
    truth, probabilities = rare_classes()
    decision = DecisionSettings(tune_for="balanced_accuracy")
    require_tunable(SEVERAL, decision, ENGINES_OWN)
    assert needs_predictions(decision)

    found = chosen_decision(
        SEVERAL, decision, ENGINES_OWN, truth, probabilities, pd.DataFrame(index=range(len(truth)))
    )

    assert found.thresholds is not None
    assert set(found.thresholds) == {"b", "c"}
    assert all(0 < line < 0.5 for line in found.thresholds.values())

    def balanced(rule: DecisionRule) -> float:
        decided = np.array(["a", "b", "c"])[rule.labels(probabilities)]
        return float(np.mean([(decided[truth == name] == name).mean() for name in "abc"]))

    assert balanced(rule_of(found.of(SEVERAL))) > balanced(DecisionRule(None)) + 0.1


def test_where_the_most_probable_class_is_best_the_version_says_so_and_keeps_its_fields() -> None:
    truth = np.array(["a", "b", "c"] * 40)
    probabilities = np.eye(3)[[0, 1, 2] * 40] * 0.97 + 0.01
    found = chosen_decision(
        SEVERAL,
        DecisionSettings(tune_for="accuracy"),
        ENGINES_OWN,
        truth,
        probabilities,
        pd.DataFrame(index=range(len(truth))),
    )
    assert found == Decided(thresholds={})
    version = parse_contract(dump_contract(found.of(SEVERAL)))
    assert version.decision_thresholds == {}
    assert rule_of(version).labels(probabilities).tolist() == [0, 1, 2] * 40
    assert rule_of(version).label([0.3, 0.4, 0.3]) == 1
    assert fields_of(version).names == fields_of(with_lines(LINES)).names
    assert fields_of(version).of_row("b", 0.5) == ("b", None)
    facts: Any = type("Facts", (), {"contract": version})
    assert "most probable class is decided" in _decisions(facts)


def test_the_sweep_over_a_class_decides_as_the_rule_does() -> None:
    answers = np.random.default_rng(5).dirichlet([2.0, 1.0, 0.5, 0.5], 3_000).round(2)
    for lines in ([None, 0.3, None, None], [None, 0.3, 0.2, 0.9], [0.5, None, 0.05, None]):
        places_at = _moving(answers, lines, 2)
        for line in (0.01, 0.1, 0.13, 0.5, 0.99):
            rule = DecisionRule(None, by_class=(*lines[:2], line, *lines[3:]))
            assert places_at(line).tolist() == rule.labels(answers).tolist()


def test_a_metric_by_counts_is_the_metric_by_rows() -> None:
    truth, probabilities = rare_classes(600)
    places = probabilities.argmax(axis=1)
    labels = np.array(SEVERAL.target.classes)[places]
    for name, of_rows in (
        ("accuracy", metrics.accuracy_score),
        ("balanced_accuracy", metrics.balanced_accuracy_score),
        ("f1_macro", partial(metrics.f1_score, average="macro")),
    ):
        metric = metric_named(name, ENGINES_OWN, SEVERAL, "decision.tune_for")
        assert metric is not None
        by_counts = worth_of_decisions(SEVERAL, metric, truth, probabilities, pd.DataFrame())
        assert by_counts(places) == pytest.approx(of_rows(truth, labels))


def test_a_metric_of_ones_own_sees_a_draw_of_many_rows_and_the_training_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth, probabilities = rare_classes(MOST_ROWS + 10_000)
    seen: list[int] = []

    def hits(truth: np.ndarray, decided: np.ndarray, rows: pd.DataFrame) -> float:
        assert (rows["truth"].to_numpy() == truth).all(), "rows and truths belong together"
        seen.append(len(truth))
        return float(np.mean([(decided[truth == name] == name).mean() for name in "abc"]))

    found = chosen_decision(
        SEVERAL,
        DecisionSettings(tune_for="hits"),
        Model(metrics=[metric(hits)]),
        truth,
        probabilities,
        pd.DataFrame({"truth": truth}),
    )

    assert set(seen) == {MOST_ROWS}
    assert set(found.thresholds or ()) == {"b", "c"}
    assert "hits is computed on 50,000 of 60,000 rows" in " ".join(capsys.readouterr().err.split())


def test_rows_that_a_fold_holds_out_have_probabilities_and_labels_of_the_thresholds() -> None:
    rows = pd.DataFrame(random_rows(SEVERAL, 120, seed=5))
    rows["kind"] = [SEVERAL.target.classes[int(each) % 3] for each in rows["2nd call"]]
    settings = TrainingSettings(cv_folds=2)
    parameters = FAMILIES["linear"].defaults

    scores = unseen_scores(rows, SEVERAL, "linear", parameters, settings)
    labels = held_out_predictions(rows, with_lines(LINES), "linear", parameters, settings)

    assert scores.shape == (120, 3)
    assert scores.to_numpy().sum(axis=1) == pytest.approx(np.ones(120))
    places = rule_of(with_lines(LINES)).labels(scores.to_numpy())
    assert labels["prediction"].tolist() == [SEVERAL.target.classes[each] for each in places]


# --- refused by check ---


@pytest.mark.parametrize(
    ("problem", "settings", "said"),
    [
        ("multiclass", {"thresholds": {"d": 0.3}}, "names d; kind has the classes a, b, c"),
        ("multiclass", {"thresholds": dict.fromkeys("abc", 0.3)}, "names every class of kind"),
        ("binary", {"thresholds": {"yes": 0.3}}, "three classes or more; left has 2 classes"),
        ("regression", {"thresholds": {"yes": 0.3}}, "amount has no classes"),
        ("multiclass", {"threshold": 0.3}, "decision.threshold is for a target of two classes"),
        ("multiclass", {"capacity": 0.3}, "decision.capacity is for a target of two classes"),
        (
            "multiclass",
            {"tune_for": "f1_macro", "unsure": {"share": 0.1}},
            "decision.unsure is for a target of two classes",
        ),
        ("multiclass", {"tune_for": "log_loss"}, "looks at probabilities"),
        ("regression", {"tune_for": "mae"}, "amount has no classes"),
    ],
)
def test_thresholds_that_cannot_be_are_refused_with_file_and_fix(
    problem: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(ProjectDefinitionError, match=said) as caught:
        require_tunable(contract_of(problem), DecisionSettings(**settings), ENGINES_OWN)
    assert caught.value.message.startswith("config/decision.yaml: decision.")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"thresholds": {"b": 1.5}}, "outside of 0 to 1"),
        ({"thresholds": {"b": 0.3}, "tune_for": "f1_macro"}, "each set the threshold"),
        ({"thresholds": {"b": 0.3}, "unsure": [0.2, 0.4]}, "of a target with two classes"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DecisionSettings(**settings)


def test_fixed_thresholds_need_no_predictions_and_stand_in_a_trained_contract() -> None:
    decision = DecisionSettings(thresholds=LINES)
    require_tunable(SEVERAL, decision, ENGINES_OWN)
    assert not needs_predictions(decision)
    assert as_trained(SEVERAL, decision).decision_thresholds == LINES
    tuned = as_trained(SEVERAL, DecisionSettings(tune_for="f1_macro"))
    assert set(tuned.decision_thresholds or ()) == {"b", "c"}
    assert isinstance(fitted("multiclass").predict(random_rows(SEVERAL, 2)), Predictions)


@pytest.mark.parametrize(
    ("classes", "decision", "undone"),
    [
        (("no", "yes"), {"thresholds": {"gold": 0.4}}, {"thresholds": {}}),
        (("a", "b", "c"), {"thresholds": {"gold": 0.4}}, {"thresholds": {}}),
        (("gold", "silver", "tin"), {"thresholds": {"gold": 0.4}}, {}),
        (("gold", "silver", "tin"), {"tune_for": "f1_macro"}, {}),
        (("gold", "silver", "tin"), {"tune_for": "value", "values": {"tp": 1}},
         {"values": {}, "tune_for": ""}),
        ((), {"thresholds": {"gold": 0.4}}, {"thresholds": {}}),
    ],
)  # fmt: skip
def test_a_further_model_undoes_the_lines_that_its_classes_cannot_have(
    project: Settings, classes: tuple[str, ...], decision: dict[str, Any], undone: dict[str, Any]
) -> None:
    problem = "classification" if classes else "regression"
    values = {
        "dataset": "further",
        "source": {"path": "x.csv"},
        "problem": problem,
        "target": {"column": "y", **({"classes": classes} if classes else {})},
        "features": [{"name": "x", "type": "number"}],
    }
    contract = Contract.model_validate(values)
    settings = project.model_copy(update={"decision": DecisionSettings(**decision)})

    assert _unfit(settings, contract, contract)["decision"] == undone
