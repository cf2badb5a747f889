"""Where values come from: variables, the file of the environment, one file for each section."""

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from goldpath.overlay import read_overlay
from goldpath.settings.errors import SettingsError
from goldpath.settings.section import (
    ENVIRONMENT_DELIMITER,
    ENVIRONMENT_PREFIX,
    section_class,
    section_file,
)
from goldpath.written_yaml import parse_yaml


class SectionFiles(BaseSettings):
    """A model whose fields are sections, read from the environment and from `config/`."""

    model_config = SettingsConfigDict(
        env_prefix=ENVIRONMENT_PREFIX,
        env_nested_delimiter=ENVIRONMENT_DELIMITER,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    root: Path

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  .env goes through os.environ
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables first, then the file of this environment, then the file of each section."""
        root = Path(init_settings().get("root") or os.environ["MLOPS_ROOT"])
        files = _SectionFileSource(settings_cls, root)
        return (init_settings, env_settings, _OverlaySource(settings_cls, root), files)


class _FileSource(PydanticBaseSettingsSource):
    """Whole sections from files below the project's root."""

    def __init__(self, settings_cls: type[BaseSettings], root: Path) -> None:
        super().__init__(settings_cls)
        self._root = root

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002  each file is read as a whole
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """Nothing: `__call__` reads whole sections."""
        return None, field_name, False


class _OverlaySource(_FileSource):
    """The sections of this model that the environment's own file changes."""

    def __call__(self) -> dict[str, Any]:
        own = self.settings_cls.model_fields
        return {name: values for name, values in read_overlay(self._root).items() if name in own}


class _SectionFileSource(_FileSource):
    """The YAML files of a model's sections; a file that does not exist changes nothing."""

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            section = section_class(field)
            if section is None:
                continue
            file = section_file(name, section)
            if (self._root / file).is_file() and (content := _read(self._root / file, file)):
                values[name] = content
        return values


def _read(path: Path, shown: str) -> dict[str, Any] | None:
    """A file's keys and values; None if it holds nothing but comments.

    Raises:
        SettingsError: If it is not YAML, or not a mapping.
    """
    try:
        content = parse_yaml(path.read_bytes())
    except yaml.YAMLError as error:
        raise SettingsError(f"{shown} is not valid YAML: {error}", f"correct {shown}") from error
    if content is not None and not isinstance(content, dict):
        raise SettingsError(
            f"{shown} holds a {type(content).__name__}, not settings",
            f"write {shown} as lines of `key: value`",
        )
    return content
