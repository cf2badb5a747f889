"""Metrics and checks of a project's own are tried by `check`, before anything is trained."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from goldpath import Evidence, Model, Project, gate, metric, row_feature
from goldpath.contract import EVENT_TIME, Contract, load_contract, parse_contract
from goldpath.features.learned import with_own_features
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.own_definitions import check_definitions, for_people
from goldpath.jobs.tried_judges import ROWS, made_up_rows, require_judges
from goldpath.judging.validation_report import ValidationResult, ValidationStatus
from goldpath.judging.validators import BaseValidator
from goldpath.settings import Settings

FILE = Path(__file__)
FEATURES = """
entity: customer
event_time: {column: at}
features:
  - {name: amount, type: number, minimum: -5, maximum: 5, nullable: true}
  - {name: visits, type: integer, minimum: 3}
  - {name: region, type: category, categories: [north, south, west]}
  - {name: note, type: text, nullable: true}
  - {name: active, type: boolean}
"""
TARGETS = {
    "binary": 'problem: classification\ntarget: {column: left, classes: ["no", "yes"]}',
    "several": "problem: classification\ntarget: {column: left, classes: [a, b, c]}",
    "number": "problem: regression\ntarget: {column: left}",
}


class Validator(BaseValidator):
    """Looks for a column that there is not."""

    def validate(self, model: Any, data: Any, target: Any = None, **_: Any) -> ValidationResult:
        """Look."""
        return ValidationResult("v", ValidationStatus.PASSED, f"{model} {target} {data['income']}")


@metric
def of_a_missing_column(rows: Any) -> float:
    return float(rows["income"].mean())


@metric
def of_a_missing_name(truth: Any) -> float:
    return float(undefined(truth))  # type: ignore[name-defined]  # noqa: F821


@metric
def of_nothing(truth: Any) -> float:
    return None  # type: ignore[return-value]


@gate(at_least=0.5)
def of_a_missing_attribute(evidence: Evidence) -> float:
    return float(evidence.scores.mean())  # type: ignore[attr-defined]


@gate
def says_nothing(evidence: Evidence) -> bool:  # type: ignore[return]
    evidence.rows.head()


@gate(at_least=0.0)
def divides(evidence: Evidence) -> float:
    return 1 / (len(evidence.rows) - ROWS)


@metric
def of_no_number(truth: Any) -> float:
    return float(truth[0])


def found(project: Settings, model: Model) -> dict[str, Any]:
    project._project = Project(models={"m": lambda: model})
    return for_people(check_definitions(project, load_contract(project.root)))


@pytest.mark.parametrize(
    ("model", "line", "said"),
    [
        (Model(metrics=[of_a_missing_column]), 'rows["income"]', "KeyError: 'income'"),
        (Model(metric=of_a_missing_name), "undefined(truth)", "NameError: name 'undefined'"),
        (Model(metrics=[of_nothing]), "", "TypeError: float"),
        (Model(gates=[of_a_missing_attribute]), "evidence.scores", "no attribute 'scores'"),
        (Model(gates=[says_nothing]), "", "it returned None: return True, False"),
        (Model(validators={"v": Validator("v")}), "data['income']", "KeyError: 'income'"),
    ],
    ids=["column", "name", "none", "attribute", "no verdict", "validator"],
)
def test_what_would_fail_on_any_rows_is_refused_with_file_line_and_fix(
    project: Settings, model: Model, line: str, said: str
) -> None:
    with pytest.raises(ProjectDefinitionError, match=said) as caught:
        found(project, model)

    assert_names(caught.value.message, line)
    assert "tenure_months" in caught.value.fix
    assert "event_time" in caught.value.fix


@pytest.mark.parametrize(
    ("model", "line", "said"),
    [
        (Model(gates=[divides]), "- ROWS", "ZeroDivisionError"),
        (Model(metrics=[of_no_number]), "truth[0]", "ValueError"),
    ],
)
def test_what_real_rows_may_do_without_is_said(
    project: Settings, model: Model, line: str, said: str
) -> None:
    (doubt,) = found(project, model)["doubtful"]

    assert_names(doubt, line)
    assert said in doubt
    assert doubt.endswith("training runs it again on real rows")


def test_a_metric_of_what_a_regression_has_not_is_refused(project: Settings) -> None:
    @metric
    def of_probability(probability: np.ndarray) -> float:
        return float(probability.mean())

    contract = contract_of("number")
    with pytest.raises(ProjectDefinitionError, match="ask for `decided`") as caught:
        require_judges(contract, project, Model(metrics=[of_probability]))

    assert_names(caught.value.message, "")
    assert require_judges(contract_of("binary"), project, Model(metrics=[of_probability])) == ()


def assert_names(message: str, text: str) -> None:
    """The file and the line in which it failed, where that is one of people's own."""
    assert re.search(rf"{FILE.name}:\d+: \w+: the (metric|check) .* failed", message)
    line = re.search(r" in line (\d+) on made-up rows", message)
    assert (line is not None) == bool(text)
    if line is not None:
        assert text in FILE.read_text("utf-8").splitlines()[int(line[1]) - 1]


def test_what_reads_all_that_there_is_passes_and_nothing_is_said(project: Settings) -> None:
    seen: list[Any] = []

    @metric(greater_is_better=False)
    def costs(truth: np.ndarray, probability: np.ndarray, decided: np.ndarray, rows: Any) -> float:
        missed = (truth == "yes") & (decided == "no")
        return float(np.sum(missed * rows["monthly_charges"] * probability))

    @gate(at_most=1e9)
    def looks(evidence: Evidence) -> dict[str, float]:
        assert evidence.run is not None
        assert evidence.champion is not None
        assert evidence.train is not None
        assert evidence.reference is not None
        assert evidence.champion.version is not None
        assert int(evidence.champion.version.version) == 1
        assert evidence.run.metrics.get("brier", 0.0) > 0
        assert evidence.run.tags.get("mlflow.user", "").lower()
        seen.append(evidence.champion.predict(evidence.rows.head(3)).values)
        right = np.asarray(evidence.predictions.values) == evidence.truth
        terms = evidence.rows["contract"].to_numpy()
        shares = {str(term): float(right[terms == term].mean()) for term in set(terms)}
        return {**shares, "logged": evidence.run.metrics["test_roc_auc"]}

    said = found(project, Model(metrics=[costs], gates=[looks]))

    assert "doubtful" not in said
    assert said["checks"] == ["looks"]
    assert len(seen[0]) == 3


@pytest.mark.parametrize("target", TARGETS)
def test_made_up_rows_are_such_as_the_contract_allows(target: str) -> None:
    contract = contract_of(target)

    rows = made_up_rows(contract)

    assert {*rows.columns} == {EVENT_TIME, "customer", *contract.feature_names, "left"}
    assert len(rows) == ROWS
    assert rows["amount"].isna().any()
    assert rows["note"].isna().any()
    assert rows["amount"].dropna().between(-5, 5).all()
    assert rows["amount"].std() > 2
    assert rows["visits"].dtype == "int64"
    assert rows["visits"].min() == 3
    assert set(rows["region"]) == {"north", "south", "west"}
    assert set(rows["active"]) == {True, False}
    known = rows["amount"].notna()
    assert (rows["twice"][known] == 2 * rows["amount"][known]).all()
    if target == "number":
        assert rows["left"].nunique() == ROWS
    else:
        assert set(rows["left"]) == set(contract.target.classes)


def contract_of(target: str) -> Contract:
    contract = parse_contract(
        f"dataset: shop\nsource: {{path: shop.csv}}\n{TARGETS[target]}\n{FEATURES}"
    )
    twice: Callable[[Any], Any] = lambda row: 2 * row["amount"]  # noqa: E731
    twice.__name__ = "twice"
    feature = row_feature(twice)
    return with_own_features(contract, Project(features=lambda: [feature]))
