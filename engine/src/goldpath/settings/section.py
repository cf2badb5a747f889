"""The base class of every section of the settings, the engine's and a project's own."""

from typing import ClassVar, get_args

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

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


def section_class(field: FieldInfo) -> type[Section] | None:
    """The section that a field holds, be it optional or not; None for a plain value."""
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, Section):
            return candidate
    return None


def section_file(name: str, section: type[Section]) -> str:
    """The section's file, relative to the project's root."""
    return f"config/{section.config_file or name + '.yaml'}"


def variable(*path: str) -> str:
    """The environment variable that overrides a setting: `MLOPS_SECTION__NAME`."""
    return ENVIRONMENT_PREFIX + ENVIRONMENT_DELIMITER.join(path).upper()
