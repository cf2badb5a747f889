"""Rows that a step of a project's own hands over to be learned from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.contract import EVENT_TIME, Contract, parse_contract
from goldpath.errors import NotEnoughDataError, ProjectError
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.training.learned_rows import usable_rows
from goldpath.learning.splitting import Split

SAMPLE = Path(__file__).parents[1] / "sample_contract.yaml"


def resample(work: object) -> None: ...


@pytest.fixture
def contract() -> Contract:
    return parse_contract(SAMPLE.read_text(encoding="utf-8"))


@pytest.fixture
def split(contract: Contract) -> Split:
    """Two hundred training rows and fifty test rows; a fifth of each churned."""
    rows = 250
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {
        EVENT_TIME: pd.date_range("2026-01-01", periods=rows, freq="h"),
        contract.entity_column: [f"c{number}" for number in range(rows)],
    }
    for feature in contract.features:
        columns[feature.name] = random.normal(size=rows) if feature.type == "number" else 1
    columns[contract.target.column] = np.where(np.arange(rows) % 5 == 0, "yes", "no")
    frame = pd.DataFrame(columns)
    return Split(frame[:200], frame[200:].reset_index(drop=True), "by time")


def test_repeated_rows_are_sorted_by_time_and_numbered_anew(
    split: Split, contract: Contract
) -> None:
    rare = split.train[split.train["churned"] == "yes"]
    rows = usable_rows(pd.concat([split.train, rare, rare]), split, contract, resample)
    assert len(rows) == 280
    assert list(rows.index) == list(range(280))
    assert rows[EVENT_TIME].is_monotonic_increasing
    assert (rows["churned"] == "yes").sum() == 120


def test_columns_may_come_in_any_order(split: Split, contract: Contract) -> None:
    turned = split.train[list(split.train.columns)[::-1]]
    rows = usable_rows(turned, split, contract, resample)
    assert list(rows.columns) == list(split.train.columns)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda split: split.train.to_dict(), "gave learn_from a dict, not a DataFrame"),
        (lambda split: split.train.drop(columns="churned"), "lack the columns churned"),
        (lambda split: split.train.assign(weight=1.0), "have the columns weight"),
        (lambda split: pd.concat([split.train, split.test[:3]]), ": 3 of the rows .* are test"),
        (lambda split: split.train[:20], ": 20 rows to learn from; 50 are needed"),
        (lambda split: split.train.query("churned == 'no'"), "no row of the class yes"),
        (lambda split: split.train.assign(age="old"), "other types than the training rows"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused_by_file_and_line(
    split: Split, contract: Contract, change: Callable[[Split], Any], message: str
) -> None:
    with pytest.raises(ProjectError, match=rf"test_learned_rows\.py:\d+: resample.*{message}") as e:
        usable_rows(change(split), split, contract, resample)
    assert isinstance(e.value, ProjectDefinitionError | NotEnoughDataError)
