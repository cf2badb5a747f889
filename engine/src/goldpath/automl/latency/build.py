"""The result's model: the ensemble that is chosen, put together and timed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from goldpath.automl.assembly import assemble
from goldpath.automl.budget import Deadline
from goldpath.automl.ensemble import EnsembleClassifier, EnsembleRegressor
from goldpath.automl.evaluation import Candidate, Evaluator
from goldpath.automl.latency.choice import Chooser, Ensemble, row_milliseconds
from goldpath.automl.learners.learner import Learner


@dataclass(frozen=True)
class Built:
    """A model and what it was chosen from.

    Attributes:
        model: The model.
        milliseconds: What it took for one row.
        ensemble: Its members.
        chooser: Has the other options.
    """

    model: EnsembleClassifier | EnsembleRegressor
    milliseconds: float
    ensemble: Ensemble
    chooser: Chooser


def build(
    evaluator: Evaluator,
    members: Sequence[tuple[Candidate, float]],
    loss: float,
    refits: Mapping[int, list[Learner]],
    table: pd.DataFrame,
    limit: float,
    deadline: Deadline,
    *,
    ordered: bool,
) -> Built:
    """Put the best ensemble within the limit together.

    Args:
        evaluator: Has the folds and the preparations.
        members: Candidates and their weights: the ensemble without a limit.
        loss: Of it, on the held-out rows.
        refits: Models of all rows by the candidate's number.
        table: Rows as they come; the first one is timed.
        limit: Milliseconds for one row; infinite for none.
        deadline: When no further ensemble is weighed.
        ordered: See `assemble`.
    """
    columns, row = list(table.columns), table.iloc[[0]]

    def put_together(one: Ensemble) -> tuple[EnsembleClassifier | EnsembleRegressor, float]:
        model = assemble(evaluator, one.members, refits, columns, ordered=ordered, most=one.most)
        return model, row_milliseconds(model, row)

    chooser = Chooser(evaluator, members, loss, refits, deadline, ordered=ordered)
    model, took = put_together(chooser.options[0])
    chosen = chooser.best(limit, took)
    if chosen is not chooser.options[0]:
        model, took = put_together(chosen)
    return Built(model, took, chosen, chooser)
