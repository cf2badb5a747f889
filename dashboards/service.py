"""Is the service up, quick, and does it answer?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import chosen
from dashboards.panels import Level, Panel, Query, Section, board, from_alert, lines, number
from dashboards.queries import (
    OF_BATCHES,
    OF_ONE_ROW,
    OF_PREDICTIONS,
    each_second,
    newest,
    quantile,
    series,
    share_of,
    within,
)


def dashboard() -> Dashboard:
    """The service's dashboard."""
    return board(
        "service",
        "Model service",
        "Whether the service answers, how fast, and what it refuses.",
        [
            Section("Now", _now()),
            Section("Requests", _requests()),
            Section("Refused and lost", _refused()),
        ],
        [chosen.model()],
        begins="now-1h",
        refresh="10s",
    )


def slowest(share: float, route: str) -> str:
    """The time within which a share of the answers came, by model."""
    return quantile(share, "ml_request_seconds_bucket", of=(route,))


def not_logged(width: int = 12) -> Panel:
    """Predictions that are in no log."""
    return lines(
        "Predictions that were not logged",
        "In ten minutes. They were answered, and drift cannot be seen in them.",
        Query(within("10m", "ml_prediction_log_failures_total"), "not logged {{model}}"),
        width=width,
        runbook="PredictionLogFailing",
        level=from_alert("PredictionLogFailing"),
    )


def not_loaded() -> Panel:
    """Versions that should serve, and cannot."""
    return lines(
        "Models that did not load",
        "Attempts in ten minutes to load a version that should serve; the former one answers on.",
        Query(within("10m", "ml_model_load_failures_total"), "failed attempts {{model}}"),
        runbook="ModelLoadFailing",
        level=from_alert("ModelLoadFailing"),
    )


def version_that_answers(width: int) -> Panel:
    """Which version is loaded."""
    return number(
        "Version that answers",
        "None: train one with make train-local, and promote it.",
        Query(
            f"{newest('ml_model_loaded', 'model_version')} == 1",
            "version {{model_version}} {{model}}",
        ),
        width=width,
        runbook="ModelLoadFailing",
        text="name",
        missing="none",
    )


def _now() -> list[Panel]:
    return [
        number(
            "Service",
            "Whether each instance answered Prometheus' last scrape.",
            Query('min by (instance) (up{job="service"})', "{{instance}}"),
            width=4,
            runbook="ServiceDown",
            texts={0: ("down", "red"), 1: ("up", "green")},
            missing="never scraped",
        ),
        version_that_answers(6),
        number(
            "Requests a second",
            "Of all routes, /metrics included.",
            Query(each_second("ml_requests_total"), "requests"),
            width=4,
            unit="reqps",
            runbook="ServiceDown",
        ),
        number(
            "Slowest 1 % of the predictions",
            "Time within which 99 of 100 predictions of one row were answered.",
            Query(slowest(0.99, OF_ONE_ROW), "{{model}}"),
            width=5,
            unit="s",
            runbook="HighLatency",
            level=from_alert("HighLatency"),
            missing="no request",
        ),
        number(
            "Firing alerts",
            "By name, as Prometheus knows them; silences of Alertmanager do not count.",
            Query('count by (alertname) (ALERTS{alertstate="firing"})', "{{alertname}}"),
            width=5,
            level=Level(1),
            text="value_and_name",
            missing="none",
        ),
    ]


def _requests() -> list[Panel]:
    predictions = each_second("ml_requests_total", "model", of=(OF_PREDICTIONS,))
    failed, refused = (
        each_second("ml_requests_total", "model", of=(OF_PREDICTIONS, f'status=~"{status}.."'))
        for status in (5, 4)
    )
    return [
        lines(
            "Requests a second, by route",
            "Routes are templates; unmatched is a path that does not exist.",
            Query(each_second("ml_requests_total", "route"), "{{route}}"),
            unit="reqps",
            runbook="ServiceDown",
        ),
        lines(
            "Answers a second, by status",
            "2xx are answers, 4xx refusals, 5xx failures.",
            Query(each_second("ml_requests_total", "status"), "{{status}}"),
            unit="reqps",
            runbook="HighErrorShare",
        ),
        lines(
            "Share of predictions that fail",
            "5xx is the service's fault, 4xx the caller's. The alert is about 5xx in five minutes.",
            Query(share_of(failed, predictions), "5xx {{model}}"),
            Query(share_of(refused, predictions), "4xx {{model}}"),
            unit="percentunit",
            runbook="HighErrorShare",
            level=from_alert("HighErrorShare"),
        ),
        lines(
            "Latency of single predictions",
            "Measured in the service, from the request's first byte to the answer.",
            Query(slowest(0.5, OF_ONE_ROW), "half {{model}}"),
            Query(slowest(0.95, OF_ONE_ROW), "95 % {{model}}"),
            Query(slowest(0.99, OF_ONE_ROW), "99 % {{model}}"),
            unit="s",
            runbook="HighLatency",
            level=from_alert("HighLatency"),
        ),
        lines(
            "Latency of batches",
            "Of POST /predict/batch, whatever the number of rows. No alert is about it.",
            Query(slowest(0.5, OF_BATCHES), "half {{model}}"),
            Query(slowest(0.99, OF_BATCHES), "99 % {{model}}"),
            unit="s",
            runbook="HighLatency",
        ),
        lines(
            "Requests in flight",
            "That FastAPI's app is answering now; plain predictions are answered before it.",
            Query(f"sum({series('ml_requests_in_flight')})", "in flight"),
            runbook="HighLatency",
        ),
    ]


def _refused() -> list[Panel]:
    return [
        lines(
            "Refused by the contract",
            "Requests a second, answered with 422: a caller sends what the model does not know.",
            Query(each_second("ml_validation_errors_total", "route"), "{{route}}"),
            unit="reqps",
            runbook="HighErrorShare",
        ),
        lines(
            "Refused for their number",
            "Requests a second, answered with 429: their client sent too many.",
            Query(each_second("ml_requests_rate_limited_total", "route"), "{{route}}"),
            unit="reqps",
            runbook="HighErrorShare",
        ),
        not_logged(),
        not_loaded(),
    ]
