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

from goldpath.models.folders import CONTRACT, FOLDER, NAME, chosen_model, further_models
from goldpath.overlay import SOURCE, OverlayError, overlay_file, read_overlay
from goldpath.project import Project, running_project
from goldpath.settings.errors import SettingsError, invalid, not_json
from goldpath.settings.monitoring import MonitoringSettings
from goldpath.settings.section import Section, section_class, section_file
from goldpath.settings.settings import Settings
from goldpath.settings.sources import SectionFiles

SettingsT = TypeVar("SettingsT", bound=SectionFiles)
OF_ALL_MODELS = ("lake", "registry", "access", "servers", "airflow", "aws")
"""Sections that no further model may change: the lake, the audit log, the keys, the servers."""


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


def load_settings(
    root: Path | None = None, project: Project | None = None, model: str | None = None
) -> Settings:
    """Read `.env`, `config/*.yaml`, a further model's files, that of this environment, variables.

    Args:
        root: The project's folder; found from the current one where it is not given.
        project: Adds its own sections to the engine's, and is found again as `settings.project`;
            the project that this process runs where it is not given.
        model: A further model, whose files of `models/NAME` count as well; empty for the main one;
            the one that `MLOPS_MODEL` names where it is not given.

    Returns:
        The settings, checked.

    Raises:
        SettingsError: If a value is missing, of the wrong type or unsafe; names the key, the value
            and the file or variable that set it.
        OverlayError: If a file of `config/environments` cannot be used.
        ModelNameError: If there is no such model; names those that there are.

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
    whole = project or running_project()
    name = chosen_model(root, model, whole)
    project = whole.for_dataset(_dataset(root)).for_model(name, further_models(root))
    _check_overlay(root, project)
    _check_model_files(root, project, name)
    settings = _read(Settings, root, name)
    if settings.aws is not None and (name_resources := project.recipes.aws):
        aws = name_resources(settings.aws, settings.environment)
        settings = settings.model_copy(update={"aws": aws})
    settings = _kept_apart(settings)
    settings._project, settings._whole_project = project, whole
    if project.sections:
        own = _read(_own_sections(tuple(project.sections.items())), root, name)
        settings._sections = {name: getattr(own, name) for name in project.sections}
    return settings


def further_settings(settings: Settings) -> tuple[Settings, ...]:
    """The settings of each further model, from those of the main one; none from a further one's.

    Raises:
        SettingsError: If a model's files cannot be used; names them.
    """
    if settings.model:
        return ()
    names = further_models(settings.root)
    return tuple(load_settings(settings.root, settings.whole_project, each) for each in names)


def deleted_settings(settings: Settings) -> tuple[Settings, ...]:
    """Settings by which the logs of deleted further models are found, from the main one's.

    Their folders in `models/` are gone, while `logs/predictions-NAME` or `logs/feedback-NAME` is
    there still.
    """
    if settings.model:
        return ()
    names: set[str] = set()
    for folder in (settings.serving.prediction_log, settings.prediction_log.feedback):
        start = settings.root / f"{folder}-"
        found = (each.name.removeprefix(start.name) for each in start.parent.glob(f"{start.name}*"))
        names |= {each for each in found if NAME.fullmatch(each)}
    gone = sorted(names.difference(further_models(settings.root)))
    return tuple(_kept_apart(settings.model_copy(update={"model": each})) for each in gone)


class _Monitoring(SectionFiles):
    """One section only: the secrets that the whole of another environment needs may be missing."""

    monitoring: MonitoringSettings = MonitoringSettings()


def monitoring_of(settings: Settings, environment: str) -> MonitoringSettings:
    """The section `monitoring` as another environment of this project has it.

    Args:
        settings: The project's settings in this environment.
        environment: The other one's name.

    Raises:
        SettingsError: If a value is missing or of the wrong type there.
        OverlayError: If the file of that environment cannot be used.
    """
    before = os.environ.get("MLOPS_ENVIRONMENT")
    os.environ["MLOPS_ENVIRONMENT"] = environment
    try:
        return _read(_Monitoring, settings.root, settings.model).monitoring
    finally:
        if before is None:
            del os.environ["MLOPS_ENVIRONMENT"]
        else:
            os.environ["MLOPS_ENVIRONMENT"] = before


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


def unread_files(settings: Settings) -> tuple[str, ...]:
    """A sentence for each YAML file of `config/` that the engine does not read: a misspelt one."""
    folder = settings.root / "config"
    read = [Path(each).name for each in _files(settings.whole_project, "config")]
    said = []
    for file in sorted(folder.glob("*.y*ml")):
        if file.name not in (CONTRACT, *read):
            near = get_close_matches(file.stem, [Path(each).stem for each in read], n=1)
            meant = f"; did you mean {near[0]}.yaml?" if near else ""
            said.append(f"the engine does not read config/{file.name}{meant}")
    return tuple(said)


def _files(project: Project, folder: str) -> dict[str, str]:
    """The section of each file that a folder of settings may have."""
    fields = Settings.model_fields.items()
    sections = {name: found for name, field in fields if (found := section_class(field))}
    sections |= project.sections
    return {section_file(name, each, folder): name for name, each in sections.items()}


def _check_model_files(root: Path, project: Project, model: str) -> None:
    """Refuse files of a further model's folder that nothing would read.

    Raises:
        SettingsError: If one is no section's, or of a section that all models share.
    """
    if not model:
        return
    folder = f"{FOLDER}/{model}"
    files = _files(project, folder)
    allowed = [file for file, name in files.items() if name not in OF_ALL_MODELS]
    for file in sorted((root / folder).glob("*.y*ml")):
        shown = f"{folder}/{file.name}"
        if file.name == CONTRACT or shown in allowed:
            continue
        near = get_close_matches(shown, allowed, n=1)
        raise SettingsError(
            f"{shown} would be passed over: "
            + ("all models share these settings" if shown in files else "no settings are called so")
            + (f", did you mean {near[0]}?" if near and shown not in files else ""),
            f"move its values to config/{file.name}"
            if shown in files
            else f"a model may have {CONTRACT}, {', '.join(Path(each).name for each in allowed)}",
        )


def _kept_apart(settings: Settings) -> Settings:
    """The settings with folders and a stream of a further model's own, so that no logs mix."""
    if not settings.model:
        return settings
    serving, log, end = settings.serving, settings.prediction_log, f"-{settings.model}"
    folders = {name: getattr(serving, name) + end for name in ("prediction_log", "shadow_log")}
    names = {name: getattr(log, name) + end for name in ("feedback", "stream_name")}
    experiment = settings.experiment_name and settings.experiment_name + end
    return settings.model_copy(
        update={
            "experiment_name": experiment,
            "serving": serving.model_copy(update=folders),
            "prediction_log": log.model_copy(update=names),
        }
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


def _read(kind: type[SettingsT], root: Path, model: str) -> SettingsT:
    try:
        return kind(root=root, model=model)
    except ValidationError as error:
        raise invalid(error, kind, root, model) from error
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
