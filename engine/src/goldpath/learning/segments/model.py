"""`SegmentModel`: segments as the classes of a classifier that learned without labels.

k-means on encoded rows. It answers as any classifier does, so a version of a segmentation is
stored, served, batch-scored and monitored as one of several classes is.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin  # noqa: TID253  imported where a model is

from goldpath.learning.threads import sensible_threads

STARTS = 10
"""Of the fit that answers; a single start may end far from the optimum."""
ROWS_TO_START = 20_000
"""Centres are sought on so many rows, drawn at random, and then moved to those of all rows."""
FARTHEST = 4.0
"""An encoded number counts as no farther from its mean than so many standard deviations: a handful
of extreme rows would otherwise be a segment of their own."""


class SegmentModel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Finds segments among encoded rows, and tells which one a new row belongs to.

    `predict_proba` gives a soft membership: the probability of each segment in a mixture of equally
    frequent spherical Gaussians at the centres, with the variance that the rows have around them.
    k-means is the limit of that mixture, so the nearest centre always has the largest one. It says
    how clearly a row is of its segment, and not how often anybody would agree.

    Args:
        clusters: How many segments.
        seed: Of the starts.
        labels: What the segments are called, the largest one first; their ranks from 0 if empty.
        starts: Beginnings of k-means, of which the best is kept.

    Attributes:
        centres_: Shape (segments, encoded columns), the largest segment first.
        variance_: Around the centres, of one encoded column.
        classes_: The labels, shape (segments,).

    References:
        Bishop, "Pattern Recognition and Machine Learning" (2006), section 9.3.2: k-means as the
        limit of a Gaussian mixture.
    """

    def __init__(
        self,
        clusters: int = 2,
        seed: int = 42,
        labels: Sequence[str] = (),
        starts: int = STARTS,
    ) -> None:
        self.clusters = clusters
        self.seed = seed
        self.labels = labels
        self.starts = starts

    def fit(self, rows: Any, _: Any = None) -> Self:
        """Find the segments of encoded rows, shape (rows, columns); a target is not looked at."""
        from sklearn.cluster import KMeans

        rows = bounded(rows)
        random = np.random.default_rng(self.seed)
        some = rows
        if len(rows) > ROWS_TO_START:
            some = rows[np.sort(random.choice(len(rows), ROWS_TO_START, replace=False))]
        with sensible_threads(len(rows)):
            found = KMeans(self.clusters, n_init=self.starts, random_state=self.seed).fit(some)
            if len(some) < len(rows):
                more = {"init": found.cluster_centers_, "n_init": 1, "random_state": self.seed}
                found = KMeans(self.clusters, **more).fit(rows)
        sizes = np.bincount(found.labels_, minlength=self.clusters)
        self.centres_ = found.cluster_centers_[np.argsort(-sizes, kind="stable")]
        spread = float(found.inertia_) / rows.size
        self.variance_ = max(spread, float(np.finfo(np.float64).eps))
        names = list(self.labels) or [str(number) for number in range(self.clusters)]
        self.classes_ = np.array(names, dtype=object)
        return self

    def predict(self, rows: Any) -> np.ndarray:
        """The label of each row's nearest centre, shape (rows,)."""
        labels: np.ndarray = self.classes_[self.places(rows)]
        return labels

    def places(self, rows: Any) -> np.ndarray:
        """The place of each row's nearest centre, shape (rows,)."""
        return np.asarray(self._distances(bounded(rows)).argmin(axis=1))

    def predict_proba(self, rows: Any) -> np.ndarray:
        """The soft membership, shape (rows, segments); each row's adds up to 1."""
        distances = self._distances(bounded(rows))
        nearer = distances - distances.min(axis=1, keepdims=True)
        weights = np.exp(-nearer / (2 * self.variance_))
        shares: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
        return shares

    def _distances(self, rows: np.ndarray) -> np.ndarray:
        """Squared distances to the centres; summed row by row, so that a batch changes no bit."""
        return np.stack([np.square(rows - centre).sum(axis=1) for centre in self.centres_], axis=1)


def bounded(rows: Any) -> np.ndarray:
    """Encoded rows with extreme numbers drawn in, shape (rows, columns)."""
    bound: np.ndarray = np.clip(np.asarray(rows, dtype=np.float64), -FARTHEST, FARTHEST)
    return bound
