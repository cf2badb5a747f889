"""Tables of hundreds of columns: what is drawn and looked at does not grow with their square."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.compiled.compiler import compile_pipeline
from goldpath.compiled.parity import prove_parity
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract
from goldpath.judging.evaluation import _drawn
from goldpath.learning.families import FAMILIES
from goldpath.learning.frames import model_frame
from goldpath.learning.search import fit

WIDE = 240


def contract_of(columns: list[str], kind: str = "number") -> Contract:
    return Contract.model_validate(
        {
            "dataset": "wide",
            "problem": "regression",
            "source": {"path": "wide.csv"},
            "target": {"column": "y"},
            "features": [{"name": name, "type": kind} for name in columns],
        }
    )


def test_a_wide_model_is_proved_on_fewer_rows_and_as_many_values() -> None:
    columns = [f"c{number}" for number in range(WIDE)]
    values = np.random.default_rng(0).normal(size=(300, WIDE))
    rows = pd.DataFrame(values, columns=columns).assign(y=values[:, :3].sum(axis=1))
    contract = contract_of(columns)
    model = fit(rows, contract, "linear", FAMILIES["linear"].defaults, seed=0)
    form = compile_pipeline(model.pipeline, contract)
    drawn: list[int] = []
    served = CompiledModel(form, contract)

    def answers(numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        drawn.append(numbers.size)
        return served.answers(numbers, codes)

    proof = prove_parity(model.pipeline, form, contract, answers, 20_000, seed=1)

    assert proof.passed, proof
    assert proof.rows == 20_000 * 60 / WIDE
    assert sum(drawn) == 20_000 * 60


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: pd.Series([1.5, np.nan]), [1.5, np.nan]),
        (lambda: pd.Series([3, 2**53]), [3.0, 2.0**53]),
        (lambda: pd.Series([True, False]), [1.0, 0.0]),
        (lambda: pd.Series([3, None], dtype="Int64"), [3.0, np.nan]),
        (lambda: pd.Series([True, None], dtype="boolean"), [1.0, np.nan]),
        (lambda: pd.Series([7, None], dtype=object), [7.0, np.nan]),
    ],
)
def test_numbers_of_every_kind_become_the_same_float64(
    make: Callable[[], Any], expected: list[float]
) -> None:
    frame = model_frame(pd.DataFrame({"c": make()}), contract_of(["c"]))

    assert frame["c"].dtype == np.float64
    np.testing.assert_array_equal(frame["c"].to_numpy(), expected)


def test_plain_numbers_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(_column: object) -> None:
        raise AssertionError("each value was looked at")

    monkeypatch.setattr(pd, "to_numeric", look)

    model_frame(pd.DataFrame({"c": [1.0, np.nan]}), contract_of(["c"]))


@pytest.mark.parametrize(("features", "rows"), [(3, 1000), (800, 625), (2000, 100)])
def test_importances_of_many_features_are_found_on_fewer_rows(features: int, rows: int) -> None:
    columns = [f"c{number}" for number in range(features)]
    contract = contract_of(columns)
    test = pd.DataFrame(np.zeros((1200, features)), columns=columns).assign(y=0.0)

    assert len(_drawn(test, contract, seed=0)) == rows
