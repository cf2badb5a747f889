"""The service computes a model's row features: nobody sends them, and the model's own count."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from goldpath.compiled.compiler import compile_pipeline
from goldpath.compiled.native import build_kernel, find_compiler
from goldpath.contract import Contract
from goldpath.features.learned import with_own_features
from goldpath.features.row.cases import case
from goldpath.features.row.complete import complete_rows
from goldpath.features.row.tracing import Row, RowFeature, row_feature
from goldpath.features.row.values import Value
from goldpath.learning.families import FAMILIES
from goldpath.learning.frames import model_frame
from goldpath.learning.scoring import LoadedModel, ModelVersion
from goldpath.project import Project
from goldpath.serving.lane.batch_rows import batch_reader
from goldpath.serving.lane.computed import ComputedColumns
from goldpath.serving.lane.row_arrays import RowArrays

from ..ready_made import kernels
from .conftest import MakeClient
from .examples import Shelf, contract_of, random_rows


@row_feature(description="Dollars for a call.")
def rate(row: Row) -> Value:
    return row["class"] / (row["2nd call"] + 1)


@row_feature
def where(row: Row) -> Value:
    return case((row["país.über"] == "north", "cold"), otherwise="warm")


@row_feature
def twice(row: Row) -> Value:
    """Of another feature."""
    return row["where"].map({"cold": 2, "warm": 4}) * row.rate


def learned(*features: RowFeature) -> Contract:
    return with_own_features(contract_of("binary"), Project(features=lambda: features))


def fitted_with(contract: Contract, version: str = "1") -> LoadedModel:
    rows = complete_rows(random_rows(contract.request, 300, seed=3), contract)
    target = pd.Series(["yes" if row["rate"] > 10 else "no" for row in rows]).to_numpy()
    pipeline = FAMILIES["boosting"].build(
        contract, {**FAMILIES["boosting"].defaults, "max_iter": 10}, 1
    )
    pipeline.fit(model_frame(rows, contract), target)
    background = [
        {str(name): None if value != value else value for name, value in row.items()}
        for row in model_frame(rows[:20], contract).to_dict("records")
    ]
    version_of = ModelVersion("small", version, "run", ("champion",), {})
    return LoadedModel(pipeline, contract, version_of, background)


@pytest.mark.parametrize("compiled", [True, False])
def test_a_request_without_them_gets_the_models_answer(
    make_client: MakeClient, compiled: bool
) -> None:
    contract = learned(rate, where)
    model = fitted_with(contract)
    shelf = Shelf(compiled=compiled)
    shelf.put(model)
    rows = random_rows(contract.request, 40, seed=5)
    expected = model.predict(rows).probabilities
    assert expected is not None

    client = make_client(shelf=shelf)
    alone = [client.post("/predict", json={"features": row}).json() for row in rows]
    together = client.post("/predict/batch", json={"instances": rows}).json()["predictions"]

    for one, many, probabilities in zip(alone, together, expected, strict=True):
        assert list(one["probabilities"].values()) == probabilities.tolist()
        assert one["probabilities"] == many["probabilities"]


@pytest.mark.skipif(find_compiler() is None, reason="no C compiler")
def test_rows_alone_together_and_read_by_c_become_the_same_numbers_and_codes() -> None:
    contract = learned(rate, where, twice)
    form = compile_pipeline(fitted_with(contract).pipeline, contract)
    computed = ComputedColumns(contract, form)
    rows = random_rows(contract.request, 60, seed=8)
    values = [tuple(row.get(name) for name in computed.order) for row in rows]
    body = json.dumps({"instances": rows}).encode()
    library = build_kernel(kernels())
    assert library is not None
    reader = batch_reader(contract.request, computed.request_form, library, len(rows))
    assert reader is not None
    read = reader.read(body)
    assert read is not None

    alone = RowArrays(form).of_rows(computed.rows(values))

    assert computed.reads_codes
    for together in (
        computed.of_columns([*zip(*values, strict=True)]),
        computed.of_arrays(read.numbers, read.codes),
    ):
        for found, expected in zip(together, alone, strict=True):
            np.testing.assert_array_equal(found, expected)
    assert len(np.unique(alone[1][:, -1])) > 1


def test_codes_that_stand_for_several_texts_are_not_read() -> None:
    contract = learned(rate, where)
    form = compile_pipeline(fitted_with(contract).pipeline, contract)
    known = {**form.categories, "país.über": form.categories["país.über"][1:]}

    assert not ComputedColumns(contract, replace(form, categories=known)).reads_codes


def test_a_caller_cannot_send_one(make_client: MakeClient) -> None:
    contract = learned(rate, where)
    shelf = Shelf()
    shelf.put(fitted_with(contract))
    row = random_rows(contract.request, 1)[0]

    answer = make_client(shelf=shelf).post("/predict", json={"features": {**row, "rate": 3.0}})

    assert answer.status_code == 422


def test_a_model_with_other_definitions_than_the_project_serves_with_its_own(
    make_client: MakeClient,
) -> None:
    other = row_feature(name="rate")(lambda row: row["class"] * 2)
    shelf = Shelf()
    shelf.put(fitted_with(learned(other)))
    row: dict[str, Any] = random_rows(contract_of("binary"), 1)[0]
    expected = shelf.models["1"].predict([row]).probabilities
    assert expected is not None

    answer = make_client(shelf=shelf).post("/predict", json={"features": row}).json()

    assert list(answer["probabilities"].values()) == expected[0].tolist()


def test_the_service_says_what_it_computes(make_client: MakeClient) -> None:
    shelf = Shelf()
    shelf.put(fitted_with(learned(rate, where)))

    answer = make_client(shelf=shelf).get("/model").json()
    facts = answer["features"]

    # This project has no row features of its own by now.
    assert answer["changed_row_features"] == ["rate is gone", "where is gone"]
    assert facts["rate"] == "computed by the service, not sent: a finite number, or null"
    assert facts["2nd call"] == "a whole number from 0 to 12"


def test_a_row_feature_is_explained_beside_what_was_sent(make_client: MakeClient) -> None:
    contract = learned(rate, where)
    model = fitted_with(contract)
    shelf = Shelf(compiled=False)
    shelf.put(model)
    row = random_rows(contract.request, 1, seed=9)[0]

    answer = make_client(shelf=shelf).post("/explain", json={"features": row}).json()

    parts = {each["feature"]: each for each in answer["contributions"]}
    assert set(parts) == set(contract.feature_names)
    assert parts["rate"]["value"] == row["class"] / (row["2nd call"] + 1)
    assert abs(parts["rate"]["contribution"]) > 0
