"""Contributions are Shapley values: they add up, and agree with enumeration and with `shap`."""

import json
from itertools import combinations
from math import factorial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from goldpath.compiled.compiler import compile_pipeline
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract
from goldpath.judging.explanation import Explainer
from goldpath.learning.background import BACKGROUND_FILE, ROWS, read_background, write_background
from goldpath.learning.predictions import Predictions
from goldpath.learning.scoring import LoadedModel

from ..api.examples import PROBLEMS, contract_of, fitted, random_rows, rows_of


def compiled(problem: str) -> CompiledModel:
    model = fitted(problem)
    return CompiledModel(compile_pipeline(model.pipeline, model.contract), model.contract)


def outputs(model: CompiledModel | LoadedModel, rows: list[dict[str, Any]]) -> np.ndarray:
    found = model.predict(rows)
    if found.probabilities is not None:
        return found.probabilities
    return np.array(found.values, dtype=np.float64)[:, None]


def exact_values(
    model: CompiledModel, row: dict[str, Any], background: list[dict[str, Any]]
) -> dict[str, float]:
    """Shapley values by their definition, over all subsets of the features."""
    names = model.contract.feature_names
    output = int(outputs(model, [row])[0].argmax())
    subsets = [each for size in range(len(names) + 1) for each in combinations(names, size)]
    mixed = [{**each, **{n: row[n] for n in subset}} for subset in subsets for each in background]
    means = outputs(model, mixed)[:, output].reshape(len(subsets), -1).mean(axis=1)
    worth = dict(zip(map(frozenset, subsets), means.tolist(), strict=True))
    values = {}
    for name in names:
        values[name] = sum(
            factorial(len(without))
            * factorial(len(names) - len(without) - 1)
            / factorial(len(names))
            * (worth[without | {name}] - worth[without])
            for without in worth
            if name not in without
        )
    return values


@pytest.mark.parametrize("problem", PROBLEMS)
def test_contributions_agree_with_shapley_values_by_enumeration(problem: str) -> None:
    model = compiled(problem)
    background = random_rows(model.contract, 25, seed=11)
    explainer = Explainer(model, background, scored_rows=40_000)

    for row in random_rows(model.contract, 3, seed=12):
        expected = exact_values(model, row, background)
        found = explainer.explain(row)
        scale = max(abs(value) for value in expected.values())
        for each in found.contributions:
            error = abs(each.contribution - expected[each.feature])
            assert error < 0.03 * scale + 1e-12
            assert error < 5 * each.standard_error + 1e-12


@pytest.mark.parametrize("problem", PROBLEMS)
def test_contributions_add_up_to_the_value_less_the_baseline(problem: str) -> None:
    model = compiled(problem)
    background = random_rows(model.contract, 100, seed=13)
    explainer = Explainer(model, background, scored_rows=2_000)

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(row=rows_of(model.contract))
    def check(row: dict[str, Any]) -> None:
        full = {name: row.get(name) for name in model.contract.feature_names}
        found = explainer.explain(full)
        answer = outputs(model, [full])[0]
        assert found.value == answer.max()
        total = sum(each.contribution for each in found.contributions)
        assert total == pytest.approx(found.value - found.baseline, abs=1e-9 * (1 + abs(total)))
        assert {each.feature for each in found.contributions} == set(full)
        sizes = [abs(each.contribution) for each in found.contributions]
        assert sizes == sorted(sizes, reverse=True)

    check()


def test_the_baseline_is_the_backgrounds_mean() -> None:
    model = compiled("regression")
    background = random_rows(model.contract, 30, seed=14)

    found = Explainer(model, background).explain(background[3])

    assert found.baseline == pytest.approx(outputs(model, background).mean(), rel=1e-12)


def test_compiled_model_and_pipeline_are_explained_alike_and_the_same_each_time() -> None:
    model = fitted("binary")
    background = random_rows(model.contract, 20, seed=15)
    row = random_rows(model.contract, 1, seed=16)[0]

    first = Explainer(compiled("binary"), background, scored_rows=2_000).explain(row)
    again = Explainer(compiled("binary"), background, scored_rows=2_000).explain(row)
    slow = Explainer(model, background, scored_rows=2_000).explain(row)

    assert first == again
    assert slow.prediction == first.prediction
    assert slow.baseline == pytest.approx(first.baseline, abs=1e-12)
    for one, other in zip(first.contributions, slow.contributions, strict=True):
        assert one.contribution == pytest.approx(other.contribution, abs=1e-9)


def test_the_ranking_is_that_of_shap() -> None:
    shap = pytest.importorskip("shap")
    model = compiled("regression")
    contract = model.contract
    background = random_rows(contract, 40, seed=17)
    row = random_rows(contract, 1, seed=18)[0]
    values = {name: sorted({*(str(r[name]) for r in [*background, row])}) for name in row}

    def encoded(rows: list[dict[str, Any]]) -> np.ndarray:
        return np.array([[values[n].index(str(r[n])) for n in row] for r in rows], dtype=float)

    originals = {(n, str(r[n])): r[n] for r in [*background, row] for n in row}

    def score(codes: np.ndarray) -> np.ndarray:
        rows = [
            {n: originals[n, values[n][int(code)]] for n, code in zip(row, each, strict=True)}
            for each in codes
        ]
        return outputs(model, rows)[:, 0]

    explainer = shap.explainers.Exact(score, shap.maskers.Independent(encoded(background), 40))
    theirs = dict(zip(row, explainer(encoded([row])).values[0], strict=True))
    ours = Explainer(model, background, scored_rows=30_000).explain(row)

    scale = max(map(abs, theirs.values()))
    clear = [each for each in ours.contributions if abs(theirs[each.feature]) > 0.05 * scale]
    by_theirs = sorted(clear, key=lambda each: -abs(theirs[each.feature]))
    assert [each.feature for each in clear[:2]] == [each.feature for each in by_theirs[:2]]
    for each in ours.contributions:
        assert each.contribution == pytest.approx(theirs[each.feature], abs=0.03 * scale)


class Sum:
    """A model that adds up the features but for the first.

    Attributes:
        scored: How many rows it was asked for.
    """

    def __init__(self, features: int) -> None:
        self.contract = Contract.model_validate(
            {
                "dataset": "wide",
                "problem": "regression",
                "source": {"path": "x.csv"},
                "target": {"column": "y"},
                "features": [{"name": f"f{n}", "type": "number"} for n in range(features)],
            }
        )
        self.scored = 0

    def predict_frame(self, frame: pd.DataFrame) -> Predictions:
        self.scored += len(frame)
        values = frame.iloc[:, 1:].sum(axis=1).tolist()
        return Predictions(values, None, values)


def test_work_is_bounded_where_there_are_many_features() -> None:
    model: Any = Sum(300)
    background = [dict.fromkeys(model.contract.feature_names, 0.0) for _ in range(100)]
    row = {name: float(place + 1) for place, name in enumerate(model.contract.feature_names)}

    found = Explainer(model, background).explain(row)

    assert model.scored <= 7_000
    assert found.contributions[0].feature == "f299"
    assert found.contributions[0].contribution == pytest.approx(300)


def test_a_feature_that_the_model_does_not_use_adds_nothing() -> None:
    for features in (1, 2, 5):
        model: Any = Sum(features)
        names = model.contract.feature_names
        found = Explainer(model, [dict.fromkeys(names, 0.0)] * 3).explain(dict.fromkeys(names, 7.0))

        added = {each.feature: each.contribution for each in found.contributions}
        assert added == {name: 0.0 if name == "f0" else 7.0 for name in names}


def test_background_holds_features_only_and_nothing_of_a_person(tmp_path: Path) -> None:
    contract = contract_of("binary").model_copy(
        update={"entity": "name", "personal": ("free text", "class", "name")}
    )
    rows = random_rows(contract, 300, seed=19)
    for number, row in enumerate(rows):
        row |= {"name": f"person {number}", "free text": f"person {number}", "left": "yes"}

    write_background(pd.DataFrame(rows), contract, tmp_path, 1)
    found = read_background(tmp_path)

    assert len(found) == ROWS
    assert all(list(row) == contract.feature_names for row in found)
    assert "person" not in (tmp_path / BACKGROUND_FILE).read_text()
    assert {row["free text"] for row in found} == {None}
    assert {row["class"] for row in found} == {float(np.median([row["class"] for row in rows]))}
    assert len({row["schema"] for row in found}) > 20
    json.dumps(found, allow_nan=False)


def test_a_model_from_before_has_no_background(tmp_path: Path) -> None:
    assert read_background(tmp_path) == ()
