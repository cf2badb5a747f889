"""The engine's steps of a training, for the recipe of a project.

Example:
    >>> from goldpath import Model, TrainingWork, training
    >>> def young_customers(work: TrainingWork) -> dict[str, float]:
    ...     return {"share_under_30": float((work.train_rows["age"] < 30).mean())}
    >>> model = Model(
    ...     training=[
    ...         training.extract,
    ...         training.prepare_features,
    ...         young_customers,
    ...         training.search_and_fit,
    ...         training.evaluate_candidate,
    ...         training.register_candidate,
    ...     ]
    ... )
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
from goldpath.jobs.training.work import TrainingError, TrainingWork

__all__ = [
    "Divided",
    "Extracted",
    "Found",
    "Judged",
    "TrainingError",
    "TrainingResult",
    "TrainingWork",
    "evaluate_candidate",
    "extract",
    "prepare_features",
    "register_candidate",
    "search_and_fit",
]
