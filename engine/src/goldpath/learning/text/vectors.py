"""A column of free text as numbers, learned from the rows that a model is fitted on.

Words and pairs of words are weighted by TF-IDF. Trees and linear models get three things of them:
the main axes of their variation (latent semantic analysis: Deerwester et al. 1990), what a ridge
regression on all of them says of the target, and the text's length. The regression's answers to its
own training rows are cross-fitted, as those of a target encoder are, so a row's target does not
leak into its columns.

Everything that is fitted is an array, so a stored model holds no vocabulary of Python objects and
needs to trust this class only.
"""

import hashlib
from collections import OrderedDict
from threading import Lock
from typing import Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin  # noqa: TID253  imported where a model is

from goldpath.domain import WORD_PATTERN

INNER_FOLDS = 5
STRENGTH = 1.0
"""Of the regression's penalty; rows of TF-IDF have length 1."""
MOST_TARGETS = 12
"""Of a target of more classes the most frequent ones have a regression."""
KEPT_BYTES = 128_000_000
"""A search fits the same folds again for each trial, so the newest fits are remembered."""


class TextVectors(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Turns one column of free text into numbers; see above.

    Args:
        terms: Words and pairs of words that are told apart, the most frequent ones.
        axes: Numbers that they are condensed to; up to so many terms stay as they are.
        seed: Of the decomposition and of the folds.

    Attributes:
        terms_: The words and pairs, sorted; shape (terms,).
        rarity_: Their inverse document frequencies, shape (terms,).
        axes_: The axes, shape (axes, terms); None where the terms stay as they are.
        weights_: What each term adds to each target's estimate, shape (terms, targets).
        start_: The estimates of a text without a known word, shape (targets,).
    """

    def __init__(self, terms: int = 20_000, axes: int = 32, seed: int = 42) -> None:
        self.terms = terms
        self.axes = axes
        self.seed = seed

    def fit(self, column: Any, target: Any = None) -> Self:
        """Learn the words of a column, shape (rows, 1) or (rows,)."""
        self.fit_transform(column, target)
        return self

    def fit_transform(self, column: Any, target: Any = None) -> np.ndarray:
        """Learn the words, and give the training rows' numbers, shape (rows, columns)."""
        texts = _texts(column)
        key = _fingerprint(self, texts, target)
        self.__dict__.pop("_counter", None)  # of a former fit
        known = _FITS.get(key)
        if known is None:
            numbers = self._learn(texts, target)
            _FITS.put(key, self._fitted, numbers)
            return numbers.copy()
        fitted, numbers = known
        self.__dict__.update(fitted)
        return numbers.copy()

    def transform(self, column: Any) -> np.ndarray:
        """The numbers of texts, shape (rows, columns)."""
        texts = _texts(column)
        weighted = self._weighted(self._counted(texts))
        return np.hstack([*self._plain(weighted, texts), weighted @ self.weights_ + self.start_])

    @property
    def _fitted(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name.endswith("_")}

    def _learn(self, texts: list[str], target: Any) -> np.ndarray:
        targets = _targets(target, len(texts))
        self.terms_ = _vocabulary(texts, self.terms)
        counts = self._counted(texts)
        seen = np.bincount(counts.indices, minlength=len(self.terms_))
        self.rarity_ = np.log((1 + len(texts)) / (1 + seen)) + 1
        weighted = self._weighted(counts)
        self.axes_ = self._main_axes(weighted)
        self.weights_, self.start_ = _ridge(weighted, targets)
        estimates = np.empty(targets.shape)
        folds = np.random.default_rng(self.seed).permutation(len(texts)) % INNER_FOLDS
        for fold in np.unique(folds):
            inside = folds == fold
            weights, start = _ridge(weighted[~inside], targets[~inside])
            estimates[inside] = weighted[inside] @ weights + start
        return np.hstack([*self._plain(weighted, texts), estimates])

    def _main_axes(self, weighted: "sparse.csr_matrix") -> np.ndarray | None:
        from sklearn.decomposition import TruncatedSVD

        if weighted.shape[1] <= self.axes:
            return None
        found = TruncatedSVD(self.axes, random_state=self.seed).fit(weighted)
        axes: np.ndarray = found.components_.astype(np.float32)
        return axes

    def _plain(self, weighted: "sparse.csr_matrix", texts: list[str]) -> list[np.ndarray]:
        """The axes, or the terms where there are few; and the length, 0 of a missing text."""
        axes = weighted.toarray() if self.axes_ is None else weighted @ self.axes_.T
        return [axes, np.log1p([[len(text)] for text in texts]).reshape(-1, 1)]

    def _counted(self, texts: list[str]) -> "sparse.csr_matrix":
        if not len(self.terms_):
            return sparse.csr_matrix((len(texts), 0))
        counter = self.__dict__.get("_counter")
        if counter is None:
            counter = self._counter = _counter(vocabulary=self.terms_.tolist())
        return counter.transform(texts)

    def _weighted(self, counts: "sparse.csr_matrix") -> "sparse.csr_matrix":
        """TF-IDF with logarithmic counts; each row has length 1, or 0 without a known word."""
        from sklearn.preprocessing import normalize

        weighted = counts.astype(np.float64)
        if not counts.shape[1]:
            return weighted
        weighted.data = (1 + np.log(weighted.data)) * self.rarity_[weighted.indices]
        return normalize(weighted, copy=False)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_counter"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _Fits:
    """The newest fits, by what was fitted: all trials of a search divide the rows alike."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: OrderedDict[bytes, tuple[dict[str, Any], np.ndarray]] = OrderedDict()
        self.bytes = 0

    def get(self, key: bytes) -> tuple[dict[str, Any], np.ndarray] | None:
        with self._lock:
            found = self._held.get(key)
            if found is not None:
                self._held.move_to_end(key)
            return found

    def put(self, key: bytes, fitted: dict[str, Any], numbers: np.ndarray) -> None:
        with self._lock:
            if key in self._held:  # two threads fitted the same rows
                return
            self._held[key] = (fitted, numbers)
            self.bytes += _bytes_of(fitted, numbers)
            while self.bytes > KEPT_BYTES:
                self.bytes -= _bytes_of(*self._held.popitem(last=False)[1])


def _bytes_of(fitted: dict[str, Any], numbers: np.ndarray) -> int:
    arrays: list[np.ndarray] = [each for each in fitted.values() if each is not None]
    return sum(each.nbytes for each in (numbers, *arrays))


_FITS = _Fits()


def _texts(column: Any) -> list[str]:
    """The texts of a column; a missing one is empty."""
    values = np.asarray(column, dtype=object).ravel()
    return [value if isinstance(value, str) else "" for value in values]


def _counter(**options: Any) -> Any:
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(ngram_range=(1, 2), token_pattern=WORD_PATTERN, **options)


def _vocabulary(texts: list[str], most: int) -> np.ndarray:
    """The most frequent words and pairs of words, sorted; none where no text has a word."""
    counter = _counter(max_features=most)
    try:
        counter.fit(texts)
    except ValueError:  # its way to say that there is no word
        return np.empty(0, dtype="U1")
    return np.asarray(counter.get_feature_names_out(), dtype=str)


def _targets(target: Any, rows: int) -> np.ndarray:
    """What is estimated, shape (rows, targets): the value, or an indicator of each class."""
    if target is None:
        return np.empty((rows, 0))
    values = np.asarray(target)
    if values.dtype.kind in "fiu":
        return values.astype(np.float64).reshape(-1, 1)
    labels, counts = np.unique(values.astype(str), return_counts=True)
    shown = np.sort(labels[np.argsort(-counts, kind="stable")[:MOST_TARGETS]])
    if len(labels) == 2:
        shown = shown[1:]
    indicators: np.ndarray = (values.astype(str)[:, None] == shown[None, :]).astype(np.float64)
    return indicators


def _ridge(weighted: "sparse.csr_matrix", targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights of shape (terms, targets), and the start of shape (targets,)."""
    from sklearn.linear_model import Ridge

    if not targets.shape[1] or not weighted.shape[1] or not len(targets):
        start = targets.mean(axis=0) if len(targets) else np.zeros(targets.shape[1])
        return np.zeros((weighted.shape[1], targets.shape[1])), start
    model = Ridge(alpha=STRENGTH, solver="sparse_cg").fit(weighted, targets)
    weights: np.ndarray = np.atleast_2d(model.coef_).T
    return weights, np.atleast_1d(model.intercept_)


def _fingerprint(made: TextVectors, texts: list[str], target: Any) -> bytes:
    found = hashlib.blake2b(repr((made.terms, made.axes, made.seed, len(texts))).encode())
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        found.update(len(data).to_bytes(4, "little"))
        found.update(data)
    if target is not None:
        values = np.asarray(target)
        plain = values.astype(str) if values.dtype == object else values
        found.update(str(plain.dtype).encode())
        found.update(np.ascontiguousarray(plain).tobytes())
    return found.digest()
