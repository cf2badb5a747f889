"""A segmentation's evaluation in the form of any other's, so that whatever shows one shows both."""

import numpy as np
import pandas as pd

from goldpath.features.row.complete import complete_rows
from goldpath.judging.evaluation import IMPORTANCE_ROWS, Evaluation, evaluate
from goldpath.learning.frames import model_frame
from goldpath.learning.metrics import Score
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.segments.figures import figures_of
from goldpath.learning.segments.limits import METRIC
from goldpath.learning.segments.quality import Figures, rand_index
from goldpath.project import ENGINES_OWN, Model
from goldpath.settings import TrainingSettings


def evaluation_of(
    model: LoadedModel,
    train: pd.DataFrame,
    test: pd.DataFrame,
    settings: TrainingSettings,
    definitions: Model = ENGINES_OWN,
) -> Evaluation:
    """`evaluate`, or of a segmentation its figures without labels; the arguments are the same."""
    if model.contract.has_target:
        return evaluate(model, train, test, settings, definitions)
    figures = figures_of(model, train, test, settings.seed)
    share = figures.smallest_share
    half = 1.96 * float(np.sqrt(share * (1 - share) / len(test)))
    others = {
        "silhouette": Score("silhouette", figures.silhouette, figures.silhouette_interval),
        "smallest_share": Score("smallest_share", share, (max(share - half, 0.0), share + half)),
    }
    return Evaluation(
        score=Score(METRIC, figures.mean_stability, figures.stability_interval),
        baseline=figures.noise_stability,
        others=others,
        other_baselines={
            "silhouette": max(*figures.noise_silhouettes, *figures.gaussian_silhouettes)
        },
        slices=(),
        importances=segment_importances(model, test, settings.seed),
        predictions=model.predict(test),
    )


def segment_importances(model: LoadedModel, test: pd.DataFrame, seed: int) -> dict[str, float]:
    """How far segments change when one feature's values are shuffled, largest first.

    One minus the adjusted Rand index with the segments of the rows as they are: 0 of a feature that
    decides nothing. At most 1,000 test rows are looked at.
    """
    random = np.random.default_rng(seed)
    rows = test.sample(min(IMPORTANCE_ROWS, len(test)), random_state=seed)
    frame = model_frame(complete_rows(rows, model.contract), model.contract)
    whole = np.array(model.predict_frame(frame).values)
    losses = {}
    for name in frame.columns:
        shuffled = frame.copy()
        shuffled[name] = shuffled[name].to_numpy()[random.permutation(len(shuffled))]
        losses[name] = 1 - rand_index(whole, np.array(model.predict_frame(shuffled).values))
    return dict(sorted(losses.items(), key=lambda item: -item[1]))


def recovered_by_label(model: LoadedModel, figures: Figures) -> dict[str, float]:
    """How stable each segment is by its label."""
    labels = [str(label) for label in model.pipeline.classes_]
    return dict(zip(labels, figures.recovered, strict=True))
