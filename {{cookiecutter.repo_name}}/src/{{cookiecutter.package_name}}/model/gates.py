"""What keeps a candidate from becoming champion, beside the engine's checks."""

from typing import Any

import numpy as np
import pandas as pd
from goldpath import BaseValidator, LoadedModel, ValidationResult, ValidationStatus
from sklearn.metrics import roc_auc_score

MOST_BEHIND = 0.05  # of the area under the ROC curve, beyond what chance explains
FEWEST_ROWS = 30
CERTAINTY = 2.6  # standard errors


class NoRegionLeftBehind(BaseValidator):
    """In no sales region may the model surely rank customers worse than over all of them."""

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
        behind = {}
        for region in pd.unique(regions):
            members = regions == region
            rarer = min(positive[members].sum(), (~positive[members]).sum())
            if members.sum() >= FEWEST_ROWS and rarer > 0:
                chance = CERTAINTY * np.sqrt(0.25 / rarer)  # at most; Hanley & McNeil 1982
                area = roc_auc_score(positive[members], scores[members])
                behind[region] = float(area - whole + chance)
        if not behind:
            return self.create_result(
                ValidationStatus.NOT_ENOUGH_DATA, None, f"no region has {FEWEST_ROWS} rows"
            )
        worst = min(behind, key=lambda region: behind[region])
        is_fair = behind[worst] >= -MOST_BEHIND
        status = ValidationStatus.PASSED if is_fair else ValidationStatus.FAILED
        said = f"region {worst}: {behind[worst]:+.3f} against all rows, chance allowed for"
        return self.create_result(status, behind[worst], said)
