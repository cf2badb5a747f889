"""What good predictions are worth to this business, beside the usual metrics.

The names of a metric's parameters choose what it is given: `truth`, `probability`, `decided`,
`rows`. To let the search maximise one, hand it over as `metric=` in `project.py`.
"""

import numpy as np
import pandas as pd
from goldpath import metric

CALL_COST = 8.0  # dollars
MONTHS_KEPT = 3.0  # a called customer who would have left stays so much longer


@metric(unit="dollars a customer")
def saved_revenue(truth: np.ndarray, decided: np.ndarray, rows: pd.DataFrame) -> float:
    """What calling everybody who is predicted to leave brings, less what the calls cost."""
    called, leaving = decided == "yes", truth == "yes"
    kept = MONTHS_KEPT * rows["monthly_charges"].to_numpy(dtype="float64") * (called & leaving)
    return float(np.mean(kept - CALL_COST * called))
