"""NannyML's univariate drift with its defaults on days of rows; run by its own interpreter.

PYTHON drift_nannyml.py FOLDER      (reference.parquet and one file for each phase)
"""

import json
import sys
from pathlib import Path

import nannyml
import pandas as pd


def main() -> int:
    """Print, for each phase, whether any column of each day alerts."""
    folder = Path(sys.argv[1])
    reference = pd.read_parquet(folder / "reference.parquet")
    columns = [name for name in reference.columns if name != "at"]
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=columns,
        timestamp_column_name="at",
        chunk_period="D",
        continuous_methods=["wasserstein"],
        categorical_methods=["jensen_shannon"],
    ).fit(_plain(reference))
    answers = {}
    for file in folder.glob("*.parquet"):
        if file.stem == "reference":
            continue
        found = calculator.calculate(_plain(pd.read_parquet(file)))
        frame = found.filter(period="analysis").to_df()
        alerts = frame.xs("alert", axis=1, level=2)
        answers[file.stem] = [bool(row) for row in alerts.any(axis=1)]
    print(json.dumps(answers))
    return 0


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(at=pd.to_datetime(frame["at"]).dt.tz_localize(None))


if __name__ == "__main__":
    sys.exit(main())
