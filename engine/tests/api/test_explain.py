"""`POST /explain` over the service."""

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.contract import GroupThresholds
from goldpath.judging.explanation import Contribution, Explainer, Explanation
from goldpath.serving.explanations import MOST_ROWS, MOST_WAITING, Explanations
from goldpath.serving.stored_features import Asked

from .conftest import MakeClient, until
from .examples import (
    PROBLEMS,
    Shelf,
    TestClient,
    client_of,
    contract_of,
    fitted,
    random_rows,
    settings_of,
)


class ShelfWithBackground(Shelf):
    def load_for_serving(self, version: Any) -> Any:
        model = super().load_for_serving(version)
        object.__setattr__(model, "background", tuple(random_rows(model.contract, 30, seed=4)))
        return model


def test_what_is_personal_is_not_shown_of_a_series_without_a_key_either() -> None:
    """Nobody names a series of all rows, and its lags may still be of a personal column."""
    model = SimpleNamespace(contract=SimpleNamespace(window_features=["lag"]))
    row = {"hour": 3, "lag": 71.5}
    parts = tuple(Contribution(name, value, 0.0, 0.0) for name, value in row.items())
    explainer = SimpleNamespace(explain=lambda _: Explanation(1.0, 1.0, 1.0, parts))
    asked = SimpleNamespace(of=lambda *_, **__: Asked([row], None, [frozenset({"hour"})]))
    windows = SimpleNamespace(
        complete=lambda rows, *_: rows, hidden=lambda _: frozenset({"hour", "lag"})
    )
    explanations: Any = Explanations(None, asked, windows, lambda *_: None)  # type: ignore[arg-type]
    champion: Any = SimpleNamespace(model=model)
    explanations._explainer = (champion, explainer)

    (found,) = explanations._explain(explanations._ready(champion, None, None))

    assert {each.feature: each.value for each in found.contributions} == {"hour": 3, "lag": None}


def shelf_of(problem: str, *, compiled: bool = True) -> Shelf:
    shelf = ShelfWithBackground(compiled=compiled)
    shelf.put(fitted(problem))
    return shelf


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_an_explanation_adds_up_to_the_prediction(
    problem: str, compiled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = random_rows(contract_of(problem), 3, seed=6)
    made = settings_of(tmp_path, monkeypatch)
    with client_of(made, problem, shelf_of(problem, compiled=compiled)) as client:
        until(lambda: client.get("/ready").status_code == 200)
        one = client.post("/explain", json={"features": rows[0]}).json()
        several = client.post("/explain/batch", json={"instances": rows}).json()
        predicted = client.post("/predict", json={"features": rows[0]}).json()

    assert {**one, "model_name": "small", "model_version": "1"} == one
    assert several["explanations"][0] == {
        name: value for name, value in one.items() if not name.startswith("model")
    }
    assert one["prediction"] == predicted["prediction"]
    if problem == "regression":
        assert one["value"] == pytest.approx(predicted["prediction"])
    else:
        assert one["value"] == pytest.approx(predicted["probabilities"][one["prediction"]])
    for explained, row in zip(several["explanations"], rows, strict=True):
        parts = explained["contributions"]
        total = sum(part["contribution"] for part in parts)
        assert total == pytest.approx(explained["value"] - explained["baseline"], abs=1e-9)
        assert {part["feature"]: part["value"] for part in parts} == row


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize(
    "groups", [None, {"north": 0.95, "south": 0.05}], ids=["one threshold", "by group"]
)
def test_the_decided_class_is_explained(
    make_client: MakeClient, groups: dict[str, float] | None, compiled: bool
) -> None:
    shelf, plain = shelf_of("binary", compiled=compiled), fitted("binary")
    contract = plain.contract.with_parts(decision_threshold=0.05)
    if groups is not None:
        by_group = GroupThresholds("país.über", "equal_opportunity", 0.02, groups, {})
        contract = contract.with_parts(decision_threshold=0.5, decision_groups=by_group)
    shelf.put(replace(plain, contract=contract))
    client = make_client(shelf=shelf)
    rows = random_rows(contract, 8, seed=6)

    found = client.post("/explain/batch", json={"instances": rows}).json()["explanations"]
    items = client.post("/predict/batch", json={"instances": rows}).json()["predictions"]

    likeliest = [max(item["probabilities"], key=item["probabilities"].get) for item in items]
    assert [item["prediction"] for item in items] != likeliest
    assert [each["prediction"] for each in found] == [item["prediction"] for item in items]
    for each, item in zip(found, items, strict=True):
        assert each["value"] == pytest.approx(item["probabilities"][item["prediction"]])
        total = sum(part["contribution"] for part in each["contributions"])
        assert total == pytest.approx(each["value"] - each["baseline"], abs=1e-9)


def test_a_model_without_background_says_what_to_do(served: TestClient) -> None:
    row = random_rows(contract_of("binary"), 1)[0]

    answer = served.post("/explain", json={"features": row})

    assert answer.status_code == 409
    assert "make train-local" in answer.json()["fix"]


def test_wrong_rows_and_too_many_are_refused(make_client: MakeClient) -> None:
    client = make_client(shelf=shelf_of("binary"))
    row = random_rows(contract_of("binary"), 1)[0]

    wrong = client.post("/explain", json={"features": {**row, "class": "x"}})
    many = client.post("/explain/batch", json={"instances": [row] * (MOST_ROWS + 1)})

    assert (wrong.status_code, many.status_code) == (422, 422)
    assert wrong.json()["errors"][0]["field"] == "features.class"


def test_predictions_go_on_while_explanations_wait_and_the_queue_is_bounded(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    original = Explainer.explain

    def waits(explainer: Explainer, row: Any) -> Explanation:
        assert go_on.wait(30)
        return original(explainer, row)

    monkeypatch.setattr(Explainer, "explain", waits)
    client = make_client(shelf=shelf_of("binary"))
    row = random_rows(contract_of("binary"), 1)[0]
    statuses: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: statuses.append(
                client.post("/explain", json={"features": row}).status_code
            )
        )
        for _ in range(MOST_WAITING + 2)
    ]
    for thread in threads:
        thread.start()
    until(lambda: len(statuses) == 2)
    predicted = client.post("/predict", json={"features": row}).status_code
    go_on.set()
    for thread in threads:
        thread.join()

    assert predicted == 200
    assert sorted(statuses) == [200] * MOST_WAITING + [429] * 2
