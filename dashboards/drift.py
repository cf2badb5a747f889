"""Do the rows that are scored still look like those of the training?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import chosen
from dashboards.panels import Level, Panel, Query, Section, bars, board, from_alert, lines, number
from dashboards.queries import OF_SOURCE, newest, series, since

OF_WHAT_IS_SCORED = 'source!="file"'
"""As the alerts: a file that somebody checks by hand says nothing of what is scored."""


def dashboard() -> Dashboard:
    """The dashboard of drift."""
    return board(
        "drift",
        "Drift",
        "The last drift check of each source, column by column, and what it could have seen.",
        [
            Section("Verdict", _verdict()),
            Section("Columns", _columns()),
            Section("Windows", _windows()),
        ],
        [chosen.model(), chosen.source()],
        begins="now-30d",
    )


def of_sources(metric: str, *labels: str) -> str:
    """A gauge of the last check of each chosen source."""
    return newest(metric, "source", *labels, of=(OF_SOURCE,))


def _verdict() -> list[Panel]:
    checked = newest("ml_drift_checked_timestamp_seconds", of=(OF_WHAT_IS_SCORED,))
    judged = newest("ml_drift_judged_timestamp_seconds", of=(OF_WHAT_IS_SCORED,))
    never = series("ml_drift_unjudged_since_timestamp_seconds", OF_WHAT_IS_SCORED)
    return [
        number(
            "Verdict",
            "Of the last drift check of each source. No entry: too few rows, or never checked.",
            Query(of_sources("ml_drift_detected"), "{{source}} {{model}}"),
            width=6,
            runbook="DriftDetected",
            texts={0: ("no drift", "green"), 1: ("drift", "red")},
            text="value_and_name",
            missing="no verdict",
        ),
        number(
            "Since the last check",
            "Of anything that is scored; files do not count. After two days DriftCheckStale fires.",
            Query(since(checked), "{{model}}"),
            width=4,
            unit="s",
            decimals=0,
            runbook="DriftCheckStale",
            level=from_alert("DriftCheckStale"),
            missing="never checked",
        ),
        number(
            "Since the last verdict",
            "Where no source ever had one: since the first check. After eight days in which checks "
            "had nothing to compare, DriftNotJudged fires.",
            Query(since(f"({judged} or min by (model) ({never}))"), "{{model}}"),
            width=4,
            unit="s",
            decimals=0,
            runbook="DriftNotJudged",
            level=from_alert("DriftNotJudged"),
            missing="never checked",
        ),
        number(
            "Rows of the newest window",
            "How many rows each verdict rests on.",
            Query(of_sources("ml_drift_rows"), "{{source}} {{model}}"),
            width=5,
            runbook="DriftNotJudged",
            text="value_and_name",
        ),
        number(
            "Smallest shift that would be seen",
            "Of a typical column, in the newest window: four of five such windows would show it.",
            Query(of_sources("ml_drift_detectable"), "{{source}} {{model}}"),
            width=5,
            unit="none",
            decimals=2,
            runbook="DriftDetected",
            text="value_and_name",
        ),
    ]


def _columns() -> list[Panel]:
    effect = of_sources("ml_drift_column_effect", "column")
    limit = of_sources("ml_drift_column_limit", "column")
    weight = of_sources("ml_drift_column_weight", "column")
    return [
        bars(
            "Shift of each column, against its limit",
            "From 1 on a shift counts; it is drift if chance is ruled out, too. The 20 largest.",
            Query(f"topk(20, {effect} / {limit})", "{{column}} ({{source}}) {{model}}"),
            runbook="DriftDetected",
            level=Level(1),
        ),
        lines(
            "Shift against its limit, over time",
            "Of the ten columns that have moved furthest. A value lasts until the next check.",
            Query(f"topk(10, {effect} / {limit})", "{{column}} ({{source}}) {{model}}"),
            runbook="DriftDetected",
            level=Level(1),
        ),
        bars(
            "What moved and matters",
            "Each column's shift, in multiples of its limit, times its share of what shuffling "
            "columns cost the model. An order to look at; no alert is about it.",
            Query(f"topk(20, {weight})", "{{column}} ({{source}}) {{model}}"),
            unit="none",
            runbook="DriftDetected",
        ),
        lines(
            "Shift, weighed by importance",
            "The sum over a source's columns: 1 where each column that matters is at its limit. A "
            "shift of columns that the model hardly uses does not raise it.",
            Query(f"sum by (model, source) ({weight})", "{{source}} {{model}}"),
            unit="none",
            runbook="DriftDetected",
            level=Level(1, "orange"),
        ),
        lines(
            "Columns beyond their limits",
            "Of each source. A column beyond its limit is no drift yet.",
            Query(
                f"count by (model, source) ({effect} / {limit} >= 1) "
                f"or count by (model, source) ({effect}) * 0",
                "{{source}} {{model}}",
            ),
            runbook="DriftDetected",
        ),
        lines(
            "Quality without labels, estimated",
            "By the probabilities of the newest window, or by a model of the errors. "
            "It cannot see that the same rows now have other labels.",
            Query(
                of_sources("ml_drift_estimated_quality", "metric"),
                "{{metric}}, rows of {{source}} {{model}}",
            ),
            Query(
                of_sources("ml_drift_estimated_quality_reference", "metric"),
                "reference: {{metric}}, {{source}} {{model}}",
            ),
            unit="none",
            runbook="DriftDetected",
            from_zero=False,
            limits="^reference: .*",
        ),
    ]


def _windows() -> list[Panel]:
    return [
        lines(
            "Verdicts",
            "1: drift. A check without a verdict ends none.",
            Query(of_sources("ml_drift_detected"), "{{source}} {{model}}"),
            runbook="DriftDetected",
        ),
        lines(
            "Age of the newest window",
            "Since it began. A window is judged when it has ended.",
            Query(
                since(of_sources("ml_drift_window_start_timestamp_seconds")),
                "{{source}} {{model}}",
            ),
            unit="s",
            runbook="DriftNotJudged",
        ),
        lines(
            "Rows of the newest window, over time",
            "A window with few rows can show large shifts only.",
            Query(of_sources("ml_drift_rows"), "{{source}} {{model}}"),
            runbook="DriftNotJudged",
        ),
        lines(
            "Smallest shift that would be seen, over time",
            "Of a typical column. It grows after a promotion whose training rows are of two kinds.",
            Query(of_sources("ml_drift_detectable"), "{{source}} {{model}}"),
            unit="none",
            runbook="DriftDetected",
        ),
    ]
