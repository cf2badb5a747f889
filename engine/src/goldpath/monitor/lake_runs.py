"""How fresh each source is, and what ran last: the lake's run log and the reports."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from goldpath.contract import EVENT_TIME, Contract
from goldpath.jobs.retraining.ledger import Ledger
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse, TableName
from goldpath.lake.run_log import read_records
from goldpath.lake.tables import gold_table, predictions_table, quarantine_table, silver_table
from goldpath.row_contract import RowContract
from goldpath.serving.operations.pipeline_reports import promotion_figures, training_figures
from goldpath.settings import Settings
from goldpath.source_contract import load_sources

SHOWN_RETRAININGS = 3


@dataclass(frozen=True)
class SourceFreshness:
    """What the lake holds of a source.

    Attributes:
        name: The main table's dataset, or the further source.
        rows: Rows of the main table's gold, or of the source's silver; None where there are none
            yet.
        quarantined: Rows in quarantine.
        newest_event: The newest event time; None where rows have no time.
        taken_in: When a file was taken in last; None where none was.
    """

    name: str
    rows: int | None
    quarantined: int
    newest_event: datetime | None
    taken_in: datetime | None


@dataclass(frozen=True)
class Run:
    """Something that ran.

    Attributes:
        what: Which step.
        when: When it ended.
        said: What came of it.
        look: good, warn, bad, or empty.
    """

    what: str
    when: datetime
    said: str
    look: str = ""


def source_freshness(settings: Settings, contract: Contract) -> tuple[SourceFreshness, ...]:
    """The main table and the further sources.

    Raises:
        LakehouseError: If the lake cannot be read.
    """
    lakehouse = open_lakehouse(settings)
    further = load_sources(settings.root, contract.base)
    return (
        _freshness(lakehouse, contract, gold_table(contract)),
        *(_freshness(lakehouse, each, silver_table(each)) for each in further),
    )


def lake_runs(settings: Settings, contract: Contract) -> tuple[Run, ...]:
    """The newest run of each step of `make data`, and the newest batch of predictions.

    Raises:
        LakehouseError: If the lake cannot be read.
    """
    lakehouse = open_lakehouse(settings)
    found = []
    for name in ("bronze", "silver", "gold"):
        records = read_records(lakehouse, contract, name)
        if records:
            last = [each for each in records if each.run_id == records[-1].run_id]
            rows = sum(each.rows_out for each in last)
            refused = sum(each.quarantined for each in last)
            said = f"{rows:,} rows" + (f", {refused:,} in quarantine" if refused else "")
            found.append(Run(f"data: {name}", _aware(records[-1].finished_at), said))
    found.extend(_batch_run(lakehouse, contract))
    return tuple(found)


def reported_runs(settings: Settings) -> tuple[Run, ...]:
    """The last training and gate, and the newest retrainings.

    Raises:
        LedgerError: If the record of retrainings is damaged.
    """
    reports, found = settings.reports, []
    if training := training_figures(reports):
        value = "undefined" if training.value is None else f"{training.value:.4g}"
        found.append(
            Run(
                "training",
                _written(reports / "training.json"),
                f"version {training.model_version or 'not registered'}: {training.metric} {value} "
                f"on {training.n_test:,} test rows",
            )
        )
    if gate := promotion_figures(reports):
        found.append(
            Run(
                "gate",
                _written(reports / "promotion.json"),
                f"version {gate.model_version} {'passed' if gate.promoted else 'was refused'}",
                "good" if gate.promoted else "bad",
            )
        )
    for each in Ledger(settings.root, settings.model).read()[-SHOWN_RETRAININGS:]:
        ended = datetime.fromisoformat(each.ended).astimezone(UTC) if each.ended else each.at
        said = f"{each.source}: {each.outcome}" + (f", {each.detail}" if each.detail else "")
        found.append(Run("retraining", ended, said, "good" if each.outcome == "promoted" else ""))
    return tuple(found)


def newest_first(runs: Sequence[Run]) -> tuple[Run, ...]:
    """The runs by when they ended."""
    return tuple(sorted(runs, key=lambda run: run.when, reverse=True))


def _freshness(lakehouse: Lakehouse, contract: RowContract, table: TableName) -> SourceFreshness:
    snapshot, refused = lakehouse.snapshot(table), lakehouse.snapshot(quarantine_table(contract))
    deliveries = read_records(lakehouse, contract, "bronze")
    newest = None
    if snapshot is not None:
        rows = lakehouse.read(table)
        if EVENT_TIME in rows.columns:
            newest = lakehouse.collect(rows.aggregate(newest=rows[EVENT_TIME].max()))["newest"][0]
    return SourceFreshness(
        name=contract.dataset,
        rows=snapshot.rows if snapshot else None,
        quarantined=refused.rows if refused else 0,
        newest_event=newest.as_py() if newest is not None else None,
        taken_in=deliveries[-1].finished_at if deliveries else None,
    )


def _batch_run(lakehouse: Lakehouse, contract: Contract) -> Iterator[Run]:
    table = predictions_table(contract)
    if not lakehouse.exists(table):
        return
    rows = lakehouse.read(table)
    runs = rows.group_by(["run_id", "model_version"]).agg(
        when=rows.predicted_at.max(), predictions=rows.count()
    )
    for row in lakehouse.collect(runs.order_by(runs.when.desc()).limit(1)).to_pylist():
        said = f"{row['predictions']:,} rows scored by version {row['model_version']}"
        yield Run("batch predictions", _aware(row["when"]), said)


def _written(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


def _aware(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
