"""A fitted model and the contract it was trained with: typed rows in, predictions out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goldpath.contract import Contract
from goldpath.features.row.complete import complete_rows
from goldpath.learning.decision.threshold import rule_of, scores_of
from goldpath.learning.frames import model_frame
from goldpath.learning.predictions import Predictions
from goldpath.model_version import ModelVersion

__all__ = ["LoadedModel", "ModelVersion", "Predictions"]

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class LoadedModel:
    """A fitted pipeline, ready to score.

    Attributes:
        pipeline: A scikit-learn pipeline over `model_frame`'s columns.
        contract: The contract that it was trained with.
        version: Where it came from; None for a candidate that is not registered yet.
        background: Training rows that its predictions are explained against.

    Example:
        >>> from pathlib import Path
        >>> from goldpath import Contract, LoadedModel
        >>> from sklearn.linear_model import LinearRegression
        >>> import pandas as pd
        >>> contract = Contract.model_validate({
        ...     "dataset": "flats", "problem": "regression", "source": {"path": "flats.csv"},
        ...     "target": {"column": "rent"}, "features": [{"name": "area", "type": "number"}],
        ... })
        >>> flats = pd.DataFrame({"area": [20.0, 40.0, 80.0]})
        >>> model = LoadedModel(LinearRegression().fit(flats, [240, 480, 960]), contract)
        >>> [round(value) for value in model.predict([{"area": 50.0}, {"area": 60.0}]).values]
        [600, 720]
    """

    pipeline: Any
    contract: Contract
    version: ModelVersion | None = None
    background: Sequence[Mapping[str, Any]] = ()

    def predict(self, rows: "pa.Table | pd.DataFrame | Sequence[Mapping[str, Any]]") -> Predictions:
        """Score typed rows; the same row gets the same prediction alone and in any batch.

        Args:
            rows: With at least the features of a request, in the types that the contract gives
                them; row features are computed, also where the rows have columns of their names.

        Returns:
            `values` holds a label or a number for each row; `probabilities` has shape (rows,
            classes), or is None for a regression; `scores` is the probability of the positive
            label (two classes), of the chosen one (more), or the number itself.
        """
        return self.predict_frame(model_frame(complete_rows(rows, self.contract), self.contract))

    def predict_frame(self, frame: "pd.DataFrame") -> Predictions:
        """Score a model frame as it is, its row features included."""
        if self.contract.problem == "regression":
            values = [float(value) for value in self.pipeline.predict(frame)]
            return Predictions(values, None, values)
        raw = np.asarray(self.pipeline.predict_proba(frame), dtype="float64")
        known = [str(label) for label in self.pipeline.classes_]
        probabilities = np.zeros((len(frame), len(self.contract.target.classes)))
        for column, label in enumerate(self.contract.target.classes):
            if label in known:  # a class without training rows has probability 0
                probabilities[:, column] = raw[:, known.index(label)]
        rule = rule_of(self.contract)
        lines = rule.lines_of(frame)
        best = rule.labels(probabilities, lines)
        labels = [self.contract.target.classes[index] for index in best]
        scores = [float(score) for score in scores_of(probabilities, best)]
        return Predictions(labels, probabilities, scores, None if lines is None else lines.tolist())
