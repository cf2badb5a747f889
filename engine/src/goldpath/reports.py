"""Reports: whole files, or none."""

import json
import os
from pathlib import Path

from goldpath.json_values import finite


def write_report(file: Path, values: object) -> None:
    """Write JSON in one step, so that a reader never sees half a file.

    Numbers that JSON cannot say, such as an undefined metric, become null.
    """
    text = json.dumps(finite(values), indent=2, default=str, allow_nan=False)
    write_text(file, text + "\n")


def write_text(file: Path, text: str) -> None:
    """Write a text in one step; the folder is made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
