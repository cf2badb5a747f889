"""The engine's steps of a batch inference, for the recipe of a project.

Example:
    >>> from goldpath import Model, batch
    >>> model = Model(batch=[batch.load_rows, batch.score_rows, batch.store_predictions])
"""

from goldpath.jobs.batch.table import BatchResult, load_rows, score_rows, store_predictions
from goldpath.jobs.batch.work import BatchWork

__all__ = ["BatchResult", "BatchWork", "load_rows", "score_rows", "store_predictions"]
