"""What a project hands over is used, belongs to its dataset, and is checked when it is loaded."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from goldpath.contract import load_contract, parse_contract
from goldpath.features.row.tracing import row_feature
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.own_definitions import check_definitions
from goldpath.judging.champion import check_champion
from goldpath.learning.families import FAMILIES, families_of, family_named, trusted_types
from goldpath.learning.family import Family, family
from goldpath.learning.metric import Metric, metric
from goldpath.learning.metrics import bootstrap_score, main_metric, metric_value, other_scores
from goldpath.learning.predictions import Predictions
from goldpath.learning.search import search
from goldpath.project import Model, Project, Service, run_as, running_project, unused_definitions
from goldpath.settings import (
    AwsSettings,
    Settings,
    TrainingSettings,
    ValidationSettings,
    load_settings,
)

BINARY = parse_contract(
    "dataset: small\nproblem: classification\nsource: {path: rows.csv}\n"
    "target: {column: left, classes: ['no', 'yes']}\n"
    "features: [{name: x, type: number}, {name: cost, type: number}]\n"
)


@metric(unit="dollars")
def cheap_calls(truth: np.ndarray, decided: np.ndarray, rows: pd.DataFrame) -> float:
    return -float((rows["cost"].to_numpy() * ((decided == "yes") & (truth == "no"))).mean())


@metric(greater_is_better=False)
def share_called(decided: np.ndarray) -> float:
    return float((decided == "yes").mean())


def rows_of(count: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(3)
    x = random.normal(size=count)
    left = np.where(x + random.normal(size=count) > 0, "yes", "no")
    return pd.DataFrame({"x": x, "cost": random.uniform(1, 9, count), "left": left})


def predictions_of(rows: pd.DataFrame) -> Predictions:
    positive = 1 / (1 + np.exp(-rows["x"].to_numpy()))
    values = ["yes" if p >= 0.5 else "no" for p in positive]
    return Predictions(values, np.column_stack([1 - positive, positive]), positive.tolist())


# --- metrics ---


def test_a_metrics_parameters_choose_what_it_is_given() -> None:
    rows = rows_of()
    truth, predictions = rows["left"].to_numpy(), predictions_of(rows)
    wrong = (np.asarray(predictions.values) == "yes") & (truth == "no")
    expected = -(rows["cost"].to_numpy() * wrong).mean()
    assert metric_value(BINARY, truth, predictions, cheap_calls, rows) == pytest.approx(expected)
    score = bootstrap_score(BINARY, truth, predictions, 200, 1, cheap_calls, rows)
    assert score.metric == "cheap_calls" == main_metric(BINARY, cheap_calls)
    assert score.interval[0] < expected < score.interval[1]
    others = other_scores(BINARY, truth, predictions, 100, 1, [share_called], rows)
    assert others["share_called"].value == pytest.approx(
        np.mean(np.asarray(predictions.values) == "yes")
    )
    assert "accuracy" in others


def test_a_metric_that_asks_for_something_else_is_refused_with_its_place() -> None:
    def strange(truth: np.ndarray, colour: str) -> float:
        return 0.0

    with pytest.raises(ProjectDefinitionError, match="asks for colour") as caught:
        metric()(strange)
    assert f"{Path(__file__).name}:" in caught.value.message


def test_the_comparison_with_the_champion_follows_the_metric() -> None:
    rows = rows_of()
    truth, candidate = rows["left"].to_numpy(), predictions_of(rows)
    limits = TrainingSettings(bootstrap_samples=200), ValidationSettings()
    usual = check_champion(BINARY, truth, candidate, candidate, *limits)
    own = check_champion(BINARY, truth, candidate, candidate, *limits, cheap_calls, rows)
    assert usual.message.startswith("roc_auc: difference")
    assert "DeLong" in usual.message
    assert own.message.startswith("cheap_calls: difference")
    assert "paired bootstrap" in own.message


def test_the_main_metric_must_be_one_of_which_more_is_better() -> None:
    project = Project(models={"small": lambda: Model(metric=share_called)})
    with pytest.raises(ProjectDefinitionError, match="share_called says greater_is_better=False"):
        _ = project.definitions


# --- families ---


@family(defaults={"depth": 3}, trusted=["sklearn.ensemble._forest.RandomForestClassifier"])
def forest(trial, columns):  # type: ignore[no-untyped-def]
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline

    depth = trial.suggest_int("depth", 2, 8)
    model = RandomForestClassifier(n_estimators=20, max_depth=depth, random_state=columns.seed)
    return make_pipeline(columns.encoded(), model)


@family()
def shallow(trial, columns):  # type: ignore[no-untyped-def]
    return forest.build(BINARY, {"depth": trial.suggest_categorical("depth", [1, 2])}, columns.seed)


@family()
def deep(trial, columns):  # type: ignore[no-untyped-def]
    depth = trial.suggest_int("depth", 4, 32, log=True)
    return forest.build(BINARY, {"depth": depth}, columns.seed)


def test_families_may_draw_parameters_of_one_name_in_different_ways() -> None:
    found = search(
        rows_of(),
        BINARY,
        TrainingSettings(trials=6, cv_folds=2),
        lambda *_: None,
        definitions=Model(families=[forest, shallow, deep]),
    )
    assert [trial.family for trial in found.trials[:3]] == ["forest", "shallow", "deep"]
    assert {name for trial in found.trials for name in trial.parameters} == {"depth"}


def test_the_search_chooses_among_the_projects_families_by_its_metric() -> None:
    seen: list[str] = []
    definitions = Model(families=[forest, FAMILIES["linear"]], metric=cheap_calls)
    found = search(
        rows_of(),
        BINARY,
        TrainingSettings(trials=4, cv_folds=2),
        lambda trial, _: seen.append(trial.family),
        definitions=definitions,
    )
    assert seen[:2] == ["forest", "linear"]
    assert found.family in ("forest", "linear")
    assert found.score <= 0, "minus the cost of wrong calls"
    assert found.trials[0].parameters == {"depth": 3}, "the defaults come first"


def test_a_family_brings_its_trusted_types_and_one_name_is_taken_once() -> None:
    assert "sklearn.ensemble._forest.RandomForestClassifier" in trusted_types(Model([forest]))
    assert families_of(Model()) == FAMILIES
    with pytest.raises(ProjectDefinitionError, match="two families have one name"):
        families_of(Model(families=[forest, forest]))
    with pytest.raises(ProjectDefinitionError, match="there is no family 'boosted'"):
        family_named(Model(families=[forest]), "boosted")
    assert family_named(Model(families=[forest]), "forest") is forest, "not the engine's own"


def test_parameters_of_another_family_are_named() -> None:
    with pytest.raises(ProjectDefinitionError, match="the family forest draws 'depth'"):
        forest.build(BINARY, {"leaves": 3}, seed=0)
    with pytest.raises(ProjectDefinitionError, match="two parameters: trial and columns"):
        family()(lambda trial: None)  # type: ignore[arg-type, misc]


# --- the project ---


@pytest.fixture
def running() -> object:
    before = running_project()
    yield
    run_as(before)


def test_definitions_belong_to_their_dataset(project: Settings, running: object) -> None:
    rate = row_feature(name="rate")(lambda row: row.monthly_charges / row.tenure_months)
    models = {"churn": lambda: Model([forest])}
    own = Project(name="mine", dataset="customer_churn", features=lambda: [rate], models=models)
    run_as(own)
    assert load_settings(project.root).project.row_features == (rate,)
    assert load_settings(project.root).project.definitions.families == [forest]
    assert unused_definitions("customer_churn") == ""

    file = project.root / "config" / "project.yaml"
    file.write_text(file.read_text().replace("dataset: customer_churn", "dataset: telco"))
    other = load_settings(project.root).project
    assert (other.name, other.definitions.families) == ("mine", ())
    assert other.row_features == ()
    assert "without features, answer fields and hooks" in unused_definitions("telco")
    assert "is written for the dataset customer_churn, not telco" in (unused_definitions("telco"))


def test_a_fault_in_a_projects_code_is_named_by_file_and_line(project: Settings) -> None:
    def broken() -> Model:
        return Model(families=[missing])  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ProjectDefinitionError, match="name 'missing' is not defined") as caught:
        _ = Project(models={"churn": broken}).definitions
    assert f"{Path(__file__).name}:" in caught.value.message


def test_several_models_are_refused_by_name() -> None:
    project = Project(models={"a": Model, "b": Model})
    with pytest.raises(
        ProjectDefinitionError, match=r"several models \(a, b\).*folder models/NAME"
    ):
        _ = project.definitions
    assert project.for_model("", ["b"]).definitions == Model()


def test_check_tries_every_family_and_lists_what_is_handed_over(project: Settings) -> None:
    def fails(trial: object, columns: object) -> None:
        raise ValueError("no such thing")

    @metric
    def right(truth: np.ndarray, decided: np.ndarray) -> float:
        return float(np.mean(truth == decided))

    contract = load_contract(project.root)
    good = Project(models={"churn": lambda: Model([forest], metrics=[right])})
    found = check_definitions(load_settings(project.root, good), contract)
    assert found.families == {"forest": "depth 2 to 8"}
    assert (found.metric, found.metrics) == ("roc_auc", ["right"])
    bad = Project(models={"churn": lambda: Model([Family("fails", fails)])})
    with pytest.raises(ProjectDefinitionError, match="the family fails cannot be built") as caught:
        check_definitions(load_settings(project.root, bad), contract)
    assert f"{Path(__file__).name}:" in caught.value.message


def test_check_shows_the_main_metric_and_refuses_an_unknown_one(project: Settings) -> None:
    contract = load_contract(project.root)

    def named(metric: str) -> Settings:
        training = project.training.model_copy(update={"metric": metric})
        return project.model_copy(update={"training": training})

    assert check_definitions(named("brier"), contract).metric == "neg_brier"
    with pytest.raises(ProjectDefinitionError, match=r"config/training.yaml: training.metric='au"):
        check_definitions(named("auc"), contract)


def test_a_project_names_its_resources_on_aws(project: Settings) -> None:
    from goldpath.project import Data

    def names(aws: AwsSettings, environment: str) -> AwsSettings:
        return aws.model_copy(update={"bucket": f"{aws.bucket}-{environment}"})

    own = load_settings(project.root, Project(data=lambda: Data(aws=names)))
    assert own.aws is not None
    assert project.aws is not None
    assert own.aws.bucket == f"{project.aws.bucket}-development"


def test_what_is_not_given_is_the_engines_own() -> None:
    nothing = Project()
    assert nothing.extensions == Service()
    assert nothing.definitions == Model()
    assert isinstance(cheap_calls, Metric)
