"""A budget says what is wrong with it; targets and folds, too."""

import numpy as np
import pandas as pd
import pytest

from goldpath.automl.budget import Budget, Stopwatch
from goldpath.automl.columns import Kind, check_table, column_kind
from goldpath.automl.engine import check_seconds, find_model
from goldpath.automl.folds import make_folds
from goldpath.automl.selection import best_temperature, select_ensemble
from goldpath.automl.task import make_task
from goldpath.errors import NotEnoughDataError, ProjectError

LABELS = np.array(["no", "yes"] * 50)
TABLE = pd.DataFrame({"x": np.arange(100.0) % 7, "y": np.arange(100.0) % 3})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "seconds or trials"),
        ({"seconds": -1}, "positive"),
        ({"seconds": 0.5}, "needs 1 at least"),
        ({"trials": 0}, "1 or more"),
        ({"seconds": 1, "clock": "sun"}, "'wall' or 'cpu'"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        Budget(**arguments)  # type: ignore[arg-type]


def test_a_budget_too_small_for_a_wide_table_is_refused_at_once_with_the_least_that_will_do() -> (
    None
):
    wide = pd.DataFrame(np.zeros((1000, 800)), columns=[f"x{k}" for k in range(800)])

    with pytest.raises(ProjectError, match="needs 4 at least") as caught:
        find_model(wide, np.arange(1000) % 2, "classification", Budget(seconds=2))

    assert "give 4 seconds or more" in caught.value.fix
    check_seconds(Budget(seconds=4), 800_000)


def test_no_deadline_lies_beyond_the_budget() -> None:
    stopwatch = Stopwatch(Budget(seconds=5))

    assert stopwatch.deadline(1000).left() <= 5
    assert Stopwatch(Budget(trials=1)).deadline(1000).left() == pytest.approx(1000, abs=5)


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([1.5, None, 2.0], Kind.NUMBER),
        ([" ", "12", "3.5", "7"] * 3, Kind.NUMBER_TEXT),
        (["2024-01-02", "2024-02-03", "2024-02-05"] * 2, Kind.TIME_TEXT),
        (["a", "b", None] * 5, Kind.FEW),
        ([f"v{k % 40}" for k in range(200)], Kind.MANY),
        ([f"u{k}" for k in range(200)], Kind.IDENTIFIER),
        (list(range(200)), Kind.IDENTIFIER),
        ([3, 3, 3], Kind.CONSTANT),
        ([None, None], Kind.CONSTANT),
        ([True, False, True], Kind.NUMBER),
        ([1, None, 1], Kind.NUMBER),
    ],
)
def test_the_kind_of_a_column_is_found_from_its_values(column: list[object], kind: Kind) -> None:
    assert column_kind(pd.Series(column)) == kind


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than once: a"),
        (pd.DataFrame({"a": [[1], [2]]}), "column 'a' holds values of type list"),
        (pd.DataFrame({"a": [1j, 2j]}), "column 'a' holds complex"),
        (pd.DataFrame(index=range(3)), "no columns"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_name(table: pd.DataFrame, message: str) -> None:
    with pytest.raises(ProjectError, match=message):
        check_table(table)


@pytest.mark.parametrize(
    ("target", "problem", "message"),
    [
        (["a", None] * 50, "classification", "lacks a value in 50 of 100 rows"),
        (LABELS, "regression", "not numeric"),
        (np.arange(100), "classification", "100 classes"),
        (LABELS, "ranking", "'classification' or 'regression'"),
        (LABELS[:50], "classification", "100 rows, the target 50"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(
    target: object, problem: str, message: str
) -> None:
    with pytest.raises(ProjectError, match=message):
        find_model(TABLE, target, problem, Budget(trials=1))  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [3, 15])
def test_too_few_rows_are_too_little_data(rows: int) -> None:
    with pytest.raises(NotEnoughDataError, match=f"{rows} rows"):
        find_model(TABLE.head(rows), LABELS[:rows], "classification", Budget(trials=1))


def test_one_class_is_too_little_data() -> None:
    with pytest.raises(NotEnoughDataError, match="one class only"):
        find_model(TABLE, ["a"] * 100, "classification", Budget(trials=1))


def test_an_unknown_family_and_metric_are_refused() -> None:
    with pytest.raises(ProjectError, match="unknown families: magic"):
        find_model(TABLE, LABELS, "classification", Budget(trials=1), families=["magic"])
    with pytest.raises(ProjectError, match="'rmse'; classification knows"):
        find_model(TABLE, LABELS, "classification", Budget(trials=1), metric="rmse")


def test_folds_in_the_order_of_time_never_learn_from_later_rows() -> None:
    task = make_task(LABELS, "classification", None, 1, 0)

    folds = make_folds(task, folds=None, time_ordered=True, groups=None)

    assert len(folds) > 1
    assert all(train.max() < validation.min() for train, validation in folds)


def test_groups_stay_on_one_side() -> None:
    groups = np.repeat(np.arange(20), 5)
    task = make_task(LABELS, "classification", None, 1, 0)

    folds = make_folds(task, folds=None, time_ordered=False, groups=groups)

    assert all(not set(groups[train]) & set(groups[test]) for train, test in folds)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(100))


def test_every_fold_has_rows_of_a_rare_class() -> None:
    labels = np.array(["rare"] * 6 + ["usual"] * 600)
    task = make_task(labels, "classification", None, 1, 0)

    folds = make_folds(task, folds=None, time_ordered=False, groups=None)

    assert all((labels[test] == "rare").any() for _, test in folds)


@pytest.mark.parametrize("copies", [1, 2, 3])
def test_rows_with_their_copies_are_dealt_out_class_by_class(copies: int) -> None:
    # By size alone five rare rows lay in one fold, and the others were judged without any.
    labels = np.array(["rare"] * 5 + ["usual"] * 595)
    groups = np.arange(600)
    groups[-copies:] = 599
    dice = np.random.default_rng(4).permutation(600)
    task = make_task(labels[dice], "classification", None, 1, 0)
    for repeat in range(5):
        folds = make_folds(task, folds=None, time_ordered=False, groups=groups[dice], repeat=repeat)
        rare = [int((labels[dice][test] == "rare").sum()) for _, test in folds]
        assert max(rare) - min(rare) <= 1
        sizes = [len(test) for _, test in folds]
        assert max(sizes) - min(sizes) <= 3
        assert sum(sizes) == 600


def test_groups_of_a_regression_are_dealt_out_value_by_value() -> None:
    values = np.r_[np.linspace(0, 1, 540), np.linspace(900, 1000, 60)]
    groups = np.arange(600) // 2
    task = make_task(values, "regression", None, 1, 0)
    folds = make_folds(task, folds=None, time_ordered=False, groups=groups)
    large = [int((values[test] > 800).sum()) for _, test in folds]
    assert max(large) - min(large) <= 2


def test_own_folds_that_overlap_are_refused() -> None:
    task = make_task(LABELS, "classification", None, 1, 0)

    with pytest.raises(ProjectError, match="judged on 1 rows that it learns from"):
        make_folds(task, folds=[([0, 1, 2], [2, 3])], time_ordered=False, groups=None)


def test_the_ensemble_is_not_worse_than_its_best_member_on_held_out_rows() -> None:
    random = np.random.default_rng(0)
    task = make_task(random.normal(size=300), "regression", None, 1, 0)
    guesses = [task.target + random.normal(scale=s, size=300) for s in (0.5, 0.6, 0.7, 3.0)]

    selection = select_ensemble(task, task.target, guesses)

    assert selection.loss < min(task.loss(task.target, guess) for guess in guesses)
    assert sum(selection.weights.values()) == pytest.approx(1)
    assert 3 not in selection.weights


def test_too_certain_probabilities_are_tempered_and_few_good_ones_do_not_become_certain() -> None:
    random = np.random.default_rng(0)
    true = random.random(2000)
    target = (random.random(2000) < true).astype(int)
    logits = 3 * np.log(true / (1 - true))
    certain = 1 / (1 + np.exp(-logits))
    assert best_temperature(target, np.column_stack([1 - certain, certain])) > 2

    right = np.where(np.arange(20) % 2 == 0, 0.1, 0.9)
    temperature = best_temperature(np.arange(20) % 2, np.column_stack([1 - right, right]))
    assert temperature > 0.5
