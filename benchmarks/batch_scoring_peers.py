"""Model, rows and peers of the batch benchmark; run by the project's interpreter.

First `make` makes a project with a champion, the pipeline for the peers, and the rows; then
`sklearn` and `pyfunc` score them, and `compare` prints the largest difference.

    PYTHON batch_scoring_peers.py make PROJECT PACKAGE FOLDER ROWS ROWS_OF_THE_PEERS
    PYTHON batch_scoring_peers.py sklearn|pyfunc|compare FOLDER
"""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import serving_project
from serving_rows import CLASSES

if TYPE_CHECKING:
    import pandas as pd

ROWS_A_CHUNK = 100_000
ROWS_DRAWN = 250_000
SEED = 11


def main() -> int:
    """Do what the first argument says."""
    what, *rest = sys.argv[1:]
    if what == "make":
        make(Path(rest[0]), Path(rest[1]), int(rest[2]), int(rest[3]))
        print("{}")
    elif what == "compare":
        print(compare(Path(rest[0])))
    else:
        score(Path(rest[0]), what)
    return 0


def make(project: Path, folder: Path, rows: int, peer_rows: int) -> None:
    """A project with a champion, the pipeline for the peers, and the rows."""
    import joblib
    from goldpath.contract import load_contract
    from goldpath.settings import load_settings

    root = folder / "project"
    shutil.copytree(project / "config", root / "config")
    frame, labels = serving_project.draw_rows(serving_project.ROWS, serving_project.SEED)
    serving_project.write_contract(root / "config" / "project.yaml")
    pipeline = serving_project.build_pipeline().fit(frame, labels)
    serving_project.register(load_settings(root), load_contract(root), pipeline, frame)
    serving_project.save_for_mlflow(pipeline, frame, folder / "mlflow")
    joblib.dump(pipeline, folder / "pipeline.joblib")
    write_rows(folder / "rows.parquet", rows)
    write_rows(folder / "peer_rows.parquet", peer_rows)


def write_rows(file: Path, rows: int) -> None:
    """Rows; fewer are the first of more."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for start in range(0, rows, ROWS_DRAWN):
        frame, _ = serving_project.draw_rows(ROWS_DRAWN, SEED + start)
        table = pa.Table.from_pandas(frame.head(rows - start), preserve_index=False)
        writer = writer or pq.ParquetWriter(file, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def score(folder: Path, peer: str) -> None:
    """Read, predict and write chunk by chunk."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    predict = load(folder, peer)
    source, target = folder / "peer_rows.parquet", folder / f"{peer}.parquet"
    started = time.perf_counter()
    writer, rows = None, 0
    with pq.ParquetFile(source) as parquet:
        for batch in parquet.iter_batches(ROWS_A_CHUNK):
            probabilities = predict(batch.to_pandas())
            labels = np.array(CLASSES)[probabilities.argmax(axis=1)]
            numbers = np.arange(rows + 1, rows + 1 + len(labels))
            columns = {"row": numbers, "prediction": labels, "score": probabilities[:, 1]}
            table = pa.table(columns)
            writer = writer or pq.ParquetWriter(target, table.schema, compression="zstd")
            writer.write_table(table)
            rows += len(labels)
    if writer:
        writer.close()
    print(json.dumps({"rows_a_second": rows / (time.perf_counter() - started)}))


def load(folder: Path, peer: str) -> "Callable[[pd.DataFrame], np.ndarray[Any, Any]]":
    """What gives probabilities."""
    if peer == "sklearn":
        import joblib

        return joblib.load(folder / "pipeline.joblib").predict_proba
    import mlflow

    model = mlflow.pyfunc.load_model(str(folder / "mlflow"))
    return lambda frame: np.asarray(model.predict(frame))


def compare(folder: Path) -> float:
    """The largest difference of the scores in the rows that all have scored; inf for a label."""
    import pyarrow.parquet as pq

    ours = pq.read_table(folder / "ours.parquet", columns=["prediction", "score"])
    largest = 0.0
    for peer in ("sklearn", "pyfunc"):
        theirs = pq.read_table(folder / f"{peer}.parquet")
        part = ours.slice(0, theirs.num_rows)
        if part["prediction"].to_pylist() != theirs["prediction"].to_pylist():
            return float("inf")
        difference = np.abs(part["score"].to_numpy() - theirs["score"].to_numpy())
        largest = max(largest, float(difference.max()))
    return largest


if __name__ == "__main__":
    sys.exit(main())
