"""`batch run`: shards scored by processes, or by Ray, give the table of one task, and resume."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TextIO

import pytest
from typer.testing import CliRunner

from goldpath.cli.app import app
from goldpath.errors import NothingToDoError
from goldpath.jobs.batch.partitions import Local, OnRay, Outcome, RunnerError, map_partitions
from goldpath.jobs.batch.plans import (
    BatchPlanError,
    plan_of,
    unfinished_run,
    utc_now,
    write_record,
)
from goldpath.jobs.batch.shards import score_shard
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.batch.whole_run import ShardCommand, predict_in_shards, score_by_command
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import predictions_table
from goldpath.services.relocation import relocate_project
from goldpath.settings import Settings, load_settings

from ..conftest import Trained

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trained")]


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Settings:
    shutil.copytree(trained.settings.root, tmp_path / "project")
    relocate_project(load_settings(tmp_path / "project"))
    return load_settings(tmp_path / "project", trained.settings.whole_project)


@dataclass(frozen=True)
class Here:
    """A runner of one's own: in this process, which need not be started for each shard."""

    settings: Settings
    trained: Trained
    broken: frozenset[int] = frozenset()
    asked: list[int] = field(default_factory=list)

    def outcomes(
        self, function: Callable[[Any], Any], partitions: Sequence[Any]
    ) -> Iterator[Outcome[Any, Any]]:
        for shard in partitions:
            self.asked.append(shard.number)
            if shard.number in self.broken:
                yield Outcome(shard, None, OSError("the disk is full"))
                continue
            done = score_shard(self.settings, self.trained.contract, shard.run_id, shard.number)
            yield Outcome(shard, done.rows, None)


def predicted(settings: Settings, trained: Trained, run_id: str) -> list[dict[str, Any]]:
    """A run's rows as they are stored, without its name and the time of scoring."""
    lakehouse = open_lakehouse(settings)
    table = predictions_table(trained.contract)
    if not lakehouse.exists(table):
        return []
    rows = [dict(row) for row in lakehouse.collect(lakehouse.read(table)).to_pylist()]
    kept = [row for row in rows if row["run_id"] == run_id]
    for row in kept:
        del row["predicted_at"], row["run_id"]
    return sorted(kept, key=lambda row: str(row[trained.contract.entity_column]))


def test_processes_give_the_table_of_one_task(
    copied: Settings, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = predict_batch(copied, trained.contract, run_id="whole")
    monkeypatch.setenv("MLOPS_ROOT", str(copied.root))

    words = ["batch", "run", "--run-id", "nightly", "--shards", "2", "--at-once", "2", "--json"]
    ran = CliRunner().invoke(app, words)

    done = json.loads(ran.stdout)
    assert (done["rows"], done["run_id"]) == (whole.rows, "nightly")
    expected = predicted(copied, trained, "whole")
    assert expected
    assert predicted(copied, trained, "nightly") == expected
    shard = ShardCommand("goldpath", str(copied.root), "", "nightly", 9)
    with pytest.raises(BatchPlanError, match="has 2 shards, and 9 is none of them") as refused:
        score_by_command(shard)
    assert "a number from 1 to 2" in refused.value.fix
    with pytest.raises(BatchPlanError, match=r"ended with 1: .*No module named no_such_project"):
        score_by_command(replace(shard, package="no_such_project"))
    (copied.root / "killed.py").write_text("import os\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(BatchPlanError, match="was killed by SIGKILL") as killed:
        score_by_command(replace(shard, package="killed"))
    assert "more shards" in killed.value.fix


def test_a_failed_shard_is_named_shown_to_nobody_and_alone_scored_again(
    copied: Settings, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Here(copied, trained, frozenset({2, 4}))
    with pytest.raises(
        BatchPlanError, match=r"shards 2, 4 of 4 failed; shard 2: OSError: the disk is full"
    ) as failed:
        predict_in_shards(copied, trained.contract, "nightly", 4, broken)

    assert broken.asked == [1, 2, 3, 4], "one that fails stops no other"
    assert "the same command again" in failed.value.fix
    assert predicted(copied, trained, "nightly") == []
    lakehouse = open_lakehouse(copied)
    assert unfinished_run(lakehouse, trained.contract).endswith("shards 2, 4 of 4 missing")
    mended = Here(copied, trained)
    with pytest.raises(BatchPlanError, match="planned as 4 shards, and 3 shards are asked for"):
        predict_in_shards(copied, trained.contract, "nightly", 3, mended)
    assert "goes on with its plan" not in capsys.readouterr().err

    done = predict_in_shards(copied, trained.contract, "nightly", 4, mended)

    assert mended.asked == [2, 4]
    planned = plan_of(lakehouse, trained.contract, "nightly").planned_at
    said = " ".join(capsys.readouterr().err.split())
    assert f"goes on with its plan of {planned:%Y-%m-%d %H:%M} UTC" in said
    assert "2 of 4 shards are done" in said
    predict_batch(copied, trained.contract, run_id="whole")
    assert predicted(copied, trained, "nightly") == predicted(copied, trained, "whole")
    assert done.rows == len(predicted(copied, trained, "whole"))
    with pytest.raises(NothingToDoError, match="nightly is complete"):
        predict_in_shards(copied, trained.contract, "nightly", 4, mended)
    assert mended.asked == [2, 4]


def test_a_plan_whose_rows_have_expired_is_not_gone_on_with(
    copied: Settings, trained: Trained
) -> None:
    runner, lakehouse = Here(copied, trained, frozenset({1})), open_lakehouse(copied)
    with pytest.raises(BatchPlanError, match="shard 1 of 2 failed"):
        predict_in_shards(copied, trained.contract, "nightly", 2, runner)
    plan = plan_of(lakehouse, trained.contract, "nightly")
    old = replace(plan, plan_id="old", snapshot_id=1, planned_at=utc_now())
    write_record(lakehouse, trained.contract, old)

    with pytest.raises(BatchPlanError, match=r"the snapshot 1 of .* has expired") as refused:
        predict_in_shards(copied, trained.contract, "nightly", 2, runner)

    assert "another --run-id" in refused.value.fix
    assert runner.asked == [1, 2], "no shard was begun"


WAITS = """
import fcntl, os, pathlib, time
from goldpath.cli.app import run
from goldpath.jobs.batch import shards
from goldpath.project import Project

def wait(*_):
    lock = open("held", "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    pathlib.Path("begun").touch()
    time.sleep(120)

shards.score_shard = wait
run(Project(name="waits"))
"""
CALLS = """
import sys
from goldpath.jobs.batch.whole_run import ShardCommand, score_by_command
score_by_command(ShardCommand("waits", sys.argv[1], "", "nightly", 1))
"""


def test_a_shards_process_ends_with_the_run_that_was_killed(copied: Settings) -> None:
    (copied.root / "waits.py").write_text(WAITS)
    run = subprocess.Popen([sys.executable, "-c", CALLS, str(copied.root)])
    deadline = time.monotonic() + 30
    while not (copied.root / "begun").exists():
        assert run.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)

    run.kill()
    run.wait()

    with (copied.root / "held").open() as lock:
        while not _is_free(lock):
            assert time.monotonic() < deadline, "the shard's process is still there"
            time.sleep(0.05)


def _is_free(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def half(number: int) -> tuple[float, int]:
    """Half of a number, and the process that halved it; slowly, so that two are at work at once."""
    if number < 0:
        raise ValueError(f"{number} is below 0")
    time.sleep(0.5)
    return number / 2, os.getpid()


def test_every_partition_has_an_outcome() -> None:
    outcomes = [*map_partitions(half, [1, -1, 2], Local(3))]

    found = {each.partition: each for each in outcomes}
    assert {number: each.result and each.result[0] for number, each in found.items()} == {
        1: 0.5,
        2: 1.0,
        -1: None,
    }
    assert str(found[-1].error) == "-1 is below 0"
    assert [*map_partitions(half, [], Local(1))] == []


def test_without_ray_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)

    with pytest.raises(RunnerError, match="the runner ray needs Ray") as missing:
        [*map_partitions(half, [1], OnRay(1))]

    assert "pip install 'goldpath[ray]'" in missing.value.fix


def heard_from_outside() -> set[str]:
    """What listens on this machine, other than on 127.0.0.1, as the kernel writes it."""
    own, listening = ("0100007F:", "0000000000000000FFFF00000100007F:"), "0A"
    lines = [
        line.split()
        for file in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{file}").read_text().splitlines()
    ]
    return {line[1] for line in lines if line[3] == listening and not line[1].startswith(own)}


@pytest.mark.ray
def test_ray_gives_the_table_of_one_task(copied: Settings, trained: Trained) -> None:
    """On a cluster of this machine with two worker processes, which listens on 127.0.0.1 only."""
    before = heard_from_outside()
    outcomes: list[Outcome[int, tuple[float, int]]] = []
    heard: set[str] = set()
    for outcome in map_partitions(half, [1, 2, -1], OnRay(2)):
        outcomes.append(outcome)
        heard |= heard_from_outside() - before
    assert not heard
    results = {each.partition: each.result for each in outcomes}
    processes = {result[1] for result in results.values() if result}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert {number: result and result[0] for number, result in results.items()} == {
        1: 0.5,
        2: 1.0,
        -1: None,
    }
    (error,) = [each.error for each in outcomes if each.error]
    assert isinstance(error, ValueError)
    predict_batch(copied, trained.contract, run_id="whole")
    with pytest.raises(BatchPlanError, match=r"shard 2 of 2 failed; shard 2: OSError"):
        predict_in_shards(
            copied, trained.contract, "nightly", 2, Here(copied, trained, frozenset({2}))
        )

    predict_in_shards(copied, trained.contract, "nightly", 2, OnRay(2))

    assert predicted(copied, trained, "nightly") == predicted(copied, trained, "whole")
