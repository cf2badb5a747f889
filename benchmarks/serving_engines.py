"""The two engines that the serving benchmark gives to BentoML and LitServe.

`sklearn` is the fitted pipeline as MLflow stores it; `compiled` is the project's own compiled form,
imported from its sources. Both take rows as a client sends them and give a row's probabilities.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any]]
Engine = Callable[[Rows], list[list[float]]]

ENGINE, FOLDER, PACKAGE = "BENCH_ENGINE", "BENCH_FOLDER", "BENCH_PACKAGE"
"""Environment variables: which engine, where the benchmark's files are, the project's package."""


def load_engine() -> Engine:
    """The engine that the environment names."""
    folder = Path(os.environ[FOLDER])
    if os.environ[ENGINE] == "compiled":
        return _compiled(folder, os.environ[PACKAGE])
    return _sklearn(folder)


def _sklearn(folder: Path) -> Engine:
    import numpy as np
    import pandas as pd
    from skops.io import load

    file = folder / "model" / "mlflow" / "model.skops"
    types = ["numpy.dtype", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
    pipeline = load(file, trusted=types)
    (_, _, numbers), (_, _, categories) = pipeline.steps[0][1].transformers_

    def score(rows: Rows) -> list[list[float]]:
        columns = {name: np.array([row[name] for row in rows], dtype=float) for name in numbers}
        for name in categories:
            columns[name] = np.array([row[name] for row in rows], dtype=object)
        return pipeline.predict_proba(pd.DataFrame(columns)).tolist()

    return score


def _compiled(folder: Path, package: str) -> Engine:
    form = import_module(f"{package}.model.compiled.form").read_form(folder / "model" / "compiled")
    contract = import_module(f"{package}.contract").load_contract(folder / "project")
    scorer = import_module(f"{package}.model.compiled.scorer")
    model = scorer.CompiledModel(form, contract, kernels=folder / "kernels")

    def score(rows: Rows) -> list[list[float]]:
        return model.ordered_answers(*model.columns(rows)).tolist()

    return score
