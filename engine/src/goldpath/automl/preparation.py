"""From a table as it comes to the numbers that learners take, fitted on training rows only.

The two forms are for trees (missing stays missing, categories are codes) and for everything else
(`dense`: no value missing, all columns on one scale, categories as indicators). Categories with
many values become the mean target of their rows; in training those means are cross-fitted, so that
a row never sees its own target.
"""

# Imported only where a model is fitted or loaded, never by `--help`.
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin  # noqa: TID253

from goldpath.automl.columns import (
    LEFT_OUT,
    MISSING_TEXT,
    Kind,
    PlainColumns,
    check_table,
    column_kind,
)
from goldpath.errors import ProjectError
from goldpath.learning.text.sizes import USUAL_SIZES
from goldpath.learning.text.vectors import TextVectors

Form = Literal["trees", "dense"]
Numbers = dict[tuple[tuple[Any, ...], ...], np.ndarray]
"""The numbers of a table's rows by the columns that they were read from."""
INNER_FOLDS = 5
SMOOTHING = 10.0
"""A category's mean counts as if so many rows with the overall mean were added to it."""
MOST_ENCODED_CLASSES = 12
WIDEST = 8.0
"""Dense values are cut at so many standard deviations."""
HEAVY_TAIL = 2.0


class TablePreparation(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Encode a DataFrame.

    Args:
        form: `trees` or `dense`.
        outputs: Classes of the target; 1 for regression.
        seed: Of the folds that the target encoding is cross-fitted with.
        keys: Names of columns that only tell rows apart, and are left out.
        texts: Names of columns that are free text, whatever their values look like.
        terms: See `TextVectors`.
        axes: See `TextVectors`.
        undated: Names of times of which only the parts that return are features.

    Attributes:
        columns_: Names of the columns that were there in training.
        kinds_: Their kinds, in the same order.
        categorical_: Numbers of the encoded columns that hold category codes.
    """

    def __init__(
        self,
        form: Form = "trees",
        outputs: int = 1,
        seed: int = 42,
        keys: Sequence[str] = (),
        texts: Sequence[str] = (),
        terms: int = USUAL_SIZES.terms,
        axes: int = USUAL_SIZES.axes,
        undated: Sequence[str] = (),
    ) -> None:
        self.form = form
        self.outputs = outputs
        self.seed = seed
        self.keys = keys
        self.texts = texts
        self.terms = terms
        self.axes = axes
        self.undated = undated

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> "TablePreparation":  # noqa: N803
        """Learn the columns' kinds, categories, means and scales."""
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X: pd.DataFrame, y: np.ndarray) -> np.ndarray:  # noqa: N803
        """Fit, and encode the training rows with cross-fitted target means.

        Args:
            X: Training rows.
            y: Class numbers, or values.

        Raises:
            ProjectError: If no column says anything.
        """
        check_table(X)
        self.columns_ = list(X.columns)
        self.kinds_ = [str(self._kind(X[name])) for name in self.columns_]
        if all(kind in LEFT_OUT for kind in self.kinds_):
            raise ProjectError(
                f"none of the columns can be learnt from: {dict(zip(X, self.kinds_, strict=True))}",
                "give a column whose values differ and repeat",
            )
        self.categories_: dict[str, np.ndarray] = {}
        self.codes_: dict[str, np.ndarray] = {}
        self.vectors_: dict[str, TextVectors] = {}
        rows = PlainColumns(X)
        numbers, codes = self._plain(rows, None, learn=True)
        encoded = self._encode_many(rows, y)
        self.categorical_ = list(range(numbers.shape[1], numbers.shape[1] + codes.shape[1]))
        if self.form == "trees":
            return _join(numbers, codes, encoded)
        numbers = np.hstack([numbers, encoded])
        self._learn_scales(numbers)
        return _join(self._scaled(numbers), self._indicators(codes, learn=True))

    def transform(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        """Encode rows; see `encode`."""
        return self.encode(PlainColumns(X))

    def encode(self, rows: PlainColumns, shared: Numbers | None = None) -> np.ndarray:
        """Encode rows; categories never seen count as missing.

        Args:
            rows: A table's columns.
            shared: What preparations of other folds have read of the same rows, and may read.

        Raises:
            ProjectError: If a column of the training rows is not there.
        """
        lacking = [str(name) for name in self.columns_ if name not in rows.table.columns]
        if lacking:
            raise ProjectError(
                f"the rows lack columns that the model was trained with: {', '.join(lacking)}",
                "give every training column; a value may be missing, its column may not",
            )
        numbers, codes = self._plain(rows, shared, learn=False)
        many = [
            self.codes_[str(name)][self._positions(str(name), rows.text(name))]
            for name in self._of(Kind.MANY)
        ]
        many += [
            self.vectors_[str(name)].transform(rows.words(name)) for name in self._of(Kind.WORDS)
        ]
        encoded = np.hstack([np.empty((len(rows.table), 0)), *many])
        if self.form == "trees":
            return _join(numbers, codes, encoded)
        numbers = np.hstack([numbers, encoded])
        return _join(self._scaled(numbers), self._indicators(codes, learn=False))

    def _kind(self, column: "pd.Series[Any]") -> Kind:
        if str(column.name) in self.keys:
            return Kind.IDENTIFIER
        found = column_kind(column)
        told = str(column.name) in self.texts and found != Kind.CONSTANT
        return Kind.WORDS if told else found

    def _of(self, *kinds: Kind) -> list[Any]:
        return [
            name for name, kind in zip(self.columns_, self.kinds_, strict=True) if kind in kinds
        ]

    def _plain(
        self, rows: PlainColumns, shared: Numbers | None, *, learn: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and parts of times; and codes of few categories, missing where unknown."""
        codes = []
        for name in self._of(Kind.FEW):
            text = rows.text(name)
            if learn:
                self.categories_[str(name)] = np.unique(text[text != MISSING_TEXT])
            positions = self._positions(str(name), text).astype(np.float64)
            positions[positions == len(self.categories_[str(name)])] = np.nan
            codes.append(positions)
        return self._numbers(rows, shared), _columns(codes, len(rows.table))

    def _numbers(self, rows: PlainColumns, shared: Numbers | None) -> np.ndarray:
        """Numbers and parts of times, a column each."""
        names = self._of(Kind.NUMBER, Kind.NUMBER_TEXT)
        times = self._of(Kind.TIME, Kind.TIME_TEXT)
        undated = getattr(self, "undated", ())  # models of before it was asked have none
        key = (tuple(names), tuple(times), tuple(undated))
        if shared is not None and key in shared:
            return shared[key]
        parts = [rows.numbers(name) for name in names]
        for name in times:
            parts.extend(rows.time_parts(name)[str(name) in undated :])
        made = _columns(parts, len(rows.table))
        if shared is not None:
            shared[key] = made
        return made

    def _positions(self, name: str, text: np.ndarray) -> np.ndarray:
        """Number of each category in the sorted list; the list's length where it is not in it."""
        known = self.categories_[name]
        if not len(known):
            return np.zeros(len(text), dtype=np.int64)
        found = np.searchsorted(known, text)
        inside = np.minimum(found, len(known) - 1)
        return np.where(known[inside] == text, inside, len(known))

    def _encode_many(self, rows: PlainColumns, y: np.ndarray) -> np.ndarray:
        """Learn the means of columns with many categories, and the words of texts; cross-fitted."""
        targets = self._targets(y)
        folds = np.random.default_rng(self.seed).permutation(len(y)) % INNER_FOLDS
        parts = [np.empty((len(y), 0))]
        for name in self._of(Kind.MANY):
            text = rows.text(name)
            self.categories_[str(name)] = np.unique(text)
            positions = self._positions(str(name), text)
            size = len(self.categories_[str(name)]) + 1
            self.codes_[str(name)] = _means(positions, targets, size)
            part = np.empty((len(y), targets.shape[1] + 1))
            for fold in range(INNER_FOLDS):
                inside = folds == fold
                means = _means(positions[~inside], targets[~inside], size)
                part[inside] = means[positions[inside]]
            # Counts do not depend on the target: those of all rows are the better ones.
            part[:, -1] = self.codes_[str(name)][positions, -1]
            parts.append(part)
        labels = y if self.outputs == 1 else y.astype(str)
        for name in self._of(Kind.WORDS):
            vectors = self.vectors_[str(name)] = TextVectors(self.terms, self.axes, self.seed)
            parts.append(vectors.fit_transform(rows.words(name), labels))
        encoded: np.ndarray = np.hstack(parts)
        return encoded

    def _targets(self, y: np.ndarray) -> np.ndarray:
        """What the means are taken of: the value, P(class 1), or an indicator of each class."""
        if self.outputs <= 2:
            return np.asarray(y, dtype=np.float64)[:, None]
        shown = np.argsort(-np.bincount(y, minlength=self.outputs))[:MOST_ENCODED_CLASSES]
        indicators: np.ndarray = (y[:, None] == np.sort(shown)[None, :]).astype(np.float64)
        return indicators

    def _learn_scales(self, numbers: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            low, middle, high = (
                np.nan_to_num(_quantiles(numbers, share)) for share in (0.25, 0.5, 0.75)
            )
            self.middle_ = middle
            self.missing_ = np.flatnonzero(np.isnan(numbers).any(axis=0))
            filled = np.where(np.isnan(numbers), middle, numbers)
            spread = filled.std(axis=0)
            skew = np.mean(((filled - filled.mean(axis=0)) / np.maximum(spread, 1e-12)) ** 3, 0)
            # Columns with a long tail are squeezed by asinh: linear in the middle, log outside.
            self.squeezed_ = np.abs(skew) > HEAVY_TAIL
            width = np.where(high > low, high - low, np.where(spread > 0, spread, 1))
            self.width_ = width
            squeezed = np.where(self.squeezed_, np.arcsinh((filled - middle) / width), filled)
        self.centre_ = squeezed.mean(axis=0)
        self.scale_ = np.where(squeezed.std(axis=0) > 1e-9, squeezed.std(axis=0), 1)

    def _scaled(self, numbers: np.ndarray) -> np.ndarray:
        absent = np.isnan(numbers)
        filled = np.where(absent, self.middle_, numbers)
        squeezed = np.where(
            self.squeezed_, np.arcsinh((filled - self.middle_) / self.width_), filled
        )
        scaled = np.clip((squeezed - self.centre_) / self.scale_, -WIDEST, WIDEST)
        return np.asarray(np.hstack([scaled, absent[:, self.missing_]]))

    def _indicators(self, codes: np.ndarray, *, learn: bool) -> np.ndarray:
        sizes = [len(self.categories_[str(name)]) for name in self._of(Kind.FEW)]
        parts = [np.empty((len(codes), 0))]
        for number, size in enumerate(sizes):
            # Of two categories without missing values one indicator says it all.
            shown = np.arange(1 if size == 2 else 0, size)
            parts.append((codes[:, [number]] == shown[None, :]).astype(np.float64))
        joined: np.ndarray = np.hstack(parts)
        if learn:
            self.share_ = joined.mean(axis=0)
        return np.asarray(joined - self.share_)


def _columns(parts: list[np.ndarray], rows: int) -> np.ndarray:
    return np.column_stack(parts) if parts else np.empty((rows, 0))


def _join(*parts: np.ndarray) -> np.ndarray:
    """One matrix of float32, which every learner takes and which is half as large."""
    limit = np.finfo(np.float32).max
    joined = np.hstack(parts)
    return np.ascontiguousarray(np.clip(joined, -limit, limit), dtype=np.float32)


def _quantiles(numbers: np.ndarray, share: float) -> np.ndarray:
    """Quantile of each column without its missing values; missing where there is no value."""
    result = np.full(numbers.shape[1], np.nan)
    for column in range(numbers.shape[1]):
        present = numbers[:, column]
        present = present[~np.isnan(present)]
        if len(present):
            result[column] = np.quantile(present, share)
    return result


def _means(positions: np.ndarray, targets: np.ndarray, size: int) -> np.ndarray:
    """Smoothed mean of the targets by category, and the logarithm of the category's rows."""
    counts = np.bincount(positions, minlength=size).astype(np.float64)[:, None]
    sums = np.column_stack(
        [np.bincount(positions, weights=column, minlength=size) for column in targets.T]
    )
    overall = targets.mean(axis=0) if len(targets) else np.zeros(targets.shape[1])
    return np.hstack([(sums + SMOOTHING * overall) / (counts + SMOOTHING), np.log1p(counts)])
