"""`.cruft.json`: the template, its commit and the answers that a project was generated with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldpath.errors import ProjectError

RECORD = ".cruft.json"


class RecordError(ProjectError):
    """The project does not say which template it was generated from."""


@dataclass(frozen=True)
class TemplateRecord:
    """Where a project comes from.

    Attributes:
        template: Address or path of the template's repository.
        commit: The template's commit; None if it was not known when the project was generated.
        version: The template's version.
        directory: The template's folder in its repository; empty at the top.
        answers: The answers that the project was generated with.
    """

    template: str
    commit: str | None
    version: str
    directory: str
    answers: Mapping[str, str]

    @property
    def shown(self) -> str:
        """Version and commit as people read them: `0.2.0 (1a2b3c4d)`."""
        return f"{self.version or 'unknown version'} ({(self.commit or 'unknown commit')[:8]})"


def read_record(root: Path) -> TemplateRecord:
    """Read a project's `.cruft.json`.

    Raises:
        RecordError: If it is missing or damaged.
    """
    values = _read(root)
    try:
        context: dict[str, Any] = values["context"]["cookiecutter"]
        return TemplateRecord(
            template=values["template"],
            commit=values["commit"],
            version=str(context.get("_template_version", "")),
            directory=values.get("directory") or "",
            answers={name: str(value) for name, value in context.items() if name[0] != "_"},
        )
    except (KeyError, TypeError) as error:
        raise RecordError(
            f"{root / RECORD} has no {error}: expected what cruft writes",
            f"bring back the file of the last commit: git checkout -- {RECORD}",
        ) from error


def write_record(root: Path, template: str, commit: str | None) -> None:
    """Write another address and commit into `.cruft.json`; everything else stays."""
    values = _read(root)
    values["template"] = values["context"]["cookiecutter"]["_template"] = template
    values["commit"] = values["context"]["cookiecutter"]["_commit"] = commit
    # In cruft's own format, so that its next update changes as few lines as possible.
    text = json.dumps(values, ensure_ascii=False, indent=2, separators=(",", ": ")) + "\n"
    (root / RECORD).write_text(text, encoding="utf-8")


def _read(root: Path) -> dict[str, Any]:
    try:
        values = json.loads((root / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError(
            f"{root} has no {RECORD}, so its template is not known",
            "write one with cruft: cruft link ADDRESS --checkout COMMIT_OF_THE_TEMPLATE",
        ) from error
    except ValueError as error:
        raise RecordError(
            f"{root / RECORD} is not valid JSON: {error}",
            f"bring back the file of the last commit: git checkout -- {RECORD}",
        ) from error
    if not isinstance(values, dict):
        raise RecordError(f"{root / RECORD} is not a JSON object", f"git checkout -- {RECORD}")
    return values
