"""The error of settings that cannot be used: the key, its value, and where it was set."""

import json
import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, Secret, SecretBytes, SecretStr, ValidationError
from pydantic_core import ErrorDetails

from goldpath.errors import ProjectError
from goldpath.models.folders import FOLDER
from goldpath.overlay import overlay_file, read_overlay
from goldpath.settings.renamed import renamed
from goldpath.settings.section import (
    ENVIRONMENT_DELIMITER,
    ENVIRONMENT_PREFIX,
    section_class,
    section_file,
    variable,
)
from goldpath.written_yaml import nearest_line, quotes_advised

NO_GROUP = ("model_type", "model_attributes_type")
"""Pydantic's errors of a value that stands where a group of keys belongs."""


LISTS = dict.fromkeys(("tuple_type", "list_type"), "a list belongs here, such as [first, second]")
"""What to write in place of a value that is no list; YAML has no tuples."""


class SettingsError(ProjectError):
    """A setting is missing, has the wrong type, or is not safe to run with."""


def invalid(
    error: ValidationError, model: type[BaseModel], root: Path, further: str = ""
) -> SettingsError:
    """What is wrong with each value, with the file or the variable that it came from."""
    own = root / FOLDER / further if further else None
    problems = "; ".join(_describe(details, model, root, own) for details in error.errors())
    return SettingsError(
        f"invalid settings: {problems}",
        f"correct config/*.yaml, {f'{FOLDER}/{further}/*.yaml, ' * bool(further)}.env or the "
        "MLOPS_… environment variable",
    )


def not_json(error: Exception) -> SettingsError:
    """A variable that must hold JSON and does not.

    Args:
        error: What pydantic-settings raised; its cause holds the text, but no variable's name.
    """
    cause = error.__cause__
    text = cause.doc if isinstance(cause, json.JSONDecodeError) else None
    names = [
        name
        for name, value in os.environ.items()
        if value == text and name.upper().startswith(ENVIRONMENT_PREFIX)
    ]
    return SettingsError(
        f"invalid settings: {' or '.join(names) or error} is not valid JSON: {cause}",
        """write a list as '["a", "b"]', a group of settings as '{"key": "value"}'""",
    )


def _describe(details: ErrorDetails, model: type[BaseModel], root: Path, own: Path | None) -> str:
    path = tuple(str(part) for part in details["loc"])
    key = ".".join(path) or "settings"
    where = _origin(path, model, root, own)
    if details["type"] == "missing":
        return f"{key}: {details['msg']}; set it in {_file(path, model)} or {variable(*path)}"
    if details["type"] == "extra_forbidden":
        if known := renamed(path):
            new = f"{known.section}.{known.new}"
            return f"{key}{where}: is called {new} now; `make migrate ARGS=--apply` renames it"
        return f"{key}{where}: unknown key{_suggestion(path, model)}"
    value = details["input"]
    # A whole section may hold a secret, and so may an address.
    plain = isinstance(value, str | int | float) and not ("://" in str(value) and "@" in str(value))
    shown = f"={value!r}" if plain and not _holds_secret(_annotation(path, model)) else ""
    said = _group(path, model) if details["type"] in NO_GROUP else LISTS.get(details["type"], "")
    word = quotes_advised(value) if details["type"] == "string_type" else ""
    return f"{key}{shown}{where}: {said or details['msg'].removeprefix('Value error, ')}{word}"


def _origin(path: tuple[str, ...], model: type[BaseModel], root: Path, own: Path | None) -> str:
    """The variables or the file that set a value, in brackets; empty if neither did."""
    variables = {name.upper(): name for name, value in os.environ.items() if value}
    for length in range(len(path), 0, -1):
        for name in (variable(*path[:length]), path[0]):
            if name in variables:
                return f" ({variables[name]})"
    places = []
    if len(path) == 1:  # keys that contradict each other, wherever they were set
        group = variable(*path) + ENVIRONMENT_DELIMITER
        places = sorted(shown for name, shown in variables.items() if name.startswith(group))
    in_overlay = _is_in(read_overlay(root), path)
    file = overlay_file() if in_overlay else _file(path, model)
    if own is not None and file.startswith("config/") and (own / Path(file).name).is_file():
        places.append(str((own / Path(file).name).relative_to(root)))
    if file and (root / file).is_file():
        places.append(file + _line(root / file, path if in_overlay else path[1:]))
    return f" ({', '.join(places)})" if places else ""


def _line(file: Path, path: tuple[str, ...]) -> str:
    """`:7` where the file has a value, or the innermost group around it, in its seventh line."""
    text = file.read_text(encoding="utf-8")
    steps = [int(step) if step.isdigit() else step for step in path]
    line = nearest_line(text, *steps)
    return f":{line}" if line else ""


def _is_in(values: object, path: tuple[str, ...]) -> bool:
    """Whether the environment's file sets a value."""
    for name in path:
        if not isinstance(values, dict) or name not in values:
            return False
        values = values[name]
    return bool(path)


def _file(path: tuple[str, ...], model: type[BaseModel]) -> str:
    field = model.model_fields.get(path[0]) if path else None
    section = section_class(field) if field else None
    return section_file(path[0], section) if section else ""


def _suggestion(path: tuple[str, ...], model: type[BaseModel]) -> str:
    """The key that was perhaps meant."""
    parent = _model(_annotation(path[:-1], model))
    near = get_close_matches(path[-1], parent.model_fields, n=1) if parent else []
    return f", did you mean {near[0]}?" if near else ""


def _group(path: tuple[str, ...], model: type[BaseModel]) -> str:
    """What to write in place of a value that is no group of keys; empty where it is not known."""
    group, inner = _model(_annotation(path, model)), _model(_annotation(path[:-2], model))
    if group is None or group is inner:  # that group is further out: the value is deep in a list
        return ""
    keys = group.model_fields
    needed = [name for name, field in keys.items() if field.is_required()] or [*keys][:1]
    example = ", ".join(f"{name}: …" for name in needed)
    return f"a group of keys belongs here, such as {{{example}}}; there are {', '.join(keys)}"


def _annotation(path: tuple[str, ...], model: type[BaseModel]) -> Any:
    """The type of a setting, or of the innermost group around it that is known."""
    annotation: Any = model
    for name in path:
        inner = _model(annotation)
        if inner is None or name not in inner.model_fields:
            break
        annotation = inner.model_fields[name].annotation
    return annotation


def _model(annotation: Any) -> type[BaseModel] | None:
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _holds_secret(annotation: Any) -> bool:
    kind = get_origin(annotation) or annotation
    if isinstance(kind, type):
        if issubclass(kind, Secret | SecretStr | SecretBytes):
            return True
        if issubclass(kind, BaseModel):
            return any(_holds_secret(field.annotation) for field in kind.model_fields.values())
    return any(_holds_secret(part) for part in get_args(annotation))
