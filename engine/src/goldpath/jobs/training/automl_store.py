"""What a search leaves in its MLflow run, so that a later process can go on with it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd

from goldpath.automl.result import AutoMLResult
from goldpath.contract import Contract
from goldpath.learning.decision.threshold import rule_of
from goldpath.registry.files.pipeline import read_pipeline
from goldpath.registry.mlflow_manager import MLflowManager

AUTOML = "automl"
"""The family of a candidate that is an ensemble of a search."""
MODEL_FILE = "automl/model.skops"
HELD_OUT_FILE = "automl/held_out.parquet"
PREDICTION = "prediction"


def store_ensemble(
    manager: MLflowManager, run_id: str, contract: Contract, result: AutoMLResult
) -> None:
    """Log the fitted ensemble and its predictions of rows that it did not learn from."""
    from skops.io import dump

    with TemporaryDirectory(prefix="automl-") as name:
        held_out, model = Path(name) / Path(HELD_OUT_FILE).name, Path(name) / Path(MODEL_FILE).name
        pd.DataFrame(held_out_scores(contract, result)).to_parquet(held_out)
        dump(result.model, model)
        manager.log_file(run_id, held_out, AUTOML)
        manager.log_file(run_id, model, AUTOML)


def stored_ensemble(manager: MLflowManager, run_id: str) -> Any:
    """The ensemble that a search stored, read with the allow-list.

    Raises:
        RegistryError: If it is missing or holds a type that is not allowed.
    """
    with TemporaryDirectory(prefix="automl-") as name:
        file = manager.download_artifact(run_id, MODEL_FILE, Path(name))
        return read_pipeline(file, f"runs:/{run_id}/{MODEL_FILE}")


def stored_held_out(manager: MLflowManager, run_id: str, contract: Contract) -> "pd.Series[Any]":
    """Predictions of training rows by models that did not see them, by the row's number.

    P(positive), the label that the version decides where there are more classes, or the value.
    """
    with TemporaryDirectory(prefix="automl-") as name:
        file = manager.download_artifact(run_id, HELD_OUT_FILE, Path(name))
        found = pd.read_parquet(file)
    classes = contract.target.classes
    if len(found.columns) == 1:
        return found[PREDICTION]
    places = rule_of(contract).labels(found[list(classes)].to_numpy("float64"))
    labels = np.array(classes, dtype=object)[places]
    return pd.Series(labels, index=found.index, name=PREDICTION)


def held_out_scores(contract: Contract, result: AutoMLResult) -> "pd.Series[Any] | pd.DataFrame":
    """P(positive), the probabilities of several classes, or the value."""
    predictions = result.held_out_predictions
    if contract.problem == "classification":
        known = [str(label) for label in result.model.classes_]
        if not contract.is_binary:
            found = pd.DataFrame(predictions, index=result.held_out_rows, columns=known)
            return found.reindex(columns=list(contract.target.classes), fill_value=0.0)
        predictions = predictions[:, known.index(contract.target.positive)]
    return pd.Series(predictions, index=result.held_out_rows, name=PREDICTION)
