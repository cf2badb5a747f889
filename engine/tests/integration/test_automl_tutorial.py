"""Every AutoML example of the guide that this project replaces, step by step."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor

from goldpath.automl.experiments.manager import ExperimentManager
from goldpath.automl.experiments.results import ExperimentError, ExperimentResults
from goldpath.automl.experiments.tracking import TrackingError, create_tracker
from goldpath.automl.tuning.tuner import HyperparameterTuner

from ..locations import ENGINE

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("automl-tutorial")]

BUDGET = 1.5
ROWS = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("script")


@pytest.fixture(autouse=True)
def somewhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a project, as a plain script may run in; MLflow's database is made once."""
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def sales() -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "price": random.uniform(5, 50, ROWS),
            "rating": random.normal(4, 0.5, ROWS),
            "category": random.choice(["toys", "books", "tools"], ROWS),
        }
    )
    table.loc[::17, "rating"] = np.nan
    sold = 100 - table["price"] + 20 * (table["category"] == "toys") + random.normal(size=ROWS)
    return table, sold.to_numpy()


@pytest.fixture(scope="module")
def regression(
    sales: tuple[pd.DataFrame, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> tuple[ExperimentManager, str, ExperimentResults]:
    manager = ExperimentManager("meu_experimento", tmp_path_factory.mktemp("automl"))
    experiment_id = manager.create_experiment(
        name="Previsão de Vendas",
        description="Modelo para prever vendas baseado em características do produto",
        dataset_info={"shape": (1000, 10), "target": "vendas"},
    )
    X_data, y_data = sales  # noqa: N806  the guide's names
    results = manager.run_basic_experiment(
        experiment_id=experiment_id, X=X_data, y=y_data, problem_type="regression", budget=BUDGET
    )
    return manager, experiment_id, results


def test_an_experiment_finds_a_model_and_is_remembered(
    regression: tuple[ExperimentManager, str, ExperimentResults],
    sales: tuple[pd.DataFrame, np.ndarray],
) -> None:
    manager, experiment_id, results = regression
    assert results["metrics"]["r2"] > 0.8
    assert results["score"] < results["baseline_score"]
    assert set(results.to_dict()) == set(dict(results)) - {"model", "labels"}
    assert results.best_model.predict(sales[0].head(3)).shape == (3,)
    found = manager.get_experiment(experiment_id)
    assert found["name"] == "Previsão de Vendas"
    assert found["dataset_info"] == {"shape": [1000, 10], "target": "vendas"}
    assert found.runs == (results.run_id,)
    assert [item.experiment_id for item in manager.list_experiments()] == [experiment_id]
    again = ExperimentManager("meu_experimento", manager.base).get_results(experiment_id)
    assert again == results
    assert np.array_equal(again.model.predict(sales[0]), results.model.predict(sales[0]))
    assert (Path(results.folder) / "report.html").is_file()


def test_an_order_in_time_is_found_kept_and_denied(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    level = np.cumsum(random.normal(size=ROWS))
    table = pd.DataFrame(
        {"dia": pd.date_range("2025-01-01", periods=ROWS), "price": random.uniform(5, 50, ROWS)}
    )
    manager = ExperimentManager("demanda", tmp_path)
    asked: dict[str, Any] = {
        "experiment_id": "demand",
        "X": table,
        "y": level - table["price"] / 10,
        "problem_type": "regression",
        "trials": 1,
        "families": ["linear"],
    }
    found = manager.run_basic_experiment(**asked)
    assert found["folds_by"] == "time"
    assert "the rows rise with dia" in found.findings[0].evidence
    assert "What the rows show" in (Path(found.folder) / "report.html").read_text("utf-8")
    again = manager.get_results("demand")
    assert (again.findings, again.interval, again.options) == (
        found.findings,
        found.interval,
        found.options,
    )
    denied = manager.run_basic_experiment(**asked, time_ordered=False, report=False)
    assert (denied["folds_by"], denied.questions) == ("random", ())
    assert denied["score"] < found["score"]


def test_a_model_is_tuned(sales: tuple[pd.DataFrame, np.ndarray]) -> None:
    X_data, y_data = sales[0][["price"]], sales[1]  # noqa: N806
    tuner = HyperparameterTuner()
    model = RandomForestRegressor(random_state=42)
    results = tuner.auto_tune_model(
        model=model,
        model_type="random_forest_regressor",
        X=X_data,
        y=y_data,
        method="random_search",
        n_iter=3,
    )
    assert results["best_score"] >= results["default_score"]
    assert len(results["trials"]) == 4
    assert results.best_model.predict(X_data.head(2)).shape == (2,)
    assert model.get_params()["n_estimators"] == 100


def test_both_kinds_of_results_are_tracked(
    regression: tuple[ExperimentManager, str, ExperimentResults],
    sales: tuple[pd.DataFrame, np.ndarray],
    somewhere: Path,
) -> None:
    experiment = regression[2]
    tuned = HyperparameterTuner().auto_tune_model(
        model=RandomForestRegressor(n_estimators=5, random_state=42),
        model_type="random_forest_regressor",
        X=sales[0][["price"]],
        y=sales[1],
        n_iter=1,
    )
    tracker = create_tracker("meus_experimentos")
    assert tracker.list_runs() == ()
    dataset_info = {"shape": (ROWS, 3), "target": "vendas"}
    run_id = tracker.track_automl_experiment(
        experiment_results=experiment, dataset_info=dataset_info
    )
    tuned_id = tracker.track_automl_experiment(experiment_results=tuned, dataset_info=dataset_info)
    assert tracker.track_automl_experiment(experiment_results=experiment) == run_id
    assert {run.run_id for run in tracker.list_runs()} == {run_id, tuned_id}
    assert "meus_experimentos" in [item.name for item in tracker.list_experiments()]
    files = {file.path for file in tracker.client.list_artifacts(run_id, "automl")}
    assert files == {f"automl/{n}" for n in (
        "model.skops", "report.html", "report.json", "result.json"
    )}  # fmt: skip
    children = tracker.client.search_runs(
        [tracker.client.get_experiment_by_name("meus_experimentos").experiment_id],
        f"tags.`mlflow.parentRunId` = '{run_id}'",
    )
    assert len(children) == len(experiment.leaderboard)
    comparison = tracker.compare_runs([run_id, tuned_id])
    assert comparison["metrics"]["r2"][run_id] == pytest.approx(experiment.metrics["r2"])
    assert set(comparison["different_parameters"]["method"].values()) == {None, "random_search"}
    assert (somewhere / "mlflow.db").is_file()
    with pytest.raises(TrackingError, match="knows no run"):
        tracker.compare_runs([run_id, "0" * 32])


def test_an_experiment_that_nobody_made_is_made(
    sales: tuple[pd.DataFrame, np.ndarray], somewhere: Path
) -> None:
    manager = ExperimentManager("meu_experimento")
    product_features, optimal_prices = sales
    price_model = manager.run_basic_experiment(
        experiment_id="price_optimization",
        X=product_features,
        y=optimal_prices,
        problem_type="regression",
        budget=1,
    )
    assert price_model["experiment_id"] == "price_optimization"
    assert manager.get_experiment("price_optimization").runs == (price_model.run_id,)
    assert (somewhere / "automl" / "experiments").is_dir()


def test_gradient_boosting_takes_xgboost(sales: tuple[pd.DataFrame, np.ndarray]) -> None:
    xgboost = pytest.importorskip("xgboost")
    historical_data, demand_data = sales[0][["price", "rating"]], sales[1]
    demand_model = HyperparameterTuner().auto_tune_model(
        model=xgboost.XGBRegressor(n_estimators=20, n_jobs=1),
        model_type="gradient_boosting",
        X=historical_data,
        y=demand_data,
        n_iter=2,
    )
    assert isinstance(demand_model.best_model, xgboost.XGBRegressor)
    assert demand_model.best_score >= demand_model.default_score
    run_id = create_tracker("demanda").track_automl_experiment(experiment_results=demand_model)
    assert run_id


def test_customers_are_segmented() -> None:
    random = np.random.default_rng(2)
    customer_features = pd.DataFrame(
        np.concatenate([random.normal(at, 0.3, (60, 2)) for at in (-3, 0, 3)]),
        columns=["orders", "spent"],
    )
    clustering_results = ExperimentManager("meu_experimento").run_basic_experiment(
        experiment_id="customer_segmentation",
        X=customer_features,
        y=None,
        problem_type="clustering",
        budget=2,
    )
    assert clustering_results["metrics"]["clusters"] == 3
    labels = clustering_results["labels"]
    assert len(labels) == len(customer_features)
    assert all(len(set(labels[start : start + 60])) == 1 for start in (0, 60, 120))
    again = ExperimentManager("meu_experimento").get_results("customer_segmentation")
    assert np.array_equal(again["labels"], labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"problem_type": "ranking"}, "'ranking'"),
        ({"problem_type": "regression", "y": None}, "needs a target"),
        ({"problem_type": "clustering"}, "without a target"),
        ({"problem_type": "regression", "experiment_id": "../up"}, "cannot be"),
    ],
)
def test_what_cannot_be_is_said(arguments: dict[str, Any], message: str) -> None:
    given = {"experiment_id": "x", "X": [[1.0], [2.0]], "y": [1.0, 2.0], **arguments}
    with pytest.raises(ExperimentError, match=message):
        ExperimentManager().run_basic_experiment(**given)


def test_the_example_of_the_documentation_runs() -> None:
    text = (ENGINE / "docs" / "automl.md").read_text(encoding="utf-8")
    example = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert example is not None
    values: dict[str, Any] = {}
    exec(compile(example[1], "docs/automl.md", "exec"), values)  # noqa: S102  our own page
    assert values["results"]["metrics"]["r2"] > 0.5
    assert (values["by_patient"].folds_by, values["by_time"].folds_by) == ("groups", "time")
    assert values["run_id"]
