"""Metrics that several processes push are one table; what cannot be added is said."""

import threading
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from goldpath.services.otlp.airflow_metrics import SWITCHES, go_elsewhere, metrics_variables
from goldpath.services.otlp.figures import STALE_SECONDS, Figures
from goldpath.services.otlp.receiver import MetricsReceiver

from ..pushed_metrics import a_process

PROTOBUF = {"Content-Type": "application/x-protobuf"}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricsReceiver]:
    """A receiver, and an environment as airflow-up gives it to Airflow."""
    with MetricsReceiver() as server:
        for name, value in metrics_variables(server.server_address[1]).items():
            monkeypatch.setenv(name, value)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def shown(receiver: MetricsReceiver) -> dict[str, dict[str, float]]:
    """Each sample that Prometheus reads, by name and labels."""
    with urlopen(f"http://127.0.0.1:{receiver.server_address[1]}/metrics") as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[",".join(sample.labels.values())] = sample.value
    return found


def test_counts_of_processes_add_up_also_of_one_that_has_ended(receiver: MetricsReceiver) -> None:
    first, second = a_process(), a_process()
    for process, failures in ((first, 2), (second, 3)):
        meter = process.get_meter("airflow")
        counter = meter.create_counter("airflow.ti_failures")
        counter.add(failures, {"dag_id": "data_pipeline"})
        times = meter.create_histogram("airflow.dagrun.duration.failed", unit="ms")
        times.record(1500.0, {"dag_id": "data_pipeline"})
        meter.create_gauge("airflow.pool.queued_slots").set(failures, {"pool_name": "lake"})
        process.force_flush()
        counter.add(1, {"dag_id": "data_pipeline"})
        process.shutdown()

    samples = shown(receiver)

    assert samples["airflow_ti_failures_total"] == {"data_pipeline": 7.0}
    runs = "airflow_dagrun_duration_failed_milliseconds"
    assert samples[f"{runs}_count"] == {"data_pipeline": 2.0}
    assert samples[f"{runs}_sum"] == {"data_pipeline": 3000.0}
    assert samples["airflow_pool_queued_slots"] == {"lake": 3.0}


def test_a_running_total_is_left_out_and_said_once() -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="airflow.x")
    metric.sum.is_monotonic = True
    metric.sum.aggregation_temporality = AGGREGATION_TEMPORALITY_CUMULATIVE
    metric.sum.data_points.add(as_int=7)
    figures = Figures()

    (said,) = figures.add(request)

    assert "airflow.x is left out" in said
    assert "TEMPORALITY_PREFERENCE=delta" in said
    assert figures.add(request) == []
    assert list(figures.collect()) == []


def test_a_state_that_nobody_renews_is_forgotten() -> None:
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="pool.queued")
    metric.gauge.data_points.add(as_double=4.0)
    now = 0.0
    figures = Figures(clock=lambda: now)
    registry = CollectorRegistry()
    registry.register(figures)
    figures.add(request)

    assert registry.get_sample_value("pool_queued") == 4.0
    now = STALE_SECONDS + 1
    assert registry.get_sample_value("pool_queued") is None


@pytest.mark.parametrize(
    ("path", "headers", "body", "code"),
    [
        ("/v1/traces", PROTOBUF, b"", 404),
        ("/v1/metrics", {"Content-Type": "text/plain"}, b"", 415),
        ("/v1/metrics", {**PROTOBUF, "Content-Encoding": "gzip"}, b"", 415),
        ("/v1/metrics", {**PROTOBUF, "Content-Length": "99999999"}, b"", 413),
        ("/v1/metrics", PROTOBUF, b"no protobuf", 400),
    ],
)
def test_what_is_no_message_is_refused(
    receiver: MetricsReceiver, path: str, headers: dict[str, str], body: bytes, code: int
) -> None:
    url = f"http://127.0.0.1:{receiver.server_address[1]}{path}"
    with pytest.raises(HTTPError) as refused:
        urlopen(Request(url, body, headers, method="POST"))
    assert refused.value.code == code
    assert shown(receiver) == {}


def test_whoever_sends_airflows_metrics_elsewhere_is_left_alone() -> None:
    assert go_elsewhere({}) == ""
    for name in SWITCHES:
        assert go_elsewhere({name: "http://collector:4318", "PATH": "/bin"}) == name


def test_receiver_listens_where_it_is_told() -> None:
    with MetricsReceiver(0, "127.0.0.2") as elsewhere, MetricsReceiver() as usual:
        assert elsewhere.server_address[0] == "127.0.0.2"
        assert usual.server_address[0] == "127.0.0.1"
