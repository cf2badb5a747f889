"""Candidate and champion are each judged by their own band and interval."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from goldpath.contract import Contract, PredictionInterval, parse_contract
from goldpath.jobs.training.record import _champion_value
from goldpath.jobs.training.work import TrainingWork
from goldpath.judging.checks import check_against_champion
from goldpath.judging.evidence import Evidence
from goldpath.judging.limits import check_limit
from goldpath.judging.validation_report import ValidationResult, ValidationStatus
from goldpath.learning.decision.chosen import with_chosen_metrics
from goldpath.learning.scoring import LoadedModel
from goldpath.project import Model
from goldpath.settings import DecisionSettings, TrainingSettings, ValidationSettings

PASSED, FAILED = ValidationStatus.PASSED, ValidationStatus.FAILED
TRAINING = TrainingSettings(bootstrap_samples=100)
CALLS = parse_contract("""
dataset: calls
problem: classification
source: {path: calls.csv}
target: {column: bought, classes: ["no", "yes"]}
features: [{name: share, type: number}]
""")
FLATS = parse_contract("""
dataset: flats
problem: regression
source: {path: flats.csv}
target: {column: rent}
features: [{name: area, type: number}]
""")
VALUES = {"tp": 80.0, "fp": -10.0, "unsure": -50.0}
WIDE = DecisionSettings.model_validate({"values": VALUES, "threshold": 0.5, "unsure": [0.2, 0.8]})
NO_BAND = CALLS.with_threshold(0.5)
WIDE_BAND = CALLS.with_threshold(0.5, (0.2, 0.8))
INTERVAL = DecisionSettings(interval=0.9)


class Scores:
    """A fitted model whose probability is the row's own share."""

    classes_ = ("no", "yes")

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        share = np.asarray(frame["share"], dtype="float64")
        return np.column_stack([1 - share, share])


class Area:
    """A fitted model of flats."""

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(frame["area"])


def of_calls(candidate: Contract, champion: Contract) -> Evidence:
    random = np.random.default_rng(0)
    share = random.uniform(size=400)
    rows = pd.DataFrame({"share": share})
    truth = np.where(random.uniform(size=400) < share, "yes", "no")
    return evidence(Scores(), candidate, champion, rows, truth, WIDE)


def of_flats(candidate: Contract, champion: Contract) -> Evidence:
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"area": random.uniform(20, 100, 400)})
    truth = rows["area"].to_numpy() + random.uniform(-10, 10, 400)
    return evidence(Area(), candidate, champion, rows, truth, INTERVAL)


def evidence(
    model: Any,
    candidate: Contract,
    champion: Contract,
    rows: pd.DataFrame,
    truth: np.ndarray,
    decision: DecisionSettings,
) -> Evidence:
    """The two have the same predictions, and decide differently."""
    trained = TrainingSettings(metric="value" if decision.values else "", bootstrap_samples=100)
    new = LoadedModel(model, candidate)
    return Evidence(
        model=new,
        rows=rows,
        truth=truth,
        predictions=new.predict(rows),
        training=TRAINING,
        champion=LoadedModel(model, champion),
        definitions=with_chosen_metrics(Model(), candidate, trained, decision),
    )


def gate_of(metric: str, found: Evidence, **limits: float) -> ValidationResult:
    settings = ValidationSettings.model_validate({"gates": [{"metric": metric, **limits}]})
    return check_limit(settings.gates[0], found)


def test_a_band_that_costs_more_than_it_saves_keeps_the_candidate_back() -> None:
    found = check_against_champion(of_calls(WIDE_BAND, NO_BAND))
    turned = check_against_champion(of_calls(NO_BAND, WIDE_BAND))

    assert found is not None
    assert turned is not None
    assert (found.status, turned.status) == (FAILED, PASSED)
    assert found.score is not None
    assert found.score < -10, "the same scores, and a look at each row between 0.2 and 0.8"
    assert turned.score == -found.score
    same = check_against_champion(of_calls(WIDE_BAND, WIDE_BAND))
    assert same is not None
    assert same.score == 0


def test_a_gate_compares_with_the_champions_own_band_and_interval() -> None:
    narrow, wide = (FLATS.with_interval(PredictionInterval(0.9, half)) for half in (3.0, 9.0))
    small = CALLS.with_threshold(0.5, (0.45, 0.55))
    cases = [
        ("coverage", of_flats(narrow, wide)),
        ("interval_width", of_flats(wide, narrow)),
        ("value", of_calls(WIDE_BAND, NO_BAND)),
        ("unsure_share", of_calls(WIDE_BAND, small)),
        ("decided_accuracy", of_calls(small, WIDE_BAND)),
    ]

    found = {name: gate_of(name, each, behind_champion=0.05) for name, each in cases}

    assert {name: each.status for name, each in found.items()} == dict.fromkeys(found, FAILED)
    shown = found["coverage"].details["all rows"]
    assert shown["coverage"] == pytest.approx(0.3, abs=0.08)
    assert shown["champion"] == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize(
    ("metric", "found", "said"),
    [
        ("coverage", of_flats(FLATS.with_interval(PredictionInterval(0.9, 9.0)), FLATS), "interv"),
        ("unsure_share", of_calls(WIDE_BAND, NO_BAND), "band (decision.unsure)"),
    ],
)
def test_a_champion_without_intervals_or_band_is_no_rival(
    metric: str, found: Evidence, said: str
) -> None:
    alone = gate_of(metric, found, behind_champion=0.05)
    besides = gate_of(metric, found, behind_champion=0.05, at_least=0.0)

    assert (alone.status, besides.status) == (PASSED, PASSED)
    for each in (alone, besides):
        assert f"the champion has no {said}" in each.message


def test_a_gate_of_intervals_above_the_baseline_is_refused() -> None:
    found = of_flats(FLATS.with_interval(PredictionInterval(0.9, 9.0)), FLATS)

    result = gate_of("coverage", found, above_baseline=0.0)

    assert result.status is FAILED
    assert "compares coverage with the baseline, which has no intervals" in result.message


def test_the_champions_reported_figure_is_that_of_its_own_band() -> None:
    found = of_calls(WIDE_BAND, NO_BAND)
    split, definitions = SimpleNamespace(test=found.rows), found.definitions

    def reported(champion: Contract) -> float | None:
        work = SimpleNamespace(
            contract=CALLS,
            champion=LoadedModel(Scores(), champion),
            split=split,
            definitions=definitions,
        )
        return _champion_value(cast("TrainingWork", work), found.truth)

    plain, band = reported(NO_BAND), reported(WIDE_BAND)

    assert plain is not None
    assert band is not None
    assert band < plain - 10
