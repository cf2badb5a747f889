"""The rows that a drift check judges: what was just scored, or what `--source` names."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.contract import EVENT_TIME, Contract
from goldpath.domain import PYTHON_TYPES, Kind
from goldpath.drift.bins import Floats
from goldpath.drift.compared import PREDICTION
from goldpath.drift.profile import DriftError
from goldpath.drift.windows import Times, window_starts
from goldpath.errors import NotEnoughDataError
from goldpath.jobs.batch.days import is_day
from goldpath.jobs.batch.plans import unfinished_run
from goldpath.jobs.batch.training_rows import training_rows
from goldpath.jobs.data.recipes import clean_file
from goldpath.jobs.drift.history import JudgedWindow
from goldpath.jobs.drift.kept_log import UNIT_SECONDS, KeptLog
from goldpath.jobs.drift.new_lines import Log, NewLines, read_new
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
from goldpath.presentation import step
from goldpath.quality.file_rows import typed_frame
from goldpath.settings import Settings
from goldpath.settings.monitoring import WindowLength
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.read import read_raw

Source = Literal["newest", "batch", "service", "table", "file"]
SourceKind = Literal["batch", "service", "table", "file"]

LOOK_BACK: dict[WindowLength, timedelta] = {
    "1h": timedelta(days=2),
    "1d": timedelta(days=14),
    "1w": timedelta(days=56),
    "1mo": timedelta(days=186),
}
"""How far back the service's log is read. Earlier windows were judged by earlier checks."""

FILE_SOURCES = ("newest", "file")
LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class CurrentRows:
    """Rows to judge.

    Attributes:
        kind: The kind of source; each has verdicts of its own.
        source: Where the rows come from, for people.
        features: The model's features, typed; with its predictions where the log has them.
        times: When each row happened, else when it was scored; None where neither is known.
        rejected: How many rows the contract refused beside them.
        training_rows: How many rows were left out because the champion was trained or judged on
            them.
        at: When the newest of them was scored.
        scores: Of the service: the answers' scores, shape (rows,).
        log: Of the service: `features` are those of its new lines, and what was counted before.
    """

    kind: SourceKind
    source: str
    features: pa.Table
    times: Times | None = None
    rejected: int = 0
    training_rows: int = 0
    at: datetime = LONG_AGO
    scores: Floats = field(default_factory=lambda: np.empty(0))
    log: NewLines | None = None

    @property
    def count(self) -> int:
        """All rows to judge, those that were counted before included."""
        return int(self.features.num_rows) + (self.log.kept.rows if self.log else 0)

    @property
    def scored(self) -> int:
        """All rows, those of the training included."""
        return self.count + self.training_rows


@dataclass(frozen=True)
class Place:
    """Where a drift check looks.

    Attributes:
        settings: The project's settings.
        lakehouse: Where tables are.
        model: The champion's contract.
        champion: Its version.
        hidden: The columns that the service leaves out of its log: personal ones, and what is
            computed from them, by what the sources name personal now.
        now: When the check is made.
        kept: What earlier checks have counted of the service's log.
        earlier: What they said of its windows.
        way: How they had to count for their counts to be added to.
    """

    settings: Settings
    lakehouse: Lakehouse
    model: Contract
    champion: ModelVersion
    hidden: Collection[str]
    now: datetime
    kept: KeptLog = field(default_factory=KeptLog)
    earlier: Sequence[JudgedWindow] = ()
    way: str = ""

    @property
    def request(self) -> Contract:
        """What rows of a file hold."""
        return self.model.request

    @property
    def contract(self) -> Contract:
        """What is compared but for row features, which are computed again."""
        return self.model.recorded

    @property
    def log_since(self) -> datetime:
        """The start of the first window that the log is read for.

        Windows that have ended are judged once; the newest of them is judged again, as it is shown.
        """
        window = self.settings.monitoring.window
        start: datetime = window_starts([self.now - LOOK_BACK[window]], window)[0].astype(object)
        judged = [each.verdict.start for each in self.earlier if each.is_final]
        return max([start.replace(tzinfo=UTC), *(each for each in judged if each)])

    @property
    def log_columns(self) -> list[str]:
        """The features that the log holds."""
        return [name for name in self.contract.feature_names if name not in self.hidden]


def current_rows(place: Place, data: Path | None, source: Source) -> CurrentRows:
    """The rows of a source, those of the champion's own training left out.

    Args:
        place: Where to look.
        data: A raw file.
        source: `newest` is the file where one is named, else whichever of the last batch run and
            the service scored last. A service that has answered twice does not hide a batch run,
            nor a run of training rows the service: where only one of them has enough rows to
            compare it is that one, where neither has, the one that scored enough, or the larger.

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
    enough = [found for found in (logged, batch) if found.count >= minimum]
    enough = enough or [found for found in (logged, batch) if found.scored >= minimum]
    if enough:
        return max(enough, key=lambda found: found.at)
    return _require_rows(place, max((batch, logged), key=lambda found: found.scored))


def typed_features(rows: Sequence[Mapping[str, Any]], contract: Contract) -> pa.Table:
    """Rows with the types of the gold table."""
    columns = {
        feature.name: pa.array(
            [_typed(row.get(feature.name), feature.type) for row in rows], ARROW_TYPES[feature.type]
        )
        for feature in contract.features
    }
    return pa.table(columns)


def _typed(value: Any, kind: Kind) -> Any:
    return None if value is None else PYTHON_TYPES[kind](value)


def _require_rows(place: Place, found: CurrentRows) -> CurrentRows:
    if found.scored == 0:
        champion = place.champion
        raise NotEnoughDataError(
            f"{champion.name} version {champion.version} has not scored any row: {found.source}",
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
    return _new_rows(place, "file", settings.shown(data), typed, rejected=rejected)


def _rows_of_gold(place: Place) -> CurrentRows:
    snapshot = gold_snapshot(place.lakehouse, place.contract)
    table = gold_table(place.contract)
    rows = place.lakehouse.collect(place.lakehouse.read(table, snapshot.snapshot_id))
    learned = project_contract(place.settings, place.request)
    if not gold_holds_windows(place.lakehouse, place.model, learned, snapshot):
        rows = table_with_windows(place.lakehouse, rows, place.model)
    return _new_rows(place, "table", str(table), rows)


def _new_rows(
    place: Place, kind: SourceKind, source: str, typed: pa.Table, rejected: int = 0
) -> CurrentRows:
    """Rows that the champion was not trained or judged on."""
    contract = place.contract
    known = training_rows(typed, place.request, place.lakehouse, place.champion)
    new = typed.filter(pa.array(~known))
    return CurrentRows(
        kind=kind,
        source=_told(source, int(known.sum())),
        features=new.select(contract.feature_names),
        times=_times(new[EVENT_TIME]) if contract.has_time else None,
        rejected=rejected,
        training_rows=int(known.sum()),
    )


def _rows_of_log(place: Place) -> CurrentRows:
    """The service's predictions of the windows to judge, with its answers as it gave them."""
    contract, settings, since = place.contract, place.settings, place.log_since
    unit = UNIT_SECONDS[settings.monitoring.window]
    log = Log(
        folder=settings.root / settings.serving.prediction_log,
        lakehouse=place.lakehouse,
        contract=contract,
        version=place.champion.version,
        first=int(since.timestamp()) // unit,
        unit=unit,
    )
    found = read_new(log, place.kept)
    rows = found.rows
    labels = contract.problem != "regression" and not contract.is_binary
    answers = "prediction" if labels else "score"
    kept = place.log_columns
    missing = [name for name in kept if name not in rows.column_names]
    features = rows.select([name for name in kept if name not in missing])
    for name in missing:
        kind = ARROW_TYPES[contract.by_name[name].type]
        features = features.append_column(name, pa.nulls(rows.num_rows, kind))
    features = features.select(kept).append_column(PREDICTION, rows[answers])
    newest = pc.max(rows["predicted_at"]).as_py()
    counted = [datetime.fromtimestamp(each.newest, UTC) for each in found.kept.units.values()]
    return CurrentRows(
        kind="service",
        source=f"{rows.num_rows + found.kept.rows:,} predictions of the service since "
        f"{since:%Y-%m-%d %H:%M}",
        features=features,
        times=_times(rows["predicted_at"]),
        at=max([LONG_AGO if newest is None else newest.replace(tzinfo=UTC), *counted]),
        scores=rows["score"].to_numpy(),
        log=found,
    )


def _rows_of_batch(place: Place) -> CurrentRows:
    """The newest run's rows; earlier runs were judged by earlier checks.

    Days are runs of one batch: of small ones so many are judged together as a verdict needs.
    """
    lakehouse, contract, champion = place.lakehouse, place.contract, place.champion
    table = predictions_table(contract)
    nothing = CurrentRows("batch", "no batch run", typed_features([], contract))
    if unfinished := unfinished_run(lakehouse, contract):
        step(f"{table}: {unfinished}; what was scored before it is judged")
    if not lakehouse.exists(table):
        return nothing
    scored = lakehouse.read(table)
    scored = scored.filter(scored.model_version == champion.version)
    marks = [TRAINING_ROW] if TRAINING_ROW in scored.columns else []
    new = (~scored[TRAINING_ROW].fill_null(False)).sum() if marks else scored.count()
    runs = scored.group_by("run_id").agg(finished=scored.predicted_at.max(), new=new)
    listed = lakehouse.collect(runs.order_by([runs.finished.desc(), runs.run_id])).to_pylist()
    if not listed:
        return nothing
    finished = listed[0]["finished"]
    names = _judged_together(listed, place.settings.monitoring.minimum_rows)
    run_id = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    has_time = contract.has_time and EVENT_TIME in scored.columns
    rows = lakehouse.collect(
        scored.filter(scored.run_id.isin(names)).select(
            *contract.feature_names, *marks, *([EVENT_TIME] if has_time else [])
        )
    )
    all_rows = rows.num_rows
    if marks:
        rows = rows.filter(pc.invert(pc.fill_null(rows[TRAINING_ROW], False)))
    known = all_rows - rows.num_rows
    return CurrentRows(
        kind="batch",
        source=_told(f"batch run {run_id}", known),
        features=rows.select(contract.feature_names),
        times=_times(rows[EVENT_TIME])
        if has_time
        else np.full(rows.num_rows, finished, dtype="M8[s]"),
        training_rows=known,
        at=finished.replace(tzinfo=UTC),
    )


def _judged_together(runs: Sequence[Mapping[str, Any]], minimum: int) -> list[str]:
    """The newest run; or the newest batch's days, and earlier days until there are enough rows.

    Args:
        runs: Of the champion, the newest first: `run_id`, `finished`, and the number of `new` rows.
        minimum: Rows that a verdict needs.
    """
    newest = runs[0]
    if not is_day(newest["run_id"]):
        return [newest["run_id"]]
    names, rows = [], 0
    for run in (each for each in runs if is_day(each["run_id"])):
        if run["finished"] != newest["finished"] and rows >= minimum:
            break
        names.append(run["run_id"])
        rows += run["new"]
    return sorted(names)


def _told(source: str, known: int) -> str:
    if not known:
        return source
    return f"{source} ({known:,} rows of the champion's training data left out)"


def _times(column: pa.ChunkedArray) -> Times:
    times: Times = column.cast(pa.timestamp("s"), safe=False).to_numpy().astype("M8[s]")
    return times
