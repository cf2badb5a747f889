"""The two engines that the serving benchmark gives to BentoML and LitServe.

`sklearn` is the fitted pipeline as MLflow stores it; `compiled` is the engine's own compiled form,
imported from its unpacked wheel. Both take rows as a client sends them and give their
probabilities.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Rows = Sequence[Mapping[str, Any]]
Engine = Callable[[Rows], list[list[float]]]

ENGINE, FOLDER = "BENCH_ENGINE", "BENCH_FOLDER"
"""Environment variables: which engine, and where the benchmark's files are."""


def load_engine() -> Engine:
    """The engine that the environment names."""
    folder = Path(os.environ[FOLDER])
    if os.environ[ENGINE] == "compiled":
        return _compiled(folder)
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


def _compiled(folder: Path) -> Engine:
    from goldpath.compiled.form_files import read_form
    from goldpath.compiled.scorer import CompiledModel
    from goldpath.contract import load_contract

    form = read_form(folder / "model" / "compiled")
    contract = load_contract(folder / "project")
    model = CompiledModel(form, contract, kernels=folder / "kernels")

    def score(rows: Rows) -> list[list[float]]:
        return model.ordered_answers(*model.columns(rows)).tolist()

    return score
