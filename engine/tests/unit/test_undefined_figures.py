"""What is undefined is null in every report, and costs no training."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from goldpath.contract import Contract
from goldpath.errors import NotEnoughDataError
from goldpath.jobs.training.results import Judged
from goldpath.judging.evaluation import evaluate, permutation_importances
from goldpath.learning.families import families_of
from goldpath.learning.folds import make_folds
from goldpath.learning.metrics import Score, average_precision, other_scores
from goldpath.learning.scoring import LoadedModel, Predictions
from goldpath.learning.search import held_out_predictions
from goldpath.presentation import print_json
from goldpath.project import ENGINES_OWN
from goldpath.registry.stored_result import result_as_json, result_from_json
from goldpath.reports import write_report
from goldpath.settings import TrainingSettings

SETTINGS = TrainingSettings(bootstrap_samples=100)
NAN = math.nan


def contract(problem: str = "classification", *, time: bool = False) -> Contract:
    target: dict[str, Any] = {"column": "y"}
    return Contract.model_validate(
        {
            "dataset": "d",
            "problem": problem,
            "source": {"path": "d.csv"},
            "event_time": {"column": "at"} if time else None,
            "target": target | ({"classes": ["no", "yes"]} if problem[0] == "c" else {}),
            "features": [{"name": "x", "type": "number"}, {"name": "job", "type": "category"}],
        }
    )


def frame(rows: int = 400, positives: int | None = None) -> pd.DataFrame:
    """Rows whose job "d" never has a positive one."""
    random = np.random.default_rng(3)
    job = random.choice(["a", "b", "d"], rows)
    positive = (random.random(rows) < 0.4) & (job != "d")
    if positives is not None:
        positive = np.isin(np.arange(rows), random.choice(rows, positives, replace=False))
    return pd.DataFrame(
        {
            "row_id": np.arange(rows).astype(str),
            "event_time": pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(rows), "h"),
            "x": random.normal(size=rows) + positive,
            "job": job,
            "y": np.where(positive, "yes", "no"),
        }
    )


class _OnX:
    """A pipeline that looks at x alone."""

    def __init__(self, rows: pd.DataFrame, target: str = "y") -> None:
        self._learner = (
            LinearRegression()
            if pd.api.types.is_numeric_dtype(rows[target])
            else LogisticRegression()
        )
        self._learner.fit(rows[["x"]], rows[target])
        self.classes_ = getattr(self._learner, "classes_", None)

    def predict(self, rows: pd.DataFrame) -> Any:
        return self._learner.predict(rows[["x"]])

    def predict_proba(self, rows: pd.DataFrame) -> Any:
        return self._learner.predict_proba(rows[["x"]])


def strict(text: str) -> Any:
    """JSON as everyone but Python reads it."""

    def refuse(word: str) -> NoReturn:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("problem", ["classification", "regression"])
def test_a_metric_that_a_slice_does_not_define_is_null(problem: str, tmp_path: Path) -> None:
    rows = frame().astype({"y": object})
    if problem == "regression":
        rows["y"] = np.where(rows["job"] == "d", 7.0, rows["x"])
    model = LoadedModel(_OnX(rows[:300]), contract(problem))
    found = evaluate(model, rows[:300], rows[300:], SETTINGS)
    write_report(tmp_path / "evaluation.json", {"slices": [asdict(item) for item in found.slices]})
    slices = strict((tmp_path / "evaluation.json").read_text())["slices"]
    metrics = {item["name"]: item["metric"] for item in slices}
    assert metrics["job = d"] is None
    assert metrics["job = a"] is not None


def test_what_is_printed_for_scripts_and_what_a_run_keeps_is_strict_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json({"value": NAN, "interval": (NAN, math.inf), "others": {"r2": [NAN]}})
    assert strict(capsys.readouterr().out) == {
        "value": None,
        "interval": [None, None],
        "others": {"r2": [None]},
    }
    judged = Judged(
        metric="r2",
        value=NAN,
        interval=(NAN, NAN),
        baseline=NAN,
        champion=None,
        search_score=0.3,
        others={"mae": Score("mae", 1.0, (NAN, NAN))},
        worst_slice="",
        predictions_digest="",
        plot="",
        card="",
    )
    text = result_as_json(judged)
    assert strict(text)["value"] is None
    again = result_from_json(Judged, text, "stages/evaluate.json")
    assert math.isnan(again.value)
    assert math.isnan(again.others["mae"].interval[0])
    same = Score("mae", 1.0, (0.0, 0.0))
    nothing: dict[str, Any] = {
        "value": 0.0,
        "interval": (0.0, 0.0),
        "baseline": 0.0,
        "others": {"mae": same},
    }
    assert replace(again, **nothing) == replace(judged, **nothing)


@pytest.mark.parametrize("positives", [3, 10])
@pytest.mark.parametrize("time", [False, True])
def test_a_handful_of_positive_rows_can_be_learned_and_judged(positives: int, time: bool) -> None:
    rows = frame(2000, positives)
    for learnt, held_out in make_folds(rows, contract(time=time), SETTINGS):
        assert len(set(rows["y"].iloc[learnt])) == len(set(rows["y"].iloc[held_out])) == 2


def test_positive_rows_of_the_past_alone_are_judged_by_one_cut() -> None:
    rows = frame(2000, 0)
    rows.loc[[100, 150, 200, 250], "y"] = "yes"
    ((learnt, held_out),) = make_folds(rows, contract(time=True), SETTINGS)
    assert learnt.max() < held_out.min()
    assert {"yes", "no"} == set(rows["y"].iloc[learnt]) == set(rows["y"].iloc[held_out])


def test_one_positive_row_is_too_few_and_named() -> None:
    with pytest.raises(NotEnoughDataError, match="hold 1 of the class yes"):
        make_folds(frame(2000, 1), contract(), SETTINGS)


def test_the_drift_reference_of_a_class_of_one_row_is_made() -> None:
    rows, family = frame(120, 1), next(iter(families_of(ENGINES_OWN).values()))
    known = held_out_predictions(rows, contract(), family.name, family.defaults, SETTINGS)
    assert known["prediction"].notna().all()


def test_rows_that_were_not_drawn_to_learn_from_are_predicted_too() -> None:
    rows, family = frame(900, 300), next(iter(families_of(ENGINES_OWN).values()))
    arguments = (rows, contract(), family.name, family.defaults, SETTINGS)

    known = held_out_predictions(*arguments, most_learnt=200)["prediction"]

    assert known.notna().all()
    assert known.index.equals(rows.index)
    whole = held_out_predictions(*arguments)["prediction"]
    assert known.mean() == pytest.approx(whole.mean(), abs=0.1)
    assert held_out_predictions(*arguments, most_learnt=900)["prediction"].equals(whole)


def test_no_row_is_predicted_by_a_model_that_saw_it_or_a_copy_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = pd.concat([frame(300, 100), frame(300, 100)], ignore_index=True)
    rows["row_id"] = rows.index.astype(str)

    class Learnt:
        def __init__(self, part: pd.DataFrame, *_: object) -> None:
            self.values = set(part["x"])

        def predict(self, part: pd.DataFrame) -> Predictions:
            assert not self.values & set(part["x"])
            return Predictions(["no"] * len(part), None, [0.5] * len(part))

    monkeypatch.setattr("goldpath.learning.search.fit", Learnt)

    known = held_out_predictions(rows, contract(), "any", {}, SETTINGS, most_learnt=150)

    assert known["prediction"].notna().all()


def test_importances_see_each_class_however_rare() -> None:
    rows = frame(8000, 11)
    found = permutation_importances(LoadedModel(_OnX(rows), contract()), rows, seed=1)
    assert np.isfinite(list(found.values())).all()
    assert found["x"] > found["job"] == 0


def test_metrics_of_a_rare_class_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import (
        average_precision_score,
        balanced_accuracy_score,
        precision_score,
        recall_score,
    )

    random = np.random.default_rng(0)
    truth = np.where(random.random(600) < 0.05, "yes", "no")
    scores = np.clip(random.random(600) * 0.6 + 0.3 * (truth == "yes"), 0, 1).round(2)
    decided = np.where(scores > 0.5, "yes", "no")
    predictions = Predictions(
        decided.tolist(), np.column_stack([1 - scores, scores]), scores.tolist()
    )
    found = other_scores(contract(), truth, predictions, 100, 0)
    positive = truth == "yes"
    assert found["precision"].value == precision_score(positive, decided == "yes")
    assert found["recall"].value == recall_score(positive, decided == "yes")
    assert found["balanced_accuracy"].value == balanced_accuracy_score(truth, decided)
    assert found["pr_auc"].value == pytest.approx(average_precision_score(positive, scores))
    assert found["pr_auc"].interval[0] < found["pr_auc"].value < found["pr_auc"].interval[1]
    assert math.isnan(average_precision(np.zeros(5, dtype=bool), np.arange(5.0)))


def test_the_baseline_stands_beside_each_metric() -> None:
    rows = frame()
    found = evaluate(LoadedModel(_OnX(rows[:300]), contract()), rows[:300], rows[300:], SETTINGS)
    assert found.other_baselines.keys() == found.others.keys()
    assert found.other_baselines["recall"] == 0
    assert math.isnan(found.other_baselines["precision"])  # it calls no row positive
    assert found.other_baselines["balanced_accuracy"] == 0.5
    assert found.other_baselines["pr_auc"] == pytest.approx((rows[300:]["y"] == "yes").mean())
