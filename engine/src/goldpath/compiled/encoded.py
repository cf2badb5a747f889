"""A model without a compiled form, behind a compiled encoder.

Most of what scikit-learn needs for a row goes into pandas and into the transformers, not into the
model: 4 of 5 milliseconds for a table of 20 columns. So where only the last step has no compiled
form, the steps before it are compiled, and the model itself gets their columns as an array. It is
used only where the answers are the pipeline's, bit for bit, on rows drawn from the contract.

An ensemble that AutoML found prepares its rows itself; it gets them as arrays instead of a table.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.compiled.arrays import encode_arrays
from goldpath.compiled.compile_ensemble import is_ensemble
from goldpath.compiled.compiler import NotCompilableError, compile_encoder
from goldpath.compiled.form import CompiledForm
from goldpath.compiled.parity import draw_rows, frame_of
from goldpath.compiled.row_columns import RowColumns
from goldpath.contract import Contract
from goldpath.learning.predictions import Predictions
from goldpath.model_version import ModelVersion

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from goldpath.learning.scoring import LoadedModel

COMPARED_ROWS = 20_000
SEED = 20260

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EncodedModel:
    """A fitted pipeline whose first steps are compiled, or an ensemble without pandas.

    Attributes:
        loaded: The pipeline, which scores tables and frames as ever.
        form: What a row's numbers and codes are, and their way to the last step's columns.
        engine: What serves.
    """

    loaded: "LoadedModel"
    form: CompiledForm
    engine: str = "encoder"

    @property
    def model(self) -> Any:
        """What scores the columns."""
        pipeline = self.loaded.pipeline
        return pipeline if is_ensemble(pipeline) else pipeline.steps[-1][1]

    @property
    def contract(self) -> Contract:
        """What it was trained with."""
        return self.loaded.contract

    @property
    def version(self) -> ModelVersion | None:
        """Where it came from."""
        return self.loaded.version

    @property
    def background(self) -> Sequence[Mapping[str, Any]]:
        """The rows that explanations compare with."""
        return self.loaded.background

    def predict(self, rows: "pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]") -> Predictions:
        """Score typed rows as the pipeline does."""
        return self.loaded.predict(rows)

    def predict_frame(self, frame: "pd.DataFrame") -> Predictions:
        """Score a model frame as it is, its row features included."""
        return self.loaded.predict_frame(frame)

    def ordered_answers(self, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Probabilities by the contract's classes, or values: shape (rows, classes or 1).

        Args:
            numbers: Float64 of shape (rows, numbers), NaN where missing.
            codes: Int32 of shape (rows, categories).
        """
        model, columns = self.model, self._columns(numbers, codes)
        if self.contract.problem == "regression":
            return np.asarray(model.predict(columns), dtype=np.float64).reshape(-1, 1)
        found = np.asarray(model.predict_proba(columns), dtype=np.float64)
        classes = [str(label) for label in model.classes_]
        wanted = self.contract.target.classes
        if classes == list(wanted):
            return found
        ordered = np.zeros((len(found), len(wanted)))
        for column, label in enumerate(wanted):
            if label in classes:
                ordered[:, column] = found[:, classes.index(label)]
        return ordered

    def _columns(self, numbers: np.ndarray, codes: np.ndarray) -> np.ndarray | RowColumns:
        if is_ensemble(self.loaded.pipeline):
            return RowColumns(self.form, numbers, codes)
        return encode_arrays(self.form.encoder, numbers, codes)


def behind_encoder(loaded: "LoadedModel") -> "EncodedModel | None":
    """The same model behind a compiled encoder; None where that would change any answer."""
    try:
        encoded = EncodedModel(loaded, compile_encoder(loaded.pipeline, loaded.contract))
        if not is_ensemble(encoded.model) and hasattr(encoded.model, "feature_names_in_"):
            return None  # it was fitted on a frame, and would warn of an array
        is_the_same = _answers_are_the_same(encoded)
    except NotCompilableError as error:
        log.info("no compiled encoder: %s", error.message)
        return None
    if not is_the_same:
        log.warning("the compiled encoder's answers are not the pipeline's; the pipeline serves")
        return None
    return encoded


def _answers_are_the_same(encoded: EncodedModel) -> bool:
    loaded, form = encoded.loaded, encoded.form
    generator = np.random.default_rng(SEED)
    numbers, codes = draw_rows(form, loaded.contract, COMPARED_ROWS, generator)
    frame = frame_of(form, loaded.contract, numbers, codes)
    with np.errstate(all="ignore"):
        found = encoded.ordered_answers(numbers, codes)
        if loaded.contract.problem == "regression":
            expected = np.asarray(loaded.pipeline.predict(frame), dtype=np.float64)[:, None]
        else:
            known = [str(label) for label in loaded.pipeline.classes_]
            raw = np.asarray(loaded.pipeline.predict_proba(frame), dtype=np.float64)
            places = [loaded.contract.target.classes.index(label) for label in known]
            expected = np.zeros_like(found)
            expected[:, places] = raw
    return bool(np.array_equal(found, expected, equal_nan=True))
