"""What keeps a model back, what only warns, and what the report says about it."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

from goldpath.contract import Contract, ContractError, parse_contract
from goldpath.contract import dump_contract as dumped
from goldpath.judging.budgets import TIMED_PREDICTIONS
from goldpath.judging.checks import RESERVED_NAMES
from goldpath.judging.model_validator import ModelValidator
from goldpath.judging.validation import validate_candidate, write_report_files
from goldpath.judging.validation_report import (
    ValidationReport,
    ValidationResult,
    ValidationSetupError,
    ValidationSeverity,
    ValidationStatus,
)
from goldpath.judging.validators import BaseValidator
from goldpath.learning.families import FAMILIES
from goldpath.learning.frames import model_frame, target_values
from goldpath.learning.scoring import LoadedModel, ModelVersion, Predictions
from goldpath.learning.splitting import Split
from goldpath.settings import Settings, ValidationSettings

CONTRACT = Contract.model_validate(
    {
        "dataset": "churn",
        "problem": "classification",
        "source": {"path": "x.csv"},
        "target": {"column": "churned", "classes": ["no", "yes"]},
        "features": [
            {"name": "usage", "type": "number", "nullable": True},
            {"name": "age", "type": "integer", "minimum": 18, "maximum": 110},
            {"name": "plan", "type": "category", "categories": ["free", "paid"]},
        ],
    }
)
WHEN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PASSED, FAILED = ValidationStatus.PASSED, ValidationStatus.FAILED


def make_rows(rows: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    usage, age = random.normal(size=rows), random.integers(18, 80, rows)
    plan = random.choice(["free", "paid"], rows)
    share = 1 / (1 + np.exp(-(1.5 * usage + 0.02 * (age - 50) + (plan == "free") - 1.2)))
    return pd.DataFrame(
        {
            "usage": np.where(random.random(rows) < 0.05, np.nan, usage),
            "age": age,
            "plan": plan,
            "churned": np.where(random.random(rows) < share, "yes", "no"),
        }
    )


def fit(rows: pd.DataFrame, contract: Contract = CONTRACT) -> LoadedModel:
    family = FAMILIES["linear"]
    pipeline = family.build(contract, family.defaults, 0)
    pipeline.fit(model_frame(rows, contract), target_values(rows, contract))
    return LoadedModel(pipeline, contract, ModelVersion("churn", "3", "run", (), {}))


SPLIT = Split(train=make_rows(900, 1), test=make_rows(400, 2), rule="drawn apart")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return fit(SPLIT.train)


def with_limits(project: Settings, **limits: Any) -> Settings:
    return project.model_copy(update={"validation": ValidationSettings.model_validate(limits)})


def judge(
    settings: Settings, candidate: LoadedModel, split: Split = SPLIT, **more: Any
) -> ValidationReport:
    return validate_candidate(settings, candidate, None, split, candidate.contract, **more)


class FixedScores(LoadedModel):
    """A model that answers with given scores, whatever it is asked."""

    def __init__(self, scores: np.ndarray) -> None:
        super().__init__(None, CONTRACT)
        object.__setattr__(self, "scores", scores)

    def predict(self, rows: Any) -> Predictions:
        scores = np.resize(self.scores, len(rows))  # type: ignore[attr-defined]
        labels = list(np.where(scores > 0.5, "yes", "no"))
        return Predictions(labels, np.stack([1 - scores, scores], 1), list(scores))


def test_a_sound_model_passes_every_check_of_the_gate(
    project: Settings, model: LoadedModel
) -> None:
    report = validate_candidate(project, model, model, SPLIT, CONTRACT)
    assert report.overall_status is PASSED
    assert report.errors == []
    assert [result.name for result in report.results] == [
        "enough test rows",
        "predictions are usable",
        "beats the baseline",
        "not worse than the champion",
        "performance",
        "data quality",
        "data drift",
        "stability",
        "latency",
        "size",
    ]
    assert {result.name for result in report.results} <= RESERVED_NAMES


def test_few_test_rows_are_not_enough_data_with_the_number_that_is_needed(
    project: Settings, model: LoadedModel
) -> None:
    report = judge(project, model, replace(SPLIT, test=SPLIT.test.head(150)))
    assert report.overall_status is ValidationStatus.NOT_ENOUGH_DATA
    assert not report.passed
    assert report.errors == ["enough test rows: not enough data: 150 test rows, 200 needed"]
    # Drift cannot be judged either, but is optional.
    assert report.result("data drift").status is ValidationStatus.NOT_ENOUGH_DATA
    assert any("data drift" in warning for warning in report.warnings)


def test_missing_check_keeps_the_model_back_once_it_is_no_longer_optional(
    project: Settings, model: LoadedModel
) -> None:
    small = replace(SPLIT, test=SPLIT.test.head(210), train=SPLIT.train.head(120))
    assert judge(project, model, small).passed
    strict = with_limits(project, optional=[])
    assert judge(strict, model, small).overall_status is ValidationStatus.NOT_ENOUGH_DATA


def test_constant_infinite_and_missing_predictions_are_refused(project: Settings) -> None:
    for scores in (np.array([0.3]), np.array([0.2, np.nan]), np.array([0.2, np.inf])):
        report = judge(with_limits(project, stability_folds=0), FixedScores(scores))
        assert report.overall_status is FAILED
        assert report.result("predictions are usable").status is FAILED


def test_guessing_does_not_beat_the_baseline(project: Settings) -> None:
    scores = np.random.default_rng(0).random(400)
    settings = with_limits(project, stability_folds=0)
    report = judge(settings, FixedScores(scores))
    assert report.result("beats the baseline").status is FAILED


def test_candidate_that_cannot_score_its_rows_is_refused_with_the_reason(
    project: Settings, model: LoadedModel
) -> None:
    report = judge(project, model, replace(SPLIT, test=SPLIT.test.drop(columns="plan")))
    assert report.overall_status is FAILED
    assert "cannot score its test rows" in report.errors[0]
    assert "plan" in report.errors[0]


def test_worse_candidate_is_refused_and_named_by_the_interval(
    project: Settings, model: LoadedModel
) -> None:
    noise = np.random.default_rng(3).normal(size=400)
    weak = 1 / (1 + np.exp(-(0.5 * SPLIT.test["usage"].fillna(0).to_numpy() + noise)))
    report = validate_candidate(
        with_limits(project, stability_folds=0), FixedScores(weak), model, SPLIT, CONTRACT
    )
    result = report.result("not worse than the champion")
    assert result.status is FAILED
    assert "DeLong" in result.message
    assert "chance" not in result.message


def test_champion_that_cannot_be_loaded_or_cannot_score_blocks_the_gate(
    project: Settings, model: LoadedModel
) -> None:
    gone = judge(project, model, champion_error=ValueError("its files are gone"))
    assert "its files are gone" in gone.result("not worse than the champion").message
    features = (*CONTRACT.features, CONTRACT.features[0].model_copy(update={"name": "income"}))
    richer = replace(model, contract=CONTRACT.model_copy(update={"features": features}))
    report = validate_candidate(project, model, richer, SPLIT, CONTRACT)
    assert report.overall_status is FAILED
    assert "cannot score these rows" in report.errors[0]


def test_thresholds_refuse_doubt_warns_and_errors_have_a_largest_value(
    project: Settings, model: LoadedModel
) -> None:
    def status(**thresholds: float) -> ValidationStatus:
        report = judge(with_limits(project, thresholds=thresholds), model)
        return report.result("performance").status

    value = judge(project, model).result("performance").score
    assert value is not None
    assert status(roc_auc=0.6) is PASSED
    assert status(roc_auc=value - 0.001) is ValidationStatus.WARNING
    assert status(roc_auc=value) is ValidationStatus.WARNING, "at least includes the threshold"
    assert status(roc_auc=value + 0.001) is FAILED
    assert status(accuracy=0.5, log_loss=0.69) is PASSED
    assert status(log_loss=0.1) is FAILED
    with pytest.raises(ValidationSetupError, match="r2, which this problem does not have"):
        status(r2=0.5)


def test_values_outside_the_contract_fail_and_missing_ones_warn(
    project: Settings, model: LoadedModel
) -> None:
    strange = SPLIT.test.assign(age=SPLIT.test["age"].where(SPLIT.test.index % 20 > 0, 200))
    result = judge(project, model, replace(SPLIT, test=strange)).result("data quality")
    assert result.status is FAILED
    assert "age: 5.0% outside the contract" in result.message
    sparse = SPLIT.test.assign(usage=SPLIT.test["usage"].where(SPLIT.test.index % 3 == 0))
    result = judge(project, model, replace(SPLIT, test=sparse)).result("data quality")
    assert result.status is ValidationStatus.WARNING
    assert "usage: 68" in result.message


def test_budgets_of_latency_and_size_are_kept(project: Settings, model: LoadedModel) -> None:
    report = judge(with_limits(project, latency_ms=0.001, size_mb=0.0001), model)
    assert report.result("latency").status is FAILED
    assert report.result("size").status is FAILED
    assert report.result("size").passed is False
    assert f"(fastest of {TIMED_PREDICTIONS}), at most 0.001 ms" in report.result("latency").message


class Moody(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped here
    """Every second fit learns the rule upside down."""

    fits = 0

    def fit(self, frame: pd.DataFrame, target: np.ndarray) -> "Moody":
        Moody.fits += 1
        self.sign_ = 1 if Moody.fits % 2 else -1
        self.classes_ = np.unique(target)
        return self

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        share = 1 / (1 + np.exp(-self.sign_ * frame["usage"].fillna(0).to_numpy()))
        return np.stack([1 - share, share], 1)


def test_model_whose_quality_hangs_on_its_rows_fails_and_a_steady_one_does_not(
    project: Settings, model: LoadedModel
) -> None:
    moody = LoadedModel(
        Moody().fit(model_frame(SPLIT.train, CONTRACT), target_values(SPLIT.train, CONTRACT)),
        CONTRACT,
    )
    assert judge(project, moody).result("stability").status is FAILED
    # Folds of a steady model differ by chance only, which no limit turns into a failure.
    steady = judge(with_limits(project, stability_limit=1e-6), model).result("stability")
    assert steady.status is ValidationStatus.WARNING
    assert "chance may explain" in steady.message


def test_named_groups_are_compared(project: Settings) -> None:
    contract = CONTRACT.model_copy(update={"fairness_groups": ("plan", "age")})
    report = judge(project, fit(SPLIT.train, contract))
    details = report.result("bias").details
    assert "plan = free" in details
    assert "plan: largest difference" in details
    assert sum(name.startswith("age = ") for name in details) == 4


def test_groups_must_be_features_of_the_contract() -> None:
    text = dumped(CONTRACT)
    assert parse_contract(text + "fairness_groups: [plan]\n").fairness_groups == ("plan",)
    for wrong in ("[churned]", "[gender]", "[plan, plan]"):
        with pytest.raises(ContractError, match="fairness_groups names features with groups"):
            parse_contract(text + f"fairness_groups: {wrong}\n")


def result(status: ValidationStatus, **more: Any) -> ValidationResult:
    return ValidationResult("x", status, "y", **more)


@pytest.mark.parametrize(
    ("results", "overall"),
    [
        ([], ValidationStatus.NOT_ENOUGH_DATA),
        ([result(PASSED)], PASSED),
        ([result(PASSED), result(ValidationStatus.WARNING)], PASSED),
        ([result(FAILED), result(ValidationStatus.NOT_ENOUGH_DATA)], FAILED),
        ([result(FAILED, severity=ValidationSeverity.LOW)], PASSED),
        ([result(ValidationStatus.NOT_ENOUGH_DATA)], ValidationStatus.NOT_ENOUGH_DATA),
        ([result(ValidationStatus.NOT_ENOUGH_DATA, optional=True)], PASSED),
    ],
)
def test_verdict_follows_from_the_checks(
    results: list[ValidationResult], overall: ValidationStatus
) -> None:
    report = ValidationReport("churn", "3", 400, WHEN, tuple(results))
    assert report.overall_status is overall
    assert report.passed is (overall is PASSED)


class Threshold(BaseValidator):
    """One's own check, as the guide writes it."""

    def __init__(self, score: float, severity: ValidationSeverity) -> None:
        super().__init__("custom", 0.8, severity)
        self.score = score

    async def validate(
        self, model: LoadedModel, data: pd.DataFrame, target: Any = None, **kwargs: Any
    ) -> ValidationResult:
        await asyncio.sleep(0)
        status = PASSED if self.score >= self.threshold else FAILED
        return self.create_result(status, self.score, f"score: {self.score:.3f} of {len(data)}")


class Immediate(BaseValidator):
    """The same without async; keeps what it was given."""

    given: dict[str, Any]

    def validate(
        self, model: LoadedModel, data: pd.DataFrame, target: Any = None, **kwargs: Any
    ) -> ValidationResult:
        self.given = {"model": model, "data": data, "target": target, **kwargs}
        return self.create_result(PASSED, 1.0, "fine")


class Broken(BaseValidator):
    """A check that does not work."""

    def validate(
        self, model: LoadedModel, data: pd.DataFrame, target: Any = None, **kwargs: Any
    ) -> ValidationResult:
        raise KeyError("income")


def quick_validator() -> ModelValidator:
    validator = ModelValidator()
    for name in ("stability", "latency", "size"):
        validator.remove_validator(name)
    return validator


@pytest.mark.parametrize(
    ("score", "severity", "overall"),
    [
        (0.9, ValidationSeverity.MEDIUM, PASSED),
        (0.5, ValidationSeverity.MEDIUM, FAILED),
        (0.5, ValidationSeverity.LOW, PASSED),
    ],
)
def test_ones_own_check_counts_by_its_severity(
    score: float, severity: ValidationSeverity, overall: ValidationStatus, model: LoadedModel
) -> None:
    validator = quick_validator()
    validator.add_validator("custom", Threshold(score, severity))
    report = validator.validate(model=model, validation_data=SPLIT.test)
    assert report.overall_status is overall
    assert report.result("custom").score == score


def test_ones_own_check_is_given_model_rows_target_and_reference(model: LoadedModel) -> None:
    validator, own = quick_validator(), Immediate("own")
    validator.add_validator("own", own)
    target = SPLIT.test["churned"]
    validator.validate(
        model=model,
        validation_data=SPLIT.test.drop(columns="churned"),
        target=target,
        reference_data=SPLIT.train,
    )
    assert own.given["model"] is model
    assert len(own.given["data"]) == 400
    assert list(own.given["target"]) == list(target)
    assert own.given["reference_data"] is SPLIT.train


def test_check_that_breaks_has_not_passed_and_the_others_are_made(model: LoadedModel) -> None:
    validator = quick_validator()
    validator.add_validator("mine", Broken("mine"))
    report = validator.validate(model=model, validation_data=SPLIT.test)
    assert report.overall_status is FAILED
    (error,) = report.errors
    assert error.startswith("mine: could not be made: KeyError: 'income' (")
    assert re.search(r"test_validation\.py:\d+: validate, line \d+\)$", error)
    assert report.result("performance").passed


def test_what_has_no_validate_method_is_not_taken() -> None:
    with pytest.raises(ValidationSetupError, match="without a method `validate`"):
        ModelValidator().add_validator("odd", object())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"validation_data": SPLIT.test.drop(columns="age")}, "the rows lack age"),
        ({"validation_data": SPLIT.test.drop(columns="churned")}, "the rows lack churned"),
        ({"validation_data": SPLIT.test.head(0)}, "there are no rows"),
        ({"validation_data": SPLIT.test, "target": ["no"]}, "400 rows and 1 targets"),
        ({"validation_data": SPLIT.test, "target": ["maybe"] * 400}, "holds maybe"),
        ({"validation_data": SPLIT.test, "target": [None] * 400}, "400 rows have no target"),
    ],
)
def test_rows_that_do_not_fit_are_an_error_that_names_them(
    arguments: dict[str, Any], said: str, model: LoadedModel
) -> None:
    with pytest.raises(ValidationSetupError, match=said):
        ModelValidator().validate(model=model, **arguments)


def test_validating_nothing_is_an_error() -> None:
    with pytest.raises(ValidationSetupError, match="no model to validate"):
        ModelValidator().validate("churn", "3", validation_data=SPLIT.test)


def test_a_server_goes_on_serving_while_a_model_is_validated(model: LoadedModel) -> None:
    async def both() -> tuple[ValidationReport, int]:
        job = asyncio.create_task(
            quick_validator().validate_model(model=model, validation_data=SPLIT.test)
        )
        turns = 0
        while not job.done():
            await asyncio.sleep(0.001)
            turns += 1
        return job.result(), turns

    report, turns = asyncio.run(both())
    assert report.passed
    assert turns > 3


class Reader(HTMLParser):
    """Collects elements, and text outside of the style sheet."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        assert not {"src", "href"} & {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_page_is_whole_by_itself_and_shows_hostile_text_as_text() -> None:
    hostile = "<script>alert(1)</script>"
    bad = ValidationResult(
        hostile, FAILED, f"{hostile} 'x' & \"y\"", details={hostile: {hostile: hostile, "v": 0.5}}
    )
    page = ValidationReport("churn", "3", 400, WHEN, (bad, result(PASSED))).to_html()
    read = Reader(page)
    assert "script" not in read.elements
    assert read.text.count(hostile) >= 4
    assert "FAILED" in read.text
    assert "width=device-width" in page


def test_json_is_strict_and_holds_the_verdict() -> None:
    odd = result(ValidationStatus.NOT_ENOUGH_DATA, score=float("nan"), threshold=float("inf"))
    report = ValidationReport("churn", "3", 400, WHEN, (odd,))
    values = json.loads(report.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert values["overall_status"] == "not enough data"
    assert values["results"][0]["score"] is None
    assert values["errors"] == ["x: not enough data: y"]


def test_report_files_are_written_whole(project: Settings, tmp_path: Path) -> None:
    report = ValidationReport("churn", "3", 400, WHEN, (result(PASSED),))
    page, values = write_report_files(report, tmp_path / "reports")
    assert page.read_text().endswith("</html>\n")
    assert json.loads(values.read_text())["model"] == "churn"
    assert len(list((tmp_path / "reports").iterdir())) == 2
