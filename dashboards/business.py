"""What are the model's decisions worth, and how many are there?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard

from dashboards import chosen
from dashboards.panels import Panel, Query, Section, board, lines, number
from dashboards.queries import newest, within

WORTH = (
    "By decision.values of config/decision.yaml, of the decisions whose label came back "
    "(make live-performance)."
)


def dashboard() -> Dashboard:
    """The dashboard of decisions and their worth."""
    return board(
        "business",
        "Decisions and their worth",
        "What decisions were worth once their labels came back, and what is being decided.",
        [Section("Worth", _worth()), Section("Decisions", _decisions())],
        [chosen.model()],
        begins="now-30d",
    )


def of_period(metric: str, *matchers: str) -> str:
    """A figure of the newest day or week with labels."""
    return newest(metric, "period", of=matchers)


def shares(window: str) -> str:
    """The share of each class among the rows that were scored in a window."""
    rows = "ml_predictions_total"
    every = within(window, rows)
    return f"{within(window, rows, 'prediction')} / on (model) group_left {every}"


def _worth() -> list[Panel]:
    return [
        *(
            number(
                f"Worth of the newest {period} with labels",
                f"{WORTH} In the unit of decision.unit.",
                Query(of_period("ml_live_value", f'period="{period}"'), "{{model}}"),
                width=6,
                unit="none",
                runbook="worth",
                missing="no labels, or no values",
            )
            for period in ("day", "week")
        ),
        number(
            "Mean worth of a decision",
            WORTH,
            Query(of_period("ml_live_value_mean"), "newest {{period}} {{model}}"),
            width=6,
            unit="none",
            decimals=2,
            runbook="worth",
            text="value_and_name",
        ),
        number(
            "Decisions that this is about",
            "Those of the newest day and week whose label came back.",
            Query(of_period("ml_live_value_decisions"), "newest {{period}} {{model}}"),
            width=6,
            runbook="worth",
            text="value_and_name",
        ),
        lines(
            "Worth over time",
            f"{WORTH} Each point is the newest period as it was known then: labels that come later "
            "change it.",
            Query(of_period("ml_live_value"), "newest {{period}} {{model}}"),
            unit="none",
            runbook="worth",
            from_zero=False,
        ),
        lines(
            "Mean worth of a decision, over time",
            "It falls while quality stays: other customers, or values that no longer hold.",
            Query(of_period("ml_live_value_mean"), "newest {{period}} {{model}}"),
            unit="none",
            runbook="worth",
            from_zero=False,
        ),
    ]


def _decisions() -> list[Panel]:
    return [
        number(
            "Rows scored in the last day",
            "By the service. Batches are not counted here.",
            Query(within("1d", "ml_predictions_total"), "{{model}}"),
            width=6,
            decimals=0,
            runbook="worth",
        ),
        number(
            "Labels that came back",
            "Of the served predictions that live performance looks at, all versions together.",
            Query(
                f"sum by (model) ({newest('ml_live_labelled', 'model_version')})",
                "{{model}}",
            ),
            width=6,
            runbook="worth",
        ),
        number(
            "Share of each class in the last day",
            "What the service predicted. Numbers are one class, value.",
            Query(shares("1d"), "{{prediction}} {{model}}"),
            width=12,
            unit="percentunit",
            runbook="worth",
            text="value_and_name",
            decimals=1,
        ),
        lines(
            "Predictions an hour, by class",
            "What the service predicted.",
            Query(within("1h", "ml_predictions_total", "prediction"), "{{prediction}} {{model}}"),
            runbook="worth",
        ),
        lines(
            "Share of each class, by hour",
            "A share that jumps at a promotion is the new version's decision line.",
            Query(shares("1h"), "{{prediction}} {{model}}"),
            unit="percentunit",
            runbook="worth",
        ),
    ]
