"""Forgetting a person: gone from every place, for good, and nobody else is touched."""

import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.avro.file import AvroFile
from pyiceberg.io.pyarrow import PyArrowFileIO

from goldpath.contract import Contract, dump_contract
from goldpath.errors import NothingToDoError
from goldpath.features.feature_store import FeatureStore
from goldpath.features.online.open_store import open_online_store
from goldpath.jobs.data.refresh import DataResult, refresh
from goldpath.jobs.privacy.forgetting import ForgetResult, forget
from goldpath.jobs.privacy.person_export import export_person
from goldpath.lake.lakehouse import Partitions, TableName
from goldpath.lake.local.lakehouse import LocalLakehouse
from goldpath.lake.run_log import read_records
from goldpath.privacy.erasure import PrivacyError, alone, uses_rows
from goldpath.serving.prediction_log import LoggedPrediction, PredictionLog
from goldpath.settings import Settings

from ..counts import times
from ..prepared_projects import PreparedProjects

# Sorts before and after everybody else, so that it would be a smallest or largest value.
FIRST, LAST = "!ann-5f1e", "~zoe-9c7d"
LAYERS = ("bronze", "silver", "quarantine", "gold")


def contract(**changes: object) -> Contract:
    values: dict[str, object] = {
        "dataset": "shop",
        "problem": "classification",
        "source": {"path": "in"},
        "entity": "id",
        "event_time": {"column": "day"},
        "target": {"column": "bought", "classes": ["no", "yes"]},
        "features": [{"name": "amount", "type": "number", "maximum": 1000}],
        "personal": ["amount"],
    }
    return Contract.model_validate(values | changes)


def deliver(settings: Settings, name: str, *lines: str) -> None:
    folder = settings.root / "in"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("id,day,amount,bought\n" + "\n".join(lines) + "\n", encoding="utf-8")


def fill(settings: Settings) -> DataResult:
    """Two persons to forget among others; one of their rows is padded, one in quarantine."""
    others = [f"c{n},2026-0{1 + n % 3}-05,{n},{'yes' if n % 2 else 'no'}" for n in range(60)]
    deliver(
        settings,
        "a.csv",
        *others,
        f"{FIRST},2026-01-07,11,no",
        f"  {FIRST} ,2026-02-07,12,no",
        f"{LAST},2026-01-08,13,yes",
    )
    refresh(settings, contract())
    deliver(settings, "b.csv", f"{FIRST},2026-03-07,99999,no", "c1,2026-03-09,5,no")
    return refresh(settings, contract())


@pytest.fixture
def filled(prepared_projects: PreparedProjects) -> Settings:
    return prepared_projects.restore(fill)[0]


def add_predictions(settings: Settings) -> None:
    """What batch inference writes, without a model."""
    lakehouse = LocalLakehouse(settings)
    gold = lakehouse.collect(lakehouse.read(TableName("gold", "shop")).drop("_interval"))
    count = gold.num_rows
    scored = gold.append_column("score", pa.array([0.5] * count))
    scored = scored.append_column("run_id", pa.array(["run-1"] * count))
    lakehouse.overwrite(TableName("predictions", "shop"), scored, Partitions("run_id", ("run-1",)))


def materialize(settings: Settings) -> None:
    FeatureStore(settings, contract(), LocalLakehouse(settings)).materialize()


def rows(settings: Settings, layer: str) -> list[dict[str, Any]]:
    lakehouse = LocalLakehouse(settings)
    found = lakehouse.collect(lakehouse.read(TableName(layer, "shop"))).to_pylist()
    return sorted(found, key=str)


def persons(settings: Settings, layer: str) -> set[str]:
    return {str(row["id"]).strip() for row in rows(settings, layer)}


def content(file: Path) -> bytes:
    """A file with everything that is compressed in it laid open."""
    raw = file.read_bytes()
    if file.suffix == ".parquet":
        parquet = pq.ParquetFile(file)
        footer = str(parquet.metadata.to_dict())
        return raw + (str(parquet.read().to_pylist()) + footer).encode()
    if file.suffix == ".avro":
        with AvroFile(PyArrowFileIO().new_input(str(file))) as reader:
            return raw + str((reader.header.meta, list(reader))).encode()
    if raw[:2] == b"\x1f\x8b":
        return raw + zlib.decompress(raw, 31)
    return raw


def files_with(folder: Path, person: str) -> list[str]:
    needle = person.encode()
    return [
        str(file.relative_to(folder))
        for file in sorted(folder.rglob("*"))
        if file.is_file() and needle in content(file)
    ]


def test_no_file_of_the_lake_holds_the_person(filled: Settings) -> None:
    add_predictions(filled)
    materialize(filled)
    lake = filled.root / "lake"
    assert {file.split("/")[1] for file in files_with(lake, FIRST) if "/" in file} == {
        *LAYERS,
        "predictions",
    }
    for person in (FIRST, LAST):
        assert forget(filled, contract(), person, yes=True).state == "forgotten"
        assert files_with(lake, person) == []
    for layer in (*LAYERS, "predictions"):
        assert not persons(filled, layer) & {FIRST, LAST}
    assert len(rows(filled, "bronze")) == 61


def test_files_that_a_killed_writer_left_go_too(filled: Settings) -> None:
    bronze = filled.root / "lake" / "warehouse" / "bronze" / "shop"
    left = [bronze / "metadata" / "torn-m0.avro", bronze / "data" / "left.parquet"]
    for file in left:
        file.write_bytes(b"")

    forget(filled, contract(), FIRST, yes=True)

    assert not any(file.exists() for file in left)
    assert rows(filled, "bronze")


def test_metadata_holds_no_value_of_a_row(filled: Settings) -> None:
    found = files_with(filled.root / "lake", FIRST)
    manifests = [file for file in files_of_lake(filled) if file.name.endswith("m0.avro")]
    assert manifests
    assert all(b".parquet" in content(file) for file in manifests)
    assert found
    assert {Path(name).suffix for name in found} == {".parquet"}


def test_nobody_else_is_touched(filled: Settings) -> None:
    before = {layer: rows(filled, layer) for layer in LAYERS}
    forget(filled, contract(), FIRST, yes=True)
    for layer, held in before.items():
        assert rows(filled, layer) == [row for row in held if row["id"].strip() != FIRST]


def test_without_yes_it_is_only_said_what_would_go(filled: Settings) -> None:
    before = {str(file): file.read_bytes() for file in files_of_lake(filled)}
    plan = forget(filled, contract(), f" {FIRST} ", yes=False)
    assert plan.exit_code == 1
    assert plan.rows == {
        "bronze.shop": 3,
        "gold.shop": 2,
        "quarantine.shop": 1,
        "silver.shop": 2,
    }
    assert plan.snapshots["bronze.shop"] == 2
    assert {Path(name).name: count for name, count in plan.sources.items()} == {
        "a.csv": "2 rows",
        "b.csv": "1 rows",
    }
    assert "--yes" in plan.message
    assert {str(file): file.read_bytes() for file in files_of_lake(filled)} == before


def files_of_lake(settings: Settings) -> list[Path]:
    return [
        file
        for file in sorted((settings.root / "lake").rglob("*"))
        if file.is_file() and file.name != "lock"
    ]


def test_training_snapshots_are_listed_and_go_and_others_stay(project: Settings) -> None:
    lakehouse = LocalLakehouse(project)
    gold = TableName("gold", "shop")
    deliver(project, "0.csv", "c1,2026-01-01,1,no", "c2,2026-01-01,2,yes")
    refresh(project, contract())
    innocent = lakehouse.snapshot(gold)
    assert innocent is not None
    lakehouse.tag(innocent, "train-innocent")
    fill(project)
    affected = lakehouse.snapshot(gold)
    assert affected is not None
    lakehouse.tag(affected, "train-affected")
    done = forget(project, contract(), FIRST, yes=True)
    assert done.training_snapshots == {
        "train-affected": f"gold.shop snapshot {affected.snapshot_id}"
    }
    assert "Train again" in done.message
    tags = {tag for snapshot in lakehouse.snapshots(gold) for tag in snapshot.tags}
    assert tags == {"train-innocent"}
    held = lakehouse.collect(lakehouse.read(gold, innocent.snapshot_id))
    assert sorted(held["id"].to_pylist()) == ["c1", "c2"]


def test_the_next_data_run_brings_nobody_back(prepared_projects: PreparedProjects) -> None:
    project, before = prepared_projects.restore(fill)
    forget(project, contract(), FIRST, yes=True)
    after = refresh(project, contract())
    assert after.new_batches == 0
    assert after.silver_rows == before.silver_rows - 2
    assert refresh(project, contract()).recomputed == ()
    deliver(project, "c.csv", f" {FIRST},2026-04-01,1,no", "c9,2026-04-01,2,yes")
    refresh(project, contract())
    for layer in LAYERS:
        assert FIRST not in persons(project, layer)
    (record,) = [
        r
        for r in read_records(LocalLakehouse(project), contract(), "bronze")
        if r.subject == "c.csv"
    ]
    assert (record.rows_in, record.rows_out, record.forgotten) == (2, 1, 1)
    numbers = {r["_row_number"] for r in rows(project, "bronze") if r["_source_file"] == "c.csv"}
    assert numbers == {2}


def test_a_file_of_a_forgotten_person_alone_is_read_once(filled: Settings) -> None:
    deliver(filled, "only.csv", f"{LAST},2026-05-05,7,yes")
    refresh(filled, contract())
    forget(filled, contract(), LAST, yes=True)
    refresh(filled, contract())
    again = refresh(filled, contract())
    assert (again.new_batches, again.recomputed) == (0, ())
    assert LAST not in persons(filled, "bronze")


def test_forgetting_twice_is_nothing_new_and_a_stranger_is_an_error(filled: Settings) -> None:
    with pytest.raises(NothingToDoError, match="nothing is held"):
        forget(filled, contract(), "nobody", yes=True)
    forget(filled, contract(), FIRST, yes=True)
    (filled.root / "in" / "a.csv").unlink()
    (filled.root / "in" / "b.csv").unlink()
    again = forget(filled, contract(), FIRST, yes=True)
    assert (again.rows, again.snapshots) == ({}, {})


@pytest.mark.parametrize("missing", ["", "  ", "NA", "null"])
def test_rows_without_an_id_belong_to_nobody(filled: Settings, missing: str) -> None:
    with pytest.raises(PrivacyError, match="stands for a missing id"):
        forget(filled, contract(), missing, yes=True)


def test_a_contract_without_an_entity_knows_no_persons(project: Settings) -> None:
    with pytest.raises(PrivacyError, match="no entity"):
        forget(project, contract(entity=None), "c1", yes=True)


def test_the_audit_record_names_no_person_and_nobody_else_reads_it(filled: Settings) -> None:
    done = forget(filled, contract(), FIRST, yes=True, reason="request 17")
    folder = filled.root / "lake" / "privacy"
    text = (folder / "audit.jsonl").read_text(encoding="utf-8")
    begun, ended = map(json.loads, text.splitlines())
    assert (begun["event"], ended["event"]) == ("erasure begun", "erasure done")
    assert begun["person"] == ended["person"] != FIRST
    assert ended["rows"]["bronze.shop"] == 3
    assert ended["reason"] == "request 17"
    assert ended["by"]
    assert FIRST not in text
    assert done.audit == "lake/privacy/audit.jsonl"
    for name in ("audit.jsonl", "key"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_without_the_key_no_row_is_taken_in(filled: Settings) -> None:
    forget(filled, contract(), FIRST, yes=True)
    key = filled.root / "lake" / "privacy" / "key"
    content_of_key = key.read_bytes()
    key.unlink()
    with pytest.raises(PrivacyError, match="would come back"):
        refresh(filled, contract())
    key.write_bytes(b"x" * 32)
    with pytest.raises(PrivacyError, match="another key"):
        refresh(filled, contract())
    key.write_bytes(content_of_key)
    assert refresh(filled, contract()).bronze_rows == 62


def test_a_run_under_way_holds_the_erasure_off(filled: Settings) -> None:

    @uses_rows
    def run(settings: Settings) -> None:
        with pytest.raises(PrivacyError, match="under way"):
            forget(settings, contract(), FIRST, yes=True)

    run(filled)
    with alone(filled):
        assert FIRST in persons(filled, "gold")
    assert forget(filled, contract(), FIRST, yes=True).state == "forgotten"


def test_what_a_killed_writer_left_goes_too(filled: Settings) -> None:
    lake = filled.root / "lake"
    held = next(lake / name for name in files_with(lake, FIRST) if "/silver/" in name)
    orphan = held.with_name("orphan.parquet")
    orphan.write_bytes(held.read_bytes())
    forget(filled, contract(), FIRST, yes=True)
    assert files_with(lake, FIRST) == []
    assert not orphan.exists()


def log_of(settings: Settings) -> PredictionLog:
    return PredictionLog(settings.root / settings.serving.prediction_log)


def logged(number: int, entity: str | None) -> LoggedPrediction:
    return LoggedPrediction(
        f"p{number}", "2026-01-01T00:00:00+00:00", "1", {"amount": 1}, "no", 0.5, entity
    )


def test_online_store_log_and_pages_forget_the_person(filled: Settings) -> None:
    materialize(filled)
    log_of(filled).write([logged(1, FIRST), logged(2, LAST), logged(3, None)])
    filled.reports.mkdir(exist_ok=True)
    page, other = filled.reports / "data.html", filled.reports / "drift.html"
    page.write_text(f"<td>{FIRST}</td>", encoding="utf-8")
    other.write_text("<td>c1</td>", encoding="utf-8")
    done = forget(filled, contract(), FIRST, yes=True)
    assert done.online_store == ("entity_features",)
    assert done.prediction_log == 1
    assert done.reports == ("reports/data.html",)
    store = open_online_store(filled)
    assert store.read("entity_features", [FIRST]) == [None]
    assert store.read("entity_features", [LAST]) != [None]
    assert not page.exists()
    assert other.exists()
    assert files_with(filled.root / "logs", FIRST) == []
    assert files_with(filled.root / "lake", FIRST) == []


def test_the_export_holds_everything_and_only_its_owner_reads_it(filled: Settings) -> None:
    materialize(filled)
    log_of(filled).write([logged(1, FIRST), logged(2, LAST)])
    file = filled.root / "out" / "person.json"
    result = export_person(filled, contract(), FIRST, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    document = json.loads(file.read_text(encoding="utf-8"))
    tables = document["tables"]
    assert {name: len(table["rows"]) for name, table in tables.items()} == result.rows
    assert result.rows == {
        "bronze.shop": 3,
        "gold.shop": 2,
        "quarantine.shop": 1,
        "silver.shop": 2,
    }
    assert tables["gold.shop"]["columns"]["amount"] == {"personal": True}
    assert tables["gold.shop"]["columns"]["bought"] == {"personal": False}
    assert sorted(row["event_time"] for row in tables["gold.shop"]["rows"])[0].startswith(
        "2026-01-07"
    )
    assert document["online_store"]["entity_features"]["values"] == {"amount": 12.0}
    assert [line["prediction_id"] for line in document["prediction_log"]] == ["p1"]
    assert LAST not in file.read_text(encoding="utf-8")
    with pytest.raises(NothingToDoError):
        export_person(filled, contract(), "nobody", filled.root / "none.json")
    assert not (filled.root / "none.json").exists()


def test_reasons_do_not_quote_a_personal_value(prepared_projects: PreparedProjects) -> None:
    project, result = prepared_projects.restore(fill)
    assert [row["_reasons"] for row in rows(project, "quarantine")] == ["amount: is above 1000"]
    assert result.quarantine_reasons == {"amount: is above 1000": 1}


FORGET = """
import sys
from pathlib import Path
from goldpath.contract import load_contract
from goldpath.jobs.privacy.forgetting import forget
from goldpath.settings import load_settings
settings = load_settings(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
forget(settings, load_contract(settings.root), sys.argv[2], yes=True)
"""


@pytest.mark.slow
@pytest.mark.soak
def test_killed_at_any_moment_the_next_call_completes(project: Settings) -> None:
    draw = random.Random(1)
    (project.root / "config" / "project.yaml").write_text(dump_contract(contract()), "utf-8")
    people = [f"kill-{n}-7b3f" for n in range(times(4, 12))]
    deliver(
        project,
        "a.csv",
        *(f"{name},2026-0{1 + n % 3}-07,{n},no" for name in people for n in range(3)),
        *(f"c{n},2026-0{1 + n % 3}-05,{n},yes" for n in range(60)),
    )
    refresh(project, contract())
    add_predictions(project)
    for number, person in enumerate(people):
        process = subprocess.Popen(
            [sys.executable, "-c", FORGET, str(project.root), person],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdin
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.flush()
        # The first ones tell how long it takes; the others are killed on the way.
        started = time.monotonic()
        if number == 0:
            assert process.wait(120) == 0
            duration = time.monotonic() - started
        else:
            time.sleep(duration * draw.uniform(0.2, 0.95))
            os.kill(process.pid, signal.SIGKILL)
            process.wait(10)
        process.stdin.close()
        process.stdout.close()
        result: ForgetResult = forget(project, contract(), person, yes=True)
        assert result.exit_code == 0
        assert files_with(project.root / "lake", person) == []
    assert {name for name in persons(project, "gold") if name.startswith("kill")} == set()
    assert len(rows(project, "bronze")) == 60
    refresh(project, contract())
    assert len(rows(project, "gold")) == 60
