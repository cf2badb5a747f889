"""Numbers that stand for a missing value: one and the same, far from all others."""

import numpy as np

from goldpath.adoption.column_profile import ColumnProfile

LEAST_SHARE = 0.01
FAR = 0.5
CODES = (-1, -9, -99, -999, -9999, -99999, 999, 9999, 99999, 999999)


def find_sentinel(profile: ColumnProfile) -> tuple[str, int] | None:
    """The value at the edge of a column of numbers that looks like a code, and its rows.

    Args:
        profile: A column of numbers.

    Returns:
        The smallest or the largest value where at least one row in a hundred holds it and the
        others lie far off: by half of their range, or on the other side of zero for a value that
        is a usual code such as -999.
    """
    known = np.flatnonzero(np.isfinite(profile.numbers))
    numbers, counts = profile.numbers[known], profile.counts[known]
    if len(numbers) < 3:
        return None
    order = np.argsort(numbers)
    for edge, rest in ((order[0], order[1:]), (order[-1], order[:-1])):
        others = numbers[rest]
        distance = float(np.min(np.abs(others - numbers[edge])))
        width = float(np.ptp(others))
        is_code = numbers[edge] in CODES and (
            (numbers[edge] < 0 <= others.min()) or numbers[edge] > 2 * others.max()
        )
        if counts[edge] >= LEAST_SHARE * profile.present and (is_code or distance > FAR * width):
            return profile.levels[int(known[edge])], int(counts[edge])
    return None
