"""Sealed segments become rows of the lake: every line once, whatever happens meanwhile."""

import json
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pytest

from goldpath.contract import Contract, load_contract, parse_contract
from goldpath.forecast import Forecast
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.drift.kept_log import KeptLog
from goldpath.jobs.drift.new_lines import Log, read_new
from goldpath.jobs.drift.served_predictions import judged_since
from goldpath.jobs.upkeep.log_compaction import compact_logs
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import served_table
from goldpath.serving.feedback import FeedbackLog
from goldpath.serving.log.segments import Rotation, segments
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog, read_log
from goldpath.settings import Settings, load_settings

from ..aws_emulation import emulated_aws
from ..conftest import make_project
from ..counts import times
from ..killed_work import KILLED, killed_work

IMPORTS = """
from goldpath.jobs.upkeep.log_compaction import compact_logs
import duckdb, ibis, pyarrow.parquet
import pyiceberg.catalog.sql, pyiceberg.io.pyarrow
import sqlalchemy, sqlalchemy.dialects.sqlite
ibis.duckdb
"""
KILLS = times(5, 10)


def identity(number: int) -> str:
    return str(UUID(int=number))


def features_of(contract: Contract, number: int) -> dict[str, object]:
    values = {"number": number + 0.5, "integer": number % 10, "boolean": number % 2 == 0}
    return {
        feature.name: (feature.categories or ("a",))[0]
        if feature.type == "category"
        else values[feature.type]
        for feature in contract.features
    }


def logged(contract: Contract, number: int, entity: str | None = None) -> LoggedPrediction:
    return LoggedPrediction(
        identity(number),
        f"2026-03-{1 + number % 3:02}T10:{number // 60 % 60:02}:{number % 60:02}.000001+00:00",
        str(1 + number % 2),
        features_of(contract, number),
        contract.target.classes[number % 2],
        0.25,
        entity,
    )


def folder_of(settings: Settings) -> Path:
    return settings.root / settings.serving.prediction_log


def fill(settings: Settings, contract: Contract, numbers: range, *, close: bool = True) -> None:
    log = PredictionLog(folder_of(settings))
    log.write([logged(contract, number) for number in numbers])
    if close:
        log.close()
    else:
        open_logs.append(log)


open_logs: list[PredictionLog] = []
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def close_logs() -> Iterator[None]:
    yield
    while open_logs:
        open_logs.pop().close()


def ids_in_lake(settings: Settings, contract: Contract) -> list[str]:
    lakehouse = open_lakehouse(settings)
    if not lakehouse.exists(served_table(contract)):
        return []
    rows = lakehouse.collect(lakehouse.read(served_table(contract)).select("prediction_id"))
    return sorted(rows["prediction_id"].to_pylist())


def test_lines_become_typed_rows_by_day(project: Settings) -> None:
    contract = load_contract(project.root)
    fill(project, contract, range(6))

    result = compact_logs(project, contract)

    assert (result.predictions, result.segments, result.torn_lines) == (6, 1, 0)
    assert segments(folder_of(project)) == []
    lakehouse = open_lakehouse(project)
    rows = lakehouse.collect(lakehouse.read(served_table(contract))).to_pylist()
    by_id = {row["prediction_id"]: row for row in rows}
    for number in range(6):
        row = by_id[identity(number)]
        assert row["_day"] == f"2026-03-{1 + number % 3:02}"
        moment = f"2026-03-{1 + number % 3:02}T10:00:0{number}.000001"
        assert row["predicted_at"].isoformat() == moment
        assert {name: row[name] for name in contract.feature_names} == features_of(contract, number)
        assert (row["model_version"], row["score"]) == (str(1 + number % 2), 0.25)
        assert row["_line"] is None


def test_what_is_written_to_stays(project: Settings) -> None:
    contract = load_contract(project.root)
    fill(project, contract, range(2))
    fill(project, contract, range(2, 4), close=False)

    result = compact_logs(project, contract, seal=False)

    assert (result.segments, result.open_segments) == (1, 1)
    assert ids_in_lake(project, contract) == [identity(0), identity(1)]
    assert len(read_log(folder_of(project), 10)) == 2


def test_a_service_seals_what_it_writes_to_when_asked(project: Settings) -> None:
    contract = load_contract(project.root)
    fill(project, contract, range(2), close=False)
    fill(project, contract, range(2, 4), close=False)
    result = compact_logs(project, contract)
    assert (result.predictions, result.segments, result.open_segments) == (4, 2, 0)
    open_logs[0].write([logged(contract, 5)])  # into another segment
    assert len(read_log(folder_of(project), 10)) == 1
    assert compact_logs(project, contract).predictions == 1


def test_the_same_lines_twice_are_one_row_each(project: Settings) -> None:
    contract = load_contract(project.root)
    fill(project, contract, range(5))
    (file,) = segments(folder_of(project))
    lines = file.read_bytes()
    compact_logs(project, contract)
    # What a run that was killed before it deleted the segment leaves; and a copy of it.
    file.write_bytes(lines)
    file.with_name("2026-03-02-1.jsonl").write_bytes(lines + lines)

    result = compact_logs(project, contract)

    assert (result.predictions, result.segments) == (0, 2)
    assert ids_in_lake(project, contract) == [identity(number) for number in range(5)]


def test_a_line_that_no_longer_fits_is_kept_whole(project: Settings) -> None:
    contract = load_contract(project.root)
    name = contract.numeric_features[0]
    line = logged(contract, 1)
    odd = replace(line, features={**line.features, name: "many", "gone": "\ud800"})
    log = PredictionLog(folder_of(project))
    log.write([odd])
    log.close()
    compact_logs(project, contract)

    lakehouse = open_lakehouse(project)
    (row,) = lakehouse.collect(lakehouse.read(served_table(contract))).to_pylist()

    assert row[name] is None
    assert json.loads(row["_line"])["features"] == odd.features
    (served,) = rows_since(project, contract, "2")
    others = [other for other in contract.feature_names if other != name]
    assert served[name] is None
    assert [served[other] for other in others] == [line.features[other] for other in others]


def test_a_feature_of_another_type_than_before_stops_nothing(project: Settings) -> None:
    contract = load_contract(project.root)
    name = contract.category_features[0]
    fill(project, contract, range(1))
    compact_logs(project, contract)
    changed = contract.model_copy(
        update={
            "features": tuple(
                feature.model_copy(update={"type": "number", "categories": None})
                if feature.name == name
                else feature
                for feature in contract.features
            )
        }
    )
    line = logged(contract, 1)
    log = PredictionLog(folder_of(project))
    log.write([replace(line, features={**line.features, name: 1.5})])
    log.close()

    assert compact_logs(project, changed).predictions == 1
    lakehouse = open_lakehouse(project)
    rows = lakehouse.collect(lakehouse.read(served_table(contract))).to_pylist()
    kept = {row["prediction_id"]: row["_line"] for row in rows}
    assert kept[identity(0)] is None
    assert json.loads(kept[identity(1)] or "")["features"][name] == 1.5


def test_the_time_that_is_predicted_is_a_column_and_older_logs_stay_readable(
    project: Settings,
) -> None:
    values = load_contract(project.root).model_dump(exclude_defaults=True)
    values |= {"problem": "regression", "target": {"column": "load"}, "personal": ()}
    before = Contract.model_validate(values)
    step = {"horizon": "1d", "step": "1h", "season": "7d", "lags": ("7d",), "per_entity": True}
    after = before.with_parts(forecast=Forecast.model_validate(step))
    first = datetime(2026, 3, 1, tzinfo=UTC)
    line = LoggedPrediction(
        identity(1), "2026-03-02T10:00:00+00:00", "1", features_of(before, 1), 3.0, 3.0
    )
    log = PredictionLog(folder_of(project))
    log.write([line])
    log.close()
    compact_logs(project, before)
    log.write([replace(line, prediction_id=identity(2), target_time="2026-03-01T10:00:00+00:00")])
    log.write([replace(line, prediction_id=identity(3))])
    log.close()

    assert [row.get("target_time") for row in read_log(folder_of(project), 9)] == [
        None, "2026-03-01T10:00:00+00:00",
    ]  # fmt: skip
    live = predictions_since(project, after, first, "1")
    compact_logs(project, after)
    moved = predictions_since(project, after, first, "1")

    for found in (live, moved):
        times = {row["prediction_id"]: row["target_time"] for row in found.to_pylist()}
        assert times == {
            identity(1): None, identity(2): datetime(2026, 3, 1, 10), identity(3): None
        }  # fmt: skip
    assert [row["_line"] for row in moved.to_pylist()] == [None] * 3


@pytest.mark.parametrize(("name", "labels"), [("hour", 2), ("target_time", 0)])
def test_a_feature_called_like_the_predicted_time_is_no_time(
    project: Settings, name: str, labels: int
) -> None:
    contract = parse_contract(
        f"""
        dataset: loads
        problem: regression
        source: {{path: loads.csv}}
        event_time: {{column: at, interval: day}}
        target: {{column: load}}
        features: [{{name: {name}, type: category}}]
        forecast: {{horizon: 1h, step: 1h, season: 1h, lags: [1h]}}
        """
    )
    times = [f"2026-03-01T{hour:02}:00:00" for hour in range(4)]
    rows = [f"{at},{at},{hour}.0" for hour, at in enumerate(times)]
    (project.root / "loads.csv").write_text("\n".join([f"at,{name},load", *rows]) + "\n", "utf-8")
    refresh(project, contract)
    asked = LoggedPrediction(identity(1), f"{times[2]}+00:00", "1", {name: times[3]}, 3.0, 3.0)
    log = PredictionLog(folder_of(project))
    for number in (1, 2):  # one in the lake, and one in the log
        log.write([replace(asked, prediction_id=identity(number), target_time=f"{times[3]}+00:00")])
        log.close()
        if number == 1:
            compact_logs(project, contract)

    judged = judged_since(project, contract, open_lakehouse(project), LONG_AGO)

    assert len(judged.labels) == labels


def test_torn_lines_are_counted_and_stop_nothing(project: Settings) -> None:
    contract = load_contract(project.root)
    fill(project, contract, range(3))
    (file,) = segments(folder_of(project))
    first, second, third, _ = file.read_bytes().split(b"\n")
    file.write_bytes(b"\n".join([first, b"  ", second[:50], b"[1]", b"\xff", third, third[:-9]]))

    result = compact_logs(project, contract)

    assert (result.predictions, result.torn_lines) == (2, 4)
    assert ids_in_lake(project, contract) == [identity(0), identity(2)]


def predictions_since(
    settings: Settings, contract: Contract, since: datetime, version: str
) -> pa.Table:
    """What a check reads that knows nothing of the log."""
    log = Log(
        folder=folder_of(settings),
        lakehouse=open_lakehouse(settings),
        contract=contract,
        version=version,
        first=int(since.timestamp()) // 3600,
        unit=3600,
    )
    return read_new(log, KeptLog()).rows


def rows_since(
    settings: Settings, contract: Contract, version: str, since: datetime = LONG_AGO
) -> list[dict[str, object]]:
    found = predictions_since(settings, contract, since, version).to_pylist()
    return sorted(found, key=lambda row: str(row["prediction_id"]))


def test_rows_come_from_log_and_lake_once_each(project: Settings) -> None:
    contract = load_contract(project.root)
    fill(project, contract, range(0, 40, 2))
    before = rows_since(project, contract, "1")
    assert len(before) == 20
    compact_logs(project, contract)
    assert rows_since(project, contract, "1") == before
    assert rows_since(project, contract, "2") == []

    fill(project, contract, range(38, 44, 2), close=False)  # the first of them is in the lake

    found = rows_since(project, contract, "1")
    assert [row["prediction_id"] for row in found] == [identity(n) for n in range(0, 44, 2)]
    assert {row["prediction"] for row in found} == {contract.target.classes[0]}


def test_rows_before_the_moment_are_left_out(project: Settings) -> None:
    contract = load_contract(project.root)
    fill(project, contract, range(0, 40, 2))
    since = datetime(2026, 3, 2, tzinfo=UTC)
    live = rows_since(project, contract, "1", since)
    assert {row["_day"] for row in live} == {"2026-03-02", "2026-03-03"}
    compact_logs(project, contract)
    assert rows_since(project, contract, "1", since) == live


def test_old_days_leave_the_lake_where_the_settings_say_so(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = load_contract(project.root)
    fill(project, contract, range(6))  # long ago
    log = PredictionLog(folder_of(project))
    log.write([replace(logged(contract, 7), at=datetime.now(UTC).isoformat())])
    log.close()
    assert compact_logs(project, contract).expired_days == 0
    monkeypatch.setenv("MLOPS_PREDICTION_LOG__RETENTION_DAYS", "30")
    assert compact_logs(load_settings(project.root), contract).expired_days == 3
    assert ids_in_lake(project, contract) == [identity(7)]


def test_empty_segments_go(project: Settings) -> None:
    folder_of(project).mkdir(parents=True)
    (folder_of(project) / "2026-03-01-1.jsonl").touch()
    assert compact_logs(project, load_contract(project.root)).segments == 1
    assert segments(folder_of(project)) == []


@pytest.mark.slow
@pytest.mark.soak
def test_killed_at_any_moment_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    settings = make_project(tmp_path)
    contract = load_contract(settings.root)
    draw = random.Random(5)
    expected: list[str] = []
    killed = 0
    with killed_work(IMPORTS, "compact_logs(settings, contract)", {}) as work:
        whole = 0.0
        for turn in range(2):  # the first run also waits for the server's imports
            fill(settings, contract, range(turn * 100, turn * 100 + 100))
            expected += [identity(number) for number in range(turn * 100, turn * 100 + 100)]
            started = time.monotonic()
            assert work.run(settings.root) == 0
            whole = time.monotonic() - started
        for turn in range(1, 1 + KILLS):
            for part in range(3):
                numbers = range(turn * 1000 + part * 100, turn * 1000 + part * 100 + 100)
                fill(settings, contract, numbers)
                expected += [identity(number) for number in numbers]
            started = time.monotonic()
            ended = work.run(settings.root, draw.uniform(0.05, 0.95) * whole)
            if ended != KILLED:  # quicker than before: the machine has less to do now
                whole = min(whole, time.monotonic() - started)
            killed += ended == KILLED
            held = ids_in_lake(settings, contract)
            live = {row["prediction_id"] for row in read_log(folder_of(settings), 1_000_000)}
            assert len(held) == len(set(held))
            assert set(held) | live == set(expected)
        assert work.run(settings.root) == 0
    assert killed >= 0.4 * KILLS
    assert ids_in_lake(settings, contract) == sorted(expected)
    assert segments(folder_of(settings)) == []


def write_many(folder: Path, contract: Contract, count: int) -> None:
    log = PredictionLog(folder, rotation=Rotation(bytes=20_000))
    for number in range(count):
        log.write([logged(contract, number)])
    log.close()


@pytest.mark.slow
def test_nothing_is_lost_beside_a_service_that_rotates(project: Settings) -> None:
    contract = load_contract(project.root)
    count = 4000
    writer = get_context("spawn").Process(
        target=write_many, args=(folder_of(project), contract, count)
    )
    writer.start()
    moved = 0
    while writer.is_alive():
        moved += compact_logs(project, contract).predictions
    writer.join()
    assert writer.exitcode == 0
    moved += compact_logs(project, contract).predictions
    assert moved == count
    assert ids_in_lake(project, contract) == sorted(identity(number) for number in range(count))


@pytest.mark.slow
def test_it_is_the_same_on_aws(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = load_contract(project.root)
    with emulated_aws() as aws:
        for name, value in aws.environment.items():
            monkeypatch.setenv(name, value)
        there = load_settings(project.root)
        fill(there, contract, range(6))
        (file,) = segments(folder_of(there))
        lines = file.read_bytes()
        assert compact_logs(there, contract).predictions == 6
        file.write_bytes(lines)  # a run that was killed before it deleted the segment
        fill(there, contract, range(6, 9))
        result = compact_logs(there, contract)
        assert (result.predictions, result.segments) == (3, 2)
        assert ids_in_lake(there, contract) == [identity(number) for number in range(9)]
        assert len(rows_since(there, contract, "1")) == 5
        label = FeedbackLog(there)
        label.write(
            [{"prediction_id": identity(0), "label": contract.target.classes[0], "at": None}]
        )
        label.close()
        assert compact_logs(there, contract).labels == 1
