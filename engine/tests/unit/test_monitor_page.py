"""What the monitoring page says of verdicts on other versions and models, and of odd files."""

import dataclasses
import json
import re
import socket
import time
import urllib.error
import urllib.request
from html import unescape
from typing import Any

import pytest

from goldpath.contract import load_contract
from goldpath.models.folders import with_model
from goldpath.monitor import state
from goldpath.monitor.charts import drift_card, prediction_columns
from goldpath.monitor.drift_windows import ColumnShift, NothingCompared, read_drift
from goldpath.monitor.page import render_page
from goldpath.monitor.quality import PeriodValue, read_quality
from goldpath.monitor.running import OpenAlert, OpenAlerts
from goldpath.monitor.server import MonitorServer
from goldpath.monitor.state import MonitorReader, MonitorState
from goldpath.monitor.stores import Section
from goldpath.pages.charts import COLUMNS_WIDTH
from goldpath.settings import Settings

from ..alert_receivers import running
from ..page_samples import WHEN, samples

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def sample(champion: str = "3", **changes: Any) -> MonitorState:
    """A full page, with a champion of its own."""
    full: MonitorState = samples()["monitor"].values
    assert full.registry.value is not None
    registry = full.registry.value.model_copy(update={"aliases": {"champion": champion}})
    return dataclasses.replace(full, registry=Section(registry), **changes)


def page_of(shown: MonitorState, **how: Any) -> str:
    return unescape(render_page(shown, reports="", is_live=bool(how), **how))


def tile(page: str, name: str) -> str:
    (value,) = re.findall(f"<span>{name}</span><b>([^<]*)</b>", page)
    return str(value)


def test_what_was_said_of_a_former_champion_is_not_said_of_the_new_one() -> None:
    checked = sample()
    assert {each.value.model_version for each in checked.drift if each.value} == {"3"}
    judged = page_of(checked)
    assert tile(judged, "drift") == "drift"

    page = page_of(sample(champion="5"))

    assert tile(page, "drift") == "not checked"
    assert tile(page, "live quality") == "not judged"
    assert "Version 5 was not checked yet" in page
    assert "Live quality of version 5 was not judged yet" in page
    assert "Alarm:</span> Drift" not in page
    assert "Of version 3, and version 5 serves: " in page
    assert page.count("OF VERSION 3") == len(checked.drift)
    assert "of version" not in judged.lower()


def test_a_check_that_compared_nothing_is_said_beside_the_verdict_that_stands() -> None:
    verdict = sample().drift[1].value
    assert verdict is not None
    nothing = NothingCompared(
        checked_at=WHEN, message="nothing new to compare: 900 of 900 rows are of the training"
    )
    silent = verdict.model_copy(update={"nothing_compared": nothing})

    page = page_of(sample(drift=(Section(silent),)))

    said = f"{WHEN:%Y-%m-%d %H:%M} UTC compared nothing</strong>: nothing new to compare: 900"
    assert said in page
    assert f"Drift (batch), {WHEN:%Y-%m-%d %H:%M} UTC: nothing new to compare: 900" in page
    assert "no drift" in page, "the last verdict"
    without = page_of(sample(drift=(Section(verdict),)))
    assert "compared nothing" not in without
    fresh = silent.model_copy(update={"verdict": "insufficient"})
    assert tile(page_of(sample(drift=(Section(fresh),))), "drift") == "no verdict"


def test_reports_of_another_model_are_passed_over_and_old_ones_without_a_name_are_shown(
    project: Settings,
) -> None:
    drift, quality = (value.value for value in (sample().drift[1], sample().quality))
    assert drift is not None
    assert quality is not None
    for name, is_shown in (("", True), ("mine", True), ("houses", False)):
        write(project, "drift/batch.json", drift.model_copy(update={"model_name": name}))
        write(project, "feedback.json", quality.model_copy(update={"model_name": name}))

        assert (read_drift(project.reports, "batch", "mine") is not None) == is_shown
        assert (read_quality(project.reports, "mine") is not None) == is_shown


def test_the_page_says_what_decisions_were_worth_and_nothing_where_nobody_knows() -> None:
    quality = sample().quality.value
    assert quality is not None
    day = PeriodValue(
        period="day", start="2026-03-02", predictions=900, labelled=40, mean=12.5, total=4500.0
    )
    told = quality.model_copy(update={"values": (day,), "unit": "dollars"})

    page = page_of(sample(quality=Section(told)))

    assert "What decisions were worth, in dollars" in page
    assert "day of 2026-03-02" in page
    assert "<td>4,500.00</td><td>12.5</td>" in page
    assert "What decisions were worth" not in page_of(sample())


def write(project: Settings, name: str, values: Any) -> None:
    file = project.reports / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(values.model_dump_json(), encoding="utf-8")


def test_each_command_of_a_further_models_page_names_the_model() -> None:
    nothing = dataclasses.replace(samples()["monitor of nothing"].values, model="revenue")
    for shown in (sample(model="revenue"), sample(champion="5", model="revenue"), nothing):
        commands = re.findall(r"make (?:[a-z-]+)(?: [a-z-]+)*", page_of(shown))
        about = [each for each in commands if with_model(each, "x") != each]
        named = re.findall(r"make [a-z -]+ MODEL=revenue", page_of(shown))

        assert len(named) == len(about) > 0
    assert "MODEL=" not in page_of(sample())


def test_the_name_of_a_model_is_added_once() -> None:
    once = with_model("make data train-local, or make data-report ARGS=--json", "revenue")

    assert (
        once == "make data train-local MODEL=revenue, or make data-report MODEL=revenue ARGS=--json"
    )
    assert with_model(once, "revenue") == once


def test_a_limit_of_nothing_is_a_line_and_the_rest_is_shown(project: Settings) -> None:
    check = sample().drift[0].value
    assert check is not None
    write(project, "drift/batch.json", check)
    file = project.reports / "drift" / "batch.json"
    values = json.loads(file.read_text())
    values["columns"][0]["limit"] = 0
    file.write_text(json.dumps(values))

    found = MonitorReader(project, load_contract(project.root)).read(WHEN)

    assert "reports/drift/batch.json is of another form: columns.0.limit" in page_of(found)


def test_what_nobody_expected_is_an_answer_that_names_it(
    project: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    project.reports.write_text("a file where the folder was")
    server = MonitorServer(project, load_contract(project.root))
    with running(server), pytest.raises(urllib.error.HTTPError, match="503") as error:
        direct.open(server.url)

    with error.value:
        assert "NotADirectoryError" in error.value.read().decode()
    assert "Traceback" in caplog.text


def test_a_registry_that_accepts_and_does_not_answer_holds_up_nothing_else(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "SECONDS", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        waiting = project.model_copy(update={"tracking_uri": uri})
        reader = MonitorReader(waiting, load_contract(project.root))
        started = time.monotonic()

        looks = [reader.read(WHEN), reader.read(WHEN)]

        assert time.monotonic() - started < 3, "the second look does not wait for it again"
    for each in looks:
        assert each.registry.problem == "the registry: no answer in time"
        assert each.predictions.value is not None
        assert each.sources.value is not None


def test_open_alerts_name_their_model_and_a_silenced_one_is_no_alarm() -> None:
    state = ("batch", "suppressed", "2026-11-20T11:00:00", "Rows of batch are unlike.")
    alerts = (OpenAlert("DriftDetected", *state, model="revenue"), OpenAlert("HighLatency", *state))

    page = page_of(sample(alerts=Section(OpenAlerts("Alertmanager", alerts))))

    assert tile(page, "open alerts") == "0"
    assert "Alarm:</span> Alert" not in page
    assert "<td>DriftDetected</td><td>batch</td><td>revenue</td><td>suppressed</td>" in page
    assert "<td>HighLatency</td><td>batch</td><td>-</td>" in page


def test_the_columns_that_drifted_come_before_those_that_moved_further() -> None:
    names = [f"c{number:02}" for number in range(41)]
    columns = [
        ColumnShift(name=name, effect=1 if name == "c40" else 9, limit=1, drifted=name == "c40")
        for name in names
    ]
    check = sample().drift[0].value
    assert check is not None
    whole = check.model_copy(update={"columns": tuple(columns), "history": (), "window": ""})

    card = drift_card(whole)

    assert [row.name for row in card.map.rows] == ["c40", *names[:39]]
    assert card.left_out == "the 40 columns that moved most, of 41"


def test_the_page_says_how_often_it_is_read_again() -> None:
    assert "again every minute." in page_of(sample(), look_again_seconds=60)
    assert "again every 5 minutes." in page_of(sample(), look_again_seconds=300)


def test_the_last_days_predictions_stand_above_its_date() -> None:
    predictions = sample().predictions.value
    assert predictions is not None

    columns = prediction_columns(dataclasses.replace(predictions, days=predictions.days[-7:]))

    assert COLUMNS_WIDTH * 0.95 < max(each.x + each.width for each in columns) < COLUMNS_WIDTH
