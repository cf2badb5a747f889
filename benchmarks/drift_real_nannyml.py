"""NannyML on two years of bike sharing, with its defaults; run by an interpreter of its own.

PYTHON drift_real_nannyml.py FOLDER      (reference.parquet, analysis.parquet)

A row has `at`, `truth`, `prediction` and the features. The truth is read in the reference only.
"""

import json
import sys
from pathlib import Path

import nannyml
import pandas as pd


def main() -> int:
    """Print, by month, the share of columns with an alert and the error that DLE estimates."""
    folder = Path(sys.argv[1])
    reference = pd.read_parquet(folder / "reference.parquet")
    analysis = pd.read_parquet(folder / "analysis.parquet").drop(columns="truth")
    features = [name for name in analysis if name not in {"at", "prediction"}]
    monthly = {"timestamp_column_name": "at", "chunk_period": "M"}
    drift = nannyml.UnivariateDriftCalculator(column_names=[*features, "prediction"], **monthly)
    moved = drift.fit(reference).calculate(analysis).filter(period="analysis").to_df()
    estimator = nannyml.DLE(
        metrics=["mae"],
        y_true="truth",
        y_pred="prediction",
        feature_column_names=features,
        **monthly,
    )
    error = estimator.fit(reference).estimate(analysis).filter(period="analysis").to_df()
    answer = {
        "alerts": moved.xs("alert", axis=1, level=2).mean(axis=1).tolist(),
        "estimated_error": error["mae", "value"].tolist(),
    }
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
