"""Training rows beside a model, against which its predictions are explained.

They are written before the model's folder is signed, so nobody can swap them. They hold the
model's features and nothing else; a feature that the contract calls personal has its usual value in
each row, so that the file says nothing about a person that the model's own figures do not.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.contract import Contract

if TYPE_CHECKING:
    import pandas as pd

BACKGROUND_FILE = "background.json"
ROWS = 100
SHARED_BY = 10
"""So many rows must hold a personal category for it to be a usual value."""

Row = Mapping[str, Any]


def write_background(example: Any, contract: Contract, folder: Path, seed: int) -> None:
    """Store some training rows below a model's folder.

    Args:
        example: The training rows.
        contract: Names the features, and those that are personal.
        folder: The model's folder, before it is signed.
        seed: Draws the rows.
    """
    from goldpath.learning.frames import model_frame  # pandas, which the service does without

    frame = model_frame(example, contract)
    drawn = np.random.default_rng(seed).permutation(len(frame))[:ROWS]
    chosen = frame.iloc[np.sort(drawn)]
    columns: dict[str, list[Any]] = {}
    for name in contract.feature_names:
        if name in contract.personal:
            columns[name] = [_usual(frame[name])] * len(chosen)
        else:
            columns[name] = [_plain(value) for value in chosen[name].tolist()]
    rows = [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
    (folder / BACKGROUND_FILE).write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")


def read_background(folder: Path) -> tuple[Row, ...]:
    """The rows in a model's verified folder; none where it was registered without."""
    file = folder / BACKGROUND_FILE
    return tuple(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else ()


def _usual(column: "pd.Series[Any]") -> Any:
    """The median, or the most frequent category where several rows share it."""
    present = column.dropna()
    if present.empty:
        return None
    if present.dtype.kind == "f":
        return float(present.median())
    counts = present.value_counts()
    return _plain(counts.index[0]) if counts.iloc[0] >= SHARED_BY else None


def _plain(value: Any) -> Any:
    return None if value is None or (isinstance(value, float) and value != value) else value
