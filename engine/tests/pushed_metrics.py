"""Metrics as Airflow's processes push them: by OpenTelemetry's own exporter, under its names."""

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View


def a_process() -> MeterProvider:
    """What Airflow makes in each of its processes; where it pushes to, the environment says."""
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    views = [View(instrument_name="*.failed", aggregation=ExponentialBucketHistogramAggregation())]
    return MeterProvider([reader], views=views)


class WorkingAirflow:
    """An Airflow whose runs end well and badly, in one process."""

    def __init__(self) -> None:
        self._process = a_process()
        meter = self._process.get_meter("airflow")
        names = ("scheduler", "dag_processor", "triggerer")
        self._beats = [meter.create_counter(f"airflow.{name}_heartbeat") for name in names]
        self._tries = [
            meter.create_counter(f"airflow.ti_{end}") for end in ("successes", "failures")
        ]
        self._runs = [
            meter.create_histogram(f"airflow.dagrun.duration.{end}", unit="ms")
            for end in ("success", "failed")
        ]
        states = ("open", "queued", "running", "scheduled", "deferred")
        self._slots = [meter.create_gauge(f"airflow.pool.{state}_slots") for state in states]
        self._errors = meter.create_gauge("airflow.dag_processing.import_errors")

    def work(self) -> None:
        """Heartbeats, and two runs of a DAG; then all of it is pushed."""
        for beat in self._beats:
            beat.add(1)
        for tries in self._tries:
            tries.add(1, {"dag_id": "data_pipeline", "task_id": "data"})
        for runs in self._runs:
            runs.record(1500.0, {"dag_id": "data_pipeline", "run_type": "manual"})
        for slots in self._slots:
            slots.set(1, {"pool_name": "lake"})
        self._errors.set(0)
        self._process.force_flush()

    def end(self) -> None:
        """Stop the exporter's thread."""
        self._process.shutdown()
