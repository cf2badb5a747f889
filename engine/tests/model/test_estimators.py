"""Every family learns every kind of column, and can be stored without pickle."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from skops.io import dump, load

from goldpath.contract import Contract
from goldpath.learning.families import FAMILIES, TRUSTED_TYPES
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.search import fit

ROWS = 400
CLASSES: dict[str, tuple[str, ...]] = {"binary": ("a", "b"), "many": ("a", "b", "c"), "number": ()}
COLUMNS: list[dict[str, Any]] = [
    {"name": "x", "type": "number", "nullable": True},
    {"name": "b", "type": "boolean"},
    {"name": "closed", "type": "category", "categories": ["p", "q"], "nullable": True},
    {"name": "open", "type": "category", "nullable": True},
]


def contract(target: str, columns: list[dict[str, Any]]) -> Contract:
    return Contract.model_validate(
        {
            "dataset": "d",
            "problem": "classification" if CLASSES[target] else "regression",
            "source": {"path": "d.csv"},
            "target": {"column": "y", "classes": CLASSES[target]},
            "features": columns,
        }
    )


def rows(target: str) -> pd.DataFrame:
    """A target that each column says something about."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": random.normal(size=ROWS),
            "b": random.random(ROWS) < 0.5,
            "closed": random.choice(["p", "q"], ROWS),
            "open": random.choice(list("rstuvw"), ROWS),
        }
    )
    signal = (
        frame["x"] + frame["b"] + (frame["closed"] == "p") + frame["open"].isin(["r", "s"]) * 1.0
    )
    signal += random.normal(scale=0.3, size=ROWS)
    for name in ("x", "closed", "open"):
        frame[name] = frame[name].astype(object).where(random.random(ROWS) > 0.05)
    if CLASSES[target]:
        labels = list(CLASSES[target])
        frame["y"] = pd.qcut(signal, len(labels), labels=labels).astype(object)
    else:
        frame["y"] = signal
    return frame


@pytest.mark.parametrize("kinds", [COLUMNS, COLUMNS[:2], COLUMNS[2:3], COLUMNS[3:]])
@pytest.mark.parametrize("target", list(CLASSES))
@pytest.mark.parametrize("family", list(FAMILIES))
def test_family_learns_and_survives_storage_with_the_allow_list(
    family: str, target: str, kinds: list[dict[str, Any]], tmp_path: Path
) -> None:
    described = contract(target, kinds)
    frame = rows(target)
    model = fit(frame, described, family, FAMILIES[family].defaults, seed=0)
    dump(model.pipeline, tmp_path / "model.skops")

    pipeline = load(tmp_path / "model.skops", trusted=list(TRUSTED_TYPES))
    again = LoadedModel(pipeline, described).predict(frame)

    expected = model.predict(frame)
    assert again.values == expected.values
    assert again.scores == expected.scores
    if CLASSES[target]:
        agreement = np.mean(np.asarray(expected.values) == frame["y"])
        assert agreement > 1.2 / len(CLASSES[target])
    else:
        truth = frame["y"].astype(float)
        assert np.corrcoef(expected.scores, truth)[0, 1] > 0.2


@pytest.mark.parametrize("family", list(FAMILIES))
def test_unseen_category_and_missing_values_are_scored(family: str) -> None:
    described = contract("binary", COLUMNS)
    model = fit(rows("binary"), described, family, FAMILIES[family].defaults, seed=0)
    strange: list[dict[str, Any]] = [
        {"x": None, "b": True, "closed": None, "open": "never seen"},
        {"x": 1e300, "b": False, "closed": "p", "open": None},
    ]
    scores = model.predict(strange).scores
    assert all(0 <= score <= 1 for score in scores)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_same_seed_gives_the_same_model(family: str) -> None:
    described = contract("binary", COLUMNS)
    first, second = (
        fit(rows("binary"), described, family, FAMILIES[family].defaults, seed=3) for _ in range(2)
    )
    assert first.predict(rows("binary")).scores == second.predict(rows("binary")).scores


def test_prediction_of_a_row_does_not_depend_on_its_batch() -> None:
    described = contract("binary", COLUMNS)
    frame = rows("binary")
    model = fit(frame, described, "boosting", FAMILIES["boosting"].defaults, seed=0)
    together = model.predict(frame).scores
    alone = [model.predict(frame.iloc[[number]]).scores[0] for number in range(0, ROWS, 40)]
    assert alone == pytest.approx(together[::40], abs=1e-12)
