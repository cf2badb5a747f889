"""Bring your own data: every file gets a contract that works, or an error that helps."""

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from goldpath.adoption.column_profile import AdoptionError
from goldpath.adoption.infer import Adoption
from goldpath.contract import (
    Contract,
    dump_contract,
    load_contract,
    parse_contract,
)
from goldpath.errors import ProjectError
from goldpath.jobs.data.adoption import adopt_file
from goldpath.presentation import as_plain, show_adoption
from goldpath.quality.checks import check_rows, number_rows
from goldpath.raw_source import EventTime, Source
from goldpath.settings import Settings, load_settings
from goldpath.sources.files import SourceError
from goldpath.sources.read import read_raw

ROWS = 400
BEFORE = "dataset: before\n"
Columns = Mapping[str, Any]  # lists, arrays and indexes: whatever pandas takes
Adopt = Callable[..., Adoption]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "project.yaml").write_text(BEFORE)
    return tmp_path


@pytest.fixture
def project(root: Path) -> Settings:
    return load_settings(root)


@pytest.fixture
def adopt(project: Settings) -> Adopt:
    """Adopt columns, or a file's bytes; the contract as a later command would load it."""

    def call(data: Columns | bytes, target: str = "goal", **options: str) -> Adoption:
        file = project.root / "My Data.csv"
        if isinstance(data, bytes):
            file.write_bytes(data)
        else:
            pd.DataFrame(dict(data)).to_csv(file, index=False)
        return adopt_file(
            project, file, target, options.get("id"), options.get("time"), options.get("problem")
        )

    return call


def columns(**more: Any) -> dict[str, Any]:
    """A plain binary problem, with columns added or replaced."""
    random = np.random.default_rng(5)
    base: dict[str, Any] = {
        "size": list(random.normal(50, 10, ROWS).round(2)),
        "colour": list(random.choice(["red", "green", "blue"], ROWS)),
        "goal": list(random.choice(["yes", "no"], ROWS, p=[0.3, 0.7])),
    }
    return base | more


def written(root: Path) -> Contract:
    return load_contract(root)


def role(adoption: Adoption, column: str) -> tuple[str, str]:
    decision = next(d for d in adoption.decisions if d.column == column)
    return decision.role, decision.reason


# ---- what is written


def test_the_contract_is_written_and_the_one_before_kept(adopt: Adopt, root: Path) -> None:
    adoption = adopt(columns())
    contract = written(root)
    assert contract.dataset == "my_data"
    assert contract.source == Source(path="My Data.csv")
    assert contract.feature_names == ["size", "colour"]
    assert contract.target.classes == ("no", "yes")
    assert (root / "config" / "project.yaml.bak").read_text() == BEFORE
    assert (root / adoption.contract_file).read_text().startswith("# The dataset contract")
    assert parse_contract(json.dumps(adoption.contract)) == contract
    assert sorted(p.name for p in (root / "config").iterdir()) == [
        "project.yaml",
        "project.yaml.bak",
    ]


def test_every_column_gets_one_decision_with_a_reason(adopt: Adopt) -> None:
    adoption = adopt(columns(empty=[None] * ROWS))
    assert [d.column for d in adoption.decisions] == ["size", "colour", "goal", "empty"]
    assert all(d.reason and d.role for d in adoption.decisions)


def test_the_answer_can_be_shown_to_people_and_scripts(
    adopt: Adopt, capsys: pytest.CaptureFixture[str]
) -> None:
    adoption = adopt(
        columns(**{"size [cm]": range(0, 2 * ROWS, 2), "[/red]": ["a", "b"] * (ROWS // 2)})
    )
    show_adoption(adoption, as_json=False)
    show_adoption(adoption, as_json=True)
    last = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(last) == json.loads(json.dumps(as_plain(adoption), default=str))


def test_a_file_outside_the_project_is_named_in_full(
    project: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("elsewhere") / "data.csv"
    pd.DataFrame(columns()).to_csv(file, index=False)
    adopt_file(project, file, "goal", None, None, None)
    assert written(project.root).source.path == str(file)


@pytest.mark.parametrize("data", ["raw", "raw/*.csv"])
def test_a_folder_and_a_glob_are_adopted_as_one_dataset(project: Settings, data: str) -> None:
    rows = pd.DataFrame(columns())
    for name, part in (("b", rows[ROWS // 2 :]), ("a", rows[: ROWS // 2])):
        (project.root / "raw").mkdir(exist_ok=True)
        part.to_csv(project.root / "raw" / f"{name}.csv", index=False, sep=";")
    adopt_file(project, Path(data), "goal", None, None, None)
    contract = written(project.root)
    assert contract.dataset == "raw"
    assert contract.source == Source(path=data, delimiter=";")
    assert read_raw(contract.source, project.root)["size"].to_pylist() == [
        str(size) for size in rows["size"]
    ]


def test_a_glob_is_looked_up_in_the_current_folder_first(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("here", "."):
        (project.root / folder).mkdir(exist_ok=True)
        pd.DataFrame(columns()).to_csv(project.root / folder / "x1.csv", index=False)
    monkeypatch.chdir(project.root / "here")
    adopt_file(project, Path("x*.csv"), "goal", None, None, None)
    assert written(project.root).source.path == "here/x*.csv"


def test_empty_options_are_options_left_out(adopt: Adopt, root: Path) -> None:
    adopt(columns(), id="", time=" ", problem="")
    assert written(root).problem == "classification"


def test_parquet_gives_the_same_contract_as_csv(adopt: Adopt, project: Settings) -> None:
    frame = pd.DataFrame(columns(when=pd.date_range("2024-01-01", periods=ROWS, freq="h")))
    frame["flag"] = frame["size"] > 50
    adopt(frame.to_dict("list"))
    from_csv = written(project.root)
    frame.to_parquet(project.root / "My Data.parquet")
    adopt_file(project, Path("My Data.parquet"), "goal", None, None, None)
    from_parquet = written(project.root)
    assert from_parquet.features == from_csv.features
    assert from_parquet.event_time == from_csv.event_time == EventTime(column="when")


# ---- what is refused, and nothing written


def quoted(data: Columns) -> bytes:
    return pd.DataFrame(dict(data)).to_csv(index=False).encode()


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"", {}, "is empty"),
        (b"size,goal\n", {}, "no rows"),
        (quoted(columns()), {"target": "gaol"}, "no such column"),
        (quoted(columns(goal=["yes"] * ROWS)), {}, "is always 'yes'"),
        (quoted(columns(goal=[None] * ROWS)), {}, "no value in any row"),
        (quoted(columns(goal=[f"label {i}" for i in range(ROWS)])), {}, "400 different labels"),
        (quoted(columns(goal=range(ROWS))), {"problem": "classification"}, "400 different labels"),
        (quoted(columns()), {"problem": "regression"}, "is no number"),
        (quoted(columns()), {"problem": "clustering"}, "TARGET=goal and PROBLEM=clustering"),
        (quoted(columns()), {"problem": "forecasting"}, "is a regression that is asked ahead"),
        (quoted(columns()), {"id": "goal"}, "is the TARGET too"),
        (quoted(columns()), {"id": "colour"}, "ID=colour is not unique"),
        (quoted(columns()), {"id": "none such"}, "no such column"),
        (quoted(columns(who=[None] * ROWS)), {"id": "who"}, "no value in any row"),
        (quoted(columns(event_time=range(ROWS))), {"id": "event_time"}, "uses the name itself"),
        (quoted(columns(row_id=["a", "b"] * 200)), {"target": "row_id"}, "uses the name itself"),
        (quoted(columns()), {"time": "colour"}, "no dates"),
        (quoted(columns()), {"time": "goal"}, "already the TARGET"),
        (quoted(columns(when=["2024-01-31"] * ROWS)), {"time": "when+size"}, "hours from 0 to 23"),
        (quoted({"goal": ["a", "b"] * 200, "same": [1] * ROWS}), {}, "no column is left"),
    ],
)
def test_bad_input_is_an_error_that_helps_and_nothing_is_written(
    adopt: Adopt, root: Path, data: bytes, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ProjectError, match=message) as caught:
        adopt(data, **options)
    assert caught.value.fix
    assert (root / "config" / "project.yaml").read_text() == BEFORE
    assert [p.name for p in (root / "config").iterdir()] == ["project.yaml"]


def test_a_missing_file_is_an_error(project: Settings) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        adopt_file(project, Path("nowhere.csv"), "goal", None, None, None)


def test_names_that_are_near_are_suggested(adopt: Adopt) -> None:
    with pytest.raises(AdoptionError) as caught:
        adopt(columns(), target="Gaol")
    assert "goal" in caught.value.fix


# ---- target


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["yes", "no", "no"], ("no", "yes")),
        (["Ja", "Ja", "Nein"], ("Nein", "Ja")),
        (["sim", "sim", "não"], ("não", "sim")),
        (["No", "Sí", "Sí"], ("No", "Sí")),
        (["0", "1", "1"], ("0", "1")),
        (["False", "True", "True"], ("False", "True")),
        (["stays", "stays", "leaves"], ("stays", "leaves")),
        (["b", "a"], ("a", "b")),
        (["10", "9", "2"], ("2", "9", "10")),
    ],
)
def test_classes_are_ordered_and_the_positive_one_is_last(
    adopt: Adopt, root: Path, labels: list[str], classes: tuple[str, ...]
) -> None:
    adoption = adopt(columns(goal=[labels[i % len(labels)] for i in range(ROWS)]))
    assert written(root).target.classes == classes
    if len(classes) == 2:
        assert repr(classes[-1]) in role(adoption, "goal")[1]


def test_many_numbers_are_a_regression_and_few_a_classification(adopt: Adopt, root: Path) -> None:
    adopt(columns(goal=[i % 21 for i in range(ROWS)]))
    assert written(root).problem == "regression"
    adopt(columns(goal=[i % 20 for i in range(ROWS)]))
    assert written(root).problem == "classification"
    adopt(columns(goal=[i % 20 for i in range(ROWS)]), problem="Regression")
    assert (written(root).problem, written(root).target.classes) == ("regression", ())


def test_rows_without_a_target_are_counted(adopt: Adopt) -> None:
    adoption = adopt(columns(goal=[None, *columns()["goal"]][:ROWS]))
    assert any("1 of 400 rows" in note and "goal: missing" in note for note in adoption.notes)


def test_labels_too_rare_to_learn_are_left_to_quarantine(adopt: Adopt, root: Path) -> None:
    adoption = adopt(columns(goal=["yess", *columns()["goal"]][:ROWS]))
    assert written(root).target.classes == ("no", "yes")
    assert any("yess" in note for note in adoption.notes)


# ---- entity


def test_an_identifier_is_found_by_its_name_or_as_a_running_number(
    adopt: Adopt, root: Path
) -> None:
    adopt(columns(userId=[f"u{i * 7}" for i in range(ROWS)]))
    assert written(root).entity == "userId"
    adopt(columns(n=range(1, ROWS + 1)))
    assert written(root).entity == "n"
    adopt(columns())
    assert written(root).entity is None
    adopt(columns(n=range(1, ROWS + 1)), id="none")
    assert written(root).entity is None


def test_an_entity_may_repeat_where_the_time_tells_its_rows_apart(adopt: Adopt, root: Path) -> None:
    days = pd.date_range("2024-01-01", periods=ROWS // 4).strftime("%Y-%m-%d")
    panel = columns(shop=[f"s{i % 4}" for i in range(ROWS)], day=np.repeat(days, 4))
    adoption = adopt(panel, id="shop", time="day")
    assert written(root).entity == "shop"
    assert "with day every row is unique" in role(adoption, "shop")[1]
    with pytest.raises(AdoptionError, match="not unique"):
        adopt(panel, id="shop", time="none")


def test_an_entity_that_repeats_without_a_time_keeps_each_row(adopt: Adopt, root: Path) -> None:
    visits = columns(patient=[f"p{i // 4}" for i in range(ROWS)])
    adoption = adopt(visits, id="patient")
    contract = written(root)
    assert contract.entity == "patient"
    assert contract.entity_repeats
    assert not contract.has_key
    assert "patient" not in contract.feature_names
    assert any("stay on one side of the split" in note for note in adoption.notes)


def test_a_few_rows_of_the_same_entity_and_time_are_left_to_silver(adopt: Adopt) -> None:
    frame = pd.DataFrame(columns(who=range(ROWS), day=["2024-01-01", "2024-01-02"] * 200))
    repeated = pd.concat([frame, frame.head(8).assign(size=1.5)])
    adoption = adopt(repeated.to_dict("list"), id="who", time="day")
    assert any("8 rows repeat a who" in note for note in adoption.notes)


def test_exact_copies_do_not_make_an_identifier_ambiguous(adopt: Adopt, root: Path) -> None:
    frame = pd.DataFrame(columns(who=[f"w{i}" for i in range(ROWS)]))
    adoption = adopt(pd.concat([frame, frame.head(5)]).to_dict("list"), id="who")
    assert written(root).entity == "who"
    assert any("5 rows are exact copies" in note for note in adoption.notes)


# ---- event time


@pytest.mark.parametrize(
    ("texts", "format_"),
    [
        (["2024-01-31", "2024-02-28"], None),
        (["2024-01-31T13:45:00Z", "2024-02-28 13:45"], None),
        (["1/31/24", "2/1/24"], "%m/%d/%y"),
        (["31/1/2024", "1/2/2024"], "%d/%m/%Y"),
        (["31.01.2024 13:45", "01.02.2024 07:00"], "%d.%m.%Y %H:%M"),
        (["2024/01/31", "2024/02/01"], "%Y/%m/%d"),
        (["20240131", "20240201"], "%Y%m%d"),
        (["3 Jan 2024", "4 Feb 2024"], "%d %b %Y"),
    ],
)
def test_the_date_format_is_read_from_the_values(
    adopt: Adopt, root: Path, texts: list[str], format_: str | None
) -> None:
    adopt(columns(when=texts * (ROWS // 2)), time="when")
    assert written(root).event_time == EventTime(column="when", format=format_)
    assert "when" not in written(root).feature_names


def test_a_swappable_date_follows_the_order_of_the_file_or_is_named(
    adopt: Adopt, root: Path
) -> None:
    ordered = [f"0{1 + i // 100}/0{1 + i % 100 // 12}/2024" for i in range(ROWS)]
    adoption = adopt(columns(when=ordered), time="when")
    assert "the file's order" in role(adoption, "when")[1]
    assert written(root).event_time == EventTime(column="when", format="%m/%d/%Y")
    mixed = ["05/06/2024", "06/05/2024", "01/02/2024", "02/01/2024"] * (ROWS // 4)
    adoption = adopt(columns(when=mixed), time="when")
    assert "check it" in role(adoption, "when")[1]


@pytest.mark.parametrize("time", ["day", "day+hr", None])
def test_an_hour_column_that_makes_the_times_unique_joins_the_date(
    adopt: Adopt, root: Path, time: str | None
) -> None:
    stamps = pd.date_range("2024-01-01", periods=ROWS, freq="h")
    options = {"time": time} if time else {}
    adopt(columns(day=stamps.strftime("%m/%d/%Y"), hr=stamps.hour), **options)
    contract = written(root)
    assert contract.event_time == EventTime(column="day", format="%m/%d/%Y", hour_column="hr")
    assert (contract.by_name["hr"].minimum, contract.by_name["hr"].maximum) == (0, 23)


def test_the_only_column_of_dates_is_the_event_time_unless_refused(
    adopt: Adopt, root: Path
) -> None:
    one = columns(seen=["2024-01-31", "2024-02-01"] * 200)
    assert "the only column of dates" in role(adopt(one), "seen")[1]
    adopt(one, time="none")
    assert written(root).event_time is None
    assert role(adopt(one | {"sent": one["seen"]}), "seen")[0] == "ignored"
    assert role(adopt(columns(date_of_birth=one["seen"])), "date_of_birth")[0] == "ignored"


# ---- features, and the forms of files


def test_useless_columns_are_left_out_with_the_reason(adopt: Adopt, root: Path) -> None:
    rows = 20_000
    frame = pd.DataFrame(columns()).sample(rows, replace=True, random_state=1)
    frame = frame.assign(same=7, empty=None, many=[f"m{i % 10_000}" for i in range(rows)])
    adoption = adopt(frame.to_dict("list"))
    assert set(written(root).ignored) == {"same", "empty", "many"}
    assert "constant" in role(adoption, "same")[1]
    assert "no row has a value" in role(adoption, "empty")[1]
    assert "10,000 categories" in role(adoption, "many")[1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_semicolons_and_encodings_are_understood_and_noted(
    adopt: Adopt, root: Path, encoding: str
) -> None:
    frame = pd.DataFrame(columns(stadt=["Köln", "Nürnberg"] * 200))
    adoption = adopt(frame.to_csv(index=False, sep=";", decimal=",").encode(encoding))
    contract = written(root)
    assert (contract.source.delimiter, contract.source.decimal) == (";", ",")
    assert contract.by_name["stadt"].categories == ("Köln", "Nürnberg")
    assert contract.by_name["size"].type == "number"
    assert any("semicolons" in note for note in adoption.notes)
    assert any("not UTF-8" in note for note in adoption.notes) == (
        encoding in ("latin-1", "utf-16")
    )


def test_quotes_with_newlines_and_padded_fields_are_understood(adopt: Adopt, root: Path) -> None:
    lines = [
        f'  {i % 7}.0 ,"line one\nline {i % 3}",{"yes" if i % 4 else "no"} ' for i in range(ROWS)
    ]
    adopt(("size , note, goal\n" + "\n".join(lines)).encode())
    contract = written(root)
    assert contract.by_name["size"].type == "number"
    assert contract.by_name["note"].categories == (
        "line one\nline 0",
        "line one\nline 1",
        "line one\nline 2",
    )


def test_leaks_are_left_out_and_reported(adopt: Adopt, root: Path) -> None:
    random = np.random.default_rng(2)
    first, second = random.poisson(20, ROWS), random.poisson(90, ROWS)
    adoption = adopt(columns(first=first, second=second, goal=first + second))
    assert {"first", "second"} <= set(written(root).ignored)
    assert any("goal = first + second" in note for note in adoption.notes)
    assert role(adoption, "first")[0] == "ignored"


# ---- promises for every file


CELLS = st.sampled_from(
    ["", "NA", "1", "2.5", "-3", "x", "y, z", "ü", "no", "2024-01-31", "0", "1e5"]
)


@examples(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None
)
@given(data=st.data(), width=st.integers(1, 4), rows=st.integers(12, 40))
def test_a_contract_reads_back_and_accepts_the_rows_it_came_from(
    project: Settings, data: st.DataObject, width: int, rows: int
) -> None:
    names = [f"c {i}" for i in range(width)]
    table = [data.draw(st.lists(CELLS, min_size=rows, max_size=rows)) for _ in names]
    goal = [("in", "out")[i % 2] for i in range(rows)]
    file = project.root / "any.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([[*names, "goal"], *zip(*table, goal, strict=True)])
    shutil.copy(file, project.root / "again.csv")
    try:
        adopt_file(project, file, "goal", None, "none", None)
    except ProjectError as error:
        if not error.fix:
            raise
        return
    contract = written(project.root)
    assert parse_contract(dump_contract(contract)) == contract
    assert accepted_rows(contract, project.root) == rows


def accepted_rows(contract: Contract, root: Path) -> int:
    import ibis

    rows = ibis.memtable(number_rows(read_raw(contract.source, root)))
    checked = check_rows(rows, contract, require_target=True)
    return int(ibis.duckdb.connect().to_pyarrow(checked.accepted.count()).as_py())
