"""Steps of a project in a real batch inference: what they add is stored, also in an older table."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from goldpath import BatchWork, Model, Project, batch
from goldpath.jobs.batch.table import predict_batch
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import LakehouseError
from goldpath.lake.tables import predictions_table
from goldpath.services.relocation import relocate_project
from goldpath.settings import Settings, load_settings

from ..conftest import Trained

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trained")]

Make = Callable[..., Settings]


def with_column(work: BatchWork, name: str, values: list[Any]) -> BatchWork:
    assert work.scored is not None
    return replace(work, scored=work.scored.append_column(name, pa.array(values)))


def rank(work: BatchWork) -> BatchWork:
    assert work.scored is not None
    scores = work.scored["score"].to_pylist()
    order = sorted(range(len(scores)), key=lambda row: -scores[row])
    ranks = {row: place for place, row in enumerate(order, 1)}
    return with_column(work, "call_rank", [ranks[row] for row in range(len(scores))])


def first_hundred(work: BatchWork) -> BatchWork:
    assert work.rows is not None
    return replace(work, rows=work.rows.slice(0, 100))


@pytest.fixture
def made(trained: Trained, tmp_path: Path) -> Make:
    """Settings of a copied project with these steps beside the engine's."""
    shutil.copytree(trained.settings.root, tmp_path / "project")
    relocate_project(load_settings(tmp_path / "project"))

    def make(
        *after_scoring: Callable[..., Any], before_scoring: tuple[Callable[..., Any], ...] = ()
    ) -> Settings:
        steps = (batch.load_rows, *before_scoring, batch.score_rows, *after_scoring)
        model = partial(Model, batch=[*steps, batch.store_predictions])
        return load_settings(tmp_path / "project", Project(models={"churn": model}))

    return make


def stored(settings: Settings, trained: Trained, run_id: str) -> pa.Table:
    lakehouse = open_lakehouse(settings)
    rows = lakehouse.read(predictions_table(trained.contract))
    return lakehouse.collect(rows.filter(rows.run_id == run_id))


def test_an_added_column_reaches_a_table_that_does_not_have_it_yet(
    made: Make, trained: Trained
) -> None:
    plain = predict_batch(made(), trained.contract, run_id="plain")
    settings = made(rank)

    ranked = predict_batch(settings, trained.contract, run_id="ranked")
    predict_batch(settings, trained.contract, run_id="ranked")  # replaces, and adds nothing

    # The order of the rows may differ, and with it the last digits of a sum.
    assert ranked.mean_score == pytest.approx(plain.mean_score)
    assert replace(ranked, run_id="plain", mean_score=plain.mean_score) == plain
    former, rows = stored(settings, trained, "plain"), stored(settings, trained, "ranked")
    assert former["call_rank"].null_count == former.num_rows == plain.rows
    assert sorted(rows["call_rank"].to_pylist()) == list(range(1, ranked.rows + 1))
    best = max(rows.to_pylist(), key=lambda row: row["score"])
    assert best["call_rank"] == 1

    # A later run without the step leaves the column empty.
    predict_batch(made(), trained.contract, run_id="later")
    assert stored(settings, trained, "later")["call_rank"].null_count == plain.rows


def test_a_column_that_changes_its_type_is_refused_by_its_name(
    made: Make, trained: Trained
) -> None:
    def as_text(work: BatchWork) -> BatchWork:
        assert work.scored is not None
        return with_column(work, "call_rank", ["1"] * work.scored.num_rows)

    settings = made(rank)
    predict_batch(settings, trained.contract, run_id="number")
    with pytest.raises(LakehouseError, match="column 'call_rank' is int64 in the table"):
        predict_batch(made(as_text), trained.contract, run_id="text")
    assert stored(settings, trained, "text").num_rows == 0


def test_a_step_may_choose_which_rows_are_scored(made: Make, trained: Trained) -> None:
    settings = made(before_scoring=(first_hundred,))
    result = predict_batch(settings, trained.contract, run_id="some")
    assert result.rows == stored(settings, trained, "some").num_rows == 100
