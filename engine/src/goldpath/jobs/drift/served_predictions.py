"""What the service predicted, wherever it is by now: in its segments, or in the lake.

Segments are read before the lake. What is moved meanwhile is then read twice, and counted once, by
its id; the other way round it could be missed.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from goldpath.contract import Contract
from goldpath.jobs.upkeep.log_rows import (
    FEEDBACK_KEY,
    MOMENT,
    PREDICTION_KEY,
    Rows,
    feedback_rows,
    prediction_rows,
)
from goldpath.lake.lakehouse import Lakehouse, TableName
from goldpath.lake.tables import DAY, LINE, feedback_table, served_table
from goldpath.serving.log.segments import segments
from goldpath.settings import Settings

PREDICTION_COLUMNS = (PREDICTION_KEY, DAY, "model_version", "prediction", "score")
LABEL_COLUMNS = (FEEDBACK_KEY, PREDICTION_KEY, "label", "known_at", "received_at")


def predictions_since(
    settings: Settings, contract: Contract, lakehouse: Lakehouse, since: datetime, version: str
) -> pa.Table:
    """Every prediction of a version since a moment, each counted once.

    Args:
        settings: Where log and lake are.
        contract: Names the features and their types.
        lakehouse: The lake.
        since: The first moment.
        version: The model's version.

    Returns:
        The columns of `prediction_rows`; what does not fit the contract's types is null.
    """
    first = since.astimezone(UTC).replace(tzinfo=None)
    rows = prediction_rows(contract)
    # A segment may hold what was answered just after its day's end.
    day = (first - timedelta(days=1)).date().isoformat()
    for line in _lines(settings.root / settings.serving.prediction_log, day):
        rows.add(line)
    table = served_table(contract)
    moved: list[pa.Table] = []
    if lakehouse.exists(table):
        held = lakehouse.read(table)
        held = held.filter((held.model_version == version) & (held.predicted_at >= first))
        moved = [_fitting(rows, lakehouse.collect(held))]
    live = rows.table()
    new = [part.filter(_is_not_in(part, live, PREDICTION_KEY)) for part in moved]
    found = pa.concat_tables([live, *new])
    is_newer = pc.greater_equal(found["predicted_at"], pa.scalar(first, MOMENT))
    return found.filter(pc.and_(is_newer, pc.equal(found["model_version"], version)))


def _fitting(rows: Rows, held: pa.Table) -> pa.Table:
    """Rows of the lake in the log's form; a row with its whole line is read from the line."""
    has_line = pc.is_valid(held[LINE])
    for line in held[LINE].filter(has_line).to_pylist():
        rows.add(line.encode())
    plain = held.filter(pc.invert(has_line))
    return pa.table(
        [
            plain[name].cast(kind) if name in plain.column_names else pa.nulls(plain.num_rows, kind)
            for name, kind in ((field.name, field.type) for field in rows.schema)
        ],
        schema=rows.schema,
    )


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


def _lines(folder: Path, first_day: str = "") -> Iterable[bytes]:
    """The lines of the segments since a day: their names begin with it."""
    for file in segments(folder):
        if file.name[:10] < first_day:
            continue
        try:
            with file.open("rb") as content:
                yield from content
        except FileNotFoundError:
            continue  # it was moved into the lake, which is read after this
