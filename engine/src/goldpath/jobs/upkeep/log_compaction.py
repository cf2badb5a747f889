"""`logs compact`: the sealed segments of the service's logs become rows of the lake.

A segment is deleted only after the commit that holds its lines, and a line whose id the table has
already is not added again. So a run may be killed at any moment: the next one loses nothing and
doubles nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, TYPE_CHECKING

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.jobs.upkeep.log_rows import Rows, feedback_rows, prediction_rows
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, Partitions, TableName
from goldpath.lake.tables import DAY, feedback_table, served_table
from goldpath.presentation import step
from goldpath.privacy.erasure import uses_rows
from goldpath.serving.log.segments import ask_to_seal, sealed, segments, sync_folder
from goldpath.serving.log.shipping import unshipped
from goldpath.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

BYTES_A_COMMIT = 64 << 20
# Writers look once a second.
SEAL_SECONDS = 5.0


class LogError(ProjectError):
    """The service's logs cannot be read or moved."""


@dataclass(frozen=True)
class CompactionResult:
    """What was moved into the lake.

    Attributes:
        predictions: Predictions that the table did not have yet.
        labels: Labels that the table did not have yet.
        segments: Segments that were moved and deleted.
        torn_lines: Lines that a crash or a full disk tore; no client has an answer for them.
        open_segments: Segments that are still written to, or in another run's hands.
        waiting_segments: Sealed segments that the stream does not have yet; they stay.
        expired_days: Days that were older than `prediction_log.retention_days`; their rows left the
            tables.
        table: The table of the predictions.
    """

    predictions: int
    labels: int
    segments: int
    torn_lines: int
    open_segments: int
    waiting_segments: int
    expired_days: int
    table: str


@dataclass
class _Log:
    """One log, and what was done with it so far."""

    folder: Path
    table: TableName
    waiting: frozenset[str] = frozenset()
    rows: int = 0
    segments: int = 0
    torn: int = 0
    open: int = 0
    kept: int = 0


@uses_rows
def compact_logs(settings: Settings, contract: Contract, *, seal: bool = True) -> CompactionResult:
    """Move every sealed segment of the prediction log and of the labels into the lake.

    Args:
        settings: Where the logs and the lake are.
        contract: Types the columns.
        seal: Ask a running service first to seal what it writes to.

    Raises:
        LogError: If the logs cannot be read or deleted.
        LakehouseError: If the lake cannot be written; the segments stay then.
    """
    lakehouse = open_lakehouse(settings)
    folder = settings.root / settings.serving.prediction_log
    waiting = unshipped(folder) if settings.prediction_log.stream != "none" else frozenset()
    predictions = _Log(folder, served_table(contract), waiting)
    labels = _Log(settings.root / settings.prediction_log.feedback, feedback_table(contract))
    try:
        for log in (predictions, labels) if seal else ():
            ask_to_seal(log.folder, SEAL_SECONDS)
        _compact(lakehouse, predictions, lambda: _prediction_rows(lakehouse, contract))
        _compact(lakehouse, labels, lambda: feedback_rows(contract))
    except OSError as error:
        raise LogError(
            f"the segments in {settings.shown(folder)} cannot be moved: {error}",
            "make the folder writable, on a file system with locks (flock), and run it again",
        ) from error
    both = (predictions, labels)
    expired = {day for log in both for day in _expire(settings, lakehouse, log.table)}
    return CompactionResult(
        predictions=predictions.rows,
        labels=labels.rows,
        segments=sum(log.segments for log in both),
        torn_lines=sum(log.torn for log in both),
        open_segments=sum(log.open for log in both),
        waiting_segments=predictions.kept,
        expired_days=len(expired),
        table=str(predictions.table),
    )


def _expire(settings: Settings, lakehouse: Lakehouse, table: TableName) -> list[str]:
    """Remove what is too old; `data maintain` deletes its files with the snapshots that held it."""
    days = settings.prediction_log.retention_days
    if not days or not lakehouse.exists(table):
        return []
    oldest = (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
    rows = lakehouse.read(table)
    found = lakehouse.collect(rows.filter(rows[DAY] < oldest).select(DAY).distinct())
    expired = sorted(found[DAY].to_pylist())
    if expired:
        lakehouse.delete(table, DAY, expired)
    return expired


def _prediction_rows(lakehouse: Lakehouse, contract: Contract) -> Rows:
    table = served_table(contract)
    held = lakehouse.read(table).schema() if lakehouse.exists(table) else None
    return prediction_rows(contract, held)


def _compact(lakehouse: Lakehouse, log: _Log, new_rows: Callable[[], Rows]) -> None:
    """Commit group by group; a segment's lock is held from its first line to its deletion."""
    files = iter(segments(log.folder))
    while True:
        with ExitStack() as held:
            group: list[Path] = []
            rows = new_rows()
            size = 0
            for file, content in _sealed_segments(log, files, held):
                for line in content:
                    rows.add(line)
                size += content.tell()
                group.append(file)
                if size >= BYTES_A_COMMIT:
                    break
            if not group:
                return
            step(f"{log.table}: {len(group)} segments")
            log.rows += _commit(lakehouse, log.table, rows)
            for file in group:
                file.unlink(missing_ok=True)
            sync_folder(log.folder)
            log.segments += len(group)
            log.torn += rows.torn


def _sealed_segments(
    log: _Log, files: Iterator[Path], held: ExitStack
) -> Iterator[tuple[Path, IO[bytes]]]:
    for file in files:
        content = held.enter_context(sealed(file))
        if content is None:
            log.open += file.exists()
        elif file.name in log.waiting:
            log.kept += 1
        else:
            yield file, content


def _commit(lakehouse: Lakehouse, table: TableName, rows: Rows) -> int:
    """Add the rows whose ids the table lacks, in one commit."""
    import pyarrow.compute as pc

    new: pa.Table = rows.table()
    if new.num_rows and lakehouse.exists(table):
        days = Partitions(DAY, tuple(sorted(rows.days)))
        held = lakehouse.read(table, partitions=days).select(rows.key)
        with lakehouse.staged(new.select([rows.key])) as staged:
            known = lakehouse.collect(staged.inner_join(held, rows.key).select(rows.key))
        new = new.filter(pc.invert(pc.is_in(new[rows.key], known[rows.key].combine_chunks())))
    if new.num_rows:
        lakehouse.append(table, new, DAY)
    return int(new.num_rows)
