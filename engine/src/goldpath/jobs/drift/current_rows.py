"""The rows that a drift check judges: what was just scored, or what `--source` names."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.contract import Contract
from goldpath.drift.profile import DriftError
from goldpath.errors import NotEnoughDataError
from goldpath.jobs.batch.training_rows import training_rows
from goldpath.jobs.data.recipes import clean_file
from goldpath.jobs.drift.served_predictions import newest_predictions
from goldpath.jobs.upkeep.log_rows import ARROW_TYPES
from goldpath.jobs.windows.model_windows import (
    gold_holds_windows,
    project_contract,
    table_with_windows,
)
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.lake.lakehouse import Lakehouse
from goldpath.lake.tables import TRAINING_ROW, gold_table, predictions_table
from goldpath.learning.scoring import ModelVersion
from goldpath.quality.file_rows import typed_frame
from goldpath.settings import Settings
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.read import read_raw

Source = Literal["newest", "batch", "service", "table", "file"]

PREDICTION = "prediction"
ROWS_PER_REFERENCE_ROW = 5
"""More current rows than this add next to nothing: the reference's own noise then dominates."""

FILE_SOURCES = ("newest", "file")
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class CurrentRows:
    """Rows to judge.

    Attributes:
        source: Where they come from, for people.
        features: The model's features, typed.
        rejected: How many rows the contract refused beside them.
        training_rows: How many rows were left out because the champion was trained or judged on
            them.
        at: When the newest of them was scored.
    """

    source: str
    features: pa.Table
    rejected: int = 0
    training_rows: int = 0
    at: datetime = LONG_AGO

    @property
    def scored(self) -> int:
        """All rows, those of the training included."""
        return int(self.features.num_rows) + self.training_rows


@dataclass(frozen=True)
class Place:
    """Where a drift check looks.

    Attributes:
        settings: The project's settings.
        lakehouse: Where tables are.
        model: The champion's contract.
        champion: Its version.
        hidden: Personal columns that the log does not hold.
    """

    settings: Settings
    lakehouse: Lakehouse
    model: Contract
    champion: ModelVersion
    hidden: Collection[str]

    @property
    def request(self) -> Contract:
        """What rows of a file hold."""
        return self.model.request

    @property
    def contract(self) -> Contract:
        """What is compared but for row features, which are computed again."""
        return self.model.recorded

    @property
    def limit(self) -> int:
        """The most rows that are worth comparing."""
        return ROWS_PER_REFERENCE_ROW * self.settings.monitoring.reference_rows


def current_rows(place: Place, data: Path | None, source: Source) -> CurrentRows:
    """The rows of a source, those of the champion's own training left out.

    Args:
        place: Where to look.
        data: A raw file.
        source: `newest` is the file where one is named, else whichever of the last batch run and
            the service scored last. A service that has answered twice does not hide a batch run:
            where only one of them has enough rows it is that one, where neither has, the larger.

    Raises:
        DriftError: If the source and the file do not fit together.
        NotEnoughDataError: If there are no rows at all.
    """
    if (source == "file" and data is None) or (data is not None and source not in FILE_SOURCES):
        raise DriftError(
            f"--source {source} {'with' if data else 'without'} --data",
            "name the file with --data, and leave --source out or say --source file",
        )
    if data is not None:
        return _rows_of_file(place, data)
    if source == "table":
        return _rows_of_gold(place)
    if source == "batch":
        return _require_rows(place, _rows_of_batch(place))
    if source == "service":
        return _require_rows(place, _rows_of_log(place))
    batch, logged = _rows_of_batch(place), _rows_of_log(place)
    minimum = place.settings.monitoring.minimum_rows
    enough = [found for found in (logged, batch) if found.scored >= minimum]
    if enough:
        return max(enough, key=lambda found: found.at)
    return _require_rows(place, max((batch, logged), key=lambda found: found.scored))


def typed_features(rows: Sequence[Mapping[str, Any]], contract: Contract) -> pa.Table:
    """Rows of the prediction log with the types of the gold table."""
    columns = {
        feature.name: pa.array(
            [_typed(row.get(feature.name), feature.type) for row in rows], ARROW_TYPES[feature.type]
        )
        for feature in contract.features
    }
    return pa.table(columns)


def _typed(value: Any, kind: str) -> Any:
    if value is None:
        return None
    return {"number": float, "integer": int, "boolean": bool, "category": str}[kind](value)


def _require_rows(place: Place, found: CurrentRows) -> CurrentRows:
    if found.scored == 0:
        champion = place.champion
        raise NotEnoughDataError(
            f"{champion.name} version {champion.version} has not scored any row yet"
            + ("" if found.source == "nothing" else f" ({found.source})"),
            "make batch-predict, or name a file: drift-check --data FILE",
        )
    return found


def _rows_of_file(place: Place, data: Path) -> CurrentRows:
    settings, contract = place.settings, place.request
    raw = read_raw(detect_dialect(data.resolve(), contract.source), settings.root)
    prepare = clean_file(contract, settings.project.recipes)
    typed = typed_frame(raw, contract, prepare)
    if typed.num_rows == 0:
        raise NotEnoughDataError(
            f"the contract refuses all {raw.num_rows} rows of {data}",
            "compare the file with config/project.yaml: types, ranges and categories",
        )
    rejected = raw.num_rows - typed.num_rows
    typed = table_with_windows(place.lakehouse, typed, place.model)
    return _new_rows(place, settings.shown(data), typed, rejected=rejected)


def _rows_of_gold(place: Place) -> CurrentRows:
    snapshot = gold_snapshot(place.lakehouse, place.contract)
    table = gold_table(place.contract)
    rows = place.lakehouse.collect(place.lakehouse.read(table, snapshot.snapshot_id))
    learned = project_contract(place.settings, place.request)
    if not gold_holds_windows(place.lakehouse, place.model, learned, snapshot):
        rows = table_with_windows(place.lakehouse, rows, place.model)
    return _new_rows(place, str(table), rows)


def _new_rows(place: Place, source: str, typed: pa.Table, rejected: int = 0) -> CurrentRows:
    """Rows that the champion was not trained or judged on."""
    known = training_rows(typed, place.request, place.lakehouse, place.champion)
    new = typed.filter(pa.array(~known)).select(place.contract.feature_names)
    return _drawn(place, source, new, int(known.sum()), rejected=rejected)


def _rows_of_log(place: Place) -> CurrentRows:
    contract = place.contract
    rows = newest_predictions(
        place.settings, contract, place.lakehouse, place.limit, place.champion.version
    )
    features = typed_features([row["features"] for row in rows], contract)
    if place.hidden:  # not to be had from the log, so that the model cannot score its rows again
        answers = "score" if contract.is_binary or not contract.target.classes else "prediction"
        values = pa.array([row[answers] for row in rows])
        kept = [name for name in features.column_names if name not in place.hidden]
        features = features.select(kept).append_column(PREDICTION, values)
    at = datetime.fromisoformat(str(rows[0]["at"])) if rows else LONG_AGO
    return CurrentRows(f"the service's last {len(rows):,} predictions", features, at=at)


def _rows_of_batch(place: Place) -> CurrentRows:
    lakehouse, contract, champion = place.lakehouse, place.contract, place.champion
    table = predictions_table(contract)
    nothing = CurrentRows("no batch run", typed_features([], contract))
    if not lakehouse.exists(table):
        return nothing
    scored = lakehouse.read(table)
    scored = scored.filter(scored.model_version == champion.version)
    runs = scored.group_by("run_id").agg(finished=scored.predicted_at.max())
    newest = lakehouse.collect(
        runs.order_by([runs.finished.desc(), runs.run_id]).limit(1)
    ).to_pylist()
    if not newest:
        return nothing
    run_id = newest[0]["run_id"]
    marks = [TRAINING_ROW] if TRAINING_ROW in scored.columns else []
    rows = lakehouse.collect(
        scored.filter(scored.run_id == run_id).select(*contract.feature_names, *marks)
    )
    all_rows = rows.num_rows
    if marks:
        rows = rows.filter(pc.invert(pc.fill_null(rows[TRAINING_ROW], False)))
    new = rows.select(contract.feature_names)
    at = newest[0]["finished"].replace(tzinfo=UTC)
    return _drawn(place, f"batch run {run_id}", new, all_rows - new.num_rows, at=at)


def _drawn(
    place: Place,
    source: str,
    rows: pa.Table,
    known: int,
    *,
    rejected: int = 0,
    at: datetime = LONG_AGO,
) -> CurrentRows:
    """As many rows as are worth comparing, and what was left out in words."""
    drawn = rows
    if rows.num_rows > place.limit:
        numbers = np.random.default_rng(0).choice(rows.num_rows, place.limit, replace=False)
        drawn = rows.take(pa.array(np.sort(numbers)))
    notes = []
    if known:
        notes.append(f"{known:,} rows of the champion's training data left out")
    if drawn is not rows:
        notes.append(f"{drawn.num_rows:,} of {rows.num_rows:,} rows, drawn evenly")
    part = f" ({'; '.join(notes)})" if notes else ""
    return CurrentRows(f"{source}{part}", drawn, rejected, known, at)
