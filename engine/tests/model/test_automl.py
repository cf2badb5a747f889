"""AutoML takes tables as they come, keeps its budget, and its model is stored without pickle."""

import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from skops.io import dump, load

from goldpath.automl.budget import Budget
from goldpath.automl.clustering import find_clusters
from goldpath.automl.engine import find_model
from goldpath.automl.families.portfolio import SEARCH_FAMILIES
from goldpath.automl.preparation import TablePreparation
from goldpath.automl.result import HistoryPoint
from goldpath.errors import ProjectError
from goldpath.learning.families import TRUSTED_TYPES

ROWS = 240
QUICK = ("lightgbm", "linear")
HALVES = [
    (np.arange(0, ROWS, 2), np.arange(1, ROWS, 2)),
    (np.arange(1, ROWS, 2), np.arange(0, ROWS, 2)),
]
"""Own folds spare the five times repeated bags that small tables get."""


def table(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Columns of every kind, with values missing everywhere."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "number": random.normal(size=rows),
            "flag": random.random(rows) < 0.5,
            "few": random.choice(["p", "q", "r"], rows),
            "many": [f"z{k}" for k in random.integers(0, 60, rows)],
            "time": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(random.integers(0, 9000, rows), unit="h"),
            "number as text": [str(k) for k in random.integers(0, 30, rows)],
            "constant": 1,
            "identifier": [f"u{k}" for k in range(rows)],
            "nothing": np.nan,
            "infinite": np.where(random.random(rows) < 0.1, np.inf, random.normal(size=rows)),
        }
    )
    for name in ("number", "few", "many", "time", "number as text"):
        frame.loc[random.random(rows) < 0.1, name] = None
    return frame


def labels(frame: pd.DataFrame) -> np.ndarray:
    """Both a number and a column with many categories matter."""
    many = frame["many"].str[1:].astype(float).fillna(30) / 30
    return np.where(frame["number"].fillna(0) + many > 1, "yes", "no")


def values(frame: pd.DataFrame) -> np.ndarray:
    # With noise a learner comes to its end; without, it goes on to add the smallest steps.
    noise = np.random.default_rng(1).normal(size=len(frame))
    return np.asarray(3 * frame["number"].fillna(0) + frame["flag"] + noise, dtype=float)


@pytest.mark.parametrize("family", SEARCH_FAMILIES)
@pytest.mark.parametrize("problem", ["classification", "regression"])
def test_every_family_learns_and_is_stored_without_pickle(
    family: str, problem: Any, tmp_path: Path
) -> None:
    frame = table()
    target = labels(frame) if problem == "classification" else values(frame)

    result = find_model(
        frame, target, problem, Budget(trials=1), families=[family], folds=HALVES, seed=1
    )
    dump(result.model, tmp_path / "model.skops")
    loaded = load(tmp_path / "model.skops", trusted=list(TRUSTED_TYPES))

    scores = predictions(loaded, frame)
    assert np.array_equal(scores, predictions(result.model, frame))
    alone = np.concatenate([predictions(loaded, frame.iloc[[row]]) for row in range(5)])
    assert alone == pytest.approx(scores[:5], abs=1e-9)
    assert result.score < 1.1 * result.baseline_score


def predictions(model: Any, frame: pd.DataFrame) -> np.ndarray:
    return np.asarray(
        model.predict_proba(frame) if hasattr(model, "classes_") else model.predict(frame)
    )


@pytest.mark.slow
def test_the_stated_budget_is_kept() -> None:
    seconds = 5
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(6000, 12))).rename(columns=str)
    target = (frame["0"] * frame["1"] + frame["2"] > 0).to_numpy()
    find_model(frame.head(100), target[:100], "classification", Budget(trials=3))  # imports

    started = time.process_time()
    result = find_model(frame, target, "classification", Budget(seconds, clock="cpu"))

    assert time.process_time() - started <= 1.05 * seconds
    assert result.score < 0.5 * result.baseline_score


def test_categories_never_seen_and_columns_in_another_order_are_predicted() -> None:
    frame = table()
    result = find_model(frame, labels(frame), "classification", Budget(trials=4), families=QUICK)
    fresh = table(20, seed=9).assign(few="never", many="seen", extra=1)

    probabilities = result.model.predict_proba(fresh[fresh.columns[::-1]])

    assert np.isfinite(probabilities).all()
    assert probabilities.sum(axis=1) == pytest.approx(1)
    with pytest.raises(ProjectError, match=r"lack columns .*: few"):
        result.model.predict(fresh.drop(columns="few"))


def test_target_means_of_training_rows_are_cross_fitted() -> None:
    """A column of chance with as many values as half the rows says nothing about the target."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"many": [f"v{k}" for k in random.integers(0, 400, 800)]})
    target = random.integers(0, 2, 800)

    encoded = TablePreparation("trees", 2).fit_transform(frame, target)

    assert abs(np.corrcoef(encoded[:, 0], target)[0, 1]) < 0.12


def test_rare_classes_are_found() -> None:
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(2010, 4)), columns=list("abcd"))
    target = np.zeros(2010, dtype=int)
    target[:10] = 1
    frame.loc[:9, "a"] += 6

    result = find_model(
        frame, target, "classification", Budget(trials=3), metric="roc_auc", families=QUICK
    )

    assert result.greater_is_better
    assert result.score > 0.95


def test_twelve_classes_keep_their_labels() -> None:
    random = np.random.default_rng(0)
    target = random.integers(0, 12, 360)
    frame = pd.DataFrame({"x": target + random.normal(scale=0.2, size=360), "y": target % 4})

    result = find_model(
        frame,
        [f"class {k}" for k in target],
        "classification",
        Budget(trials=1),
        families=["extra_trees"],
    )

    assert set(result.model.classes_) == {f"class {k}" for k in range(12)}
    assert np.mean(result.model.predict(frame) == [f"class {k}" for k in target]) > 0.9


def test_a_class_with_one_row_does_not_stop_the_search() -> None:
    frame = table()
    target = labels(frame)
    target[0] = "rare"

    result = find_model(frame, target, "classification", Budget(trials=2), families=["linear"])

    assert result.model.predict_proba(frame).shape == (ROWS, 3)


def test_rows_in_the_order_of_time_end_in_models_of_all_rows() -> None:
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=400)})
    target = frame["x"] * 2 + np.linspace(0, 1, 400)

    result = find_model(frame, target, "regression", Budget(trials=4), time_ordered=True)

    assert result.folds == 4
    assert all(len(member.models) == 1 for member in result.model.members)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_predictions() -> None:
    frame = table()
    budget = Budget(trials=15)

    first, second = (
        find_model(
            frame, labels(frame), "classification", budget, seed=7, families=QUICK, folds=HALVES
        )
        for _ in range(2)
    )

    assert np.array_equal(first.model.predict_proba(frame), second.model.predict_proba(frame))
    assert [entry.parameters for entry in first.leaderboard] == [
        entry.parameters for entry in second.leaderboard
    ]


def test_the_result_tells_how_the_model_was_found() -> None:
    points: list[HistoryPoint] = []
    frame = table()

    result = find_model(
        frame,
        labels(frame),
        "classification",
        Budget(trials=8),
        families=["linear"],
        on_progress=points.append,
    )

    assert tuple(points) == result.history
    scores = [entry.score for entry in result.leaderboard if entry.score is not None]
    assert scores == sorted(scores)
    assert sum(entry.weight for entry in result.leaderboard) == pytest.approx(1)
    assert result.score <= result.best_single_score == result.best.score
    assert any(not entry.in_portfolio for entry in result.leaderboard)
    assert result.best.predict_microseconds > 0


@pytest.mark.parametrize("error", [ImportError, OSError])
def test_a_library_that_cannot_be_loaded_is_reported_and_left_out(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib, "import_module", refusing("lightgbm", error))
    frame = table()

    result = find_model(frame, labels(frame), "classification", Budget(trials=2))

    assert "libgomp" in result.left_out["lightgbm"]
    assert "hist_boosting" not in result.left_out


def refusing(name: str, error: type[Exception]) -> Callable[[str], Any]:
    def load_library(wanted: str) -> Any:
        if wanted == name:
            raise error("libgomp.so.1: cannot open shared object file")
        __import__(wanted)
        return sys.modules[wanted]

    return load_library


def test_an_ensemble_explains_that_it_cannot_be_fitted_again() -> None:
    frame = table()
    model = find_model(frame, values(frame), "regression", Budget(trials=1)).model

    with pytest.raises(ProjectError, match="call find_model"):
        model.fit(frame, values(frame))


def test_clusters_are_found_and_their_number_with_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    centre = random.integers(0, 4, 400)
    frame = pd.DataFrame(
        {
            "x": centre % 2 * 9 + random.normal(size=400),
            "y": centre // 2 * 9 + random.normal(size=400),
        }
    )

    result = find_clusters(frame, Budget(seconds=30))
    dump(result.model, tmp_path / "model.skops")
    loaded = load(tmp_path / "model.skops", trusted=list(TRUSTED_TYPES))

    assert result.clusters == 4
    assert len({(a, b) for a, b in zip(centre, result.labels, strict=True) if b >= 0}) == 4
    assert {entry.algorithm for entry in result.leaderboard} > {"kmeans", "gaussian_mixture"}
    assert np.array_equal(loaded.predict(frame), result.model.predict(frame))
