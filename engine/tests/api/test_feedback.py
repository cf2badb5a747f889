"""Labels come back over HTTP, are on disk before they are confirmed, and find their predictions."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldpath.serving.log.segments import segments

from ..counts import examples
from .conftest import MakeClient
from .examples import PROBLEMS, contract_of, random_rows

LABELS: dict[str, list[Any]] = {
    "binary": ["no", "yes"],
    "multiclass": ["c"],
    "regression": [1.5, 2],
}
WRONG: dict[str, list[Any]] = {
    "binary": ["maybe", 1, True, None, ["no"]],
    "multiclass": ["d", "A"],
    "regression": ["1.5", True, None],
}


def stored(root: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for file in segments(root / "logs/feedback")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_labels_are_stored_and_checked_against_the_target(
    problem: str, make_client: MakeClient, tmp_path: Path
) -> None:
    client = make_client(problem)
    row = random_rows(contract_of(problem), 1)[0]
    prediction = client.post("/predict", json={"features": row}).json()["prediction_id"]

    for label in LABELS[problem]:
        answer = client.post("/feedback", json={"prediction_id": prediction, "label": label})
        assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    for label in WRONG[problem]:
        answer = client.post("/feedback", json={"prediction_id": prediction, "label": label})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "label"

    lines = stored(tmp_path)
    assert [line["label"] for line in lines] == LABELS[problem]
    assert {line["prediction_id"] for line in lines} == {prediction}


def test_several_labels_are_stored_all_or_none(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    first, second = str(uuid4()), str(uuid4()).upper()
    known = datetime.now(UTC) - timedelta(days=2)
    labels: list[dict[str, Any]] = [
        {"prediction_id": first, "label": "no", "at": known.isoformat()},
        {"prediction_id": second, "label": "yes", "at": None},
    ]
    assert client.post("/feedback/batch", json={"labels": labels}).json() == {"accepted": 2}
    assert [line["prediction_id"] for line in stored(tmp_path)] == [first, second.lower()]
    assert stored(tmp_path)[0]["at"] == known.isoformat()
    labels[1]["label"] = "perhaps"
    answer = client.post("/feedback/batch", json={"labels": labels})
    assert answer.status_code == 422
    assert "labels.1.label" in answer.text
    assert len(stored(tmp_path)) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"label": "no"}, "prediction_id"),
        ({"prediction_id": "17", "label": "no"}, "prediction_id"),
        ({"prediction_id": str(uuid4())}, "label"),
        ({"prediction_id": str(uuid4()), "label": "no", "at": "2026-01-01T00:00:00"}, "at"),
        ({"prediction_id": str(uuid4()), "label": "no", "at": 1767225600}, "at"),
        ({"prediction_id": str(uuid4()), "label": "no", "at": "9999-12-31T23:59:59-12:00"}, "at"),
        ({"prediction_id": str(uuid4()), "label": "no", "when": "now"}, "when"),
    ],
)
def test_what_is_wrong_is_named(make_client: MakeClient, body: dict[str, Any], field: str) -> None:
    answer = make_client().post("/feedback", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in answer.text


def test_labels_that_cannot_be_stored_are_refused(make_client: MakeClient, tmp_path: Path) -> None:
    client = make_client()
    (tmp_path / "logs").mkdir(exist_ok=True)
    (tmp_path / "logs" / "feedback").write_text("a file where the folder should be")
    answer = client.post("/feedback", json={"prediction_id": str(uuid4()), "label": "no"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "30"


def test_an_unlogged_prediction_is_refused_where_the_settings_say_so(
    make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_PREDICTION_LOG__REQUIRED", "true")
    client = make_client()
    row = random_rows(contract_of("binary"), 1)[0]
    (tmp_path / "logs").write_text("a file where the folder should be")

    single = client.post("/predict", json={"features": row})
    batch = client.post("/predict/batch", json={"instances": [row, row]})

    for answer in (single, batch):
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "prediction_log.required" in answer.json()["detail"]
    assert "ml_prediction_log_failures_total 3.0" in client.get("/metrics").text


@pytest.mark.soak
@settings(
    max_examples=examples(40, 150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    body=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["prediction_id", "label", "at", "labels", "x"]), inner
            )
        ),
    )
)
def test_no_body_crashes_it(served: Any, body: Any) -> None:
    headers = {"content-type": "application/json"}
    for path in ("/feedback", "/feedback/batch"):
        answer = served.post(path, content=json.dumps(body), headers=headers)
        assert answer.status_code in (202, 400, 422), answer.text
