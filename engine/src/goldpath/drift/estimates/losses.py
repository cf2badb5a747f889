"""Direct loss estimation: how wrong predicted numbers probably are, without labels.

A second model learns from the reference, whose rows have predictions by models that did not see
them, how far a prediction is off by the row. What it expects of a window's rows is the window's
mean absolute error, if nothing but the rows has changed. The method is NannyML's DLE (documentation
of NannyML: "Direct Loss Estimation"). It is as blind as any estimate without labels: the same rows
with other targets (concept drift) look the same. And what lies outside of all training rows is
expected to be as wrong as the nearest ones.
"""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.drift.bins import Floats
from goldpath.drift.estimates.confidence import NORMAL_QUANTILE, Estimate, Tallies, rounded
from goldpath.drift.profile import column_kind

if TYPE_CHECKING:
    pass

FEWEST_ROWS = 200
"""With fewer rows of the reference nothing is learned."""

FOLDS, ROUNDS, LEAVES, SMALLEST_LEAF, STEP = 5, 80, 15, 30, 0.08
MOST_NAMES = 250
"""Categories that are told apart: as many as a boosted tree takes."""


class LossModel:
    """Expects how far predictions are off.

    There is one learner for each fold of the reference: each expects the losses of rows that it has
    not seen, which says how much losses vary about what is expected of them, and how far the
    learners differ on a window says how little is known of it.

    Args:
        rows: Rows of the reference: features and prediction.
        losses: How far each prediction was off, shape (rows,).
        seed: Draws the folds.

    Attributes:
        noise: The mean squared distance of a loss from its expectation, over the mean square of
            what is expected.
        explained: The share of the losses' variance that is explained; 0: all rows are alike.
    """

    def __init__(self, rows: pa.Table, losses: Floats, seed: int = 0) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        self._names = {name: _names(rows[name]) for name in rows.column_names}
        values = self._encoded(rows)
        fold = np.random.default_rng(seed).permutation(len(losses)) % FOLDS
        expected = np.empty(len(losses))
        self._learners: list[HistGradientBoostingRegressor] = []
        for number in range(FOLDS):
            learner = HistGradientBoostingRegressor(
                max_iter=ROUNDS,
                max_leaf_nodes=LEAVES,
                min_samples_leaf=SMALLEST_LEAF,
                learning_rate=STEP,
                early_stopping=False,
                categorical_features=[names is not None for names in self._names.values()],
                random_state=seed,
            )
            learner.fit(values[fold != number], losses[fold != number])
            held_out = fold == number
            expected[held_out] = np.maximum(learner.predict(values[held_out]), 0)
            self._learners.append(learner)
        missed = float(np.mean((losses - expected) ** 2))
        self.noise = missed / max(float(np.mean(expected**2)), np.finfo(float).tiny)
        variance = float(np.var(losses))
        self.explained = max(0.0, 1 - missed / variance) if variance else 0.0

    def expected(self, rows: pa.Table) -> dict[str, Floats]:
        """The loss of each row as each learner expects it, rounded to be counted."""
        values = self._encoded(rows)
        return {
            f"loss_{number}": rounded(np.maximum(learner.predict(values), 0))
            for number, learner in enumerate(self._learners)
        }

    def estimate(self, found: Tallies) -> Estimate | None:
        """The mean absolute error of a window, by what is expected of its rows.

        The interval has both: losses vary about what is expected of them, and the learners differ
        (the jackknife over their folds).
        """
        tallies = [found[f"loss_{number}"] for number in range(FOLDS) if f"loss_{number}" in found]
        if not tallies or tallies[0].rows == 0:
            return None
        rows = tallies[0].rows
        means = np.array([float(each.values @ each.counts) for each in tallies]) / rows
        squares = np.mean([float(each.values**2 @ each.counts) for each in tallies]) / rows
        value = float(means.mean())
        unknown = (FOLDS - 1) / FOLDS * float(np.sum((means - value) ** 2))
        half = NORMAL_QUANTILE * float(np.sqrt(self.noise * squares / rows + unknown))
        return Estimate(value, (max(0.0, value - half), value + half))

    def _encoded(self, rows: pa.Table) -> Floats:
        """The columns as numbers, shape (rows, columns); a name that is unknown is missing."""
        columns = []
        for name, names in self._names.items():
            column = rows[name]
            if names is None:
                numbers = column.cast(pa.float64(), safe=False)
            else:
                numbers = pc.index_in(column.cast(pa.string()), value_set=names).cast(pa.float64())
            values = numbers.to_numpy().astype(np.float64)
            columns.append(np.where(np.isfinite(values), values, np.nan))
        return np.column_stack(columns)


def _names(column: pa.ChunkedArray) -> pa.Array | None:
    """The most frequent names of a category; None of a number."""
    if column_kind(column) == "number":
        return None
    counts = pc.value_counts(column.cast(pa.string()).drop_null()).to_pylist()
    counts.sort(key=lambda pair: (-pair["counts"], pair["values"]))
    return pa.array([pair["values"] for pair in counts[:MOST_NAMES]], pa.string())
