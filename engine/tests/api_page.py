"""`docs/api.md`, made of the public names' own docstrings: `python -m tests.api_page` writes it."""

import inspect
import textwrap
from pathlib import Path

import goldpath

PAGE = Path(__file__).parents[1] / "docs" / "api.md"

GROUPS = {
    "A project and what it hands over": (
        "Project",
        "Data",
        "Model",
        "Service",
        "run",
        "family",
        "Family",
        "Trial",
        "Columns",
        "row_feature",
        "RowFeature",
        "Row",
        "Value",
        "case",
        "metric",
        "Metric",
        "BaseValidator",
        "ValidationResult",
        "ValidationStatus",
        "ValidationSeverity",
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

HEAD = """# Public API

What a project may import from `goldpath`. Everything else is private to the engine and may change
with any version, the answers and errors of `goldpath.client` excepted. `help(goldpath.NAME)` shows
arguments, results and errors. The examples run as tests in the folder of a project with the
example's contract, some of them after its first training.
"""


def page() -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        parts += [f"- [`{name}`](#{name.lower()}): {first_line(name)}" for name in names]
        parts += ["", *(entry(name) for name in names)]
    return "\n".join(parts)


def entry(name: str) -> str:
    """One name: its first line and its example."""
    return f"### {name}\n\n{first_line(name)}\n\n```python\n{example(name)}\n```\n"


def first_line(name: str) -> str:
    """What it is, in a line."""
    return documentation(name).partition("\n")[0]


def example(name: str) -> str:
    """The lines of its example, without the prose between them."""
    _, found, text = documentation(name).partition("\nExample:\n")
    if not found:
        raise ValueError(f"goldpath.{name} has no example in its docstring")
    return textwrap.dedent(text).strip()


def documentation(name: str) -> str:
    """Its docstring."""
    return inspect.getdoc(getattr(goldpath, name)) or ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
