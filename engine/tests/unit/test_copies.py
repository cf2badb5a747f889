"""Copies of a row are on one side of every split; rows that are equal by chance are not copies."""

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.contract import Contract
from goldpath.errors import NotEnoughDataError
from goldpath.judging.data_checks import check_data_quality
from goldpath.judging.evidence import Evidence
from goldpath.judging.validation_report import ValidationStatus
from goldpath.learning.copies import copy_groups, share_of_copies
from goldpath.learning.folds import divide_rows, make_folds
from goldpath.learning.scoring import LoadedModel, Predictions
from goldpath.learning.splitting import row_groups, split_rows
from goldpath.settings import TrainingSettings

SETTINGS = TrainingSettings(test_fraction=0.2)
COLUMNS = ["x", "job", "y"]


def contract(problem: str = "classification", entity: str | None = None) -> Contract:
    target: dict[str, Any] = {"column": "y"}
    return Contract.model_validate(
        {
            "dataset": "d",
            "problem": problem,
            "source": {"path": "d.csv"},
            "entity": entity,
            "target": target | ({"classes": ["no", "yes"]} if problem[0] == "c" else {}),
            "features": [
                {"name": "x", "type": "number"},
                {"name": "job", "type": "category", "nullable": True},
            ],
        }
    )


def frame(rows: int = 600, problem: str = "classification") -> pd.DataFrame:
    random = np.random.default_rng(1)
    x = random.normal(size=rows)
    label: Any = np.where(random.random(rows) < 0.2, "yes", "no")
    return pd.DataFrame(
        {
            "x": x,
            "job": random.choice(np.array(["a", "b", None], dtype=object), rows),
            "y": label if problem == "classification" else x + random.normal(size=rows),
        }
    )


def with_copies(rows: pd.DataFrame, times: int = 4) -> pd.DataFrame:
    repeated = pd.concat([rows] * times, ignore_index=True).sample(frac=1, random_state=2)
    return repeated.reset_index(drop=True).assign(row_id=lambda each: each.index.astype(str))


def common_rows(one: pd.DataFrame, other: pd.DataFrame) -> int:
    return len(one[COLUMNS].drop_duplicates().merge(other[COLUMNS].drop_duplicates()))


@pytest.mark.parametrize("problem", ["classification", "regression"])
def test_copies_stay_on_one_side_and_it_is_said(problem: str) -> None:
    rows = with_copies(frame(problem=problem))
    split = split_rows(rows, contract(problem), SETTINGS)
    assert common_rows(split.train, split.test) == 0
    assert len(split.test) == pytest.approx(0.2 * len(rows), rel=0.05)
    assert "1,800 rows are copies of others" in split.rule
    for learnt, held_out in make_folds(split.train, contract(problem), SETTINGS):
        assert common_rows(split.train.iloc[learnt], split.train.iloc[held_out]) == 0


def test_a_rare_class_that_was_copied_has_test_rows() -> None:
    rows = frame()
    rare = rows[rows["y"] == "yes"]
    split = split_rows(with_copies(pd.concat([rows, *[rare] * 3]), 1), contract(), SETTINGS)
    assert common_rows(split.train, split.test) == 0
    assert (split.test["y"] == "yes").mean() == pytest.approx(0.5, abs=0.06)


def test_a_few_copies_move_no_other_row() -> None:
    rows = with_copies(frame(), 1)
    copied = pd.concat([rows, rows[:6].assign(row_id=[f"c{i}" for i in range(6)])])
    before = set(split_rows(rows, contract(), SETTINGS).test["row_id"])
    after = set(split_rows(copied, contract(), SETTINGS).test["row_id"])
    assert len(before - after) <= 6


def test_rows_that_are_equal_by_chance_are_no_copies() -> None:
    random = np.random.default_rng(4)
    coarse = pd.DataFrame(
        {
            "row_id": np.arange(2000).astype(str),
            "x": random.integers(0, 60, 2000).astype(float),
            "job": random.choice(["a", "b"], 2000),
            "y": random.choice(["no", "yes"], 2000),
        }
    )
    assert copy_groups(coarse, contract()) is None
    assert "copies" not in split_rows(coarse, contract(), SETTINGS).rule
    values = coarse.assign(y=coarse["x"] + random.normal(size=2000) * 30)
    assert copy_groups(values, contract("regression")) is None


def test_rows_of_one_entity_stay_together_and_so_do_their_copies() -> None:
    rows = frame().assign(person=[f"p{i // 3}" for i in range(600)])
    twin = rows[:60].assign(person=[f"q{i // 3}" for i in range(60)])
    rows = pd.concat([rows, twin], ignore_index=True)
    groups = row_groups(rows, contract(entity="person"), SETTINGS)
    assert groups is not None
    assert (pd.Series(groups).groupby(rows["person"]).nunique() == 1).all()
    assert (groups[:60] == groups[600:]).all()
    split = split_rows(rows, contract(entity="person"), SETTINGS)
    assert not set(split.train["person"]) & set(split.test["person"])
    assert common_rows(split.train, split.test) == 0


def test_one_pair_of_copies_does_not_make_the_folds_slow() -> None:
    rows = with_copies(frame(20_000), 1)
    rows = pd.concat([rows, rows[:1].assign(row_id="again")], ignore_index=True)
    before = time.perf_counter()
    folds = make_folds(rows, contract(), SETTINGS)
    assert time.perf_counter() - before < 3  # weighing each row's own group takes over ten seconds
    shares = [(rows["y"].iloc[held_out] == "yes").mean() for _, held_out in folds]
    assert np.ptp(shares) < 0.002
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(20_001))
    assert all((0 in held_out) == (20_000 in held_out) for _, held_out in folds)


@pytest.mark.parametrize("count", [5, 400, 900])
def test_folds_divide_groups_and_spread_a_rare_class_over_them(count: int) -> None:
    random = np.random.default_rng(3)
    groups = random.integers(0, count, 4000)
    labels = np.where(random.random(4000) < 0.02, "yes", "no")
    folds = divide_rows(labels, groups, 5, 0, stratified=True)
    assert len(folds) == 5
    for learnt, held_out in folds:
        assert not set(groups[learnt]) & set(groups[held_out])
        assert len(learnt) + len(held_out) == 4000
        assert (labels[held_out] == "yes").any()
    with pytest.raises(NotEnoughDataError, match="one group"):
        divide_rows(labels, np.zeros(4000), 5, 0, stratified=True)


def visits() -> pd.DataFrame:
    """Visits of patients, whose rows are equal by chance and have the same label."""
    random = np.random.default_rng(8)
    x, job = random.integers(0, 60, 2000), random.choice(["a", "b"], 2000)
    return pd.DataFrame(
        {
            "row_id": np.arange(2000).astype(str),
            "person": [f"p{i // 5}" for i in range(2000)],
            "x": x.astype(float),
            "job": job,
            "y": np.where(x + 5 * (job == "b") > 30, "yes", "no"),
        }
    )


def test_coarse_columns_that_tell_the_label_make_no_copies() -> None:
    assert copy_groups(visits(), contract()) is None
    assert "copies" not in split_rows(visits(), contract(), SETTINGS).rule
    ten_times = with_copies(frame(300), 10)
    assert copy_groups(ten_times, contract()) is not None


def test_equal_rows_do_not_join_the_entities_into_one_heap() -> None:
    rows = visits().assign(x=np.random.default_rng(9).permutation(2000) // 3 * 1.0)
    rows["y"] = np.where(rows["x"] > 300, "yes", "no")
    split = split_rows(rows, contract(entity="person"), SETTINGS)
    assert len(split.test) == pytest.approx(400, rel=0.1)
    assert not set(split.train["person"]) & set(split.test["person"])
    assert "may be on both sides: they would join too many persons" in split.rule
    assert len(make_folds(split.train, contract(entity="person"), SETTINGS)) == SETTINGS.cv_folds


def test_the_duplicate_check_looks_across_the_split() -> None:
    train, test = frame(), frame()[:200].assign(x=lambda rows: rows["x"] + 9)
    assert share_of_copies(train, test, contract()) == 0
    test.loc[:39, "x"] = train["x"][:40]
    assert share_of_copies(train, test, contract()) == pytest.approx(0.2)
    evidence = Evidence(
        model=LoadedModel(None, contract()),
        rows=test,
        truth=test["y"].to_numpy(),
        predictions=Predictions([], None, []),
        train=train,
    )
    found = check_data_quality(evidence)
    assert found.status is ValidationStatus.WARNING
    assert "20.0% of the test rows are copies of training rows" in found.message
