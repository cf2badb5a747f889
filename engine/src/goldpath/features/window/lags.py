"""Lags and rolling means of a series: windows that end some time before the row's.

A lag is the last value of a tile that ends exactly so long before the row's time, so a row that is
missing from the series is a missing value, and no younger row can take its place. The rest is what
every window feature has: gold, training, batches and the service compute it alike.
"""

import sys
from collections.abc import Callable
from types import FunctionType

from goldpath.contract import Contract
from goldpath.durations import duration_text
from goldpath.features.row.tracer import refused
from goldpath.features.window.feature import WindowFeature
from goldpath.features.window.rows import Aggregate, Rows
from goldpath.forecast import lag_column

OWN_TABLE = ""
"""The source of a feature that reads the main table."""

HOUR, DAY = 3_600, 86_400


def lag(
    column: str,
    *,
    hours: int | None = None,
    days: int | None = None,
    source: str = OWN_TABLE,
    step: str | None = None,
    name: str | None = None,
    description: str = "",
) -> WindowFeature:
    """The value of a column so long before the row's time; missing where no row stands there.

    Args:
        column: Of the series: a column of the main table or its target, or of a further source.
        hours: How long before, in hours.
        days: How long before, in days, instead.
        source: A further source; the main table where not given, which needs `forecast` in
            `config/project.yaml`, and a lag that is known at its horizon.
        step: The grid that the rows' times stand on. Where not given, of the main table the
            forecast's step; of a further source an hour, or a day where days are given.
        name: The column's name; `cnt_lag_24h` where not given.
        description: For people.

    Example:
        >>> from goldpath import lag
        >>> lag("cnt", hours=24).name
        'cnt_lag_24h'
    """
    length = _length(hours, days)
    text = duration_text(length)
    grid = step or ("1h" if hours is not None else "1d")
    own = name or lag_column(column, text)
    return WindowFeature(
        own,
        _placed(lambda rows: rows[column].last()),
        source,
        (grid,),
        tile=grid,
        lag=text,
        including=True,
        description=description or f"{column}, {text} before",
        column=own,
        takes_step="" if step else "window",
    )


def same_hour_last_week(
    column: str, *, source: str = OWN_TABLE, name: str | None = None, description: str = ""
) -> WindowFeature:
    """The value of a column 168 hours before the row's time.

    Args:
        column: Of the series.
        source: As for `lag`.
        name: The column's name; `cnt_same_hour_last_week` where not given.
        description: For people.

    Example:
        >>> from goldpath import same_hour_last_week
        >>> same_hour_last_week("cnt").name
        'cnt_same_hour_last_week'
    """
    return lag(
        column,
        hours=168,
        source=source,
        name=name or f"{column}_same_hour_last_week",
        description=description or f"{column}, the same hour a week before",
    )


def rolling_mean(
    column: str,
    *,
    hours: int | None = None,
    days: int | None = None,
    behind: str | None = None,
    source: str = OWN_TABLE,
    step: str | None = None,
    name: str | None = None,
    description: str = "",
) -> WindowFeature:
    """The mean of a column over so long, up to some time before the row's.

    Args:
        column: Of the series, a number.
        hours: How long the window is, in hours.
        days: How long it is, in days, instead.
        behind: How long before the row's time the window ends, such as `24h`. Of the main table:
            the forecast's horizon where not given. Of a further source: it ends before the row's
            time.
        source: As for `lag`.
        step: As for `lag`.
        name: The column's name; `cnt_mean_168h` where not given.
        description: For people.

    Example:
        >>> from goldpath import rolling_mean
        >>> rolling_mean("cnt", days=7).name
        'cnt_mean_7d'
    """
    text = duration_text(_length(hours, days))
    own = name or f"{column}_mean_{text}"
    return WindowFeature(
        own,
        _placed(lambda rows: rows[column].mean()),
        source,
        (text,),
        tile=step or ("1h" if hours is not None else "1d"),
        lag=behind,
        including=behind is not None or source == OWN_TABLE,
        description=description or f"Mean of {column} over {text}",
        column=own,
        takes_step="" if step else "tile",
    )


def forecast_features(contract: Contract) -> list[WindowFeature]:
    """The lags and means that a contract's `forecast` names."""
    forecast, target = contract.forecast, contract.target.column
    if forecast is None:
        return []
    grid = forecast.step
    lags = [
        WindowFeature(
            lag_column(target, each),
            lambda rows: rows[target].last(),
            OWN_TABLE,
            (grid,),
            tile=grid,
            lag=each,
            including=True,
            description=f"{target}, {each} before",
            column=lag_column(target, each),
        )
        for each in forecast.lags
    ]
    means = [
        WindowFeature(
            f"{target}_mean_{each}",
            lambda rows: rows[target].mean(),
            OWN_TABLE,
            (each,),
            tile=grid,
            lag=forecast.horizon,
            including=True,
            description=f"Mean of {target} over {each}, up to {forecast.horizon} before",
            column=f"{target}_mean_{each}",
        )
        for each in forecast.means
    ]
    return [*lags, *means]


def _length(hours: int | None, days: int | None) -> int:
    count = days if hours is None else hours
    if (hours is None) == (days is None) or isinstance(count, bool) or not isinstance(count, int):
        raise refused(
            f"hours={hours!r}, days={days!r} say no length",
            "give a whole number of one of them: hours=24",
        )
    if count < 1:
        raise refused(f"{count} is no length of time before the row", "give 1 or more: hours=24")
    return count * (DAY if hours is None else HOUR)


def _placed(function: Callable[[Rows], Aggregate]) -> Callable[[Rows], Aggregate]:
    """The function, as if it stood in the project's line that asked for it: messages name it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    code, closure = function.__code__, function.__closure__
    moved = code.replace(co_filename=frame.f_code.co_filename, co_firstlineno=frame.f_lineno)
    return FunctionType(moved, frame.f_globals, "lag", None, closure)
