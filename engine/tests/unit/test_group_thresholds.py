"""Thresholds by group: a rate is alike in all groups, wherever the version decides."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin

from goldpath.compiled.arrays import score_arrays
from goldpath.compiled.compiler import compile_pipeline
from goldpath.compiled.parity import draw_rows, prove_parity
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract, GroupThresholds, dump_contract, parse_contract
from goldpath.errors import NotEnoughDataError
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.batch.answer_columns import answer_columns
from goldpath.jobs.batch.file_scorer import BatchScorer
from goldpath.jobs.models.differing_settings import _unfit
from goldpath.jobs.training.results import Found
from goldpath.judging import fairness
from goldpath.judging.card import _decisions
from goldpath.judging.fairness import GROUPS_CHECK, check_group_thresholds
from goldpath.judging.validation_report import ValidationStatus
from goldpath.learning.decision.choice import (
    Decided,
    chosen_decision,
    decided_by,
    deciding_as,
    needs_predictions,
    require_tunable,
)
from goldpath.learning.decision.chosen import with_chosen_metrics
from goldpath.learning.decision.groups import described, names_of
from goldpath.learning.decision.threshold import rule_of
from goldpath.learning.scoring import LoadedModel
from goldpath.project import Model
from goldpath.registry.stored_result import result_as_json, result_from_json
from goldpath.serving.answers.own_fields import Prediction, answer_fields
from goldpath.serving.predictor import score_rows
from goldpath.settings import DecisionSettings, Settings, SettingsError, TrainingSettings
from goldpath.settings.loading import load_settings

from ..api.examples import contract_of, fitted, random_rows
from ..locations import ENGINE

OPPORTUNITY, PARITY = "equal_opportunity", "demographic_parity"
PEOPLE = parse_contract("""
dataset: loans
problem: classification
source: {path: loans.csv}
target: {column: repaid, classes: ["no", "yes"]}
features:
  - {name: income, type: number}
  - {name: district, type: category, nullable: true}
  - {name: member, type: boolean, nullable: true}
""")
TABLES = contract_of("binary")
ROWS = random_rows(TABLES, 80, seed=5)


def people(rows: int = 4_000, seed: int = 3) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """Truth, scores that are lower for the south, and rows of whom some have no district."""
    random = np.random.default_rng(seed)
    district = random.choice(
        np.array(["north", "south", "tiny", None]), rows, p=[0.5, 0.4, 0.02, 0.08]
    )
    base = np.where(district == "south", -1.0, 0.2)
    scores = 1 / (1 + np.exp(-(base + random.normal(0, 1.5, rows))))
    truth = np.where(random.uniform(size=rows) < scores, "yes", "no")
    return truth, scores, pd.DataFrame({"income": scores, "district": district})


def asked(criterion: str = OPPORTUNITY, column: str = "district", **more: Any) -> DecisionSettings:
    line: dict[str, str] = {} if "threshold" in more else {"tune_for": "accuracy"}
    own: dict[str, Any] = {
        key: more.pop(key) for key in ("tolerance", "minimum_rows") if key in more
    }
    groups = {"column": column, "criterion": criterion, **own}
    return DecisionSettings.model_validate({**line, "groups": groups, **more})


def decided(
    decision: DecisionSettings, truth: np.ndarray, scores: np.ndarray, rows: pd.DataFrame
) -> Decided:
    model = with_chosen_metrics(Model(), PEOPLE, TrainingSettings(), decision)
    require_tunable(PEOPLE, decision, model)
    assert needs_predictions(decision)
    return chosen_decision(PEOPLE, decision, model, truth, scores, rows)


def rates_of(
    found: Decided, truth: np.ndarray, scores: np.ndarray, rows: pd.DataFrame
) -> dict[str, float]:
    """The rate of each group with a threshold, by the rule that the version applies."""
    assert found.groups is not None
    rule = rule_of(found.of(PEOPLE))
    called = rule.labels(np.column_stack([1 - scores, scores]), rule.lines_of(rows)) == 1
    counted = truth == "yes" if found.groups.criterion == OPPORTUNITY else np.ones(len(truth), bool)
    names = rows[found.groups.column].to_numpy()
    return {name: called[counted & (names == name)].mean() for name in found.groups.thresholds}


# --- found ---


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 1000),
    st.sampled_from([OPPORTUNITY, PARITY]),
    st.sampled_from([0.01, 0.02, 0.1]),
    st.sampled_from([{}, {"threshold": 0.4}, {"values": {"tp": 5, "fp": -2}, "tune_for": "value"}]),
)
def test_the_rate_of_all_groups_is_within_the_tolerance_on_the_rows_of_the_tuning(
    seed: int, criterion: str, tolerance: float, line: dict[str, Any]
) -> None:
    data = people(3_000, seed)

    found = decided(asked(criterion, tolerance=tolerance, **line), *data)

    assert found.groups is not None
    assert found.groups.gaps is not None
    rates = [*rates_of(found, *data).values()]
    assert len(rates) == 2, "with one threshold they are far apart"
    assert max(rates) - min(rates) <= tolerance + 1e-9
    assert max(rates) - min(rates) == pytest.approx(found.groups.gaps[1])
    assert found.groups.gaps[0] > tolerance
    assert decided(asked(criterion, tolerance=tolerance, **line), *data) == found, "no chance in it"


@pytest.mark.parametrize("criterion", [OPPORTUNITY, PARITY])
def test_within_the_tolerance_no_other_thresholds_are_better(criterion: str) -> None:
    truth, scores, rows = data = people(1_500)
    found = decided(asked(criterion), *data)
    assert found.groups is not None
    names, counted = rows["district"].to_numpy(), np.ones(len(truth), dtype=bool)
    if criterion == OPPORTUNITY:
        counted = truth == "yes"

    def of(name: str) -> tuple[np.ndarray, np.ndarray]:
        """Right decisions and the rate of a group, at many thresholds."""
        mine = names == name
        right = [((scores[mine] > t) == (truth[mine] == "yes")).sum() for t in lines]
        return np.array(right), np.array([(scores[mine & counted] > t).mean() for t in lines])

    lines = np.linspace(0.01, 0.99, 99)
    (north, of_north), (south, of_south) = of("north"), of("south")
    alike = np.abs(of_north[:, None] - of_south[None, :]) <= found.groups.tolerance
    best = np.where(alike, north[:, None] + south[None, :], 0).max()
    rule = rule_of(found.of(PEOPLE))
    called = rule.labels(np.column_stack([1 - scores, scores]), rule.lines_of(rows)) == 1
    ours = (called == (truth == "yes"))[np.isin(names, ["north", "south"])].sum()
    assert ours >= 0.995 * best


@pytest.mark.parametrize("criterion", [OPPORTUNITY, PARITY])
def test_thresholds_without_a_draw_are_about_as_good_as_fairlearns(criterion: str) -> None:
    postprocessing = pytest.importorskip("fairlearn.postprocessing")
    truth, scores, rows = people()
    known = np.isin(rows["district"].to_numpy(), ["north", "south"])
    truth, scores, rows = truth[known], scores[known], rows[known]
    found = decided(asked(criterion), truth, scores, rows)
    rule, positive = rule_of(found.of(PEOPLE)), truth == "yes"
    ours = scores > rule.lines_of(rows)

    rate = {OPPORTUNITY: "true_positive_rate_parity", PARITY: "demographic_parity"}[criterion]
    theirs = postprocessing.ThresholdOptimizer(
        estimator=Known().fit(scores),
        constraints=rate,
        objective="accuracy_score",
        prefit=True,
        predict_method="predict_proba",
        tol=0.02,
    )
    theirs.fit(scores[:, None], positive, sensitive_features=rows["district"])
    share = theirs._pmf_predict(scores[:, None], sensitive_features=rows["district"])[:, 1]

    assert ((share > 0.001) & (share < 0.999)).any(), "it draws"
    right = np.where(positive, share, 1 - share).mean()
    assert (ours == positive).mean() > right - 0.005


class Known(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Its probabilities are its input."""

    def fit(self, _: np.ndarray) -> "Known":
        self.classes_ = np.array([False, True])
        return self

    def predict_proba(self, scores: np.ndarray) -> np.ndarray:
        return np.column_stack([1 - scores[:, 0], scores[:, 0]])


def test_where_groups_are_alike_none_gets_a_threshold_of_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth, scores, rows = people()
    rows = rows.assign(district=np.where(np.arange(len(rows)) % 2, "north", "south"))

    found = decided(asked(tolerance=0.1), truth, scores, rows)

    assert found.groups is not None
    assert found.groups.thresholds == {}
    assert rule_of(found.of(PEOPLE)).lines_of(rows) is None
    assert "no thresholds by district" in " ".join(capsys.readouterr().err.split())


def test_small_groups_others_and_rows_without_a_value_have_the_common_threshold(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = people()

    found = decided(asked(PARITY, minimum_rows=200), *data)

    assert found.groups is not None
    assert set(found.groups.thresholds) == {"north", "south"}
    tiny = int((data[2]["district"] == "tiny").sum())
    assert found.groups.small == {"tiny": tiny}
    rule = rule_of(found.of(PEOPLE))
    for value in ("tiny", "west", None, float("nan"), pd.NA):
        assert rule.line(value) == found.threshold
    assert rule.line("south") == found.groups.thresholds["south"] != found.threshold
    said = " ".join(capsys.readouterr().err.split())
    missing = int(data[2]["district"].isna().sum())
    assert f"too few rows for a threshold of their own: tiny ({tiny})" in said
    assert f"{missing} rows without a value" in said


def test_with_fewer_than_two_large_groups_the_training_says_that_nothing_is_alike() -> None:
    found = decided(asked(minimum_rows=3_000), *people())
    assert found.groups is not None
    assert (found.groups.thresholds, found.groups.gaps) == ({}, None)
    assert "fewer than two groups have enough rows" in described(found.groups, 0.5)


def test_a_column_of_many_values_is_refused_where_they_are_groups_and_cut_short_where_not() -> None:
    truth, scores, rows = people(6_000)
    rows = rows.assign(district=[f"d{number % 60:02}" for number in range(len(rows))])
    with pytest.raises(ProjectDefinitionError, match="'district' has 60 groups of 90 rows or more"):
        decided(asked(PARITY, minimum_rows=90), truth, scores, rows)

    rows.loc[:2_999, "district"] = ["north", "south"] * 1_500
    found = decided(asked(PARITY, tolerance=0.5, minimum_rows=90), truth, scores, rows)

    assert found.groups is not None
    assert len(found.groups.small) == 50
    said = described(found.groups, 0.5)
    assert "d09 (50) and 40 more" in said
    details = check_group_thresholds(evidence(found))
    assert details is not None
    assert [*details.details][-2:] == ["(missing)", "(others)"]


def test_the_groups_of_a_boolean_are_true_and_false() -> None:
    truth, scores, rows = people()
    rows = rows.assign(member=(rows["district"] == "north").astype("boolean"))

    found = decided(asked(PARITY, "member"), truth, scores, rows)

    assert found.groups is not None
    lines = found.groups.thresholds
    assert set(lines) == {"true", "false"}
    rule = rule_of(parse_contract(dump_contract(found.of(PEOPLE))))
    assert [rule.line(each) for each in (True, 1.0, np.float64(1.0))] == [lines["true"]] * 3
    assert [rule.line(each) for each in (False, 0.0, 0)] == [lines["false"]] * 3
    assert rule.line(float("nan")) == found.threshold


def test_a_tolerance_that_no_thresholds_keep_is_refused() -> None:
    rows = pd.DataFrame({"district": ["north"] * 100 + ["south"] * 100})
    truth = np.array(["yes", "no"] * 100)
    scores = np.concatenate([[0.9, 0.1] * 50, [0.9] * 60, [0.1] * 40])
    decision = asked(PARITY, threshold=0.5, minimum_rows=50)

    with pytest.raises(
        NotEnoughDataError, match=r"selection rate of its groups within 0\.02"
    ) as it:
        decided(decision, truth, scores, rows)
    assert "groups.tolerance" in it.value.fix


def test_the_documented_settings_ask_for_groups() -> None:
    page = (ENGINE / "docs" / "models.md").read_text(encoding="utf-8")
    block = page.split("### Thresholds by group")[1].split("```yaml")[1].split("```")[0]
    found = DecisionSettings.model_validate(yaml.safe_load(block)).groups
    assert found is not None
    assert (found.column, found.tolerance, found.minimum_rows) == ("region", 0.02, 100)


def test_groups_that_have_no_rate_near_that_of_all_meet_at_the_next_one() -> None:
    """All together: 0.45; nearest to it are 0.5 and 0.4, which are too far apart."""
    north, south = np.repeat([0.9, 0.1], [500, 500]), np.repeat([0.9, 0.6, 0.1], [400, 120, 480])
    scores = np.concatenate([north, south])
    rows = pd.DataFrame({"district": ["north"] * 1000 + ["south"] * 1000})
    truth = np.where(scores > 0.5, "yes", "no")

    found = decided(asked(PARITY, threshold=0.7, tolerance=0.03), truth, scores, rows)

    assert rates_of(found, truth, scores, rows) == {"north": 0.5, "south": 0.52}


# --- stored ---


def with_groups(contract: Contract, column: str, lines: dict[str, float]) -> Contract:
    groups = GroupThresholds(column, "demographic_parity", 0.02, lines, {}, (0.2, 0.01), "f1_macro")
    return contract.with_parts(decision_threshold=0.5, decision_groups=groups)


def test_it_is_a_part_of_the_contract_that_is_signed_and_of_a_stages_result() -> None:
    known = with_groups(PEOPLE, "member", {"true": 0.31, "false": 0.1 + 0.2})
    assert parse_contract(dump_contract(known)) == known
    assert decided_by(known).of(PEOPLE) == known
    assert Decided().of(known) == PEOPLE
    assert deciding_as(PEOPLE, known) == PEOPLE.with_threshold(0.5)
    assert known.rules == PEOPLE.rules
    stage = Found("linear", {}, 0.5, (), 1, 0, 1, "", None, 0.5, groups=known.decision_groups)
    assert result_from_json(Found, result_as_json(stage), "stage").decided == decided_by(known)


@pytest.mark.parametrize(
    ("column", "threshold", "said"),
    [
        ("income", 0.5, "no category or boolean 'income'"),
        ("member", None, "needs a decision_thres"),
    ],
)
def test_a_contract_refuses_groups_that_no_row_has(
    column: str, threshold: float | None, said: str
) -> None:
    groups = GroupThresholds(column, "equal_opportunity", 0.02, {"true": 0.3}, {})
    with pytest.raises(ValueError, match=said):
        PEOPLE.with_parts(decision_threshold=threshold, decision_groups=groups)


# --- applied ---

MEDIAN = float(np.median(fitted("binary").predict(ROWS).scores))
CASES = {
    "category": ("país.über", {"north": MEDIAN - 0.02, "south": MEDIAN + 0.02}),
    "boolean": ("copy", {"true": MEDIAN - 0.02, "false": MEDIAN + 0.02}),
}


@pytest.mark.parametrize("kind", CASES)
def test_pipeline_compiled_model_service_and_batch_decide_alike(kind: str) -> None:
    column, lines = CASES[kind]
    contract = with_groups(TABLES, column, lines).with_parts(decision_threshold=MEDIAN)
    plain = fitted("binary")
    model = LoadedModel(plain.pipeline, contract, plain.version)
    compiled = CompiledModel(compile_pipeline(plain.pipeline, contract), contract, plain.version)
    names = [{True: "true", False: "false"}.get(row[column], row[column]) for row in ROWS]
    wanted = [lines.get(name, MEDIAN) for name in names]
    scores = plain.predict(ROWS).scores
    expected = ["yes" if score > line else "no" for score, line in zip(scores, wanted, strict=True)]
    assert expected != ["yes" if score > MEDIAN else "no" for score in scores]
    assert len(set(wanted)) == 3

    kinds = {"boolean": pa.bool_(), "category": pa.string(), "integer": pa.int64()}
    schema = pa.schema([(f.name, kinds.get(f.type, pa.float64())) for f in TABLES.features])
    table = pa.Table.from_pylist(ROWS, schema)
    for each in (model, compiled):
        for rows in (ROWS, table, table.to_pandas()):
            found = each.predict(rows)
            assert found.values == expected
            assert found.lines == wanted
        scored, _ = BatchScorer(each, TABLES, "1").score(table.combine_chunks().to_batches()[0], 0)
        assert scored.column("prediction").to_pylist() == expected
        assert scored.column("decision").to_pylist() == expected
        assert scored.column("threshold").to_pylist() == wanted
    served = score_rows(compiled, [dict(row) for row in ROWS])
    assert [(row.value, row.line) for row in served] == list(zip(expected, wanted, strict=True))

    def line(row: Any, prediction: Prediction) -> float:
        return float(prediction.threshold or 0)

    columns = answer_columns(answer_fields([line]), table, found, contract, "1")
    assert [column.to_pylist() for _, column in columns] == [wanted]


def test_the_proof_of_a_compiled_form_looks_at_the_groups_decisions() -> None:
    plain = fitted("binary")
    form = compile_pipeline(plain.pipeline, TABLES)
    numbers, codes = draw_rows(form, TABLES, 1_000, np.random.default_rng(4))
    north = codes[:, list(form.categories).index("país.über")] == 0
    assert form.categories["país.über"][0] == "north"
    scores = score_arrays(form, numbers, codes)[:, 1]
    line = float(scores[north][0]) - 2e-7
    lowered = int((north & (scores > line) & (scores - 4e-7 <= line)).sum())

    def a_little_lower(numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        lowered: np.ndarray = score_arrays(form, numbers, codes) - np.array([-4e-7, 4e-7])
        return lowered

    flipped = [
        prove_parity(plain.pipeline, form, contract, a_little_lower, 1_000, 4).flipped_labels
        for contract in (
            with_groups(TABLES, "país.über", {"north": line}).with_parts(decision_threshold=0.999),
            TABLES.with_threshold(0.999),
        )
    ]

    assert lowered > 0
    assert flipped == [lowered, 0]


# --- shown ---


class Scores:
    """A fitted model whose probability is the row's own income."""

    classes_ = ("no", "yes")

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        share = np.asarray(frame["income"], dtype="float64")
        return np.column_stack([1 - share, share])


def evidence(found: Decided, seed: int = 9, **changed: Any) -> Any:
    truth, _, rows = people(3_000, seed)
    rows = rows.assign(member=None)
    model = LoadedModel(Scores(), found.of(PEOPLE))
    decision = asked(values={"tp": 5, "fp": -2})
    parts = {
        "contract": model.contract,
        "rows": rows,
        "truth": truth,
        "predictions": model.predict(rows),
        "validation": SimpleNamespace(minimum_group_rows=30),
        "definitions": with_chosen_metrics(Model(), PEOPLE, TrainingSettings(), decision),
    }
    return SimpleNamespace(**parts | changed)


def test_report_and_card_show_rates_before_and_after_the_cost_and_what_it_means() -> None:
    found = decided(asked(), *people())
    given = evidence(found)

    result = check_group_thresholds(given)

    assert result is not None
    assert (result.name, result.status) == (GROUPS_CHECK, ValidationStatus.PASSED)
    assert set(result.details) == {"north", "south", "tiny", "(missing)"}
    south, none = result.details["south"], result.details["(missing)"]
    assert none["threshold"] == "the common one"
    assert none["precision"] == none["precision, one threshold"]
    called = np.array(given.predictions.values) == "yes"
    mine, positive = (given.rows["district"] == "south").to_numpy(), given.truth == "yes"
    before = np.array(given.predictions.scores) > found.threshold
    assert south["rows"] == mine.sum()
    assert south["selection rate"] == called[mine].mean()
    assert south["true positive rate"] == called[mine & positive].mean()
    assert south["precision"] == positive[mine & called].mean()
    assert south["selection rate, one threshold"] == before[mine].mean()
    assert south["true positive rate, one threshold"] == before[mine & positive].mean()
    right = (called == positive).mean()
    for said in (
        f"accuracy {right:.4g} ({(before == positive).mean():.4g} with one threshold)",
        "value ",
        "Different people are held to different thresholds by district",
        "too few rows for a threshold of their own: tiny",
    ):
        assert said in result.message
    json.dumps(result.details)
    validation = SimpleNamespace(results=(result,))
    card = _decisions(SimpleNamespace(contract=given.contract, validation=validation))  # type: ignore[arg-type]
    assert "ask before it is used" in card
    assert "| south |" in card


class Compared(np.ndarray):
    """Names of groups that count how often all of them are compared with one."""

    times = 0

    def __eq__(self, other: object) -> Any:
        Compared.times += 1
        return super().__eq__(other)

    __hash__ = None


def test_rows_of_many_groups_are_not_looked_for_again_for_each_pair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [f"district {number}" for number in range(30)]
    random = np.random.default_rng(1)
    rows = pd.DataFrame({"income": random.uniform(size=6_000), "member": None})
    rows["district"] = random.choice(np.array(names), len(rows))
    truth = np.where(random.uniform(size=len(rows)) < rows["income"], "yes", "no")
    contract = with_groups(PEOPLE, "district", dict.fromkeys(names, 0.4))
    model = LoadedModel(Scores(), contract.with_parts(decision_threshold=0.5))
    given = evidence(Decided(), contract=model.contract, rows=rows, truth=truth)
    given.predictions = model.predict(rows)
    monkeypatch.setattr(fairness, "names_of", lambda *of: names_of(*of).view(Compared))

    result = check_group_thresholds(given)

    assert result is not None
    assert len(result.details) == 30
    assert 0 < Compared.times <= 4 * 30, "there are 435 pairs"


def test_it_warns_where_the_rate_still_differs_surely_and_where_nobody_could_say() -> None:
    found = decided(asked(), *people())
    assert found.groups is not None
    far = replace(found, groups=replace(found.groups, thresholds={"north": 0.2, "south": 0.8}))
    alone = replace(found, groups=replace(found.groups, thresholds={}, gaps=None))
    few = evidence(found, validation=SimpleNamespace(minimum_group_rows=5_000))
    for judged, said in (
        (evidence(far), "true positive rate of north"),
        (evidence(alone), "fewer than two groups"),
        (few, "too few rows here to compare the groups; value"),
    ):
        result = check_group_thresholds(judged)
        assert result is not None
        assert result.status is ValidationStatus.WARNING
        assert said in result.message
    assert check_group_thresholds(evidence(replace(found, groups=None))) is None


# --- refused ---


@pytest.mark.parametrize(
    ("column", "said", "fix"),
    [
        ("gender", "decision.groups.column='gender' is no feature", "name one of district, member"),
        ("income", "'income' is a number", "name one of district, member"),
    ],
)
def test_a_column_that_is_no_group_is_refused(column: str, said: str, fix: str) -> None:
    with pytest.raises(ProjectDefinitionError, match=f"config/decision.yaml: .*{said}") as it:
        require_tunable(PEOPLE, asked(column=column), Model())
    assert it.value.fix == fix


@pytest.mark.parametrize("of", ["multiclass", "regression"])
def test_a_target_that_has_not_two_classes_is_refused(of: str) -> None:
    with pytest.raises(ProjectDefinitionError, match=r"decision\.groups is for a target of two"):
        require_tunable(contract_of(of), asked(column="copy"), Model())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("capacity: 0.1\ngroups: {column: a, criterion: equal_opportunity}", "capacity do not go"),
        ("groups: {column: a, criterion: equal_opportunity}", "has no threshold: write tune_for"),
        (
            "threshold: 0.5\nunsure: [0.4, 0.6]\ngroups: {column: a, criterion: equal_opportunity}",
            "unsure=.* do not go together",
        ),
        ("threshold: 0.5\ngroups: {column: a, criterion: equal}", "groups.criterion='equal'"),
        ("threshold: 0.5\ngroups: {column: a}", "decision.groups.criterion: Field required"),
        (
            "threshold: 0.5\ngroups: {column: a, criterion: equal_opportunity, tolerance: 1.5}",
            "decision.groups.tolerance=1.5",
        ),
        (
            "threshold: 0.5\ngroups: {column: a, criterion: equal_opportunity, tolerance: 0}",
            "decision.groups.tolerance=0",
        ),
        (
            "threshold: 0.5\ngroups: {columns: a, criterion: equal_opportunity}",
            "decision.groups.columns.*: unknown key, did you mean column",
        ),
    ],
)
def test_settings_that_make_nothing_alike_are_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "decision.yaml").write_text(text)

    with pytest.raises(SettingsError, match=said) as it:
        load_settings(tmp_path)
    assert "decision.yaml" in it.value.message


def test_a_further_model_without_such_groups_undoes_them() -> None:
    given = Settings(root=Path("/nowhere"), decision=asked(column="copy"))
    for model, undone in ((PEOPLE, {"groups": None}), (TABLES, {})):
        found = _unfit(given, model, TABLES)["decision"]
        assert {key: value for key, value in found.items() if key == "groups"} == undone
