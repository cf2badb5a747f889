"""A project's own steps of a batch, and the columns that its drift check compares."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from goldpath.drift.compared import compared_pair, compared_rows
from goldpath.errors import NothingToDoError
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.batch.work import BatchWork, run_steps

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


def nobody(work: BatchWork) -> BatchWork:
    assert work.rows is not None
    return replace(work, rows=work.rows.slice(0, 0))


def drops(work: BatchWork) -> BatchWork:
    assert work.scored is not None
    return replace(work, scored=work.scored.rename_columns(["points"]))


def empties(work: BatchWork) -> BatchWork:
    assert work.scored is not None
    return replace(work, scored=work.scored.append_column("note", pa.nulls(3)))


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
        (drops, "takes score away from the scored rows"),
        (empties, "the column note holds nothing, so it has no type"),
        (forgets, "returned a NoneType, not a BatchWork"),
        (fails, r"failed in line \d+: KeyError: 'region'"),
    ],
)
def test_a_step_that_cannot_be_used_is_named_with_its_place(step: Any, said: str) -> None:
    with pytest.raises(ProjectDefinitionError, match=said) as caught:
        run_steps(begun(), (load_rows, score_rows, step), ENGINE)
    assert f"{Path(__file__).name}:" in caught.value.message


def test_a_step_that_leaves_no_row_to_score_ends_the_batch() -> None:
    with pytest.raises(NothingToDoError, match=r":\d+: nobody leaves none of 3 rows to score"):
        run_steps(begun(), (load_rows, nobody, score_rows), ENGINE)


def test_the_engines_steps_keep_their_order() -> None:
    with pytest.raises(ProjectDefinitionError, match="in the order score_rows, load_rows"):
        run_steps(begun(), (score_rows, load_rows), ENGINE)


def test_a_project_says_which_columns_are_compared() -> None:
    rows = pa.table({"age": [1, 2], "tenure": [3, 4]})
    assert compared_rows(rows, None) is rows
    assert compared_rows(rows, lambda table: table.drop_columns(["tenure"])).column_names == ["age"]
    with pytest.raises(ProjectDefinitionError, match="did not give back a table of 2 rows"):
        compared_rows(rows, lambda table: table.slice(0, 1))
    with pytest.raises(ProjectDefinitionError, match=r"failed in line \d+: KeyError"):
        compared_rows(rows, lambda table: table.drop_columns(["colour"]))


def test_the_predictions_are_compared_in_any_case() -> None:
    rows = pa.table({"age": [1, 2], "tenure": [3, 4], "prediction": [0.1, 0.9]})
    seen = compared_rows(rows, lambda table: table.select(["age"]))
    assert seen.to_pydict() == {"age": [1, 2], "prediction": [0.1, 0.9]}


def test_reference_and_current_rows_keep_the_same_columns() -> None:
    reference, current = (
        pa.table({"age": [1, 2], "zip": [3, 4]}),
        pa.table({"age": [5], "zip": [5]}),
    )

    def varied(table: pa.Table) -> pa.Table:
        constant = [name for name in table.column_names if len(set(table[name].to_pylist())) < 2]
        return table.drop_columns(constant)

    with pytest.raises(ProjectDefinitionError, match="columns age, zip for the reference and  for"):
        compared_pair(reference, current, varied)
    both = compared_pair(reference, current, lambda table: table.drop_columns(["zip"]))
    assert [table.column_names for table in both] == [["age"], ["age"]]
