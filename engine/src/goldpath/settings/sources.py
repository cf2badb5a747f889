"""Where values come from: variables, the file of the environment, one file for each section.

A further model's own files, `models/NAME/SECTION.yaml`, come before those of `config/`.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from goldpath.models.folders import FOLDER
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
    model: str = Field(default="", description="a further model (models/NAME); empty: the main one")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  .env goes through os.environ
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables, the environment's file, a further model's files, then those of `config/`."""
        given = init_settings()
        root = Path(given.get("root") or os.environ["MLOPS_ROOT"])
        files = _SectionFileSource(settings_cls, root)
        layers = [env_settings, _OverlaySource(settings_cls, root), files]
        if model := given.get("model"):
            own = _SectionFileSource(settings_cls, root, f"{FOLDER}/{model}")
            layers.insert(2, own)
        return (init_settings, _Layers(settings_cls, layers))


class _Source(PydanticBaseSettingsSource):
    """A source of whole sections."""

    def get_field_value(
        self,
        field: FieldInfo,  # noqa: ARG002  each file is read as a whole
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """Nothing: `__call__` reads whole sections."""
        return None, field_name, False


class _Layers(_Source):
    """Several sources, the strongest first, of which a stronger one can empty a weaker's mapping.

    Pydantic's own merge adds to a mapping only, so that a further model, or an environment, could
    not undo `decision.values` of the main one.
    """

    def __init__(
        self, settings_cls: type[BaseSettings], layers: Sequence[PydanticBaseSettingsSource]
    ) -> None:
        super().__init__(settings_cls)
        self._layers = layers

    def __call__(self) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for layer in reversed(self._layers):
            for section, values in layer().items():
                merged[section] = _over(values, merged[section]) if section in merged else values
        return merged


def _over(stronger: Any, weaker: Any) -> Any:
    """A section's values over a weaker source's: mappings key by key, an empty one replaces."""
    if not (isinstance(stronger, dict) and isinstance(weaker, dict)):
        return stronger
    return weaker | {
        key: _over(value, weaker[key]) if value and key in weaker else value
        for key, value in stronger.items()
    }


class _FileSource(_Source):
    """Whole sections from files below the project's root."""

    def __init__(self, settings_cls: type[BaseSettings], root: Path) -> None:
        super().__init__(settings_cls)
        self._root = root


class _OverlaySource(_FileSource):
    """The sections of this model that the environment's own file changes."""

    def __call__(self) -> dict[str, Any]:
        own = self.settings_cls.model_fields
        return {name: values for name, values in read_overlay(self._root).items() if name in own}


class _SectionFileSource(_FileSource):
    """The YAML files of a model's sections; a file that does not exist changes nothing."""

    def __init__(
        self, settings_cls: type[BaseSettings], root: Path, folder: str = "config"
    ) -> None:
        super().__init__(settings_cls, root)
        self._folder = folder

    def __call__(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, field in self.settings_cls.model_fields.items():
            section = section_class(field)
            if section is None:
                continue
            file = section_file(name, section, self._folder)
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
