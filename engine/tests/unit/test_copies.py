"""Copies of a row are on one side of every split; rows that are equal by chance are not copies."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.contract import Contract
from goldpath.judging.data_checks import check_data_quality
from goldpath.judging.validation_report import ValidationStatus
from goldpath.judging.validators import Evidence
from goldpath.learning.copies import copy_groups, share_of_copies
from goldpath.learning.folds import make_folds
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
