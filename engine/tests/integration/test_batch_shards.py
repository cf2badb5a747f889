"""Batch inference in shards: the same table as one task's, and never a part of it."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from goldpath import BatchWork, Model, Project
from goldpath.cli.app import app
from goldpath.errors import NothingToDoError
from goldpath.jobs.batch.completion import complete_batch
from goldpath.jobs.batch.days import Days
from goldpath.jobs.batch.plans import BatchPlanError, plan_of, unfinished_run
from goldpath.jobs.batch.shards import plan_batch, score_shard
from goldpath.jobs.batch.table import STEPS, predict_batch
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.upkeep.status import project_status
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import LakehouseError, TableName
from goldpath.lake.tables import (
    SHARD,
    batch_records_table,
    gold_table,
    prediction_shards_table,
    predictions_table,
)
from goldpath.privacy.person_rows import tables_of_person
from goldpath.services.relocation import relocate_project
from goldpath.settings import Settings, load_settings

from ..conftest import Trained

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trained")]

SHARDS = 4
PERIOD = Days(date(2025, 2, 28), date(2025, 3, 2))  # two months
Row = dict[str, Any]


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Settings:
    shutil.copytree(trained.settings.root, tmp_path / "project")
    relocate_project(load_settings(tmp_path / "project"))
    return load_settings(tmp_path / "project", trained.settings.whole_project)


def rows_of(settings: Settings, table: TableName) -> list[Row]:
    lakehouse = open_lakehouse(settings)
    if not lakehouse.exists(table):
        return []
    return [dict(row) for row in lakehouse.collect(lakehouse.read(table)).to_pylist()]


def predicted(settings: Settings, trained: Trained, run_id: str = "") -> list[Row]:
    """The predictions table's rows, or those of a run, without the time of scoring."""
    rows = rows_of(settings, predictions_table(trained.contract))
    kept = [row for row in rows if not run_id or row["run_id"] == run_id]
    for row in kept:
        del row["predicted_at"]
    return sorted(kept, key=lambda row: (row["run_id"], row[trained.contract.entity_column]))


def score(settings: Settings, trained: Trained, *shards: int, run_id: str = "nightly") -> list[int]:
    return [score_shard(settings, trained.contract, run_id, each).rows for each in shards]


def test_shards_give_the_table_of_one_task(copied: Settings, trained: Trained) -> None:
    whole = predict_batch(copied, trained.contract, run_id="whole")
    plan = plan_batch(copied, trained.contract, "nightly", SHARDS)

    # In threads, so that commits to the same tables meet.
    with ThreadPoolExecutor(SHARDS) as pool:
        scored = [*pool.map(lambda each: score(copied, trained, each)[0], range(1, SHARDS + 1))]
    done = complete_batch(copied, trained.contract, "nightly")

    assert scored == plan.rows_by_shard
    assert sum(scored) == whole.rows == done.rows
    assert min(scored) > whole.rows / SHARDS / 2
    expected = [{**row, "run_id": "nightly"} for row in predicted(copied, trained, "whole")]
    assert predicted(copied, trained, "nightly") == expected
    assert done.mean_score == pytest.approx(whole.mean_score)
    assert (done.table, done.run_id, done.model_version, done.training_rows) == (
        whole.table,
        "nightly",
        whole.model_version,
        whole.training_rows,
    )


def test_a_shard_that_is_scored_again_replaces_its_own_rows(
    copied: Settings, trained: Trained
) -> None:
    plan_batch(copied, trained.contract, "nightly", 2)
    score(copied, trained, 1, 2)
    complete_batch(copied, trained.contract, "nightly")
    before = predicted(copied, trained)
    stored = prediction_shards_table(trained.contract)
    times = {row[SHARD]: row["predicted_at"] for row in rows_of(copied, stored)}

    score(copied, trained, 2)
    complete_batch(copied, trained.contract, "nightly")

    again = {row[SHARD]: row["predicted_at"] for row in rows_of(copied, stored)}
    key = plan_of(open_lakehouse(copied), trained.contract, "nightly").keys[1]
    assert {shard for shard in times if again[shard] != times[shard]} == {key}
    assert predicted(copied, trained) == before


def test_a_run_without_a_shard_is_refused_and_shown_to_nobody(
    copied: Settings, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    predict_batch(copied, trained.contract, run_id="yesterday")
    before = predicted(copied, trained)
    with pytest.raises(BatchPlanError, match="nightly of customer_churn has no plan") as refused:
        score(copied, trained, 1)
    assert "batch plan --run-id nightly" in refused.value.fix
    plan_batch(copied, trained.contract, "nightly", SHARDS)
    score(copied, trained, 1, 4)

    with pytest.raises(BatchPlanError, match=r"not complete: shards 2, 3 of 4 missing") as missing:
        complete_batch(copied, trained.contract, "nightly")

    assert "batch score --run-id nightly --shard 2" in missing.value.fix
    assert predicted(copied, trained) == before
    unfinished = "batch run nightly is not in it: shards 2, 3 of 4 missing"
    assert (
        unfinished
        in project_status(copied, trained.contract).tables[str(predictions_table(trained.contract))]
    )
    judged = check_drift(copied, trained.contract, None, html=False)
    assert judged.source.startswith("batch run yesterday")
    assert unfinished in " ".join(capsys.readouterr().err.split())
    # A later run leaves it behind, until somebody goes on with it.
    predict_batch(copied, trained.contract, run_id="yesterday")
    lakehouse = open_lakehouse(copied)
    assert unfinished_run(lakehouse, trained.contract) == ""
    score(copied, trained, 2)
    assert unfinished_run(lakehouse, trained.contract).endswith("shard 3 of 4 missing")
    score(copied, trained, 3)
    complete_batch(copied, trained.contract, "nightly")
    table = project_status(copied, trained.contract).tables[
        str(predictions_table(trained.contract))
    ]
    assert table == f"{2 * len(before)} rows"
    with pytest.raises(BatchPlanError, match="has 4 shards, and 5 is none of them"):
        score(copied, trained, 5)


def test_all_shards_score_the_planned_snapshot_with_the_planned_version(
    copied: Settings, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_batch(copied, trained.contract, "nightly", SHARDS)
    score(copied, trained, 1)
    lakehouse, gold = open_lakehouse(copied), gold_table(trained.contract)
    rows = lakehouse.collect(lakehouse.read(gold))
    lakehouse.overwrite(gold, rows.slice(0, 100))  # a delivery in between
    monkeypatch.setattr(
        "goldpath.registry.mlflow_manager.MLflowManager.champion_version", lambda self: None
    )  # and a promotion

    score(copied, trained, 2, 3, 4)
    done = complete_batch(copied, trained.contract, "nightly")

    assert done.rows == plan.rows == rows.num_rows
    assert {row["model_version"] for row in predicted(copied, trained)} == {plan.model_version}


def test_a_run_that_is_planned_anew_takes_no_shard_of_the_former_plan(
    copied: Settings, trained: Trained
) -> None:
    plan_batch(copied, trained.contract, "nightly", SHARDS)
    score(copied, trained, 1, 2)
    plan_batch(copied, trained.contract, "nightly", 2)
    with pytest.raises(BatchPlanError, match=r"shards 1, 2 of 2 missing"):
        complete_batch(copied, trained.contract, "nightly")
    score(copied, trained, 1, 2)

    done = complete_batch(copied, trained.contract, "nightly")

    assert len(predicted(copied, trained)) == done.rows
    # The rows of the former plan are gone.
    plan = plan_of(open_lakehouse(copied), trained.contract, "nightly")
    held = rows_of(copied, prediction_shards_table(trained.contract))
    assert {row[SHARD] for row in held} == {*plan.keys}


def test_rows_that_a_shard_has_lost_are_named(copied: Settings, trained: Trained) -> None:
    plan_batch(copied, trained.contract, "nightly", 2)
    score(copied, trained, 1, 2)
    lakehouse, stored = open_lakehouse(copied), prediction_shards_table(trained.contract)
    key = plan_of(lakehouse, trained.contract, "nightly").keys[1]
    entity = trained.contract.entity_column
    assert tables_of_person(lakehouse, trained.contract).searched[stored] == entity
    erased = next(r[entity] for r in rows_of(copied, stored) if r[SHARD] == key)
    lakehouse.delete(stored, entity, [erased])

    with pytest.raises(BatchPlanError, match=r"shard 2 of 2 has \d+ of \d+ rows"):
        complete_batch(copied, trained.contract, "nightly")
    score(copied, trained, 2)
    complete_batch(copied, trained.contract, "nightly")


def test_a_planned_snapshot_that_is_gone_is_named(copied: Settings, trained: Trained) -> None:
    plan_batch(copied, trained.contract, "nightly", SHARDS)
    lakehouse, gold = open_lakehouse(copied), gold_table(trained.contract)
    planned = lakehouse.snapshot(gold)
    assert planned is not None
    lakehouse.overwrite(gold, lakehouse.read(gold).limit(10))
    lakehouse.purge(gold, [planned.snapshot_id])

    with pytest.raises(LakehouseError, match=f"has lost snapshot {planned.snapshot_id}"):
        score(copied, trained, 1)


def test_days_in_shards_give_the_days_of_one_task(copied: Settings, trained: Trained) -> None:
    whole = predict_batch(copied, trained.contract, days=PERIOD)
    expected = predicted(copied, trained)
    # More shards than rows: some have none.
    plan = plan_batch(copied, trained.contract, "backfill__1", 6, PERIOD)
    predict_batch(copied, trained.contract, days=PERIOD)  # as a completion that was killed
    assert unfinished_run(open_lakehouse(copied), trained.contract)
    assert 0 in plan.rows_by_shard
    with_rows = [number for number, rows in enumerate(plan.rows_by_shard, 1) if rows]
    for number in (with_rows[0], plan.rows_by_shard.index(0) + 1):
        score(copied, trained, number, run_id="backfill__1")
    score(copied, trained, *with_rows[1:], run_id="backfill__1")

    done = complete_batch(copied, trained.contract, "backfill__1")

    # All days were scored together, which is how a drift check judges them.
    table = predictions_table(trained.contract)
    assert len({row["predicted_at"] for row in rows_of(copied, table)}) == 1
    assert predicted(copied, trained) == expected
    assert (done.rows, done.run_id) == (whole.rows, whole.run_id)


def test_a_period_without_rows_has_no_plan(copied: Settings, trained: Trained) -> None:
    with pytest.raises(NothingToDoError, match="no rows from 1999-01-01 until 1999-01-02"):
        plan_batch(copied, trained.contract, "old", 2, Days(date(1999, 1, 1), date(1999, 1, 2)))


def paying(work: BatchWork) -> BatchWork:
    """A step of one's own that leaves rows out."""
    return replace(work, rows=work.rows.slice(0, 5))


def nobody(work: BatchWork) -> BatchWork:
    """One that leaves all rows out."""
    return replace(work, rows=work.rows.slice(0, 0))


def ranked(work: BatchWork) -> BatchWork:
    """One that compares all rows of the run with each other."""
    ranks = pc.rank(work.scored["score"], sort_keys="descending", tiebreaker="min")
    return replace(work, scored=work.scored.append_column("rank", ranks.cast(pa.int64())))


def test_own_steps_after_the_scoring_see_all_rows_and_those_before_it_their_shard(
    copied: Settings, trained: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    load, scoring, store = STEPS

    def project(*steps: Callable[[BatchWork], BatchWork]) -> Settings:
        model = Model(batch=steps)
        return load_settings(
            copied.root, Project("customer_churn", models={"churn": lambda: model})
        )

    settings = project(load, scoring, ranked, store)
    predict_batch(settings, trained.contract, run_id="whole")
    expected = [{**row, "run_id": "nightly"} for row in predicted(copied, trained, "whole")]
    plan_batch(settings, trained.contract, "nightly", 2)
    assert "rows of its shard" not in capsys.readouterr().err
    score(settings, trained, 1, 2)
    complete_batch(settings, trained.contract, "nightly")
    assert predicted(copied, trained, "nightly") == expected

    settings = project(load, paying, scoring, store)
    plan_batch(settings, trained.contract, "few", 2)
    assert "paying: before the scoring a step sees the rows of its shard only" in " ".join(
        capsys.readouterr().err.split()
    )
    score(settings, trained, 1, 2, run_id="few")
    assert complete_batch(settings, trained.contract, "few").rows == 10

    settings = project(load, nobody, scoring, store)
    plan_batch(settings, trained.contract, "none", 2)
    score(settings, trained, 1, 2, run_id="none")
    lakehouse = open_lakehouse(settings)
    assert "none is not in it: not completed" in unfinished_run(lakehouse, trained.contract)
    with pytest.raises(NothingToDoError, match="leave none of"):
        complete_batch(settings, trained.contract, "none")
    assert unfinished_run(lakehouse, trained.contract) == ""


def test_a_killed_shard_is_missing_until_it_is_scored_again(
    copied: Settings, trained: Trained
) -> None:
    """Killed between its rows and its record, the worst moment; by hand as Airflow does it."""
    plan_batch(copied, trained.contract, "nightly", 2)
    score(copied, trained, 1)
    killed = (
        "import os, signal\n"
        "from goldpath.jobs.batch import shards\n"
        "shards.write_record = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from goldpath.cli.app import run\n"
    )
    words = ["batch", "score", "--run-id", "nightly", "--shard", "2"]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"{killed}import sys; sys.argv[1:] = {words}; run()",
        ],
        cwd=copied.root,
        env={**os.environ, "MLOPS_ROOT": str(copied.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr

    with pytest.raises(BatchPlanError, match="shard 2 of 2 missing"):
        complete_batch(copied, trained.contract, "nightly")
    score(copied, trained, 2)
    assert complete_batch(copied, trained.contract, "nightly").rows == len(
        predicted(copied, trained)
    )
    lakehouse = open_lakehouse(copied)
    assert lakehouse.exists(batch_records_table(trained.contract))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plan", "--run-id", "x", "--shards", "0"], "Invalid value for"),
        (["plan", "--run-id", "day-2025-02-26", "--shards", "2"], "what a day's predictions are"),
        (["plan", "--run-id", "x", "--shards", "2", "--from", "2025-02-26"], "go together"),
        (["score", "--run-id", "x", "--shard", "0"], "Invalid value for"),
        (["run", "--run-id", "day-2025-02-26", "--shards", "2"], "what a day's predictions are"),
        (
            ["run", "--run-id", "x", "--shards", "2", "--runner", "dask"],
            "is not one of 'local', 'ray'",
        ),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(words: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["batch", *words])
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())
