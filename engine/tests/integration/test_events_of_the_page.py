"""The example of docs/features.md: its files, and the labels that the page shows."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldpath.adoption.target_role import parse_event
from goldpath.contract import load_contract
from goldpath.jobs.data.adoption import adopt_file
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.data.source_adoption import add_source
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import gold_table
from goldpath.settings import Settings
from goldpath.testing import tiny_lake

PAGE = Path(__file__).parents[2] / "docs" / "features.md"
_PART = re.compile(r"^## Targets from events$(.*?)^## ", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```(?:yaml|text)\n# (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| (C\d) \| (\S+) \| (yes|no|missing) \|", re.MULTILINE)


def test_the_pages_files_give_the_labels_that_it_shows(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (part,) = _PART.findall(PAGE.read_text("utf-8"))
    blocks = dict(_BLOCK.findall(part))
    for name in ("customers.csv", "cancellations.csv"):
        (project.root / name).write_text(blocks[name], encoding="utf-8")
    (command,) = re.findall(
        r"`make adopt DATA=\S+ TARGET=(\S+) WITHIN=(\S+) ID=(\S+) TIME=(\S+)`", part
    )
    target, within, entity, time = command
    (condition,) = re.findall(r"--where (\S+?)\"", part)
    monkeypatch.chdir(project.root)
    file = project.root / "customers.csv"

    event = parse_event(target, within, [condition])
    adopt_file(project, file, target, entity, time, None, event=event)
    contract = load_contract(project.root)
    cancellations = str(project.root / "cancellations.csv")
    add_source(project, contract, "cancellations", cancellations, "customer", "at")
    refresh(project, contract)

    written = yaml.safe_load((project.root / "config" / "project.yaml").read_text("utf-8"))
    assert written["target"] == yaml.safe_load(blocks["config/project.yaml"])["target"]
    lakehouse = open_lakehouse(project)
    gold: list[dict[str, Any]] = lakehouse.collect(lakehouse.read(gold_table(contract))).to_pylist()
    found = [
        (row[entity], f"{row['event_time']:%Y-%m-%d}", row[contract.target.column] or "missing")
        for row in gold
    ]
    assert sorted(found) == _ROW.findall(part)

    (code,) = re.findall(r"^```python$(.*?)^```$", part, re.DOTALL | re.MULTILINE)
    exec(code, {"tiny_lake": tiny_lake})  # noqa: S102
