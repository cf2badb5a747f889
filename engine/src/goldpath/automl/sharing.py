"""One search by several processes or hosts.

On one machine, `find_model_parallel` searches beside the workers that it starts, and puts one
ensemble together from what all of them found. Across hosts, one runs `serve_storage`; every host
calls `find_model(..., storage="grpc://HOST:PORT")` with the same rows, and each gets a model: the
trials are shared, and what another host found to be better is tried anew at the end.
"""

import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from goldpath.automl.budget import LEAST_SECONDS, Budget
from goldpath.automl.engine import find_model, run_of
from goldpath.automl.result import AutoMLResult, HistoryPoint
from goldpath.automl.run import Run
from goldpath.automl.storage import refuse_sqlite
from goldpath.automl.structure.findings import Finding
from goldpath.automl.structure.position import Position
from goldpath.automl.task import Problem
from goldpath.errors import ProjectError
from goldpath.presentation import step

if TYPE_CHECKING:
    from goldpath.automl.evaluation import Candidate

SHARE_OF_SEARCH = 0.7
"""Of the wall time; the rest is for the ensemble of what was found."""
LATEST = 0.8
"""Of the wall time; what a worker brings later is left out."""


def find_model_parallel(
    features: pd.DataFrame,
    target: "np.ndarray | pd.Series[Any] | Sequence[Any]",
    problem: Problem,
    budget: Budget,
    *,
    processes: int,
    storage: str | Path | None = None,
    on_progress: Callable[[HistoryPoint], None] | None = None,
    on_finding: Callable[[Finding], None] | None = None,
    **options: Any,
) -> AutoMLResult:
    """`find_model` with several processes of this machine that share one search.

    This process is one of them, so that there is a model even where the budget is over before
    the others have imported their libraries.

    Args:
        features: See `find_model`.
        target: See `find_model`.
        problem: See `find_model`.
        budget: Seconds of wall time; trials are divided among the processes.
        processes: How many; 1 is `find_model` itself.
        storage: A journal that the search goes on from; a temporary one by default.
        on_progress: Called with this process's points; workers do not report.
        on_finding: Called with this process's findings in place of printing them.
        options: The other arguments of `find_model`.

    Raises:
        ProjectError: For SQLite, or a budget in CPU seconds.
    """
    if processes < 1:
        raise ProjectError(f"{processes} processes; expected 1 or more", "say processes=2")
    if storage is not None:
        refuse_sqlite(str(storage))
    if processes == 1:
        return find_model(
            features,
            target,
            problem,
            budget,
            storage=storage,
            on_progress=on_progress,
            on_finding=on_finding,
            **options,
        )
    if budget.clock == "cpu":
        raise ProjectError(
            "a search by several processes has no one CPU clock", "say Budget(clock='wall')"
        )
    study = options.pop("study", "automl")
    if options.get("folds") is not None:
        options["folds"] = list(options["folds"])
    part = replace(budget, trials=budget.trials and -(-budget.trials // processes))
    # A worker's clock starts when its libraries are imported; that must not prolong the search.
    until = None if budget.seconds is None else time.time() + SHARE_OF_SEARCH * budget.seconds
    run = run_of(features, target, problem, part, on_progress=on_progress, **options)
    position = run.try_without_position()
    run.say_findings(on_finding)
    # A worker that is late may still hold its journal open.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        shared = str(storage or Path(folder) / "journal.log")
        # Spawned, not forked: OpenMP's threads do not survive a fork.
        pool = ProcessPoolExecutor(
            processes - 1, multiprocessing.get_context("spawn"), _end_with_the_search
        )
        try:
            jobs = [
                pool.submit(
                    _work,
                    features,
                    target,
                    problem,
                    part,
                    until,
                    shared,
                    study,
                    number,
                    position,
                    options,
                )
                for number in range(1, processes)
            ]
            share = SHARE_OF_SEARCH * run.stopwatch.seconds
            run.search(shared, study, run.task.seed, until=share, adopt=False)
            run.take(_found_by(jobs, run))
        finally:
            # Who is late ends by itself, at its next look at the clock.
            pool.shutdown(wait=False, cancel_futures=True)
        return run.finish()


def _end_with_the_search() -> None:
    """Let no worker outlive a search that was killed: it would wait for a next job for ever."""
    search = multiprocessing.parent_process()

    def watch() -> None:
        if search is not None:
            search.join()
            os._exit(1)  # the main thread may be deep in a fit; nobody reads what it finds

    threading.Thread(target=watch, name="end with the search", daemon=True).start()


def _found_by(jobs: "list[Future[list[Candidate]]]", run: "Run") -> "list[Candidate]":
    """What the workers bring in time; that one fails does not end the search."""
    found: list[Candidate] = []
    for number, job in enumerate(jobs, 1):
        left = LATEST * run.stopwatch.seconds - run.stopwatch.elapsed()
        try:
            found += job.result(max(left, 0.0) if run.stopwatch.timed else None)
        except TimeoutError:
            step(f"process {number} brought nothing in time; this budget may be too short for it")
        except Exception as error:  # noqa: BLE001  a killed process, or whatever a library raises
            step(f"process {number} failed: {type(error).__name__}: {error}")
    return found


def _work(
    features: pd.DataFrame,
    target: Any,
    problem: Problem,
    budget: Budget,
    until: float | None,
    storage: str,
    study: str,
    number: int,
    position: Position,
    options: dict[str, Any],
) -> "list[Candidate]":
    """One worker: its candidates, the best ones with their models."""
    run = run_of(features, target, problem, budget, **options)
    run.evaluator.leave_out(position.counted, position.dated)  # a candidate fits everybody's rows
    end = np.inf
    if until is not None:
        left = until - time.time()
        if left < LEAST_SECONDS:
            return []
        end = run.stopwatch.elapsed() + left
    # The folds are everybody's; what is drawn is each one's own.
    return run.search(
        storage, study, run.task.seed + number, until=end, adopt=False, ends_here=False
    )
