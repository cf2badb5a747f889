"""Versions and privacy on the emulated AWS: the same functions, the same answers."""

import io
from collections.abc import Iterator
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest

from goldpath.contract import Contract
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.data.silver import intervals_sharing_keys
from goldpath.jobs.data.versions import diff_snapshots, list_versions, maintain, rollback
from goldpath.jobs.privacy.forgetting import forget
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import TableName
from goldpath.settings import Settings, load_settings
from goldpath.source_contract import load_sources

from ..aws_emulation import EmulatedAws, emulated_aws
from ..conftest import make_project

pytestmark = pytest.mark.slow

PERSON = "zoe-9c7d"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    make_project(tmp_path)
    with emulated_aws() as aws:
        environment: EmulatedAws = aws
        # AWS_… is set already, and taken back when the servers stop. `monkeypatch`, which ends
        # after them, would bring the addresses of stopped servers back.
        for name, value in environment.environment.items():
            if name.startswith("MLOPS_"):
                monkeypatch.setenv(name, value)
        yield load_settings(tmp_path)


def contract() -> Contract:
    return Contract.model_validate(
        {
            "dataset": "shop",
            "problem": "classification",
            "source": {"path": "in"},
            "entity": "id",
            "event_time": {"column": "day"},
            "target": {"column": "bought", "classes": ["no", "yes"]},
            "features": [{"name": "amount", "type": "number", "maximum": 1000}],
        }
    )


def deliver(settings: Settings, name: str, *lines: str) -> None:
    folder = settings.root / "in"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("id,day,amount,bought\n" + "\n".join(lines) + "\n", encoding="utf-8")


def objects_with(settings: Settings, person: str) -> list[str]:
    """The Parquet files of the lake that hold the person."""
    assert settings.aws
    client = boto3.client("s3", region_name=settings.aws.region)
    found = []
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=settings.aws.bucket)
    for key in (item["Key"] for page in pages for item in page.get("Contents", [])):
        content = client.get_object(Bucket=settings.aws.bucket, Key=key)["Body"].read()
        if key.endswith(".parquet"):
            content = str(pq.read_table(io.BytesIO(content)).to_pylist()).encode()
        if key.startswith("lake/") and person.encode() in content:
            found.append(key)
    return found


def test_versions_and_forgetting(there: Settings) -> None:
    deliver(there, "a.csv", "c1,2026-01-01,1,no", "c2,2026-01-02,2,yes")
    refresh(there, contract())
    deliver(
        there,
        "b.csv",
        "c1,2026-01-01,5,no",
        f"{PERSON},2026-01-05,7,no",
        f" {PERSON} ,2026-02-05,9999,no",
        "c3,2026-02-01,3,yes",
    )
    refresh(there, contract())
    diff = diff_snapshots(there, contract())
    assert (diff.added, diff.removed, diff.changed, diff.unchanged) == (2, 0, 1, 1)
    assert diff.changed_values == {"amount": 1}

    before = list_versions(there, contract(), "gold").versions
    back = rollback(there, contract(), "gold", "previous")
    assert (back.rows_before, back.rows_now) == (4, 2)
    rollback(there, contract(), "gold", str(back.from_snapshot))
    assert list_versions(there, contract(), "gold").versions == before

    assert objects_with(there, PERSON)
    assert forget(there, contract(), PERSON, yes=False).rows == {
        "bronze.shop": 2,
        "gold.shop": 1,
        "quarantine.shop": 1,
        "silver.shop": 1,
    }
    assert forget(there, contract(), PERSON, yes=True).state == "forgotten"
    assert objects_with(there, PERSON) == []
    deliver(there, "c.csv", f"{PERSON},2026-02-06,1,no", "c4,2026-02-06,1,yes")
    refresh(there, contract())
    lake = open_lakehouse(there)
    for layer, ids in {
        "bronze": {"c1", "c2", "c3", "c4"},
        "gold": {"c1", "c2", "c3", "c4"},
    }.items():
        rows = lake.collect(lake.read(TableName(layer, "shop")))
        assert set(rows["id"].to_pylist()) == ids
    assert {item.table for item in maintain(there).tables} >= {"bronze.shop", "gold.shop"}


def test_a_corrected_row_of_a_further_source_leaves_its_interval(there: Settings) -> None:
    folder = there.root / "config" / "sources"
    folder.mkdir()
    (folder / "payments.yaml").write_text(
        "source: {path: pay}\nentity: client\nevent_time: {column: day}\nkey: number\n"
        "columns: [{name: amount, type: number, minimum: 0}]\n"
    )
    (there.root / "pay").mkdir()
    header = "number,client,day,amount\n"
    (there.root / "pay" / "a.csv").write_text(f"{header}p1,c1,2026-01-01,1\np3,c1,2026-01-03,-3\n")
    # Another column, so that it is a commit of its own, and later.
    (there.root / "pay" / "b.csv").write_text(
        "number,client,day,amount,note\np1,c1,2026-02-01,10,moved\n"
    )
    deliver(there, "a.csv", "c1,2026-01-01,1,no", "c2,2026-01-02,2,yes")
    one_by_one = there.lake.model_copy(update={"rows_at_once": 1})
    result = refresh(there.model_copy(update={"lake": one_by_one}), contract())
    payments = result.sources["payments"]
    assert (payments.bronze_rows, payments.silver_rows) == (3, 1)
    assert (payments.quarantined_rows, payments.duplicate_rows) == (1, 1)
    lake, (source,) = open_lakehouse(there), load_sources(there.root)
    silver = lake.collect(lake.read(TableName("silver", "payments"))).to_pylist()
    assert [(row["number"], row["_interval"], row["amount"]) for row in silver] == [
        ("p1", "2026-02", 10)
    ]
    assert intervals_sharing_keys(lake, source, ["2026-02"]) == ["2026-01"]
