"""Scores the chunks of files: the contract's checks, the model, and a row for each row.

A compiled model gets numbers and codes; its row features are computed from these, too.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.compiled.encoded import EncodedModel
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import Contract
from goldpath.learning.decision.fields import fields_of
from goldpath.learning.decision.interval import ends
from goldpath.learning.decision.threshold import UNSURE, rule_of, scores_of
from goldpath.learning.scoring import LoadedModel
from goldpath.presentation import step
from goldpath.privacy.suppression import Suppression
from goldpath.quality.file_rows import count_reasons
from goldpath.serving.lane.computed import ComputedColumns

if TYPE_CHECKING:
    import pyarrow as pa

    from goldpath.compiled.form import CompiledForm
    from goldpath.quality.typed_rows import TypedRows

Served = CompiledModel | EncodedModel | LoadedModel


@dataclass
class Totals:
    """Counts over the chunks that were written."""

    rows: int = 0
    refused: int = 0
    score: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)


class BatchScorer:
    """Scores chunks; safe to use from several threads.

    Args:
        model: Compiled, or a pipeline.
        contract: What a row is.
        version: Named in every file's metadata.
        forgotten: Whose rows are passed over.

    Attributes:
        contract: The same.
        read_columns: Of a file; the entity's only where the contract has one.
        schema: Of the written file.
    """

    def __init__(
        self,
        model: Served,
        contract: Contract,
        version: str,
        forgotten: Suppression | None = None,
    ) -> None:
        import pyarrow as pa

        self.contract = contract
        self._model = model
        self._forgotten = forgotten or Suppression()
        self._classes = model.contract.target.classes
        self._computed: ComputedColumns | None = None
        if isinstance(model, CompiledModel) and model.contract.row_features:
            self._computed = ComputedColumns(model.contract, model.form)
        self._windowed = model.contract if model.contract.window_features else None
        self.read_columns = [
            *([contract.entity] if contract.entity else ()),
            *contract.feature_names,
        ]
        self._rule = rule_of(model.contract)
        names = fields_of(model.contract).names[:2]  # an interval's level is in the metadata
        self._shown = () if contract.entity in names else names
        if names and not self._shown:
            step(f"the scored files have no {' and '.join(names)}: {contract.entity} is the entity")
        label = pa.dictionary(pa.int32(), pa.string()) if self._classes else pa.float64()
        many = self._classes if len(self._classes) > 2 else ()
        columns = [
            ("row", pa.int64()),
            *([(contract.entity, pa.string())] if contract.entity else ()),
            ("prediction", label),
            ("score", pa.float64()),
            *((name, label if name == "decision" else pa.float64()) for name in self._shown),
            *((f"probability_{name}", pa.float64()) for name in many),
            ("refused", pa.string()),
        ]
        facts = {"model_name": contract.model_name, "model_version": version}
        if interval := model.contract.prediction_interval:
            facts["interval"] = f"{interval.level:g}"
        self.schema = pa.schema(columns, metadata=facts)

    def score(self, chunk: "pa.RecordBatch", first: int) -> "tuple[pa.RecordBatch, Totals]":
        """Score some rows.

        Args:
            chunk: The rows; with their window columns where the model has some (`FileWindows`).
            first: How many rows came before.
        """
        import pyarrow as pa

        from goldpath.jobs.batch.file_windows import with_window_columns
        from goldpath.quality.typed_rows import check_batch

        numbers = pa.array(np.arange(first + 1, first + 1 + chunk.num_rows))
        chunk, numbers = self._kept(chunk, numbers)
        checked = check_batch(chunk, self.contract)
        if self._windowed is not None:
            checked = with_window_columns(checked, chunk, self._windowed)
        bad = np.zeros(chunk.num_rows, dtype=bool)
        bad[list(checked.problems)] = True
        answers = self._answers(checked, bad)
        lines = self._lines(checked)
        best = self._rule.labels(answers, lines).astype(np.int32)
        if not self._classes:
            scores, prediction = answers[:, 0], pa.array(answers[:, 0], mask=bad)
        else:
            scores = scores_of(answers, best)
            prediction = pa.DictionaryArray.from_arrays(
                pa.array(best, mask=bad), pa.array(self._classes, pa.string())
            )
        many = range(len(self._classes)) if len(self._classes) > 2 else ()
        reasons = [checked.problems.get(row) for row in range(len(bad))] if bad.any() else None
        columns = [
            numbers,
            *(
                [chunk.column(self.contract.entity).cast(pa.string())]
                if self.contract.entity
                else ()
            ),
            prediction,
            pa.array(scores, mask=bad),
            *self._beside(best, scores, bad, lines),
            *(pa.array(answers[:, column], mask=bad) for column in many),
            pa.array(reasons, pa.string()) if reasons else pa.nulls(len(bad), pa.string()),
        ]
        good = ~bad
        counted = Totals(int(good.sum()), int(bad.sum()), float(scores[good].sum()))
        counted.reasons.update(count_reasons(checked.problems.values()))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema), counted

    def _lines(self, checked: "TypedRows") -> np.ndarray | None:
        """The threshold of each row; None where all rows have the same."""
        column = self._rule.column
        if not column:
            return None
        if column in checked.categories:
            # The last one stands for a missing value, whose number is -1.
            by_code = self._rule.lines([*checked.values[column], None])
            lines: np.ndarray = by_code[checked.categories[column]]
            return lines
        return self._rule.lines(checked.numbers[column].tolist())

    def _beside(
        self, best: np.ndarray, scores: np.ndarray, bad: np.ndarray, lines: np.ndarray | None
    ) -> "list[pa.Array]":
        """The columns that a version with a threshold or with intervals adds."""
        import pyarrow as pa

        if not self._shown:
            return []
        interval = self._model.contract.prediction_interval
        if interval is not None:
            return [pa.array(each, mask=bad) for each in ends(interval, scores)]
        decisions = [*self._classes, *([UNSURE] if self._rule.unsure is not None else [])]
        places = np.where(self._rule.left_open(scores), len(self._classes), best)
        each = self._rule.by_class or [self._rule.threshold] * len(self._classes)
        if lines is None:
            lines = np.array(each, dtype=np.float64)[best]
        return [
            pa.DictionaryArray.from_arrays(
                pa.array(places.astype(np.int32), mask=bad), pa.array(decisions, pa.string())
            ),
            pa.array(lines, mask=bad | np.isnan(lines)),
        ]

    def _kept(self, chunk: "pa.RecordBatch", numbers: Any) -> "tuple[pa.RecordBatch, pa.Array]":
        """Without the rows of persons that were erased."""
        if not self._forgotten.persons or self.contract.entity is None:
            return chunk, numbers
        import pyarrow as pa

        named = pa.RecordBatch.from_arrays(
            [chunk.column(self.contract.entity).cast(pa.string()), pa.array(range(chunk.num_rows))],
            names=[self.contract.entity, "_place"],
        )
        kept = self._forgotten.keep(named).column("_place")
        return chunk.take(kept), numbers.take(kept)

    def _answers(self, checked: "TypedRows", bad: np.ndarray) -> np.ndarray:
        """By the contract's classes, or values; a refused row's mean nothing."""
        model, computed = self._model, self._computed
        if not isinstance(model, CompiledModel):
            return self._answers_of_table(model, checked, bad)
        if computed is None:
            return model.ordered_answers(*_arrays(model.form, checked, len(bad)))
        if not computed.knows(checked.values):
            return self._answers_of_table(model, checked, bad)
        sent = _arrays(computed.request_form, checked, len(bad))
        return model.ordered_answers(*computed.of_arrays(*sent))

    def _answers_of_table(self, model: Served, checked: "TypedRows", bad: np.ndarray) -> np.ndarray:
        """The same from a table of values, for models that take no arrays."""
        import pyarrow as pa

        answers = np.zeros((len(bad), len(self._classes) or 1))
        good = np.flatnonzero(~bad)
        if not len(good):
            return answers
        columns = {}
        for feature in model.contract.recorded.features:
            if not feature.is_numeric:
                codes = checked.categories[feature.name][good]
                values = pa.array([*checked.values[feature.name], None], pa.string())
                columns[feature.name] = values.take(
                    pa.array(np.where(codes < 0, len(values) - 1, codes))
                )
                continue
            found = checked.numbers[feature.name][good]
            columns[feature.name] = pa.array(found, pa.float64(), from_pandas=True)
        predictions = model.predict(pa.table(columns))
        answers[good] = (
            np.asarray(predictions.values, dtype=np.float64)[:, None]
            if predictions.probabilities is None
            else predictions.probabilities
        )
        return answers


def _arrays(form: "CompiledForm", checked: "TypedRows", rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and codes as the form takes them."""
    numbers = np.empty((rows, len(form.numbers)))
    for place, name in enumerate(form.numbers):
        numbers[:, place] = checked.numbers[name]
    codes = np.empty((rows, len(form.categories)), dtype=np.int32)
    for place, (name, known) in enumerate(form.codes.items()):
        unknown = len(known) - 1
        table = [known.get(value, unknown) for value in checked.values[name]]
        # The last one stands for a missing value, whose number is -1.
        codes[:, place] = np.array([*table, known[None]], dtype=np.int32)[checked.categories[name]]
    return numbers, codes
