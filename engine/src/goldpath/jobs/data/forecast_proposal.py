"""`adopt … HORIZON=24h`: which former values of a series are known by then, and are proposed.

The file's own rows tell how far apart they are, whether each entity is a series, and which of the
seasons that such a distance suggests repeats itself best.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from goldpath.adoption.column_profile import AdoptionError
from goldpath.contract import EVENT_TIME, Contract
from goldpath.durations import FORMS, SECONDS, duration_seconds, duration_text
from goldpath.features.window.geometry import MOST_TILES
from goldpath.forecast import Forecast

REGULAR = 0.8
"""Of the distances between neighbours, this share must be the commonest one."""

MOST_TWICE = 0.01
DAY, WEEK = SECONDS["d"], SECONDS["w"]


@dataclass(frozen=True)
class Proposal:
    """What `config/project.yaml` will say of the series, and why."""

    forecast: Forecast
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Series:
    """The rows by series and time; times in whole seconds since 1970."""

    values: "pd.Series[float]"
    per_entity: bool
    distance: int
    regular: float

    def naive_error(self, lag: int) -> float:
        """The mean absolute error of repeating what was so long ago; NaN where nothing is known."""
        ago = self.values.copy()
        ago.index = pd.MultiIndex.from_arrays(
            [ago.index.get_level_values(0), ago.index.get_level_values(1) + lag]
        )
        return float((self.values - ago.reindex(self.values.index)).abs().mean())


def propose_forecast(rows: pd.DataFrame, contract: Contract, horizon: str) -> Proposal:
    """Lags, means and season of a regular series that are known at a horizon.

    Args:
        rows: Those that the contract accepts, typed.
        contract: What `adopt` inferred.
        horizon: How long before its time a row will be asked for.

    Raises:
        AdoptionError: If the horizon is no duration, or the rows are no regular series of numbers.
    """
    ahead = duration_seconds(horizon)
    if ahead is None:
        raise AdoptionError(f"HORIZON={horizon} is no duration", f"write {FORMS}")
    horizon = duration_text(ahead)
    if contract.problem != "regression":
        raise AdoptionError(
            f"HORIZON={horizon} is for a number, and "
            + (
                f"{contract.target.column} has classes"
                if contract.has_target
                else "nothing is predicted"
            ),
            "leave HORIZON out, or name a number as TARGET",
        )
    if not contract.has_time:
        raise AdoptionError(
            f"HORIZON={horizon} needs the rows' times, and none was found",
            "say which column it is: TIME=column, or TIME=date+hour",
        )
    series = _series(rows, contract)
    grid = _grid(series)
    if ahead % grid:
        raise AdoptionError(
            f"HORIZON={horizon} is no multiple of the rows' step, {duration_text(grid)}",
            f"take {duration_text(math.ceil(ahead / grid) * grid)}",
        )
    seasons = _seasons(series.distance)
    errors = {lag: series.naive_error(lag) for lag in _known_lags(ahead, seasons)}
    usable = {lag: error for lag, error in errors.items() if not math.isnan(error)}
    if not usable:
        raise AdoptionError(
            f"no row has a value {horizon} before it: the file is shorter than the horizon",
            "give a file of a longer time, or a shorter HORIZON",
        )
    season = min(usable, key=lambda lag: (usable[lag], lag))
    means = [each for each in seasons if each // grid <= MOST_TILES and each in (*usable, DAY)]
    forecast = Forecast(
        horizon=horizon,
        step=duration_text(grid),
        season=duration_text(season),
        lags=tuple(map(duration_text, usable)),
        means=tuple(map(duration_text, means)),
        per_entity=series.per_entity,
    )
    return Proposal(forecast, _notes(series, forecast, list(usable.values()), contract))


def _series(rows: pd.DataFrame, contract: Contract) -> _Series:
    """The target by series and time."""
    entity = contract.entity
    per_entity = entity is not None and rows[entity].nunique() * 2 <= len(rows)
    known = rows[rows[EVENT_TIME].notna()]
    seconds = known[EVENT_TIME].to_numpy(dtype="datetime64[s]").astype("int64")
    owner = known[entity].astype(str).to_numpy() if per_entity else np.full(len(known), "")
    target = known[contract.target.column].to_numpy(dtype="float64")
    frame = pd.DataFrame({"owner": owner, "seconds": seconds, "value": target})
    frame = frame.sort_values(["owner", "seconds"], kind="stable")
    distances = frame.groupby("owner")["seconds"].diff().dropna()
    twice = float((distances == 0).mean()) if len(distances) else 0.0
    if twice > MOST_TWICE:
        raise AdoptionError(
            f"{twice:.0%} of the rows have the time of another row"
            + (f" of the same {entity}" if per_entity else ""),
            "say what tells the series apart: ID=column; or give a file with one row a time",
        )
    positive = distances[distances > 0]
    if positive.empty:
        raise AdoptionError("no series has two rows", "say what tells the series apart: ID=column")
    distance = int(positive.mode().iloc[0])
    regular = float((positive == distance).mean())
    if regular < REGULAR:
        raise AdoptionError(
            f"the rows are no regular series: the commonest distance, {duration_text(distance)}, "
            f"is that of {regular:.0%} of the neighbours ({REGULAR:.0%} are needed)",
            "bring them to one row an hour or a day first, or leave HORIZON out",
        )
    last = frame.drop_duplicates(["owner", "seconds"], keep="last")
    values = last.set_index(["owner", "seconds"])["value"]
    return _Series(values, per_entity, distance, regular)


def _grid(series: _Series) -> int:
    """The widest tiles whose borders the rows' times stand on."""
    phases = pd.Series(series.values.index.get_level_values(1) % series.distance)
    return math.gcd(series.distance, int(phases.mode().iloc[0]))


def _seasons(distance: int) -> list[int]:
    """What rows of such a distance may repeat themselves after."""
    if distance < DAY:
        return [each for each in (DAY, WEEK) if each % distance == 0]
    return [each for each in (WEEK, 52 * WEEK) if each % distance == 0 and each > distance]


def _known_lags(ahead: int, seasons: Sequence[int]) -> list[int]:
    """The youngest value that is known, and the last two of each season."""
    found = {ahead}
    for season in seasons:
        first = math.ceil(ahead / season) * season
        found |= {first, first + season}
    return sorted(found)


def _notes(
    series: _Series, forecast: Forecast, errors: Sequence[float], contract: Contract
) -> tuple[str, ...]:
    target, horizon = contract.target.column, forecast.horizon
    named = (
        f"each {contract.entity} is a series" if series.per_entity else "the rows are one series"
    )
    lags = ", ".join(
        f"{lag} (repeated: off by {error:.4g})"
        for lag, error in zip(forecast.lags, errors, strict=True)
    )
    means = f", and its mean over {' and '.join(forecast.means)} up to then" * bool(forecast.means)
    others = ", ".join(contract.feature_names)
    return (
        f"forecast: {named}, a row every {duration_text(series.distance)} "
        f"({series.regular:.1%} of the distances)",
        f"forecast: asked {horizon} ahead, a row's younger values are not known yet; what is known "
        f"becomes features: {target} of {lags} before{means}. Test rows and training rows are "
        f"{horizon} apart",
        f"forecast: the baseline is the seasonal-naive forecast, {target} of {forecast.season} "
        "before, which is off least",
        f"forecast: whoever asks must know the other features {horizon} ahead ({others}): move "
        "what nobody knows by then to `ignored`",
    )
