"""Files that only their owner can read."""

import os
from pathlib import Path


def write_private(file: Path, text: str) -> None:
    """Replace a file at once with one that nobody but its owner can read."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}.draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as output:
        output.write(text)
    draft.replace(file)
