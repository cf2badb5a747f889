"""The data page shows the lake as it is, and nothing in the data can break out of it."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner, Result

from goldpath.cli.app import app
from goldpath.contract import Contract, dump_contract
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.data.report import write_data_report, write_source_figures
from goldpath.jobs.data.source_tables import SourceResult
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import LakehouseError
from goldpath.lake.tables import gold_table
from goldpath.serving.metrics.reports import SOURCE_FIGURES, TEXTFILE
from goldpath.settings import Settings
from goldpath.source_contract import load_sources

ATTACK = "</title></script><img src=x onerror=alert(1)>"


def contract(**changes: object) -> Contract:
    values: dict[str, object] = {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "in"},
        "entity": "id",
        "event_time": {"column": "day"},
        "target": {"column": "bought", "classes": ["no", "yes"]},
        "features": [
            {"name": "amount", "type": "number", "maximum": 1000},
            {"name": "note", "type": "category", "nullable": True},
        ],
    }
    return Contract.model_validate(values | changes)


def deliver(settings: Settings) -> None:
    folder = settings.root / "in"
    folder.mkdir()
    lines = [
        "id,day,amount,bought,note",
        f'1,2026-01-05,10,no,"{ATTACK}"',
        "2,2026-01-06,20,yes,b",
        "2,2026-01-06,25,yes,b",
        "3,2026-02-06,5000,yes,b",
        "4,2026-02-07,40,yes,",
    ]
    (folder / "a.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


class Tags(HTMLParser):
    """Every element of a page, and whatever it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href")]


def page_of(settings: Settings, made: str) -> str:
    return (settings.root / made).read_text(encoding="utf-8")


def test_every_interval_is_on_the_page_and_adds_up(project: Settings) -> None:
    deliver(project)
    refresh(project, contract())
    report = write_data_report(project, contract())
    page = page_of(project, report.page)
    assert (report.intervals, report.columns, report.gold_rows) == (2, 3, 3)
    assert report.unaccounted == ()
    rows = re.findall(r"<tr><td>(2026-\d\d)</td>((?:<td>[\d,]+</td>){4})", page)
    figures = {name: [int(n) for n in re.findall(r"\d+", cells)] for name, cells in rows}
    assert figures == {"2026-01": [3, 2, 1, 0], "2026-02": [2, 1, 0, 1]}
    assert page.count("✓") == 2
    assert "amount: is above 1000" in page
    assert "33.3% missing" in page


def test_values_cannot_break_out_and_nothing_is_loaded(project: Settings) -> None:
    deliver(project)
    refresh(project, contract())
    tags = Tags()
    tags.feed(page_of(project, write_data_report(project, contract()).page))
    assert not {"img", "script", "link", "iframe"} & set(tags.names)
    assert tags.loaded == []


def test_values_of_personal_columns_are_not_shown(project: Settings) -> None:
    deliver(project)
    private = contract(personal=["note", "amount"])
    refresh(project, private)
    page = page_of(project, write_data_report(project, private).page)
    assert page.count("personal: not shown") == 2
    assert "onerror" not in page


def test_data_without_a_time_and_without_an_entity(project: Settings) -> None:
    deliver(project)
    plain = contract(event_time=None, entity=None)
    refresh(project, plain)
    report = write_data_report(project, plain)
    assert report.intervals == 1
    assert "no time" in page_of(project, report.page)


def test_an_empty_lake_says_what_to_run(project: Settings) -> None:
    with pytest.raises(LakehouseError, match="make data"):
        write_data_report(project, contract())
    assert not (project.reports / "data.html").exists()


def test_histogram_counts_every_value(project: Settings, tmp_path: Path) -> None:
    from goldpath.lake.column_summary import summarise_columns

    folder = project.root / "in"
    folder.mkdir()
    lines = [f"{n},2026-01-01,{n / 7},no,x{n % 12}" for n in range(500)]
    lines.append("999,2026-01-01,1,yes,x1")
    (folder / "a.csv").write_text("id,day,amount,bought,note\n" + "\n".join(lines) + "\n")
    refresh(project, contract())
    lakehouse = open_lakehouse(project)
    rows = lakehouse.read(gold_table(contract()))
    amount, note, bought = summarise_columns(lakehouse, rows, contract())
    assert sum(count for _, count in amount.counts) == 501
    assert len(amount.counts) == 20
    assert amount.minimum == 0
    assert amount.maximum == pytest.approx(499 / 7)
    assert len(note.counts) == 8
    assert note.distinct == 12
    assert dict(bought.counts) == {"no": 500, "yes": 1}


PAYMENTS = """\
source: {path: pay}
entity: id
event_time: {column: day}
key: payment
columns:
- {name: amount, type: number, minimum: 0}
"""


def test_make_data_leaves_its_figures_for_prometheus(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(project)
    root = project.root
    (root / "config" / "project.yaml").write_text(dump_contract(contract()), encoding="utf-8")
    (root / "config" / "sources").mkdir(exist_ok=True)
    (root / "config" / "sources" / "payments.yaml").write_text(PAYMENTS, encoding="utf-8")
    payments = root / "pay" / "a.csv"
    payments.parent.mkdir()
    payments.write_text("payment,id,day,amount\np1,1,2026-01-05 10:30,5\np2,1,2026-01-06,-1\n")
    gone = project.reports / SOURCE_FIGURES / "bills.json"
    gone.parent.mkdir(parents=True)
    gone.write_text("{}")
    monkeypatch.chdir(root)

    assert make_data().exit_code == 0

    rows = figures(project, "ml_data_rows")
    assert rows == {
        "shop bronze": 5,
        "shop silver": 3,
        "shop quarantined": 1,
        "shop duplicate": 1,
        "shop gold": 3,
        "payments bronze": 2,
        "payments silver": 1,
        "payments quarantined": 1,
        "payments duplicate": 0,
    }
    assert figures(project, "ml_data_source_broken") == {"shop": 0, "payments": 0}
    assert figures(project, "ml_data_newest_event_timestamp_seconds") == {
        "shop": datetime(2026, 2, 7, tzinfo=UTC).timestamp(),
        "payments": datetime(2026, 1, 5, 10, 30, tzinfo=UTC).timestamp(),
    }
    first = figures(project, "ml_data_refreshed_timestamp_seconds")
    assert first.keys() == {"shop", "payments"}

    # A source that nothing needs is broken: what it had is still known, and when.
    payments.unlink()
    assert make_data().exit_code == 0
    again = figures(project, "ml_data_refreshed_timestamp_seconds")
    assert again["shop"] > first["shop"]
    assert again["payments"] == first["payments"]
    assert figures(project, "ml_data_source_broken") == {"shop": 0, "payments": 1}
    assert figures(project, "ml_data_rows") == rows

    # Airflow brings each source up to date in a task of its own.
    payments.write_text("payment,id,day,amount\np3,1,2026-03-01,5\n")
    assert make_data("--only", "payments").exit_code == 0
    assert figures(project, "ml_data_source_broken") == {"shop": 0, "payments": 0}
    assert figures(project, "ml_data_rows")["payments silver"] == 2
    newest = figures(project, "ml_data_newest_event_timestamp_seconds")
    assert newest["payments"] == datetime(2026, 3, 1, tzinfo=UTC).timestamp()
    assert json.loads(make_data("--only", "shop", "--json").stdout)["recomputed"] == []
    assert figures(project, "ml_data_newest_event_timestamp_seconds") == newest


def test_the_newest_event_is_that_of_the_table_whoever_brought_it_up_to_date(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(project)
    file = project.root / "config" / "project.yaml"
    file.write_text(dump_contract(contract()), encoding="utf-8")
    monkeypatch.chdir(project.root)
    assert make_data().exit_code == 0
    metric = "ml_data_newest_event_timestamp_seconds"
    assert figures(project, metric) == {"shop": datetime(2026, 2, 7, tzinfo=UTC).timestamp()}
    (project.root / "in" / "b.csv").write_text("id,day,amount,bought,note\n5,2026-04-01,1,no,c\n")
    refresh(project, contract())  # as where a further model fails after it

    assert json.loads(make_data("--json").stdout)["recomputed"] == []

    assert figures(project, metric) == {"shop": datetime(2026, 4, 1, tzinfo=UTC).timestamp()}


def test_a_source_that_was_never_made_has_figures_and_no_newest_event(
    project: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.root / "config" / "sources").mkdir(parents=True, exist_ok=True)
    (project.root / "config" / "sources" / "payments.yaml").write_text(PAYMENTS, encoding="utf-8")
    (payments,) = load_sources(project.root)
    forgotten = SourceResult("pay", 1, (), 0, 0, 0, 0, 3, 0, {})  # all of its rows

    write_source_figures(project, payments, forgotten)

    assert "WARNING" not in capsys.readouterr().err
    assert figures(project, "ml_data_rows")["payments silver"] == 0
    assert figures(project, "ml_data_newest_event_timestamp_seconds") == {}


def test_figures_that_cannot_be_written_are_said_and_cost_no_refresh(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(project)
    file = project.root / "config" / "project.yaml"
    file.write_text(dump_contract(contract()), encoding="utf-8")
    project.reports.mkdir(exist_ok=True)
    (project.reports / SOURCE_FIGURES).write_text("in the way")
    monkeypatch.chdir(project.root)

    done = make_data()

    assert done.exit_code == 0
    assert "Prometheus is not told what this refresh counted" in " ".join(done.stderr.split())
    assert open_lakehouse(project).exists(gold_table(contract()))


def make_data(*words: str) -> Result:
    return CliRunner().invoke(app, ["data", *words])


def figures(settings: Settings, metric: str) -> dict[str, float]:
    """The samples of a metric in the file for the node exporter, by source and kind."""
    text = (settings.reports / TEXTFILE).read_text(encoding="utf-8")
    return {
        " ".join(sample.labels[name] for name in ("source", "kind") if name in sample.labels): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric
    }
