"""Batch inference: score rows with the champion and write them to the predictions table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from goldpath.compiled.encoded import EncodedModel
from goldpath.compiled.scorer import CompiledModel
from goldpath.contract import EVENT_TIME, Contract
from goldpath.errors import CheckFailedError, NothingToDoError
from goldpath.features.window.learned import names_in
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.answer_fields import require_answers
from goldpath.jobs.batch.answer_columns import answer_columns, require_free_names
from goldpath.jobs.batch.days import Days, day_names, empty_days, replace_days, rows_of_days
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
from goldpath.lake.lakehouse import LakehouseError, Partitions, Snapshot
from goldpath.lake.tables import (
    SHARD,
    TRAINING_ROW,
    gold_table,
    prediction_shards_table,
    predictions_table,
)
from goldpath.learning.decision.fields import fields_of
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.privacy.suppression import SuppressionList
from goldpath.quality.checks import number_rows
from goldpath.quality.file_rows import FileRows, divide_file, say_reasons
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.serving.answers.own_fields import AnswerField, answer_fields
from goldpath.settings import Settings
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.read import list_parts, read_raw, whole_digest

if TYPE_CHECKING:
    import ibis
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
        run_id: Rows of this run carry it; scoring again with it replaces them. Of days: the days,
            and each row carries its own.
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
    settings: Settings,
    contract: Contract,
    data: Path | None = None,
    run_id: str | None = None,
    days: Days | None = None,
) -> BatchResult:
    """Score a file, the whole gold table, or some days of it, with the champion.

    Args:
        settings: Where lake and registry are.
        contract: What a row is.
        data: CSV, Parquet or JSON lines: a file, a folder or a glob; the gold table where not
            given.
        run_id: Name of this run; made from the data and the model where not given, so that the
            same call twice changes nothing.
        days: Score gold's rows of these days, in place of what the table has of them.

    Raises:
        RegistryError: If there is no champion.
        CheckFailedError: If the contract refuses every row.
        ContractError: If there are days, and rows have no time; or a column clashes with one that
            the predictions table adds.
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
        days=days,
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
        ContractError: If there are days, and rows have no time.
        NothingToDoError: If there is no row to score.
    """
    step("load: reading the rows")
    settings, contract, lakehouse = work.settings, work.contract, work.lakehouse
    if work.data is None:
        snapshot = _gold(work)
        source, digest = str(gold_table(contract)), str(snapshot.snapshot_id)
        if work.days is not None:
            return _with_rows_of_days(work, work.days, snapshot)
        held = lakehouse.read(gold_table(contract), snapshot.snapshot_id)
        rows = lakehouse.collect(_of_shard(work, held))
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


def _with_rows_of_days(work: BatchWork, days: Days, gold: Snapshot) -> BatchWork:
    """The work with gold's rows of the days.

    Raises:
        NothingToDoError: If they have none; what was predicted for them before is removed then.
    """
    held = rows_of_days(work.lakehouse, work.contract, days, gold.snapshot_id)
    rows = work.lakehouse.collect(_of_shard(work, held))
    if rows.num_rows == 0:
        emptied = empty_days(work.lakehouse, work.contract, days)
        former = f"; the predictions of {', '.join(emptied)} are removed" if emptied else ""
        raise NothingToDoError(
            f"{gold.table} has no rows from {days.start} until {days.end}{former}",
            "choose other days, or run: make data",
        )
    return replace(work, rows=rows, source=str(gold.table), run_id=str(days))


def _gold(work: BatchWork) -> Snapshot:
    """Gold's current snapshot; of a shard, the one that its plan names.

    Raises:
        LakehouseError: If there is none, or it was expired since.
    """
    if work.shard is None:
        return gold_snapshot(work.lakehouse, work.contract)
    planned, table = work.shard.plan.snapshot_id, gold_table(work.contract)
    for snapshot in work.lakehouse.snapshots(table):
        if snapshot.snapshot_id == planned:
            return snapshot
    raise LakehouseError(
        f"{table} has lost snapshot {planned}, which {work.shard.plan.run_id} was planned on",
        "plan the run again: batch plan",
    )


def _of_shard(work: BatchWork, rows: "ibis.Table") -> "ibis.Table":
    if work.shard is None:
        return rows
    return rows.filter(work.shard.shard.holds(rows, work.contract))


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
            f"{shown} says why of each; correct the file, or {work.contract.file} and train again",
        )
    return replace(work, refused_rows=count, refused_reasons=reasons, refused_file=shown)


def score_rows(work: BatchWork) -> BatchWork:
    """Score the rows with the champion, and compute the project's answer fields.

    Raises:
        ContractError: If a column clashes with one that the predictions table adds.
        ProjectDefinitionError: If an answer field cannot be used.
        AnswerFieldError: If one fails; names it, its file and the line.
    """
    import pyarrow as pa

    require_free_names(work.contract)
    rows = _table(work.rows, "load_rows")
    step(f"predict: {rows.num_rows} rows with version {work.champion.version}")
    model = work.manager.load_for_serving(work.champion)
    rows = _with_windows(work, rows, model.contract)
    fields = answer_fields(work.settings.project.own_answer_fields)
    require_answers(fields, work.contract, model.contract)
    names = pa.repeat(work.run_id, rows.num_rows) if work.days is None else day_names(rows)
    scored = _score(rows, work.contract, model, work.champion, names, fields)
    shard = work.shard.shard if work.shard else None
    known = training_rows(rows, work.contract, work.lakehouse, work.champion, shard)
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
        if gold_holds_windows(work.lakehouse, model, learned, _gold(work)):
            return rows
    step(f"windows: what the sources say of {rows.num_rows} rows at their times")
    return table_with_windows(work.lakehouse, rows, model)


def store_predictions(work: BatchWork) -> BatchWork:
    """Write the scored rows to the predictions table, in place of those of the same run or days.

    Those of a shard wait in a table of their own, until the run is complete.
    """
    scored = _table(work.scored, "score_rows")
    if work.shard is not None:
        step(f"store: writing shard {work.shard.shard}")
        named = scored.append_column(SHARD, [[work.shard.key] * scored.num_rows])
        own = Partitions(SHARD, (work.shard.key,))
        work.lakehouse.overwrite(prediction_shards_table(work.contract), named, own)
        return work
    step("store: writing the predictions table")
    if work.days is not None:
        with work.lakehouse.staged(scored) as rows:
            replace_days(work.lakehouse, work.contract, work.days, rows)
        return work
    run = Partitions("run_id", (work.run_id,))
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
    run_ids: "pa.Array",
    fields: Sequence[AnswerField],
) -> "pa.Table":
    import pyarrow as pa

    predictions = model.predict(rows)
    time = [EVENT_TIME] if contract.has_time else []
    looked_up = names_in(model.contract)
    table = rows.select([contract.entity_column, *time, *contract.feature_names, *looked_up])
    count = rows.num_rows
    kind = pa.float64() if contract.problem == "regression" else pa.string()
    now = datetime.now(UTC).replace(tzinfo=None)
    beside = fields_of(model.contract)
    # A row's level is its version's.
    shown = [name for name in beside.names if name != "interval"]
    held = {name.lower() for name in table.column_names}  # DuckDB takes both cases for one column
    if taken := [name for name in shown if name in held]:
        step(f"the predictions table has no {' and '.join(shown)}: {taken[0]} is a feature")
        shown = []
    columns = beside.of_rows(predictions.values, predictions.scores, predictions.lines)
    decided = dict(zip(beside.names, columns, strict=True))
    for name, column in (
        ("prediction", pa.array(predictions.values, kind)),
        ("score", pa.array(predictions.scores, pa.float64())),
        *(
            (name, pa.array(decided[name], pa.string() if name == "decision" else pa.float64()))
            for name in shown
        ),
        ("model_version", pa.array([champion.version] * count, pa.string())),
        ("run_id", run_ids),
        ("predicted_at", pa.array([now] * count, pa.timestamp("us"))),
    ):
        table = table.append_column(name, column)
    for name, column in answer_columns(fields, rows, predictions, model.contract, champion.version):
        table = table.append_column(name, column)
    return table
