"""How good segments are without a label: stable, apart, and more than noise would give.

- Stability: the adjusted Rand index (Hubert & Arabie 1985) between the segments and those of a fit
  on a bootstrap sample, on rows that neither has seen; its mean over samples. 1: the same groups,
  0: no more alike than by chance. Ben-Hur, Elisseeff & Guyon 2002 ("A stability based method for
  discovering structure in clustered data"); of a single segment the largest Jaccard index with any
  of the other fit (Hennig 2007, "Cluster-wise assessment of cluster stability").
- Silhouette (Rousseeuw 1987): how much nearer a row is to its own segment than to the next one,
  from -1 to 1, on a bounded sample.
- Noise: the same figures of rows whose columns know nothing of each other: numbers drawn evenly
  between the least and the largest one, other values as often as they are (the reference of
  Tibshirani, Walther & Hastie 2001). k-means divides anything, and segments of
  noise can even be stable.
- One Gaussian of the rows' covariance: k-means halves a single correlated cloud, too, and stably
  (the null hypothesis of Liu, Hayes, Nobel & Marron 2008, "Statistical significance of clustering
  for high-dimension, low-sample size data").
- Permuted columns: each column's values as they are, drawn apart from the others'. Segments that
  are no farther apart divide single columns, by their skew or their peaks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.learning.columns import Columns
from goldpath.learning.frames import model_frame
from goldpath.learning.segments.family import encoded

if TYPE_CHECKING:
    from goldpath.learning.segments.model import SegmentModel

SAMPLES = 20
STARTS = 3
"""Of each fit that is only compared with; where these disagree, the segments are not stable."""
FITTED_ROWS = 5_000
JUDGED_ROWS = 2_000
NOISE_DRAWS = 19
"""The segments' silhouette must be above that of each: a test at 5 % (Hope 1968)."""
NOISE_ROWS = 1_000
NOISE_STABILITY = (3, 5)
"""Draws of noise, and bootstrap samples of each, for the stability of noise."""


@dataclass(frozen=True)
class Figures:
    """What is known of segments without a label.

    Attributes:
        stability: The adjusted Rand index of each bootstrap sample.
        recovered: Of each segment the mean Jaccard index with its like in the samples.
        silhouette: On the judged rows.
        silhouette_interval: 95 %, over the judged rows.
        sizes: The share of the judged rows in each segment.
        noise_silhouettes: Of rows without structure, one for each draw.
        gaussian_silhouettes: Of one Gaussian of the rows' covariance, one for each draw.
        permuted_silhouettes: Of rows whose columns were drawn apart, one for each draw.
        noise_stability: The mean stability of rows without structure.
        fitted_rows: Rows that each fit of a sample had.
        judged_rows: Rows that the figures are of.
    """

    stability: tuple[float, ...]
    recovered: tuple[float, ...]
    silhouette: float
    silhouette_interval: tuple[float, float]
    sizes: tuple[float, ...]
    noise_silhouettes: tuple[float, ...]
    gaussian_silhouettes: tuple[float, ...]
    permuted_silhouettes: tuple[float, ...]
    noise_stability: float
    fitted_rows: int
    judged_rows: int

    @property
    def mean_stability(self) -> float:
        """The mean over the samples."""
        return float(np.mean(self.stability))

    @property
    def stability_interval(self) -> tuple[float, float]:
        """Between which 95 % of the samples lie."""
        low, high = np.quantile(self.stability, [0.025, 0.975])
        return float(low), float(high)

    @property
    def is_divided(self) -> bool:
        """Whether the judged rows lie in more than one segment; else no silhouette is defined."""
        return not np.isnan(self.silhouette)

    @property
    def smallest_share(self) -> float:
        """The share of the rows in the smallest segment."""
        return min(self.sizes)


def measure(
    model: "SegmentModel",
    rows: tuple[np.ndarray, np.ndarray],
    frame: pd.DataFrame,
    contract: Contract,
    seed: int,
) -> Figures:
    """Measure fitted segments.

    Args:
        model: The segments.
        rows: Encoded rows that it was fitted on, and encoded rows that it has not seen.
        frame: The former as they came, from which noise is made.
        contract: Names the columns.
        seed: Of the samples and of the noise.
    """
    fitted, judged = rows[0][:FITTED_ROWS], rows[1][:JUDGED_ROWS]
    few = min(len(judged), NOISE_ROWS)
    places = model.places(judged)
    stability, recovered = [], []
    for again in resampled(fitted, judged, model.clusters, SAMPLES, seed):
        stability.append(rand_index(places, again))
        recovered.append(jaccard(places, again, model.clusters))
    silhouettes = row_silhouettes(judged, places)
    sizes = len(fitted), few
    even, permuted = (
        _drawn_frames(frame, contract, sum(sizes), seed, evenly) for evenly in (True, False)
    )
    noise = list(_segments_of(_encoded(even, contract, sizes, seed), model.clusters, sizes, seed))
    gaussian = _segments_of(_gaussian(fitted, sum(sizes), seed), model.clusters, sizes, seed)
    apart_drawn = _segments_of(
        _encoded(permuted, contract, sizes, seed), model.clusters, sizes, seed
    )
    draws, samples = NOISE_STABILITY
    agreements = [
        rand_index(segments.places(apart), again)
        for segments, known, apart in noise[:draws]
        for again in resampled(known, apart, model.clusters, samples, seed)
    ]
    return Figures(
        stability=tuple(stability),
        recovered=_means(np.array(recovered)),
        silhouette=_mean(silhouettes),
        silhouette_interval=_interval(silhouettes),
        sizes=_shares(model.places(rows[1]), model.clusters),
        noise_silhouettes=_silhouettes(noise),
        gaussian_silhouettes=_silhouettes(gaussian),
        permuted_silhouettes=_silhouettes(apart_drawn),
        noise_stability=float(np.mean(agreements)),
        fitted_rows=len(fitted),
        judged_rows=len(judged),
    )


def resampled(
    fitted: np.ndarray, judged: np.ndarray, clusters: int, samples: int, seed: int
) -> Iterator[np.ndarray]:
    """The places of the judged rows by fits on bootstrap samples of the fitted ones."""
    from goldpath.learning.segments.model import SegmentModel

    random = np.random.default_rng(seed)
    for number in range(samples):
        drawn = fitted[random.integers(0, len(fitted), len(fitted))]
        yield SegmentModel(clusters, seed + number + 1, starts=STARTS).fit(drawn).places(judged)


def rand_index(one: np.ndarray, other: np.ndarray) -> float:
    """The adjusted Rand index of two groupings of the same rows."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(one, other))


def jaccard(one: np.ndarray, other: np.ndarray, clusters: int) -> np.ndarray:
    """Of each group the largest Jaccard index with one of the others, shape (clusters,).

    NaN of a group without rows.
    """
    both = np.zeros((clusters, clusters))
    np.add.at(both, (one, other), 1)
    union = both.sum(axis=1)[:, None] + both.sum(axis=0)[None, :] - both
    found: np.ndarray = np.divide(both, union, out=np.zeros_like(both), where=union > 0).max(axis=1)
    return np.where(both.sum(axis=1) > 0, found, np.nan)


def row_silhouettes(rows: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Each row's silhouette, shape (rows,); empty where all rows are of one segment."""
    from sklearn.metrics import silhouette_samples

    from goldpath.learning.segments.model import bounded

    if not 2 <= len(np.unique(places)) < len(rows):
        return np.empty(0)
    found: np.ndarray = silhouette_samples(bounded(rows), places)
    return found


def noise_like(
    frame: pd.DataFrame, contract: Contract, rows: int, seed: int, evenly: bool = True
) -> pd.DataFrame:
    """Rows whose columns know nothing of each other, of the same ranges and values.

    Args:
        frame: The rows.
        contract: Names the columns.
        rows: How many are drawn.
        seed: Of the draw.
        evenly: Numbers are drawn evenly over their range; otherwise each value as often as it is.
    """
    random = np.random.default_rng(seed)
    columns = {}
    for feature in contract.features:
        column = frame[feature.name]
        drawn = column.iloc[random.integers(0, len(column), rows)].reset_index(drop=True)
        if evenly and feature.type in ("number", "integer") and column.notna().any():
            even = random.uniform(column.min(), column.max(), rows)
            drawn = pd.Series(np.where(drawn.isna(), np.nan, even))
        columns[feature.name] = drawn
    return pd.DataFrame(columns, columns=contract.feature_names)


def _drawn_frames(
    frame: pd.DataFrame, contract: Contract, rows: int, seed: int, evenly: bool
) -> Iterator[pd.DataFrame]:
    """Draws of rows whose columns know nothing of each other."""
    for number in range(NOISE_DRAWS):
        yield noise_like(frame, contract, rows, seed + number, evenly)


def _encoded(
    draws: Iterable[pd.DataFrame], contract: Contract, sizes: tuple[int, int], seed: int
) -> Iterator[np.ndarray]:
    """Each draw, encoded by the rows of it that segments are found on."""
    for drawn in draws:
        encoder = encoded(Columns(contract, seed)).fit(drawn.iloc[: sizes[0]])
        yield np.asarray(encoder.transform(drawn))


def _gaussian(fitted: np.ndarray, rows: int, seed: int) -> Iterator[np.ndarray]:
    """Draws of one Gaussian that has the mean and the covariance of encoded rows."""
    from goldpath.learning.segments.model import bounded

    known = bounded(fitted)
    mean, covariance = known.mean(axis=0), np.atleast_2d(np.cov(known, rowvar=False))
    for number in range(NOISE_DRAWS):
        random = np.random.default_rng(seed + number)
        yield random.multivariate_normal(mean, covariance, rows, check_valid="ignore")


def _segments_of(
    draws: Iterable[np.ndarray], clusters: int, sizes: tuple[int, int], seed: int
) -> "Iterator[tuple[SegmentModel, np.ndarray, np.ndarray]]":
    """Segments of each draw, with the encoded rows that they were and were not fitted on."""
    from goldpath.learning.segments.model import SegmentModel

    fitted, _ = sizes
    for number, rows in enumerate(draws):
        segments = SegmentModel(clusters, seed + number, starts=STARTS).fit(rows[:fitted])
        yield segments, rows[:fitted], rows[fitted:]


def encoded_rows(
    rows: pd.DataFrame, contract: Contract, seed: int, most: int
) -> tuple[pd.DataFrame, np.ndarray]:
    """Some of the rows as a model's frame, drawn at random, and encoded by themselves."""
    frame = model_frame(rows, contract)
    if len(frame) > most:
        frame = frame.sample(most, random_state=seed)
    frame = frame.reset_index(drop=True)
    return frame, np.asarray(encoded(Columns(contract, seed)).fit_transform(frame))


def _silhouettes(
    draws: "Iterable[tuple[SegmentModel, np.ndarray, np.ndarray]]",
) -> tuple[float, ...]:
    """The mean silhouette of each draw's rows that its segments were not fitted on."""
    return tuple(
        _mean(row_silhouettes(apart, segments.places(apart))) for segments, _, apart in draws
    )


def _shares(places: np.ndarray, clusters: int) -> tuple[float, ...]:
    return tuple(float(each) for each in np.bincount(places, minlength=clusters) / len(places))


def _means(table: np.ndarray) -> tuple[float, ...]:
    """The mean of each column's numbers; NaN of a column without any."""
    columns = (column[~np.isnan(column)] for column in table.T)
    return tuple(_mean(column) for column in columns)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _interval(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return float("nan"), float("nan")
    half = 1.959963984540054 * float(values.std(ddof=1)) / float(np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half
