"""A project's own steps of a batch, and the columns that its drift check compares."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from goldpath.jobs.batch.work import BatchWork, run_steps
from goldpath.jobs.drift.check import compared_rows
from goldpath.project import ProjectDefinitionError

SCORES = pa.table({"score": [0.2, 0.9, 0.5]})


def begun() -> BatchWork:
    nothing = cast("Any", None)
    return BatchWork(nothing, nothing, nothing, nothing, nothing)


def load_rows(work: BatchWork) -> BatchWork:
    return replace(work, rows=SCORES)


def score_rows(work: BatchWork) -> BatchWork:
    return replace(work, scored=work.rows)


ENGINE = (load_rows, score_rows)


def ranked(work: BatchWork) -> BatchWork:
    assert work.scored is not None
    ranks = pc.rank(work.scored["score"], sort_keys="descending")
    return replace(work, scored=work.scored.append_column("rank", ranks))


def first_only(work: BatchWork) -> BatchWork:
    assert work.scored is not None
    return replace(work, scored=work.scored.slice(0, 1))


def forgets(work: BatchWork) -> None:
    return None


def fails(work: BatchWork) -> BatchWork:
    raise KeyError("region")


def test_an_own_step_adds_a_column_to_what_is_stored() -> None:
    done = run_steps(begun(), (load_rows, score_rows, ranked), ENGINE)
    assert done.scored is not None
    assert done.scored["rank"].to_pylist() == [3, 1, 2]
    plain = run_steps(begun(), (), ENGINE)
    assert plain.scored is not None
    assert plain.scored.column_names == ["score"]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (first_only, "leaves 1 of 3 scored rows"),
        (forgets, "returned a NoneType, not a BatchWork"),
        (fails, "failed: KeyError: 'region'"),
    ],
)
def test_a_step_that_cannot_be_used_is_named_with_its_place(step: Any, said: str) -> None:
    with pytest.raises(ProjectDefinitionError, match=said) as caught:
        run_steps(begun(), (load_rows, score_rows, step), ENGINE)
    assert f"{Path(__file__).name}:" in caught.value.message


def test_the_engines_steps_keep_their_order() -> None:
    with pytest.raises(ProjectDefinitionError, match="in the order score_rows, load_rows"):
        run_steps(begun(), (score_rows, load_rows), ENGINE)


def test_a_project_says_which_columns_are_compared() -> None:
    rows = pa.table({"age": [1, 2], "tenure": [3, 4]})
    assert compared_rows(rows, None) is rows
    assert compared_rows(rows, lambda table: table.drop_columns(["tenure"])).column_names == ["age"]
    with pytest.raises(ProjectDefinitionError, match="did not give back a table of 2 rows"):
        compared_rows(rows, lambda table: table.slice(0, 1))
    with pytest.raises(ProjectDefinitionError, match="failed: KeyError"):
        compared_rows(rows, lambda table: table.drop_columns(["colour"]))
