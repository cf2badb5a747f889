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
"""

from collections.abc import Iterator
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
    noise = list(_noise(frame, contract, model.clusters, (len(fitted), few), seed))
    draws, samples = NOISE_STABILITY
    agreements = [
        rand_index(segments.places(apart), again)
        for segments, known, apart in noise[:draws]
        for again in resampled(known, apart, model.clusters, samples, seed)
    ]
    return Figures(
        stability=tuple(stability),
        recovered=tuple(float(each) for each in np.nanmean(recovered, axis=0)),
        silhouette=_mean(silhouettes),
        silhouette_interval=_interval(silhouettes),
        sizes=_shares(model.places(rows[1]), model.clusters),
        noise_silhouettes=tuple(
            _mean(row_silhouettes(apart, segments.places(apart))) for segments, _, apart in noise
        ),
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


def noise_like(frame: pd.DataFrame, contract: Contract, rows: int, seed: int) -> pd.DataFrame:
    """Rows whose columns know nothing of each other, of the same ranges and values."""
    random = np.random.default_rng(seed)
    columns = {}
    for feature in contract.features:
        column = frame[feature.name]
        drawn = column.iloc[random.integers(0, len(column), rows)].reset_index(drop=True)
        if feature.type in ("number", "integer") and column.notna().any():
            even = random.uniform(column.min(), column.max(), rows)
            drawn = pd.Series(np.where(drawn.isna(), np.nan, even))
        columns[feature.name] = drawn
    return pd.DataFrame(columns, columns=contract.feature_names)


def _noise(
    frame: pd.DataFrame, contract: Contract, clusters: int, sizes: tuple[int, int], seed: int
) -> "Iterator[tuple[SegmentModel, np.ndarray, np.ndarray]]":
    """Segments of noise, with the encoded rows that they were and were not fitted on."""
    from goldpath.learning.segments.model import SegmentModel

    fitted, judged = sizes
    for number in range(NOISE_DRAWS):
        drawn = noise_like(frame, contract, fitted + judged, seed + number)
        encoder = encoded(Columns(contract, seed)).fit(drawn.iloc[:fitted])
        rows = np.asarray(encoder.transform(drawn))
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


def _shares(places: np.ndarray, clusters: int) -> tuple[float, ...]:
    return tuple(float(each) for each in np.bincount(places, minlength=clusters) / len(places))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _interval(values: np.ndarray) -> tuple[float, float]:
    if not len(values):
        return float("nan"), float("nan")
    half = 1.959963984540054 * float(values.std(ddof=1)) / float(np.sqrt(len(values)))
    return float(values.mean()) - half, float(values.mean()) + half
