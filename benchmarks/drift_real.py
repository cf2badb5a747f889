"""Which verdicts follow a real loss of quality by month: bike sharing, 2012 after 2011.

A model is trained on the hours of 2011 and kept. Each month of 2012 gets the mean absolute error
that the model loses against its own error, out of fold, in the same month of 2011. Beside it stands
what is said of that month, and its rank correlation with the loss (Spearman, 1904):

- without labels, from the features and the model's predictions: the mean score of our check (minus
  the logarithm of a week's p-value), the share of columns that Evidently's default tests call
  drifted, the share that NannyML's univariate drift alerts on, and the error that its direct loss
  estimation (DLE) expects
- with the month's labels: the RMSE that the verdict of `logs performance` on the month holds
  against the limit, and Evidently's share with the labels as a further column

The ratio is that of the verdict with labels. They tell of a loss themselves, so it had to agree;
what it does not know is the loss against the same month of the year before.

    python benchmarks/drift_real.py BIKE_SHARING_HOURLY.csv [--nannyml PYTHON] [--picture FILE.png]

PYTHON is the interpreter of an environment with nannyml; without it the former figures of NannyML
are kept.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

RESULT = Path(__file__).parent / "results" / "drift_real.json"
NUMBERS = ("hr", "holiday", "weekday", "workingday", "temp", "atemp", "hum", "windspeed")
FOLDS, FEWEST_ROWS, SMALLEST_P = 5, 100, 1e-30
MONTHS = range(1, 13)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Year:
    """Hours of a year: what the check sees, when they were, and what came true."""

    rows: pa.Table
    times: npt.NDArray[np.datetime64]
    truth: Floats

    @property
    def errors(self) -> Floats:
        """By how much the model was wrong."""
        return np.abs(self.rows["prediction"].to_numpy() - self.truth)

    @property
    def months(self) -> npt.NDArray[np.int64]:
        """The month of each row, from 1 on."""
        return self.times.astype("M8[M]").astype(int) % 12 + 1


def main() -> int:
    """Measure, print and write the result, and the picture if one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--nannyml", metavar="PYTHON")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    before, after = two_years(pd.read_csv(options.data))
    loss = by_month(after) - by_month(before)
    scores, alarms = scores_of_ours(before, after)
    live, low = verdicts_with_labels(before, after)
    nannyml = of_nannyml(options.nannyml, before, after)
    said = {
        "our score": scores,
        "our alarms a week": alarms,
        "Evidently, share of columns": drifted_columns(before, after, with_labels=False),
        "NannyML, share of columns": np.array(nannyml["alerts"]),
        "NannyML, error that DLE estimates": np.array(nannyml["estimated_error"]),
        "with labels: live RMSE against its limit": live,
        "with labels: Evidently, share of columns": drifted_columns(
            before, after, with_labels=True
        ),
    }
    agreements = {name: agreement(values, loss) for name, values in said.items()}
    result = {
        "name": "drift_real",
        "ratio": agreements["with labels: live RMSE against its limit"],
        "unit": "rank correlation of our verdict with labels and the loss of quality, by month",
        "n": after.rows.num_rows,
        "details": {
            "loss_of_mean_absolute_error": np.round(loss, 1).tolist(),
            "rank_correlation": agreements,
            "by_month": {name: np.round(values, 2).tolist() for name, values in said.items()},
            "months_called_low_with_labels": low,
            "nannyml": nannyml,
        },
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    if options.picture:
        draw(options.picture, loss, said)
    return 0


def two_years(frame: pd.DataFrame) -> tuple[Year, Year]:
    """2011 with predictions out of fold, and 2012 with those of a model of 2011."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    days = pd.to_datetime(frame["dteday"], format="%m/%d/%y")
    times = (days + pd.to_timedelta(frame["hr"], "h")).to_numpy("datetime64[s]")
    features = frame[[*NUMBERS, "weathersit"]].to_numpy("float64")
    counts, is_first = frame["cnt"].to_numpy("float64"), frame["yr"].to_numpy() == 0

    def fitted(rows: npt.NDArray[np.bool_]) -> HistGradientBoostingRegressor:
        return HistGradientBoostingRegressor(random_state=0).fit(features[rows], counts[rows])

    predictions = np.empty(len(frame))
    predictions[~is_first] = fitted(is_first).predict(features[~is_first])
    fold = times.astype("M8[W]").astype(int) % FOLDS
    for number in range(FOLDS):
        out = is_first & (fold == number)
        predictions[out] = fitted(is_first & (fold != number)).predict(features[out])

    def year(rows: npt.NDArray[np.bool_]) -> Year:
        columns: dict[str, object] = {name: frame[name][rows].to_numpy("f8") for name in NUMBERS}
        columns["weather"] = frame["weathersit"][rows].astype(str).to_numpy(object)
        columns["prediction"] = predictions[rows]
        return Year(pa.table(columns), times[rows], counts[rows])

    return year(is_first), year(~is_first)


def by_month(year: Year) -> Floats:
    """The mean absolute error of each month."""
    return np.array([year.errors[year.months == month].mean() for month in MONTHS])


def scores_of_ours(before: Year, after: Year) -> tuple[Floats, Floats]:
    """Our mean score of the weeks of each month, and the share of them that is an alarm."""
    from goldpath.drift.counts import count_rows
    from goldpath.drift.reference import build_reference
    from goldpath.drift.window_verdict import WindowJudge, WindowSettings

    reference = build_reference(before.rows, before.times, window="1w", minimum_rows=FEWEST_ROWS)
    judge = WindowJudge(reference, WindowSettings(minimum_rows=FEWEST_ROWS))
    weeks = after.times.astype("M8[W]")
    scores, alarms = [], []
    for month in MONTHS:
        found = []
        for week in np.unique(weeks[after.months == month]):
            rows = after.rows.filter(pa.array((after.months == month) & (weeks == week)))
            if rows.num_rows >= FEWEST_ROWS:
                start = pd.Timestamp(week.astype("M8[s]"), tz="UTC").to_pydatetime()
                found.append(judge.judge(count_rows(reference.whole.bins, rows), start))
        scores.append(np.mean([-np.log(max(each.p_value, SMALLEST_P)) for each in found]))
        alarms.append(np.mean([each.state == "alarm" for each in found]))
    return np.array(scores), np.array(alarms)


def verdicts_with_labels(before: Year, after: Year) -> tuple[Floats, int]:
    """The RMSE of each month in units of the limit, and the months that the verdict calls low."""
    from goldpath.contract import Contract
    from goldpath.jobs.drift.live_quality import judge_quality
    from goldpath.settings import Settings

    contract = Contract.model_validate(
        {
            "dataset": "rentals",
            "problem": "regression",
            "source": {"path": "rentals.csv"},
            "entity": "id",
            "target": {"column": "cnt"},
            "features": [{"name": name, "type": "number"} for name in NUMBERS],
        }
    )
    tested = {"test_rmse": float(np.sqrt(np.mean(before.errors**2)))}
    drop = Settings.model_fields["prediction_log"].get_default(call_default_factory=True)
    found = []
    for month in MONTHS:
        chosen = after.months == month
        rows = {
            "_day": after.times[chosen].astype("M8[D]").astype(str),
            "prediction": after.rows["prediction"].to_numpy()[chosen],
            "label": after.truth[chosen],
        }
        count = int(chosen.sum())
        found.append(
            judge_quality(
                contract, "1", tested, pd.DataFrame(rows), drop=drop.quality_drop, minimum=count
            )
        )
    share = np.array([(each.value or 0.0) / (each.limit or 1.0) for each in found])
    return share, sum(each.verdict == "low" for each in found)


def drifted_columns(before: Year, after: Year, *, with_labels: bool) -> Floats:
    """The share of columns that Evidently's default tests call drifted, for each month."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType

        first, second = before.rows.to_pandas(), after.rows.to_pandas()
        if with_labels:
            first, second = first.assign(truth=before.truth), second.assign(truth=after.truth)
        shares = []
        for month in MONTHS:
            now, drifted = second[after.months == month], []
            for name in first:
                kind = ColumnType.Categorical if name == "weather" else ColumnType.Numerical
                test = get_stattest(first[name], now[name], kind, None)
                drifted.append(test(first[name], now[name], kind, None).drifted)
            shares.append(np.mean(drifted))
    return np.array(shares)


def of_nannyml(python: str | None, before: Year, after: Year) -> dict[str, Any]:
    """What NannyML says by month, in an environment of its own; without one, the former figures."""
    if python is None:
        kept = json.loads(RESULT.read_text(encoding="utf-8"))["details"]["nannyml"]
        return {**kept, "is_of_a_former_run": True}
    with tempfile.TemporaryDirectory() as folder:
        for name, year in (("reference", before), ("analysis", after)):
            rows = year.rows.append_column("at", pa.array(year.times.astype("M8[us]")))
            pq.write_table(
                rows.append_column("truth", pa.array(year.truth)), f"{folder}/{name}.parquet"
            )
        answer = subprocess.run(
            [
                python,
                "-W",
                "ignore",
                str(Path(__file__).with_name("drift_real_nannyml.py")),
                folder,
            ],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NML_DISABLE_USAGE_LOGGING": "1"},
        )
    found = json.loads(answer.stdout.splitlines()[-1])
    return {name: np.round(values, 2).tolist() for name, values in found.items()}


def agreement(found: Floats, loss: Floats) -> float | None:
    """Spearman's rank correlation; None where every month is the same."""
    from scipy.stats import spearmanr

    return round(float(spearmanr(found, loss)[0]), 3) if np.ptp(found) else None


def draw(file: Path, loss: Floats, said: dict[str, Floats]) -> None:
    """The loss, and what is said without labels and with them, month by month."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(5, 1, sharex=True, figsize=(7, 8.5), layout="constrained")
    shown = (
        (loss, "more error than in 2011\n(rentals an hour)", "tab:red"),
        (said["our score"], "our score\n(-log p of a week)", "tab:blue"),
        (
            said["Evidently, share of columns"],
            "Evidently's share\nof drifted columns",
            "tab:gray",
        ),
        (
            said["NannyML, error that DLE estimates"],
            "error that NannyML\nestimates",
            "tab:olive",
        ),
        (
            said["with labels: live RMSE against its limit"],
            "with labels: live RMSE\n/ its limit",
            "tab:green",
        ),
    )
    for axis, (values, name, colour) in zip(axes, shown, strict=True):
        axis.bar(list(MONTHS), values, color=colour)
        axis.set_ylabel(name)
        axis.set_ylim(bottom=0)
    axes[-1].axhline(1, color="black", linewidth=0.8, linestyle="--")
    axes[-1].set_xticks(list(MONTHS))
    axes[-1].set_xlabel("month of 2012")
    figure.suptitle("A model of 2011 in 2012: demand grew. No feature shows it, labels do")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
