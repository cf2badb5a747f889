"""Row features in the lane: columns that no request sends, as the numbers and codes of a model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from goldpath.compiled.form import CompiledForm, Encoder, Weights
from goldpath.contract import Contract, parse_contract
from goldpath.features.learned import with_own_features
from goldpath.features.row.cases import case
from goldpath.features.row.tracing import Row, row_feature
from goldpath.features.row.values import Value
from goldpath.project import Project
from goldpath.serving.lane.computed import ComputedColumns
from goldpath.serving.lane.row_arrays import RowArrays

CONTRACT = parse_contract(
    "dataset: small\nsource:\n  path: rows.csv\nproblem: regression\ntarget: {column: amount}\n"
    "features:\n  - {name: a, type: number, nullable: true}\n"
)


@row_feature
def size(row: Row) -> Value:
    return case((row.a < 10, "small"), (row.a < 100, "middle"), otherwise="large")


def learned() -> Contract:
    return with_own_features(CONTRACT, Project(features=lambda: [size]))


def form(known: Sequence[str]) -> CompiledForm:
    one = np.zeros(1)
    encoder = Encoder(
        *(np.zeros(1, np.uint8), np.zeros(1, np.int32), one, one, one + 1),
        *(np.zeros(1, np.int32), one),
    )
    return CompiledForm(
        numbers=("a",),
        categories={"size": tuple(known)},
        encoder=encoder,
        model=Weights(np.ones((1, 1))),
        bias=one,
        divisor=1.0,
        link="identity",
        classes=(),
    )


@pytest.mark.parametrize("known", [["small", "middle"], ["large", "middle", "small"], ["small"]])
def test_a_computed_text_has_its_code_and_one_that_no_training_had_the_code_of_unknown_ones(
    known: list[str],
) -> None:
    of = form(known)
    computed = ComputedColumns(learned(), of)
    values: list[Any] = [1.0, 50.0, 500.0]

    numbers, codes = computed.of_columns([tuple(values)])

    expected = [
        known.index(text) if text in known else len(known) for text in ("small", "middle", "large")
    ]
    assert codes[:, 0].tolist() == expected
    assert numbers[:, 0].tolist() == values
    alone = RowArrays(of).of_rows(computed.rows([(value,) for value in values]))
    np.testing.assert_array_equal(alone[1], codes)
