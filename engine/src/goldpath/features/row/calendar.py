"""What a calendar says of a row: cycles as sine and cosine, and a country's holidays.

Both are written down as tables of plain numbers when the feature is traced. So every evaluator
computes the same, a version keeps the holidays that it was trained with, whatever a newer
`holidays` says of them, and the service asks no library.
"""

import math
import warnings
from collections.abc import Callable, Sequence

from goldpath.features.row.cases import case
from goldpath.features.row.tracer import refused
from goldpath.features.row.values import Value

LONGEST_CYCLE = 366
DIGITS = 12
"""Of sine and cosine: no C library rounds them otherwise, so that all machines write one table."""

YEARS = (2001, 2035)
"""For which `holidays` knows the days that follow the moon, too."""


def cyclic_sin(value: Value, period: int) -> Value:
    """The sine of a whole number in a cycle: 23 and 0 o'clock stand beside each other.

    Take it together with `cyclic_cos`; each alone gives two places of the cycle one value.

    Args:
        value: A whole number such as an hour, a weekday or a month.
        period: How many there are: 24, 7 or 12; 2 to 366.

    Example:
        >>> from goldpath import Row, Value, cyclic_sin, row_feature
        >>> @row_feature
        ... def hour_sin(row: Row) -> Value:
        ...     return cyclic_sin(row.asked_at.to_time().hour(), period=24)
    """
    return _cycle(value, period, math.sin)


def cyclic_cos(value: Value, period: int) -> Value:
    """The cosine of a whole number in a cycle; see `cyclic_sin`.

    Args:
        value: A whole number such as an hour, a weekday or a month.
        period: How many there are: 24, 7 or 12; 2 to 366.

    Example:
        >>> from goldpath import Row, Value, cyclic_cos, row_feature
        >>> @row_feature
        ... def hour_cos(row: Row) -> Value:
        ...     return cyclic_cos(row.asked_at.to_time().hour(), period=24)
    """
    return _cycle(value, period, math.cos)


def is_holiday(
    time: Value, country: str, subdivision: str | None = None, years: tuple[int, int] = YEARS
) -> Value:
    """Whether the day of a time is a public holiday of a country, by the `holidays` library.

    It is missing outside the years.

    Args:
        time: A time; its day in UTC counts.
        country: Its ISO 3166 code: `BR`, `DE`, `US`.
        subdivision: A state or province with holidays of its own: `SP`, `BY`.
        years: The first and the last year.

    Example:
        >>> from goldpath import Row, Value, is_holiday, row_feature
        >>> @row_feature
        ... def is_day_off(row: Row) -> Value:
        ...     return is_holiday(row.asked_on.to_time(), country="BR", subdivision="SP")
    """
    if not isinstance(time, Value):
        raise refused(f"is_holiday takes a time of the row, not {time!r}", "row.day.to_time()")
    days, (first, last) = _holidays(country, subdivision, years)
    year = time.year()
    day = year * 10_000 + time.month() * 100 + time.day()
    return case(((year >= first) & (year <= last), day.is_in(*days)), otherwise=None)


def _cycle(value: Value, period: int, function: Callable[[float], float]) -> Value:
    if not isinstance(value, Value):
        raise refused(f"a cycle takes a value of the row, not {value!r}", "row.hour, for instance")
    if isinstance(period, bool) or not isinstance(period, int) or not 2 <= period <= LONGEST_CYCLE:
        raise refused(
            f"period={period!r} is no whole number from 2 to {LONGEST_CYCLE}",
            "24 for hours, 7 for weekdays, 12 for months",
        )
    if value._type != "integer":
        raise refused(
            f"a cycle takes a whole number, not a {value._type}", "round it: value.floor()"
        )
    places = range(period)
    # Zero has no sign here, and the table is to be the same on all machines.
    table = {each: round(function(2 * math.pi * each / period), DIGITS) + 0.0 for each in places}
    return (value % period).map(table)


def _holidays(
    country: str, subdivision: str | None, years: tuple[int, int]
) -> tuple[Sequence[int], tuple[int, int]]:
    """The holidays as numbers such as 20240229, and the years that are known."""
    try:
        import holidays
    except ImportError as error:
        raise refused(
            "is_holiday needs the library `holidays`, which is not installed", "make setup"
        ) from error
    match years:
        case (int() as first, int() as last) if first <= last:
            pass
        case _:
            raise refused(f"years={years!r} are no first and last year", "years=(2001, 2035)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of years that it knows no day of, or not all days
            found = holidays.country_holidays(country, subdivision, range(first, last + 1))
    except (NotImplementedError, UserWarning) as error:
        raise refused(
            f"holidays of {country} {subdivision or ''}, {first} to {last}: {error}",
            "give ISO codes and years that `holidays` knows: country='BR', subdivision='SP', "
            "years=(2001, 2035)",
        ) from error
    days = sorted(day.year * 10_000 + day.month * 100 + day.day for day in found)
    days = [day for day in days if first <= day // 10_000 <= last]
    if first < found.start_year or last > found.end_year:
        raise refused(
            f"`holidays` knows {country} from {found.start_year} to {found.end_year}, and the "
            f"years are {first} to {last}",
            "give years that it knows: years=(…, …)",
        )
    return days, (first, last)
