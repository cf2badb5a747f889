"""What a search leaves in its MLflow run, so that a later process can go on with it."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from goldpath.automl.result import AutoMLResult
from goldpath.contract import Contract
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
        held_out_column(contract, result).to_frame().to_parquet(held_out)
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


def stored_held_out(manager: MLflowManager, run_id: str) -> "pd.Series[Any]":
    """Predictions of training rows by models that did not see them, by the row's number."""
    with TemporaryDirectory(prefix="automl-") as name:
        file = manager.download_artifact(run_id, HELD_OUT_FILE, Path(name))
        return pd.read_parquet(file)[PREDICTION]


def held_out_column(contract: Contract, result: AutoMLResult) -> "pd.Series[Any]":
    """P(positive), the label where there are more classes than two, or the value."""
    predictions = result.held_out_predictions
    if contract.problem == "regression":
        values = predictions
    else:
        classes = [str(label) for label in result.model.classes_]
        if contract.is_binary:
            values = predictions[:, classes.index(contract.target.positive)]
        else:
            values = result.model.classes_[predictions.argmax(axis=1)].astype(object)
    return pd.Series(values, index=result.held_out_rows, name=PREDICTION)
