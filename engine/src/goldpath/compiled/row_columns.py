"""Rows as AutoML's ensembles take them, made from arrays instead of a pandas table.

AutoML stands above this floor; what its preparations ask of a table is `PlainColumns` there.
"""

from typing import Any

import numpy as np

from goldpath.compiled.compile_columns import NotCompilableError
from goldpath.compiled.compile_ensemble import LONGEST_TEXT
from goldpath.compiled.form import CompiledForm

UNSEEN = "\ufffe never seen"


class RowColumns:
    """Columns by name.

    Args:
        form: Names the numbers, and the categories with their known values.
        numbers: Float64 of shape (rows, numbers), NaN where missing.
        codes: Int32 of shape (rows, categories).

    Attributes:
        table: This object, which has the columns' names and the number of rows.
    """

    def __init__(self, form: CompiledForm, numbers: np.ndarray, codes: np.ndarray) -> None:
        self._form, self._numbers, self._codes = form, numbers, codes
        self.columns = {*form.numbers, *form.categories}
        self.table = self

    def __len__(self) -> int:
        return len(self._numbers)

    def numbers(self, name: str) -> np.ndarray:
        """A number's values; what is not finite is missing."""
        if name not in self._form.numbers:
            raise NotCompilableError(f"the category {name}, which AutoML reads as a number")
        values = self._numbers[:, self._form.numbers.index(name)]
        return np.where(np.isfinite(values), values, np.nan)

    def text(self, name: str) -> np.ndarray:
        """A category's values as AutoML reads them; a missing one is empty."""
        if name not in self._form.categories:
            raise NotCompilableError(f"the number {name}, which AutoML reads as a category")
        known = self._form.categories[name]
        texts = np.array([*(value.strip()[:LONGEST_TEXT] for value in known), UNSEEN, ""])
        found: np.ndarray = texts[self._codes[:, list(self._form.categories).index(name)]]
        return found

    def words(self, name: str) -> Any:
        """Refused: the words of a text have no codes."""
        raise NotCompilableError(f"the column {name}, which AutoML reads as free text")

    def time_parts(self, name: str) -> Any:
        """Refused: a contract has no times among the features."""
        raise NotCompilableError(f"the column {name}, which AutoML reads as a time")
