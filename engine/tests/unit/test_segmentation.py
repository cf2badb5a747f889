"""Clustering: what a contract says without a target, and how segments are found and described."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from goldpath import Model, ModelValidator, gate, metric
from goldpath.adoption.answers import parse_answers
from goldpath.adoption.column_profile import AdoptionError
from goldpath.adoption.infer import Adoption
from goldpath.contract import Contract, ContractError, dump_contract, load_contract, parse_contract
from goldpath.errors import CheckFailedError, NotEnoughDataError
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.answer_fields import answered_segments
from goldpath.jobs.data.adoption import adopt_file
from goldpath.jobs.training.deployment import require_same_segments
from goldpath.jobs.training.segment_search import find_best
from goldpath.judging.data_checks import check_data_quality
from goldpath.judging.evidence import Evidence
from goldpath.judging.segments.checks import (
    WAYS_OUT,
    check_champion_agreement,
    check_segment_sizes,
    check_segment_stability,
    check_segment_structure,
)
from goldpath.judging.segments.evaluation import evaluation_of
from goldpath.judging.validation_report import ValidationSetupError
from goldpath.judging.validators import check_predictions
from goldpath.learning.copies import copy_groups
from goldpath.learning.decision.choice import as_trained
from goldpath.learning.families import boosting
from goldpath.learning.frames import target_values
from goldpath.learning.predictions import Predictions
from goldpath.learning.scoring import ModelVersion
from goldpath.learning.search import fit
from goldpath.learning.segments.family import segments_within
from goldpath.learning.segments.limits import require_usable, unused_families
from goldpath.learning.segments.model import SegmentModel
from goldpath.learning.segments.numbering import Former, number_segments
from goldpath.learning.segments.profile import profile_segments
from goldpath.project import ENGINES_OWN, Project
from goldpath.registry.contract_change import contract_change
from goldpath.settings import TrainingSettings, ValidationSettings, load_settings
from goldpath.testing.tiny_lake import tiny_lake

from ..segment_rows import grouped, shapeless

LABELS = ["segment_1", "segment_2", "segment_3", "segment_4"]


def contract_of(frame: pd.DataFrame, **more: Any) -> Contract:
    """A contract of a clustering by the frame's columns."""
    kinds = {"f": "number", "b": "boolean"}
    features = [
        {"name": name, "type": kinds.get(frame[name].dtype.kind, "category"), "nullable": True}
        for name in frame.columns
        if name != "customer"
    ]
    given = {"dataset": "customers", "problem": "clustering", "source": {"path": "rows.csv"}}
    return Contract.model_validate({**given, "features": features, **more})


@pytest.fixture(scope="module")
def fitted() -> tuple[Any, pd.DataFrame, np.ndarray, Contract]:
    """Four segments, found on 800 of 1,200 rows."""
    frame, kinds = grouped(1_200)
    named = dict(enumerate(LABELS, start=1))
    contract = contract_of(frame, segments=named)
    model = fit(frame[:800], contract, "segments", {"clusters": 4, "labels": LABELS}, 42)
    return model, frame, kinds, contract


# ---- the contract


def test_a_clustering_has_segments_and_no_target() -> None:
    contract = contract_of(grouped(5)[0])
    assert (contract.has_target, contract.target.column) == (False, "segment")
    assert contract.raw_columns == contract.feature_names
    text = dump_contract(contract)
    assert "target" not in text
    assert parse_contract(text) == contract
    version = contract.with_parts(segments={1: "loyal", 2: "segment_2"})
    assert version.target.classes == ("loyal", "segment_2")
    assert parse_contract(dump_contract(version)) == version
    assert version.rules == contract.rules, "lakes are not made anew for a version's segments"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"target": {"column": "churn"}}, "'churn' is given, and problem: clustering has none"),
        ({"target": {"column": "segment"}}, "target: 'segment' is given"),
        ({"fairness_groups": ["plan"]}, "fairness_groups: .*true labels"),
        ({"segments": {1: "a", 2: "a"}}, "not two or more different names"),
        ({"segments": {1: "a"}}, "not two or more different names"),
        ({"decision_threshold": 0.5}, "decision_threshold is for a target of two classes"),
        ({"prediction_interval": {"level": 0.9, "half_width": 1}}, "is for a regression"),
        (
            {"features": [{"name": "note", "type": "text"}]},
            "note is free text, by which rows are not grouped",
        ),
        ({"features": []}, "at least 1 item"),
    ],
)
def test_what_needs_labels_is_refused_with_its_key(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        contract_of(grouped(5)[0], **given)


def test_segments_are_of_a_clustering_and_of_a_version(tmp_path: Path) -> None:
    frame, _ = grouped(5)
    with pytest.raises(ValueError, match="segments are of problem: clustering"):
        contract_of(frame, problem="regression", target={"column": "y"}, segments={1: "a", 2: "b"})
    file = tmp_path / "config" / "project.yaml"
    file.parent.mkdir()
    file.write_text(dump_contract(contract_of(frame, segments={1: "a", 2: "b"})))
    with pytest.raises(ContractError, match="is a model version's") as caught:
        load_contract(tmp_path)
    assert "training.segment_names" in caught.value.fix


def test_a_feature_may_be_called_segment() -> None:
    contract = contract_of(grouped(5)[0].rename(columns={"plan": "segment"}))
    assert "segment" in contract.feature_names
    assert contract.with_parts(segments={1: "a", 2: "b"}).target.classes == ("a", "b")


def test_other_segments_are_a_breaking_change_and_a_retraining_is_none() -> None:
    contract = contract_of(grouped(5)[0])
    one, same = (contract.with_parts(segments={1: "a", 2: "b"}) for _ in range(2))
    assert not contract_change(one, same)
    renamed = contract.with_parts(segments={1: "loyal", 2: "b"})
    assert "from a, b to loyal, b" in contract_change(one, renamed).breaking[0]


# ---- adoption


@pytest.fixture
def adopt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Adoption]:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))

    def call(frame: pd.DataFrame, target: str = "", **more: Any) -> Adoption:
        file = tmp_path / "rows.csv"
        frame.to_csv(file, index=False)
        asked = {"entity": None, "time": None, "problem": "clustering", **more}
        return adopt_file(load_settings(tmp_path), file, target, **asked)

    return call


def test_a_table_is_adopted_without_a_target(
    adopt: Callable[..., Adoption], tmp_path: Path
) -> None:
    frame, _ = grouped(300)
    frame["segment"] = np.resize(["north", "south"], 300)
    frame["note"] = [f"customer number {n} said many different words {n}" for n in range(300)]
    adopted = adopt(frame, entity="customer", problem="Clustering")
    contract = load_contract(tmp_path)
    assert contract.problem == "clustering"
    assert contract.feature_names == [
        *("tenure", "charges", "visits", "plan", "paperless", "segment"),
    ]
    assert "free text" in contract.ignored["note"] or "identifier" in contract.ignored["note"]
    assert any(note.startswith("no target: the training finds segments") for note in adopted.notes)
    assert "target" not in (tmp_path / "config" / "project.yaml").read_text()


@pytest.mark.parametrize(
    ("more", "said", "fix"),
    [
        ({"target": "plan"}, "TARGET=plan and PROBLEM=clustering", "leave TARGET out"),
        ({"answers": parse_answers(labels=["NA"])}, "--label and PROBLEM=clustering", "leave it"),
        ({"horizon": "1d"}, "nothing is predicted", "leave HORIZON out"),
        ({"problem": None}, "TARGET is empty", "PROBLEM=clustering"),
        ({"problem": "ranking"}, "TARGET is empty", "PROBLEM=clustering"),
    ],
)
def test_what_does_not_fit_a_clustering_is_refused(
    adopt: Callable[..., Adoption], more: dict[str, Any], said: str, fix: str
) -> None:
    with pytest.raises(AdoptionError, match=said) as caught:
        adopt(grouped(100)[0], **more)
    assert fix in caught.value.fix


def test_rows_that_are_all_equal_are_refused(adopt: Callable[..., Adoption]) -> None:
    with pytest.raises(AdoptionError, match="no column is left to learn from"):
        adopt(pd.DataFrame({"size": [3.5] * 100, "plan": ["basic"] * 100}))


# ---- the model


def test_known_groups_are_found_again(fitted: Any) -> None:
    model, frame, kinds, contract = fitted
    told = model.predict(frame[800:])
    assert adjusted_rand_score(kinds[800:], told.values) >= 0.95
    assert set(told.values) == set(LABELS)
    assert np.allclose(told.probabilities.sum(axis=1), 1)
    chosen = np.array(contract.target.classes)[told.probabilities.argmax(axis=1)]
    assert list(chosen) == told.values
    alone = [model.predict([row]).probabilities for row in frame[800:810].to_dict("records")]
    assert np.array_equal(np.vstack(alone), told.probabilities[:10])
    assert list(target_values(frame[:2], contract)) == [None, None]


def test_the_largest_segment_is_the_first_and_extreme_rows_are_none() -> None:
    dice = np.random.default_rng(1)
    rows = np.vstack([dice.normal(0, 0.1, (30, 2)), dice.normal(3, 0.1, (70, 2)), [[1e9, 1e9]]])
    model = SegmentModel(2, labels=("large", "small")).fit(rows)
    told = list(model.predict(rows))
    assert (told.count("large"), told.count("small")) == (71, 30)
    assert np.isfinite(model.predict_proba(rows)).all()


# ---- how many, and how good


def searched(frame: pd.DataFrame, clusters: tuple[int, int]) -> Any:
    settings = TrainingSettings(clusters=clusters)
    return find_best(frame, contract_of(frame), settings, lambda _trial, _best: None)


def test_the_number_of_segments_is_found() -> None:
    found = searched(grouped(900)[0], (2, 6))
    assert (found.family, found.parameters) == ("segments", {"clusters": 4})
    assert found.score > 0.95
    assert [trial.parameters["clusters"] for trial in found.trials] == [2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("frame", "clusters", "said", "fix"),
    [
        (grouped(90)[0], (2, 12), "90 training rows.* 120 are needed", r"clusters: \[2, 9\]"),
        (
            pd.DataFrame({"x": np.resize([1.0, 2.0, 3.0, 4.0], 500)}),
            (2, 12),
            "have 4 different values",
            r"clusters: \[2, 3\]",
        ),
        (pd.DataFrame({"x": [1.5] * 500}), (2, 3), "have 1 different values", "features that do"),
    ],
)
def test_too_few_rows_or_values_are_refused_with_a_number(
    frame: pd.DataFrame, clusters: tuple[int, int], said: str, fix: str
) -> None:
    with pytest.raises(NotEnoughDataError, match=said) as caught:
        searched(frame, clusters)
    assert re.search(fix, caught.value.fix)


def test_known_trials_of_another_range_are_not_mixed_up() -> None:
    frame = grouped(300)[0]
    contract, seen = contract_of(frame), list[Any]()
    first = find_best(frame, contract, TrainingSettings(clusters=(2, 3)), lambda *_: None)
    wider = TrainingSettings(clusters=(3, 4))
    found = find_best(
        frame, contract, wider, lambda trial, _: seen.append(trial), known=first.trials
    )
    assert [trial.parameters["clusters"] for trial in found.trials] == [3, 4]
    assert [(trial.number, trial.parameters["clusters"]) for trial in seen] == [(2, 4)]


def test_no_number_is_tried_after_the_time_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    frame = grouped(300)[0]
    settings = TrainingSettings(clusters=(2, 5), timeout_seconds=1e-6)
    found = find_best(frame, contract_of(frame), settings, lambda *_: None)
    assert [trial.parameters["clusters"] for trial in found.trials] == [2]
    said = " ".join("".join(capsys.readouterr()).split())
    assert "3 to 5 were not: training.timeout_seconds=1e-06 is over" in said


def test_answers_may_name_each_segment_that_there_may_be(tmp_path: Path) -> None:
    contract = contract_of(grouped(5)[0])
    training = {"clusters": (2, 4), "segment_names": {2: "loyal"}}
    settings = load_settings(tmp_path).model_copy(update={"training": TrainingSettings(**training)})
    named = answered_segments(settings, contract)
    assert named == {1: "segment_1", 2: "loyal", 3: "segment_3", 4: "segment_4"}
    version = as_trained(contract, settings.decision, named)
    assert version.target.classes == ("segment_1", "loyal", "segment_3", "segment_4")
    assert str(segments_within((2, 4)).space(contract)["clusters"]) == "2 to 4"


def evidence_of(frame: pd.DataFrame, clusters: int, **thresholds: float) -> Evidence:
    """Segments of two thirds of the rows, judged on the others."""
    labels = [f"segment_{number}" for number in range(1, clusters + 1)]
    contract = contract_of(frame, segments=dict(enumerate(labels, start=1)))
    cut = 2 * len(frame) // 3
    train, test = frame[:cut], frame[cut:]
    model = fit(train, contract, "segments", {"clusters": clusters, "labels": labels}, 42)
    return Evidence(
        model=model,
        rows=test,
        truth=target_values(test, contract),
        predictions=model.predict(test),
        train=train,
        validation=ValidationSettings(thresholds=thresholds),
    )


def test_the_gate_passes_groups_and_refuses_noise() -> None:
    checks = (check_segment_stability, check_segment_sizes, check_segment_structure)
    good = [check(evidence_of(grouped(900)[0], 4)) for check in checks]
    assert [each.status for each in good if each] == ["passed"] * 3
    noise = check_segment_structure(evidence_of(shapeless(900), 2))
    assert noise is not None
    assert noise.status == "failed"
    assert "these rows fall into no groups" in noise.message


@pytest.mark.parametrize(
    ("kind", "clusters", "status", "said"),
    [
        ("skewed", 2, "warning", "these segments divide single columns"),
        ("one factor", 2, "failed", "these rows fall into no groups"),
    ],
)
def test_what_k_means_divides_without_groups_is_said(
    kind: str, clusters: int, status: str, said: str
) -> None:
    dice = np.random.default_rng(3)
    factor = dice.normal(size=(900, 1))
    values = {
        "skewed": np.exp(dice.normal(size=(900, 2))),
        "one factor": factor + 0.33 * dice.normal(size=(900, 4)),
    }[kind]
    frame = pd.DataFrame(values, columns=[f"x{number}" for number in range(values.shape[1])])
    evidence = evidence_of(frame, clusters)
    stable, found = check_segment_stability(evidence), check_segment_structure(evidence)
    assert stable is not None
    assert stable.status == "passed", "that is why stability alone is not enough"
    assert found is not None
    assert found.status == status
    assert said in found.message


def test_a_validator_judges_segments_by_the_reference_rows(fitted: Any) -> None:
    model, frame, _, _ = fitted
    names = [f"segments are {what}" for what in ("stable", "large enough", "more than noise")]
    test, train = frame[800:], frame[:800]
    judged = ModelValidator().validate(model=model, validation_data=test, reference_data=train)
    assert {str(judged.result(name).status) for name in names} == {"passed"}
    alone = ModelValidator().validate(model=model, validation_data=test)
    for name in names:
        assert alone.result(name).status == "not enough data"
        assert "reference_data" in alone.result(name).message
    assert not alone.passed
    with pytest.raises(ValidationSetupError, match="clustering has none"):
        ModelValidator().validate(model=model, validation_data=test, target=["a"] * len(test))


def test_a_feature_called_segment_is_judged_as_it_is() -> None:
    frame = grouped(600)[0].rename(columns={"plan": "segment"})
    evidence = evidence_of(frame, 4)
    evidence = replace(evidence, rows=frame[:100], truth=np.full(100, None))
    noted = check_data_quality(evidence)
    assert "100.0% of the test rows are copies of training rows" in noted.message


def test_a_tiny_lake_keeps_a_feature_called_segment() -> None:
    contract = contract_of(pd.DataFrame({"segment": [1.5, 2.5], "plan": ["basic", "premium"]}))
    lake = tiny_lake([{"segment": 2.5}, {}], contract=contract, project=Project())
    assert [row["segment"] for row in lake.rows("gold")] == [2.5, 0.0]


def test_own_gates_are_told_that_there_is_no_baseline() -> None:
    @gate(at_least=0)
    def beats_the_baseline(evidence: Evidence) -> float:
        return 0.0 if evidence.baseline_predictions is None else 1.0

    model = evidence_of(grouped(600)[0], 4)
    assert model.train is not None
    assert beats_the_baseline.function(model) == 0.0


def test_equal_answers_to_a_few_questions_are_no_copies() -> None:
    dice = np.random.default_rng(0)
    answers = pd.DataFrame({f"q{n}": dice.integers(1, 6, 2_000).astype(float) for n in range(5)})
    assert copy_groups(answers, contract_of(answers)) is None
    twice = pd.concat([grouped(300)[0]] * 2, ignore_index=True)
    assert copy_groups(twice, contract_of(twice)) is not None


@pytest.mark.filterwarnings("error")
def test_judged_rows_of_one_segment_say_nothing() -> None:
    evidence = evidence_of(grouped(600)[0], 4)
    told = np.array(evidence.predictions.values)
    rows = evidence.rows[told == told[0]]
    alone = replace(
        evidence,
        rows=rows,
        truth=target_values(rows, evidence.contract),
        predictions=evidence.model.predict(rows),
    )
    for check in (check_segment_stability, check_segment_structure):
        found = check(alone)
        assert found is not None
        assert found.status == "not enough data"
        assert "judged rows lie in one segment" in found.message


def test_other_groups_than_the_champions_are_warned_of(fitted: Any) -> None:
    model, frame, _, _ = fitted
    evidence = evidence_of(frame, 4)
    same = check_champion_agreement(replace(evidence, champion=model))
    assert same is not None
    assert same.status == "passed"
    dice = np.random.default_rng(2)
    mixed = Predictions(list(dice.permutation(evidence.predictions.values)), None, [1.0] * 400)
    other = check_champion_agreement(replace(evidence, champion=model, predictions=mixed))
    assert other is not None
    assert other.status == "warning"
    assert "other groups than the champion's" in other.message


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({1: "a", 2: "b"}, ""),
        ({1: "a", 3: "c"}, "b is gone; c is new"),
        ({1: "a", 2: "loyal"}, "b is called loyal"),
    ],
)
def test_other_segments_are_promoted_by_a_person_only(
    tmp_path: Path, after: dict[int, str], said: str
) -> None:
    contract = contract_of(grouped(5)[0])
    for name, segments in {"1": {1: "a", 2: "b"}, "2": after}.items():
        (tmp_path / name).write_text(dump_contract(contract.with_parts(segments=segments)))
    manager: Any = SimpleNamespace(read_text=lambda run_id, _: (tmp_path / run_id).read_text())
    champion, candidate = (ModelVersion("customers", number, number, (), {}) for number in "12")
    asked = (manager, champion, candidate)
    if not said:
        require_same_segments(*asked)
        return
    with pytest.raises(CheckFailedError, match=said) as caught:
        require_same_segments(*asked)
    assert "promote --version 2" in caught.value.fix


def test_segments_that_are_far_apart_are_usable_predictions() -> None:
    dice = np.random.default_rng(4)
    sizes = np.where(dice.random(300) < 0.5, 0.0, 1e6) + dice.normal(size=300)
    far = evidence_of(pd.DataFrame({"size": sizes}), 2)
    assert set(far.predictions.scores) == {0.0, 1.0}
    always = replace(far, predictions=Predictions(["segment_1"] * 100, None, [1.0] * 100))
    assert check_predictions(far).status == "passed"
    assert check_predictions(always).status == "failed"


def test_the_limits_are_the_settings() -> None:
    frame, _ = grouped(600)
    strict = evidence_of(frame, 4, smallest_share=0.4, stability=1.1, silhouette=0.99)
    for check in (check_segment_stability, check_segment_sizes, check_segment_structure):
        found = check(strict)
        assert found is not None
        assert found.status == "failed"
        assert found.fix == WAYS_OUT[found.name]
    assert check_champion_agreement(strict) is None, "there is no champion"


def test_an_evaluation_has_stability_and_what_noise_gives(fitted: Any) -> None:
    model, frame, _, _ = fitted
    found = evaluation_of(model, frame[:800], frame[800:], TrainingSettings())
    assert found.score.metric == "stability"
    assert found.score.value > 0.95 > found.baseline
    assert found.others["silhouette"].value > found.other_baselines["silhouette"]
    assert 0.2 < found.others["smallest_share"].value < 0.3
    assert found.importances["visits"] > 0.1 > found.importances["paperless"]


# ---- numbers and names


def test_segments_keep_their_numbers_where_they_share_most_rows() -> None:
    former = Former(
        np.array(["gold", "gold", "gold", "segment_2", "segment_2", "segment_3", "segment_3"]),
        {1: "gold", 2: "segment_2", 3: "segment_3"},
    )
    places = np.array([1, 1, 1, 0, 0, 0, 2])
    found = number_segments(places, 3, {1: "loyal", 9: "gone"}, former)
    assert found.labels == ("segment_2", "loyal", "segment_4")
    assert list(found.segments) == [1, 2, 4]
    said = " | ".join(found.notes)
    assert "loyal is the champion's number 1: 100% shared" in said
    assert "segment_4 is new" in said
    assert "segment_3 of the champion is gone" in said
    assert "training.segment_names names 9" in said
    assert number_segments(places, 3, {}, former, highest=7).labels[2] == "segment_8"


def test_a_profile_names_what_is_particular(fitted: Any) -> None:
    model, frame, kinds, contract = fitted
    contract = contract.with_parts(personal=("tenure", "plan"))
    rows = frame[contract.feature_names].assign(paperless=frame["paperless"].astype(float))
    labels = np.array(model.predict(frame).values)
    profiles = profile_segments(rows, labels, contract, {"segment_1": 0.9})
    assert [each.number for each in profiles] == [1, 2, 3, 4]
    assert sum(each.rows for each in profiles) == len(frame)
    assert len({each.name for each in profiles}) == 4
    by_kind = {int(pd.Series(kinds[labels == each.label]).mode()[0]): each for each in profiles}
    assert "high visits" in by_kind[2].name
    assert "low charges" in by_kind[2].name or "low tenure" in by_kind[2].name
    shown = [each for profile in profiles for each in profile.differences]
    assert not [each for each in shown if each.feature == "plan"], "personal values"
    assert {each.inside for each in shown if each.feature == "tenure"} == {None}


# ---- settings that need labels


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DECISION__THRESHOLD", "0.3", "decision.threshold=0.3 needs labels"),
        ("DECISION__VALUES", '{"tp": 80}', "decision.values"),
        ("TRAINING__FAMILIES", '["boosting"]', "training.families"),
        ("TRAINING__METRIC", "roc_auc", "training.metric='roc_auc' needs labels"),
        ("VALIDATION__GATES", '[{"metric": "recall", "at_least": 0.5}]', "validation.gates"),
        ("VALIDATION__THRESHOLDS", '{"roc_auc": 0.9}', "names 'roc_auc'; a clustering has"),
    ],
)
def test_settings_that_need_labels_are_refused_before_anything_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"MLOPS_{variable}", value)
    with pytest.raises(ProjectDefinitionError, match=said):
        require_usable(contract_of(grouped(5)[0]), load_settings(tmp_path), ENGINES_OWN)


def test_own_families_are_not_used_and_own_metrics_refused(tmp_path: Path) -> None:
    contract, settings = contract_of(grouped(5)[0]), load_settings(tmp_path)
    with_families = Model(families=[boosting])
    require_usable(contract, settings, with_families)
    assert "the families of project.py (boosting) learn a target" in unused_families(
        contract, with_families
    )

    @metric(greater_is_better=True)
    def right(truth: Any, decided: Any) -> float:
        return float(np.mean(truth == decided))

    with pytest.raises(ProjectDefinitionError, match="right measures by labels"):
        require_usable(contract, settings, Model(metric=right))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"clusters": (1, 5)}, "within 2 to 50"),
        ({"clusters": (6, 3)}, "within 2 to 50"),
        ({"segment_names": {1: " "}}, "empty name"),
        ({"segment_names": {1: "a", 2: "a"}}, "two segments are called 'a'"),
        ({"segment_names": {1: "segment_2"}}, "the name of another"),
        ({"segment_names": {1: "segment_61"}}, "the name of another"),
    ],
)
def test_settings_of_segments_are_checked(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainingSettings(**given)
