"""Reads the settings of the project around the current folder."""

import os
import re
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import pydantic_settings
from dotenv import load_dotenv
from pydantic import Field, ValidationError, create_model

from goldpath.overlay import SOURCE, OverlayError, overlay_file, read_overlay
from goldpath.project import Project, running_project
from goldpath.settings.errors import SettingsError, invalid, not_json
from goldpath.settings.section import Section, section_class
from goldpath.settings.settings import Settings
from goldpath.settings.sources import SectionFiles

SettingsT = TypeVar("SettingsT", bound=SectionFiles)


def project_root() -> Path:
    """The folder that holds `config/project.yaml`: `MLOPS_ROOT`, else this folder or one above.

    Raises:
        SettingsError: If there is none.
    """
    if named := os.environ.get("MLOPS_ROOT"):
        return Path(named).resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "config" / "project.yaml").is_file():
            return folder
    raise SettingsError(
        f"no config/project.yaml in {here} or in a folder above it",
        "run the command inside the project, or set MLOPS_ROOT",
    )


def load_settings(root: Path | None = None, project: Project | None = None) -> Settings:
    """Read `.env`, `config/*.yaml`, the file of this environment, and variables.

    Args:
        root: The project's folder; found from the current one where it is not given.
        project: Adds its own sections to the engine's, and is found again as `settings.project`;
            the project that this process runs where it is not given.

    Returns:
        The settings, checked.

    Raises:
        SettingsError: If a value is missing, of the wrong type or unsafe; names the key, the value
            and the file or variable that set it.
        OverlayError: If a file of `config/environments` cannot be used.

    Example:
        >>> import os
        >>> from goldpath import load_settings
        >>> os.environ["MLOPS_TRAINING__TRIALS"] = "5"
        >>> load_settings().training.trials
        5
        >>> os.environ["MLOPS_TRAINING__TRIALS"] = "many"
        >>> load_settings()  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        goldpath.settings.errors.SettingsError: invalid settings: training.trials='many' ...
    """
    root = (root or project_root()).resolve()
    load_dotenv(root / ".env", override=False)
    os.environ["MLOPS_ROOT"] = str(root)
    project = (project or running_project()).for_dataset(_dataset(root))
    _check_overlay(root, project)
    settings = _read(Settings, root)
    if settings.aws is not None and (name_resources := project.recipes.aws):
        aws = name_resources(settings.aws, settings.environment)
        settings = settings.model_copy(update={"aws": aws})
    settings._project = project
    if project.sections:
        own = _read(_own_sections(tuple(project.sections.items())), root)
        settings._sections = {name: getattr(own, name) for name in project.sections}
    return settings


def _check_overlay(root: Path, project: Project) -> None:
    """Refuse what no section would read.

    Raises:
        OverlayError: If the environment's file has a key that is no section; names the file.
    """
    fields = Settings.model_fields.items()
    known = [name for name, field in fields if section_class(field) is not None]
    known += [*project.sections, SOURCE]
    for name in read_overlay(root):
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise OverlayError(
                f"{overlay_file()}: {name} is no section of the settings"
                + (f", did you mean {near[0]}?" if near else ""),
                f"it may change {', '.join(known)}; every other value is a variable's",
            )


def _dataset(root: Path) -> str:
    """The contract's dataset; empty where there is no contract yet.

    One line is looked for: the whole contract is read, and judged, by whoever needs it.
    """
    try:
        text = (root / "config" / "project.yaml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    found = re.search(r"^dataset:[ \t]*[\"']?([a-z0-9_]+)", text, re.MULTILINE)
    return found.group(1) if found else ""


def _read(model: type[SettingsT], root: Path) -> SettingsT:
    try:
        return model(root=root)
    except ValidationError as error:
        raise invalid(error, model, root) from error
    except pydantic_settings.SettingsError as error:
        raise not_json(error) from error


@lru_cache
def _own_sections(sections: tuple[tuple[str, type[Section]], ...]) -> type[SectionFiles]:
    """A model with the project's sections as its fields.

    Raises:
        SettingsError: If a name is taken or cannot be a variable's, or a class is no section.
    """
    for name, section in sections:
        _check(name, section)
    # An empty mapping as the default, so that a required key is missed under its own name.
    fields: dict[str, Any] = {
        name: (section, Field(default_factory=dict)) for name, section in sections
    }
    return create_model("ProjectSections", __base__=SectionFiles, **fields)


def _check(name: str, section: type[Section]) -> None:
    fix = "correct Project(sections={NAME: CLASS}) in project.py"
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise SettingsError(
            f"{name!r} cannot name a section of the settings: expected lowercase letters, digits "
            "and single underscores, such as 'churn'",
            fix,
        )
    if hasattr(Settings, name) or name in Settings.model_fields:
        raise SettingsError(f"the settings already have {name!r}: choose another name", fix)
    if not (isinstance(section, type) and issubclass(section, Section)):
        raise SettingsError(
            f"the settings' section {name!r} is {section!r}, not a subclass of goldpath.Section",
            fix,
        )
