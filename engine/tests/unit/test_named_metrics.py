"""A figure's name is the figure's own: a main metric of one's own is never shown as an AUC."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.linear_model import LinearRegression, LogisticRegression

from goldpath.contract import Contract
from goldpath.judging import evaluation as judging
from goldpath.learning.metric import metric
from goldpath.learning.metrics import area_under_roc
from goldpath.learning.scoring import LoadedModel
from goldpath.project import Model
from goldpath.settings import TrainingSettings

SETTINGS = TrainingSettings(bootstrap_samples=100)


@metric()
def half(truth: np.ndarray, decided: np.ndarray) -> float:
    """Always the same, so that it can be told from an AUC."""
    return 0.125


def contract(problem: str) -> Contract:
    target = {"column": "y"} if problem == "regression" else {"column": "y", "classes": ["n", "y"]}
    return Contract.model_validate(
        {
            "dataset": "d",
            "problem": problem,
            "source": {"path": "d.csv"},
            "target": target,
            "features": [{"name": "x", "type": "number"}],
        }
    )


@pytest.mark.parametrize("problem", ["classification", "regression"])
def test_a_panel_shows_the_metric_that_it_draws(
    problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=400)
    noisy = x + random.normal(size=400)
    is_regression = problem == "regression"
    rows = pd.DataFrame({"x": x, "y": noisy if is_regression else np.where(noisy > 0, "y", "n")})
    learner = LinearRegression() if is_regression else LogisticRegression()
    model = LoadedModel(learner.fit(rows[["x"]], rows["y"]), contract(problem))
    found = judging.evaluate(model, rows, rows, SETTINGS, Model(metric=half))
    assert found.score.metric == "half"
    assert found.score.value == 0.125
    usual = found.others["r2" if is_regression else "roc_auc"].value
    if not is_regression:
        scores = np.asarray(found.predictions.scores)
        assert usual == area_under_roc((rows["y"] == "y").to_numpy(), scores)

    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: drawn.append(self))
    judging.plot_evaluation(found, contract(problem), rows["y"].to_numpy(), tmp_path / "e.png")
    legend = drawn[0].axes[0].get_legend()
    assert legend is not None
    said = [text.get_text() for text in legend.get_texts()]
    assert any(f"{usual:.3f} [" in label for label in said)
    assert not any("0.125" in label for label in said)
