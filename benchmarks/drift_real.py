"""Whether drift in the features foretells a loss of quality: bike sharing, 2012 after 2011.

A model is trained on the hours of 2011 and kept. Each month of 2012 gets the mean absolute error
that the model loses against its own error, out of fold, in the same month of 2011; the mean score
of our check (minus the logarithm of a week's p-value); and the share of columns that Evidently's
default tests call drifted. All see the same features and the model's predictions, and none sees a
label. The ratio is our rank correlation with the loss (Spearman, 1904).

    python benchmarks/drift_real.py BIKE_SHARING_HOURLY.csv [--picture FILE.png]
"""

import argparse
import json
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

RESULT = Path(__file__).parent / "results" / "drift_real.json"
NUMBERS = ("hr", "holiday", "weekday", "workingday", "temp", "atemp", "hum", "windspeed")
FOLDS, FEWEST_ROWS, SMALLEST_P = 5, 100, 1e-30
MONTHS = range(1, 13)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Year:
    """Hours of a year: what the check sees, when they were, and by how much the model was wrong."""

    rows: pa.Table
    times: npt.NDArray[np.datetime64]
    errors: Floats

    @property
    def months(self) -> npt.NDArray[np.int64]:
        """The month of each row, from 1 on."""
        return self.times.astype("M8[M]").astype(int) % 12 + 1


def main() -> int:
    """Measure, print and write the result, and the picture if one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    before, after = two_years(pd.read_csv(options.data))
    loss = by_month(after) - by_month(before)
    ours, alarms = scores_of_ours(before, after)
    theirs = drifted_columns(before, after)
    result = {
        "name": "drift_real",
        "ratio": agreement(ours, loss),
        "unit": "rank correlation of our score with the loss of quality, by month",
        "n": after.rows.num_rows,
        "details": {
            "loss_of_mean_absolute_error": np.round(loss, 1).tolist(),
            "our_score": np.round(ours, 2).tolist(),
            "our_alarms_a_week": np.round(alarms, 2).tolist(),
            "evidently_share_of_columns": np.round(theirs, 2).tolist(),
            "rank_correlation": {
                "our score": agreement(ours, loss),
                "our alarms": agreement(alarms, loss),
                "Evidently": agreement(theirs, loss),
            },
        },
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))
    if options.picture:
        draw(options.picture, loss, ours, theirs)
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
    errors = np.abs(predictions - counts)

    def year(rows: npt.NDArray[np.bool_]) -> Year:
        columns: dict[str, object] = {name: frame[name][rows].to_numpy("f8") for name in NUMBERS}
        columns["weather"] = frame["weathersit"][rows].astype(str).to_numpy(object)
        columns["prediction"] = predictions[rows]
        return Year(pa.table(columns), times[rows], errors[rows])

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


def drifted_columns(before: Year, after: Year) -> Floats:
    """The share of columns that Evidently's default tests call drifted, for each month."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType

        first, second = before.rows.to_pandas(), after.rows.to_pandas()
        shares = []
        for month in MONTHS:
            now, drifted = second[after.months == month], []
            for name in first:
                kind = ColumnType.Categorical if name == "weather" else ColumnType.Numerical
                test = get_stattest(first[name], now[name], kind, None)
                drifted.append(test(first[name], now[name], kind, None).drifted)
            shares.append(np.mean(drifted))
    return np.array(shares)


def agreement(found: Floats, loss: Floats) -> float:
    """Spearman's rank correlation."""
    from scipy.stats import spearmanr

    return round(float(spearmanr(found, loss)[0]), 3)


def draw(file: Path, loss: Floats, ours: Floats, theirs: Floats) -> None:
    """Loss, our score and Evidently's share, month by month."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, sharex=True, figsize=(7, 5.5), layout="constrained")
    shown = (
        (loss, "more error than in 2011\n(rentals an hour)", "tab:red"),
        (ours, "our score\n(-log p of a week)", "tab:blue"),
        (theirs, "Evidently's share\nof drifted columns", "tab:gray"),
    )
    for axis, (values, name, colour) in zip(axes, shown, strict=True):
        axis.bar(list(MONTHS), values, color=colour)
        axis.set_ylabel(name)
        axis.set_ylim(bottom=0)
    axes[-1].set_xticks(list(MONTHS))
    axes[-1].set_xlabel("month of 2012")
    figure.suptitle("A model of 2011 in 2012: demand grew, and no feature shows it")
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
