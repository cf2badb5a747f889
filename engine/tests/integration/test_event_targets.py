"""A target from events: gold's labels, which intervals are labelled anew, and a model of them."""

from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from goldpath import Aggregate, Project, Rows, window_feature
from goldpath.adoption.infer import Adoption
from goldpath.adoption.target_role import parse_event
from goldpath.contract import Contract, ContractError, dump_contract, load_contract
from goldpath.errors import NotEnoughDataError, ProjectError
from goldpath.features.event_labels import event_source
from goldpath.features.window.feature import WindowFeature
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.data.adoption import adopt_file, event_texts
from goldpath.jobs.data.leaks import check_leaks
from goldpath.jobs.data.refresh import DataResult, refresh
from goldpath.jobs.data.report import write_data_report
from goldpath.jobs.own_definitions import check_definitions
from goldpath.jobs.privacy.forgetting import forget
from goldpath.jobs.promotion.promote import promote
from goldpath.jobs.retraining.admission import require_labelled_rows
from goldpath.jobs.training.checks import count_unlabelled
from goldpath.jobs.training.stages import train
from goldpath.jobs.windows.model_windows import require_windows_of_gold
from goldpath.lake.gold_frame import gold_snapshot
from goldpath.lake.lakehouse import LakehouseError
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.lake.tables import gold_table
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.serving.api import create_service
from goldpath.settings import Settings, load_settings
from goldpath.source_contract import load_sources
from goldpath.testing import tiny_lake

from ..api.conftest import until
from ..api.examples import TestClient
from ..prepared_projects import PreparedProjects
from ..ready_made import add_ready_made

CANCELLATIONS = """\
source: {path: left}
entity: who
event_time: {column: at}
columns:
- {name: kind, type: category, categories: [left, paused], closed: true}
"""
PEOPLE = """\
c1,2026-01-15,1
c1,2026-02-15,2
c1,2026-04-15,3
c2,2026-01-15,4
c2,2026-03-15,5
c3,2026-03-15,6
"""
LEFT = "c1,2026-02-20,left\nc2,2026-01-20,paused\nc9,2026-04-01,left\n"


def contract(**target: object) -> Contract:
    return Contract.model_validate(
        {
            "dataset": "shop",
            "problem": "classification",
            "source": {"path": "in"},
            "entity": "id",
            "event_time": {"column": "day"},
            "target": {"event": "cancellations", "within": "30d", **target},
            "features": [{"name": "amount", "type": "number"}],
        }
    )


def deliver(settings: Settings, name: str, lines: str) -> None:
    header = "id,day,amount\n" if name.startswith("in/") else "who,at,kind\n"
    file = settings.root / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(header + lines, encoding="utf-8")


def describe(root: Path, text: str = CANCELLATIONS) -> None:
    folder = root / "config" / "sources"
    folder.mkdir(exist_ok=True)
    (folder / "cancellations.yaml").write_text(text, encoding="utf-8")


def labelled_shop(settings: Settings) -> DataResult:
    """Three customers, and what is known of cancellations up to the first of April."""
    describe(settings.root)
    deliver(settings, "in/a.csv", PEOPLE)
    deliver(settings, "left/a.csv", LEFT)
    return refresh(settings, contract())


def labels(settings: Settings) -> dict[str, object]:
    lakehouse = LocalLakehouse(settings)
    rows = lakehouse.collect(lakehouse.read(gold_table(contract()))).to_pylist()
    return {
        f"{row['id']} {row['event_time']:%m-%d}": row["cancellations_within_30d"] for row in rows
    }


ALL_KINDS = {
    "c1 01-15": "no",
    "c1 02-15": "yes",
    "c1 04-15": None,
    "c2 01-15": "yes",
    "c2 03-15": None,
    "c3 03-15": None,
}


def test_gold_has_labels_and_data_says_which_rows_have_none(
    prepared_projects: PreparedProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    project, result = prepared_projects.restore(labelled_shop)
    assert labels(project) == ALL_KINDS
    assert result.labels is not None
    assert result.labels.labelled == {"no": 1, "yes": 2}
    assert (result.labels.unlabelled, result.labels.after_event) == (3, 2)
    assert result.labels.observed_until == datetime(2026, 4, 1)
    assert (result.silver_rows, result.left_out_rows) == (6, 0)

    before = LocalLakehouse(project).snapshot(gold_table(contract()))
    again = refresh(project, contract())
    assert again.recomputed == ()
    assert LocalLakehouse(project).snapshot(gold_table(contract())) == before
    said = " ".join(capsys.readouterr().err.split())
    assert "3 rows have no cancellations_within_30d yet" in said
    assert "2 rows are at or after such an event of their id" in said

    write_data_report(project, contract())
    page = (project.reports / "data.html").read_text("utf-8")
    assert "no label yet: not learned from" in page
    assert "Events are known until 2026-04-01" in page


def test_a_filter_an_end_and_rows_after_an_event(prepared_projects: PreparedProjects) -> None:
    project, _ = prepared_projects.restore(labelled_shop)
    refresh(project, contract(where={"kind": "left"}))
    assert labels(project) == {**ALL_KINDS, "c2 01-15": "no"}

    refresh(project, contract(observed_until="2026-03-17"))
    assert labels(project) == ALL_KINDS
    refresh(project, contract(observed_until="2026-03-16"))
    assert labels(project) == {**ALL_KINDS, "c1 02-15": None}

    result = refresh(project, contract(exclude_after_event=True))
    assert {*labels(project)} == {*ALL_KINDS} - {"c1 04-15", "c2 03-15"}
    assert result.left_out_rows == 2
    assert result.labels is not None
    assert result.labels.after_event == 0


def test_later_events_label_the_intervals_that_had_none_and_no_others(
    prepared_projects: PreparedProjects,
) -> None:
    project, _ = prepared_projects.restore(labelled_shop)
    more = "c3,2026-04-03,left\nc9,2026-04-20,left\n"
    deliver(project, "left/b.csv", more)
    result = refresh(project, contract())
    assert result.recomputed == ("2026-03", "2026-04")
    deliver(project, "left/c.csv", "c1,2026-01-16,left\n")  # it comes late
    assert refresh(project, contract()).recomputed == ("2026-01",)

    step_by_step = labels(project)
    at_once = refresh(project, contract(), date(2026, 1, 1), date(2027, 1, 1))
    assert at_once.recomputed == ("2026-01", "2026-02", "2026-03", "2026-04")
    assert step_by_step == labels(project)
    assert labels(project) == {
        **ALL_KINDS, "c1 01-15": "yes", "c2 03-15": "no", "c3 03-15": "yes"
    }  # fmt: skip


def test_events_far_from_a_row_end_its_wait_and_keep_it_out(project: Settings) -> None:
    """The intervals of these events are not among those that hold the row's own."""
    describe(project.root)
    deliver(project, "in/a.csv", "c1,2025-01-15,1\nc2,2025-06-15,2\n")
    deliver(project, "left/a.csv", "c2,2025-01-20,left\nc9,2999-01-01,left\n")
    result = refresh(project, contract())
    assert result.labels is not None
    assert result.labels.observed_until == datetime(2025, 1, 20), "a planned event tells nothing"
    assert labels(project) == {"c1 01-15": None, "c2 06-15": None}

    deliver(project, "left/b.csv", "c9,2025-04-20,left\n")
    assert refresh(project, contract()).recomputed == ("2025-01",)
    assert labels(project) == {"c1 01-15": "no", "c2 06-15": None}

    left_out = contract(exclude_after_event=True)
    refresh(project, left_out)
    deliver(project, "in/b.csv", "c2,2025-06-16,3\n")
    assert refresh(project, left_out).recomputed == ("2025-06",)
    assert {*labels(project)} == {"c1 01-15"}


def test_a_forgotten_person_is_no_event_and_no_row(prepared_projects: PreparedProjects) -> None:
    project, _ = prepared_projects.restore(labelled_shop)
    held = forget(project, contract(), "c1", yes=False)
    assert held.rows["silver.cancellations"] == 1
    forget(project, contract(), "c1", yes=True)
    refresh(project, contract())
    assert {*labels(project)} == {"c2 01-15", "c2 03-15", "c3 03-15"}


@window_feature(source="cancellations", over="60d")
def paused(events: Rows) -> dict[str, Aggregate]:
    return {"times": events.count()}


def test_the_events_may_be_features_and_nothing_leaks(prepared_projects: PreparedProjects) -> None:
    project, _ = prepared_projects.restore(labelled_shop)
    deliver(project, "in/b.csv", "c4,2026-02-17,7\n")  # before the event of the row of 02-15
    features: list[WindowFeature] = [paused]
    own = load_settings(project.root, Project(features=lambda: features))
    refresh(own, contract())
    lakehouse = LocalLakehouse(own)
    rows = lakehouse.collect(lakehouse.read(gold_table(contract()))).to_pylist()
    times = {f"{row['id']} {row['event_time']:%m-%d}": row["paused_times_60d"] for row in rows}
    assert times["c1 02-15"] == 0  # the label's own event is not seen
    assert times["c1 04-15"] == 1
    assert times["c2 03-15"] == 1

    found = check_leaks(own, contract(), cuts=30)

    assert found.leaks == ()
    assert any("2026-02-17" in cut for cut in found.cuts), "a label becomes known after it"


def test_a_leak_check_sees_labels_that_later_rows_change(
    prepared_projects: PreparedProjects,
) -> None:
    """A row is kept because of what happens after it: the check computes labels and knows."""
    import ibis

    from goldpath import Data

    def choose(rows: ibis.Table) -> ibis.Table:
        known = rows.filter(ibis._.cancellations_within_30d == "yes")["id"]
        return rows.filter(rows["id"].isin(known))

    project, _ = prepared_projects.restore(labelled_shop)
    own = load_settings(project.root, Project(data=lambda: Data(gold=choose)))
    found = check_leaks(own, contract())
    assert [(each.step, each.column) for each in found.leaks] == [("gold", "(the row itself)")]


def test_a_tiny_lake_makes_labels(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(project.root)
    (project.root / "config" / "project.yaml").write_text(dump_contract(contract()), "utf-8")
    monkeypatch.chdir(project.root)
    lake = tiny_lake(
        [{"id": "a", "day": "2026-01-01"}, {"id": "b", "day": "2026-01-01"}],
        project=Project(name="shop"),
        sources={
            "cancellations": [
                {"who": "a", "at": "2026-01-31"},
                {"who": "b", "at": "2026-02-01"},
            ]
        },
    )
    assert [row["cancellations_within_30d"] for row in lake.rows("gold")] == ["yes", "no"]
    alone = tiny_lake([{"id": "a"}], project=Project(name="shop"))
    assert [row["cancellations_within_30d"] for row in alone.rows("gold")] == [None]


def test_events_that_are_not_there_stop_everything_before_it_begins(project: Settings) -> None:
    deliver(project, "in/a.csv", PEOPLE)
    for work in (refresh, check_definitions):
        with pytest.raises(ContractError, match=r"target.event: there is no source 'cancell"):
            work(project, contract())
    assert LocalLakehouse(project).tables() == []
    describe(project.root, CANCELLATIONS.replace("event_time: {column: at}\n", ""))
    with pytest.raises(ContractError, match=r"cancellations.yaml: event_time: Field required"):
        refresh(project, contract())
    describe(project.root, CANCELLATIONS.replace("entity: who", "entity: whom"))
    deliver(project, "left/a.csv", LEFT)
    with pytest.raises(ProjectError, match=r"cancellations.yaml: .* lacks the columns whom"):
        refresh(project, contract())
    assert LocalLakehouse(project).tables() == []


def test_a_source_of_another_encoding_names_its_own_file_and_command(project: Settings) -> None:
    deliver(project, "in/a.csv", PEOPLE)
    describe(project.root)
    deliver(project, "left/a.csv", "")
    (project.root / "left" / "a.csv").write_bytes(
        "who,at,kind\né,2026-02-20,left\n".encode("cp1252")
    )

    with pytest.raises(ProjectError, match=r"cancellations.yaml: .*a.csv is not utf-8") as caught:
        refresh(project, contract())

    assert "source.encoding in config/sources/cancellations.yaml" in caught.value.fix
    assert "make add-source NAME=cancellations" in caught.value.fix
    assert "adopt" not in caught.value.fix


def test_an_adopted_event_of_another_datasets_source_is_refused(project: Settings) -> None:
    file = write_history(project.root)
    main = project.root / "config" / "project.yaml"
    before = main.read_text(encoding="utf-8")
    describe(project.root, "dataset: customer_churn\n" + CANCELLATIONS)

    with pytest.raises(
        ContractError, match=r"sources/cancellations.yaml is of customer_churn"
    ) as caught:
        adopt_event(project, file)

    assert "dataset: months" in caught.value.fix
    assert main.read_text(encoding="utf-8") == before
    describe(project.root, "dataset: months\n" + CANCELLATIONS)
    assert adopt_event(project, file).contract["dataset"] == "months"


def adopt_event(settings: Settings, file: Path) -> Adoption:
    target = "event:cancellations"
    event = parse_event(target, "30d", ["kind=left"])
    return adopt_file(settings, file, target, "id", "day", None, event=event)


def test_an_adoption_says_that_further_models_have_its_rows(project: Settings) -> None:
    file = write_history(project.root)
    (project.root / "models" / "calls").mkdir(parents=True)
    (project.root / "models" / "calls" / "project.yaml").write_text("target: {column: calls}\n")

    notes = adopt_event(project, file).notes

    assert "models/calls is now a model of these rows: check or delete it" in notes


def test_a_value_of_where_is_what_the_column_is(project: Settings) -> None:
    text = CANCELLATIONS.replace("[left, paused]", "['5', 'yes', '[']")
    describe(project.root, text + "- {name: code, type: integer}\n- {name: note, type: text}\n")
    target = "event:cancellations"
    texts = event_texts(project.root, target)

    def where(*said: str) -> object:
        event = parse_event(target, "30d", said, as_text=texts)
        assert event is not None
        event_source(contract(where=event.where), [source])
        return event.where

    (source,) = load_sources(project.root)
    assert where("kind=5", "code=5") == {"kind": "5", "code": 5}
    assert where("note=5") == {"note": "5"}
    assert where("kind=yes", "kind=[") == {"kind": ("yes", "[")}
    assert event_texts(project.root, "kind") == ()


def test_a_training_without_both_labels_says_why(
    prepared_projects: PreparedProjects, capsys: pytest.CaptureFixture[str]
) -> None:
    project, _ = prepared_projects.restore(labelled_shop)
    early = contract(observed_until="2026-01-20")
    refresh(project, early)
    assert "so nothing can be learned" in " ".join(capsys.readouterr().err.split())
    lakehouse = LocalLakehouse(project)
    snapshot = gold_snapshot(lakehouse, early)
    with pytest.raises(NotEnoughDataError, match=r"6 have no label.*no row has one"):
        count_unlabelled(lakehouse, early, snapshot)

    one_kind = contract(where={"kind": "left"}, observed_until="2026-02-14")
    with pytest.raises(LakehouseError, match="made with another contract"):
        require_windows_of_gold(lakehouse, one_kind, snapshot)
    refresh(project, one_kind)
    snapshot = gold_snapshot(lakehouse, one_kind)
    require_windows_of_gold(lakehouse, one_kind, snapshot)
    with pytest.raises(NotEnoughDataError, match=r"4 have no label.*of the others 2 are no"):
        count_unlabelled(lakehouse, one_kind, snapshot)


FIRST = date(2025, 1, 1)
DAYS = 240


def write_history(root: Path) -> Path:
    """Customers who are looked at once a month, and leave soon where they are used little."""
    dice = Random(5)
    rows, events = [], []
    for number in range(120):
        gone = None
        for month in range(8):
            day = FIRST + timedelta(days=30 * month + number % 28)
            if gone is not None and gone <= day:
                break
            hours = round(dice.uniform(0, 10), 1)
            plan = dice.choice(["basic", "plus"])
            rows.append(f"c{number},{day},{hours},{plan}")
            if dice.random() < (0.6 if hours < 3 else 0.05):
                gone = day + timedelta(days=dice.randint(1, 28))
                events.append(f"c{number},{gone},left")
        events.append(f"c{number},{FIRST + timedelta(days=dice.randint(0, DAYS))},paused")
    folder = root / "data"
    folder.mkdir(exist_ok=True)
    (folder / "months.csv").write_text("\n".join(["id,day,hours,plan", *rows, ""]), "utf-8")
    (folder / "left.csv").write_text("\n".join(["who,at,kind", *events, ""]), "utf-8")
    return folder / "months.csv"


@pytest.mark.slow
def test_a_model_learns_from_events(
    project: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_ready_made(project)
    file = write_history(project.root)
    target = "event:cancellations"
    event = parse_event(target, "30d", ["kind=left"], exclude=True)
    adopted = adopt_file(project, file, target, "id", "day", None, event=event)
    assert adopted.contract["target"]["event"] == "cancellations"
    assert any("add-source NAME=cancellations" in note for note in adopted.notes)
    describe(project.root, CANCELLATIONS.replace("path: left", "path: data/left.csv"))
    given = load_contract(project.root)
    assert given.target.column == "cancellations_within_30d"
    monkeypatch.setenv("MLOPS_TRAINING__TRIALS", "1")
    monkeypatch.setenv("MLOPS_TRAINING__MINIMUM_TEST_ROWS", "50")
    monkeypatch.setenv("MLOPS_TRAINING__FAMILIES", '["linear"]')
    own = load_settings(project.root)
    data = refresh(own, given)
    assert data.labels is not None
    assert data.labels.unlabelled > 0

    candidate = train(own, given, "first")

    assert candidate.value > 0.7
    said = " ".join(capsys.readouterr().err.split())
    assert f"{data.labels.unlabelled:,} of {data.silver_rows - data.left_out_rows:,} rows" in said
    manager = MLflowManager(own, given)
    version = manager.newest_version()
    assert version is not None
    card = manager.read_text(version.run_id, "model_card.md")
    assert "rows less than 30d before are left out" in card
    assert f"not learned from: {data.labels.unlabelled:,} rows" in card
    assert "where kind is left within 30d after the row's time" in card
    with pytest.raises(NotEnoughDataError, match="no retraining: 0 rows with a label"):
        require_labelled_rows(own, given, version, data)

    promote(own, given, candidate.model_version)
    scored = predict_batch(own, given)
    assert scored.rows == data.silver_rows - data.left_out_rows  # rows without a label, too
    with TestClient(create_service(own, given)) as client:
        until(lambda: client.get("/ready").status_code == 200)
        body = {"features": {"hours": 1.0, "plan": "basic"}}
        answer = client.post("/predict", json=body).json()
        assert answer["prediction"] in ("no", "yes")
        label = {"prediction_id": answer["prediction_id"], "label": "yes"}
        assert client.post("/feedback", json=label).status_code in (200, 202)
