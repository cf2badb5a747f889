"""The base class of every section of the settings, the engine's and a project's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

from goldpath.models.folders import FOLDER
from goldpath.written_yaml import line_of

ENVIRONMENT_PREFIX = "MLOPS_"
ENVIRONMENT_DELIMITER = "__"


class Section(BaseModel):
    """A group of settings: one file of `config/`, overridden by environment variables.

    A section is immutable, and an unknown key is an error, so a misspelt one cannot pass.

    Attributes:
        config_file: The file of `config/` with its values; `NAME.yaml` if empty, where NAME is what
            the section is called in `Settings`, or in `Project(sections={NAME: ...})`.

    Example:
        A section of a project's own, in `config/campaign.yaml` or `MLOPS_CAMPAIGN__CALL_COST`:

        >>> from pydantic import Field
        >>> from goldpath import Project, Section, load_settings
        >>> class CampaignSettings(Section):
        ...     call_cost: float = Field(default=4.0, gt=0, description="dollars a call")
        >>> project = Project(name="customer_churn", sections={"campaign": CampaignSettings})
        >>> load_settings(project=project).section(CampaignSettings).call_cost
        4.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    config_file: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_an_empty_mapping(cls, values: Any) -> Any:
        """`values:` without a value is `values: {}`, for each setting that is a mapping."""
        if not isinstance(values, dict):
            return values
        mappings = {name for name, field in cls.model_fields.items() if _is_mapping(field)}
        return {k: {} if v is None and k in mappings else v for k, v in values.items()}


def _is_mapping(field: FieldInfo) -> bool:
    kind = get_origin(field.annotation) or field.annotation
    return isinstance(kind, type) and issubclass(kind, Mapping)


def section_class(field: FieldInfo) -> type[Section] | None:
    """The section that a field holds, be it optional or not; None for a plain value."""
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def section_file(name: str, section: type[Section], folder: str = "config") -> str:
    """The section's file, relative to the project's root."""
    return f"{folder}/{section.config_file or name + '.yaml'}"


def file_of(name: str, model: str) -> str:
    """The file of a section whose file has its name, of a further model or of the main one."""
    return f"{FOLDER}/{model}/{name}.yaml" if model else f"config/{name}.yaml"


def place_of_value(root: Path | None, model: str, name: str, *path: str | int) -> str:
    """The file of a section's value, with its line; a further model's own file comes first.

    Args:
        root: The project's folder; the file alone where not given.
        model: The further model, or nothing.
        name: The section.
        path: Keys and places of lists, below it.
    """
    files = [file_of(name, each) for each in dict.fromkeys((model, ""))]
    for each in files if root else ():
        file = Path(root or "", each)
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        if line := line_of(text, *path):
            return f"{each}:{line}"
    return f"{files[0]} (or its variable)"


def variable(*path: str) -> str:
    """The environment variable that overrides a setting: `MLOPS_SECTION__NAME`."""
    return ENVIRONMENT_PREFIX + ENVIRONMENT_DELIMITER.join(path).upper()
