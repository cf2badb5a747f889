"""Drift check: current rows against what the champion was trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq

from goldpath.contract import Contract
from goldpath.drift.compared import PREDICTION, compared_pair
from goldpath.drift.profile import DriftError
from goldpath.drift.reference import Reference
from goldpath.drift.selection import select_columns
from goldpath.drift.stored_reference import read_reference
from goldpath.drift.window_verdict import WindowJudge, WindowSettings
from goldpath.features.row.complete import complete_rows
from goldpath.jobs.drift.current_rows import CurrentRows, Place, Source, current_rows
from goldpath.jobs.drift.history import HistoryKey, read_history
from goldpath.jobs.drift.judged_windows import judge_rows
from goldpath.jobs.drift.written_reports import (
    CheckedRows,
    DriftReport,
    write_nothing_new,
    write_reports,
)
from goldpath.lake.connection import open_lakehouse
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.presentation import step
from goldpath.registry.layout import PROFILE_FILE, REFERENCE_FILE
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.serving.log.personal import hidden_columns
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
    """

    profile: Reference
    rows: pa.Table


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
        NotEnoughDataError: If there are no rows at all.
    """
    now = now or datetime.now(UTC)
    manager = MLflowManager(settings, contract)
    champion = _require_champion(manager, contract)
    reference = fetch_reference(manager, champion)
    require_settings(settings.monitoring, reference.profile, champion)
    model = manager.load(champion)
    hidden = {*hidden_columns(settings, contract), *hidden_columns(settings, model.contract)}
    lakehouse = open_lakehouse(settings)
    place = Place(settings, lakehouse, model.contract, champion, hidden, now)
    rows = current_rows(place, data, source)
    new = rows.features.num_rows
    if new <= NEWS * rows.scored and new < settings.monitoring.minimum_rows:
        return write_nothing_new(settings, rows, champion, reference.profile.whole.rows, now)
    step(f"Comparing {new:,} rows with the {reference.profile.whole.rows:,} of the reference")
    current = with_predictions(rows, model, hidden)
    shown = reference.rows.select(current.column_names)
    shown, current = compared_pair(shown, current, settings.project.definitions.compared)
    judge, left_out = judge_for(settings.monitoring, reference.profile, current.column_names)
    key = HistoryKey(champion.version, judge.reference.whole.bins.digest, judge.reference.window)
    earlier = read_history(settings.reports, rows.kind, key) if rows.kind != "file" else []
    judged = judge_rows(judge, current, rows, earlier, now)
    checked = CheckedRows(rows, judged, key, champion, left_out, now)
    return write_reports(settings, checked, shown, html=html)


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
    return StoredReference(profile, rows)


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


def with_predictions(rows: CurrentRows, model: LoadedModel, hidden: set[str]) -> pa.Table:
    """The rows in the reference's form: every feature of the model, and its predictions.

    The service's answers are taken as it gave them. Where the log hides columns, features that are
    computed from others cannot be had, and are left out.
    """
    if PREDICTION not in rows.features.column_names:
        return add_predictions(complete_rows(rows.features, model.contract), model)
    if hidden:
        return rows.features
    features = complete_rows(rows.features.drop_columns([PREDICTION]), model.contract)
    return features.append_column(PREDICTION, rows.features[PREDICTION])


def add_predictions(features: pa.Table, model: LoadedModel) -> pa.Table:
    """The features and what the model says about them, in the reference's form."""
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
