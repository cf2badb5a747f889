"""Gates from YAML and from Python: what they judge, what they refuse, and how they break."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from goldpath import Evidence, Gate, Model, Project, gate, metric
from goldpath.contract import load_contract
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.own_definitions import check_definitions
from goldpath.judging.budgets import check_served_latency, check_size
from goldpath.judging.champion import CHAMPION_CHECK
from goldpath.judging.checks import CHECKS, RESERVED_NAMES
from goldpath.judging.evidence import StoredForm
from goldpath.judging.limits import check_limit, require_gates
from goldpath.judging.model_validator import ModelValidator
from goldpath.judging.own_checks import own_checks
from goldpath.judging.validation import validate_candidate
from goldpath.judging.validation_report import (
    ValidationResult,
    ValidationSeverity,
    ValidationStatus,
)
from goldpath.judging.validators import require_thresholds
from goldpath.learning.scoring import LoadedModel, Predictions
from goldpath.registry.stores.store import RunRecord
from goldpath.settings import Settings, TrainingSettings, ValidationSettings, load_settings
from goldpath.settings.errors import SettingsError
from goldpath.settings.validation import GateLimit

from .test_validation import CONTRACT, SPLIT, fit

PAGE = Path(__file__).parents[2] / "docs" / "validation.md"
PASSED, FAILED = ValidationStatus.PASSED, ValidationStatus.FAILED
WARNING, FEW = ValidationStatus.WARNING, ValidationStatus.NOT_ENOUGH_DATA
TRAINING = TrainingSettings(bootstrap_samples=200)


def evidence_of(
    right: np.ndarray, plan: np.ndarray, champion_right: np.ndarray | None = None, **more: Any
) -> Evidence:
    """Rows of which a model decides these rightly; every other label is yes."""
    truth = np.where(np.arange(len(right)) % 2 == 0, "yes", "no")

    def predictions(are_right: np.ndarray) -> Predictions:
        values = np.where(are_right, truth, np.where(truth == "yes", "no", "yes"))
        scores = np.where(values == "yes", 0.9, 0.1)
        return Predictions(values.tolist(), np.stack([1 - scores, scores], 1), scores.tolist())

    rows = pd.DataFrame({"usage": np.linspace(-1, 1, len(right)), "age": 30, "plan": plan})
    evidence = Evidence(
        model=LoadedModel(None, CONTRACT),
        rows=rows,
        truth=truth,
        predictions=predictions(right),
        training=TRAINING,
        train=SPLIT.train,
        **more,
    )
    if champion_right is not None:
        evidence = replace(evidence, champion=Fixed(predictions(champion_right)))
    return evidence


class Fixed(LoadedModel):
    """A champion that says what it was told."""

    def __init__(self, says: Predictions) -> None:
        super().__init__(None, CONTRACT)
        object.__setattr__(self, "says", says)

    def predict(self, rows: Any) -> Predictions:
        says: Predictions = self.says  # type: ignore[attr-defined]
        return says


def shares(**right: float) -> tuple[np.ndarray, np.ndarray]:
    """100 rows of each plan, this share of them decided rightly, with both labels alike."""
    marks = [np.arange(100) % 50 < share * 50 for share in right.values()]
    return np.concatenate(marks), np.repeat(list(right), 100)


FREE_IS_WORSE = shares(free=0.5, paid=0.9)
CHANCE = shares(free=0.76, paid=0.9)


@pytest.mark.parametrize(
    ("limit", "found", "status", "said"),
    [
        ({"at_least": 0.8}, FREE_IS_WORSE, FAILED, "all rows: accuracy at least 0.8, missed by"),
        ({"at_least": 0.6}, FREE_IS_WORSE, PASSED, "all rows: accuracy at least 0.6, kept by"),
        ({"at_least": 0.8, "by": "plan"}, FREE_IS_WORSE, FAILED, "plan = free: accuracy at least"),
        ({"at_least": 0.8, "by": "plan"}, CHANCE, WARNING, "missed by 0.0400 ± "),
        ({"at_least": 0.8, "by": "plan", "refuse": "missed"}, CHANCE, FAILED, "plan = free"),
        ({"at_least": 0.72, "by": "plan", "refuse": "not_proven"}, CHANCE, FAILED, "plan = free"),
        ({"at_least": 0.72, "by": "plan"}, CHANCE, PASSED, "kept 2 times, at the least kept by"),
        ({"at_least": 0.8, "where": {"plan": "paid"}}, FREE_IS_WORSE, PASSED, "plan = paid"),
        ({"at_least": 0.8, "where": {"plan": ["free", "paid"]}}, FREE_IS_WORSE, FAILED, "free or"),
        ({"at_least": 0.8, "where": {"usage": {"below": 0}}}, FREE_IS_WORSE, FAILED, "below 0"),
        ({"at_least": 0.8, "where": {"usage": {"at_least": 0.1}}}, FREE_IS_WORSE, PASSED, "from"),
        ({"at_most": 0.6}, FREE_IS_WORSE, FAILED, "all rows: accuracy at most 0.6, missed by"),
        ({"above_baseline": 0.15}, FREE_IS_WORSE, PASSED, "kept by"),
        ({"above_baseline": 0.45}, FREE_IS_WORSE, FAILED, "missed by"),
        ({"behind_champion": 0.0}, FREE_IS_WORSE, PASSED, "there is no champion to compare with"),
        ({"at_least": 0.5, "where": {"age": 31}}, FREE_IS_WORSE, FEW, "age = 31 (0 rows, 30"),
        ({"at_least": 0.5, "by": "plan", "minimum_rows": 101}, FREE_IS_WORSE, FEW, "101 needed"),
    ],
)
def test_a_limit_is_judged_on_all_rows_by_group_and_on_a_slice(
    limit: dict[str, Any],
    found: tuple[np.ndarray, np.ndarray],
    status: ValidationStatus,
    said: str,
) -> None:
    result = check_limit(GateLimit(metric="accuracy", **limit), evidence_of(*found))

    assert (result.status, said in result.message) == (status, True), result.message


def test_a_part_that_is_worse_than_the_champion_is_refused_although_the_whole_is_not() -> None:
    right, plan = FREE_IS_WORSE
    champion = shares(free=0.9, paid=0.5)[0]

    found = {
        by: check_limit(
            GateLimit(metric="accuracy", behind_champion=0.05, by=by),
            evidence_of(right, plan, champion),
        )
        for by in ("", "plan")
    }

    assert found[""].status is PASSED
    assert found["plan"].status is FAILED
    assert found["plan"].message.startswith("plan = free: accuracy behind champion 0.05, missed by")
    assert found["plan"].details["plan = free"] == {"rows": 100, "accuracy": 0.5, "champion": 0.9}


def test_of_an_error_less_is_better() -> None:
    right, plan = FREE_IS_WORSE
    champion = shares(free=0.9, paid=0.9)[0]
    limit = GateLimit(metric="brier", behind_champion=0.05)

    assert check_limit(limit, evidence_of(right, plan, champion)).status is FAILED
    assert check_limit(limit, evidence_of(champion, plan, right)).status is PASSED


def test_small_and_undefined_parts_are_named() -> None:
    right, plan = np.ones(240, dtype=bool), np.array(["free"] * 230 + ["paid"] * 10)
    limit = GateLimit(metric="accuracy", at_least=0.5, by="plan")
    result = check_limit(limit, evidence_of(right, plan))
    assert result.status is PASSED
    assert result.message.endswith("; not judged: plan = paid (10 rows, 30 needed)")

    evidence = evidence_of(right, plan)
    alone = replace(evidence, truth=np.full(240, "no"))
    limit = GateLimit(metric="recall", at_least=0.5)
    result = check_limit(limit, alone)
    assert result.status is FEW
    assert result.message == "all rows (recall is undefined on its 240 rows)"


def test_a_champion_that_cannot_score_the_rows_fails_the_comparison() -> None:
    class Broken(LoadedModel):
        def predict(self, rows: Any) -> Predictions:
            raise KeyError("plan")

    evidence = replace(evidence_of(*FREE_IS_WORSE), champion=Broken(None, CONTRACT))
    result = check_limit(GateLimit(metric="accuracy", behind_champion=0.05), evidence)
    assert result.status is FAILED
    assert "the champion cannot score these rows" in result.message


@pytest.mark.parametrize("severity", [ValidationSeverity.LOW, ValidationSeverity.HIGH])
@pytest.mark.parametrize("status", [FAILED, FEW])
def test_a_check_of_low_severity_only_warns(
    status: ValidationStatus, severity: ValidationSeverity
) -> None:
    result = ValidationResult("margin", status, "0.08", severity=severity)
    assert result.passed is (severity is ValidationSeverity.LOW)


def test_each_limit_of_a_gate_must_be_judged_and_the_undefined_value_is_named() -> None:
    calls_nobody = np.arange(200) % 2 == 1  # is right of those that are no
    evidence = evidence_of(*FREE_IS_WORSE, calls_nobody)
    limit = GateLimit(metric="precision", at_least=0.5, behind_champion=0.1)

    result = check_limit(limit, evidence)

    assert result.status is FEW
    assert result.message == (
        "behind champion could not be judged: all rows (the champion's precision is undefined on "
        "its 200 rows)"
    )
    missed = check_limit(limit.model_copy(update={"at_least": 0.99}), evidence)
    assert missed.status is FAILED
    assert "not judged: all rows (the champion's precision" in missed.message


def test_a_gate_says_which_of_its_limits_had_nothing_to_be_compared_with() -> None:
    limit = GateLimit(metric="accuracy", at_least=0.5, behind_champion=0.1)
    result = check_limit(limit, evidence_of(*FREE_IS_WORSE))
    assert result.status is PASSED
    assert result.message.endswith("; there is no champion to compare with")


@pytest.mark.parametrize(
    ("value", "limit", "status"),
    [
        (np.inf, {"at_most": 2.0}, FAILED),
        (-np.inf, {"at_least": 0.0}, FAILED),
        (np.inf, {"at_least": 0.0, "refuse": "not_proven"}, PASSED),
        (np.nan, {"at_most": 2.0}, FEW),
    ],
)
def test_an_infinite_value_is_judged(
    value: float, limit: dict[str, Any], status: ValidationStatus
) -> None:
    @metric()
    def burden(truth: np.ndarray, decided: np.ndarray) -> float:
        return value

    evidence = evidence_of(*FREE_IS_WORSE, definitions=Model(metrics=[burden]))
    result = check_limit(GateLimit(metric="burden", **limit), evidence)
    assert (result.status, result.score) == (status, None)


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ({"metric": "recal", "at_least": 0.5}, "'recal' is no metric"),
        ({"metric": "recall", "at_least": 0.5, "by": "regoin"}, "names the column 'regoin'"),
        ({"metric": "recall", "at_least": 0.5, "where": {"age": "old"}}, "age='old', which is no"),
        ({"metric": "recall", "at_least": 0.5, "name": "champion"}, "the name of a built-in check"),
    ],
)
def test_a_gate_that_went_wrong_after_the_training_refuses_with_line_and_fix(
    project: Settings, gate: dict[str, Any], said: str
) -> None:
    good = {"metric": "recall", "at_least": 0.01}
    file = project.root / "config" / "validation.yaml"
    file.write_text(yaml.safe_dump({"stability_folds": 0, "gates": [good, gate]}), "utf-8")

    report = validate_candidate(load_settings(project.root), MODEL, None, SPLIT, CONTRACT)

    (wrong,) = [each for each in report.results if not each.passed]
    assert wrong.status is FAILED
    assert said in wrong.message
    assert re.match(r"config/validation\.yaml:\d+: the gate ", wrong.message)
    assert "then run: promote" in wrong.fix


def test_a_champion_that_could_not_be_loaded_is_not_one_that_there_is_not(
    project: Settings,
) -> None:
    gone = ValueError("its files are gone")
    evidence = evidence_of(*FREE_IS_WORSE, champion_error=gone)
    result = check_limit(GateLimit(metric="accuracy", behind_champion=0.05), evidence)
    assert result.status is FAILED
    assert "its files are gone" in result.message

    @gate
    def fine(evidence: Evidence) -> bool:
        return True

    settings = project.model_copy(update={"validation": ValidationSettings(stability_folds=0)})
    own = {"champion": replace(fine, name="champion")}
    settings._project = Project(models={"small": lambda: Model(validators=own)})
    report = validate_candidate(settings, MODEL, None, SPLIT, CONTRACT, gone)
    assert report.result("champion").passed
    assert not report.result(CHAMPION_CHECK).passed
    assert not report.passed


@pytest.mark.parametrize(
    ("chosen", "rows"), [("Free", 0), ("free", 100), (True, 100), (["paid", True], 200)]
)
def test_a_slice_is_chosen_by_the_spelling_of_a_category(chosen: Any, rows: int) -> None:
    names = {"free": "true"} if chosen is True or isinstance(chosen, list) else {}
    plan = np.array([names.get(each, each) for each in FREE_IS_WORSE[1]])
    features = [
        each.model_copy(update={"categories": None, "closed": None})
        if each.name == "plan"
        else each
        for each in CONTRACT.features
    ]
    evidence = evidence_of(FREE_IS_WORSE[0], plan)
    evidence = replace(evidence, model=LoadedModel(None, CONTRACT.with_features(features, [])))
    limit = GateLimit(metric="accuracy", at_least=0.1, where={"plan": chosen})
    (details,) = check_limit(limit, evidence).details.values()
    assert details["rows"] == rows


# --- in Python ---


def judged(made: Gate, evidence: Evidence | None = None) -> ValidationResult:
    evidence = evidence or evidence_of(*FREE_IS_WORSE)
    return made.validate(evidence.model, evidence.rows, evidence.truth, evidence=evidence)


@pytest.mark.parametrize(
    ("verdict", "limits", "status", "said"),
    [
        (True, {}, PASSED, "Calls are few."),
        (np.bool_(False), {}, FAILED, "not so: Calls are few."),
        (0.3, {"at_most": 0.25}, FAILED, "0.3, at most 0.25"),
        (np.float32(0.2), {"at_most": 0.25, "at_least": 0.1}, PASSED, "at least 0.1 and at most"),
        ({"north": 0.1, "west": 0.4}, {"at_most": 0.25}, FAILED, "west: 0.4, at most 0.25"),
        ({"north": 0.1, "west": np.nan}, {"at_most": 0.25}, PASSED, "undefined: west"),
        ({}, {"at_most": 0.25}, FEW, "nothing could be judged"),
        (np.nan, {"at_most": 0.25}, FEW, "nothing could be judged"),
        ({"north": np.inf, "south": 0.2}, {"at_most": 0.25}, FAILED, "north: inf, at most 0.25"),
        (-np.inf, {"at_least": 0.25}, FAILED, "-inf, at least 0.25"),
    ],
)
def test_a_verdict_is_a_truth_a_figure_or_figures_by_name(
    verdict: Any, limits: dict[str, Any], status: ValidationStatus, said: str
) -> None:
    def few_calls(evidence: Evidence) -> Any:
        """Calls are few."""
        return verdict

    result = judged(gate(**limits)(few_calls))

    assert result.name == "few calls"
    assert (result.status, said in result.message) == (status, True), result.message


@pytest.mark.parametrize(
    ("verdict", "said"),
    [(None, "it returned None"), ("fine", "it returned 'fine'"), (0.3, "no at_least or at_most")],
)
def test_a_verdict_that_says_nothing_has_not_passed(
    project: Settings, verdict: Any, said: str
) -> None:
    @gate
    def odd(evidence: Evidence) -> Any:
        return verdict

    (result,) = run_with(project, odd)
    assert result.status is FAILED
    assert said in result.message


def run_with(project: Settings, *gates: Gate, **more: Any) -> list[ValidationResult]:
    """What the gate says of these in a project that hands them over."""
    settings = project.model_copy(
        update={"validation": ValidationSettings(stability_folds=0, minimum_group_rows=30)}
    )
    settings._project = Project(models={"small": lambda: Model(gates=gates)})
    report = validate_candidate(settings, MODEL, None, SPLIT, CONTRACT, **more)
    names = [each.name for each in gates]
    return [result for result in report.results if result.name in names]


MODEL = fit(SPLIT.train)


def test_a_gate_sees_the_rows_the_predictions_the_run_and_changes_nothing_for_others(
    project: Settings,
) -> None:
    seen: dict[str, Any] = {}

    @gate
    def vandal(evidence: Evidence) -> bool:
        evidence.rows["plan"] = "paid"
        return True

    @gate
    def looks(evidence: Evidence) -> bool:
        seen["plans"] = set(evidence.rows["plan"])
        seen["run"] = evidence.run.metrics["test_roc_auc"] if evidence.run else None
        seen["champion"] = evidence.champion_predictions
        return len(evidence.predictions.values) == len(evidence.rows) == len(evidence.truth)

    run = RunRecord("1", "", "FINISHED", False, {}, {"test_roc_auc": 0.8}, {}, "")
    found = run_with(project, vandal, looks, run=run)

    assert [result.passed for result in found] == [True, True]
    assert seen == {"plans": {"free", "paid"}, "run": 0.8, "champion": None}


def test_a_gate_that_raises_refuses_with_file_line_name_and_fix(project: Settings) -> None:
    @gate
    def reads_income(evidence: Evidence) -> bool:
        return bool(evidence.rows["income"].mean() > 0)

    (result,) = run_with(project, reads_income)

    assert not result.passed
    assert re.search(
        r"KeyError: 'income' \(.*test_gates\.py:\d+: reads_income, line \d+\)", result.message
    )
    assert result.fix == "correct the check 'reads income' in that line, then run: promote"


def test_add_validator_takes_a_gate_and_the_settings_gates_are_made_there_too() -> None:
    @gate(at_most=0.0, severity=ValidationSeverity.LOW)
    def calls(evidence: Evidence) -> float:
        return float(np.mean(np.asarray(evidence.predictions.values) == "yes"))

    settings = Settings(root=Path())
    limits = (GateLimit(metric="accuracy", at_least=0.99, name="nearly always right"),)
    settings = settings.model_copy(
        update={"validation": ValidationSettings(gates=limits), "training": TRAINING}
    )
    validator = ModelValidator(settings=settings)
    for name in ("stability", "latency", "size", "data_drift"):
        validator.remove_validator(name)
    validator.add_validator(calls.name, calls)

    report = validator.validate(model=MODEL, validation_data=SPLIT.test)

    assert report.result("calls").status is FAILED
    assert report.result("calls").passed, "of low severity"
    assert [error.split(":")[0] for error in report.errors] == ["nearly always right"]


def test_a_stored_version_is_weighed_whole_and_timed_as_it_serves() -> None:
    asked = []
    stored = StoredForm("compiled form", 3_000_000, lambda row: asked.append(dict(row)))
    limits = ValidationSettings(size_mb=2, served_latency_ms=100)
    evidence = evidence_of(*FREE_IS_WORSE, stored=stored, validation=limits)
    evidence.rows.loc[0, "usage"] = np.nan

    size, latency = check_size(evidence), check_served_latency(evidence)

    assert size.status is FAILED
    assert size.message == "3.00 MB in all files of the version, at most 2 MB"
    assert latency is not None
    assert latency.status is PASSED
    assert "by its compiled form (fastest of 15), at most 100 ms" in latency.message
    assert asked[0] == {"usage": None, "age": 30, "plan": "free"}
    assert check_served_latency(replace(evidence, stored=None)) is None


# --- refused before anything is fitted ---


def write_gates(project: Settings, text: str) -> Settings:
    file = project.root / "config" / "validation.yaml"
    keys = tuple(re.findall(r"^\w+:", text, re.MULTILINE))
    kept = [line for line in file.read_text("utf-8").splitlines() if not line.startswith(keys)]
    file.write_text("\n".join([*kept, text]) + "\n", encoding="utf-8")
    return load_settings(project.root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{metric: recal, at_least: 0.5}", "validation.gates='recal' is no metric"),
        ("{metric: recall, at_least: 0.5, by: county}", "names the column 'county'"),
        ("{metric: recall, at_least: 0.5, where: {contract: yearly}}", "contract='yearly', which"),
        ("{metric: recall, at_least: 0.5, where: {age: old}}", "age='old', which is no number"),
        ("{metric: recall, at_least: 0.5, where: {contract: {below: 3}}}", "a range of contract"),
    ],
)
def test_check_names_file_line_and_gate_of_what_cannot_be_judged(
    project: Settings, text: str, said: str
) -> None:
    settings = write_gates(project, f"gates:\n  - {{metric: recall, at_least: 0.1}}\n  - {text}")

    with pytest.raises(ProjectDefinitionError, match=re.escape(said)) as caught:
        check_definitions(settings, load_contract(settings.root))

    lines = (settings.root / "config" / "validation.yaml").read_text("utf-8").splitlines()
    assert caught.value.message.startswith(f"config/validation.yaml:{len(lines)}: the gate 'rec")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{metric: recall}", "the gate of recall has no limit"),
        ("{metric: recall, at_least: 1, by: age, where: {age: 3}}", "by and where both name age"),
        ("{metric: recall, atleast: 1}", "atleast"),
        ("{metric: recall, behind_champion: -1}", "behind_champion"),
        ("{metric: recall, at_least: .nan}", "at_least"),
        ("{metric: recall, at_least: 1, where: {age: {}}}", "give at_least, below or both"),
        ("{metric: a, at_least: 1}\n  - {metric: a, at_least: 1}", "two gates are called 'a at"),
    ],
)
def test_settings_of_a_gate_that_mean_nothing_are_refused(
    project: Settings, text: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        write_gates(project, f"gates:\n  - {text}")


def test_a_threshold_of_no_metric_is_refused_and_a_further_model_is_told_how_to_have_none(
    project: Settings,
) -> None:
    limits = ValidationSettings(thresholds={"recal": 0.5})
    undo = "; `thresholds: {}` there undoes the main model's"
    for model in ("", "revenue"):
        settings = project.model_copy(update={"validation": limits, "model": model})
        with pytest.raises(ProjectDefinitionError, match="recal") as caught:
            require_thresholds(settings, load_contract(project.root), Model())
        assert caught.value.fix.endswith(undo) is bool(model)


def test_check_lists_the_gates_and_refuses_what_is_none(project: Settings) -> None:
    @gate
    def fine(evidence: Evidence) -> bool:
        return bool(evidence)

    settings = write_gates(project, "gates: [{metric: recall, at_least: 0.1, by: region}]")
    settings._project = Project(models={"m": lambda: Model(gates=[fine])})
    found = check_definitions(settings, load_contract(settings.root))
    assert found.checks == ["recall at least 0.1 by region", "fine"]

    undecorated: Any = fine.function
    with pytest.raises(ProjectDefinitionError, match=r"test_gates.py:\d+: fine among the gates"):
        own_checks(Model(gates=[undecorated]))
    with pytest.raises(ProjectDefinitionError, match="a check is called 'fine' already"):
        own_checks(Model(gates=[fine, fine]))
    with pytest.raises(ProjectDefinitionError, match="a check is called 'size' already"):
        own_checks(Model(gates=[replace(fine, name="size")]))


def test_a_check_that_is_called_optional_and_is_none_is_refused(project: Settings) -> None:
    contract = load_contract(project.root)
    settings = write_gates(project, "optional: [data drift, served latency]")
    check_definitions(settings, contract)

    settings = write_gates(project, "optional:\n  - data drift\n  - data_drift")
    with pytest.raises(ProjectDefinitionError, match="no check is called 'data_drift'") as caught:
        check_definitions(settings, contract)

    lines = (settings.root / "config" / "validation.yaml").read_text("utf-8").splitlines()
    assert caught.value.message.startswith(f"config/validation.yaml:{len(lines)}: ")
    assert "data drift, data quality" in caught.value.fix


def test_no_gate_takes_the_name_of_a_built_in_check_or_of_another_gate(project: Settings) -> None:
    @gate
    def fine(evidence: Evidence) -> bool:
        return True

    contract = load_contract(project.root)
    assert {"data_drift", "data drift", "enough test rows", "bias", "size"} <= RESERVED_NAMES
    for name in RESERVED_NAMES:
        limits = ValidationSettings(gates=(GateLimit(metric="recall", at_least=0.1, name=name),))
        settings = project.model_copy(update={"validation": limits})
        with pytest.raises(ProjectDefinitionError, match="has the name of a built-in check"):
            require_gates(contract, settings, Model())
        with pytest.raises(ProjectDefinitionError, match="a check is called"):
            own_checks(Model(gates=[replace(fine, name=name)]))
        with pytest.raises(ProjectDefinitionError, match="a check is called"):
            own_checks(Model(gates=[replace(fine, name=name)]), [name])
    with pytest.raises(ProjectDefinitionError, match=r"both have 'margin'"):
        own_checks(Model(validators={"margin": fine}), ["margin"])
    assert set(own_checks(Model(validators=dict.fromkeys(CHECKS, fine)))) == set(CHECKS)


def test_a_gate_with_another_signature_is_refused_with_its_place() -> None:
    def two(model: Any, rows: Any) -> bool:
        return model is rows

    with pytest.raises(ProjectDefinitionError, match="takes one argument, the evidence") as caught:
        gate(two)  # type: ignore[arg-type]
    assert re.search(r"test_gates\.py:\d+: two: ", caught.value.message)


# --- the recipes of the page ---


def test_the_recipes_in_python_run_as_they_stand(project: Settings) -> None:
    blocks = re.findall(r"^```python$\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    (code,) = [block for block in blocks if "@gate" in block]
    code = code.replace('"contract"', '"plan"')  # of these tests' rows
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102
    gates = [each for each in names.values() if isinstance(each, Gate)]

    found = {result.name: result for result in run_with(project, *gates)}

    assert list(found) == ["share of calls", "no term left behind", "agrees with the champion"]
    assert found["share of calls"].threshold == 0.5
    assert set(found["no term left behind"].details) == {"free", "paid"}
    assert found["agrees with the champion"].passed


def test_the_recipe_in_yaml_is_taken_by_check(project: Settings) -> None:
    blocks = re.findall(r"^```yaml$\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    (text,) = [block for block in blocks if "\ngates:" in block]

    settings = write_gates(project, text)

    found = check_definitions(settings, load_contract(settings.root))
    assert found.checks[0] == "recall at least 0.5 by region"
    assert len(found.checks) == 4
