"""Which version answers, and is it as good as it was?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import chosen
from dashboards.panels import Level, Panel, Query, Section, board, lines, number
from dashboards.queries import each_second, newest, quantile, since
from dashboards.service import not_loaded, version_that_answers

LABELS = "By the labels that came back to /feedback; make live-performance takes it."


def dashboard() -> Dashboard:
    """The model's dashboard."""
    return board(
        "model",
        "Model versions and quality",
        "What answers, what it predicts, and how good it is by labels, with and without.",
        [
            Section("Now", _now()),
            Section("Quality", _quality()),
            Section("Versions and predictions", _versions()),
        ],
        [chosen.model()],
    )


def _now() -> list[Panel]:
    return [
        version_that_answers(5),
        number(
            "Test metric",
            "The last training's score on its test rows; not of the version that answers, "
            "where the gate refused that training.",
            Query(
                newest("ml_model_test_metric", "metric"),
                "{{metric}} {{model}}",
            ),
            width=5,
            text="value_and_name",
            decimals=3,
            runbook="LiveQualityLow",
        ),
        number(
            "Live quality",
            "Whether the labels that came back say that the champion is worse than in its test.",
            Query(
                newest("ml_live_quality_low", "model_version", "metric"),
                "{{metric}} of version {{model_version}} {{model}}",
            ),
            width=5,
            runbook="LiveQualityLow",
            texts={0: ("as in the test", "green"), 1: ("fallen", "red")},
            text="value_and_name",
            missing="no verdict",
        ),
        number(
            "Labels that came back",
            "Served predictions whose label is known, by version.",
            Query(
                newest("ml_live_labelled", "model_version"),
                "version {{model_version}} {{model}}",
            ),
            width=5,
            runbook="LiveQualityLow",
            text="value_and_name",
        ),
        number(
            "Since live performance was taken",
            "Orange after two days: make live-performance, or the DAG ml_prediction_log_pipeline.",
            Query(
                since(newest("ml_live_checked_timestamp_seconds")),
                "{{model}}",
            ),
            width=4,
            unit="s",
            decimals=0,
            runbook="LiveQualityLow",
            level=Level(2 * 86_400, "orange"),
            missing="never",
        ),
    ]


def _quality() -> list[Panel]:
    return [
        lines(
            "Quality by labels",
            f"{LABELS} The dashed line is the limit that the champion's main metric is held to.",
            Query(
                newest("ml_live_metric", "model_version", "metric"),
                "{{metric}} of version {{model_version}} {{model}}",
            ),
            Query(
                newest("ml_live_quality_limit", "model_version", "metric"),
                "limit: {{metric}} of version {{model_version}} {{model}}",
            ),
            unit="none",
            runbook="LiveQualityLow",
            from_zero=False,
            limits="^limit: .*",
        ),
        lines(
            "Quality without labels, estimated",
            "By the probabilities of the newest window, or by a model of the errors "
            "(make drift-check). It cannot see that the same rows now have other labels.",
            Query(
                newest("ml_drift_estimated_quality", "source", "metric"),
                "{{metric}}, rows of {{source}} {{model}}",
            ),
            Query(
                newest("ml_drift_estimated_quality_reference", "source", "metric"),
                "reference: {{metric}}, {{source}} {{model}}",
            ),
            unit="none",
            runbook="DriftDetected",
            from_zero=False,
            limits="^reference: .*",
        ),
        lines(
            "Labels by version",
            "Served predictions whose label came back, in the days that live performance looks at.",
            Query(
                newest("ml_live_labelled", "model_version"),
                "version {{model_version}} {{model}}",
            ),
            runbook="LiveQualityLow",
        ),
        lines(
            "Shadow against the version that answers",
            "How far a shadow's score is from that of the answer, for half and for 99 of 100 rows.",
            *(
                Query(
                    quantile(share, "ml_shadow_difference_bucket", "model_version"),
                    f"{name} of version {{{{model_version}}}} {{{{model}}}}",
                )
                for share, name in ((0.5, "half"), (0.99, "99 %"))
            ),
            unit="none",
        ),
    ]


def _versions() -> list[Panel]:
    by_class = each_second("ml_predictions_total", "model", "model_version", "prediction")
    by_version = each_second("ml_predictions_total", "model", "model_version")
    return [
        lines(
            "Rows a second, by version",
            "Champion, challenger, or a version that a client asked for.",
            Query(by_version, "version {{model_version}} {{model}}"),
            unit="cps",
            runbook="ServiceDown",
        ),
        lines(
            "Rows a second, by class",
            "A class that vanishes is a fault that no error shows.",
            Query(by_class, "{{prediction}} of version {{model_version}} {{model}}"),
            unit="cps",
            runbook="DriftDetected",
        ),
        lines(
            "Share of each class",
            "Of the rows that a version scored. Numbers are one class, value.",
            Query(
                f"{by_class} / on (model, model_version) group_left {by_version}",
                "{{prediction}} of version {{model_version}} {{model}}",
            ),
            unit="percentunit",
            runbook="DriftDetected",
        ),
        not_loaded(),
    ]
