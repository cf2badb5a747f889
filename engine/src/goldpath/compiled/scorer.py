"""A compiled model, ready to score: rows of any form in, predictions out.

It takes the place of `LoadedModel` wherever only predictions are needed, and imports neither
pandas nor scikit-learn.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.compiled.arrays import score_arrays
from goldpath.compiled.form import Blend, CompiledForm
from goldpath.compiled.native import BlendScorer, NativeScorer, build_kernel
from goldpath.contract import Contract
from goldpath.features.row.complete import complete_rows
from goldpath.learning.decision.threshold import rule_of, scores_of
from goldpath.learning.predictions import Predictions
from goldpath.learning.threads import usable_cores
from goldpath.model_version import ModelVersion

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class CompiledModel:
    """A compiled form and the contract it was trained with.

    Args:
        form: The form.
        contract: The contract.
        version: Where it came from; None for a candidate.
        kernels: Folder of the built kernels; None scores with NumPy.
        threads: How many share a large batch.

    Attributes:
        engine: `kernel`, or `numpy` where no compiler is there.
        library: Where the kernel is; None without one.
        native: The kernel's scorer; None without it, and for a blend, which has several.
        background: Training rows that its predictions are explained against.
    """

    def __init__(
        self,
        form: CompiledForm,
        contract: Contract,
        version: ModelVersion | None = None,
        kernels: Path | None = None,
        threads: int | None = None,
    ) -> None:
        self.form = form
        self.contract = contract
        self.version = version
        self.background: Sequence[Mapping[str, Any]] = ()
        # Asked here and not with the first batch: the answer costs a request 0.1 s.
        self._threads = threads or usable_cores()
        self.library = library = build_kernel(kernels) if kernels else None
        is_blend = isinstance(form.model, Blend)
        self.native = NativeScorer(form, library) if library and not is_blend else None
        self._blend = BlendScorer(form, library) if library and is_blend else None
        self.engine = "kernel" if library else "numpy"

    @cached_property
    def _pool(self) -> ThreadPoolExecutor | None:
        if self._threads < 2:
            return None
        return ThreadPoolExecutor(self._threads, thread_name_prefix="score")

    def predict(self, rows: "pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]") -> Predictions:
        """Score typed rows; the same row gets the same bits alone and in any batch.

        Row features are computed, also where the rows have columns of their names.
        """
        probabilities = self.ordered_answers(*self.columns(complete_rows(rows, self.contract)))
        classes = self.contract.target.classes
        if not classes:
            values = probabilities[:, 0].tolist()
            return Predictions(values, None, values)
        rule = rule_of(self.contract)
        lines = rule.lines_of(rows)
        best = rule.labels(probabilities, lines)
        return Predictions(
            [classes[at] for at in best.tolist()],
            probabilities,
            scores_of(probabilities, best).tolist(),
            None if lines is None else lines.tolist(),
        )

    def answers(self, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Probabilities by the form's classes, or values: shape (rows, outputs)."""
        scorer = self.native or self._blend
        if scorer is None:
            return score_arrays(self.form, numbers, codes)
        pool = self._pool if len(numbers) > 1 else None
        return scorer.score(numbers, codes, pool)

    def ordered_answers(self, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Probabilities by the contract's classes, or values: shape (rows, classes or 1)."""
        answers = self.answers(numbers, codes)
        return (
            answers
            if self.form.classes == self.contract.target.classes
            else self._in_order(answers)
        )

    def row_scorer(self) -> "RowScorer":
        """What scores one row at a time, for one thread."""
        return RowScorer(self)

    def columns(
        self, rows: "pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and codes as the form takes them, of rows with all features."""
        if isinstance(rows, Sequence):
            return self._columns_of_rows(rows)
        if hasattr(type(rows), "schema"):
            return self._columns_of_table(rows)
        return self._columns_of_frame(rows)

    def _columns_of_rows(self, rows: Sequence[Mapping[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
        missing = np.nan
        numbers = np.array(
            [
                [missing if (value := row[name]) is None else value for name in self.form.numbers]
                for row in rows
            ],
            dtype=np.float64,
        ).reshape(len(rows), len(self.form.numbers))
        tables = [(name, known, len(known) - 1) for name, known in self.form.codes.items()]
        codes = np.array(
            [[known.get(row[name], unknown) for name, known, unknown in tables] for row in rows],
            dtype=np.int32,
        ).reshape(len(rows), len(tables))
        return numbers, codes

    def _columns_of_table(self, table: "pa.Table") -> tuple[np.ndarray, np.ndarray]:
        import pyarrow as pa
        import pyarrow.compute as pc

        numbers = np.empty((table.num_rows, len(self.form.numbers)))
        for column, name in enumerate(self.form.numbers):
            values = table.column(name)
            if pa.types.is_boolean(values.type):
                values = values.cast(pa.uint8())
            numbers[:, column] = values.cast(pa.float64(), safe=False).to_numpy()
        codes = np.empty((table.num_rows, len(self.form.categories)), dtype=np.int32)
        for column, (name, known) in enumerate(self.form.categories.items()):
            values = table.column(name).cast(pa.string())
            found = pc.index_in(values, value_set=pa.array(known, pa.string()))
            found = pc.fill_null(found, len(known))
            codes[:, column] = pc.if_else(pc.is_valid(values), found, len(known) + 1).to_numpy()
        return numbers, codes

    def _columns_of_frame(self, frame: "pd.DataFrame") -> tuple[np.ndarray, np.ndarray]:
        numbers = np.empty((len(frame), len(self.form.numbers)))
        for column, name in enumerate(self.form.numbers):
            values = frame[name]
            numbers[:, column] = values.to_numpy(dtype=np.float64, na_value=np.nan)
        codes = np.empty((len(frame), len(self.form.categories)), dtype=np.int32)
        for column, (name, known) in enumerate(self.form.codes.items()):
            unknown, texts = len(known) - 1, frame[name]
            codes[:, column] = [
                known[None] if missing else known.get(text, unknown)
                for text, missing in zip(texts, texts.isna(), strict=True)
            ]
        return numbers, codes

    def _in_order(self, answers: np.ndarray) -> np.ndarray:
        """By the contract's classes; a class without training rows has probability 0."""
        ordered = np.zeros((len(answers), len(self.contract.target.classes)))
        for column, label in enumerate(self.contract.target.classes):
            if label in self.form.classes:
                ordered[:, column] = answers[:, self.form.classes.index(label)]
        return ordered


class RowScorer:
    """Scores the row that its buffers hold, without an array made on the way.

    Attributes:
        numbers: Shape (1, numbers); takes the row's numbers.
        codes: Shape (1, categories); takes its codes.
    """

    def __init__(self, model: CompiledModel) -> None:
        form = model.form
        self.numbers = np.full((1, len(form.numbers)), np.nan)
        self.codes = np.zeros((1, len(form.categories)), dtype=np.int32)
        self._answers = np.empty((1, form.outputs))
        self._buffer = self._answers.data
        self._unpack = Struct(f"{form.outputs}d").unpack_from
        self._model = model
        self._run: Callable[[], None] | None = None
        if model.native and form.classes == model.contract.target.classes:
            self._run = model.native.bound(self.numbers, self.codes, self._answers)

    def score(self) -> Sequence[float]:
        """Probabilities by the contract's classes, or the value."""
        if self._run is None:
            answers: list[float] = self._model.ordered_answers(self.numbers, self.codes)[0].tolist()
            return answers
        self._run()
        return self._unpack(self._buffer)
