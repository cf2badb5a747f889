"""What keeps a candidate from becoming champion, beside the engine's checks."""

from typing import Any

import numpy as np
import pandas as pd
from goldpath import BaseValidator, LoadedModel, ValidationResult, ValidationStatus
from sklearn.metrics import roc_auc_score

MOST_BEHIND = 0.15  # of the area under the ROC curve
FEWEST_ROWS = 30


class NoRegionLeftBehind(BaseValidator):
    """In no sales region may the model rank customers much worse than over all of them."""

    def __init__(self) -> None:
        super().__init__("no region left behind", threshold=-MOST_BEHIND)

    def validate(
        self, model: LoadedModel, data: pd.DataFrame, target: Any = None, **_: Any
    ) -> ValidationResult:
        """Compare the area under the ROC curve of each region with that of all rows."""
        positive = np.asarray(target) == model.contract.target.positive
        scores = np.asarray(model.predict(data).scores)
        regions = data["region"].to_numpy()
        whole = roc_auc_score(positive, scores)
        behind = {
            region: float(roc_auc_score(positive[members], scores[members]) - whole)
            for region in pd.unique(regions)
            if (members := regions == region).sum() >= FEWEST_ROWS
            and 0 < positive[members].mean() < 1
        }
        if not behind:
            return self.create_result(
                ValidationStatus.NOT_ENOUGH_DATA, None, f"no region has {FEWEST_ROWS} rows"
            )
        worst = min(behind, key=lambda region: behind[region])
        is_fair = behind[worst] >= -MOST_BEHIND
        status = ValidationStatus.PASSED if is_fair else ValidationStatus.FAILED
        return self.create_result(
            status, behind[worst], f"region {worst}: {behind[worst]:+.3f} against all rows"
        )
