"""`find_clusters`: groups in a table without a target, and how many there are.

KMeans, Gaussian mixtures and agglomerative clustering with several numbers of clusters, and
HDBSCAN, which finds the number by itself. The silhouette decides; the indices of Davies and Bouldin
and of Calinski and Harabasz stand beside it. All are measured on the same encoded rows.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from goldpath.automl.budget import Budget, Stopwatch
from goldpath.automl.columns import check_table
from goldpath.automl.preparation import TablePreparation
from goldpath.errors import NotEnoughDataError

FEWEST_ROWS = 10
MOST_CLUSTERS = 12
JUDGED_ROWS = 3_000
"""The silhouette compares all pairs of rows, so larger tables are judged on a sample."""
AGGLOMERATED_ROWS = 5_000
DENSITY_ROWS = 30_000
LEAST_ASSIGNED = 0.6
"""A density-based result that calls more of the rows noise is no description of the table."""


@dataclass(frozen=True)
class ClusteringEntry:
    """One clustering that was tried.

    Attributes:
        algorithm: `kmeans`, `gaussian_mixture`, `agglomerative` or `hdbscan`.
        parameters: Its parameters.
        clusters: How many it found.
        silhouette: From -1 to 1; more is better.
        davies_bouldin: Less is better.
        calinski_harabasz: More is better.
        noise: Share of rows that belong to no cluster.
        seconds: It took.
    """

    algorithm: str
    parameters: Mapping[str, Any]
    clusters: int
    silhouette: float
    davies_bouldin: float
    calinski_harabasz: float
    noise: float
    seconds: float


@dataclass(frozen=True)
class ClusteringResult:
    """The best clustering.

    Attributes:
        model: A `ClusterModel`.
        labels: Cluster of each row; -1 for noise.
        clusters: How many there are.
        metric: `silhouette`.
        score: The best entry's.
        leaderboard: Best first.
        left_out: What was not tried, and why.
        seconds: Spent, on the budget's clock.
        seed: Of everything random.
    """

    model: "ClusterModel"
    labels: np.ndarray
    clusters: int
    metric: str
    score: float
    leaderboard: tuple[ClusteringEntry, ...]
    left_out: Mapping[str, str]
    seconds: float
    seed: int


class ClusterModel:
    """Assigns rows to the nearest cluster's centre, in the encoded space.

    Algorithms that cannot assign new rows (agglomerative, HDBSCAN) can be used with it as well.

    Attributes:
        preparation: Encodes a table.
        centres: Shape (clusters, encoded columns).
    """

    def __init__(self, preparation: TablePreparation, centres: np.ndarray) -> None:
        self.preparation = preparation
        self.centres = centres

    def predict(self, X: pd.DataFrame) -> np.ndarray:  # noqa: N803
        """Number of each row's cluster."""
        rows = self.preparation.transform(X).astype(np.float64)
        distances = ((rows[:, None, :] - self.centres[None, :, :]) ** 2).sum(axis=2)
        nearest: np.ndarray = distances.argmin(axis=1)
        return nearest


def find_clusters(
    features: pd.DataFrame,
    budget: Budget,
    seed: int = 42,
    *,
    on_progress: Callable[[ClusteringEntry], None] | None = None,
) -> ClusteringResult:
    """Cluster a table as it comes, and choose the algorithm and the number of clusters.

    k-means, Gaussian mixtures, agglomerative clustering and HDBSCAN are compared by their mean
    silhouette, from -1 to 1: how much nearer a row is to its own cluster than to the next.

    Args:
        features: Shape (rows, columns), columns of any kind; values may be missing.
        budget: Seconds, trials or both; what has no time any more is reported in `left_out`.
        seed: Of everything random.
        on_progress: Called after each clustering.

    Returns:
        Each row's cluster in `labels`, shape (rows,), -1 for noise; a model that assigns new rows
        to the nearest cluster; all that was tried, best first.

    Raises:
        ProjectError: If the table cannot be used.
        NotEnoughDataError: If there are too few rows, or nothing can be told apart.

    References:
        Rousseeuw, "Silhouettes" (Journal of Computational and Applied Mathematics, 1987).

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from goldpath import Budget, find_clusters
        >>> spend = np.r_[np.linspace(10, 12, 30), np.linspace(90, 95, 30)]
        >>> customers = pd.DataFrame({"spend": spend, "visits": spend / 5})
        >>> found = find_clusters(customers, Budget(trials=3))
        >>> found.clusters, found.labels.shape
        (2, (60,))
    """
    stopwatch = Stopwatch(budget)
    check_table(features)
    if len(features) < FEWEST_ROWS:
        raise NotEnoughDataError(
            f"{len(features)} rows; clustering needs {FEWEST_ROWS} at least", "give more rows"
        )
    # There is no target; the encoding of columns with many categories then keeps their counts only.
    preparation = TablePreparation("dense", 1, seed)
    rows = preparation.fit_transform(features.reset_index(drop=True), np.zeros(len(features)))
    random = np.random.default_rng(seed)
    judged = np.sort(random.permutation(len(rows))[:JUDGED_ROWS])
    entries: list[tuple[ClusteringEntry, np.ndarray]] = []
    left_out: dict[str, str] = {}
    longest: dict[str, float] = {}
    for algorithm, parameters, rows_at_most in _plans(len(rows)):
        if len(rows) > rows_at_most:
            left_out[algorithm] = f"too slow for {len(rows)} rows"
            continue
        tried = len(entries)
        no_time = tried and stopwatch.left() < 1.5 * longest.get(algorithm, 0.0)
        if no_time or (budget.trials is not None and tried >= budget.trials):
            left_out[f"{algorithm} {dict(parameters)}"] = "the budget is spent"
            continue
        before = stopwatch.elapsed()
        labels = _labels(algorithm, parameters, rows, seed)
        seconds = stopwatch.elapsed() - before
        entry = _judge(algorithm, parameters, rows[judged], labels[judged], seconds)
        longest[algorithm] = max(longest.get(algorithm, 0.0), stopwatch.elapsed() - before)
        if entry is not None:
            entries.append((entry, labels))
            if on_progress is not None:
                on_progress(entry)
    if not entries:
        raise NotEnoughDataError(
            "no clustering told the rows apart", "give columns whose values differ"
        )
    entries.sort(key=lambda pair: -pair[0].silhouette)
    best, labels = entries[0]
    centres = np.stack([rows[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
    return ClusteringResult(
        model=ClusterModel(preparation, centres.astype(np.float64)),
        labels=labels,
        clusters=best.clusters,
        metric="silhouette",
        score=best.silhouette,
        leaderboard=tuple(entry for entry, _ in entries),
        left_out=left_out,
        seconds=stopwatch.elapsed(),
        seed=seed,
    )


def _plans(rows: int) -> Iterator[tuple[str, dict[str, Any], float]]:
    """What to try, the quick and usually good first, each with the most rows it is meant for."""
    counts = range(2, min(MOST_CLUSTERS, rows // 3) + 1)
    for count in counts:
        yield "kmeans", {"n_clusters": count}, np.inf
    yield "hdbscan", {"min_cluster_size": max(5, rows // 100)}, DENSITY_ROWS
    for count in counts:
        yield "gaussian_mixture", {"n_components": count}, np.inf
    for count in counts:
        yield "agglomerative", {"n_clusters": count}, AGGLOMERATED_ROWS


def _labels(
    algorithm: str, parameters: Mapping[str, Any], rows: np.ndarray, seed: int
) -> np.ndarray:
    """Labels from 0 without gaps; -1 for noise."""
    from sklearn.cluster import HDBSCAN, AgglomerativeClustering, KMeans
    from sklearn.mixture import GaussianMixture

    if algorithm == "kmeans":
        model = KMeans(n_init=4, random_state=seed, **parameters)
    elif algorithm == "gaussian_mixture":
        model = GaussianMixture(
            covariance_type="diag", reg_covar=1e-4, random_state=seed, **parameters
        )
    elif algorithm == "agglomerative":
        model = AgglomerativeClustering(**parameters)
    else:
        model = HDBSCAN(copy=True, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = np.asarray(model.fit_predict(rows))
    found = np.unique(labels[labels >= 0])
    return np.where(labels < 0, -1, np.searchsorted(found, labels))


def _judge(
    algorithm: str,
    parameters: Mapping[str, Any],
    rows: np.ndarray,
    labels: np.ndarray,
    seconds: float,
) -> ClusteringEntry | None:
    """The indices on a sample; None for one cluster, or mostly noise."""
    from sklearn.metrics import (
        calinski_harabasz_score,
        davies_bouldin_score,
        silhouette_score,
    )

    inside = labels >= 0
    clusters = len(np.unique(labels[inside]))
    if not 2 <= clusters < inside.sum() or inside.mean() < LEAST_ASSIGNED:
        return None
    judged, kept = rows[inside], labels[inside]
    return ClusteringEntry(
        algorithm=algorithm,
        parameters=dict(parameters),
        clusters=clusters,
        # Rows that were called noise do not count as well placed.
        silhouette=float(silhouette_score(judged, kept)) * float(inside.mean()),
        davies_bouldin=float(davies_bouldin_score(judged, kept)),
        calinski_harabasz=float(calinski_harabasz_score(judged, kept)),
        noise=float(1 - inside.mean()),
        seconds=seconds,
    )
