"""The public API: its names, that they are typed, documented and tried, and imported lazily."""

import ast
import doctest
import inspect
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import goldpath

from ..api_page import GROUPS, PAGE, page
from ..ready_made import add_ready_made

if TYPE_CHECKING:
    from goldpath.settings import Settings

    from ..conftest import Trained

NAMES = {
    "Aggregate",
    "AwsSettings",
    "BaseValidator",
    "Budget",
    "CheckFailedError",
    "Client",
    "Columns",
    "Contract",
    "Data",
    "Evidence",
    "ExperimentManager",
    "Family",
    "FeatureStore",
    "Gate",
    "HyperparameterTuner",
    "LoadedModel",
    "MLflowManager",
    "Metric",
    "Model",
    "ModelDeployer",
    "ModelValidator",
    "NotEnoughDataError",
    "NothingToDoError",
    "Prediction",
    "Project",
    "ProjectError",
    "Row",
    "RowFeature",
    "Rows",
    "Section",
    "Service",
    "Hooks",
    "PredictionRequest",
    "RefusedError",
    "ServiceMetric",
    "service_metric",
    "Settings",
    "BatchWork",
    "TrainingWork",
    "Trial",
    "ValidationResult",
    "ValidationSeverity",
    "ValidationStatus",
    "Value",
    "VersionManager",
    "WindowFeature",
    "case",
    "create_app",
    "create_tracker",
    "cyclic_cos",
    "cyclic_sin",
    "family",
    "find_clusters",
    "find_model",
    "gate",
    "is_holiday",
    "lag",
    "load_contract",
    "load_settings",
    "metric",
    "open_lakehouse",
    "predict",
    "rolling_mean",
    "row_feature",
    "run",
    "same_hour_last_week",
    "sql_recipe",
    "stored",
    "window_feature",
}
"""What projects may rely on. A name that goes is a breaking change: say so in CHANGELOG.md."""

AFTER_TRAINING = {"FeatureStore", "MLflowManager", "ModelDeployer", "open_lakehouse"}
"""Names whose examples need a champion and its data."""

SLOW = {"create_tracker"}
"""Names whose examples write to MLflow."""

DOCUMENTED_ELSEWHERE = {
    "Section",  # its parameters are those of the class that is derived from it
    "AwsSettings",  # by its fields' descriptions
    "Settings",  # by each section's fields
    "Trial",
    "ValidationSeverity",
    "ValidationStatus",
    "CheckFailedError",  # by ProjectError
    "NotEnoughDataError",
    "NothingToDoError",
}
"""Names whose docstrings list no parameters of their own."""

HEAVY = {
    "catboost",
    "duckdb",
    "evidently",
    "fastapi",
    "ibis",
    "lightgbm",
    "matplotlib",
    "mlflow",
    "numpy",
    "optuna",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyiceberg",
    "scipy",
    "sklearn",
    "yaml",
}


def test_the_public_names_are_these_and_no_others() -> None:
    assert set(goldpath.__all__) == NAMES
    assert set(dir(goldpath)) >= NAMES
    for name in NAMES:
        assert getattr(goldpath, name).__name__ == name


def test_an_unknown_name_is_an_attribute_error_like_any_modules() -> None:
    with pytest.raises(AttributeError, match="module 'goldpath' has no attribute 'Projekt'"):
        _ = goldpath.Projekt  # type: ignore[attr-defined]
    with pytest.raises(ImportError, match="cannot import name 'Projekt'"):
        exec("from goldpath import Projekt")  # noqa: S102


def test_type_checkers_are_told_the_same_names_from_the_same_modules() -> None:
    package = Path(goldpath.__file__)
    stub = ast.parse(package.with_suffix(".pyi").read_text("utf-8"))
    typed = {
        (alias.asname, node.module)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == alias.asname
    }
    (exported,) = (node.value for node in stub.body if isinstance(node, ast.Assign))

    homes: dict[str, tuple[str, ...]] = vars(goldpath)["_HOMES"]
    assert typed == {(name, module) for module, names in homes.items() for name in names}
    assert ast.literal_eval(exported) == goldpath.__all__


def test_the_page_of_the_api_says_what_the_docstrings_say() -> None:
    assert {name for names in GROUPS.values() for name in names} == NAMES
    assert PAGE.read_text("utf-8") == page(), "write it anew: python -m tests.api_page"


@pytest.mark.parametrize("name", sorted(NAMES - DOCUMENTED_ELSEWHERE))
def test_every_parameter_is_documented(name: str) -> None:
    public = getattr(goldpath, name)
    text = inspect.getdoc(public) or ""
    given = getattr(public, "model_fields", None) or inspect.signature(public).parameters
    assert [each for each in given if f"\n    {each}: " not in text] == []


@pytest.mark.parametrize(
    "name",
    [
        *sorted(NAMES - AFTER_TRAINING - SLOW),
        *(pytest.param(name, marks=pytest.mark.slow) for name in sorted(SLOW)),
    ],
)
def test_the_example_runs(name: str, project: "Settings", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.root)
    if name in SLOW:
        add_ready_made(project)
    run_example(name, monkeypatch)


@pytest.mark.slow
@pytest.mark.xdist_group("trained")
@pytest.mark.parametrize("name", sorted(AFTER_TRAINING))
def test_the_example_runs_where_there_is_a_champion(
    name: str, trained: "Trained", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.settings.root)
    run_example(name, monkeypatch)


def run_example(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run_examples_of(getattr(goldpath, name), monkeypatch)


def run_examples_of(public: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goldpath.project._running", goldpath.Project())
    name, module = public.__name__, sys.modules[public.__module__]
    flags = doctest.ELLIPSIS | doctest.REPORT_NDIFF
    runner = doctest.DocTestRunner(optionflags=flags, verbose=False)
    report: list[str] = []
    for test in doctest.DocTestFinder().find(public, name, module=module, globs={}):
        runner.run(test, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)
    assert runner.tries > 0


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert loaded("import goldpath") == set()


def test_what_project_py_imports_is_light() -> None:
    assert (
        loaded("from goldpath import Data, Hooks, Model, Project, ProjectError, Service") == set()
    )


def test_the_help_of_the_command_line_imports_nothing_heavy() -> None:
    program = """
from goldpath import Project, run
try:
    run(Project(name="customer_churn"), ["--help"])
except SystemExit as end:
    assert end.code == 0, end.code
"""
    assert loaded(program) == set()


def test_the_names_of_the_service_need_nothing_of_training() -> None:
    training = {"duckdb", "evidently", "ibis", "matplotlib", "optuna", "pyiceberg"}
    assert not loaded("from goldpath import create_app, predict") & training


def loaded(program: str) -> set[str]:
    """Which heavy libraries a new process has imported after a program."""
    code = f"{program}\nimport sys\nprint('LOADED', *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return HEAVY & set(done.stdout.rpartition("LOADED")[2].split())
