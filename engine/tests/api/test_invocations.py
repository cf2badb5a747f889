"""Clients of an MLflow model server get the same answers here, in each of its forms."""

import json
from typing import Any

import pandas as pd
import pytest

from .conftest import MakeClient
from .examples import PROBLEMS, TestClient, contract_of, fitted, random_rows


def frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame.from_records(rows).astype(object)


def forms(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The four bodies that MLflow's own clients send for these rows."""
    frame = frame_of(rows)
    split = json.loads(frame.to_json(orient="split"))
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {
        "dataframe_split": {"dataframe_split": split},
        "dataframe_records": {"dataframe_records": rows},
        "inputs": {"inputs": columns},
        "instances": {"instances": rows},
    }


@pytest.mark.parametrize("problem", PROBLEMS)
def test_every_form_gets_the_models_predictions(make_client: MakeClient, problem: str) -> None:
    client = make_client(problem)
    rows = random_rows(contract_of(problem), 7, seed=4)
    expected = fitted(problem).predict(rows).values

    for name, body in forms(rows).items():
        answer = client.post("/invocations", json=body)
        assert answer.status_code == 200, (name, answer.text)
        assert answer.json() == {"predictions": pytest.approx(expected)}


def test_a_column_that_the_model_does_not_know_is_left_out(served: TestClient) -> None:
    rows = random_rows(contract_of("binary"), 2)
    with_id = [{**row, "customer": f"C{place}"} for place, row in enumerate(rows)]

    answer = served.post("/invocations", json={"dataframe_records": with_id})

    assert answer.json() == {"predictions": fitted("binary").predict(rows).values}


ROW = random_rows(contract_of("binary"), 1)[0]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "none of them"),
        ({"inputs": [ROW], "instances": [ROW]}, "inputs and instances"),
        ({"instances": []}, "holds 0 rows"),
        ({"instances": [ROW] * 1001}, "holds 1001 rows"),
        ({"dataframe_split": {"columns": ["class"], "data": [[1, 2]]}}, "row 0"),
        ({"dataframe_split": {"columns": ["class", "class"], "data": [[1, 2]]}}, "twice"),
        ({"inputs": {"class": [1.0], "schema": [1.0, 2.0]}}, "differ in length"),
        ({"instances": [ROW, {**ROW, "class": "1"}]}, "instances.1.class"),
        ({"inputs": {"class": [1.0]}}, "inputs.0.2nd call"),
        ({"rows": [ROW]}, "rows"),
    ],
)
def test_a_wrong_body_is_a_problem_that_names_what_is_wrong(
    served: TestClient, body: dict[str, Any], says: str
) -> None:
    answer = served.post("/invocations", json=body)

    assert answer.status_code == 422
    problem = answer.json()
    assert says in problem["detail"]
    assert problem["fix"]


def test_it_asks_for_the_key_and_logs_like_any_prediction(make_client: MakeClient) -> None:
    client = make_client(api_key="a-long-enough-secret-key")

    refused = client.post("/invocations", json={"instances": [ROW]})
    taken = client.post(
        "/invocations",
        json={"instances": [ROW]},
        headers={"X-API-Key": "a-long-enough-secret-key"},
    )

    assert (refused.status_code, taken.status_code) == (401, 200)
    assert "ml_predictions_total" in client.get("/metrics").text
