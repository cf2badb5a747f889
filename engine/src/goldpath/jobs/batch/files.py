"""Batch inference from Parquet to Parquet: a file of any size, at the speed of both cores.

The rows stream: while this thread reads and writes, others check and score what was read before.
No more than a few chunks are in memory. The answer is a row for each row of the source, in its
order, to the last bit what the service answers; a row that the contract refuses has no prediction
and says why. The file appears under its name when it is whole; a run that was killed leaves nothing
there, and the next one starts from the beginning.
"""

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.errors import CheckFailedError, NothingToDoError
from goldpath.jobs.batch.file_checks import require_usable
from goldpath.jobs.batch.file_scorer import BatchScorer, Totals
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse
from goldpath.learning.threads import usable_cores
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.privacy.suppression import SuppressionList
from goldpath.quality.file_rows import say_reasons
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.settings import Settings
from goldpath.sources.files import SourceError, find_files

if TYPE_CHECKING:
    import pyarrow as pa

    from goldpath.jobs.batch.file_windows import FileWindows

ROWS_A_CHUNK = 1 << 16
READ_BYTES = 1 << 20
CHUNKS_WAITING = 2
"""For each thread; more would only fill the memory."""


@dataclass(frozen=True)
class FileScores:
    """What was scored and where it is.

    Attributes:
        source: The files.
        rows: Rows with a prediction.
        refused_rows: Rows that do not fulfil the contract; the file says why.
        refused_reasons: How many of them for each reason, the commonest first.
        file: The Parquet file with the predictions.
        model_version: The champion.
        engine: `kernel` or `numpy` (compiled), or `pipeline`.
        mean_score: Mean of the scores.
        rows_a_second: From the first row read to the file at its place.
    """

    source: str
    rows: int
    refused_rows: int
    refused_reasons: Mapping[str, int]
    file: str
    model_version: str
    engine: str
    mean_score: float
    rows_a_second: int


@uses_rows
def predict_file(settings: Settings, contract: Contract, data: Path, out: Path) -> FileScores:
    """Score Parquet files into a Parquet file.

    Args:
        settings: Where lake and registry are.
        contract: What a row is.
        data: A Parquet file, a folder of them or a glob.
        out: The file to write; one that is there is replaced when the new one is whole.

    Raises:
        RegistryError: If there is no champion.
        CheckFailedError: If the contract refuses every row; the file says why.
        SourceError: If a file is not Parquet, or a column is missing or of another type; for a
            champion with window features also the entity's and the time's.
        NothingToDoError: If there is no row.
    """
    if settings.project.definitions.batch:
        step("the project's own steps of a batch are for the predictions table; --out has none")
    if settings.project.own_answer_fields:
        step("the project's answer fields are for the predictions table; --out has none")
    step("load: the champion and the files")
    files = [file for _, file in find_files(str(data.resolve()), settings.root)]
    require_usable(files, out, settings)
    manager = MLflowManager(settings, contract)
    champion = manager.champion_version()
    if champion is None:
        raise RegistryError(
            f"{contract.model_name} has no champion to score with", "make train-local"
        )
    model = manager.load_for_serving(champion)
    lakehouse = open_lakehouse(settings)
    forgotten = SuppressionList(lakehouse, settings, contract).load()
    scorer = BatchScorer(model, contract, champion.version, forgotten)
    windows = _windows(lakehouse, contract, model.contract)
    step(f"predict: {settings.shown(data)} with version {champion.version}")
    started = time.perf_counter()
    totals = score_files(scorer, files, out, settings, windows)
    reasons = dict(totals.reasons.most_common())
    if totals.rows + totals.refused == 0:
        raise NothingToDoError(f"{settings.shown(data)} has no rows", "check the file")
    if totals.rows == 0:
        raise CheckFailedError(
            f"the contract refuses all {totals.refused:,} rows of {settings.shown(data)}: "
            f"{say_reasons(reasons)}",
            f"{settings.shown(out)} says why of each; correct the file, or {contract.file} and "
            "train again",
        )
    return FileScores(
        source=settings.shown(data),
        rows=totals.rows,
        refused_rows=totals.refused,
        refused_reasons=reasons,
        file=settings.shown(out),
        model_version=champion.version,
        engine=getattr(model, "engine", "pipeline"),
        mean_score=totals.score / totals.rows if totals.rows else 0.0,
        rows_a_second=round((totals.rows + totals.refused) / (time.perf_counter() - started)),
    )


def _windows(lakehouse: Lakehouse, contract: Contract, model: Contract) -> "FileWindows | None":
    if not model.window_features:
        return None
    from goldpath.jobs.batch.file_windows import FileWindows

    step("windows: what the sources say of each row at its time")
    return FileWindows(lakehouse, contract, model)


def score_files(
    scorer: BatchScorer,
    files: list[Path],
    out: Path,
    settings: Settings | None = None,
    windows: "FileWindows | None" = None,
) -> Totals:
    """Read, score and write, all at the same time.

    Args:
        scorer: Scores a chunk.
        files: Parquet files, in their order.
        out: The file to write.
        settings: Shortens the files' names in messages.
        windows: Completes the rows, where the model has window features.

    Raises:
        SourceError: If a column is missing or of another type, or a file is damaged.
    """
    import pyarrow.parquet as pq

    from goldpath.quality.typed_rows import require_types

    shown = settings.shown if settings else str
    for file in files:
        schema = _schema(file, shown(file))
        require_types(schema, scorer.contract, shown(file))
        if windows is not None:
            windows.require_columns(schema, shown(file))
    threads = usable_cores()
    totals, waiting = Totals(), deque[Future[tuple["pa.RecordBatch", Totals]]]()
    with (
        _whole_file(out) as part,
        pq.ParquetWriter(part, scorer.schema, compression="zstd", compression_level=1) as writer,
        ThreadPoolExecutor(threads, thread_name_prefix="batch") as pool,
    ):

        def write_next() -> None:
            batch, counted = waiting.popleft().result()
            writer.write_batch(batch)
            totals.rows += counted.rows
            totals.refused += counted.refused
            totals.score += counted.score
            totals.reasons += counted.reasons

        first, read = (
            0,
            dict.fromkeys([*scorer.read_columns, *(windows.columns if windows else ())]),
        )
        chunks = _chunks(files, scorer, list(read))
        for chunk in windows.complete(chunks) if windows else chunks:
            waiting.append(pool.submit(scorer.score, chunk, first))
            first += chunk.num_rows
            if len(waiting) > CHUNKS_WAITING * threads:
                write_next()
        while waiting:
            write_next()
    return totals


def _schema(file: Path, shown: str) -> "pa.Schema":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file)
    except (OSError, pa.ArrowException) as error:
        raise SourceError(
            f"{shown} cannot be read as Parquet: {str(error).splitlines()[0]}", "write it again"
        ) from error


def _chunks(
    files: list[Path], scorer: BatchScorer, columns: list[str]
) -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in files:
        # Without pre-buffering: a row group of gigabytes is read piece by piece, too.
        with pq.ParquetFile(
            file,
            pre_buffer=False,
            buffer_size=READ_BYTES,
            read_dictionary=scorer.contract.category_features,
        ) as parquet:
            names = [n for n in columns if n in parquet.schema_arrow.names]
            try:
                yield from parquet.iter_batches(ROWS_A_CHUNK, columns=names)
            except (OSError, pa.ArrowException) as error:
                raise SourceError(
                    f"{file.name} is damaged: {str(error).splitlines()[0]}", "write it again"
                ) from error


@contextmanager
def _whole_file(out: Path) -> Iterator[Path]:
    """A hidden file beside the wanted one, which takes its place when all is written."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(f".{out.name}.*.part"):
        owner = left.name.removesuffix(".part").rpartition(".")[2]
        if not Path(f"/proc/{owner}").exists():  # of a run that was killed
            left.unlink(missing_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
