"""Further models: their folder, their settings, their contract and their definitions."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from fastapi import APIRouter

from goldpath.adoption.column_profile import AdoptionError
from goldpath.cli.app import run
from goldpath.cli.data import for_people as for_people_of_data
from goldpath.contract import Contract, ContractError, load_contract
from goldpath.features.learned import learned_contract
from goldpath.features.online.open_store import open_online_store
from goldpath.features.row.tracing import row_feature
from goldpath.features.window.feature import window_feature
from goldpath.features.window.learned import definitions_in
from goldpath.features.window.online import view_of
from goldpath.features.window.rows import Aggregate, Rows
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.data.refresh import DataResult, refresh_all
from goldpath.jobs.data.source_tables import SourceResult
from goldpath.jobs.every_model import for_every_model
from goldpath.jobs.models.addition import add_model
from goldpath.jobs.models.summaries import states_of_models
from goldpath.jobs.orchestration import (
    OrchestrationError,
    describe,
    require_known_schedules,
    write_description,
)
from goldpath.jobs.own_definitions import check_all_definitions, for_people
from goldpath.jobs.retraining.ledger import Ledger, Retraining
from goldpath.jobs.training.deployment import _empty_store
from goldpath.models.folders import ModelNameError, chosen_model, further_models, with_model
from goldpath.monitor.lake_runs import reported_runs
from goldpath.monitor.server import MonitorServer
from goldpath.project import Model, Project, Service
from goldpath.sample.customers import write_sample
from goldpath.services.alerting.receiver import Asked, _asked_by
from goldpath.serving.models.cores import add_further_models
from goldpath.serving.serving_core import ServingCore
from goldpath.settings import Settings, SettingsError, load_settings
from goldpath.source_contract import load_sources

from ..locations import PROJECT
from ..two_models import TARGET, add_revenue_column

REVENUE = "problem: regression\ntarget: {column: monthly_revenue}\n"


@row_feature
def charge_rate(row):  # type: ignore[no-untyped-def]
    return row.monthly_charges / (row.tenure_months + 1)


@window_feature(source="payments", over=("90d",))
def paid_often(payments: Rows) -> Aggregate:
    return payments.count()


def segment(row, prediction):  # type: ignore[no-untyped-def]
    return "large"


@pytest.fixture
def churn(project: Settings) -> Settings:
    """A project with a further model, revenue."""
    write(project.root, "project.yaml", REVENUE)
    return project


def write(root: Path, name: str, text: str) -> None:
    file = root / "models" / "revenue" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def of_revenue(settings: Settings) -> Settings:
    return load_settings(settings.root, model="revenue")


def test_a_models_own_file_comes_before_config_and_a_variable_before_both(
    churn: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(churn.root, "training.yaml", "trials: 3\ncv_folds: 4\n")
    monkeypatch.setenv("MLOPS_TRAINING__CV_FOLDS", "5")

    own, main = of_revenue(churn).training, load_settings(churn.root).training

    assert (own.trials, own.cv_folds) == (3, 5)
    assert (main.trials, main.cv_folds) == (12, 5)
    assert own.minimum_test_rows == main.minimum_test_rows


MONEY = {"decision": "values: {tp: 80, fp: -10}\n", "validation": "thresholds: {roc_auc: 0.75}\n"}


def of_money(churn: Settings) -> Settings:
    """The main model has values and a threshold that no regression has."""
    for name, text in MONEY.items():
        (churn.root / "config" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return churn


@pytest.mark.parametrize("nothing", ["{}", "null", ""])
def test_an_empty_mapping_of_a_model_undoes_the_main_ones(churn: Settings, nothing: str) -> None:
    of_money(churn)
    write(churn.root, "decision.yaml", f"values: {nothing}\n")
    write(churn.root, "validation.yaml", f"thresholds: {nothing}\n")

    own, main = of_revenue(churn), load_settings(churn.root)

    assert (own.decision.values, own.validation.thresholds) == ({}, {})
    assert main.decision.values == {"tp": 80, "fp": -10}
    assert main.validation.thresholds == {"roc_auc": 0.75}
    check_all_definitions(main, load_contract(churn.root))


def test_other_keys_of_a_mapping_are_added(
    churn: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_money(churn)
    write(churn.root, "validation.yaml", "thresholds: {r2: 0.3}\nstability_folds: 2\n")
    assert of_revenue(churn).validation.thresholds == {"roc_auc": 0.75, "r2": 0.3}

    monkeypatch.setenv("MLOPS_VALIDATION__THRESHOLDS", "{}")
    found = of_revenue(churn).validation
    assert (found.thresholds, found.stability_folds) == ({}, 2), "a variable is stronger still"


def test_check_names_the_models_file_of_what_its_problem_does_not_have(churn: Settings) -> None:
    settings, contract = of_money(churn), load_contract(churn.root)

    with pytest.raises(ProjectDefinitionError) as values:
        check_all_definitions(settings, contract)
    write(churn.root, "decision.yaml", "values: {}\n")
    with pytest.raises(ProjectDefinitionError) as threshold:
        check_all_definitions(settings, contract)
    gate = "thresholds: {}\nstability_folds: 2\ngates:\n  - {metric: recall, at_least: 0.5}\n"
    write(churn.root, "validation.yaml", gate)
    with pytest.raises(ProjectDefinitionError) as limit:
        check_all_definitions(settings, contract)

    assert values.value.message.startswith("models/revenue/decision.yaml: decision.values names")
    assert "write `values: {}` in models/revenue/decision.yaml" in values.value.fix
    said = "models/revenue/validation.yaml: validation.thresholds='roc_auc' is no metric"
    assert threshold.value.message.startswith(said)
    assert "`thresholds: {}` there undoes the main model's" in threshold.value.fix
    assert limit.value.message.startswith("models/revenue/validation.yaml:4: the gate 'recall")


def test_a_threshold_of_the_main_model_that_is_no_metric_is_refused_by_check(
    project: Settings,
) -> None:
    file = project.root / "config" / "validation.yaml"
    file.write_text("thresholds: {f1_makro: 0.5}\n", encoding="utf-8")

    with pytest.raises(ProjectDefinitionError, match="thresholds='f1_makro' is no metric") as it:
        check_all_definitions(load_settings(project.root), load_contract(project.root))
    assert it.value.message.startswith("config/validation.yaml: ")


def test_what_models_write_lies_apart(churn: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "shop")
    own, main = of_revenue(churn), load_settings(churn.root)

    places: tuple[Callable[[Settings], object], ...] = (
        lambda each: each.reports,
        lambda each: each.serving.prediction_log,
        lambda each: each.serving.shadow_log,
        lambda each: each.prediction_log.feedback,
        lambda each: each.prediction_log.stream_name,
        lambda each: each.experiment_name,
    )
    for place in places:
        assert place(own) != place(main)
    assert own.registry == main.registry
    assert own.lake == main.lake


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("trainig.yaml", "no settings are called so, did you mean models/revenue/training.yaml"),
        ("lake.yaml", "all models share these settings"),
        ("training.yml", "no settings are called so"),
    ],
)
def test_a_file_that_nothing_would_read_is_refused(churn: Settings, name: str, said: str) -> None:
    write(churn.root, name, "trials: 3\n")

    with pytest.raises(SettingsError, match=f"models/revenue/{name} would be passed over: {said}"):
        of_revenue(churn)
    load_settings(churn.root)


def test_a_wrong_value_names_the_models_file(churn: Settings) -> None:
    write(churn.root, "training.yaml", "trials: none\n")

    with pytest.raises(SettingsError, match=r"trials='none' \(models/revenue/training\.yaml"):
        of_revenue(churn)


def test_the_contract_says_what_differs(churn: Settings) -> None:
    main, own = load_contract(churn.root), load_contract(churn.root, "revenue")

    assert (own.problem, own.target.column) == ("regression", "monthly_revenue")
    assert (own.features, own.source, own.entity) == (main.features, main.source, main.entity)
    assert (own.dataset, own.base) == ("customer_churn_revenue", main.dataset)
    assert own.file == "models/revenue/project.yaml"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("source: {path: other.csv}", "source: .* is not said here"),
        ("entity: region", "entity: 'region' is not said here"),
        ("dataset: customer_churn", "names the tables of the main model"),
        ("tarjet: {column: x}", "tarjet"),
        ("model: other", "model: 'other' is not said here"),
    ],
)
def test_a_contract_that_cannot_be_a_further_models_names_its_file(
    churn: Settings, line: str, said: str
) -> None:
    write(churn.root, "project.yaml", REVENUE + line)

    with pytest.raises(ContractError, match=rf"models/revenue/project\.yaml: .*{said}"):
        load_contract(churn.root, "revenue")
    assert load_contract(churn.root).dataset == "customer_churn"


def test_what_a_training_decides_is_refused_with_the_models_own_file(churn: Settings) -> None:
    interval = "prediction_interval: {level: 0.9, half_width: 1}\n"
    write(churn.root, "project.yaml", REVENUE + interval)

    with pytest.raises(ContractError, match="is a model version's") as it:
        load_contract(churn.root, "revenue")
    assert "decision.interval in models/revenue/decision.yaml" in it.value.fix


def test_two_models_of_one_dataset_are_refused(churn: Settings) -> None:
    for name in ("revenue", "income"):
        (churn.root / "models" / name).mkdir(exist_ok=True)
        file = churn.root / "models" / name / "project.yaml"
        file.write_text(REVENUE + "dataset: money\n", encoding="utf-8")

    with pytest.raises(ContractError, match="have the same dataset: money"):
        check_all_definitions(churn, load_contract(churn.root))


def test_a_model_and_a_source_of_one_table_are_refused_before_anything_is_read(
    churn: Settings,
) -> None:
    name = "customer_churn_revenue"
    copy = churn.root / "config" / "sources" / f"{name}.yaml"
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(PROJECT / "config/sources/payments.yaml", copy)
    contract = load_contract(churn.root)

    for work in (check_all_definitions, refresh_all):
        with pytest.raises(ContractError, match=f"the same tables: {name}") as caught:
            work(churn, contract)
        assert f"rename config/sources/{name}.yaml" in caught.value.fix


def test_a_dataset_that_is_a_layers_name_is_refused(churn: Settings) -> None:
    write(churn.root, "project.yaml", REVENUE + "dataset: gold\n")

    with pytest.raises(ContractError, match="dataset: gold is reserved"):
        load_contract(churn.root, "revenue")


def test_the_main_contract_cannot_call_itself_a_further_one(project: Settings) -> None:
    file = project.root / "config" / "project.yaml"
    file.write_text(file.read_text() + "model: revenue\n")

    with pytest.raises(ContractError, match="model: 'revenue' is not said here"):
        load_contract(project.root)


def test_a_folder_without_a_contract_names_the_command(churn: Settings) -> None:
    (churn.root / "models" / "revenue" / "project.yaml").unlink()

    with pytest.raises(ContractError, match=r"^models/revenue/project\.yaml is missing") as caught:
        load_contract(churn.root, "revenue")
    assert "make add-model NAME=revenue TARGET=" in caught.value.fix


def test_a_folder_without_a_contract_stops_nobody_and_is_named(churn: Settings) -> None:
    (churn.root / "models" / "Old").mkdir()
    contract = load_contract(churn.root)

    assert further_models(churn.root) == ("revenue",)
    assert "models/Old" in states_of_models(load_settings(churn.root))[0]
    assert check_all_definitions(churn, contract).folders_without_model == ("models/Old",)


def test_a_contract_with_a_name_that_no_model_can_have_is_refused(churn: Settings) -> None:
    (churn.root / "models" / "revenue").rename(churn.root / "models" / "Old")

    with pytest.raises(ModelNameError, match="models/Old: 'Old' cannot name a model"):
        load_settings(churn.root)


@pytest.mark.parametrize(
    ("file", "model"), [("models/revenue/project.yaml", "revenue"), ("config/project.yaml", "")]
)
def test_a_contract_that_is_not_utf8_is_named(churn: Settings, file: str, model: str) -> None:
    with (churn.root / file).open("ab") as end:
        end.write("# pre\u00e7o\n".encode("latin-1"))

    with pytest.raises(ContractError, match=r"project\.yaml cannot be read") as caught:
        load_contract(churn.root, model)
    assert caught.value.fix == "save it as UTF-8"


def test_a_source_that_is_not_utf8_is_named(project: Settings) -> None:
    file = project.root / "config" / "sources" / "payments.yaml"
    file.parent.mkdir()
    file.write_bytes(b"entity: pre\xe7o\n")

    with pytest.raises(ContractError, match=r"config/sources/payments\.yaml cannot be read"):
        load_sources(project.root)


def test_the_error_of_one_model_keeps_no_other_from_its_turn(churn: Settings) -> None:
    for name in ("income", "margin"):
        (churn.root / "models" / name).mkdir()
        (churn.root / "models" / name / "project.yaml").write_text(REVENUE)
    (churn.root / "models/income/project.yaml").write_text("problem: [\n")

    done = []

    def work(settings: Settings, contract: Contract) -> None:
        done.append(contract.dataset)
        if settings.model == "margin":
            raise ContractError("no row", "make data")

    with pytest.raises(ContractError, match=r"(?s)model income: .*; 1 more failed: margin"):
        for_every_model(load_settings(churn.root), load_contract(churn.root), work)
    assert done == ["customer_churn", "customer_churn_margin", "customer_churn_revenue"]

    (churn.root / "models/income/project.yaml").write_text(REVENUE)
    with pytest.raises(ContractError, match="model margin: no row") as caught:
        for_every_model(load_settings(churn.root), load_contract(churn.root), work)
    assert caught.value.fix == "make data MODEL=margin"


def test_the_variable_decides_and_an_unknown_name_lists_those_that_exist(
    churn: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(models={"churn": Model, "revenue": Model})
    monkeypatch.setenv("MLOPS_MODEL", "revenue")
    assert load_settings(churn.root).model == "revenue"
    assert load_contract(churn.root).problem == "regression"
    assert chosen_model(churn.root, "churn", project) == ""

    monkeypatch.setenv("MLOPS_MODEL", "revenu")
    with pytest.raises(ModelNameError, match=r"has: churn \(the main model\), revenue"):
        chosen_model(churn.root, project=project)


def test_the_option_is_for_the_command_and_for_what_it_starts(
    churn: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(churn.root)

    with pytest.raises(SystemExit) as ended:
        run(None, ["--model", "revenue", "status", "--json"])
    said = json.loads(capsys.readouterr().out)
    with pytest.raises(SystemExit) as refused:
        run(None, ["--model", "revenu", "data", "--json"])

    assert (ended.value.code, refused.value.code) == (0, 2)
    assert (said["dataset"], said["next_command"]) == (
        "customer_churn_revenue",
        "make data MODEL=revenue",
    )
    assert "there is no model 'revenu'" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("make train-local", "make train-local MODEL=revenue"),
        ("make data train-local, then look", "make data train-local MODEL=revenue, then look"),
        ("make data-maintain", "make data-maintain"),
        ("make mlflow-up", "make mlflow-up"),
    ],
)
def test_a_command_that_mends_something_is_about_the_model(text: str, wanted: str) -> None:
    assert with_model(text, "revenue") == wanted
    assert with_model(text, "") == text


def test_each_model_has_the_definitions_of_its_name(churn: Settings) -> None:
    project = Project(
        features=lambda: [charge_rate],
        answer_fields=lambda: [segment],
        models={"churn": Model, "revenue": lambda: Model(features=[], tags=lambda _: {"a": "b"})},
    )

    main = load_settings(churn.root, project, "")
    own = load_settings(churn.root, project, "revenue")

    assert main.project.definitions.tags is None
    assert own.project.definitions.tags is not None
    assert main.project.own_features == (charge_rate,)
    assert own.project.own_features == ()
    assert own.project.own_answer_fields == ()
    assert learned_contract(own, load_contract(churn.root, "revenue")).row_features == []
    assert project.families_of_all.families == []


def test_features_are_shared_unless_a_model_has_its_own(churn: Settings) -> None:
    project = Project(features=lambda: [charge_rate], models={"churn": Model})
    own = load_settings(churn.root, project, "revenue")

    learned = learned_contract(own, load_contract(churn.root, "revenue"))

    assert [each.name for each in learned.row_features] == ["charge_rate"]


def test_a_window_over_the_main_table_reads_a_further_models_rows(churn: Settings) -> None:
    @window_feature(source="customer_churn", over=("90d",), lag="7d")
    def seen(rows: Rows) -> Aggregate:
        return rows.count()

    ahead = "forecast: {horizon: 7d, step: 1d, season: 7d, lags: [7d], per_entity: true}\n"
    write(churn.root, "project.yaml", REVENUE + ahead)
    settings = load_settings(churn.root, Project(features=lambda: [seen]), "revenue")
    learned = learned_contract(settings, load_contract(churn.root, "revenue"))

    assert any(each.name.startswith("seen") for each in learned.window_features)
    assert {each.source for each in definitions_in(learned)} == {"customer_churn_revenue"}


def test_the_main_model_has_its_features_in_the_project(churn: Settings) -> None:
    project = Project(models={"churn": lambda: Model(answer_fields=[segment])})

    with pytest.raises(ProjectDefinitionError, match="is for a model with a folder models/NAME"):
        _ = load_settings(churn.root, project, "").project.definitions


def test_add_model_writes_what_differs_and_says_why(project: Settings) -> None:
    file = project.root / "data/sample/customers.csv"
    write_sample(file, 300, 7, {})
    add_revenue_column(file)

    added = add_model(project, "revenue", TARGET)

    text = (project.root / added.contract_file).read_text()
    reasons = {each.column: each.reason for each in added.decisions}
    assert "features:" not in text
    assert "source:" not in text
    assert reasons["churned"].startswith("the target of the main model")
    assert reasons["region"] == "as config/project.yaml describes it"
    assert any("def revenue() -> Model:" in note for note in added.notes)
    assert load_contract(project.root, "revenue").problem == "regression"


def test_add_model_undoes_settings_that_a_number_cannot_have(project: Settings) -> None:
    rows = project.root / "data/sample/customers.csv"
    write_sample(rows, 300, 7, {})
    add_revenue_column(rows)
    for name, text in {
        "decision": "threshold: 0.4\nunsure: [0.3, 0.5]\nvalues: {tp: 80, fp: -10}\n",
        "validation": "thresholds: {roc_auc: 0.75}\ngates: [{metric: recall, at_least: 0.5}]\n",
        "training": "metric: pr_auc\nfamilies: [boosting, mine]\n",
    }.items():
        (project.root / f"config/{name}.yaml").write_text(text)

    added = add_model(load_settings(project.root), "revenue", TARGET)

    own = of_revenue(project)
    check_all_definitions(own, load_contract(project.root, "revenue"))
    assert own.decision == type(own.decision)()
    assert (own.validation.thresholds, own.validation.gates) == ({}, ())
    assert (own.training.metric, own.training.families) == ("", ())
    (said,) = [each for each in added.notes if "decision.yaml" in each]
    assert said.startswith("models/revenue/decision.yaml undoes values and threshold and unsure")


def test_add_model_keeps_the_settings_that_fit_and_files_that_are_there(project: Settings) -> None:
    rows = project.root / "data/sample/customers.csv"
    write_sample(rows, 300, 7, {})
    add_revenue_column(rows)
    (project.root / "config/decision.yaml").write_text("threshold: 0.4\n")
    write(project.root, "decision.yaml", "interval: 0.9\nthreshold: null\n")

    add_model(load_settings(project.root), "revenue", TARGET)

    assert of_revenue(project).decision.interval == 0.9
    assert not (project.root / "models/revenue/training.yaml").exists()


def test_check_prints_of_a_further_model_only_what_is_its_own(churn: Settings) -> None:
    found = check_all_definitions(churn, load_contract(churn.root))
    printed = for_people(found)

    assert "used" not in printed
    (model,) = printed["models"].values()
    assert model["metric"] == "r2"
    assert not {"project", "recipes", "routes", "sources", "dags"} & set(model)
    assert model["used"].startswith("the engine's own definitions")


def test_add_model_leaves_out_what_the_new_target_cannot_have(project: Settings) -> None:
    """The main model forecasts a number; the further one predicts a class, a fairness group."""
    file = project.root / "config/project.yaml"
    values = yaml.safe_load(file.read_text())
    values["features"] = [each for each in values["features"] if each["name"] != "monthly_charges"]
    values |= {
        "problem": "regression",
        "target": {"column": "monthly_charges"},
        "forecast": {
            "horizon": "7d",
            "step": "1d",
            "season": "7d",
            "lags": ["7d"],
            "per_entity": True,
        },
        "ignored": {"churned": "known later"},
        "fairness_groups": ["region", "contract"],
    }
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    write_sample(project.root / "data/sample/customers.csv", 300, 7, {})

    added = add_model(project, "term", "contract")

    contract = load_contract(project.root, "term")
    assert contract.forecast is None
    assert contract.fairness_groups == ("region",)
    assert "fairness_groups without contract: no features of this model" in added.notes
    assert any("without the main model's forecast" in note for note in added.notes)


@pytest.mark.parametrize(
    ("name", "target", "said"),
    [
        ("Revenue", TARGET, "cannot name a model"),
        ("revenue", "churned", "what the main model predicts"),
        ("churn", TARGET, "is the main model in project.py"),
        ("revenue", "nothing", "nothing"),
    ],
)
def test_a_model_that_cannot_be_added_leaves_no_folder(
    project: Settings, name: str, target: str, said: str
) -> None:
    file = project.root / "data/sample/customers.csv"
    write_sample(file, 300, 7, {})
    add_revenue_column(file)
    settings = load_settings(project.root, Project(models={"churn": Model}))

    with pytest.raises((AdoptionError, ModelNameError), match=said):
        add_model(settings, name, target)
    assert not (project.root / "models").exists()


def test_a_model_may_be_added_beside_one_whose_target_is_made_of_events(project: Settings) -> None:
    sources = project.root / "config" / "sources"
    shutil.copytree(PROJECT / "config/sources", sources, dirs_exist_ok=True)
    file = project.root / "config/project.yaml"
    values = yaml.safe_load(file.read_text())
    values["target"] = {"event": "payments", "within": "30d"}
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    rows = project.root / "data/sample/customers.csv"
    write_sample(rows, 300, 7, {})
    add_revenue_column(rows)

    add_model(project, "revenue", TARGET)

    assert load_contract(project.root, "revenue").target.column == TARGET


@pytest.mark.parametrize("other", ["config/sources/{}.yaml", "models/income/project.yaml"])
def test_a_model_whose_tables_are_taken_cannot_be_added(project: Settings, other: str) -> None:
    name = "customer_churn_revenue"
    file = project.root / other.format(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    if "sources" in other:
        shutil.copy(PROJECT / "config/sources/payments.yaml", file)
    else:
        file.write_text(REVENUE + f"dataset: {name}\n")

    with pytest.raises(AdoptionError, match=f"would be called {name}"):
        add_model(project, "revenue", TARGET)


def test_the_page_of_a_model_shows_its_own_retrainings(churn: Settings) -> None:
    own = of_revenue(churn)
    Ledger(own.root, own.model).begin(
        Retraining("run-1", "2026-11-20T11:00:00+00:00", "batch", "drift", "1")
    )

    assert [each.what for each in reported_runs(own)] == ["retraining"]
    assert reported_runs(load_settings(churn.root)) == ()


def test_the_server_of_a_models_page_reads_its_contract(churn: Settings) -> None:
    own = of_revenue(churn)

    with MonitorServer(own, load_contract(churn.root, own.model)) as server:
        assert "<h1>customer_churn_revenue</h1>" in server.page()


def test_a_feature_that_reads_the_new_target_is_named_with_what_helps(project: Settings) -> None:
    file = project.root / "data/sample/customers.csv"
    write_sample(file, 300, 7, {})
    shop = Project(features=lambda: [charge_rate], models={"churn": Model})
    settings = load_settings(project.root, shop)

    added = add_model(settings, "charges", "monthly_charges")

    (said,) = [note for note in added.notes if note.startswith("NOT USABLE YET")]
    assert "charge_rate" in said
    with pytest.raises(ProjectDefinitionError, match="monthly_charges") as caught:
        check_all_definitions(settings, load_contract(project.root))
    for fix in (said, caught.value.fix):
        assert 'models={…, "charges": lambda: Model(features=[…])}' in fix


def test_the_store_of_a_trial_knows_the_windows_of_its_model(
    churn: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PROJECT / "config/sources", churn.root / "config/sources", dirs_exist_ok=True)
    shop = Project(features=lambda: [paid_often], models={"churn": Model, "revenue": Model})
    own = load_settings(churn.root, shop, "revenue")
    contract = learned_contract(own, load_contract(churn.root, "revenue"))

    variables = _empty_store(own, churn.root / "trial.db", contract)

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    store = open_online_store(load_settings(churn.root, shop, "revenue"))
    (definition,) = definitions_in(contract)
    assert store.read_state(view_of(definition)) is not None


def test_a_route_that_a_further_model_answers_is_refused(churn: Settings) -> None:
    router = APIRouter()

    @router.post("/models/revenue/predict")
    def mine() -> None:
        pass

    shop = Project(service=lambda: Service(routers=[router]), models={"churn": Model})

    with pytest.raises(ProjectDefinitionError, match="/models/revenue/predict"):
        check_all_definitions(load_settings(churn.root, shop), load_contract(churn.root))


def test_what_only_a_service_of_its_own_would_use_is_said(
    churn: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    write(churn.root, "serving.yaml", "read_seconds: 3\nmaximum_batch_rows: 7\n")

    core = ServingCore(load_settings(churn.root), load_contract(churn.root))
    add_further_models(core)

    (said,) = [each.getMessage() for each in caplog.records if "revenue" in each.getMessage()]
    assert "main model's read_seconds; " in said
    assert "make serve MODEL=revenue" in said
    for close in reversed(core.at_end):
        close()


def test_what_nobody_expected_of_a_further_model_leaves_the_main_one_served(
    churn: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = ServingCore(load_settings(churn.root), load_contract(churn.root))
    monkeypatch.setattr("goldpath.serving.models.cores.load_contract", lambda *_: len(1))  # type: ignore[arg-type]

    add_further_models(core)

    assert core.further == {}
    assert "TypeError: object of type 'int'" in core.unusable["revenue"].message
    assert "models/revenue" in core.unusable["revenue"].fix
    assert "Traceback" in caplog.text


def test_airflow_is_told_of_each_model_and_of_none_as_before(churn: Settings) -> None:
    shutil.copytree(PROJECT / "airflow", churn.root / "airflow")
    contract = load_contract(churn.root)

    described = describe(churn, contract)
    write_description(churn, contract)
    written = json.loads((churn.root / "airflow/dags/pipeline.json").read_text())
    shutil.rmtree(churn.root / "models")
    write_description(churn, contract)

    assert described.further["revenue"].dataset == "customer_churn_revenue"
    assert [each["task"] for each in written["further"]["revenue"]["training"]][:1] == ["extract"]
    assert "further" not in json.loads((churn.root / "airflow/dags/pipeline.json").read_text())


@pytest.mark.parametrize(
    ("dag", "is_known"),
    [
        ("ml_training_pipeline_revenue", True),
        ("ml_drift_monitoring_revenue", True),
        ("data_pipeline_revenue", False),
        ("ml_training_pipeline_x", False),
    ],
)
def test_a_schedule_may_name_a_further_models_dag(
    churn: Settings, dag: str, is_known: bool
) -> None:
    shutil.copytree(PROJECT / "airflow", churn.root / "airflow")
    (churn.root / "config/airflow.yaml").write_text(f"schedules: {{{dag}: '@daily'}}\n")
    settings = load_settings(churn.root)

    if is_known:
        require_known_schedules(settings)
    else:
        with pytest.raises(OrchestrationError, match=dag):
            require_known_schedules(settings)


@pytest.mark.parametrize(
    ("labels", "asked"),
    [
        ({"source": "batch"}, Asked("batch")),
        ({"source": "batch", "model": "revenue"}, Asked("batch", "revenue")),
        ({"source": "batch", "model": "--yes"}, None),
        ({"source": "elsewhere", "model": "revenue"}, None),
    ],
)
def test_an_alert_asks_for_a_training_of_the_model_that_it_is_about(
    labels: dict[str, str], asked: Asked | None
) -> None:
    assert _asked_by({"labels": {"alertname": "DriftDetected", **labels}}) == asked


def test_data_prints_further_sources_and_models_in_a_sentence_each() -> None:
    reasons = {"paid_at: is not a time": 3}
    source = SourceResult("payments.csv", 1, (), 1010, 1000, 3, 7, 0, 0, reasons)
    main = DataResult("customers.csv", 1, (), 50, 50, 0, 0, 0, {}, "gold.churn", 1)
    whole = replace(main, sources={"payments": source}, models={"revenue": main})

    printed = for_people_of_data(whole)

    assert printed["sources"]["payments"] == (
        "1,000 of 1,010 rows fulfil the contract, 3 quarantined (paid_at: is not a time: 3), "
        "7 duplicate"
    )
    assert printed["models"]["revenue"] == "50 of 50 rows fulfil the contract"
    assert printed["bronze_rows"] == 50
