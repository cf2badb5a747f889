"""A series that is asked for a day ahead, the whole way: adopted, trained, scored and served.

Nothing younger than the horizon may reach a model, in training as in the service.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from goldpath.contract import load_contract
from goldpath.errors import NotEnoughDataError
from goldpath.features.learned import learned_contract
from goldpath.features.window.materialized import WrittenTiles
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.adoption import adopt_file
from goldpath.jobs.data.leaks import check_leaks
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.drift.live_performance import live_performance
from goldpath.jobs.promotion.promote import promote
from goldpath.jobs.training.stages import train
from goldpath.jobs.upkeep.log_compaction import compact_logs
from goldpath.jobs.upkeep.materialization import materialize
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import gold_table, predictions_table, served_table
from goldpath.serving.api import create_service
from goldpath.serving.prediction_log import read_log
from goldpath.settings import Settings, load_settings

from ..api.conftest import until
from ..api.examples import TestClient
from ..conftest import forget_variables
from ..prepared_projects import PreparedProjects
from ..ready_made import add_ready_made

pytestmark = pytest.mark.slow

HOUR = timedelta(hours=1)
LAST = datetime.now(UTC).replace(tzinfo=None, minute=0, second=0, microsecond=0)
HOURS = 48 * 24
LAGS = {"load_lag_24h": 24, "load_lag_2d": 48, "load_lag_7d": 168, "load_lag_14d": 336}
NAMES = [*LAGS, "load_mean_24h", "load_mean_7d"]
GAP = LAST - 30 * 24 * HOUR
"""An hour that the series does not have."""


def temperature(at: datetime) -> float:
    return round(Random(at.isoformat()).gauss(12, 5), 2)


def loads() -> dict[datetime, float]:
    dice = Random(3)
    times = [LAST - place * HOUR for place in range(HOURS)][::-1]
    return {
        each: round(
            100
            + 40 * math.sin(each.hour * math.pi / 12)
            + 25 * (each.weekday() >= 5)
            - 4 * temperature(each)
            + dice.gauss(0, 6),
            1,
        )
        for each in times
        if each != GAP
    }


def write(file: Path, rows: dict[datetime, float]) -> Path:
    lines = [
        f"{at:%Y-%m-%dT%H:%M:%S},{at.hour},{temperature(at)},{load}" for at, load in rows.items()
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["at,hour,temperature,load", *lines, ""]), encoding="utf-8")
    return file


def series_with_champion(settings: Settings) -> tuple[str, ...]:
    """A series of 48 days, adopted with a horizon of a day, and a champion."""
    add_ready_made(settings)
    file = write(settings.root / "data" / "series.csv", loads())
    adopted = adopt_file(settings, file, "load", None, None, None, horizon="24h")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_TRAINING__TRIALS", "1")
        patch.setenv("MLOPS_TRAINING__FAMILIES", '["linear"]')  # the series is made of sums
        patch.setenv("MLOPS_TRAINING__PARITY_ROWS", "1000")
        own = load_settings(settings.root)
        contract = load_contract(settings.root)
        refresh(own, contract)
        candidate = train(own, contract, "first")
        promote(own, contract, candidate.model_version)
    forget_variables()
    return adopted.notes


@pytest.fixture
def series(prepared_projects: PreparedProjects) -> tuple[Settings, tuple[str, ...]]:
    settings, notes = prepared_projects.restore(series_with_champion)
    return load_settings(settings.root), notes


@contextmanager
def service(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_service(settings, load_contract(settings.root))) as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client


def mean(values: list[float]) -> float:
    """The mean as windows round it: of the exact sum."""
    return math.fsum(values) / len(values)


def expected(series: dict[datetime, float], at: datetime) -> dict[str, float | None]:
    """The lags and means of a time, by their definition."""
    found = {name: series.get(at - hours * HOUR) for name, hours in LAGS.items()}
    for name, hours in (("load_mean_24h", 24), ("load_mean_7d", 168)):
        times = [at - (24 + each) * HOUR for each in range(hours)]
        known = [series[each] for each in times if each in series]
        found[name] = mean(known) if known else None
    return found


def features(at: datetime) -> dict[str, Any]:
    return {"event_time": f"{at:%Y-%m-%dT%H:%M:%SZ}", "hour": at.hour, "temperature": 11.5}


def rows_of(settings: Settings, table: Any) -> dict[datetime, dict[str, Any]]:
    lakehouse = open_lakehouse(settings)
    return {
        each["event_time"]: each for each in lakehouse.collect(lakehouse.read(table)).to_pylist()
    }


def test_adopting_says_which_lags_are_known_and_why(
    series: tuple[Settings, tuple[str, ...]],
) -> None:
    settings, notes = series
    forecast = load_contract(settings.root).forecast

    assert forecast is not None
    assert (forecast.horizon, forecast.step, forecast.per_entity) == ("24h", "1h", False)
    assert forecast.lags == ("24h", "2d", "7d", "14d")
    assert forecast.season in ("7d", "14d")  # the weekend is what tells the days apart
    said = " ".join(notes)
    assert "the rows are one series, a row every 1h" in said
    assert "asked 24h ahead, a row's younger values are not known yet" in said
    assert "must know the other features 24h ahead (hour, temperature)" in said


def test_gold_holds_what_was_known_a_day_before_each_row(
    series: tuple[Settings, tuple[str, ...]],
) -> None:
    settings, _ = series
    contract, known = load_contract(settings.root), loads()

    gold = rows_of(settings, gold_table(contract))

    assert len(gold) == HOURS - 1
    for at, row in gold.items():
        assert {name: row[name] for name in NAMES} == expected(known, at)
    assert gold[GAP + 24 * HOUR]["load_lag_24h"] is None
    assert refresh(settings, contract).recomputed == ()


def test_a_changed_value_changes_the_later_rows_that_read_it_in_the_same_run(
    series: tuple[Settings, tuple[str, ...]],
) -> None:
    settings, _ = series
    contract, known = load_contract(settings.root), loads()
    changed = LAST - 26 * 24 * HOUR
    known[changed] += 500

    write(settings.root / "data" / "series.csv", known)
    refresh(settings, contract)

    gold = rows_of(settings, gold_table(contract))
    for hours in (0, 24, 168):
        at = changed + hours * HOUR
        assert {name: gold[at][name] for name in NAMES} == expected(known, at)
    assert refresh(settings, contract).recomputed == ()


def test_the_split_leaves_a_horizon_out_and_the_model_is_judged_beside_last_week(
    series: tuple[Settings, tuple[str, ...]],
) -> None:
    settings, _ = series
    reports = settings.reports

    result = json.loads((reports / "training.json").read_text())
    evaluation = json.loads((reports / "evaluation.json").read_text())
    card = (reports / "model_card.md").read_text()

    assert result["split"].endswith("; 23 rows less than 24h before are left out")
    assert result["n_train"] + result["n_test"] == HOURS - 1 - 23
    forecast = load_contract(settings.root).forecast
    assert forecast is not None
    naive = f"the seasonal-naive forecast: the value of load {forecast.season} before"
    assert evaluation["baseline_is"] == result["baseline_is"] == naive
    assert naive in card
    gold = rows_of(settings, gold_table(load_contract(settings.root)))
    newest = sorted(gold)[-result["n_test"] :]
    truth = [gold[at]["load"] for at in newest]
    rest = sum((gold[at]["load"] - gold[at][forecast.naive_column("load")]) ** 2 for at in newest)
    spread = sum((each - sum(truth) / len(truth)) ** 2 for each in truth)
    assert evaluation["baseline"] == pytest.approx(1 - rest / spread)
    assert evaluation["value"] > evaluation["baseline"]


def test_no_feature_of_the_series_knows_the_future(
    series: tuple[Settings, tuple[str, ...]],
) -> None:
    settings, _ = series

    assert check_leaks(settings, load_contract(settings.root)).leaks == ()


def test_the_service_and_a_batch_say_the_same_of_tomorrow(
    series: tuple[Settings, tuple[str, ...]],
) -> None:
    settings, _ = series
    contract, known = load_contract(settings.root), loads()
    materialize(settings, contract)
    asked = [LAST + ahead * HOUR for ahead in (1, 13, 24)]

    with service(settings) as client:
        alone = [client.post("/predict", json={"features": features(at)}) for at in asked]
        instances = [features(at) for at in asked]
        together = client.post("/predict/batch", json={"instances": instances})
        explained = client.post("/explain", json={"features": features(asked[0])})
        described = client.get("/model").json()["features"]["load_lag_24h"]

    served = [each.json()["prediction"] for each in alone]
    assert [each["prediction"] for each in together.json()["predictions"]] == served
    parts = {each["feature"]: each["value"] for each in explained.json()["contributions"]}
    assert parts["load_lag_7d"] == known[asked[0] - 168 * HOUR]
    assert described.startswith("looked up by the service for the row's time, not sent")
    lines = read_log(settings.root / settings.serving.prediction_log, 1_000)
    kept = {line["prediction_id"]: line for line in lines}
    for at, answer in zip(asked, alone, strict=True):
        logged = kept[answer.json()["prediction_id"]]
        assert {name: logged["features"][name] for name in NAMES} == expected(known, at)
        assert logged["target_time"] == f"{at:%Y-%m-%dT%H:%M:%S}+00:00"
    compact_logs(settings, contract)
    lakehouse = open_lakehouse(settings)
    moved = lakehouse.collect(lakehouse.read(served_table(contract))).to_pylist()
    times = {row["prediction_id"]: row["target_time"] for row in moved}
    assert [times[each.json()["prediction_id"]] for each in alone] == asked

    with pytest.raises(NotEnoughDataError, match="no label found its prediction"):
        live_performance(settings, contract)
    happened = {at: served[place] + 10 for place, at in enumerate(asked)}
    write(settings.root / "data" / "series.csv", {**known, **happened})
    refresh(settings, contract)
    lived = live_performance(settings, contract)
    (version,) = lived.versions
    assert (version.predictions, version.labelled, lived.labels) == (6, 6, 6)
    assert version.metrics["mae"] == pytest.approx(10)
    write(settings.root / "data" / "series.csv", known)
    refresh(settings, contract)

    file = settings.root / "data" / "tomorrow.csv"
    asked_rows = [f"{at:%Y-%m-%dT%H:%M:%S},{at.hour},11.5," for at in asked]
    text = "\n".join(["at,hour,temperature,load", *asked_rows, ""])
    file.write_text(text, encoding="utf-8")
    predict_batch(settings, contract, data=file, run_id="tomorrow")
    scored = rows_of(settings, predictions_table(contract))
    assert [scored[at]["score"] for at in asked] == served
    for at in asked:
        assert {name: scored[at][name] for name in NAMES} == expected(known, at)


def test_times_that_cannot_be_answered_are_refused_with_a_sentence(
    series: tuple[Settings, tuple[str, ...]],
) -> None:
    settings, _ = series
    materialize(settings, load_contract(settings.root))
    without = {"hour": 3, "temperature": 11.5}

    with service(settings) as client:
        refused = {
            name: client.post("/predict", json={"features": sent})
            for name, sent in {
                "none": without,
                "number": {**without, "event_time": 1_700_000_000},
                "beyond": features(LAST + 26 * HOUR),
                "past": features(LAST - 48 * HOUR),
            }.items()
        }

    assert {name: each.status_code for name, each in refused.items()} == dict.fromkeys(refused, 422)
    assert "event_time" in refused["none"].text
    assert "not a time such as" in refused["number"].text
    assert "more than 24h ahead" in refused["beyond"].json()["detail"]
    assert "is over" in refused["past"].json()["detail"]


def test_a_store_that_does_not_know_the_needed_rows_yet_is_said(
    series: tuple[Settings, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _ = series
    contract = load_contract(settings.root)
    earlier = LAST - 5 * HOUR
    monkeypatch.setattr("goldpath.jobs.upkeep.materialization._now", lambda: earlier)
    (settings.root / "lake" / "online.db").unlink()
    written = materialize(settings, contract).windows
    assert written == dict.fromkeys(written, WrittenTiles(1, 0))
    assert len(written) == len(NAMES) == len(learned_contract(settings, contract).window_features)

    with service(settings) as client:
        answer = client.post("/predict", json={"features": features(LAST + 24 * HOUR)})

    assert answer.status_code == 503
    assert "the online store knows series until" in answer.json()["detail"]
