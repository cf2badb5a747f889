"""The committed monitoring, run by a real Prometheus."""

import json
import math
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from goldpath.contract import load_contract
from goldpath.monitor.running import service_traffic
from goldpath.services.otlp.airflow_metrics import metrics_variables, show_to_prometheus
from goldpath.services.otlp.receiver import MetricsReceiver
from goldpath.services.processes import ServerError, stop_server
from goldpath.services.prometheus_server import MonitoringError, start_prometheus, write_targets
from goldpath.serving.metrics.reports import SOURCE_FIGURES
from goldpath.serving.metrics.service import Metrics
from goldpath.settings import Settings, load_settings

from ..dashboard_panels import DASHBOARDS, as_prometheus_is_asked, panels_of, variables_of
from ..locations import PROJECT
from ..ports import free_port
from ..pushed_metrics import WorkingAirflow

PANELS = [
    pytest.param(target["expr"], id=f"{file.stem}-{panel['title']}-{target['refId']}")
    for file in DASHBOARDS
    for panel in panels_of(file)
    for target in panel["targets"]
]
VARIABLES = [
    pytest.param(variable["query"], id=f"{file.stem}-{variable['name']}")
    for file in DASHBOARDS
    for variable in variables_of(file)
    if variable["type"] == "query"
]
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
needs_prometheus = pytest.mark.skipif(
    shutil.which("prometheus") is None or shutil.which("promtool") is None,
    reason="prometheus and promtool are not installed (apt-get install prometheus)",
)


def copy_of_project(root: Path) -> Path:
    for folder in ("config", "infra"):
        shutil.copytree(PROJECT / folder, root / folder)
    return root


@pytest.fixture(scope="module")
def metrics_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The service's own metrics on a port; before each scrape it answers a few requests."""
    reports = tmp_path_factory.mktemp("reports")
    columns = [
        {"name": "age", "effect": 0.4, "limit": 0.1},
        {"name": "region", "effect": 0.02, "limit": 0.1},
    ]
    checked = "2026-01-31T10:00:00+00:00"
    drift = {
        "verdict": "drift",
        "rows": 900,
        "checked_at": checked,
        "judged_at": checked,
        "window_start": "2026-01-30T00:00:00+00:00",
        "detectable": 0.2,
        "columns": columns,
        "moved_and_matters": [{"name": "age", "weight": 1.2}],
        "estimate": {"metric": "roc_auc", "value": 0.81, "reference": 0.84},
    }
    (reports / "drift").mkdir()
    for source, verdict in (("service", "drift"), ("batch", "ok")):
        (reports / "drift" / f"{source}.json").write_text(json.dumps({**drift, "verdict": verdict}))
    (reports / "training.json").write_text(json.dumps({"metric": "roc_auc", "value": 0.84}))
    live = {"model_version": "3", "labelled": 40, "metrics": {"accuracy": 0.8}}
    quality = {"verdict": "low", "model_version": "3", "metric": "roc_auc", "limit": 0.8}
    worth = {"labelled": 40, "mean": 12.5, "total": 500.0}
    values = [{"period": period, **worth} for period in ("day", "week")]
    feedback = {"checked_at": checked, "versions": [live], "quality": quality, "values": values}
    (reports / "feedback.json").write_text(json.dumps(feedback))
    rows = {"bronze": 900, "silver": 880, "quarantined": 20, "duplicate": 0, "gold": 880}
    figures = {"refreshed_at": checked, "newest_event": checked, "rows": rows, "fault": ""}
    (reports / SOURCE_FIGURES).mkdir()
    (reports / SOURCE_FIGURES / "churn.json").write_text(json.dumps(figures))
    metrics = Metrics(load_contract(PROJECT), reports)
    metrics.model_loaded("3")
    further = Metrics(
        load_contract(PROJECT), tmp_path_factory.mktemp("none"), "revenue", "/models/revenue"
    )
    metrics.beside.append(further)

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            for status in (200, 200, 200, 422, 500):
                metrics.request_answered("/predict", "POST", status, 0.004)
            metrics.request_answered("/predict/batch", "POST", 200, 0.004)
            metrics.request_answered("/metrics", "GET", 200, 3)
            metrics.request_answered("/models/revenue/predict", "POST", 200, 0.2)
            metrics.predicted("3", ["no", "no", "yes"])
            metrics.validation_failed("/predict")
            metrics.log_failed(1)
            metrics.model_load_failed()
            metrics.rate_limited("/predict")
            metrics.shadow_compared("4", 0.02)
            metrics.window_looked_up("found")
            body = metrics.render()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def airflow_port() -> Iterator[int]:
    """The receiver of metrics, to which an exporter pushes what Airflow does."""
    over = threading.Event()
    with MetricsReceiver() as server:
        port = server.server_port
        with pytest.MonkeyPatch.context() as patch:
            for name, value in metrics_variables(port).items():
                patch.setenv(name, value)
            airflow = WorkingAirflow()

        def work() -> None:
            while not over.wait(1):
                airflow.work()

        threads = [threading.Thread(target=each) for each in (server.serve_forever, work)]
        for thread in threads:
            thread.start()
        yield port
        over.set()
        threads[1].join()
        airflow.end()
        server.shutdown()
        threads[0].join()


@pytest.fixture(scope="module")
def prometheus(
    tmp_path_factory: pytest.TempPathFactory, metrics_port: int, airflow_port: int
) -> Iterator[Settings]:
    """A Prometheus that started before there was a service, and then saw it come up."""
    root = copy_of_project(tmp_path_factory.mktemp("watched"))
    nobody = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_ROOT", str(root))
        use_free_ports(patch)
        patch.setenv("MLOPS_SERVING__PORT", str(nobody))
        patch.setenv("MLOPS_SERVERS__AIRFLOW_METRICS_PORT", str(airflow_port))
        settings = load_settings(root)
        show_to_prometheus(settings, is_up=True)
        start_prometheus(settings)
        try:
            wait_for(settings, 'up{job="service"} == 0')
            patch.setenv("MLOPS_SERVING__PORT", str(metrics_port))
            settings = load_settings(root)
            assert start_prometheus(settings).state == "already running"
            wait_for(settings, "count_over_time(ml_requests_total[1m]) >= 3")
            wait_for(settings, "count_over_time(airflow_scheduler_heartbeat_total[1m]) >= 3")
            wait_for(settings, 'ALERTS{alertstate="firing"}')
            yield settings
        finally:
            stop_server("prometheus", settings.run_directory)


def use_free_ports(patch: pytest.MonkeyPatch) -> None:
    for server in ("PROMETHEUS", "ALERTMANAGER", "RECEIVER", "PAGE"):
        patch.setenv(f"MLOPS_MONITORING__{server}_PORT", str(free_port()))


def query(settings: Settings, expression: str) -> list[dict[str, Any]]:
    parameters = urllib.parse.urlencode({"query": expression})
    answer = api(settings, f"query?{parameters}")
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


def api(settings: Settings, path: str) -> dict[str, Any]:
    url = f"http://127.0.0.1:{settings.monitoring.prometheus_port}/api/v1/{path}"
    with direct.open(url, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def wait_for(settings: Settings, expression: str, seconds: float = 60) -> list[dict[str, Any]]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if series := query(settings, expression):
            return series
        time.sleep(0.5)
    raise AssertionError(f"no series for {expression} within {seconds:.0f} s")


@pytest.mark.slow
@needs_prometheus
@pytest.mark.parametrize("expression", PANELS)
def test_every_panel_shows_a_series(prometheus: Settings, expression: str) -> None:
    series = query(prometheus, as_prometheus_is_asked(expression))

    assert series, f"no series: {expression}"
    assert any(not math.isnan(float(one["value"][1])) for one in series)


@pytest.mark.slow
@needs_prometheus
@pytest.mark.parametrize("asked", VARIABLES)
def test_every_variable_of_a_dashboard_has_something_to_choose(
    prometheus: Settings, asked: str
) -> None:
    """Grafana's `label_values(series, label)` is this request of Prometheus'."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", asked)
    assert found is not None
    parameters = urllib.parse.urlencode({"match[]": found[1]})

    assert api(prometheus, f"label/{found[2]}/values?{parameters}")["data"]


@pytest.mark.slow
@needs_prometheus
def test_a_chosen_model_is_alone_on_the_panels(prometheus: Settings) -> None:
    """The main model's series have no label `model`."""
    asked = 'sum by (model) (ml_requests_total{model=~"${model:raw}"})'

    def shown(choice: str) -> set[str]:
        found = query(prometheus, asked.replace("${model:raw}", choice))
        return {each["metric"].get("model", "") for each in found}

    assert shown(".*") == {"", "revenue"}
    assert shown("revenue") == {"revenue"}
    assert shown("^$") == {""}


@pytest.mark.slow
@needs_prometheus
def test_the_service_is_watched_at_the_port_that_the_settings_name(prometheus: Settings) -> None:
    (up,) = wait_for(prometheus, 'up{job="service"} == 1')

    assert up["metric"]["instance"] == f"127.0.0.1:{prometheus.serving.port}"
    assert up["metric"]["environment"] == "development"


@pytest.mark.slow
@needs_prometheus
def test_drift_in_the_last_check_raises_the_alert(prometheus: Settings) -> None:
    (alert,) = wait_for(prometheus, 'ALERTS{alertname="DriftDetected", alertstate="firing"}')

    assert (alert["metric"]["severity"], alert["metric"]["source"]) == ("warning", "service")


@pytest.mark.slow
@needs_prometheus
def test_a_loss_of_live_quality_raises_the_alert(prometheus: Settings) -> None:
    (alert,) = wait_for(prometheus, 'ALERTS{alertname="LiveQualityLow", alertstate="firing"}')

    assert (alert["metric"]["model_version"], alert["metric"]["metric"]) == ("3", "roc_auc")


@pytest.mark.slow
@needs_prometheus
def test_the_monitoring_page_shows_what_prometheus_knows(prometheus: Settings) -> None:
    wait_for(prometheus, 'ALERTS{alertname="LiveQualityLow", alertstate="firing"}')

    with direct.open(f"http://127.0.0.1:{prometheus.monitoring.page_port}/", timeout=60) as answer:
        page = unescape(answer.read().decode())

    assert "It answers." in page
    assert 'aria-label="requests a second over time"' in page
    assert "<td>LiveQualityLow</td>" in page
    assert "<td>DriftDetected</td><td>service</td>" in page
    assert "does not answer" not in page


@pytest.mark.slow
@needs_prometheus
def test_the_traffic_of_a_model_is_of_its_own_predictions(prometheus: Settings) -> None:
    later = datetime.now(UTC) + timedelta(minutes=1)  # the last time is a whole minute

    main = service_traffic(prometheus, later)
    other = service_traffic(prometheus.model_copy(update={"model": "revenue"}), later)

    assert main.requests[-1] == pytest.approx(6 * other.requests[-1])
    assert main.errors[-1] == pytest.approx(main.requests[-1] / 6)
    assert main.latency[-1] < 10, "a scrape that takes seconds is no prediction"
    assert 100 < other.latency[-1] < 1000
    assert math.isnan(other.errors[-1])


@pytest.mark.slow
@needs_prometheus
def test_the_page_is_left_out_where_others_have_accounts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_free_ports(monkeypatch)
    monkeypatch.setenv("MLOPS_MONITORING__PAGE", "false")
    settings = load_settings(copy_of_project(tmp_path))
    try:
        status = start_prometheus(settings)

        assert "No monitoring page" in status.message
        with pytest.raises(urllib.error.URLError):
            direct.open(f"http://127.0.0.1:{settings.monitoring.page_port}/ready", timeout=5)
    finally:
        stop_server("prometheus", settings.run_directory)


@pytest.mark.slow
@needs_prometheus
def test_every_rule_is_evaluated_without_error(prometheus: Settings) -> None:
    groups = api(prometheus, "rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]

    assert rules
    assert [rule["lastError"] for rule in rules if rule.get("lastError")] == []


@pytest.mark.slow
@needs_prometheus
def test_prometheus_listens_on_this_machine_only(prometheus: Settings) -> None:
    flags = api(prometheus, "status/flags")["data"]

    assert flags["web.listen-address"] == f"127.0.0.1:{prometheus.monitoring.prometheus_port}"


@pytest.mark.slow
@needs_prometheus
def test_a_stopped_prometheus_leaves_its_port_free_and_starts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_free_ports(monkeypatch)
    settings = load_settings(copy_of_project(tmp_path / "project"))
    for _ in range(2):
        try:
            assert start_prometheus(settings).state == "started"
        finally:
            assert stop_server("prometheus", settings.run_directory).state == "stopped"
        with socket.create_server(("127.0.0.1", settings.monitoring.prometheus_port)):
            pass


@pytest.mark.slow
@needs_prometheus
def test_a_broken_rule_file_is_shown_and_nothing_is_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_free_ports(monkeypatch)
    settings = load_settings(copy_of_project(tmp_path / "project"))
    (settings.root / "infra" / "prometheus" / "rules" / "service.yml").write_text(
        "groups: [{name: x, rules: 1}]"
    )

    with pytest.raises(ServerError, match="rules"):
        start_prometheus(settings)

    assert not (settings.run_directory / "prometheus.json").exists()


def test_without_the_program_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = load_settings(copy_of_project(tmp_path / "project"))

    with pytest.raises(MonitoringError) as error:
        start_prometheus(settings)

    assert "apt-get install prometheus" in error.value.fix
    assert "make docker-up" in error.value.fix
    assert "make monitor-page ARGS=--serve" in error.value.fix


def test_the_file_of_targets_is_replaced_in_one_step(tmp_path: Path) -> None:
    file = tmp_path / "prometheus" / "targets.json"
    write_targets(file, 8000, "development")
    reader = file.open()

    write_targets(file, 8001, "staging")

    with reader:
        assert json.load(reader)[0]["targets"] == ["127.0.0.1:8000"]  # the old file, whole
    assert json.loads(file.read_text()) == [
        {"targets": ["127.0.0.1:8001"], "labels": {"environment": "staging"}}
    ]
    assert list(file.parent.iterdir()) == [file]


@needs_prometheus
@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "infra/prometheus/prometheus.yml"),
        ("check", "rules", "infra/prometheus/rules/service.yml"),
        ("test", "rules", "infra/prometheus/tests/service_test.yml"),
        ("check", "rules", "infra/prometheus/rules/airflow.yml"),
        ("test", "rules", "infra/prometheus/tests/airflow_test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts_the_committed_files(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
def test_promtool_notices_an_alert_that_no_longer_fires(tmp_path: Path) -> None:
    folder = copy_of_project(tmp_path / "project") / "infra" / "prometheus"
    rules = folder / "rules" / "service.yml"
    text = rules.read_text()
    deaf = text.replace("(ml_drift_detected[2m]) == 1", "(ml_drift_detected[2m]) == 2")
    assert deaf != text
    rules.write_text(deaf)

    done = subprocess.run(
        ["promtool", "test", "rules", str(folder / "tests" / "service_test.yml")],
        capture_output=True,
        check=False,
    )

    assert done.returncode != 0
