"""MLflow is told from a few rows what all of them would tell it."""

import numpy as np
import pandas as pd
from mlflow.models import infer_signature

from goldpath.contract import Contract
from goldpath.registry.files.pipeline import FIRST_ROWS, model_signature

CONTRACT = Contract.model_validate(
    {
        "dataset": "d",
        "problem": "regression",
        "source": {"path": "d.csv"},
        "target": {"column": "y"},
        "features": [
            {"name": "x", "type": "number"},
            {"name": "late", "type": "category", "categories": ["a", "b"]},
            {"name": "whole", "type": "category", "categories": ["a", "b"]},
            {"name": "first", "type": "category", "categories": ["a", "b"]},
        ],
    }
)


class Constant:
    """A model without a look at its rows."""

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        """Zero for each row."""
        return np.zeros(len(rows))


def test_a_value_that_is_missing_late_or_at_first_makes_its_column_optional() -> None:
    rows = 5 * FIRST_ROWS
    late, first = np.full(rows, "a", dtype=object), np.full(rows, np.nan, dtype=object)
    late[-1], first[-1] = np.nan, "b"
    frame = pd.DataFrame({"x": 1.0, "late": late, "whole": "a", "first": first}).astype(
        {"whole": object}
    )
    found = model_signature(Constant(), frame, CONTRACT)
    required = {each.name: each.required for each in found.inputs.inputs}
    assert required == {"x": True, "late": False, "whole": True, "first": False}
    whole = infer_signature(frame, np.zeros(rows))
    assert found.inputs.inputs[1:] == whole.inputs.inputs[1:]
    assert found.outputs == whole.outputs
