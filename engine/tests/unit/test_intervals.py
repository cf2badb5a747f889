"""What an interval holds, where decisions are left open, and what is refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin

from goldpath import Prediction, Row
from goldpath.contract import (
    ContractError,
    PredictionInterval,
    dump_contract,
    load_contract,
    parse_contract,
)
from goldpath.errors import NotEnoughDataError
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.answer_fields import require_answers
from goldpath.jobs.batch.file_scorer import BatchScorer
from goldpath.jobs.drift.live_quality import interval_of
from goldpath.jobs.training.work import TrainingError, TrainingWork
from goldpath.judging.coverage import check_coverage
from goldpath.judging.evaluation import evaluate
from goldpath.judging.evidence import Evidence
from goldpath.judging.limits import check_limit
from goldpath.judging.validation_report import ValidationStatus
from goldpath.judging.validators import check_performance
from goldpath.learning.decision.choice import as_trained, chosen_decision, require_tunable
from goldpath.learning.decision.chosen import with_chosen_metrics
from goldpath.learning.decision.fields import IntervalFields, ThresholdFields
from goldpath.learning.decision.interval import half_width
from goldpath.learning.decision.threshold import DecisionRule
from goldpath.learning.decision.value import value_metric
from goldpath.learning.families import FAMILIES
from goldpath.learning.family import family
from goldpath.learning.metric import metric
from goldpath.learning.predictions import Predictions
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.search import held_out_predictions, unseen_scores
from goldpath.project import Model
from goldpath.serving.answers.own_fields import answer_fields
from goldpath.settings import (
    DecisionSettings,
    SettingsError,
    TrainingSettings,
    ValidationSettings,
    load_settings,
)

from ..api.examples import contract_of

BINARY, NUMBER = contract_of("binary"), contract_of("regression")
FLATS = parse_contract("""
dataset: flats
problem: regression
source: {path: flats.csv}
target: {column: rent}
features: [{name: area, type: number}]
""")
numbers = st.floats(-1e6, 1e6)


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=60), st.floats(0.05, 0.95))
def test_of_exchangeable_rows_at_least_the_level_is_held(errors: list[float], level: float) -> None:
    """Each row in turn is the new one: what exchangeability makes a probability of, counted."""
    assume(np.ceil(round(len(errors) * level, 9)) <= len(errors) - 1)
    each = np.array(errors)

    held = [error <= half_width(np.delete(each, at), level) for at, error in enumerate(each)]

    assert np.mean(held) >= level - 1e-9


def test_of_distinct_errors_hardly_more_than_the_level_is_held() -> None:
    errors = np.random.default_rng(0).permutation(100.0 + np.arange(99))

    assert half_width(errors, 0.9) == 189.0, "the 90th of 99"
    assert half_width(errors, 0.7) == 169.0, "and 100 * 0.7 is no more than 70"


def test_too_few_rows_for_a_level_are_refused() -> None:
    assert half_width(np.arange(19.0), 0.95) == 18.0
    with pytest.raises(NotEnoughDataError, match=r"interval=0\.95 needs 19 rows .* there are 18"):
        half_width(np.arange(18.0), 0.95)


@example([-0.0, 0.0], 0.0, 0.0)
@example([-0.0, 0.0], 0.0, None)
@given(st.lists(numbers, min_size=1, max_size=20), st.floats(0, 1e6), st.none() | st.just(0.0))
def test_a_rows_interval_is_the_same_alone_and_among_others(
    values: list[float], half: float, minimum: float | None
) -> None:
    fields = IntervalFields(PredictionInterval(0.9, half, minimum))

    alone = [fields.of_row(value, value) for value in values]

    assert repr(list(zip(*fields.of_rows(values, values), strict=True))) == repr(alone)
    for value, (lower, upper, level) in zip(values, alone, strict=True):
        assert (lower <= upper, level) == (True, 0.9)
        assert minimum is None or lower >= minimum
        assert lower <= value <= upper or value < 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_a_row_is_left_open_alone_as_among_others(
    scores: list[float], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    fields = ThresholdFields(DecisionRule((low + high) / 2, (low, high)))
    answers = np.column_stack([1 - np.array(scores), scores])
    values = [("no", "yes")[at] for at in fields.rule.labels(answers)]

    alone = [fields.of_row(*each) for each in zip(values, scores, strict=True)]

    assert list(zip(*fields.of_rows(values, scores), strict=True)) == alone
    expected = ["yes" if p > high else "no" if p < low else "unsure" for p in scores]
    assert [decision for decision, _ in alone] == expected


@pytest.mark.parametrize("share", [0.1, 0.25, 0.9])
def test_a_band_by_share_leaves_no_more_rows_open(share: float) -> None:
    scores = np.round(np.random.default_rng(1).uniform(size=997), 2)  # many ties
    decision = DecisionSettings(threshold=0.4, unsure={"share": share})

    found = chosen_decision(BINARY, decision, Model(), np.array([]), scores, pd.DataFrame())

    is_open = DecisionRule(found.threshold, found.unsure).left_open(scores)
    assert share - 0.03 < is_open.mean() <= share, "and as many as that allows"
    near = np.abs(scores - 0.4)
    assert near[is_open].max() < near[~is_open].min()


def test_a_share_that_ties_do_not_allow_is_said() -> None:
    decision, scores = DecisionSettings(threshold=0.5, unsure={"share": 0.2}), np.full(10, 0.6)
    with pytest.raises(NotEnoughDataError, match="10 of 10 rows are equally near"):
        chosen_decision(BINARY, decision, Model(), np.array([]), scores, pd.DataFrame())


def test_a_row_in_the_band_is_worth_what_a_look_costs() -> None:
    worth = value_metric(BINARY, {"tp": 80.0, "fp": -10.0, "unsure": -2.0}, "dollars")
    truth, scores = np.array(["yes", "no", "yes", "no"]), [0.9, 0.8, 0.5, 0.4]
    said = Predictions(["yes", "yes", "yes", "no"], None, scores)

    plain = worth.on_rows(BINARY.with_threshold(0.45), truth, said, None)
    band = worth.on_rows(BINARY.with_threshold(0.45, (0.4, 0.6)), truth, said, None)

    assert plain(slice(None)) == (80 - 10 + 80) / 4
    assert band(slice(None)) == (80 - 10 - 2 - 2) / 4


def test_the_metrics_of_the_decided_rows_leave_the_others_out() -> None:
    decision = DecisionSettings(threshold=0.5, unsure=(0.4, 0.6))
    model = with_chosen_metrics(Model(), BINARY, TrainingSettings(), decision)
    truth, scores = np.array(["yes", "no", "yes", "no", "no"]), [0.9, 0.8, 0.5, 0.4, 0.1]
    said = Predictions(["yes", "yes", "no", "no", "no"], None, scores)
    contract = BINARY.with_threshold(0.5, (0.4, 0.6))

    found = {each.name: each.on_rows(contract, truth, said, None) for each in model.metrics}

    assert {name: of(slice(None)) for name, of in found.items()} == {
        "unsure_share": 2 / 5,
        "decided_accuracy": 2 / 3,
        "decided_precision": 1 / 2,
        "decided_recall": 1.0,
    }
    assert found["unsure_share"](np.array([2, 3])) == 1
    assert np.isnan(found["decided_accuracy"](np.array([2, 3]))), "none is decided"


class AreaTwice:
    """A fitted model of flats, whose errors are the rows' own noise."""

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(2 * frame["area"])


def flats(noise: float, count: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(3)
    area = random.uniform(20, 100, count)
    return pd.DataFrame({"area": area, "rent": 2 * area + random.normal(0, noise, count)})


def test_the_evaluation_shows_what_the_intervals_hold_and_how_wide_they_are() -> None:
    decision = DecisionSettings(interval=0.8)
    definitions = with_chosen_metrics(Model(), FLATS, TrainingSettings(), decision)
    train, test = flats(5).iloc[:200], flats(5).iloc[200:]
    truth, said = train["rent"].to_numpy(), 2 * train["area"].to_numpy()
    decided = chosen_decision(FLATS, decision, definitions, truth, said, train)
    assert decided.interval is not None
    assert decided.interval.minimum == 0, "no rent is negative"

    model = LoadedModel(AreaTwice(), decided.of(FLATS))
    found = evaluate(model, train, test, TrainingSettings(bootstrap_samples=100), definitions)

    coverage, width = found.others["coverage"], found.others["interval_width"]
    errors = np.abs(test["rent"] - 2 * test["area"])
    assert coverage.value == (errors <= decided.interval.half_width).mean()
    assert coverage.interval[0] < 0.8 < coverage.interval[1]
    assert width.value == pytest.approx(2 * decided.interval.half_width)
    assert not {"coverage", "interval_width"} & set(found.other_baselines)


@pytest.mark.parametrize(
    ("noise", "status", "said"),
    [
        (
            5.0,
            ValidationStatus.PASSED,
            r"0\.905 of 400 true values lie in their inter",
        ),
        (8.0, ValidationStatus.WARNING, r"chance alone explains 0\.875 and more"),
    ],
)
def test_a_coverage_that_falls_short_beyond_chance_warns(
    noise: float, status: ValidationStatus, said: str
) -> None:
    rows = flats(noise)
    interval = PredictionInterval(0.9, 5 * 1.645, 0.0)
    model = LoadedModel(AreaTwice(), FLATS.with_interval(interval))
    evidence = Evidence(model, rows, rows["rent"].to_numpy(), model.predict(rows))

    found = check_coverage(evidence)

    assert found is not None
    assert found.status == status
    assert pd.Series([found.message]).str.contains(said).all(), found.message
    plain = LoadedModel(AreaTwice(), FLATS)
    assert check_coverage(Evidence(plain, rows, evidence.truth, plain.predict(rows))) is None


def test_the_width_is_a_draw_as_the_test_rows_are() -> None:
    """A width by few errors may hold less by chance; of right ones few warn."""
    random, level, errors, rows = np.random.default_rng(0), 0.8, 60, 400
    warned = {True: 0, False: 0}
    for _ in range(300):
        half = half_width(np.abs(random.normal(size=errors)), level)
        truth = random.normal(size=rows)
        said = Predictions(np.zeros(rows).tolist(), None, np.zeros(rows).tolist())
        for kept in warned:
            interval = PredictionInterval(level, half, errors=errors if kept else None)
            model = LoadedModel(AreaTwice(), FLATS.with_interval(interval))
            found = check_coverage(Evidence(model, pd.DataFrame(index=range(rows)), truth, said))
            assert found is not None
            warned[kept] += found.status is ValidationStatus.WARNING
            if kept and found.status is ValidationStatus.WARNING:
                assert "of the 60 errors behind the width" in found.message

    assert warned[True] / 300 < 0.1
    assert warned[False] / 300 > 0.15, "as it was judged before"


def test_the_least_target_of_all_rows_says_whether_an_interval_ends_at_zero() -> None:
    rows = flats(5)
    rows.loc[0, "rent"] = -40.0  # of the oldest block, which no fold's model predicts
    predicted = 2 * rows["area"].iloc[200:]
    decision = DecisionSettings(interval=0.8)
    work = SimpleNamespace(
        settings=SimpleNamespace(decision=decision),
        contract=FLATS,
        definitions=with_chosen_metrics(Model(), FLATS, TrainingSettings(), decision),
        train_rows=rows,
    )

    found = TrainingWork.decided(cast("TrainingWork", work), lambda: predicted).interval

    assert found is not None
    assert (found.minimum, found.errors) == (None, 200)
    work.train_rows = rows.iloc[1:]
    found = TrainingWork.decided(cast("TrainingWork", work), lambda: predicted).interval
    assert found is not None
    assert found.minimum == 0
    predicted = predicted.where(rows["area"] < 90)
    with pytest.raises(TrainingError, match=r"no finite number for \d+ of 200 rows") as it:
        TrainingWork.decided(cast("TrainingWork", work), lambda: predicted)
    assert "training.families" in it.value.fix


def test_a_prediction_that_is_no_number_is_not_dropped() -> None:
    @family()
    def diverging(trial: object, columns: object) -> Diverging:
        return Diverging()

    rows = flats(5, 40)
    found = unseen_scores(
        rows, FLATS, "diverging", {}, TrainingSettings(cv_folds=2), Model(families=[diverging])
    )

    assert len(found) == 40
    assert found.isna().all()


class Diverging(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A family whose fit diverged."""

    def fit(self, frame: pd.DataFrame, target: object) -> "Diverging":
        self.n_features_in_ = frame.shape[1]
        return self

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return np.full(len(frame), np.nan)


@pytest.mark.parametrize("rows", [1, 9, 10])
def test_a_day_of_few_errors_has_no_interval(rows: int) -> None:
    predicted = np.arange(float(rows))
    labelled = pd.DataFrame({"prediction": predicted, "label": predicted + predicted % 3})

    found = interval_of(FLATS, labelled)

    if rows < 10:
        assert found is None
        return
    squares = (predicted % 3) ** 2
    margin = 1.959964 * squares.std(ddof=1) / np.sqrt(rows)
    assert found is not None
    assert found[1] ** 2 - squares.mean() == pytest.approx(margin, rel=1e-5)


def test_with_a_time_the_errors_are_those_of_newer_rows() -> None:
    contract = parse_contract("""
dataset: level
problem: regression
source: {path: level.csv}
event_time: {column: day}
target: {column: y}
features: [{name: x, type: number}]
""")
    days = pd.date_range("2026-01-01", periods=400, tz="UTC")
    rising = np.arange(400.0)  # a tree knows no value beyond those that it has seen
    rows = pd.DataFrame({"event_time": days, "x": rising, "y": rising})
    settings = TrainingSettings(cv_folds=2)
    parameters = {**FAMILIES["boosting"].defaults, "max_iter": 10}

    ahead = unseen_scores(rows, contract, "boosting", parameters, settings)
    shuffled = held_out_predictions(rows, contract, "boosting", parameters, settings)["prediction"]

    assert len(ahead) == 80, "the newest two blocks"
    errors = (ahead - rows["y"].loc[ahead.index]).abs()
    assert errors.median() > 2 * (shuffled - rows["y"]).abs().median()


def test_both_are_parts_of_the_contract_that_is_signed_and_of_no_lakes_rules() -> None:
    for plain, contract in (
        (NUMBER, NUMBER.with_interval(PredictionInterval(0.9, 12.5))),
        (BINARY, BINARY.with_threshold(0.5, (0.4, 0.6))),
    ):
        assert parse_contract(dump_contract(contract)) == contract
        assert contract.rules == plain.rules
        assert contract.request.prediction_interval == contract.prediction_interval


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("interval: 1.5", "decision.interval=1.5"),
        ("interval: 90", "decision.interval=90"),
        ("threshold: 0.5\nunsure: [0.6, 0.4]", "unsure=[0.6, 0.4] is no band"),
        ("threshold: 0.5\nunsure: [0.4, 1.2]", "unsure=[0.4, 1.2] is no band"),
        ("threshold: 0.5\nunsure: [0.5, 0.5]", "unsure=[0.5, 0.5] is no band"),
        ("threshold: 0.7\nunsure: [0.4, 0.6]", "threshold=0.7 lies outside of unsure=[0.4, 0.6]"),
        ("unsure: [0.4, 0.6]", "around a threshold, and none is set: write threshold: 0.5"),
        ("capacity: 0.1\nunsure: [0.4, 0.6]", "write unsure: {share: 0.1}"),
        ("threshold: 0.5\nunsure: {share: 1}", "write a share between 0 and 1"),
        ("threshold: 0.5\nunsure: {}", "write a share between 0 and 1"),
        ("threshold: 0.5\nunsure: {part: 0.1}", "is no band: write two probabilities"),
        ("threshold: 0.5\nunsure: [0.4]", "unsure=[0.4] is no band: write two probabilities, such"),
        ("threshold: 0.5\nunsure: [0.4, 0.5, 0.6]", "is no band: write two probabilities"),
        ("threshold: 0.5\nunsure: [a, b]", "unsure=['a', 'b'] is no band: write two probabilit"),
        ("threshold: 0.5\nunsure: 0.1", "unsure=0.1 is no band: write two probabilities, such as"),
        ("threshold: 0.5\nvalues: {tp: 1, unsure: -1}", "there is no band: set unsure"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "decision.yaml").write_text(text)

    with pytest.raises(SettingsError) as it:
        load_settings(tmp_path)
    assert said in it.value.message
    assert "decision" in it.value.message
    assert "tuple[" not in it.value.message, "a sentence, and none for each form"


@pytest.mark.parametrize(
    ("of", "decision", "said"),
    [
        ("binary", {"interval": 0.9}, "interval=0.9 is for a target that is a number; left has 2"),
        ("multiclass", {"interval": 0.9}, "is a number; kind has 3 classes"),
        ("regression", {"threshold": 0.5, "unsure": [0.4, 0.6]}, "decision.threshold is for a t"),
        ("multiclass", {"threshold": 0.5, "unsure": [0.4, 0.6]}, "decision.threshold is for a t"),
        ("binary", {"tune_for": "decided_precision", "unsure": {"share": 0.1}}, "looks at prob"),
    ],
)
def test_a_decision_that_the_target_does_not_have_is_refused(
    of: str, decision: dict[str, object], said: str
) -> None:
    contract, settings = contract_of(of), DecisionSettings.model_validate(decision)
    model = with_chosen_metrics(Model(), contract, TrainingSettings(), settings)

    with pytest.raises(ProjectDefinitionError) as it:
        require_tunable(contract, settings, model)
    assert it.value.message.startswith("config/decision.yaml: ")
    assert said in it.value.message
    assert it.value.fix


def test_a_class_or_a_metric_of_the_same_name_is_refused() -> None:
    @metric()
    def coverage(truth: np.ndarray) -> float:
        return float(len(truth))

    with pytest.raises(ProjectDefinitionError, match="hands over a metric 'coverage'"):
        with_chosen_metrics(
            Model(metrics=[coverage]), NUMBER, TrainingSettings(), DecisionSettings(interval=0.9)
        )
    target = BINARY.target.model_copy(update={"classes": ("unsure", "sure")})
    contract = BINARY.model_copy(update={"target": target})
    with pytest.raises(ProjectDefinitionError, match="left has a class of that name"):
        require_tunable(contract, DecisionSettings(threshold=0.5, unsure=(0.4, 0.6)), Model())


@pytest.mark.parametrize(
    ("contract", "part", "setting"),
    [
        (NUMBER.with_interval(PredictionInterval(0.9, 1.0)), "prediction_interval", "interval"),
        (BINARY.with_threshold(0.5, (0.4, 0.6)), "decision_threshold", "threshold"),
    ],
)
def test_the_projects_contract_holds_neither(
    tmp_path: Path, contract: object, part: str, setting: str
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "project.yaml").write_text(dump_contract(contract))  # type: ignore[arg-type]

    with pytest.raises(ContractError, match=f"{part}=.* is a model version's") as it:
        load_contract(tmp_path)
    assert f"decision.{setting} in config/decision.yaml" in it.value.fix


def test_check_tries_an_answer_field_with_what_the_settings_bring() -> None:
    def width(row: Row, prediction: Prediction) -> float:
        assert prediction.upper is not None
        assert prediction.lower is not None
        return prediction.upper - prediction.lower

    def queue(row: Row, prediction: Prediction) -> str:
        return {"unsure": "look", "yes": "call", "no": "none"}[str(prediction.decision)]

    band = DecisionSettings(tune_for="f1_macro", unsure={"share": 0.1})
    for contract, function, decision in (
        (NUMBER, width, DecisionSettings(interval=0.9)),
        (BINARY, queue, band),
    ):
        fields = answer_fields([function])
        require_answers(fields, contract, as_trained(contract, decision))
        with pytest.raises(ProjectDefinitionError):
            require_answers(fields, contract, as_trained(contract, DecisionSettings()))


@pytest.mark.parametrize("band", [(0.4, 0.6), (0.6, 0.9)])
def test_check_tries_an_answer_field_with_a_class_and_with_unsure(
    band: tuple[float, float],
) -> None:
    def knows_no_unsure(row: Row, prediction: Prediction) -> str:
        return {"yes": "call", "no": "none"}[str(prediction.decision)]

    def knows_no_class(row: Row, prediction: Prediction) -> str:
        return {"unsure": "look"}[str(prediction.decision)]

    contract = BINARY.with_threshold(0.6, band)
    for function, said in ((knows_no_unsure, "unsure"), (knows_no_class, "no|yes")):
        with pytest.raises(ProjectDefinitionError, match=said):
            require_answers(answer_fields([function]), BINARY, contract)


def test_files_of_an_entity_called_like_a_column_say_what_they_leave_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    contract = FLATS.with_parts(entity="lower").with_interval(PredictionInterval(0.9, 1.0))

    scorer = BatchScorer(LoadedModel(AreaTwice(), contract), contract, "1")

    assert "upper" not in scorer.schema.names
    printed = " ".join("".join(capsys.readouterr()).split())
    assert "the scored files have no lower and upper: lower is the entity" in printed


def test_coverage_and_open_rows_can_be_gates() -> None:
    rows = flats(8)
    interval = FLATS.with_interval(PredictionInterval(0.9, 5 * 1.645, 0.0))
    model = LoadedModel(AreaTwice(), interval)
    definitions = with_chosen_metrics(
        Model(), FLATS, TrainingSettings(), DecisionSettings(interval=0.9)
    )
    limits = ValidationSettings.model_validate(
        {
            "thresholds": {"coverage": 0.88, "interval_width": 20},
            "gates": [{"metric": "coverage", "at_least": 0.88, "by": "area"}],
        }
    )
    evidence = Evidence(
        model,
        rows,
        rows["rent"].to_numpy(),
        model.predict(rows),
        validation=limits,
        training=TrainingSettings(bootstrap_samples=100),
        definitions=definitions,
    )

    found = check_performance(evidence)
    by_area = check_limit(limits.gates[0], evidence)

    assert found.status == ValidationStatus.FAILED
    assert "coverage 0." in found.message
    assert "interval_width" not in found.message, "16.4 is at most 20"
    assert by_area.status == ValidationStatus.FAILED
