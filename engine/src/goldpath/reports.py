"""Reports: whole files, or none."""

import json
import os
from pathlib import Path


def write_report(file: Path, values: object) -> None:
    """Write JSON in one step, so that a reader never sees half a file.

    Raises:
        ValueError: If a number is not finite, which JSON cannot say.
    """
    write_text(file, json.dumps(values, indent=2, default=str, allow_nan=False) + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a text in one step; the folder is made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
