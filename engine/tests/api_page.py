"""`docs/api.md`, made of the public names' own docstrings: `python -m tests.api_page` writes it."""

import inspect
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

import goldpath

PAGE = Path(__file__).parents[1] / "docs" / "api.md"

GROUPS = {
    "A project and what it hands over": (
        "Project",
        "Data",
        "sql_recipe",
        "Model",
        "Service",
        "run",
        "family",
        "Family",
        "stored",
        "Trial",
        "Columns",
        "row_feature",
        "RowFeature",
        "Row",
        "Value",
        "case",
        "cyclic_sin",
        "cyclic_cos",
        "is_holiday",
        "window_feature",
        "WindowFeature",
        "Rows",
        "Aggregate",
        "lag",
        "rolling_mean",
        "same_hour_last_week",
        "metric",
        "Metric",
        "gate",
        "Gate",
        "Evidence",
        "BaseValidator",
        "ValidationResult",
        "ValidationStatus",
        "ValidationSeverity",
        "Prediction",
        "Hooks",
        "PredictionRequest",
        "RefusedError",
        "service_metric",
        "ServiceMetric",
        "TrainingWork",
        "BatchWork",
        "predict",
    ),
    "Settings and contract": (
        "load_settings",
        "Settings",
        "Section",
        "AwsSettings",
        "load_contract",
        "Contract",
    ),
    "Data": ("open_lakehouse", "FeatureStore"),
    "Models": ("LoadedModel", "ModelValidator", "MLflowManager", "VersionManager", "ModelDeployer"),
    "AutoML": (
        "find_model",
        "find_clusters",
        "Budget",
        "ExperimentManager",
        "HyperparameterTuner",
        "create_tracker",
    ),
    "The service": ("create_app", "Client"),
    "Errors": ("ProjectError", "CheckFailedError", "NotEnoughDataError", "NothingToDoError"),
}

OF_MODULES = {
    "Tests of a project: `goldpath.testing`": ("goldpath.testing", ("assert_feature", "tiny_lake")),
}
"""Names of public modules, which are imported from there."""

HEAD = """# Public API

What a project may import from `goldpath`. Everything else is private to the engine and may change
with any version, the names of `goldpath.testing` and the answers and errors of `goldpath.client`
excepted. `help(goldpath.NAME)` shows arguments, results and errors. The examples run as tests in
the folder of a project with the example's contract, some of them after its first training.
"""


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += _names({name: getattr(goldpath, name) for name in names})
    for title, (home, names) in OF_MODULES.items():
        parts.append(f"## {title}\n")
        parts += _names({name: getattr(import_module(home), name) for name in names})
    return "\n".join(parts)


def _names(public: dict[str, Any]) -> list[str]:
    listed = [f"- [`{name}`](#{name.lower()}): {first_line(each)}" for name, each in public.items()]
    return [*listed, "", *(entry(name, each) for name, each in public.items())]


def entry(name: str, public: Any) -> str:
    """One name: its first line and its example."""
    return f"### {name}\n\n{first_line(public)}\n\n```python\n{example(public)}\n```\n"


def first_line(public: Any) -> str:
    """What it is, in a line."""
    return documentation(public).partition("\n")[0]


def example(public: Any) -> str:
    """The lines of its example, without the prose between them."""
    _, found, text = documentation(public).partition("\nExample:\n")
    if not found:
        raise ValueError(f"{public.__name__} has no example in its docstring")
    return textwrap.dedent(text).strip()


def documentation(public: Any) -> str:
    """Its docstring."""
    return inspect.getdoc(public) or ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
