"""Row features in the fast lane: a request's columns become those that the model takes.

A row alone is computed in plain Python; many rows at once in NumPy, whether they come as Python
values or, read by `json_rows.c`, as numbers and codes. The evaluators agree to the last bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from goldpath.compiled.form import CompiledForm
from goldpath.contract import Contract
from goldpath.features.row.batch import Array, known_numbers, known_texts, with_features
from goldpath.features.row.complete import columns_read
from goldpath.features.row.learned import definitions_of
from goldpath.features.row.one_row import rows_evaluator
from goldpath.serving.lane.request_structs import Values


class ComputedColumns:
    """Completes rows for one model.

    Args:
        contract: The model's, with its row features.
        form: What the model takes.

    Attributes:
        order: The features of a request, as a row's values are given.
        request_form: The form's numbers and categories that a request sends; only its names and
            codes are of use.
        reads_codes: Whether codes tell all that the features read. A category that no row of the
            training had shares its code with others.
    """

    def __init__(self, contract: Contract, form: CompiledForm) -> None:
        self._form = form
        self._definitions = definitions_of(contract)
        self._complete = rows_evaluator(self._definitions)
        self._read = columns_read(contract, self._definitions)
        self._wanted = [*form.numbers, *form.categories]
        sent = {feature.name: feature for feature in contract.request.features}
        self.order = [*sent]
        self.request_form = replace(
            form,
            numbers=tuple(name for name in form.numbers if name in sent),
            categories={name: kept for name, kept in form.categories.items() if name in sent},
        )
        texts = {name: form.categories[name] for name, is_text in self._read.items() if is_text}
        self.reads_codes = all(
            set(sent[name].domain.categories or ()) <= set(known) for name, known in texts.items()
        )
        # The code behind the known ones is of a text that is none of them, and is never read.
        self._texts = {name: known_texts([*known, None, None]) for name, known in texts.items()}

    def rows(self, rows: Sequence[Values]) -> list[Values]:
        """Rows with their features, in the order of the form's numbers and categories."""
        named = [self._complete(dict(zip(self.order, row, strict=True))) for row in rows]
        return [tuple(row[name] for name in self._wanted) for row in named]

    def of_columns(self, columns: Sequence[Values]) -> tuple[np.ndarray, np.ndarray]:
        """The form's numbers and codes, from the values of each feature of the request."""
        given = dict(zip(self.order, columns, strict=True))
        rows = len(columns[0])
        codes = self._form.codes
        return self._arrays(
            rows,
            {name: np.array(given[name], np.float64) for name in self.request_form.numbers},
            {name: _codes(given[name], codes[name]) for name in self.request_form.categories},
            {
                name: known_texts(given[name]) if is_text else known_numbers(np.array(given[name]))
                for name, is_text in self._read.items()
            },
        )

    def of_arrays(self, numbers: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The form's numbers and codes, from those of the request; see `reads_codes`."""
        sent_numbers = dict(zip(self.request_form.numbers, numbers.T, strict=True))
        sent_codes = dict(zip(self.request_form.categories, codes.T, strict=True))
        read = {
            name: self._texts[name][sent_codes[name]] if is_text else sent_numbers[name]
            for name, is_text in self._read.items()
        }
        return self._arrays(len(numbers), sent_numbers, sent_codes, read)

    def _arrays(
        self,
        rows: int,
        numbers: dict[str, Array],
        codes: dict[str, Array],
        read: dict[str, Array],
    ) -> tuple[np.ndarray, np.ndarray]:
        found = with_features(self._definitions, read, rows)
        form = self._form
        wanted_numbers = np.empty((rows, len(form.numbers)))
        for place, name in enumerate(form.numbers):
            wanted_numbers[:, place] = numbers[name] if name in numbers else found[name]
        wanted_codes = np.empty((rows, len(form.categories)), np.int32)
        for place, name in enumerate(form.categories):
            sent = codes.get(name)
            wanted_codes[:, place] = (
                _codes(found[name].tolist(), form.codes[name]) if sent is None else sent
            )
        return wanted_numbers, wanted_codes


def _codes(values: Sequence[Any], table: Mapping[str | None, int]) -> Array:
    unknown = len(table) - 1
    return np.array([table.get(value, unknown) for value in values], np.int32)
