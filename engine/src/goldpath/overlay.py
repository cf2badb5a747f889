"""What an environment changes: `config/environments/NAME.yaml`, over the other files of `config/`.

Its keys are sections of the settings, with the values that differ in development, staging or
production, and `source`: where the contract's rows come from there.
"""

import os
from pathlib import Path
from typing import Any

import yaml

from goldpath.errors import ProjectError
from goldpath.written_yaml import parse_yaml

ENVIRONMENTS = ("development", "staging", "production")
FOLDER = "config/environments"
SOURCE = "source"
"""The key for the contract's source; every other one is a section of the settings."""


class OverlayError(ProjectError):
    """A file of `config/environments` cannot be used."""


def environment_name() -> str:
    """The environment that `MLOPS_ENVIRONMENT` names; development where it names none."""
    named = {name.upper(): value for name, value in os.environ.items()}
    return named.get("MLOPS_ENVIRONMENT", "") or "development"


def overlay_file() -> str:
    """The file of this environment, relative to the project's root."""
    return f"{FOLDER}/{environment_name()}.yaml"


def read_overlay(root: Path) -> dict[str, dict[str, Any]]:
    """What this environment changes, by section; empty where it has no file.

    Raises:
        OverlayError: If the file is not YAML, or not a mapping of mappings; or if another file lies
            there, which no environment would ever read.
    """
    folder = root / FOLDER
    if not folder.is_dir():
        return {}
    for file in sorted(folder.glob("*.y*ml")):
        if file.name not in {f"{name}.yaml" for name in ENVIRONMENTS}:
            raise OverlayError(
                f"{FOLDER}/{file.name} is of no environment, so nothing reads it",
                f"name it after one: {', '.join(f'{name}.yaml' for name in ENVIRONMENTS)}",
            )
    shown = overlay_file()
    if environment_name() not in ENVIRONMENTS or not (root / shown).is_file():
        return {}
    try:
        content = parse_yaml((root / shown).read_bytes())
    except yaml.YAMLError as error:
        raise OverlayError(f"{shown} is not valid YAML: {error}", f"correct {shown}") from error
    sections = {} if content is None else content
    if not isinstance(sections, dict):
        raise OverlayError(
            f"{shown} holds a {type(content).__name__}, not sections",
            f"write {shown} as `lake:` and, below it, lines of `key: value`",
        )
    for name, values in sections.items():
        if not isinstance(values, dict):
            raise OverlayError(
                f"{shown}: {name} holds {values!r}, not settings",
                f"write `{name}:` and, below it, lines of `key: value`",
            )
    return {str(name): values for name, values in sections.items()}


def changed_keys(root: Path) -> tuple[str, ...]:
    """What this environment changes, as `section.key`."""
    overlay = read_overlay(root)
    return tuple(f"{name}.{key}" for name, values in overlay.items() for key in values)
