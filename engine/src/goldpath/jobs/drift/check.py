"""Drift check: current rows against what the champion was trained on."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from goldpath.contract import Contract
from goldpath.drift.bins import Floats
from goldpath.drift.compared import PREDICTION, compared_pair, compared_rows
from goldpath.drift.profile import DriftError
from goldpath.drift.reference import Reference
from goldpath.drift.selection import select_columns
from goldpath.drift.stored_reference import read_reference
from goldpath.drift.texts import measured
from goldpath.drift.window_verdict import WindowJudge, WindowSettings
from goldpath.errors import NotEnoughDataError
from goldpath.features.row.complete import complete_rows
from goldpath.jobs.drift.counted_log import count_new, kept_from, windows_of
from goldpath.jobs.drift.current_rows import (
    CurrentRows,
    Place,
    Source,
    current_rows,
    typed_features,
)
from goldpath.jobs.drift.estimated_quality import QualityEstimator
from goldpath.jobs.drift.history import HistoryKey, read_history
from goldpath.jobs.drift.judged_windows import JudgedSource, judge_parts, judge_rows
from goldpath.jobs.drift.kept_log import read_kept, write_kept
from goldpath.jobs.drift.nothing_compared import (
    LastVerdict,
    NothingCompared,
    read_last,
    repeated,
    silent_since,
    write_nothing_compared,
)
from goldpath.jobs.drift.written_reports import (
    CheckedRows,
    DriftReport,
    read_former,
    write_reports,
)
from goldpath.lake.connection import open_lakehouse
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.presentation import step
from goldpath.registry.layout import EVALUATION_FILE, PROFILE_FILE, REFERENCE_FILE
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.serving.log.personal import HiddenColumns, hidden_columns
from goldpath.serving.metrics.reports import read_json
from goldpath.settings import MonitoringSettings, Settings

NEWS = 0.01
"""Up to this share of new rows, such as corrected ones, a batch of training rows says nothing,
unless there are as many as a check needs (`monitoring.minimum_rows`)."""


@dataclass(frozen=True)
class StoredReference:
    """What a version is compared with.

    Attributes:
        profile: The counts of all of its rows.
        rows: Some of the rows, to be shown.
        importances: What the metric lost on test rows when a feature was shuffled; empty where that
            is not known.
    """

    profile: Reference
    rows: pa.Table
    importances: Mapping[str, float] = field(default_factory=dict)


def check_drift(
    settings: Settings,
    contract: Contract,
    data: Path | None,
    *,
    html: bool,
    source: Source = "newest",
    now: datetime | None = None,
) -> DriftReport:
    """Compare rows with the champion's reference, window by window, and leave the reports.

    Args:
        settings: The project's settings.
        contract: The project's contract; names the model.
        data: A raw file; where it is not given, the rows that the champion scored last.
        html: Whether to write Evidently's report too.
        source: Which rows to check: the last batch run, the service's log, the gold table, the
            file, or the newest of what was scored.
        now: When the check is made.

    Raises:
        DriftError: If there is no champion, or its reference cannot be compared.
        NotEnoughDataError: If there are no rows at all; the reports say so, too.
    """
    now = now or datetime.now(UTC)
    manager = MLflowManager(settings, contract)
    champion = _require_champion(manager, contract)
    reference = fetch_reference(manager, champion)
    require_settings(settings.monitoring, reference.profile, champion)
    model = manager.load(champion)
    hidden = {
        *hidden_columns(settings, contract),
        *HiddenColumns(settings, contract).of(model.contract),
    }
    lakehouse = open_lakehouse(settings)
    place = Place(settings, lakehouse, model.contract, champion, hidden, now)
    run = manager.run_record(champion)
    metrics = run.metrics if run else {}
    if source in ("newest", "service") and data is None:
        place = _with_what_was_counted(place, reference, model, metrics)
    nothing = NothingCompared(
        why="",
        kind="file" if data else source,
        source=settings.shown(data) if data else "",
        champion=champion,
        reference_rows=reference.profile.whole.rows,
        now=now,
        window=settings.monitoring.window,
    )
    try:
        rows = current_rows(place, data, source)
    except NotEnoughDataError as error:
        write_nothing_compared(settings, replace(nothing, why=error.message))
        raise
    new = rows.count
    if new <= NEWS * rows.scored and new < settings.monitoring.minimum_rows:
        return write_nothing_compared(settings, nothing.of_training_rows(rows))
    last = read_last(settings.reports, rows.kind, champion)
    step(f"Comparing {new:,} rows with the {reference.profile.whole.rows:,} of the reference")
    current, scores = with_predictions(rows, model, hidden)
    shown = reference.rows.select(current.column_names)
    words = reference.profile.words
    as_numbers = measured(current, words)
    estimator = _estimator(place, reference, metrics, as_numbers.column_names)
    signals = estimator.signals(as_numbers, scores)
    shown, current = compared_pair(shown, current, settings.project.definitions.compared)
    shown, current = measured(shown, words, in_training=True), measured(current, words)
    judge, left_out = judge_for(settings.monitoring, reference.profile, current.column_names)
    key = _key(champion, judge)
    if rows.log is not None:
        found = _judge_log(place, judge, key, rows, current, estimator, signals, last)
        if isinstance(found, datetime):
            return write_nothing_compared(settings, nothing.of_silence(rows, found))
        judged = found
    else:
        earlier = read_history(settings.reports, rows.kind, key) if rows.kind != "file" else []
        judged = judge_rows(judge, current, rows, earlier, now, estimator.estimate, signals)
    estimate = estimator.report(judged.tallies)
    former = read_former(settings.reports, rows.kind, champion)
    said = repeated(rows, judged, last)
    checked = CheckedRows(
        rows, judged, key, champion, left_out, now, estimate, former, said, reference.importances
    )
    return write_reports(settings, checked, shown, html=html)


def _estimator(
    place: Place, reference: StoredReference, metrics: Mapping[str, float], columns: Sequence[str]
) -> QualityEstimator:
    return QualityEstimator(
        place.model,
        metrics,
        measured(reference.rows, reference.profile.words, in_training=True),
        place.settings.monitoring.calibration_error_limit,
        columns,
    )


def _with_what_was_counted(
    place: Place, reference: StoredReference, model: LoadedModel, metrics: Mapping[str, float]
) -> Place:
    """The place with what earlier checks have counted of the service's log, and said of it."""
    words = reference.profile.words
    empty = typed_features([], place.contract).select(place.log_columns)
    empty = empty.append_column(PREDICTION, pa.nulls(0, pa.float64()))
    rows, _ = with_predictions(CurrentRows("service", "", empty), model, set(place.hidden))
    shown = reference.rows.select(rows.column_names)
    shown = compared_rows(shown, place.settings.project.definitions.compared)
    shown = measured(shown, words, in_training=True)
    judge, _ = judge_for(place.settings.monitoring, reference.profile, shown.column_names)
    estimator = _estimator(place, reference, metrics, measured(rows, words).column_names)
    key, reports = _key(place.champion, judge), place.settings.reports
    way = _way(shown, estimator)
    return replace(
        place,
        kept=read_kept(reports, key, judge.reference.whole.bins, way),
        earlier=read_history(reports, "service", key),
        way=way,
    )


def _way(shown: pa.Table, estimator: QualityEstimator) -> str:
    """How rows are counted: as the project compares them now, and with an estimate or without."""
    content = pa.BufferOutputStream()
    with pa.ipc.new_stream(content, shown.schema) as stream:
        stream.write_table(shown.combine_chunks())
    digest = hashlib.sha256(content.getvalue()).hexdigest()
    return f"{digest} {estimator.why_not}".strip()


def _judge_log(
    place: Place,
    judge: WindowJudge,
    key: HistoryKey,
    rows: CurrentRows,
    current: pa.Table,
    estimator: QualityEstimator,
    signals: Mapping[str, Floats],
    last: LastVerdict | None,
) -> JudgedSource | datetime:
    """The verdict on the service's log, whose counts are kept for the next check.

    Where no window with predictions has ended since the last verdict: since when that is so.
    """
    if rows.log is None:
        raise ValueError(f"{rows.source} is no log")
    window, shown = judge.reference.window, place.settings.monitoring.report_rows
    counted = count_new(rows.log, current, signals, judge.reference.whole.bins, window, shown)
    parts = windows_of(counted, window, shown)
    silent = silent_since(parts, place.earlier, last, place.now, window)
    if silent is not None:
        write_kept(place.settings.reports, key, counted, place.way)
        return silent
    judged = judge_parts(judge, parts, rows, place.earlier, place.now, estimator.estimate)
    newest = judged.history[-1]
    if newest.is_final and newest.verdict.start is not None:
        counted = kept_from(counted, newest.verdict.start, window)
    write_kept(place.settings.reports, key, counted, place.way)
    return judged


def _key(champion: ModelVersion, judge: WindowJudge) -> HistoryKey:
    reference = judge.reference
    return HistoryKey(champion.version, reference.whole.bins.digest, reference.window)


def fetch_reference(manager: MLflowManager, champion: ModelVersion) -> StoredReference:
    """What the champion is compared with, verified by its signature.

    Raises:
        DriftError: If the version was registered without a profile.
        SignatureError: If it is not what was signed with the version.
    """
    if not manager.runs.has(champion.run_id, PROFILE_FILE):
        raise DriftError(
            f"version {champion.version} of {champion.name} has no drift profile ({PROFILE_FILE}): "
            "an older goldpath trained it, so nothing was compared",
            "train again, which makes one: make train-local",
        )
    with TemporaryDirectory(prefix="reference-") as folder:
        profile = read_reference(manager.files.document(champion, PROFILE_FILE, Path(folder)))
        rows = pq.read_table(manager.files.document(champion, REFERENCE_FILE, Path(folder)))
        importances = _importances(manager, champion, Path(folder))
    return StoredReference(profile, rows, importances)


def _importances(manager: MLflowManager, champion: ModelVersion, folder: Path) -> dict[str, float]:
    """What training found of each feature. It is not signed, and decides nothing."""
    if not manager.runs.has(champion.run_id, EVALUATION_FILE):
        return {}
    found = read_json(manager.runs.download(champion.run_id, EVALUATION_FILE, folder))
    values = found.get("importances")
    return {
        str(name): float(loss)
        for name, loss in (values.items() if isinstance(values, dict) else ())
        if isinstance(loss, int | float)
    }


def require_settings(
    monitoring: MonitoringSettings, profile: Reference, champion: ModelVersion
) -> None:
    """Refuse settings that the champion's profile was not made for.

    Raises:
        DriftError: If its windows or seasons are others, or a floor names no column.
    """
    for name, wanted, found in (
        ("window", monitoring.window, profile.window),
        ("season", monitoring.usual_season, profile.season),
    ):
        if wanted != found:
            raise DriftError(
                f"monitoring.{name} is {wanted!r}, and the profile of version {champion.version} "
                f"was made with {found!r}",
                f"train again (make train-local), or set monitoring.{name}: {found}",
            )
    columns = [column.name for column in profile.whole.bins.columns]
    unknown = sorted(set(monitoring.floors) - set(columns))
    if unknown:
        raise DriftError(
            f"monitoring.floors names {', '.join(unknown)}, which the profile of version "
            f"{champion.version} does not have",
            f"name columns that are compared: {', '.join(columns)}",
        )


def judge_for(
    monitoring: MonitoringSettings, profile: Reference, names: Sequence[str]
) -> tuple[WindowJudge, tuple[str, ...]]:
    """What judges rows of these columns, and the reference's columns that they lack.

    Raises:
        DriftError: If the rows have columns that the reference lacks.
    """
    selected = select_columns(profile, names)
    selected.whole.bins.require(names)
    left_out = {column.name for column in profile.whole.bins.columns} - set(names)
    settings = WindowSettings(
        alpha=monitoring.alpha,
        floor=monitoring.effect_floor,
        minimum_rows=monitoring.minimum_rows,
        floors=tuple(monitoring.floors.items()),
    )
    return WindowJudge(selected, settings), tuple(sorted(left_out))


def with_predictions(
    rows: CurrentRows, model: LoadedModel, hidden: set[str]
) -> tuple[pa.Table, Floats]:
    """The rows in the reference's form: every feature of the model, its predictions; and scores.

    The service's answers are taken as it gave them. Where the log hides columns, features that are
    computed from others cannot be had, and are left out.
    """
    if PREDICTION not in rows.features.column_names:
        return add_predictions(complete_rows(rows.features, model.contract), model)
    if hidden:
        return rows.features, rows.scores
    features = complete_rows(rows.features.drop_columns([PREDICTION]), model.contract)
    return features.append_column(PREDICTION, rows.features[PREDICTION]), rows.scores


def add_predictions(features: pa.Table, model: LoadedModel) -> tuple[pa.Table, Floats]:
    """The features and what the model says about them, in the reference's form; and scores."""
    predictions = model.predict(features)
    labels = model.contract.problem != "regression" and not model.contract.is_binary
    values = pa.array(predictions.values if labels else predictions.scores)
    scores = np.array(predictions.scores, dtype=np.float64)
    return features.append_column(PREDICTION, values), scores


def _require_champion(manager: MLflowManager, contract: Contract) -> ModelVersion:
    champion = manager.champion_version()
    if champion is None:
        raise DriftError(
            f"{contract.model_name} has no champion, so there is no reference to compare with",
            "make train-local",
        )
    return champion
