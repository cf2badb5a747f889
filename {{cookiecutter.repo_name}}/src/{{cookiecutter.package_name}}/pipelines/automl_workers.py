"""One search by several processes of this machine."""

import multiprocessing
import os
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from ..automl.budget import Budget
from ..automl.engine import find_model
from ..automl.result import AutoMLResult
from ..automl.task import Problem

STUDY = "automl"
END_SECONDS = 10.0


def search_together(
    folder: Path,
    processes: int,
    features: pd.DataFrame,
    target: np.ndarray,
    problem: Problem,
    budget: Budget,
    **options: Any,
) -> AutoMLResult:
    """`find_model` in this process, helped by others that share its search.

    The helpers' processes end with this one, also where it is killed.

    Args:
        folder: Where the shared journal lies for as long as the search lasts.
        processes: This one included; 1 for no sharing at all.
        features: See `find_model`.
        target: See `find_model`.
        problem: See `find_model`.
        budget: Of each process; its trials are this process's.
        options: Further arguments of `find_model`.
    """
    if processes == 1:
        return find_model(features, target, problem, budget, **options)
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="search-", dir=folder) as name:
        journal = Path(name) / "journal.log"
        shared = {key: value for key, value in options.items() if key != "on_progress"}
        spawn = multiprocessing.get_context("spawn")
        helpers = [
            spawn.Process(
                target=_help,
                args=(os.getpid(), features, target, problem, budget, number, journal, shared),
                daemon=True,
                name=f"automl-{number}",
            )
            for number in range(1, processes)
        ]
        for helper in helpers:
            helper.start()
        try:
            return find_model(
                features, target, problem, budget, storage=journal, study=STUDY, **options
            )
        finally:
            for helper in helpers:
                helper.terminate()
            for helper in helpers:
                helper.join(END_SECONDS)


def _help(
    parent: int,
    features: pd.DataFrame,
    target: np.ndarray,
    problem: Problem,
    budget: Budget,
    number: int,
    journal: Path,
    options: dict[str, Any],
) -> None:
    """Search beside the first process; what is found is in the journal."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True, name="orphan").start()
    seed = int(options.pop("seed", 0)) + number
    find_model(
        features, target, problem, budget, seed=seed, storage=journal, study=STUDY, **options
    )


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
