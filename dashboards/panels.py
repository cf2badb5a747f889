"""The three kinds of panel that the dashboards are made of, and the frame around them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Literal

from grafana_foundation_sdk.builders import bargauge, stat, timeseries
from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DashboardLink,
    FieldColor,
    QueryVariable,
    Row,
    TextBoxVariable,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import common, prometheus
from grafana_foundation_sdk.models import dashboard as model

from dashboards.rules import limit_of

SOURCE = model.DataSourceRef(type_val="prometheus", uid="prometheus")
"""As infra/grafana/provisioning/datasources names it: a generated uid would leave panels empty."""

EXAMPLE_OF_RUNBOOKS = "https://git.example.com/churn/blob/main"
TAG = "ml"
WIDTH = 24
ANY = "dashboards"
"""The section of docs/monitoring.md that a panel without an alert of its own is linked to."""

Panel = timeseries.Panel | stat.Panel | bargauge.Panel


@dataclass(frozen=True)
class Query:
    """What a panel asks Prometheus.

    Attributes:
        expr: PromQL.
        legend: The name of each series, with its labels in double braces.
    """

    expr: str
    legend: str


@dataclass(frozen=True)
class Level:
    """From which value on a panel is coloured.

    Attributes:
        value: The value.
        color: The colour from there on.
        below: The colour up to there.
    """

    value: float
    color: str = "red"
    below: str = "green"


@dataclass(frozen=True)
class Section:
    """A titled row of a dashboard.

    Attributes:
        title: Its title.
        panels: Its panels, whose widths fill lines of 24.
    """

    title: str
    panels: Sequence[Panel]


def from_alert(alert: str) -> Level:
    """The level at which an alert fires; where it fires above nothing, from anything on."""
    return Level(limit_of(alert) or 0.001)


def number(
    title: str,
    description: str,
    *queries: Query,
    width: int,
    unit: str = "short",
    runbook: str = ANY,
    level: Level | None = None,
    texts: Mapping[int, tuple[str, str]] | None = None,
    text: Literal["auto", "name", "value_and_name"] = "auto",
    decimals: int | None = None,
    missing: str = "-",
) -> stat.Panel:
    """The newest value of each series, large.

    Args:
        title: The panel's title.
        description: What it shows, for somebody who sees it first.
        queries: What it asks.
        width: Of 24.
        unit: Grafana's name of the unit.
        runbook: The alert, or the section of docs/monitoring.md, that it is linked to.
        level: From where on it is coloured.
        texts: Words and colours in place of values.
        text: What is written: the value, the series' name, or both.
        decimals: How many are shown; Grafana's choice where not given.
        missing: What is written where there is no series.
    """
    panel = (
        stat.Panel()
        .height(4)
        .color_mode(
            common.BigValueColorMode.BACKGROUND
            if texts or level
            else common.BigValueColorMode.VALUE
        )
        .graph_mode(common.BigValueGraphMode.NONE)
        .text_mode(common.BigValueTextMode(text))
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .no_value(missing)
    )
    if texts:
        options = {
            str(value): model.ValueMappingResult(text=word, color=color, index=place)
            for place, (value, (word, color)) in enumerate(texts.items())
        }
        panel.mappings([model.ValueMap(options=options)])
    if decimals is not None:
        panel.decimals(decimals)
    _describe(panel, title, description, width, unit, runbook, level)
    _ask(panel, queries, instant=True)
    return panel


def lines(
    title: str,
    description: str,
    *queries: Query,
    width: int = 12,
    unit: str = "short",
    runbook: str = ANY,
    level: Level | None = None,
    from_zero: bool = True,
    limits: str = "",
) -> timeseries.Panel:
    """Each series over time.

    Args:
        title: The panel's title.
        description: What it shows, for somebody who sees it first.
        queries: What it asks.
        width: Of 24.
        unit: Grafana's name of the unit.
        runbook: The alert, or the section of docs/monitoring.md, that it is linked to.
        level: A dashed line.
        from_zero: Whether the axis begins at 0.
        limits: A regular expression: series of such names are limits, dashed and red.
    """
    style = common.GraphThresholdsStyleMode
    panel = (
        timeseries.Panel()
        .height(8)
        .draw_style(common.GraphDrawStyle.LINE)
        .line_width(1)
        .fill_opacity(10 if from_zero else 0)
        .show_points(common.VisibilityMode.AUTO)
        .span_nulls(False)
        .thresholds_style(GraphThresholdsStyleConfig().mode(style.DASHED if level else style.OFF))
        .legend(
            VizLegendOptions()
            .display_mode(common.LegendDisplayMode.TABLE)
            .placement(common.LegendPlacement.BOTTOM)
            .show_legend(True)
            .calcs(["lastNotNull"])
        )
        .tooltip(
            VizTooltipOptions()
            .mode(common.TooltipDisplayMode.MULTI)
            .sort(common.SortOrder.DESCENDING)
        )
    )
    if from_zero:
        panel.min(0)
    if limits:
        dashes = {"fill": "dash", "dash": [10, 10]}
        red = {"mode": "fixed", "fixedColor": "red"}
        panel.override_by_regexp(
            limits,
            [
                model.DynamicConfigValue("custom.lineStyle", dashes),
                model.DynamicConfigValue("color", red),
            ],
        )
    _describe(panel, title, description, width, unit, runbook, level)
    _ask(panel, queries, instant=False)
    return panel


def bars(
    title: str,
    description: str,
    *queries: Query,
    width: int = 12,
    unit: str = "short",
    runbook: str = ANY,
    level: Level | None = None,
) -> bargauge.Panel:
    """The newest value of each series as a bar; the arguments are those of `lines`."""
    panel = (
        bargauge.Panel()
        .height(8)
        .min(0)
        .display_mode(common.BarGaugeDisplayMode.GRADIENT)
        .orientation(common.VizOrientation.HORIZONTAL)
        .show_unfilled(True)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .no_value("-")
    )
    _describe(panel, title, description, width, unit, runbook, level)
    _ask(panel, queries, instant=True)
    return panel


def choice(name: str, label: str, values: str, description: str, *, several: bool) -> QueryVariable:
    """A variable whose values Prometheus knows; all of them unless somebody chooses.

    Args:
        name: Its name in queries.
        label: Its name for people.
        values: Grafana's query for its values.
        description: What may be chosen.
        several: Whether more than one can be.
    """
    text, value = "All", "$__all"
    everything = model.VariableOption(
        selected=True, text=[text] if several else text, value=[value] if several else value
    )
    return (
        QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(SOURCE)
        .query(values)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(several)
        .include_all(True)
        .all_value(".*")
        .current(everything)
    )


def board(
    name: str,
    title: str,
    description: str,
    sections: Sequence[Section],
    variables: Sequence[QueryVariable] = (),
    begins: str = "now-7d",
    refresh: str = "1m",
) -> Dashboard:
    """A dashboard: its variables, and its panels in rows.

    Args:
        name: Its file's name.
        title: Its title.
        description: What it answers.
        sections: Its rows.
        variables: What can be chosen at its top.
        begins: Where the time range begins.
        refresh: How often it asks again.

    Raises:
        ValueError: If the panels of a row do not fill lines of 24.
    """
    found = (
        Dashboard(title)
        .uid(f"ml-{name}")
        .description(description)
        .tags([TAG])
        .version(1)
        .editable()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .refresh(refresh)
        .time(begins, "now")
        .timezone(common.TimeZoneBrowser)
        .link(
            DashboardLink("Dashboards")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(True)
            .keep_time(True)
        )
    )
    for variable in (*variables, _runbooks()):
        found.with_variable(variable)
    ids = iter(range(1, 1000))
    for section in sections:
        found.with_row(Row(section.title).id(next(ids)))
        place = 0
        for panel in section.panels:
            found.with_panel(panel.id(next(ids)))
            place += _width(panel)
            if place > WIDTH:
                raise ValueError(f"{title}: a line of {section.title} is {place} wide")
            place %= WIDTH
        if place:
            raise ValueError(f"{title}: the last line of {section.title} is {place} wide")
    return found


def _width(panel: Panel) -> int:
    position = panel.build().grid_pos
    return position.w if position else WIDTH


def _describe(
    panel: Panel,
    title: str,
    description: str,
    width: int,
    unit: str,
    runbook: str,
    level: Level | None,
) -> None:
    """What every panel has."""
    steps = [model.Threshold(color=level.below if level else "green")]
    if level:
        steps.append(model.Threshold(value=level.value, color=level.color))
    colors = model.FieldColorModeId
    (
        panel.title(title)
        .description(description)
        .datasource(SOURCE)
        .span(width)
        .unit(unit)
        .thresholds(ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps))
        .links([_runbook(runbook)])
    )
    by_level = level is not None and not isinstance(panel, timeseries.Panel)
    panel.color_scheme(FieldColor().mode(colors.THRESHOLDS if by_level else colors.PALETTE_CLASSIC))


def _ask(panel: Panel, queries: Sequence[Query], *, instant: bool) -> None:
    for letter, query in zip(ascii_uppercase[: len(queries)], queries, strict=True):
        target = (
            Dataquery()
            .datasource(SOURCE)
            .editor_mode(prometheus.QueryEditorMode.CODE)
            .expr(query.expr)
            .legend_format(query.legend)
            .ref_id(letter)
        )
        panel.with_target(target.instant() if instant else target.range())


def _runbook(section: str) -> DashboardLink:
    """A link to an alert's runbook, or to another section of docs/monitoring.md."""
    title = f"Runbook: {section}" if section[0].isupper() else "What the panels show"
    address = f"${{runbooks}}/docs/monitoring.md#{section.lower()}"
    return DashboardLink(title).type(model.DashboardLinkType.LINK).url(address).target_blank(True)


def _runbooks() -> TextBoxVariable:
    """Where the repository can be read; `alerts.runbooks` of config/monitoring.yaml is the same."""
    return (
        TextBoxVariable("runbooks")
        .label("Repository")
        .description("The address below which docs/monitoring.md can be read.")
        .default_value(EXAMPLE_OF_RUNBOOKS)
        .current(model.VariableOption(text=EXAMPLE_OF_RUNBOOKS, value=EXAMPLE_OF_RUNBOOKS))
    )
