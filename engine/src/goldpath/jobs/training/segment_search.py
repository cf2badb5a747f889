"""How many segments there are: each number of `training.clusters` is tried, and one is chosen.

`find_best` stands before the search of a model with a target: whoever trains asks it, and need not
know which of the two it is.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from goldpath.contract import Contract
from goldpath.errors import NotEnoughDataError
from goldpath.learning.frames import model_frame
from goldpath.learning.search import SearchResult, Trial, planned_trials, search
from goldpath.learning.segments.family import FAMILY
from goldpath.learning.segments.limits import least
from goldpath.learning.segments.quality import (
    FITTED_ROWS,
    JUDGED_ROWS,
    encoded_rows,
    rand_index,
    resampled,
    row_silhouettes,
)
from goldpath.learning.threads import sensible_threads
from goldpath.presentation import step
from goldpath.project import ENGINES_OWN, Model
from goldpath.settings import TrainingSettings

SEARCH_SAMPLES = 10
LEARNT = 0.7
"""The share of the searched rows that segments are found on; the others are what they agree on."""
ROWS_A_SEGMENT = 10
ALIKE = 0.005
"""Adjusted Rand indices that differ by less are the same."""


def planned(contract: Contract, settings: TrainingSettings, definitions: Model) -> int:
    """How many trials a search makes: of a segmentation one for each number of segments."""
    if contract.has_target:
        return planned_trials(settings, definitions)
    fewest, most = settings.clusters
    return most - fewest + 1


def find_best(
    train: pd.DataFrame,
    contract: Contract,
    settings: TrainingSettings,
    on_trial: Callable[[Trial, float], None],
    known: Sequence[Trial] = (),
    definitions: Model = ENGINES_OWN,
    floors: Mapping[str, float] | None = None,
) -> SearchResult:
    """The best family and parameters, or of a segmentation the number of segments.

    Of the numbers whose segments are stable and large enough the most stable are kept, and of these
    the one with the largest silhouette is taken; where none is, the most stable one, which the gate
    will refuse. After `training.timeout_seconds` no further number is tried.

    The arguments are those of `search`; of the known trials those within `training.clusters`
    count. `floors` are what the gate asks, by `learning.segments.limits`.
    """
    if contract.has_target:
        return search(train, contract, settings, on_trial, known, definitions)
    parts = _parts(train, contract, settings)
    fewest, most = settings.clusters
    done = {int(trial.parameters["clusters"]): trial for trial in known}
    trials: list[Trial] = []
    number = len(known)
    with sensible_threads(len(parts[0])):
        for clusters in range(fewest, most + 1):
            if clusters in done:
                trials.append(done[clusters])
                continue
            if trials and sum(trial.seconds for trial in trials) > settings.timeout_seconds:
                step(
                    f"segments: up to {clusters - 1} were tried, and {clusters} to {most} "
                    f"were not: training.timeout_seconds={settings.timeout_seconds:g} is over"
                )
                break
            trials.append(_try(number, clusters, parts, settings.seed))
            number += 1
            on_trial(trials[-1], max(trial.score for trial in trials))
    best = _choose(trials, floors or least({}))
    return SearchResult(best.family, best.parameters, best.score, best.fold_scores, tuple(trials))


def _parts(
    train: pd.DataFrame, contract: Contract, settings: TrainingSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Encoded rows to find segments on, and others to compare them on.

    Raises:
        NotEnoughDataError: If the rows are too few, or not different enough, for so many segments.
    """
    _, most = settings.clusters
    different = len(model_frame(train, contract).drop_duplicates())
    if different < max(most, 2):
        raise NotEnoughDataError(
            f"{len(train):,} training rows have {different:,} different values of the "
            f"features, and training.clusters asks for up to {most} segments",
            "bring rows that differ, or features that do"
            if different < 3
            else f"set training.clusters: [2, {different - 1}] in config/training.yaml",
        )
    if len(train) < ROWS_A_SEGMENT * most:
        raise NotEnoughDataError(
            f"{len(train):,} training rows, and training.clusters asks for up to {most} segments, "
            f"for which {ROWS_A_SEGMENT * most} are needed",
            "bring more rows, or set training.clusters: "
            f"[2, {max(2, len(train) // ROWS_A_SEGMENT)}] in config/training.yaml",
        )
    wanted = round(FITTED_ROWS / LEARNT)
    _, rows = encoded_rows(train, contract, settings.seed, wanted)
    shuffled = rows[np.random.default_rng(settings.seed).permutation(len(rows))]
    cut = int(LEARNT * len(shuffled))
    if (distinct := len(np.unique(shuffled[:cut], axis=0))) < most:
        raise NotEnoughDataError(
            f"{cut:,} rows to find segments on are {distinct:,} different ones as a model sees "
            f"them, and training.clusters asks for up to {most} segments",
            f"set training.clusters: [2, {distinct}] in config/training.yaml"
            if distinct >= 2
            else "bring features whose values differ",
        )
    return shuffled[:cut], shuffled[cut:][:JUDGED_ROWS]


def _try(number: int, clusters: int, parts: tuple[np.ndarray, np.ndarray], seed: int) -> Trial:
    from goldpath.learning.segments.model import SegmentModel

    started = time.monotonic()
    fitted, judged = parts
    model = SegmentModel(clusters, seed).fit(fitted)
    places = model.places(judged)
    silhouettes = row_silhouettes(judged, places)
    return Trial(
        number=number,
        family=FAMILY,
        parameters={"clusters": clusters},
        drawn={
            "silhouette": float(silhouettes.mean()) if len(silhouettes) else -1.0,
            "smallest_share": float(np.bincount(places, minlength=clusters).min() / len(places)),
        },
        fold_scores=tuple(
            rand_index(places, again)
            for again in resampled(fitted, judged, clusters, SEARCH_SAMPLES, seed)
        ),
        pruned=False,
        seconds=time.monotonic() - started,
    )


def _choose(trials: Sequence[Trial], floors: Mapping[str, float]) -> Trial:
    """Of the most stable numbers of segments the one with the largest silhouette.

    Stability within one standard error of the best one counts as the same. What the gate would
    refuse is passed over, unless it would refuse each of them.
    """
    good = [
        trial
        for trial in trials
        if trial.score >= floors["stability"]
        and trial.drawn["smallest_share"] >= floors["smallest_share"]
    ]
    best = max(good or trials, key=lambda trial: trial.score)
    error = float(np.std(best.fold_scores, ddof=1) / np.sqrt(len(best.fold_scores)))
    alike = [trial for trial in good or [best] if trial.score >= best.score - max(error, ALIKE)]
    return max(alike, key=lambda trial: float(trial.drawn["silhouette"]))
