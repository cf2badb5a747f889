"""The validator and version parts of the field's MLOps guide, step by step, on our classes.

Differences: the registry is MLflow, so `model_id` is the registered model's name; a check of one's
own is given our loaded model. The flow from the guide's chapter "Fluxo completo" ends here at the
decision whether to deploy.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest

from goldpath.contract import Contract
from goldpath.judging.model_validator import ModelValidator, create_model_validator
from goldpath.judging.validation_report import (
    ValidationReport,
    ValidationResult,
    ValidationSetupError,
    ValidationSeverity,
    ValidationStatus,
)
from goldpath.judging.validators import BaseValidator
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import read_gold
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.splitting import split_rows
from goldpath.registry.layout import SNAPSHOT_TAG
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.versions import VersionManager

from ..conftest import Trained

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trained")]


@dataclass(frozen=True)
class Setting:
    """What the guide's snippets have at hand."""

    registry: MLflowManager
    contract: Contract
    model_id: str
    version: str
    test_data: pd.DataFrame
    test_target: pd.Series
    historical_data: pd.DataFrame


@pytest.fixture(scope="module")
def setting(trained: Trained) -> Setting:
    registry = MLflowManager(trained.settings, trained.contract)
    version = registry.version(trained.candidate.model_version)
    rows = read_gold(
        open_lakehouse(trained.settings), trained.contract, int(version.tags[SNAPSHOT_TAG])
    )
    split = split_rows(rows, trained.contract, trained.settings.training)
    target = trained.contract.target.column
    return Setting(
        registry,
        trained.contract,
        trained.contract.model_name,
        version.version,
        split.test.drop(columns=target),
        split.test[target],
        split.train.drop(columns=target),
    )


def validate(validator: ModelValidator, setting: Setting, **more: Any) -> ValidationReport:
    async def main() -> ValidationReport:
        return await validator.validate_model(
            model_id=setting.model_id,
            version=setting.version,
            validation_data=setting.test_data,
            target=setting.test_target,
            **more,
        )

    return asyncio.run(main())


def test_validator_awaits_a_report_that_approves_the_model(setting: Setting) -> None:
    validator = ModelValidator(setting.registry)
    report = validate(validator, setting, reference_data=setting.historical_data)
    assert report.overall_status == ValidationStatus.PASSED, report.errors
    assert report.errors == []
    assert (report.model, report.version) == (setting.model_id, setting.version)
    made = {result.name for result in report.results}
    assert {"performance", "data drift", "data quality"} <= made


def test_flow_without_reference_data_ends_in_a_decision(setting: Setting) -> None:
    report = validate(create_model_validator(setting.registry), setting)
    if report.overall_status != ValidationStatus.PASSED:
        pytest.fail("the model did not pass validation")


def test_stability_is_checked_where_the_historical_data_holds_the_target(
    setting: Setting, trained: Trained
) -> None:
    history = setting.historical_data.assign(**{setting.contract.target.column: "no"})
    history.loc[::3, setting.contract.target.column] = "yes"
    report = validate(ModelValidator(setting.registry), setting, reference_data=history)
    assert report.result("stability").score is not None


def test_rejected_model_says_why(setting: Setting) -> None:
    validator = ModelValidator(setting.registry)
    shuffled = setting.test_target.sample(frac=1, random_state=0).to_numpy()
    report = asyncio.run(
        validator.validate_model(
            model_id=setting.model_id,
            version=setting.version,
            validation_data=setting.test_data.head(50),
            target=shuffled[:50],
        )
    )
    assert report.overall_status != ValidationStatus.PASSED
    assert any("200 needed" in error for error in report.errors)


class CustomValidator(BaseValidator):
    """As the guide's chapter on validators of one's own has it."""

    def __init__(self) -> None:
        super().__init__("custom", 0.8, ValidationSeverity.MEDIUM)

    async def validate(
        self, model: LoadedModel, data: pd.DataFrame, target: Any = None, **kwargs: Any
    ) -> ValidationResult:
        score = custom_validation_logic(model, data)
        status = ValidationStatus.PASSED if score >= self.threshold else ValidationStatus.FAILED
        message = f"Custom validation score: {score:.3f}"
        return self.create_result(status, score, message)


def custom_validation_logic(model: LoadedModel, data: pd.DataFrame) -> float:
    """The share of rows that get the same answer twice."""
    first, second = model.predict(data), model.predict(data)
    return sum(a == b for a, b in zip(first.values, second.values, strict=True)) / len(data)


def test_custom_validator_is_added_and_counts(setting: Setting) -> None:
    validator = ModelValidator(setting.registry)
    validator.add_validator("custom", CustomValidator())
    report = validate(validator, setting)
    assert report.result("custom").message == "Custom validation score: 1.000"
    assert report.overall_status == ValidationStatus.PASSED


def test_model_of_another_name_is_an_error(setting: Setting) -> None:
    with pytest.raises(ValidationSetupError, match="'model_123'"):
        ModelValidator(setting.registry).validate(
            model_id="model_123", version="1", validation_data=setting.test_data
        )


def test_version_manager_suggests_the_next_version() -> None:
    version_manager = VersionManager()
    context = {"performance_improvement": 0.1, "breaking_change": False, "new_feature": True}
    new_version, reason = version_manager.suggest_version("1.0.0", context)
    assert new_version == "1.1.0"
    assert reason
    assert version_manager.compare(new_version, "1.0.0") > 0
    assert version_manager.is_compatible("1.0.0", new_version)
