"""Is the data there, fresh, and as the contract says?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import chosen
from dashboards.panels import Panel, Query, Section, board, lines, number
from dashboards.queries import OF_PREDICTIONS, OF_TABLE, each_second, newest, share_of, since
from dashboards.service import not_logged


def dashboard() -> Dashboard:
    """The dashboard of the data."""
    return board(
        "data",
        "Data",
        "The lake's sources after their last refresh, and the rows that callers send.",
        [
            Section("Sources, after make data", _sources()),
            Section("Rows of the lake", _rows()),
            Section("Rows that callers send", _requests()),
        ],
        [chosen.model(), chosen.table()],
    )


def of_sources(metric: str, *labels: str, kind: str = "") -> str:
    """A figure of each chosen source."""
    matchers = (OF_TABLE, f'kind="{kind}"') if kind else (OF_TABLE,)
    return newest(metric, "source", *labels, of=matchers)


def _sources() -> list[Panel]:
    return [
        number(
            "Sources",
            "Broken: the last refresh could not read it, and left its rows as they were.",
            Query(of_sources("ml_data_source_broken"), "{{source}} {{model}}"),
            width=7,
            runbook="the-data",
            texts={0: ("fine", "green"), 1: ("broken", "red")},
            text="value_and_name",
            missing="never refreshed",
        ),
        number(
            "Since the last refresh",
            "Which ended well; it may have found nothing new.",
            Query(
                since(of_sources("ml_data_refreshed_timestamp_seconds")),
                "{{source}} {{model}}",
            ),
            width=6,
            unit="s",
            decimals=0,
            runbook="the-data",
            text="value_and_name",
            missing="never",
        ),
        number(
            "Age of the newest row",
            "By its event time. Sources without one are not here.",
            Query(
                since(of_sources("ml_data_newest_event_timestamp_seconds")),
                "{{source}} {{model}}",
            ),
            width=6,
            unit="s",
            decimals=0,
            runbook="the-data",
            text="value_and_name",
        ),
        number(
            "Rows in quarantine",
            "Rows that do not fulfil the contract; make data-report has the reasons.",
            Query(of_sources("ml_data_rows", kind="quarantined"), "{{source}} {{model}}"),
            width=5,
            runbook="the-data",
            text="value_and_name",
        ),
    ]


def _rows() -> list[Panel]:
    quarantined = of_sources("ml_data_rows", kind="quarantined")
    every = of_sources("ml_data_rows", kind="bronze")
    return [
        lines(
            "Rows, by what became of them",
            "bronze is all of them: silver, quarantined and duplicate together. gold is what "
            "training reads.",
            Query(
                of_sources("ml_data_rows", "kind"),
                "{{kind}} of {{source}} {{model}}",
            ),
            runbook="the-data",
        ),
        lines(
            "Share in quarantine",
            "Of bronze's rows. A jump is a source that has changed.",
            Query(
                f"{quarantined} / {every}",
                "{{source}} {{model}}",
            ),
            unit="percentunit",
            runbook="the-data",
        ),
    ]


def _requests() -> list[Panel]:
    asked = each_second("ml_requests_total", "model", of=(OF_PREDICTIONS,))
    refused = each_second("ml_requests_total", "model", of=(OF_PREDICTIONS, 'status="422"'))
    lookups = each_second("ml_window_lookups_total", "model")
    missed = each_second("ml_window_lookups_total", "model", of=('outcome!="found"',))
    return [
        lines(
            "Share of predictions that the contract refuses",
            "422: a column is missing, of another type or outside its range.",
            Query(share_of(refused, asked), "refused {{model}}"),
            unit="percentunit",
            runbook="HighErrorShare",
        ),
        lines(
            "Rows that the last drift check compared",
            "Of the newest window of each source: traffic that vanishes is seen here, too.",
            Query(
                newest("ml_drift_rows", "source"),
                "{{source}} {{model}}",
            ),
            runbook="DriftNotJudged",
        ),
        lines(
            "Window features by key",
            "Lookups a second: found, of an unknown entity, expired (materialized longer ago than "
            "window_ttl), or unavailable.",
            Query(each_second("ml_window_lookups_total", "outcome"), "{{outcome}}"),
            unit="ops",
            runbook="the-data",
        ),
        lines(
            "Share of lookups without a value",
            "Such rows are scored with an empty window.",
            Query(share_of(missed, lookups), "without a value {{model}}"),
            unit="percentunit",
            runbook="the-data",
        ),
        not_logged(24),
    ]
