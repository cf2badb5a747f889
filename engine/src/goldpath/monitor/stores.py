"""Reading a store that may be empty, broken or down: its part of the page says so, no more."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from goldpath.errors import ProjectError
from goldpath.serving.http.problem_error import ProblemError

log = logging.getLogger(__name__)

Value = TypeVar("Value")
Read = TypeVar("Read", covariant=True)
Form = TypeVar("Form", bound="StoredForm")


class StoreError(ProjectError):
    """A report that the page reads is not what its writer left."""


class StoredForm(BaseModel):
    """What the page needs of a report, or of a part of it; the rest is passed over."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), frozen=True)


@dataclass(frozen=True)
class Section(Generic[Read]):
    """A part of the page.

    Attributes:
        value: What was read; None where the store could not be read.
        problem: Why it could not, as a sentence.
        fix: What to do about it.
    """

    value: Read | None = None
    problem: str = ""
    fix: str = ""


def read_section(name: str, read: Callable[[], Value]) -> Section[Value]:
    """What a store says, or why it says nothing.

    Args:
        name: The store, for the message.
        read: Reads it.
    """
    try:
        return Section(read())
    except ProjectError as error:
        return Section(problem=error.message, fix=error.fix)
    except ProblemError as error:
        return Section(problem=error.detail, fix=error.fix)
    except Exception as error:
        # Damaged files make the libraries below raise anything; the other stores are still shown.
        log.exception("%s cannot be read", name)
        return Section(problem=f"{name} cannot be read: {type(error).__name__}: {error}")


def read_form(file: Path, form: type[Form], shown: str, fix: str) -> Form | None:
    """A report of `reports/`; None where it was never written.

    Args:
        file: The JSON file.
        form: What the page needs of it.
        shown: The file's name, for the message.
        fix: The command that writes the file again.

    Raises:
        StoreError: If it is torn, or of another form.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{shown} cannot be read: {error}", fix) from error
    try:
        return form.model_validate(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise StoreError(
            f"{shown} is of another form: {place or 'the file'}: {first['msg']}", fix
        ) from error
    except ValueError as error:
        raise StoreError(f"{shown} is no JSON: {error}", fix) from error
