"""What the service predicted, wherever it is by now: in its segments, or in the lake.

Segments are read before the lake. What is moved meanwhile is then read twice, and counted once, by
its id; the other way round it could be missed.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from goldpath.contract import Contract
from goldpath.jobs.upkeep.log_rows import (
    FEEDBACK_KEY,
    PREDICTION_KEY,
    Rows,
    feedback_rows,
    prediction_rows,
)
from goldpath.lake.lakehouse import Lakehouse, TableName
from goldpath.lake.tables import DAY, LINE, feedback_table, served_table
from goldpath.serving.log.segments import segments
from goldpath.serving.prediction_log import read_log
from goldpath.settings import Settings

PREDICTION_COLUMNS = (PREDICTION_KEY, DAY, "model_version", "prediction", "score")
LABEL_COLUMNS = (FEEDBACK_KEY, PREDICTION_KEY, "label", "known_at", "received_at")


def newest_predictions(
    settings: Settings, contract: Contract, lakehouse: Lakehouse, limit: int, version: str
) -> list[dict[str, Any]]:
    """The newest predictions of a version, the newest first.

    Args:
        settings: Where log and lake are.
        contract: Names the features.
        lakehouse: The lake.
        limit: How many to give at most.
        version: The model's version.

    Returns:
        Dictionaries with `at`, `features`, `prediction` and `score`.
    """
    folder = settings.root / settings.serving.prediction_log
    found = {
        row[PREDICTION_KEY]: row
        for row in read_log(folder, limit, version)
        if isinstance(row.get(PREDICTION_KEY), str)
    }
    table = served_table(contract)
    if len(found) < limit and lakehouse.exists(table):
        rows = lakehouse.read(table)
        rows = rows.filter(rows.model_version == version)
        newest = rows.order_by(rows.predicted_at.desc()).limit(limit)
        for row in lakehouse.collect(newest).to_pylist():
            found.setdefault(row[PREDICTION_KEY], _entry(contract, row))
    newest_first = sorted(found.values(), key=lambda row: str(row["at"]), reverse=True)
    return newest_first[:limit]


def _entry(contract: Contract, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "at": row["predicted_at"].replace(tzinfo=UTC).isoformat(),
        "features": _features(contract, row),
        "prediction": row["prediction"],
        "score": row["score"],
    }


def _features(contract: Contract, row: dict[str, Any]) -> dict[str, Any]:
    if row[LINE] is not None:
        features: dict[str, Any] = json.loads(row[LINE])["features"]
        return features
    return {name: row[name] for name in contract.feature_names if name in row}


@dataclass(frozen=True)
class Judged:
    """What is known of the service's predictions since a day.

    Attributes:
        counts: How many there are, by version and day.
        labelled: Those with a label: prediction_id, _day, model_version, prediction, score.
        labels: The labels that came since: prediction_id, label, known_at, received_at.
    """

    counts: dict[tuple[str, str], int]
    labelled: pa.Table
    labels: pa.Table


def judged_since(
    settings: Settings, contract: Contract, lakehouse: Lakehouse, since: datetime
) -> Judged:
    """Predictions and labels since a day, each counted once.

    A prediction that has no label stays where it is: it is counted there.
    """
    first = since.date().isoformat()
    live = _live(settings.root / settings.serving.prediction_log, prediction_rows(contract), first)
    live = live.select(list(PREDICTION_COLUMNS))
    new = _live(settings.root / settings.prediction_log.feedback, feedback_rows(contract), first)
    labels = _with_moved_labels(lakehouse, feedback_table(contract), new, first)
    ids = pa.table({PREDICTION_KEY: pc.unique(labels[PREDICTION_KEY])})
    counts: Counter[tuple[str, str]] = Counter()
    table = served_table(contract)
    if lakehouse.exists(table):
        rows = lakehouse.read(table)
        rows = rows.filter(rows[DAY] >= first)
        per_day = rows.group_by(["model_version", DAY]).agg(predictions=rows.count())
        for row in lakehouse.collect(per_day).to_pylist():
            counts[row["model_version"], row[DAY]] += row["predictions"]
        rows = rows.select(*PREDICTION_COLUMNS)
        with lakehouse.staged(live.select([PREDICTION_KEY])) as staged:
            twice = lakehouse.collect(
                staged.inner_join(rows.select(PREDICTION_KEY), PREDICTION_KEY)
            )
        live = live.filter(_is_not_in(live, twice, PREDICTION_KEY))
        with lakehouse.staged(ids) as staged:
            matched = lakehouse.collect(
                rows.inner_join(staged, PREDICTION_KEY).select(*PREDICTION_COLUMNS)
            )
    else:
        matched = live.slice(0, 0)
    counts.update(zip(live["model_version"].to_pylist(), live[DAY].to_pylist(), strict=True))
    labelled = live.filter(pc.is_in(live[PREDICTION_KEY], ids[PREDICTION_KEY].combine_chunks()))
    both = pa.concat_tables([matched.cast(live.schema), labelled])
    return Judged(dict(counts), both, labels)


def _with_moved_labels(
    lakehouse: Lakehouse, table: TableName, live: pa.Table, first: str
) -> pa.Table:
    live = live.select(list(LABEL_COLUMNS))
    if not lakehouse.exists(table):
        return live
    held = lakehouse.read(table)
    moved = lakehouse.collect(held.filter(held[DAY] >= first).select(*LABEL_COLUMNS))
    live = live.filter(_is_not_in(live, moved, FEEDBACK_KEY))
    return pa.concat_tables([moved.cast(live.schema), live])


def _is_not_in(rows: pa.Table, others: pa.Table, key: str) -> pa.ChunkedArray:
    return pc.invert(pc.is_in(rows[key], others[key].combine_chunks().cast(pa.string())))


def _live(folder: Path, rows: Rows, first: str) -> pa.Table:
    """The rows of the segments since a day."""
    for line in _lines(folder):
        rows.add(line)
    found = rows.table()
    return found.filter(pc.greater_equal(found[DAY], first))


def _lines(folder: Path) -> Iterable[bytes]:
    for file in segments(folder):
        try:
            with file.open("rb") as content:
                yield from content
        except FileNotFoundError:
            continue  # it was moved into the lake, which is read after this
