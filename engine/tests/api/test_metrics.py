"""The figures that dashboards and alerts stand on."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from goldpath.serving.metrics.service import METRIC_NAMES
from goldpath.serving.schemas import example_features

from .conftest import MakeClient, until
from .examples import Shelf, TestClient, contract_of, fitted

ROW = {"features": example_features(contract_of("binary"))}
DRIFT = {
    "verdict": "drift",
    "exit_code": 1,
    "checked_at": "2026-11-20T12:00:00+00:00",
    "judged_at": "2026-11-20T12:00:00+00:00",
    "columns": [
        {"name": "class", "effect": 0.5, "limit": 0.1, "p_value": 0.0, "drifted": True},
        {"name": 'a "b"\n', "effect": 0.0, "p_value": 1.0, "drifted": False},
        {"name": "copy", "effect": None, "p_value": None, "drifted": False},
    ],
    "moved_and_matters": [{"name": "class", "weight": 1.5}, {"name": "copy", "weight": None}],
    "rows": 500,
    "window_start": "2026-11-19T00:00:00+00:00",
    "detectable": 0.17,
    "model_version": "1",
    "estimate": {"metric": "roc_auc", "value": 0.81, "reference": 0.84},
}
FEEDBACK = {
    "checked_at": "2026-11-20T10:00:00+00:00",
    "versions": [
        {"model_version": "2", "labelled": 40, "metrics": {"accuracy": 0.75, "roc_auc": None}},
        {"model_version": "3", "labelled": "many", "metrics": None},
        "torn",
    ],
    "quality": {"verdict": "ok", "model_version": "2", "metric": "roc_auc", "limit": 0.79},
    "values": [{"period": "day", "labelled": 40, "mean": 12.5, "total": 500.0}],
}

SOURCE = {
    "refreshed_at": "2026-11-20T10:00:00+00:00",
    "newest_event": "2026-11-19T00:00:00+00:00",
    "rows": {"bronze": 500, "silver": 490, "quarantined": 10, "duplicate": 0, "gold": 480},
    "fault": "",
}


def write_source(root: Path, name: str, content: object) -> None:
    """What the last refresh left of a source of the lake."""
    (root / "reports" / "data-sources").mkdir(parents=True, exist_ok=True)
    write_reports(root, **{f"data-sources/{name}": content})


def write_drift(root: Path, source: str, content: object) -> None:
    """What the last check of a source left."""
    (root / "reports" / "drift").mkdir(parents=True, exist_ok=True)
    write_reports(root, **{f"drift/{source}": content})


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(client: TestClient, name: str, **labels: str) -> float | None:
    return samples(client.get("/metrics").text).get((name, tuple(sorted(labels.items()))))


def write_reports(root: Path, **files: object) -> None:
    (root / "reports").mkdir(exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (root / "reports" / f"{name}.json").write_text(text)


def test_every_promised_metric_is_there(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    write_reports(tmp_path, training={"metric": "roc_auc", "value": 0.83}, feedback=FEEDBACK)
    write_drift(tmp_path, "service", DRIFT)
    write_drift(tmp_path, "batch", {"unjudged_since": DRIFT["checked_at"]})
    write_source(tmp_path, "churn", SOURCE)
    client.post("/predict", json=ROW)
    app: Any = client.app
    app.app.state.metrics.shadow_compared("2", -0.02)  # a shadow is there once it has scored

    answer = client.get("/metrics")

    names = {name for name, _ in samples(answer.text)}
    assert "version=" in answer.headers["content-type"]
    for name in METRIC_NAMES:
        assert name in names or f"{name}_bucket" in names
    ours = {
        name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in names
    }
    assert ours == set(METRIC_NAMES)


def test_requests_are_counted_by_route_and_status(make_client: MakeClient) -> None:
    client = make_client()
    count = {"method": "POST", "route": "/predict"}
    assert value(client, "ml_requests_total", status="200", **count) == 0

    for _ in range(3):
        client.post("/predict", json=ROW)
    client.post("/predict", json={})
    client.get("/any/path/1")
    client.get("/any/path/2")
    client.request("BREW", "/predict")

    assert value(client, "ml_requests_total", status="200", **count) == 3
    assert value(client, "ml_requests_total", status="422", **count) == 1
    assert value(client, "ml_validation_errors_total", route="/predict") == 1
    assert value(client, "ml_request_seconds_count", route="/predict") == 5
    unmatched = {"route": "unmatched", "method": "GET", "status": "404"}
    assert value(client, "ml_requests_total", **unmatched) == 2
    brewed = {"route": "/predict", "method": "other", "status": "405"}
    assert value(client, "ml_requests_total", **brewed) == 1


def test_predictions_are_counted_by_version_and_class(make_client: MakeClient) -> None:
    client = make_client()
    labels = {"model_version": "1"}
    assert value(client, "ml_predictions_total", prediction="no", **labels) == 0

    client.post("/predict/batch", json={"instances": [ROW["features"]] * 7})

    counted = [value(client, "ml_predictions_total", prediction=p, **labels) for p in ("no", "yes")]
    assert sorted(counted, key=str) == [0, 7]


def test_regression_counts_under_one_label(make_client: MakeClient) -> None:
    client = make_client("regression")

    client.post("/predict", json=ROW)

    assert value(client, "ml_predictions_total", model_version="1", prediction="value") == 1


def test_loaded_model_moves_with_the_champion(make_client: MakeClient) -> None:
    shelf = Shelf()
    client = make_client(shelf=shelf)
    assert value(client, "ml_model_loaded", model_version="none") == 0
    shelf.put(fitted("binary", "1"))
    until(lambda: value(client, "ml_model_loaded", model_version="1") == 1)

    shelf.put(fitted("binary", "2"))
    until(lambda: value(client, "ml_model_loaded", model_version="2") == 1)

    assert value(client, "ml_model_loaded", model_version="1") == 0


def test_drift_and_training_figures_come_from_the_reports(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client()
    write_reports(tmp_path, training={"metric": "roc_auc", "value": 0.83})
    write_drift(tmp_path, "service", DRIFT)
    of = {"source": "service"}

    assert value(client, "ml_drift_detected", **of) == 1
    assert value(client, "ml_drift_column_effect", column="class", **of) == 0.5
    assert value(client, "ml_drift_column_limit", column="class", **of) == 0.1
    assert value(client, "ml_drift_column_effect", column='a "b"\n', **of) == 0
    assert value(client, "ml_drift_column_effect", column="copy", **of) is None
    assert value(client, "ml_drift_column_weight", column="class", **of) == 1.5
    assert value(client, "ml_drift_column_weight", column="copy", **of) is None
    assert value(client, "ml_drift_checked_timestamp_seconds", **of) == 1795176000
    assert value(client, "ml_drift_window_start_timestamp_seconds", **of) == 1795046400
    assert value(client, "ml_drift_detectable", **of) == 0.17
    assert value(client, "ml_drift_rows", **of) == 500
    assert value(client, "ml_model_test_metric", metric="roc_auc") == 0.83


def test_figures_of_the_lake_come_from_the_last_refresh_of_each_source(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client()
    write_source(tmp_path, "churn", SOURCE)
    write_source(tmp_path, "payments", {"fault": "pay holds no data file"})

    assert value(client, "ml_data_rows", source="churn", kind="quarantined") == 10
    assert value(client, "ml_data_source_broken", source="churn") == 0
    assert value(client, "ml_data_source_broken", source="payments") == 1
    assert value(client, "ml_data_refreshed_timestamp_seconds", source="churn") == 1795168800
    assert value(client, "ml_data_refreshed_timestamp_seconds", source="payments") is None
    assert value(client, "ml_data_newest_event_timestamp_seconds", source="churn") == 1795046400


def test_a_check_that_compared_nothing_is_a_check_and_no_verdict(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client()
    nothing = {"checked_at": "2026-11-20T13:00:00+00:00", "message": "nothing new to compare"}
    write_drift(tmp_path, "service", {**DRIFT, "nothing_compared": nothing})
    of = {"source": "service"}

    assert value(client, "ml_drift_detected", **of) == 1, "it says nothing, and so ends nothing"
    assert value(client, "ml_drift_judged_timestamp_seconds", **of) == 1795176000
    assert value(client, "ml_drift_checked_timestamp_seconds", **of) == 1795176000 + 3600
    assert value(client, "ml_drift_unjudged_since_timestamp_seconds", **of) is None

    never = {"judged_at": None, "unjudged_since": DRIFT["checked_at"]}
    write_drift(tmp_path, "service", {**DRIFT, **never})
    assert value(client, "ml_drift_judged_timestamp_seconds", **of) is None
    assert value(client, "ml_drift_unjudged_since_timestamp_seconds", **of) == 1795176000


def test_a_source_without_drift_clears_nothing_of_another(
    make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client()
    write_drift(tmp_path, "service", DRIFT)
    write_drift(tmp_path, "batch", {**DRIFT, "verdict": "ok"})
    assert value(client, "ml_drift_detected", source="service") == 1
    assert value(client, "ml_drift_detected", source="batch") == 0
    write_drift(tmp_path, "service", {**DRIFT, "verdict": "ok"})
    assert value(client, "ml_drift_detected", source="service") == 0
    write_drift(tmp_path, "service", {**DRIFT, "verdict": "insufficient"})
    assert value(client, "ml_drift_detected", source="service") is None


@pytest.mark.parametrize(
    "content",
    ["", '{"verdict": "dri', "[]", "null", '{"columns": 3, "rows": "many", "checked_at": 5}',
     '{"rows": {"bronze": null, "silver": "x"}, "refreshed_at": 7, "newest_event": null}',
     '{"columns": [1, {"name": "x"}], "value": true, "metric": "m", "rows": NaN}', "\ufeff{}"],
)  # fmt: skip
def test_unreadable_reports_are_absent_not_an_error(
    make_client: MakeClient, tmp_path: Path, content: str
) -> None:
    client = make_client()
    write_reports(tmp_path, training=content)
    write_drift(tmp_path, "batch", content)
    write_source(tmp_path, "churn", content)

    answer = client.get("/metrics")

    assert answer.status_code == 200
    assert "ml_drift" not in answer.text
    assert "ml_data" not in answer.text
    assert "ml_model_test_metric" not in answer.text


def test_serving_needs_no_more_than_the_serving_image_has() -> None:
    """Importing the app loads nothing heavy, and nothing that requirements/serving.txt lacks."""
    absent = ["duckdb", "ibis", "matplotlib", "mlflow", "optuna", "pyarrow", "sklearn", "skops"]
    program = (
        "import sys\n"
        f"for name in {absent!r}: sys.modules[name] = None\n"
        "import goldpath.serving.api\n"
        "import goldpath.serving.process.server\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_live_performance_is_read_at_each_scrape(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    assert value(client, "ml_live_labelled", model_version="2") is None
    write_reports(tmp_path, feedback=FEEDBACK)
    assert value(client, "ml_live_labelled", model_version="2") == 40
    assert value(client, "ml_live_metric", model_version="2", metric="accuracy") == 0.75
    assert value(client, "ml_live_metric", model_version="2", metric="roc_auc") is None
    assert value(client, "ml_live_labelled", model_version="3") is None
    write_reports(tmp_path, feedback='{"versions": ')
    assert value(client, "ml_live_labelled", model_version="2") is None
