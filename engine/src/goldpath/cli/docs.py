"""The command `docs`: the engine's documents, which travel with it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from goldpath.errors import ProjectError

PLACEHOLDER = re.compile(r"\bPACKAGE\b")
"""What the documents write where a project's own package is meant."""


@dataclass(frozen=True)
class Document:
    """A document of the engine.

    Attributes:
        topic: What it is asked for by: its file's name.
        summary: Its title, and its first sentence where it begins with one.
    """

    topic: str
    summary: str


def docs(
    topic: Annotated[
        str | None, typer.Argument(help="A document, such as training; all of them if left out.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON.")] = False,
) -> None:
    """Read the engine's documents; without a topic, list them."""
    from goldpath.presentation import console, print_json, show_list

    if topic is None:
        return show_list("documents", documents(), "Documents: docs TOPIC", as_json)
    text = document(topic)
    if as_json:
        print_json({"topic": topic, "text": text})
    elif console.is_terminal:
        from rich.markdown import Markdown

        console.print(Markdown(text))
    else:
        typer.echo(text, nl=False)
    return None


def documents() -> list[Document]:
    """Every document, by topic."""
    return [Document(file.stem, _summary(_text(file))) for file in sorted(_folder().glob("*.md"))]


def document(topic: str) -> str:
    """A document as Markdown, with the project's package in its commands.

    Args:
        topic: Its name; `Prediction-Log` and `prediction_log.md` are the same.

    Raises:
        ProjectError: If there is none of this name.
    """
    from difflib import get_close_matches

    wanted = topic.lower().removesuffix(".md").replace("-", "_")
    files = {file.stem: file for file in sorted(_folder().glob("*.md"))}
    if wanted not in files:
        near = get_close_matches(wanted, files, n=1)
        meant = f"Did you mean {near[0]}? " if near else ""
        raise ProjectError(
            f"there is no document {topic!r}", f"{meant}The topics are: {', '.join(files)}"
        )
    return _text(files[wanted])


def _folder() -> Path:
    """The documents: packed into the wheel, or beside the sources of a checkout."""
    package = Path(__file__).parent.parent
    packed = package / "docs"
    return packed if packed.is_dir() else package.parent.parent / "docs"


def _text(file: Path) -> str:
    from goldpath.project import running_project

    return PLACEHOLDER.sub(running_project().name, file.read_text(encoding="utf-8"))


def _summary(text: str) -> str:
    heading, _, rest = text.partition("\n")
    title = heading.lstrip("# ")
    paragraph = " ".join(rest.strip().partition("\n\n")[0].split())
    if not re.match(r"\w|`(?!``)", paragraph):  # a heading, a list, a table or a diagram follows
        return title
    sentence = re.split(r"[:;] |\. (?=[A-Z`])|\.$", paragraph)[0]
    return f"{title}: {sentence}"
