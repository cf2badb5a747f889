"""The folders `models/NAME`: which further models a project has, and which one a command is about.

The variable `MLOPS_MODEL` decides; `--model NAME` and `make … MODEL=NAME` set it, so that child
processes and Airflow's tasks are about the same model. Empty: the main model, which has no folder.
"""

import os
import re
from collections.abc import Collection
from pathlib import Path

from goldpath.errors import ProjectError
from goldpath.project import Project, running_project

FOLDER = "models"
CONTRACT = "project.yaml"
VARIABLE = "MLOPS_MODEL"
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")


TARGETS = (
    "data", "train-local", "automl", "promote", "rollback", "reproduce", "batch-predict",
    "drift-check", "materialize", "compact-logs", "live-performance", "retrain", "serve", "status",
    "data-report", "monitor-page",
)  # fmt: skip
"""Targets of make that are about one model."""
_TARGET = rf"(?:{'|'.join(TARGETS)})(?![\w-])"
_COMMAND = re.compile(rf"\bmake {_TARGET}(?: {_TARGET})*+(?! MODEL=)")


class ModelNameError(ProjectError):
    """A model that the project does not have, or a folder that is no model's."""


def contract_file(name: str) -> str:
    """The file of a further model's contract, from the project's root."""
    return f"{FOLDER}/{name}/{CONTRACT}"


def with_model(text: str, model: str) -> str:
    """A sentence whose make commands are about a further model; as it is for the main one."""
    return _COMMAND.sub(lambda found: f"{found.group()} MODEL={model}", text) if model else text


def further_models(root: Path) -> tuple[str, ...]:
    """The names of the models with a folder, sorted; a project without `models/` has none.

    A folder without a `project.yaml` is no model's: `other_folders` has its name.

    Raises:
        ModelNameError: If the name of a folder with a contract cannot be a model's.
    """
    names = [each for each in _folders(root) if (root / contract_file(each)).is_file()]
    for name in names:
        require_name(name, f"{FOLDER}/{name}")
    return tuple(names)


def other_folders(root: Path) -> tuple[str, ...]:
    """The folders in `models/` that hold no contract, from the project's root; sorted."""
    return tuple(
        f"{FOLDER}/{each}" for each in _folders(root) if not (root / contract_file(each)).is_file()
    )


def _folders(root: Path) -> list[str]:
    return sorted(
        each.name
        for each in (root / FOLDER).glob("*")
        if each.is_dir() and not each.name.startswith((".", "_"))
    )


def require_name(name: str, shown: str) -> None:
    """Check that a further model may be called so.

    Raises:
        ModelNameError: If tables, addresses and DAGs could not carry the name.
    """
    if NAME.fullmatch(name) is None:
        raise ModelNameError(
            f"{shown}: {name!r} cannot name a model",
            "use up to 31 lower-case letters, digits and underscores, beginning with a letter: "
            "revenue",
        )


def main_model(project: Project, further: Collection[str]) -> str:
    """The main model's name in project.py; empty where it names none."""
    return next((each for each in project.models if each not in further), "")


def chosen_model(root: Path, name: str | None = None, project: Project | None = None) -> str:
    """The further model that is meant; empty for the main one.

    Args:
        root: The project's folder.
        name: Its name, or that of the main model in project.py; `MLOPS_MODEL` where not given.
        project: Names the main model; the project that this process runs where not given.

    Raises:
        ModelNameError: If the project has no such model; names those that it has.
    """
    asked = os.environ.get(VARIABLE, "") if name is None else name
    further = further_models(root)
    main = main_model(project or running_project(), further)
    if asked in further or f"{FOLDER}/{asked}" in other_folders(root):
        return asked  # whose contract is missing, which is said when it is read
    if asked in ("", main):
        return ""
    first = f"{main} (the main model)" if main else "the main model"
    raise ModelNameError(
        f"there is no model {asked!r}; this project has: {', '.join([first, *further])}",
        f"leave MODEL out for the main model, or: make add-model NAME={asked} TARGET=…",
    )
