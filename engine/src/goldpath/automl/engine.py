"""`find_model`: the best model for a table that a stated budget can buy.

1. A portfolio of configurations, then TPE on each family, judged by cross-validation (`search`).
2. Greedy selection of an ensemble on the held-out predictions, calibrated (`selection`).
3. What is left of the budget makes the ensemble's members better: small tables are split again and
   again (each member becomes a larger bag, and the selection less noisy), larger ones are learnt
   once more from all rows. Where rows are in the order of time, members are always fitted on all
   rows: the newest ones say the most about tomorrow.

Time is kept by asking before each fit what it may take: learners that grow stop at a deadline, the
others are skipped where their expected time is longer.
"""

import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldpath.automl.budget import Budget, Stopwatch
from goldpath.automl.columns import check_table
from goldpath.automl.folds import FEW_ROWS, RowNumbers
from goldpath.automl.result import AutoMLResult, HistoryPoint
from goldpath.automl.run import Run
from goldpath.automl.structure.findings import Finding
from goldpath.automl.structure.structure import Groups, find_structure
from goldpath.automl.task import Problem, Task, make_task
from goldpath.errors import ProjectError
from goldpath.learning.text.sizes import USUAL_SIZES, TextSizes
from goldpath.learning.threads import usable_cores

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

PARALLEL_ROWS = 100_000
"""Below, OpenMP's threads cost more than they gain (see model.threads)."""
CELLS_A_SECOND = 1e5
"""Values of the table for which a second is enough to encode, fit, predict and select."""
MOST_CELLS_A_SECOND = 2e5
"""Values for which a second is hardly enough for the first model."""
ROWS_OF_RARE_CLASSES = 200


def find_model(
    features: pd.DataFrame,
    target: "np.ndarray | pd.Series[Any] | Sequence[Any]",
    problem: Problem,
    budget: Budget,
    *,
    metric: str | None = None,
    folds: Iterable[tuple[RowNumbers, RowNumbers]] | None = None,
    time_ordered: bool | None = None,
    groups: Groups = None,
    texts: Sequence[str] = (),
    text_sizes: TextSizes = USUAL_SIZES,
    latency_ms: float | None = None,
    seed: int = 42,
    families: Sequence[str] | None = None,
    storage: "str | Path | BaseStorage | None" = None,
    study: str = "automl",
    on_progress: Callable[[HistoryPoint], None] | None = None,
    on_finding: Callable[[Finding], None] | None = None,
    together: np.ndarray | None = None,
) -> AutoMLResult:
    """Search a model for a table as it comes.

    A portfolio of configurations is tried first, then the tree-structured Parzen estimator draws
    further ones for each family; a greedy ensemble of the best is selected on held-out
    predictions.

    Args:
        features: Shape (rows, columns), a row for each example. Numbers, truth values, text,
            categories and times may be mixed; values may be missing.
        target: Shape (rows,): class labels or numbers.
        problem: `classification` or `regression`.
        budget: Seconds, trials or both.
        metric: `log_loss` (default), `roc_auc`, `accuracy`; `rmse` (default), `mae`, `r2`.
        folds: Own pairs of row numbers (training, validation).
        time_ordered: The rows are in the order of time: later rows judge, earlier ones teach. If
            not said, it is found out; see `structure`.
        groups: One value a row, or a column's name: rows of a group stay together, and the column
            is no feature. False says that there are none. If not said, it is found out.
        texts: Names of columns that are free text, and so neither times nor keys; another column
            is taken for one where its values are several words that hardly repeat.
        text_sizes: How much a model sees of a text.
        latency_ms: Milliseconds that the model may take for one row, on this machine; the best of
            the ensembles within it is taken. 20 if not given; with trials alone, no limit.
        seed: Of everything random.
        families: Names in `families.portfolio.SEARCH_FAMILIES`; all that can be used by default.
        storage: Where several processes or hosts share the search; see `sharing.open_storage`.
        study: Name of the shared search.
        on_progress: Called with the learning curve's newest point after each configuration.
        on_finding: Called with each finding about the rows; they are printed otherwise.
        together: One value a row: copies of rows, which stay together where nothing else decides;
            unlike `groups` it is no answer to what is looked for.

    Returns:
        The fitted model with its score on held-out rows, the leaderboard and the learning curve.

    Raises:
        ProjectError: If the table, the target or an argument cannot be used, or the budget is
            too small for so wide a table.
        NotEnoughDataError: If there are too few rows, or one class only.

    References:
        Caruana et al., "Ensemble selection from libraries of models" (ICML 2004).
        Bergstra et al., "Algorithms for hyper-parameter optimization" (NeurIPS 2011).

    Example:
        >>> import numpy as np
        >>> import pandas as pd
        >>> from goldpath import Budget, find_model
        >>> flats = pd.DataFrame({"area": np.linspace(20, 120, 200), "floor": [1, 2, 3, 4] * 50})
        >>> rent = 12 * flats["area"] + 30 * flats["floor"]
        >>> found = find_model(flats, rent, "regression", Budget(trials=2), families=["linear"])
        >>> found.metric, found.score < found.baseline_score
        ('rmse', True)
        >>> found.model.predict(flats[:3]).shape
        (3,)
    """
    run = run_of(
        features,
        target,
        problem,
        budget,
        metric=metric,
        folds=folds,
        time_ordered=time_ordered,
        groups=groups,
        texts=texts,
        text_sizes=text_sizes,
        latency_ms=latency_ms,
        seed=seed,
        families=families,
        on_progress=on_progress,
        together=together,
    )
    run.try_without_position()
    run.say_findings(on_finding)
    run.search(storage, study, seed)
    return run.finish()


def run_of(
    features: pd.DataFrame,
    target: "np.ndarray | pd.Series[Any] | Sequence[Any]",
    problem: Problem,
    budget: Budget,
    *,
    metric: str | None = None,
    folds: Iterable[tuple[RowNumbers, RowNumbers]] | None = None,
    time_ordered: bool | None = None,
    groups: Groups = None,
    texts: Sequence[str] = (),
    text_sizes: TextSizes = USUAL_SIZES,
    latency_ms: float | None = None,
    seed: int = 42,
    families: Sequence[str] | None = None,
    on_progress: Callable[[HistoryPoint], None] | None = None,
    together: np.ndarray | None = None,
) -> Run:
    """A search that is ready to start; its clock is running. See `find_model`."""
    stopwatch = Stopwatch(budget)
    check_table(features)
    if latency_ms is not None and not latency_ms > 0:
        raise ProjectError(
            f"latency_ms is {latency_ms}; expected a positive number of milliseconds",
            "say latency_ms=20, or leave it out",
        )
    task = make_task(target, problem, metric, _threads(len(features)), seed)
    if len(task.target) != len(features):
        raise ProjectError(
            f"the features have {len(features)} rows, the target {len(task.target)}",
            "give one target value a row",
        )
    features = features.reset_index(drop=True)
    # Of long tables a budget uses what it can; wide ones cannot be made smaller.
    check_seconds(budget, min(len(features), FEW_ROWS) * features.shape[1])
    structure = find_structure(
        _without(features, texts),
        task,
        has_folds=folds is not None,
        time_ordered=time_ordered,
        groups=groups,
        together=together,
    )
    chosen = np.arange(len(features))
    if folds is None:
        chosen = affordable_rows(task, budget, features.shape[1], structure.order)
    run = Run(features, task, chosen, budget, stopwatch, families, on_progress, latency_ms)
    run.evaluator.texts, run.evaluator.text_sizes = tuple(texts), text_sizes
    run.split(structure, folds)
    return run


def _without(features: pd.DataFrame, texts: Sequence[str]) -> pd.DataFrame:
    """The columns that may tell a time or a key, which a text does not."""
    known = [str(name) for name in features.columns]
    if unknown := [name for name in texts if name not in known]:
        raise ProjectError(
            f"texts names columns that the table lacks: {', '.join(unknown)}; it has "
            f"{', '.join(known[:30])}",
            "name columns of the table",
        )
    return features.loc[:, [name not in texts for name in known]]


def affordable_rows(
    task: Task, budget: Budget, columns: int, order: np.ndarray | None
) -> np.ndarray:
    """Numbers of the rows that the search uses: all of them, unless the budget is too short.

    Classes keep their shares, and rare ones all their rows; of an order in time the last rows are
    taken, and the numbers are in that order. The members of the ensemble are fitted on all rows at
    the end, if there is time for that.
    """
    rows = len(task.target)
    every = np.arange(rows) if order is None else order
    if budget.seconds is None or rows * columns <= CELLS_A_SECOND * budget.seconds:
        return every
    most = max(FEW_ROWS, int(CELLS_A_SECOND * budget.seconds / columns))
    if rows <= most:
        return every
    if order is not None:
        return order[-most:]
    order = np.random.default_rng(task.seed).permutation(rows)
    taken = np.zeros(rows, dtype=bool)
    taken[order[:most]] = True
    if task.problem == "classification":
        counts = np.bincount(task.target)
        taken |= counts[task.target] <= ROWS_OF_RARE_CLASSES
    return np.flatnonzero(taken)


def check_seconds(budget: Budget, cells: int) -> None:
    """Refuse at once what would end without a model.

    Raises:
        ProjectError: Names the seconds that so many values of the table need at least.
    """
    needed = math.ceil(cells / MOST_CELLS_A_SECOND)
    if budget.seconds is not None and budget.seconds < needed:
        raise ProjectError(
            f"a budget of {budget.seconds:g} seconds; for {cells:,} values (rows times columns) "
            f"a search needs {needed} at least",
            f"give {needed} seconds or more, or leave columns out",
        )


def _threads(rows: int) -> int:
    if rows < PARALLEL_ROWS:
        return 1
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return int(stated) if stated.isdigit() and int(stated) else usable_cores()
