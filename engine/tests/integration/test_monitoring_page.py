"""The monitoring page of a project with nothing, of one that is watched, and of broken stores."""

import json
import re
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from goldpath.cli.app import app
from goldpath.contract import load_contract
from goldpath.jobs.data.report import write_figures
from goldpath.jobs.upkeep.log_compaction import compact_logs
from goldpath.judging.validation import HTML_REPORT
from goldpath.monitor import predictions as counting
from goldpath.monitor.page import render_page
from goldpath.monitor.predictions import BATCH, SERVICE, PredictionCounter
from goldpath.monitor.server import MonitorServer
from goldpath.monitor.state import MonitorReader
from goldpath.monitor.stores import read_section
from goldpath.monitor.written_reports import KNOWN
from goldpath.services.relocation import relocate_project
from goldpath.serving.metrics.reports import TEXTFILE
from goldpath.serving.metrics.service import METRIC_NAMES
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog
from goldpath.settings import Settings, load_settings

from ..conftest import Trained
from ..monitored_project import ROWS_A_DAY, UNLABELLED_DAYS, serve_for_days, watch
from ..ports import free_port

DAYS, SHIFTED = 6, 3
DRIFTED = SHIFTED + 1
"""Squares of the dearer column: the service's days, and the batch run as a whole."""

direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(autouse=True)
def no_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing answers where Prometheus and Alertmanager would."""
    for server in ("PROMETHEUS", "ALERTMANAGER"):
        monkeypatch.setenv(f"MLOPS_MONITORING__{server}_PORT", str(free_port()))


@pytest.fixture(scope="module")
def monitored(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A project that was served for six days, the last three of them with dearer customers."""
    root = tmp_path_factory.mktemp("monitored") / "project"
    shutil.copytree(trained.settings.root, root, ignore=shutil.ignore_patterns("logs"))
    settings = load_settings(root)
    relocate_project(settings)
    serve_for_days(settings, trained.contract, DAYS, SHIFTED)
    watch(settings, trained.contract)
    write_figures(settings, trained.contract, trained.data)
    return settings


@contextmanager
def shown(settings: Settings) -> Iterator[MonitorServer]:
    """The page's server, on a free port."""
    with MonitorServer(settings, load_contract(settings.root)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def page_of(settings: Settings, now: datetime | None = None) -> str:
    """The page as people read it."""
    state = MonitorReader(settings, load_contract(settings.root)).read(now or datetime.now(UTC))
    return unescape(render_page(state, reports="", is_live=False))


def test_a_new_project_says_what_to_run(project: Settings) -> None:
    done = CliRunner().invoke(
        app, ["monitor-page", "--json"], env={"MLOPS_ROOT": str(project.root)}
    )

    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["champion"] == "none"
    page = unescape((project.reports / "monitor.html").read_text(encoding="utf-8"))
    assert "there is no model registry yet <code>make train-local</code>" in page
    assert "No source was checked yet. <code>make drift-check</code>" in page
    assert "Nothing was predicted in the last 30 days" in page
    assert "none: make data" in page
    assert "cannot be read" not in page
    assert not (project.root / "mlflow" / "mlflow.db").exists(), "a look makes no registry"


@pytest.mark.slow
def test_a_watched_project_shows_drift_by_column_and_quality_by_day(monitored: Settings) -> None:
    page = page_of(monitored)

    assert '<span class="pill bad">ALARM</span>' in page
    assert "Alarm:</span> Drift (service): monthly_charges" in page
    drifted = page.count('<td class="drift" title="monthly_charges, ')
    assert drifted == DRIFTED
    assert len(re.findall(r'<td class="level-\d" title="age, \d{4}-[^"]*counts from', page)) == DAYS
    assert f"{(DAYS - UNLABELLED_DAYS) * ROWS_A_DAY:,} labels since" in page
    estimated, labelled = DAYS, DAYS - UNLABELLED_DAYS
    assert page.count('<line class="whisker first"') == estimated + labelled, "intervals"
    assert page.count("estimated without labels: roc_auc 0.") >= 2, "of the service, of the batch"
    assert page.count('aria-label="roc_auc over time"') == 2, "estimated, and by labels"
    assert "version 1 passed" in page
    assert "<td>promoted</td><td>champion</td>" in page
    assert 'href="data.html"' in page
    assert 'href="model_card.md"' in page


@pytest.mark.slow
def test_what_checks_write_fills_every_figure_that_prometheus_reads(monitored: Settings) -> None:
    """The dashboards' queries are tested with reports by hand; these are of real checks."""
    text = (monitored.reports / TEXTFILE).read_text(encoding="utf-8")
    found = {family.name for family in text_string_to_metric_families(text) if family.samples}
    of_reports = ("ml_data_", "ml_drift_", "ml_live_", "ml_model_test_metric")

    missing = {name for name in METRIC_NAMES if name.startswith(of_reports)} - found

    assert missing == {
        "ml_drift_unjudged_since_timestamp_seconds",  # every source was judged
        *("ml_live_value", "ml_live_value_mean", "ml_live_value_decisions"),  # no decision.values
    }


@pytest.mark.slow
def test_predictions_are_counted_once_wherever_they_are(monitored: Settings) -> None:
    contract = load_contract(monitored.root)
    now = datetime.now(UTC)
    counter = PredictionCounter(monitored, contract)

    before = counter.count(now)
    again = counter.count(now)
    compact_logs(monitored, contract, seal=False)
    after = counter.count(now)

    def figures(found: counting.Predictions) -> dict[str, list[tuple[int, float, list[int]]]]:
        return {
            source: [(each.count, round(each.total, 6), each.bins) for each in days.values()]
            for source, days in found.by_source.items()
        }

    assert len(before.by_source[SERVICE]) == DAYS
    assert sum(each.count for each in before.by_source[BATCH].values()) > ROWS_A_DAY
    assert figures(again) == figures(before), "a segment that was read before counts once"
    assert figures(after) == figures(before)
    for days in before.by_source.values():
        for scores in days.values():
            assert sum(scores.bins) == scores.count


def test_a_log_that_is_too_long_for_one_look_is_said(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.root / project.serving.prediction_log
    now = datetime.now(UTC)
    for number in range(3):
        log = PredictionLog(folder)
        log.write([LoggedPrediction(f"{number}", now.isoformat(), "1", {}, "no", 0.2)])
        log.close()
    segment = next(folder.glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes() + b"{torn\n")
    monkeypatch.setattr(counting, "MOST_BYTES", 1)
    counter = PredictionCounter(project, load_contract(project.root))

    looks = [counter.count(now) for _ in range(5)]

    counts = [sum(each.count for each in look.by_source[SERVICE].values()) for look in looks]
    assert counts[0] == 1
    assert sorted(counts) == counts
    assert counts[-2:] == [3, 3]
    assert [look.uncounted > 0 for look in looks] == [True, True, True, False, False]
    assert looks[-1].unreadable == 1


def test_of_a_segment_that_grows_only_what_is_new_is_parsed(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project.root / project.serving.prediction_log
    now = datetime.now(UTC)
    old, growing = PredictionLog(folder), PredictionLog(folder)
    line = LoggedPrediction("1", now.isoformat(), "1", {}, "no", 0.2)
    old.write([line] * 20)
    growing.write([line] * 20)
    size = growing_size = next(folder.glob("*.jsonl")).stat().st_size
    monkeypatch.setattr(counting, "MOST_BYTES", growing_size)
    counter = PredictionCounter(project, load_contract(project.root))

    looks = []
    for _ in range(4):
        looks.append(counter.count(now))
        growing.write([line])
    for file in folder.glob("*.jsonl"):
        with file.open("ab") as torn:
            torn.write(b'{"at": "')
    last = counter.count(now)
    for file in folder.glob("*.jsonl"):
        blanked = file.read_bytes().split(b"\n", 1)
        file.write_bytes(b" " * len(blanked[0]) + b"\n" + blanked[1])  # as `forget` does
    forgotten = counter.count(now)
    for log in (old, growing):
        log.close()

    counts = [sum(each.count for each in look.by_source[SERVICE].values()) for look in looks]
    assert counts[0] == 20
    assert counts[1] >= 39, "what was read of the growing segment is not read again"
    assert counts[-1] == 43
    assert looks[0].uncounted == size
    assert looks[-1].uncounted == 0
    assert last.unreadable == 2, "a line that is being written, or was torn, in either"
    assert sum(each.count for each in last.by_source[SERVICE].values()) == 44
    assert sum(each.count for each in forgotten.by_source[SERVICE].values()) < 44


@pytest.mark.slow
def test_stores_that_are_broken_are_lines_and_the_rest_is_shown(
    monitored: Settings, tmp_path: Path
) -> None:
    root = tmp_path / "broken"
    shutil.copytree(monitored.root, root)
    broken = load_settings(root)
    (broken.reports / "drift" / "service.json").write_text('{"verdict": "dri')
    (broken.reports / "feedback.json").write_text('{"quality": {"verdict": "splendid"}}')
    (root / "mlflow" / "mlflow.db").write_text("no database")
    (root / "audit" / "retraining.jsonl").write_text("{\n")
    (root / "lake" / "catalog.db").write_text("no catalog")

    with shown(broken) as server, direct.open(server.url) as answer:
        assert answer.status == 200
        page = unescape(answer.read().decode())

    assert "reports/drift/service.json is no JSON" in page
    assert 'make drift-check ARGS="--source service"' in page
    assert "reports/feedback.json is of another form" in page
    assert "<h3>batch</h3>" in page, "the other source is shown"
    assert "mlflow.db is damaged" in page
    assert "retraining.jsonl, line 1 is damaged" in page
    assert "catalog.db" in page, "the lake's catalog is named"
    for tile, value in (("champion", "none known"), ("live quality", "not known")):
        assert f"<span>{tile}</span><b>{value}</b>" in page
    assert "No source was checked yet" not in page
    assert "Nothing has run yet" not in page
    assert "Prometheus does not answer" in page
    assert 'href="reports/data.html"' in page, "what is left is shown"
    assert "Traceback" not in page


@pytest.mark.slow
def test_the_server_shows_known_reports_and_nothing_else(monitored: Settings) -> None:
    with shown(monitored) as server:
        with direct.open(f"{server.url}/reports/data.html") as answer:
            assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
            assert b"Where the rows go" in answer.read()
        for path in (
            "/reports/training.json",
            "/reports/../config/project.yaml",
            "/reports/%2e%2e/.env",
            "/reports/",
            "/config/project.yaml",
        ):
            with pytest.raises(urllib.error.HTTPError, match="404") as error:
                direct.open(f"{server.url}{path}")
            error.value.close()
        foreign = urllib.request.Request(server.url, headers={"Host": "evil.example.com"})
        with pytest.raises(urllib.error.HTTPError, match="403") as error:
            direct.open(foreign)
        error.value.close()
        assert server.server_address[0] == "127.0.0.1"


@pytest.mark.slow
def test_looks_within_seconds_read_the_stores_once(monitored: Settings) -> None:
    with shown(monitored) as server:
        first = server.page()
        (monitored.reports / "automl.html").write_text("<p>new</p>")
        try:
            assert server.page() == first
            server.kept_seconds = 0
            assert 'href="reports/automl.html"' in server.page()
        finally:
            (monitored.reports / "automl.html").unlink()


def test_another_contract_is_shown_at_the_next_look_and_a_broken_one_is_said(
    project: Settings,
) -> None:
    file = project.root / "config" / "project.yaml"
    text = file.read_text(encoding="utf-8")
    with shown(project) as server:
        server.kept_seconds = 0
        file.write_text(text.replace("dataset: customer_churn", "dataset: other_customers"))
        with direct.open(server.url) as answer:
            assert "<h1>other_customers</h1>" in answer.read().decode()
        file.write_text(text.replace("problem: classification", "problem: guessing"))
        with pytest.raises(urllib.error.HTTPError, match="503") as error:
            direct.open(server.url)
        with error.value:
            assert "problem" in error.value.read().decode()
        file.write_text(text)
        with direct.open(server.url) as answer:
            assert answer.status == 200


@pytest.mark.slow
def test_a_history_of_an_older_goldpath_is_shown_and_said(
    monitored: Settings, tmp_path: Path
) -> None:
    root = tmp_path / "older"
    shutil.copytree(monitored.root / "config", root / "config")
    shutil.copytree(monitored.reports, root / "reports")
    file = root / "reports" / "drift" / "service.json"
    values = json.loads(file.read_text())
    for window in values["history"]:
        del window["distances"], window["estimate"]
    file.write_text(json.dumps(values))

    page = page_of(load_settings(root))

    assert page.count('<td class="drift" title="monthly_charges, ') == DRIFTED
    assert "their distances are not known" in page


def test_whatever_a_library_raises_is_a_line() -> None:
    def read() -> int:
        raise RuntimeError("page 7 is torn")

    assert read_section("the lake", read).problem == (
        "the lake cannot be read: RuntimeError: page 7 is torn"
    )


def test_the_links_are_those_that_the_steps_write() -> None:
    names = {each.name for each in KNOWN}

    assert HTML_REPORT in names
    assert {"data.html", "automl.html", "drift.html", "model_card.md", "evaluation.png"} <= names


def test_an_old_prediction_is_left_out(project: Settings) -> None:
    now = datetime.now(UTC)
    log = PredictionLog(project.root / project.serving.prediction_log)
    log.write(
        [
            LoggedPrediction(
                f"{days}", (now - timedelta(days=days)).isoformat(), "1", {}, "no", 1.0
            )
            for days in (0, 3, 40)
        ]
    )
    log.close()

    found = PredictionCounter(project, load_contract(project.root)).count(now)

    assert len(found.by_source[SERVICE]) == 2
    assert len(found.days) == 7
    assert found.of_day(now.date()).bins[-1] == 1, "1.0 is in the highest tenth"
