"""What the service predicted and was told, wherever it is by now: in its segments, or in the lake.

Segments are read before the lake. What is moved meanwhile is then read twice, and counted once, by
its id; the other way round it could be missed.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from goldpath.contract import EVENT_TIME, Contract
from goldpath.jobs.upkeep.log_rows import (
    FEEDBACK_KEY,
    MOMENT,
    PREDICTION_KEY,
    TARGET_TIME,
    Rows,
    feedback_rows,
    has_target_time,
    prediction_rows,
)
from goldpath.lake.lakehouse import Lakehouse, TableName
from goldpath.lake.tables import DAY, LINE, feedback_table, served_table, silver_table
from goldpath.serving.log.segments import segments
from goldpath.settings import Settings

if TYPE_CHECKING:
    import ibis

PREDICTION_COLUMNS = (PREDICTION_KEY, DAY, "model_version", "prediction", "score")
LABEL_COLUMNS = (FEEDBACK_KEY, PREDICTION_KEY, "label", "known_at", "received_at")
_LABELS = pa.schema(
    [
        (FEEDBACK_KEY, pa.string()),
        (PREDICTION_KEY, pa.string()),
        ("label", pa.float64()),
        ("known_at", MOMENT),
        ("received_at", MOMENT),
    ]
)
"""Of a regression."""


def fitting_rows(rows: Rows, held: pa.Table) -> pa.Table:
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

    A prediction that has no label stays where it is: it is counted there. A forecast has one as
    soon as the main table has the row of the time that it predicted; a label that came by the
    prediction's id was known later, and wins.
    """
    first = since.date().isoformat()
    asked = _live(settings.root / settings.serving.prediction_log, prediction_rows(contract), first)
    live = asked.select(list(PREDICTION_COLUMNS))
    new = _live(settings.root / settings.prediction_log.feedback, feedback_rows(contract), first)
    labels = _with_moved_labels(lakehouse, feedback_table(contract), new, first)
    labels = pa.concat_tables([labels, *_labels_of_times(lakehouse, contract, asked, first)])
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
        live = live.filter(is_not_in(live, twice, PREDICTION_KEY))
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
    live = live.filter(is_not_in(live, moved, FEEDBACK_KEY))
    return pa.concat_tables([moved.cast(live.schema), live])


def _labels_of_times(
    lakehouse: Lakehouse, contract: Contract, live: pa.Table, first: str
) -> list[pa.Table]:
    """The labels of forecasts whose time the main table has by now, as `_with_moved_labels`."""
    forecast, silver = contract.forecast, silver_table(contract)
    if forecast is None or not has_target_time(contract) or not lakehouse.exists(silver):
        return []
    truth = lakehouse.read(silver)
    owner = [contract.entity] if forecast.per_entity and contract.entity else []

    def labelled(asked: "ibis.Table") -> pa.Table:
        own = [asked[TARGET_TIME] == truth[EVENT_TIME], *(asked[n] == truth[n] for n in owner)]
        joined = asked.select(PREDICTION_KEY, TARGET_TIME, *owner).inner_join(truth, own)
        found = joined.select(
            **{
                FEEDBACK_KEY: joined[PREDICTION_KEY],
                PREDICTION_KEY: joined[PREDICTION_KEY],
                "label": joined[contract.target.column].cast("float64"),
                "known_at": joined[TARGET_TIME],
                "received_at": joined[TARGET_TIME],
            }
        )
        return lakehouse.collect(found).select(list(LABEL_COLUMNS)).cast(_LABELS)

    found = []
    table = served_table(contract)
    if lakehouse.exists(table):
        held = lakehouse.read(table)
        if TARGET_TIME in held.columns:  # a log of before there was a forecast has none
            found.append(labelled(held.filter(held[DAY] >= first)))
    with lakehouse.staged(live.select([PREDICTION_KEY, TARGET_TIME, *owner])) as staged:
        found.append(labelled(staged))
    return found


def is_not_in(rows: pa.Table, others: pa.Table, key: str) -> pa.ChunkedArray:
    """Which rows have a key that the others lack."""
    return pc.invert(pc.is_in(rows[key], others[key].combine_chunks().cast(pa.string())))


def _live(folder: Path, rows: Rows, first: str) -> pa.Table:
    """The rows of the segments since a day."""
    for line in _lines(folder):
        rows.add(line)
    found = rows.table()
    return found.filter(pc.greater_equal(found[DAY], first))


def _lines(folder: Path) -> Iterable[bytes]:
    """The lines of all segments."""
    for file in segments(folder):
        try:
            with file.open("rb") as content:
                yield from content
        except FileNotFoundError:
            continue  # it was moved into the lake, which is read after this
