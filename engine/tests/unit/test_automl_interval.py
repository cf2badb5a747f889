"""The interval of a score holds only values that the score can have."""

import numpy as np

from goldpath.automl.structure.interval import expected_scores
from goldpath.automl.task import make_task


def interval_of(labels: np.ndarray, metric: str) -> tuple[float, float] | None:
    task = make_task(labels, "classification", metric, 1, 0)
    rows = np.arange(len(labels))
    near = np.clip(0.3 * labels + np.random.default_rng(0).uniform(0, 0.7, len(labels)), 0.01, 0.99)
    predictions = np.column_stack([1 - near, near])
    return expected_scores(
        lambda judged: task.score(task.target[judged], predictions[judged]),
        [rows[k::3] for k in range(3)],
        rows,
        0,
        task.target,
        task.limits,
    )


def test_an_interval_ends_where_the_metric_does() -> None:
    labels = np.repeat([0, 1], [12, 6])
    auc, loss = interval_of(labels, "roc_auc"), interval_of(labels, "log_loss")

    assert auc is not None
    assert loss is not None
    assert 0 <= auc[0] < auc[1] <= 1
    assert auc[0] == 0 or auc[1] == 1
    assert 0 <= loss[0] < loss[1]


def test_a_rare_class_is_in_each_part_that_is_drawn() -> None:
    assert interval_of(np.repeat([0, 1], [57, 3]), "roc_auc") is not None
    assert interval_of(np.repeat([0, 1], [58, 2]), "roc_auc") is None
