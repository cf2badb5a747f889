"""The figures of a fitted segmentation on rows that it has not seen."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from goldpath.features.row.complete import complete_rows
from goldpath.learning.frames import model_frame
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.segments.quality import FITTED_ROWS, Figures, measure

if TYPE_CHECKING:
    import pandas as pd

_MEASURED: dict[tuple[str, int], Figures] = {}


def figures_of(
    model: LoadedModel, train: "pd.DataFrame", test: "pd.DataFrame", seed: int
) -> Figures:
    """Stability, silhouette, sizes, and what noise would give.

    Args:
        model: A version of a segmentation, or a candidate.
        train: Rows that it learned from, of which 5,000 are looked at.
        test: Rows that it has not seen.
        seed: Of the samples.
    """
    contract = model.contract
    if len(train) > FITTED_ROWS:
        train = train.sample(FITTED_ROWS, random_state=seed)
    judged = test.sample(len(test), random_state=seed)  # tables are often in an order
    frame, apart = (
        model_frame(complete_rows(rows, contract), contract) for rows in (train, judged)
    )
    encoder, segments = model.pipeline[:-1], model.pipeline[-1]
    known, new = (np.asarray(encoder.transform(each)) for each in (frame, apart))
    key = hashlib.sha256(segments.centres_.tobytes() + known.tobytes() + new.tobytes()).hexdigest()
    if (key, seed) not in _MEASURED:
        _MEASURED.clear()  # a training asks again and again about its one candidate
        _MEASURED[key, seed] = measure(segments, (known, new), frame, contract, seed)
    return _MEASURED[key, seed]
