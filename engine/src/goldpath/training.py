"""The engine's steps of a training, in their order, for `Model(training=…)`.

They do their work in the order extract, prepare_features, search_and_fit, evaluate_candidate,
register_candidate; a project's own steps stand anywhere between. What they return is named here,
too: a step of one's own finds it in `TrainingWork`.
"""

from goldpath.jobs.training.results import (
    Divided,
    Extracted,
    Found,
    Judged,
    TrainingResult,
)
from goldpath.jobs.training.steps import (
    evaluate_candidate,
    extract,
    prepare_features,
    register_candidate,
    search_and_fit,
)
from goldpath.jobs.training.work import TrainingError

__all__ = [
    "Divided",
    "Extracted",
    "Found",
    "Judged",
    "TrainingError",
    "TrainingResult",
    "evaluate_candidate",
    "extract",
    "prepare_features",
    "register_candidate",
    "search_and_fit",
]
