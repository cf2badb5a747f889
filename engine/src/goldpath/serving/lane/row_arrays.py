"""Decoded rows as the numbers and codes that a compiled model takes."""

from collections.abc import Sequence
from math import nan
from struct import Struct

import numpy as np

from goldpath.compiled.form import CompiledForm
from goldpath.serving.lane.request_structs import Values


class RowArrays:
    """Fills arrays from rows whose values are in the order `order`.

    Args:
        form: The compiled form.

    Attributes:
        order: Features: the form's numbers, then its categories.
    """

    def __init__(self, form: CompiledForm) -> None:
        self.order = [*form.numbers, *form.categories]
        self._numbers = len(form.numbers)
        # A category's table: the code of each value, and of one that was never seen.
        self._tables = [(codes, len(codes) - 1) for codes in form.codes.values()]
        self._pack_numbers = Struct(f"{self._numbers}d").pack_into
        self._pack_codes = Struct(f"{len(self._tables)}i").pack_into

    def fill(self, values: Values, numbers: memoryview, codes: memoryview) -> None:
        """Put one row into the buffers of one."""
        count = self._numbers
        self._pack_numbers(numbers, 0, *[nan if each is None else each for each in values[:count]])
        self._pack_codes(
            codes,
            0,
            *[
                table.get(text, unknown)
                for (table, unknown), text in zip(self._tables, values[count:], strict=True)
            ],
        )

    def of_rows(self, rows: Sequence[Values]) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and codes of shape (rows, …) from a few rows."""
        count = self._numbers
        numbers = np.array([row[:count] for row in rows], np.float64)  # None becomes NaN
        codes = [
            [
                table.get(text, unknown)
                for (table, unknown), text in zip(self._tables, row[count:], strict=True)
            ]
            for row in rows
        ]
        return numbers, np.array(codes, np.int32).reshape(len(rows), len(self._tables))

    def arrays(self, columns: Sequence[Values]) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and codes of shape (rows, …) from the features' values."""
        count, rows = self._numbers, len(columns[0])
        numbers = np.empty((rows, count))
        for place, values in enumerate(columns[:count]):
            numbers[:, place] = values  # None becomes NaN
        codes = np.empty((rows, len(self._tables)), dtype=np.int32)
        for place, (table, unknown) in enumerate(self._tables):
            codes[:, place] = [table.get(text, unknown) for text in columns[count + place]]
        return numbers, codes
