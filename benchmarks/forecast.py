"""Bike sharing a day ahead: the project's model, the seasonal-naive forecast, and one by hand.

The file is adopted with HORIZON=24h and trained as `make adopt data train-local` does. By hand: a
HistGradientBoostingRegressor of scikit-learn with its defaults over the same columns, with the same
lags and means made in pandas, learned from the same rows and judged on the same test rows. The
ratio is that of the mean absolute errors; weather is taken as known a day ahead, for all three.

    python benchmarks/forecast.py bike_sharing_hourly.csv
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "forecast.json"
HORIZON, TARGET, PARITY_ROWS = "24h", "cnt", "5000"
SEED = 42


def main() -> int:
    """Measure, and write results/forecast.json."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="The UCI file, hour.csv.")
    data = parser.parse_args().data.resolve()
    os.environ["MLOPS_TRAINING__PARITY_ROWS"] = PARITY_ROWS  # the bits of the compiled form
    with tempfile.TemporaryDirectory(prefix="forecast-") as folder:
        root = Path(folder) / "project"
        shutil.copytree(ROOT / "engine" / "tests" / "project", root)
        shutil.copy(data, root / "data" / data.name)
        found = measure(root, root / "data" / data.name)
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))
    return 0


def measure(root: Path, data: Path) -> dict[str, object]:
    """Adopt, train, and compare on the test rows."""
    from goldpath.contract import load_contract
    from goldpath.jobs.data.adoption import adopt_file
    from goldpath.jobs.data.refresh import refresh
    from goldpath.jobs.training.stages import train
    from goldpath.learning.splitting import split_rows
    from goldpath.registry.mlflow_manager import MLflowManager
    from goldpath.settings import load_settings

    adopt_file(load_settings(root), data, TARGET, None, None, None, horizon=HORIZON)
    settings, contract = load_settings(root), load_contract(root)
    refresh(settings, contract)
    result = train(settings, contract, "forecast")
    manager = MLflowManager(settings, contract)
    model = manager.load(manager.newest_version())
    gold = gold_frame(settings, contract)
    split = split_rows(gold, model.contract, settings.training)
    names = model.contract.feature_names
    truth = split.test[TARGET].to_numpy()
    naive = contract.forecast.naive_column(TARGET)
    errors = {
        "project": scores(truth, pd.Series(model.predict(split.test).values)),
        "by_hand": scores(truth, by_hand(data, split, names, contract)),
        "seasonal_naive": scores(truth, split.test[naive].fillna(split.train[TARGET].mean())),
    }
    return {
        "name": "forecast",
        "ratio": round(errors["project"]["mae"] / errors["by_hand"]["mae"], 3),
        "unit": "mean absolute error of the project's model / of a gradient boosting by hand",
        "n": len(truth),
        "details": {
            "errors": errors,
            "mae_against_seasonal_naive": round(
                errors["project"]["mae"] / errors["seasonal_naive"]["mae"], 3
            ),
            "family": result.family,
            "trials": result.trials,
            "split": result.split,
            "forecast": contract.forecast.model_dump(),
            "training_rows": len(split.train),
            "python": sys.version.split()[0],
        },
    }


def gold_frame(settings: object, contract: object) -> pd.DataFrame:
    """The gold table."""
    from goldpath.features.learned import learned_contract
    from goldpath.lake.connection import open_lakehouse
    from goldpath.lake.gold_frame import read_gold
    from goldpath.lake.tables import gold_table

    lakehouse = open_lakehouse(settings)
    snapshot = lakehouse.snapshot(gold_table(contract)).snapshot_id
    return read_gold(lakehouse, learned_contract(settings, contract), snapshot)


def by_hand(data: Path, split: object, names: list[str], contract: object) -> pd.Series:
    """What a data scientist would write, without the project."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    raw = pd.read_csv(data)
    hours = pd.to_timedelta(raw["hr"], "h")
    raw["at"] = pd.to_datetime(raw["dteday"], format="%m/%d/%y") + hours
    series = raw.set_index("at")[TARGET]
    full = series.asfreq("h")
    for each in contract.forecast.lags:
        raw[f"{TARGET}_lag_{each}"] = full.shift(freq=each).reindex(raw["at"]).to_numpy()
    for each in contract.forecast.means:
        mean = full.rolling(pd.Timedelta(each), min_periods=1).mean().shift(freq=HORIZON)
        raw[f"{TARGET}_mean_{each}"] = mean.reindex(raw["at"]).to_numpy()
    train = raw[raw["at"].isin(split.train["event_time"])]
    test = raw.set_index("at").loc[split.test["event_time"]]
    model = HistGradientBoostingRegressor(random_state=SEED).fit(train[names], train[TARGET])
    return pd.Series(model.predict(test[names]))


def scores(truth: object, predicted: pd.Series) -> dict[str, float]:
    """Mean absolute error and R²."""
    from sklearn.metrics import mean_absolute_error, r2_score

    values = predicted.to_numpy()
    return {
        "mae": round(float(mean_absolute_error(truth, values)), 2),
        "r2": round(float(r2_score(truth, values)), 4),
    }


if __name__ == "__main__":
    raise SystemExit(main())
