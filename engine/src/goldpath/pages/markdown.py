"""Parts of a Markdown page: lines that show as they are, and tables."""

import re
from collections.abc import Sequence


def plain(text: object) -> str:
    """One line that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(str(text).split()))


def table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table with one line a row."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(value: object) -> str:
    return "---" if value == "---" else plain(value)
