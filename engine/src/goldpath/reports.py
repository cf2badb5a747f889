"""Reports: whole files, or none; and no number in them that JSON cannot say."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


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


def finite(values: Any) -> Any:
    """The values with None for each number that is not finite, which JSON cannot say.

    A metric can be undefined, such as the area under the ROC curve of rows of one class. That is
    no reason to lose a report, so whatever writes JSON passes its values through here.

    Args:
        values: Mappings, sequences and plain values, to any depth.

    Example:
        >>> from goldpath.reports import finite
        >>> finite({"roc_auc": float("nan"), "interval": (0.5, float("inf"))})
        {'roc_auc': None, 'interval': [0.5, None]}
    """
    if isinstance(values, Mapping):
        return {key: finite(item) for key, item in values.items()}
    if isinstance(values, list | tuple):
        return [finite(item) for item in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values
