"""Batch inference: score rows with the champion and write them to the predictions table."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from goldpath.compiled.encoded import EncodedModel
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import CheckFailedError, NothingToDoError
from goldpath.features.window.learned import names_in
from goldpath.jobs.batch.training_rows import training_rows
from goldpath.jobs.batch.work import BatchWork, run_steps
from goldpath.jobs.data.recipes import clean_file
from goldpath.jobs.windows.model_windows import (
    gold_holds_windows,
    project_contract,
    table_with_windows,
)
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.lake.lakehouse import Partitions
from goldpath.lake.tables import TRAINING_ROW, gold_table, predictions_table
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.privacy.suppression import SuppressionList
from goldpath.project import ProjectDefinitionError
from goldpath.quality.checks import number_rows
from goldpath.quality.file_rows import FileRows, divide_file, say_reasons
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.settings import Settings
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.read import list_parts, read_raw, whole_digest

if TYPE_CHECKING:
    import pyarrow as pa

REFUSED_FILE = "refused_rows.csv"


@dataclass(frozen=True)
class BatchResult:
    """What was scored and where it is.

    Attributes:
        source: The file or the table that was scored.
        rows: Rows with a prediction.
        refused_rows: Rows of a file that do not fulfil the contract.
        refused_reasons: How many of them for each reason, the commonest first.
        refused_file: A CSV file with the number of each of them and why; empty where there is none.
        table: The predictions table.
        run_id: Rows of this run carry it; scoring again with it replaces them.
        model_version: The champion.
        mean_score: Mean of the scores.
        training_rows: Rows that the champion was trained or judged on; drift checks pass over them.
    """

    source: str
    rows: int
    refused_rows: int
    refused_reasons: Mapping[str, int]
    refused_file: str
    table: str
    run_id: str
    model_version: str
    mean_score: float
    training_rows: int


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
        CheckFailedError: If the contract refuses every row.
        NothingToDoError: If there is no row to score.
    """
    manager = MLflowManager(settings, contract)
    champion = manager.champion_version()
    if champion is None:
        raise RegistryError(
            f"{contract.model_name} has no champion to score with", "make train-local"
        )
    begun = BatchWork(
        settings=settings,
        contract=contract,
        lakehouse=open_lakehouse(settings),
        manager=manager,
        champion=champion,
        data=data,
        run_id=run_id or "",
    )
    work = run_steps(begun, tuple(settings.project.definitions.batch), STEPS)
    scored = _table(work.scored, "score_rows")
    return BatchResult(
        source=work.source,
        rows=scored.num_rows,
        refused_rows=work.refused_rows,
        refused_reasons=work.refused_reasons,
        refused_file=work.refused_file,
        table=str(predictions_table(contract)),
        run_id=work.run_id,
        model_version=champion.version,
        mean_score=sum(scored["score"].to_pylist()) / scored.num_rows,
        training_rows=sum(scored[TRAINING_ROW].to_pylist()),
    )


def load_rows(work: BatchWork) -> BatchWork:
    """Read gold, or the rows of a file that fulfil the contract.

    Raises:
        CheckFailedError: If the contract refuses every row.
        NothingToDoError: If there is no row to score.
    """
    step("load: reading the rows")
    settings, contract, lakehouse = work.settings, work.contract, work.lakehouse
    if work.data is None:
        snapshot = gold_snapshot(lakehouse, contract)
        rows = lakehouse.collect(lakehouse.read(gold_table(contract), snapshot.snapshot_id))
        source, digest = str(gold_table(contract)), str(snapshot.snapshot_id)
    else:
        found = detect_dialect(work.data.resolve(), contract.source)
        suppression = SuppressionList(lakehouse, settings, contract).load()
        raw = suppression.keep_all(number_rows(read_raw(found, settings.root)))
        divided = divide_file(raw, contract, clean_file(contract, settings.project.recipes))
        source, rows = settings.shown(work.data), divided.typed
        digest = whole_digest(list_parts(found, settings.root))
        work = _say_refused(work, source, divided)
    if rows.num_rows == 0:
        raise NothingToDoError(f"{source} has no rows", "check the file, or run: make data")
    run_id = work.run_id or f"{digest}-v{work.champion.version}"
    return replace(work, rows=rows, source=source, run_id=run_id)


def _say_refused(work: BatchWork, source: str, divided: FileRows) -> BatchWork:
    """Write the refused rows to a file, and count them by their reasons.

    Raises:
        CheckFailedError: If no row is left to score.
    """
    from pyarrow import csv

    count, reasons = divided.refused.num_rows, divided.reasons
    file = work.settings.reports / REFUSED_FILE
    if not count:
        file.unlink(missing_ok=True)  # of an earlier run
        return work
    file.parent.mkdir(parents=True, exist_ok=True)
    csv.write_csv(divided.refused, file)
    shown = work.settings.shown(file)
    said = say_reasons(reasons)
    step(f"refused: {count:,} of {count + divided.typed.num_rows:,} rows: {said}; {shown}")
    if divided.typed.num_rows == 0:
        raise CheckFailedError(
            f"the contract refuses all {count:,} rows of {source}: {said}",
            f"{shown} says why of each; correct the file, or config/project.yaml and train again",
        )
    return replace(work, refused_rows=count, refused_reasons=reasons, refused_file=shown)


def score_rows(work: BatchWork) -> BatchWork:
    """Score the rows with the champion."""
    rows = _table(work.rows, "load_rows")
    step(f"predict: {rows.num_rows} rows with version {work.champion.version}")
    model = work.manager.load_for_serving(work.champion)
    rows = _with_windows(work, rows, model.contract)
    scored = _score(rows, work.contract, model, work.champion, work.run_id)
    known = training_rows(rows, work.contract, work.lakehouse, work.champion)
    return replace(work, scored=scored.append_column(TRAINING_ROW, [known.tolist()]))


def _with_windows(work: BatchWork, rows: "pa.Table", model: Contract) -> "pa.Table":
    """The rows with the window columns that the champion takes: gold's, where they are these.

    Raises:
        LakehouseError: If the rows lack entity or time.
    """
    if not model.window_features:
        return rows
    if work.data is None:
        learned = project_contract(work.settings, work.contract)
        snapshot = gold_snapshot(work.lakehouse, work.contract)
        if gold_holds_windows(work.lakehouse, model, learned, snapshot):
            return rows
    step(f"windows: what the sources say of {rows.num_rows} rows at their times")
    return table_with_windows(work.lakehouse, rows, model)


def store_predictions(work: BatchWork) -> BatchWork:
    """Write the scored rows to the predictions table, in place of those of the same run."""
    step("store: writing the predictions table")
    run = Partitions("run_id", (work.run_id,))
    scored = _table(work.scored, "score_rows")
    work.lakehouse.overwrite(predictions_table(work.contract), scored, run)
    return work


STEPS = (load_rows, score_rows, store_predictions)
"""The engine's steps of a batch inference, in order."""


def _table(rows: "pa.Table | None", needed: str) -> "pa.Table":
    if rows is None:
        raise ProjectDefinitionError(
            f"a step of Model(batch=…) took away what {needed} had left",
            "return dataclasses.replace(work, …), which keeps the rest",
        )
    return rows


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
    looked_up = names_in(model.contract)
    table = rows.select([contract.entity_column, *time, *contract.feature_names, *looked_up])
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
