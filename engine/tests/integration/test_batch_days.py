"""Batch inference by day: the same table however a period was cut into runs, and in any order."""

import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
from typer.testing import CliRunner

from goldpath.cli.app import app
from goldpath.contract import EVENT_TIME
from goldpath.errors import NothingToDoError
from goldpath.jobs.batch.days import Days
from goldpath.jobs.batch.table import predict_batch
from goldpath.jobs.drift.check import check_drift
from goldpath.jobs.drift.current_rows import _judged_together
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Partitions
from goldpath.lake.tables import INTERVAL, gold_table, predictions_table
from goldpath.services.relocation import relocate_project
from goldpath.settings import Settings, load_settings

from ..conftest import Trained

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trained")]

FIRST = date(2025, 2, 26)
PERIOD = Days(FIRST, FIRST + timedelta(days=7))  # two months


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Settings:
    shutil.copytree(trained.settings.root, tmp_path / "project")
    relocate_project(load_settings(tmp_path / "project"))
    return load_settings(tmp_path / "project", trained.settings.whole_project)


def day(number: int) -> Days:
    return Days(FIRST + timedelta(days=number), FIRST + timedelta(days=number + 1))


def stored(settings: Settings, trained: Trained) -> list[dict[str, Any]]:
    """The predictions by day, without the time of scoring."""
    lakehouse = open_lakehouse(settings)
    rows = lakehouse.read(predictions_table(trained.contract))
    rows = rows.filter(rows.run_id.isin(PERIOD.names)).drop("predicted_at")
    found = lakehouse.collect(rows.order_by(["run_id", trained.contract.entity_column]))
    return [dict(row) for row in found.to_pylist()]


def remove_from_gold(settings: Settings, trained: Trained, gone: date) -> None:
    lakehouse, table = open_lakehouse(settings), gold_table(trained.contract)
    month = Partitions(INTERVAL, (f"{gone:%Y-%m}",))
    rows = lakehouse.collect(lakehouse.read(table, partitions=month))
    of_day = pc.equal(rows[EVENT_TIME].cast("date32"), gone)
    lakehouse.overwrite(table, rows.filter(pc.invert(of_day)), month)


def test_days_in_any_order_give_the_table_of_one_run(copied: Settings, trained: Trained) -> None:
    whole = predict_batch(copied, trained.contract, run_id="day-2025-02-27-mine")
    for number in (5, 0, 6, 3, 2, 4, 1, 3):  # one of them twice
        predict_batch(copied, trained.contract, days=day(number))
    one_by_one = stored(copied, trained)

    at_once = predict_batch(copied, trained.contract, days=PERIOD)

    assert stored(copied, trained) == one_by_one
    assert at_once.rows == len(one_by_one) > 20
    assert at_once.run_id == "day-2025-02-26-to-2025-03-04"
    for row in one_by_one:
        assert row["run_id"] == f"day-{row[EVENT_TIME].date()}"
    # The rows of other runs are as they were.
    lakehouse = open_lakehouse(copied)
    rows = lakehouse.read(predictions_table(trained.contract))
    assert (
        lakehouse.collect(rows.filter(rows.run_id == "day-2025-02-27-mine")).num_rows == whole.rows
    )
    # What was scored together is judged together.
    judged = check_drift(copied, trained.contract, None, html=False)
    assert judged.source.startswith("batch run day-2025-02-26 to day-2025-03-04 (")
    assert judged.training_rows == at_once.rows


def test_a_day_that_has_no_row_any_more_has_no_prediction_either(
    copied: Settings, trained: Trained
) -> None:
    predict_batch(copied, trained.contract, days=PERIOD)
    before = stored(copied, trained)
    remove_from_gold(copied, trained, FIRST)

    with pytest.raises(NothingToDoError, match=r"predictions of day-2025-02-26 are removed"):
        predict_batch(copied, trained.contract, days=day(0))

    after = stored(copied, trained)
    assert after == [row for row in before if row["run_id"] != "day-2025-02-26"]
    remove_from_gold(copied, trained, FIRST + timedelta(days=2))
    predict_batch(copied, trained.contract, days=PERIOD)  # together with days that have some
    assert stored(copied, trained) == [row for row in after if row["run_id"] != "day-2025-02-28"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from", "2025-02-26"], "go together"),
        (["--from", "2025-02-26", "--to", "2025-02-26"], "is not after"),
        (["--from", "2025-02-26", "--to", "2025-02-27", "--run-id", "x"], "go without"),
        (["--run-id", "day-2025-02-26"], "is what a day's predictions are called"),
    ],
)
def test_a_period_that_cannot_be_meant_is_refused(words: list[str], said: str) -> None:
    result = CliRunner().invoke(app, ["batch-predict", *words])
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())


def test_small_days_are_judged_together_until_there_are_enough_rows() -> None:
    def run(name: str, finished: int, new: int) -> dict[str, Any]:
        return {"run_id": name, "finished": finished, "new": new}

    days = [run(f"day-2025-03-0{number}", number, 80) for number in range(9, 0, -1)]
    assert _judged_together(days, 200) == ["day-2025-03-07", "day-2025-03-08", "day-2025-03-09"]
    assert _judged_together(days, 50) == ["day-2025-03-09"]
    assert _judged_together([run("mine", 10, 9), *days], 200) == ["mine"]
    at_once = [run(name, 9, 300) for name in ("day-2025-03-01", "day-2025-03-02")]
    assert _judged_together([*at_once, run("mine", 8, 900)], 200) == [
        "day-2025-03-01",
        "day-2025-03-02",
    ]
