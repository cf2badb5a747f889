"""Changes that a newer engine asks for in a project's configuration, shown first and then written.

Each migration finds the old form by itself, so running it again changes nothing. Files are edited
as text, line by line, since comments in them belong to the project; that an edited file means what
was intended is checked before anything is written.
"""

import difflib
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from goldpath.errors import ProjectError
from goldpath.settings.renamed import RENAMED, RenamedSetting
from goldpath.settings.section import variable
from goldpath.written_yaml import parse_yaml


class MigrationError(ProjectError):
    """A file is not in a form that can be edited line by line."""


@dataclass(frozen=True)
class FileChange:
    """What the migrations change in one file.

    Attributes:
        file: The file, relative to the project.
        reasons: One sentence for each migration that changes it.
        diff: The change as a unified diff.
    """

    file: str
    reasons: tuple[str, ...]
    diff: str


@dataclass(frozen=True)
class Migration:
    """What a newer engine asks for, and whether it was written.

    Attributes:
        applied: Whether the files were changed.
        changes: The files; empty if there is nothing to do.
    """

    applied: bool
    changes: tuple[FileChange, ...]


class Draft:
    """The project's files as they will be; nothing is written before all migrations have run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.texts: dict[str, str] = {}
        self.reasons: dict[str, list[str]] = {}

    def read(self, name: str) -> str:
        """A file's text, line ends as they are; empty if there is no such file."""
        if name in self.texts:
            return self.texts[name]
        return _text(self.root / name)

    def write(self, name: str, text: str, reason: str) -> None:
        """Change a file in the draft."""
        self.texts[name] = text
        self.reasons.setdefault(name, []).append(reason)


def migrate(root: Path, apply: bool) -> Migration:
    """Bring `config/` and `.env` to the form that this engine reads.

    Args:
        root: The project's folder.
        apply: Whether to write the files; otherwise they are only compared.

    Returns:
        The changes; none where the project is current.

    Raises:
        MigrationError: If a file cannot be edited line by line. No file was changed then.
    """
    draft = Draft(root)
    for migration in MIGRATIONS:
        migration(draft)
    changes = tuple(
        FileChange(name, tuple(draft.reasons[name]), _diff(name, _text(root / name), text))
        for name, text in draft.texts.items()
    )
    if apply:
        for name, text in draft.texts.items():
            _replace(root / name, text)
    return Migration(applied=apply and bool(changes), changes=changes)


def rename_settings(draft: Draft) -> None:
    """Write settings that were renamed under their new names."""
    for setting in RENAMED:
        reason = f"{setting.section}.{setting.old} is called {setting.section}.{setting.new} now"
        for name, rename in ((f"config/{setting.file}", _in_yaml), (".env", _in_env)):
            before = draft.read(name)
            after = rename(before, setting, name)
            if after != before:
                draft.write(name, after, reason)


MIGRATIONS: tuple[Callable[[Draft], None], ...] = (rename_settings,)


def _in_yaml(text: str, setting: RenamedSetting, name: str) -> str:
    """A YAML file with a key of its top level renamed, and its value where that has a new name."""
    values = _parsed(text, name)
    if setting.old not in values:
        return text
    if setting.new in values:
        raise MigrationError(
            f"{name} has both {setting.old} and {setting.new}", f"delete the line of {setting.old}"
        )
    line = re.compile(rf"^{setting.old}[ ]*:[ ]+(?P<value>[^\s#]+)(?P<rest>[^\r\n]*)", re.MULTILINE)

    def renamed(match: re.Match[str]) -> str:
        value = match["value"]
        plain = value.strip("\"'")
        start = f"{setting.new}: {setting.values.get(plain, value)}"
        # A comment stays in its column, as far as the longer line allows.
        comment = match["rest"].lstrip(" ")
        column = len(match[0]) - len(comment)
        return f"{start}{' ' * max(column - len(start), 2)}{comment}" if comment else start

    edited = line.sub(renamed, text)
    # What YAML makes of an unquoted `off` is a boolean.
    old = {False: "off", True: "on"}.get(values[setting.old], values[setting.old])
    wanted = {setting.new if key == setting.old else key: value for key, value in values.items()}
    wanted[setting.new] = setting.values.get(old, values[setting.old])
    if _parsed(edited, name) != wanted:
        raise MigrationError(
            f"{name} holds {setting.old} in a form that cannot be edited line by line",
            f"rename it by hand: {setting.new}: {wanted[setting.new]}",
        )
    return edited


def _in_env(text: str, setting: RenamedSetting, name: str) -> str:  # noqa: ARG001  as _in_yaml
    """A `.env` file with a variable renamed, and its value where that has a new name."""
    old, new = (variable(setting.section, key) for key in (setting.old, setting.new))
    line = re.compile(
        rf"^(?P<start>[ \t]*(?:export[ \t]+)?){old}(?P<sign>[ \t]*=[ \t]*)(?P<value>[^\s#]*)",
        re.MULTILINE,
    )

    def renamed(match: re.Match[str]) -> str:
        value = setting.values.get(match["value"].strip("\"'"), match["value"])
        return f"{match['start']}{new}{match['sign']}{value}"

    return line.sub(renamed, text)


def _parsed(text: str, name: str) -> dict[str, Any]:
    try:
        values = parse_yaml(text)
    except yaml.YAMLError as error:
        raise MigrationError(f"{name} is not valid YAML: {error}", "correct the file") from error
    return values if isinstance(values, dict) else {}


def _text(file: Path) -> str:
    return file.read_bytes().decode("utf-8") if file.is_file() else ""


def _diff(name: str, before: str, after: str) -> str:
    context = 0 if name == ".env" else 3  # the lines around one in .env may hold secrets
    sides = (before.splitlines(), after.splitlines(), f"a/{name}", f"b/{name}")
    return "\n".join(difflib.unified_diff(*sides, lineterm="", n=context))


def _replace(file: Path, text: str) -> None:
    """Write a file as a whole or not at all, with the permissions that it has."""
    file = file.resolve()  # a link stays one
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as output:
            output.write(text.encode("utf-8"))
            output.flush()
            os.fsync(output.fileno())
        part.chmod(file.stat().st_mode)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
