"""Drift check: current rows against what the champion was trained on."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from goldpath.contract import Contract
from goldpath.drift.decision import DriftDecision, decide
from goldpath.drift.plot import write_plot
from goldpath.drift.profile import DriftError, compare_frames, rejected_shift
from goldpath.drift.report import write_html
from goldpath.features.row.complete import complete_rows
from goldpath.jobs.drift.current_rows import PREDICTION, CurrentRows, Place, Source, current_rows
from goldpath.json_values import finite
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse
from goldpath.lake.tables import bronze_table, quarantine_table
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.presentation import step
from goldpath.project import ProjectDefinitionError, naming, place_of
from goldpath.registry.layout import REFERENCE_FILE
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.serving.log.personal import hidden_columns
from goldpath.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

NEWS = 0.01
"""Up to this share of new rows, such as corrected ones, a batch of training rows says nothing,
unless there are as many as a check needs (`monitoring.minimum_rows`)."""


@dataclass(frozen=True)
class DriftReport:
    """What a drift check found, and where it is written.

    Attributes:
        verdict: ok, drift or insufficient.
        message: The verdict as a sentence.
        drifted_columns: What changed, by column, the largest shift first.
        rows: Rows compared.
        rejected_rows: Rows that the contract refused.
        training_rows: Rows that were left out: the champion was trained or judged on them.
        reference_rows: Rows of the reference.
        source: Where the rows come from.
        model_version: The champion whose training rows are the reference.
        calibration: What the p-values assume.
        report: The JSON report.
        html: Evidently's report, or None where it was not asked for.
        plot: The picture; None where no rows were compared.
        exit_code: 0 ok, 1 drift, 3 too few rows.
    """

    verdict: str
    message: str
    drifted_columns: dict[str, str]
    rows: int
    rejected_rows: int
    training_rows: int
    reference_rows: int
    source: str
    model_version: str
    calibration: str
    report: str
    html: str | None
    plot: str | None
    exit_code: int


def check_drift(
    settings: Settings,
    contract: Contract,
    data: Path | None,
    *,
    html: bool,
    source: Source = "newest",
) -> DriftReport:
    """Compare rows with the champion's reference and leave the reports.

    Args:
        settings: The project's settings.
        contract: The project's contract; names the model.
        data: A raw file; where it is not given, the rows that the champion scored last.
        html: Whether to write Evidently's report too.
        source: Which rows to check: the last batch run, the service's log, the gold table, the
            file, or the newest of what was scored.

    Raises:
        DriftError: If there is no champion, or its reference cannot be compared.
        NotEnoughDataError: If there are no rows at all.
    """
    manager = MLflowManager(settings, contract)
    champion = _require_champion(manager, contract)
    model = manager.load(champion)
    with TemporaryDirectory(prefix="reference-") as folder:
        file = manager.files.document(champion, REFERENCE_FILE, Path(folder))
        reference = pq.read_table(file)
    lakehouse = open_lakehouse(settings)
    hidden = {*hidden_columns(settings, contract), *hidden_columns(settings, model.contract)}
    place = Place(settings, lakehouse, model.contract, champion, hidden)
    rows = current_rows(place, data, source)
    new = rows.features.num_rows
    if new <= NEWS * rows.scored and new < settings.monitoring.minimum_rows:
        return _write_reports(
            settings, _nothing_new(rows, reference), rows, champion, reference, None, html=False
        )
    step(f"Comparing {rows.features.num_rows} rows with the {reference.num_rows} of the reference")
    if PREDICTION in rows.features.column_names:
        current = rows.features
        reference = reference.select(current.column_names)
    else:
        current = add_predictions(complete_rows(rows.features, model.contract), model)
    reference, current = compared_pair(reference, current, settings.project.definitions.compared)
    profiles = compare_frames(reference, current)
    if rows.rejected:
        rejected, read = _rejected_before(lakehouse, model.contract, reference.num_rows)
        profiles += (
            rejected_shift(rejected, read, rows.rejected, rows.rejected + rows.features.num_rows),
        )
    decision = decide(profiles, settings.monitoring, current.num_rows, reference.num_rows)
    return _write_reports(settings, decision, rows, champion, reference, current, html=html)


def _nothing_new(rows: CurrentRows, reference: pa.Table) -> DriftDecision:
    """The verdict on rows that the champion was trained or judged on, and hardly any others."""
    return DriftDecision(
        verdict="ok",
        exit_code=0,
        rows=0,
        reference_rows=reference.num_rows,
        columns=(),
        calibration="iid",
        message=f"nothing new to compare: {rows.training_rows:,} of {rows.scored:,} rows are of "
        "the data that the champion was trained and judged on; score new rows: batch-predict "
        "--data FILE",
    )


Compared = Callable[[pa.Table], pa.Table]


def compared_pair(
    reference: pa.Table, current: pa.Table, compared: Compared | None
) -> tuple[pa.Table, pa.Table]:
    """Both tables as the project wants them compared; the model's predictions always are.

    Raises:
        ProjectDefinitionError: If the project's function fails, changes the number of rows, or
            gives other columns for the current rows than for the reference.
    """
    if compared is None:
        return reference, current
    before, now = (compared_rows(table, compared) for table in (reference, current))
    if set(before.column_names) != set(now.column_names):
        raise ProjectDefinitionError(
            f"{place_of(compared)} gives the columns {', '.join(before.column_names)} for the "
            f"reference and {', '.join(now.column_names)} for the current rows",
            "choose columns by their names, and not by the values that they hold",
        )
    return before, now


def compared_rows(rows: pa.Table, compared: Compared | None) -> pa.Table:
    """The rows as the project wants them compared; all of their columns where it does not say.

    Raises:
        ProjectDefinitionError: If the project's function fails, or changes the number of rows.
    """
    if compared is None:
        return rows
    with naming(compared):
        seen = compared(rows)
    if not isinstance(seen, pa.Table) or seen.num_rows != rows.num_rows:
        raise ProjectDefinitionError(
            f"{place_of(compared)} did not give back a table of {rows.num_rows} rows",
            "drop or change columns only, and return the table",
        )
    if PREDICTION in rows.column_names and PREDICTION not in seen.column_names:
        return seen.append_column(PREDICTION, rows[PREDICTION])
    return seen


def add_predictions(features: pa.Table, model: LoadedModel) -> pa.Table:
    """The features and what the model says about them, in the reference's form.

    Rows that were logged with a prediction are scored again: the same model gives the same answer,
    and every source then comes through one code path.
    """
    predictions = model.predict(features)
    labels = model.contract.problem == "classification" and not model.contract.is_binary
    values = pa.array(predictions.values if labels else predictions.scores)
    return features.append_column(PREDICTION, values)


def _require_champion(manager: MLflowManager, contract: Contract) -> ModelVersion:
    champion = manager.champion_version()
    if champion is None:
        raise DriftError(
            f"{contract.model_name} has no champion, so there is no reference to compare with",
            "make train-local",
        )
    return champion


def _rejected_before(
    lakehouse: Lakehouse, contract: Contract, reference_rows: int
) -> tuple[int, int]:
    """How many of how many rows the lake quarantined; without a lake, none of the reference's."""
    read = lakehouse.snapshot(bronze_table(contract))
    quarantined = lakehouse.snapshot(quarantine_table(contract))
    if read is None or read.rows == 0:
        return 0, reference_rows
    return min(quarantined.rows if quarantined else 0, read.rows), read.rows


def _write_reports(
    settings: Settings,
    decision: DriftDecision,
    rows: CurrentRows,
    champion: ModelVersion,
    reference: "pa.Table | pd.DataFrame",
    current: pa.Table | None,
    *,
    html: bool,
) -> DriftReport:
    """The verdict first: a picture that cannot be drawn must not cost it."""
    file, page, plot = (settings.reports / f"drift.{suffix}" for suffix in ("json", "html", "png"))
    values: dict[str, Any] = {
        "verdict": decision.verdict,
        "exit_code": decision.exit_code,
        "message": decision.message,
        "checked_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": decision.rows,
        "rejected_rows": rows.rejected,
        "training_rows": rows.training_rows,
        "reference_rows": decision.reference_rows,
        "model_version": champion.version,
        "source": rows.source,
        "calibration": decision.calibration,
        "columns": [asdict(column) for column in decision.columns],
        "html": None,
        "plot": None,
    }
    page.unlink(missing_ok=True)  # an older verdict's pages must not stand beside the new verdict
    plot.unlink(missing_ok=True)
    write_json(file, values)
    title = f"{champion.name} version {champion.version}: {rows.source}"
    if current is not None:
        write_plot(plot, reference, current, decision, title=title)
        values["plot"] = settings.shown(plot)
    if html and current is not None:
        step("Writing Evidently's report")
        write_html(
            page, reference, current, decision, rows=settings.monitoring.report_rows, title=title
        )
        values["html"] = settings.shown(page)
    write_json(file, values)
    return DriftReport(
        verdict=decision.verdict,
        message=decision.message,
        drifted_columns={
            column.name: f"{column.effect:.2f} (counts from {column.limit:.2f}): {column.reason}"
            for column in decision.drifted
        },
        rows=decision.rows,
        rejected_rows=rows.rejected,
        training_rows=rows.training_rows,
        reference_rows=decision.reference_rows,
        source=rows.source,
        model_version=champion.version,
        calibration=decision.calibration,
        report=settings.shown(file),
        html=values["html"],
        plot=values["plot"],
        exit_code=decision.exit_code,
    )


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write strict JSON; a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps(finite(values), allow_nan=False, indent=2)
    unfinished.write_text(text + "\n", encoding="utf-8")
    unfinished.replace(path)
