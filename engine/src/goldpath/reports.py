"""Reports for scripts: whole JSON files, or none."""

import json
import os
from pathlib import Path


def write_report(file: Path, values: object) -> None:
    """Write JSON in one step, so that a reader never sees half a file.

    Raises:
        ValueError: If a number is not finite, which JSON cannot say.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    part.write_text(
        json.dumps(values, indent=2, default=str, allow_nan=False) + "\n", encoding="utf-8"
    )
    part.replace(file)
