"""The usual metrics of predictions, for people; the search has its own in `task`."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def prediction_metrics(
    problem: str, classes: Sequence[Any] | np.ndarray, truth: np.ndarray, predictions: np.ndarray
) -> dict[str, float]:
    """Accuracy, precision, recall, F1, AUC and log loss; or R², RMSE, MAE.

    Precision, recall and F1 are means over the classes, so a rare class counts as much.

    Args:
        problem: Classification or regression.
        classes: The labels, in the order of the predictions' columns.
        truth: True labels or values, shape (rows,).
        predictions: Probabilities of shape (rows, classes), or values.
    """
    from sklearn import metrics

    if problem == "regression":
        values = truth.astype(np.float64)
        return {
            "r2": float(metrics.r2_score(values, predictions)),
            "rmse": float(metrics.root_mean_squared_error(values, predictions)),
            "mae": float(metrics.mean_absolute_error(values, predictions)),
        }
    from goldpath.automl.task import Task

    labels = list(map(str, classes))
    numbers = np.array([labels.index(str(label)) for label in truth])
    chosen = predictions.argmax(axis=1)
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(
        numbers, chosen, labels=range(len(labels)), average="macro", zero_division=0.0
    )
    found = {
        "accuracy": float(np.mean(numbers == chosen)),
        "balanced_accuracy": float(
            metrics.recall_score(
                numbers, chosen, average="macro", labels=np.unique(numbers), zero_division=0.0
            )
        ),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
    }
    for name in ("roc_auc", "log_loss"):
        task = Task("classification", name, numbers, np.asarray(labels), 0.0, 1.0, False, 1, 0)
        found[name] = task.score(numbers, predictions)
    return found
