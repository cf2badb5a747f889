"""The gate's plain checks at their limits, and what becomes of a check of one's own."""

import asyncio
import dataclasses
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath import Gate, gate
from goldpath.adoption.column_inference import FREE_TEXT
from goldpath.contract import parse_contract
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.promotion import promote
from goldpath.judging import validators
from goldpath.judging.checks import (
    CHECKS,
    are_numbers,
    champion_fault,
    check_against_champion,
    make_report,
    settle,
)
from goldpath.judging.fairness import GROUPS_CHECK
from goldpath.judging.own_checks import own_checks, require_validator, run_own
from goldpath.judging.validation_report import (
    ValidationResult,
    ValidationSetupError,
    ValidationStatus,
)
from goldpath.judging.validators import (
    BaseValidator,
    check_baseline,
    check_performance,
    check_predictions,
    check_rows,
)
from goldpath.learning.metrics import Score
from goldpath.learning.scoring import Predictions

PASSED, FAILED = ValidationStatus.PASSED, ValidationStatus.FAILED
WARNING, FEW = ValidationStatus.WARNING, ValidationStatus.NOT_ENOUGH_DATA
CONTRACT = parse_contract(
    "dataset: small\nsource:\n  path: rows.csv\nproblem: regression\ntarget: {column: amount}\n"
    "features:\n  - {name: a, type: number}\n"
)


def evidence(**values: Any) -> Any:
    usual = {
        "contract": CONTRACT,
        "rows": pd.DataFrame({"a": [1.0, 2.0, 3.0]}),
        "truth": np.array([1.0, 2.0, 3.0]),
        "training": SimpleNamespace(minimum_test_rows=3, bootstrap_samples=100, seed=1),
        "validation": SimpleNamespace(thresholds={}, optional=()),
        "definitions": SimpleNamespace(metric=None, metrics=[]),
        "model": SimpleNamespace(version=None),
        "champion": None,
        "champion_error": None,
    }
    return SimpleNamespace(**{**usual, **values})


@pytest.mark.parametrize(("rows", "status"), [(2, FEW), (3, PASSED), (4, PASSED), (0, FEW)])
def test_so_many_rows_are_enough(rows: int, status: ValidationStatus) -> None:
    result = check_rows(evidence(rows=pd.DataFrame({"a": [1.0] * rows})))
    assert (result.status, result.score, result.threshold) == (status, rows, 3)


@pytest.mark.parametrize(
    ("scores", "status", "said"),
    [
        ([1.0, 2.0], PASSED, "all finite; 2 different scores"),
        ([1.0, 1.0], FAILED, "all finite; 1 different scores"),
        ([1.0, float("nan"), 2.0], FAILED, "not all finite"),
        ([1.0, float("inf")], FAILED, "not all finite"),
        ([], FAILED, "all finite; 0 different"),
    ],
)
def test_predictions_are_finite_and_differ(
    scores: list[float], status: ValidationStatus, said: str
) -> None:
    found = Predictions(scores, None, scores)
    result = check_predictions(evidence(predictions=found))
    assert result.status is status
    assert said in result.message
    assert are_numbers(found) is ("not all" not in said)


def test_of_a_clustering_segments_are_counted() -> None:
    clustering = SimpleNamespace(has_target=False)
    for values, status in ((["a", "b"], PASSED), (["a", "a"], FAILED)):
        found = Predictions(values, None, [1.0, 1.0])
        result = check_predictions(evidence(predictions=found, contract=clustering))
        assert result.status is status
        assert "different segments" in result.message


@pytest.mark.parametrize(
    ("low", "status"), [(0.51, PASSED), (0.5, FAILED), (0.49, FAILED), (-1.0, FAILED)]
)
def test_the_intervals_lower_end_must_beat_the_baseline(
    monkeypatch: pytest.MonkeyPatch, low: float, status: ValidationStatus
) -> None:
    monkeypatch.setattr(validators, "metric_value", lambda *_: 0.5)
    monkeypatch.setattr(validators, "_main_score", lambda _: Score("r2", 0.9, (low, 0.95)))
    result = check_baseline(evidence(baseline_predictions="something"))
    assert result is not None
    assert (result.status, result.score, result.threshold) == (status, low, 0.5)
    assert "which" not in result.message
    assert check_baseline(evidence(baseline_predictions=None)) is None


@pytest.fixture
def performance(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The check of scores with these intervals, against these thresholds."""

    def judge(thresholds: dict[str, float], **scores: tuple[float, float, float]) -> Any:
        found = {
            name: Score(name, value, (low, high)) for name, (low, value, high) in scores.items()
        }
        asked: list[Any] = []

        def others(*given: Any) -> dict[str, Score]:
            asked.append(given)
            return found

        monkeypatch.setattr(validators, "main_metric", lambda *_: "r2")
        monkeypatch.setattr(validators, "_main_score", lambda _: found["r2"])
        monkeypatch.setattr(validators, "other_scores", others)
        own = [
            SimpleNamespace(name="cost", greater_is_better=False),
            SimpleNamespace(name="gain", greater_is_better=True),
        ]
        result = check_performance(
            evidence(
                predictions=None,
                validation=SimpleNamespace(thresholds=thresholds),
                definitions=SimpleNamespace(metric=None, metrics=own),
            )
        )
        return result, len(asked)

    return judge


@pytest.mark.parametrize(
    ("limit", "status"),
    [(0.4, PASSED), (0.5, PASSED), (0.51, WARNING), (0.6, WARNING), (0.61, FAILED)],
)
def test_a_metric_reaches_its_threshold_surely_perhaps_or_not(
    performance: Any, limit: float, status: ValidationStatus
) -> None:
    result, asked = performance({"r2": limit}, r2=(0.5, 0.6, 0.7))
    assert (result.status, result.score, result.threshold) == (status, 0.6, limit)
    assert result.details["r2"] == {"value": 0.6, "from": 0.5, "to": 0.7, "threshold": limit}
    assert asked == 0, "no other metric has a threshold"
    of_gain, _ = performance({"gain": limit}, r2=(0, 0, 0), gain=(0.5, 0.6, 0.7))
    assert of_gain.status is status


@pytest.mark.parametrize("name", ["rmse", "cost"])
@pytest.mark.parametrize(
    ("limit", "status"),
    [(0.8, PASSED), (0.7, PASSED), (0.69, WARNING), (0.6, WARNING), (0.59, FAILED)],
)
def test_an_error_has_a_largest_value(
    performance: Any, name: str, limit: float, status: ValidationStatus
) -> None:
    result, asked = performance({name: limit}, r2=(0.1, 0.2, 0.3), **{name: (0.5, 0.6, 0.7)})
    assert (result.status, asked) == (status, 1)
    assert (result.score, result.threshold) == (0.2, None)
    assert ("at most" in result.message) is (status is FAILED)
    assert "threshold" not in result.details["r2"]


def test_what_is_no_number_misses_its_threshold(performance: Any) -> None:
    nothing = float("nan")
    result, _ = performance({"r2": 0.1}, r2=(nothing, nothing, nothing))
    assert result.status is FAILED
    assert "at least 0.1" in result.message
    none, _ = performance({}, r2=(0.1, 0.2, 0.3))
    assert none.status is PASSED
    assert none.message == "r2 0.2000 on 3 rows"


def test_each_threshold_is_looked_at_and_a_missed_one_is_said_alone(performance: Any) -> None:
    scores = {"r2": (0.5, 0.6, 0.7), "gain": (0.5, 0.6, 0.7), "cost": (0.5, 0.6, 0.7)}
    result, _ = performance({"cost": 0.1, "r2": 0.65, "gain": 0.55}, **scores)
    assert result.status is FAILED
    assert result.message.count(";") == 1
    assert "may miss" not in result.message
    doubtful, _ = performance({"gain": 0.55, "r2": 0.1}, **scores)
    assert doubtful.status is WARNING
    assert "may miss 0.55" in doubtful.message
    with pytest.raises(ValidationSetupError, match="names b, z, which"):
        performance({"z": 1, "b": 1}, **scores)


def test_a_base_validator_says_its_name_threshold_and_severity() -> None:
    base = BaseValidator("mine", 3.0)
    result = base.create_result(PASSED, 4.0, "fine")
    assert (result.name, result.score, result.threshold) == ("mine", 4.0, 3.0)
    assert (result.details, result.severity) == ({}, base.severity)
    assert base.create_result(PASSED, 4.0, "x", {"a": {"b": 1}}).details == {"a": {"b": 1}}


def test_a_champion_that_cannot_be_compared_keeps_the_candidate_back() -> None:
    assert check_against_champion(evidence()) is None
    absent = check_against_champion(evidence(champion_error=ValueError("gone")))
    assert absent is not None
    assert absent.status is FAILED
    assert absent.message.startswith("the champion cannot score")

    class Broken:
        def __init__(self, error: Exception) -> None:
            self.error = error

        def __getattr__(self, name: str) -> Any:
            if name == "champion_predictions":
                raise self.error
            return getattr(evidence(champion=CHAMPION), name)

    for error in (KeyError("a"), TypeError("a"), ValueError("a"), ValidationSetupError("a")):
        found: Any = Broken(error)
        result = check_against_champion(found)
        assert result is not None
        assert result.status is FAILED
        assert result.message.startswith("version 7 cannot score")
    nothing = evidence(champion=CHAMPION, champion_predictions=None, champion_contract=None)
    assert check_against_champion(nothing) is None
    assert "cannot score" in champion_fault("x", ValueError("y")).message


CHAMPION = SimpleNamespace(version=SimpleNamespace(version="7"))


def test_a_clustering_has_no_checks_of_labels() -> None:
    clustering = evidence(contract=SimpleNamespace(has_target=False))
    for name in ("baseline", "performance", "stability", "bias", "group_thresholds"):
        assert CHECKS[name](clustering) is None


def test_what_the_settings_call_optional_is_marked() -> None:
    result = ValidationResult("a", FAILED, "no")
    assert settle(result, SimpleNamespace(optional=("a",))).optional  # type: ignore[arg-type]
    assert not settle(result, SimpleNamespace(optional=("b",))).optional  # type: ignore[arg-type]


def test_a_report_says_of_what_it_is() -> None:
    named = SimpleNamespace(version=SimpleNamespace(version="7"))
    report = make_report(evidence(model=named), [ValidationResult("a", PASSED, "fine")])
    assert (report.model, report.version, report.rows) == (CONTRACT.model_name, "7", 3)
    assert len(report.results) == 1
    assert make_report(evidence(), []).version == ""


@dataclasses.dataclass
class Rows:
    """As much of the evidence as `run_own` gives away."""

    rows: pd.DataFrame
    model: str = "model"
    truth: str = "truth"
    reference: str = "reference"
    contract: str = "contract"


class Own:
    """A check that returns, awaits or raises what the test says."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.given: dict[str, Any] = {}

    def validate(self, model: Any, data: Any, target: Any = None, **more: Any) -> Any:
        self.given = {"model": model, "target": target, **more}
        data["a"] = 0.0
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def run(validator: Any) -> tuple[ValidationResult, Rows]:
    found: Any = Rows(pd.DataFrame({"a": [1.0]}))
    return asyncio.run(run_own("mine", validator, found)), found


def test_a_check_of_ones_own_is_given_all_and_changes_nothing() -> None:
    answer = ValidationResult("mine", PASSED, "fine")
    own = Own(answer)
    result, found = run(own)
    assert result is answer
    assert found.rows["a"].tolist() == [1.0], "it has a copy"
    assert own.given["model"] == "model"
    assert (own.given["target"], own.given["contract"]) == ("truth", "contract")
    assert own.given["reference_data"] == "reference"

    async def later() -> ValidationResult:
        return answer

    assert run(Own(later()))[0] is answer


def test_a_check_of_ones_own_that_breaks_is_named_with_its_line() -> None:
    result, _ = run(Own(ZeroDivisionError("no")))
    assert (result.name, result.status) == ("mine", FAILED)
    line = Own.validate.__code__.co_firstlineno + 4
    assert "could not be made: ZeroDivisionError: no" in result.message
    assert f", line {line})" in result.message
    assert "'mine'" in str(result.fix)

    @gate
    def broken(evidence: Any) -> float:
        raise ZeroDivisionError("no")

    result, _ = run(broken)
    assert f", line {broken.function.__code__.co_firstlineno + 2})" in result.message
    result, _ = run(SimpleNamespace(validate=len))
    assert (result.status, ", line" in result.message) == (FAILED, False)
    result, _ = run(Own("passed"))
    assert (result.status, "returned a str" in result.message) == (FAILED, True)


def definitions(*gates: Any, **own: Any) -> Any:
    return SimpleNamespace(gates=gates, validators=own)


def test_a_name_is_one_checks_alone() -> None:
    @gate(name="mine")
    def mine(evidence: Any) -> float:
        return 1.0

    assert isinstance(mine, Gate)
    both: dict[str, Any] = {"other": "v", "mine": mine}
    in_place: dict[str, Any] = {"rows": "v"}
    assert own_checks(definitions(mine, other="v")) == both
    assert own_checks(definitions(rows="v")) == in_place, "in a built-in's place"
    with pytest.raises(ProjectDefinitionError, match="both have 'b'"):
        own_checks(definitions(a="v", b="w"), ["b", "c"])
    for taken in (
        (definitions(mine, mine), ()),
        (definitions(mine, mine="v"), ()),
        (definitions(mine), ["mine"]),
    ):
        with pytest.raises(ProjectDefinitionError, match="called 'mine' already"):
            own_checks(*taken)
    for name in ("rows", "data_drift", "data drift", "enough test rows", GROUPS_CHECK):
        with pytest.raises(ProjectDefinitionError, match="already"):
            own_checks(definitions(dataclasses.replace(mine, name=name)))
    with pytest.raises(ProjectDefinitionError, match="among the gates"):
        own_checks(definitions(run))


def test_a_validator_has_a_method() -> None:
    require_validator("a", Own(None))
    for wrong in (run, SimpleNamespace(validate=3), None):
        with pytest.raises(ValidationSetupError, match="without a method"):
            require_validator("a", wrong)


def report_of(*results: ValidationResult) -> Any:
    return SimpleNamespace(results=results)


def test_a_refusal_says_what_to_do() -> None:
    fixed = dataclasses.replace(ValidationResult("a", FAILED, "no"), fix="do this")
    fine = dataclasses.replace(ValidationResult("b", PASSED, "yes"), fix="do that")
    other = dataclasses.replace(fixed, fix="and this")
    few = ValidationResult(promote.ENOUGH_ROWS, FEW, "few", score=100, threshold=200)
    assert promote._way_out(report_of(fixed, fine, other)) == "do this; and this"
    assert promote._way_out(report_of(fixed, few)) == "do this"
    said = promote._way_out(report_of(fine, few))
    assert "of 100 test rows" in said
    assert "within 8 points" in said
    fewer = promote._way_out(report_of(dataclasses.replace(few, score=25)))
    assert "within 16 points" in fewer
    more = "bring more data or trials"
    assert promote._way_out(report_of(dataclasses.replace(few, score=0))).startswith(more)
    assert promote._way_out(report_of(dataclasses.replace(few, status=PASSED))).startswith(more)
    assert promote._way_out(report_of(ValidationResult("c", FAILED, "no"))).startswith(more)


def test_a_left_out_text_is_named_where_there_is_one() -> None:
    texts = {"a": f"{FREE_TEXT}, so", "b": "constant", "c": f"{FREE_TEXT}!"}
    contract: Any = SimpleNamespace(ignored=texts, file="f.yaml")
    said = promote._left_out_texts(contract)
    assert "the free text of a, c is left out" in said
    assert "{name: a, type: text}" in said
    contract.ignored = {"b": "constant"}
    assert promote._left_out_texts(contract) == ""
