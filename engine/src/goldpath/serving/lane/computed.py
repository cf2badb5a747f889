"""Row features in the fast lane: a request's columns become those that the model takes.

A row alone is computed by a function that was compiled for the model's features; many rows at once
in NumPy, whether they come as Python values or, read by `json_rows.c`, as numbers and codes. The
evaluators agree to the last bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from goldpath.compiled.form import CompiledForm
from goldpath.contract import Contract
from goldpath.features.row.batch import Array, known_texts, with_features
from goldpath.features.row.complete import columns_read
from goldpath.features.row.learned import definitions_of
from goldpath.features.row.one_row import values_evaluator
from goldpath.serving.lane.request_structs import Values
from goldpath.serving.lane.row_arrays import RowArrays


class ComputedColumns:
    """Completes rows for one model.

    Args:
        contract: The model's, with its row features.
        form: What the model takes.

    Attributes:
        order: The features of a request and the columns of window features, as a row's values are
            given.
        request_form: The form's numbers and categories of these; only its names and codes are of
            use.
        reads_codes: Whether codes tell all that the features read. A category that no row of the
            training had shares its code with others.
    """

    def __init__(self, contract: Contract, form: CompiledForm) -> None:
        self._form = form
        self._definitions = definitions_of(contract)
        read = columns_read(contract, self._definitions)
        self._numbers = [name for name, is_text in read.items() if not is_text]
        sent = {feature.name: feature for feature in contract.recorded.features}
        self.request_form = replace(
            form,
            numbers=tuple(name for name in form.numbers if name in sent),
            categories={name: kept for name, kept in form.categories.items() if name in sent},
        )
        self._request = RowArrays(self.request_form)
        self.order = self._request.order
        self._complete = values_evaluator(
            self._definitions, self.order, [*form.numbers, *form.categories]
        )
        texts = {name: form.categories[name] for name, is_text in read.items() if is_text}
        self.reads_codes = all(
            set(sent[name].domain.categories or ()) <= set(known) for name, known in texts.items()
        )
        # The code behind the known ones is of a text that is none of them, and is never read.
        self._texts = {name: known_texts([*known, None, None]) for name, known in texts.items()}
        self._known = {name: frozenset(known) for name, known in texts.items()}

    def knows(self, values: Mapping[str, Sequence[str]]) -> bool:
        """Whether codes tell the texts that the features read apart.

        Args:
            values: The different texts of each category, in some rows.
        """
        return all(known.issuperset(values[name]) for name, known in self._known.items())

    def rows(self, rows: Sequence[Values]) -> list[Values]:
        """Rows with their features, in the order of the form's numbers and categories."""
        return [*map(self._complete, rows)]

    def of_columns(self, columns: Sequence[Values]) -> tuple[np.ndarray, np.ndarray]:
        """The form's numbers and codes, from the values of each feature of the request."""
        given = dict(zip(self.order, columns, strict=True))
        texts = {name: known_texts(given[name]) for name in self._texts}
        return self._arrays(*self._request.arrays(columns), texts)

    def of_arrays(self, numbers: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The form's numbers and codes, from those of the request; see `reads_codes`."""
        sent = dict(zip(self.request_form.categories, codes.T, strict=True))
        texts = {name: known[sent[name]] for name, known in self._texts.items()}
        return self._arrays(numbers, codes, texts)

    def _arrays(
        self, numbers: np.ndarray, codes: np.ndarray, texts: Mapping[str, Array]
    ) -> tuple[np.ndarray, np.ndarray]:
        sent_numbers = dict(zip(self.request_form.numbers, numbers.T, strict=True))
        sent_codes = dict(zip(self.request_form.categories, codes.T, strict=True))
        read = {**texts, **{name: sent_numbers[name] for name in self._numbers}}
        rows, form = len(numbers), self._form
        found = {**with_features(self._definitions, read, rows), **sent_numbers}
        wanted_numbers = np.empty((rows, len(form.numbers)))
        for place, name in enumerate(form.numbers):
            wanted_numbers[:, place] = found[name]
        wanted_codes = np.empty((rows, len(form.categories)), np.int32)
        for place, name in enumerate(form.categories):
            sent = sent_codes.get(name)
            wanted_codes[:, place] = (
                _codes(found[name].tolist(), form.codes[name]) if sent is None else sent
            )
        return wanted_numbers, wanted_codes


def _codes(values: Sequence[Any], table: Mapping[str | None, int]) -> Array:
    unknown = len(table) - 1
    return np.array([table.get(value, unknown) for value in values], np.int32)
