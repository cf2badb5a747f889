"""The labels of a person's predictions: they carry the prediction's id, and no other name."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goldpath.contract import Contract
from goldpath.jobs.upkeep.log_rows import PREDICTION_KEY
from goldpath.lake.lakehouse import Lakehouse, Snapshot
from goldpath.lake.tables import feedback_table, served_table
from goldpath.privacy.person_rows import rows_of
from goldpath.serving.log.erasure import blank_lines, lines_of
from goldpath.serving.log.segments import segments
from goldpath.settings import Settings

_PREDICTION = re.compile(rb'"prediction_id": "([^"]*)')


@dataclass(frozen=True)
class PersonFeedback:
    """Labels of a person's predictions.

    Attributes:
        predictions: The ids of the person's predictions, in the log and in the lake.
        lines: Labels that are not in the lake yet.
        rows: Labels in the lake.
        snapshots: The snapshots that hold such rows.
    """

    predictions: frozenset[str]
    lines: int
    rows: int
    snapshots: tuple[Snapshot, ...]

    @property
    def count(self) -> int:
        """Labels, wherever they are."""
        return self.lines + self.rows


def find_feedback(
    settings: Settings, contract: Contract, lakehouse: Lakehouse, entity: str
) -> PersonFeedback:
    """Look for the labels of a person's predictions."""
    ids = _prediction_ids(settings, contract, lakehouse, entity)
    table = feedback_table(contract)
    rows, snapshots = 0, []
    if ids and lakehouse.exists(table):
        rows = _count(lakehouse, contract, ids)
        snapshots = [
            found
            for found in lakehouse.snapshots(table)
            if found.rows and _count(lakehouse, contract, ids, found.snapshot_id)
        ]
    folder = settings.root / settings.prediction_log.feedback
    return PersonFeedback(ids, _count_lines(folder, ids), rows, tuple(snapshots))


def labels_of(
    settings: Settings, contract: Contract, lakehouse: Lakehouse, entity: str
) -> list[dict[str, Any]]:
    """The labels of a person's predictions, for the person."""
    ids = _prediction_ids(settings, contract, lakehouse, entity)
    folder = settings.root / settings.prediction_log.feedback
    found = [
        json.loads(line)
        for file in segments(folder)
        for line in file.read_bytes().splitlines()
        if line.endswith(b"}") and _prediction_in(line, ids)
    ]
    table = feedback_table(contract)
    if ids and lakehouse.exists(table):
        rows = lakehouse.read(table)
        found += lakehouse.collect(rows.filter(rows[PREDICTION_KEY].isin(sorted(ids)))).to_pylist()
    return found


def erase_feedback(
    settings: Settings, contract: Contract, lakehouse: Lakehouse, held: PersonFeedback
) -> None:
    """Take the labels out of the segments, the table and its snapshots.

    Before the predictions go: they are how a killed erasure finds the labels again.
    """
    folder = settings.root / settings.prediction_log.feedback
    blank_lines(folder, lambda line: _prediction_in(line, held.predictions))
    table = feedback_table(contract)
    if held.rows:
        lakehouse.delete(table, PREDICTION_KEY, sorted(held.predictions))
    if held.snapshots:
        current = lakehouse.snapshot(table)
        lakehouse.purge(
            table,
            [
                found.snapshot_id
                for found in held.snapshots
                if current is None or found.snapshot_id != current.snapshot_id
            ],
        )


def _prediction_ids(
    settings: Settings, contract: Contract, lakehouse: Lakehouse, entity: str
) -> frozenset[str]:
    folder = settings.root / settings.serving.prediction_log
    ids = {str(line["prediction_id"]) for line in lines_of(folder, entity)}
    table = served_table(contract)
    if lakehouse.exists(table) and contract.entity_column in lakehouse.read(table).columns:
        rows = rows_of(lakehouse, table, contract.entity_column, entity).select(PREDICTION_KEY)
        ids.update(lakehouse.collect(rows)[PREDICTION_KEY].to_pylist())
    return frozenset(ids)


def _count(
    lakehouse: Lakehouse, contract: Contract, ids: frozenset[str], snapshot_id: int | None = None
) -> int:
    rows = lakehouse.read(feedback_table(contract), snapshot_id)
    found = rows.filter(rows[PREDICTION_KEY].isin(sorted(ids))).select(PREDICTION_KEY)
    return int(lakehouse.collect(found).num_rows)


def _count_lines(folder: Path, ids: frozenset[str]) -> int:
    return sum(
        _prediction_in(line, ids) is not None
        for file in segments(folder)
        for line in file.read_bytes().splitlines()
    )


def _prediction_in(line: bytes, ids: frozenset[str]) -> bytes | None:
    """The prediction's id as the line has it, where it is one of these; whole or torn."""
    found = _PREDICTION.search(line)
    return found[1] if found and found[1].decode("ascii", "replace") in ids else None
