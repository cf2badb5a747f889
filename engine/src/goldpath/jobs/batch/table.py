"""Batch inference: score rows with the champion and write them to the predictions table."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from goldpath.compiled.encoded import EncodedModel
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import NothingToDoError
from goldpath.jobs.data.recipes import clean_file
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.lake.lakehouse import Partitions
from goldpath.lake.tables import gold_table, predictions_table
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.privacy.suppression import SuppressionList
from goldpath.quality.checks import typed_frame
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.settings import Settings
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.read import list_parts, read_raw, whole_digest

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class BatchResult:
    """What was scored and where it is.

    Attributes:
        source: The file or the table that was scored.
        rows: Rows with a prediction.
        refused_rows: Rows of a file that do not fulfil the contract.
        table: The predictions table.
        run_id: Rows of this run carry it; scoring again with it replaces them.
        model_version: The champion.
        mean_score: Mean of the scores.
    """

    source: str
    rows: int
    refused_rows: int
    table: str
    run_id: str
    model_version: str
    mean_score: float


@uses_rows
def predict_batch(
    settings: Settings, contract: Contract, data: Path | None = None, run_id: str | None = None
) -> BatchResult:
    """Score a file, or the whole gold table, with the champion.

    Args:
        settings: Where lake and registry are.
        contract: What a row is.
        data: CSV, Parquet or JSON lines: a file, a folder or a glob; the gold table where not
            given.
        run_id: Name of this run; made from the data and the model where not given, so that the
            same call twice changes nothing.

    Raises:
        RegistryError: If there is no champion.
        NothingToDoError: If there is no row to score.
    """
    lakehouse = open_lakehouse(settings)
    manager = MLflowManager(settings, contract)
    champion = manager.champion_version()
    if champion is None:
        raise RegistryError(
            f"{contract.model_name} has no champion to score with", "make train-local"
        )

    step("load: reading the rows")
    if data is None:
        snapshot = gold_snapshot(lakehouse, contract)
        rows = lakehouse.collect(lakehouse.read(gold_table(contract), snapshot.snapshot_id))
        source, refused, digest = str(gold_table(contract)), 0, str(snapshot.snapshot_id)
    else:
        found = detect_dialect(data.resolve())
        suppression = SuppressionList(lakehouse, settings, contract).load()
        raw = suppression.keep_all(read_raw(found, settings.root))
        rows = typed_frame(raw, contract, clean_file(contract, settings.project.recipes))
        source = settings.shown(data)
        digest = whole_digest(list_parts(found, settings.root))
        refused = raw.num_rows - rows.num_rows
    if rows.num_rows == 0:
        raise NothingToDoError(
            f"{source} has no row that fulfils the contract", "check the file, or run: make data"
        )

    step(f"predict: {rows.num_rows} rows with version {champion.version}")
    key = run_id or f"{digest}-v{champion.version}"
    scored = _score(rows, contract, manager.load_for_serving(champion), champion, key)
    step("store: writing the predictions table")
    lakehouse.overwrite(predictions_table(contract), scored, Partitions("run_id", (key,)))
    return BatchResult(
        source=source,
        rows=rows.num_rows,
        refused_rows=refused,
        table=str(predictions_table(contract)),
        run_id=key,
        model_version=champion.version,
        mean_score=sum(scored["score"].to_pylist()) / rows.num_rows,
    )


def _score(
    rows: "pa.Table",
    contract: Contract,
    model: CompiledModel | EncodedModel | LoadedModel,
    champion: ModelVersion,
    run_id: str,
) -> "pa.Table":
    import pyarrow as pa

    predictions = model.predict(rows)
    time = [EVENT_TIME] if contract.has_time else []
    table = rows.select([contract.entity_column, *time, *contract.feature_names])
    count = rows.num_rows
    kind = pa.string() if contract.problem == "classification" else pa.float64()
    now = datetime.now(UTC).replace(tzinfo=None)
    for name, column in (
        ("prediction", pa.array(predictions.values, kind)),
        ("score", pa.array(predictions.scores, pa.float64())),
        ("model_version", pa.array([champion.version] * count, pa.string())),
        ("run_id", pa.array([run_id] * count, pa.string())),
        ("predicted_at", pa.array([now] * count, pa.timestamp("us"))),
    ):
        table = table.append_column(name, column)
    return table
