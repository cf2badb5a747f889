"""A project's hooks and metrics of its own: what they see, on which routes, and where they fail."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Request
from starlette.testclient import TestClient as PlainClient

from goldpath import (
    Hooks,
    Model,
    Prediction,
    PredictionRequest,
    Project,
    RefusedError,
    Row,
    Service,
    predict,
    service_metric,
)
from goldpath.compiled.native import find_compiler
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.answer_fields import require_metrics, require_same_kinds
from goldpath.serving.answers.metric_series import FAILURES
from goldpath.serving.answers.own_fields import row_of
from goldpath.serving.api import app_around, create_app
from goldpath.serving.explanations import MOST_WAITING
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.lane.request_structs import DecodedBatch
from goldpath.serving.prediction_log import read_log
from goldpath.serving.serving_core import ServingCore
from goldpath.settings import Settings

from .conftest import until
from .examples import Shelf, TestClient, client_of, contract_of, fitted, random_rows, settings_of
from .test_explain import shelf_of
from .test_metrics import value
from .window_service import ROW, ago, definition_of, fill, learned, tiles_of, window_service

ROWS = random_rows(contract_of("binary"), 20, seed=4)
SCORES = [float(each) for each in fitted("binary").predict(ROWS).scores]
BATCH = {"instances": ROWS}


@service_metric(buckets=[0.25, 0.5, 0.75])
def probability(row: Row, prediction: Prediction) -> float:
    """How likely each is to leave."""
    return prediction.score


@service_metric(kind="counter")
def called_twice(row: Row, prediction: Prediction) -> bool:
    return bool(row["2nd call"] > 1)


@service_metric(kind="gauge")
def newest_calls(row: Row, prediction: Prediction) -> int:
    return int(row["2nd call"])


@service_metric(kind="counter")
def picky(row: Row, prediction: Prediction) -> float:
    if prediction.value == "yes":
        raise KeyError("a secret of the row")
    return 1.0


@contextmanager
def service(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    hooks: Hooks | None = None,
    shelf: Shelf | None = None,
    routers: Sequence[APIRouter] = (),
    **serving: object,
) -> Iterator[TestClient]:
    settings = settings_of(tmp_path, monkeypatch, **serving)
    settings._project = Project(
        name="shop", hooks=lambda: hooks, service=lambda: Service(routers=routers)
    )
    with client_of(settings, "binary", shelf) as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client


def app_of(client: PlainClient) -> TestClient:
    lane: FastLane = client.app  # type: ignore[assignment]
    return TestClient(lane.app, raise_server_exceptions=False)


def logged(root: Path) -> list[dict[str, Any]]:
    return list(read_log(root / "logs/predictions", 1000))


# --- metrics ---


@pytest.mark.parametrize("via", ["lane", "app"])
def test_each_prediction_is_counted_once_alone_in_batches_and_by_mlflows_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, via: str
) -> None:
    hooks = Hooks(metrics=[probability, called_twice, newest_calls])
    with service(tmp_path, monkeypatch, hooks) as client:
        asked = client if via == "lane" else app_of(client)
        assert "newest_calls{" not in client.get("/metrics").text, "nobody has computed one"
        for row in ROWS[:3]:
            assert asked.post("/predict", json={"features": row}).status_code == 200
        assert value(client, "newest_calls", model_version="1") == ROWS[2]["2nd call"]
        for path in ("/predict/batch", "/invocations"):
            assert asked.post(path, json=BATCH).status_code == 200
        assert asked.post("/predict", json={}).status_code == 422

        rows, scores = [*ROWS[:3], *ROWS, *ROWS], [*SCORES[:3], *SCORES, *SCORES]
        found = {
            name: value(client, f"probability_{name}", model_version="1")
            for name in ("count", "sum")
        }
        low = value(client, "probability_bucket", model_version="1", le="0.25")
        twice = value(client, "called_twice_total", model_version="1")
        assert found == {"count": len(rows), "sum": pytest.approx(sum(scores))}
        assert low == sum(score <= 0.25 for score in scores)
        assert twice == sum(row["2nd call"] > 1 for row in rows)
        assert "# HELP probability How likely each is to leave." in client.get("/metrics").text
        facts = client.get("/model").json()
        assert facts["left_to_app"] is None
        assert facts["service_metrics"]["probability"] == "How likely each is to leave."
        if via == "lane" and find_compiler() is not None:
            (model,) = client.app._models.values()  # type: ignore[attr-defined]
            request = client.build_request("POST", "/predict/batch", json=BATCH)
            assert isinstance(model.rows(request.content), DecodedBatch), "the lane has batches"


@pytest.mark.parametrize("via", ["lane", "app"])
def test_a_metric_that_raises_is_counted_and_no_answer_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    via: str,
) -> None:
    with service(tmp_path, monkeypatch, Hooks(metrics=[picky, probability])) as client:
        asked = client if via == "lane" else app_of(client)
        assert value(client, f"{FAILURES}_total", metric="picky") in (None, 0)
        answers = asked.post("/predict/batch", json=BATCH).json()["predictions"]
        yes = sum(each["prediction"] == "yes" for each in answers)

        assert 0 < yes < len(ROWS)
        assert value(client, f"{FAILURES}_total", metric="picky") == yes
        assert value(client, "picky_total", model_version="1") == len(ROWS) - yes
        assert value(client, "probability_count", model_version="1") == len(ROWS)
    said = [each for each in caplog.records if "has no figure" in each.getMessage()]
    assert len(said) == 1, "once now and then, and not for each row"
    assert "test_hooks.py:" in said[0].getMessage()


def test_without_metrics_of_ones_own_nothing_is_shown_and_batches_are_read_in_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service(tmp_path, monkeypatch) as client:
        client.post("/predict", json={"features": ROWS[0]})
        assert FAILURES not in client.get("/metrics").text
        (model,) = client.app._models.values()  # type: ignore[attr-defined]
        assert (model._reader is not None) is (find_compiler() is not None)


# --- before and after ---

Calls = list[tuple[str, PredictionRequest, Sequence[Prediction]]]


def watching(calls: Calls) -> Hooks:
    def first(request: PredictionRequest) -> None:
        calls.append(("first", request, ()))

    def second(request: PredictionRequest) -> None:
        calls.append(("second", request, ()))

    def last(request: PredictionRequest, predictions: Sequence[Prediction]) -> None:
        calls.append(("last", request, predictions))

    return Hooks(before=[first, second], after=[last])


def test_hooks_see_who_asks_what_and_what_is_answered_once_a_request_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Calls = []
    router = APIRouter()

    @router.post("/own")
    def own(features: dict[str, Any], request: Request) -> dict[str, str]:
        return {"prediction": str(predict(request, features).prediction)}

    with service(tmp_path, monkeypatch, watching(calls), routers=[router]) as client:
        for path, body, rows in (
            ("/predict", {"features": ROWS[0]}, 1),
            ("/predict/batch", BATCH, len(ROWS)),
            ("/invocations", BATCH, len(ROWS)),
            ("/own", ROWS[0], 1),
        ):
            calls.clear()
            answer = client.post(path, json=body)
            assert answer.status_code == 200, answer.text
            assert [name for name, _, _ in calls] == ["first", "second", "last"]
            _, request, predictions = calls[-1]
            assert (request.subject, request.route) == ("anonymous", path)
            assert "predict" in request.roles
            assert [row["2nd call"] for row in request.rows] == [
                row["2nd call"] for row in ROWS[:rows]
            ]
            assert [each.score for each in predictions] == pytest.approx(SCORES[:rows])
            assert predictions[0].model_version == "1"
        calls.clear()
        assert client.post("/predict", json={}).status_code == 422
        assert calls == [], "what the contract refuses reaches no hook"
        why = client.get("/model").json()["left_to_app"]
        assert why == "the project's hooks are called by the app: first, second, last"


def test_a_hook_refuses_before_anything_is_scored_on_every_route_that_tells_a_prediction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later: Calls = []

    def few_rows(request: PredictionRequest) -> None:
        raise RefusedError(451, f"{request.subject} asks for {len(request.rows)}", "ask for less")

    hooks = Hooks(before=[few_rows, *watching(later).before], metrics=[probability])
    with service(tmp_path, monkeypatch, hooks, shelf_of("binary")) as client:
        for path in ("/predict", "/predict/batch", "/invocations", "/explain", "/explain/batch"):
            one = path in ("/predict", "/explain")
            body = {"features": ROWS[0]} if one else {"instances": ROWS[:2]}
            answer = client.post(path, json=body)
            assert answer.status_code == 451, answer.text
            assert answer.json()["detail"] == f"anonymous asks for {1 if one else 2}"
            assert answer.json()["fix"] == "ask for less"
            assert answer.headers["content-type"] == "application/problem+json"
        assert later == [], "the hooks behind it are not called"
        assert logged(tmp_path) == []
        assert value(client, "probability_count", model_version="1") in (None, 0)
        refused = {"method": "POST", "route": "/predict", "status": "451"}
        assert value(client, "ml_requests_total", **refused) == 1


def test_automls_routes_are_no_way_past_the_hooks_to_a_registered_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Calls = []
    monkeypatch.setenv("MLOPS_AUTOML__ROUTES", "true")
    with service(tmp_path, monkeypatch, watching(calls)) as client:
        body = {"model_id": "v1", "instances": ROWS[:2]}
        answer = client.post("/api/automl/models/predict", json=body)
        problem = answer.json()

    assert answer.status_code == 409, answer.text
    assert "v1 is a registered version" in problem["detail"]
    assert "POST /predict/batch" in problem["fix"]
    assert (calls, logged(tmp_path)) == ([], [])


def test_a_slow_hook_holds_up_its_own_explanation_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, waiting = threading.Event(), threading.Semaphore(0)
    slow = ROWS[0]

    def asks_a_database(request: PredictionRequest) -> None:
        if request.rows[0]["2nd call"] == slow["2nd call"]:
            waiting.release()
            assert go_on.wait(30)

    other = next(row for row in ROWS if row["2nd call"] != slow["2nd call"])
    with service(tmp_path, monkeypatch, Hooks(before=[asks_a_database]), shelf_of("binary")) as c:
        statuses: list[int] = []
        threads = [
            threading.Thread(
                target=lambda: statuses.append(
                    c.post("/explain", json={"features": slow}).status_code
                )
            )
            for _ in range(MOST_WAITING)
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in threads:
                assert waiting.acquire(timeout=10)
            assert c.post("/explain", json={"features": other}).status_code == 200
            assert statuses == []
        finally:
            go_on.set()
            for thread in threads:
                thread.join()
    assert statuses == [200] * MOST_WAITING


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_hook_that_fails_is_a_problem_that_names_it_and_what_was_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    def broken(request: PredictionRequest) -> None:
        raise KeyError("a secret of the row")

    def broken_after(request: PredictionRequest, predictions: Sequence[Prediction]) -> None:
        raise KeyError("a secret of the row")

    hooks = Hooks(before=[broken]) if when == "before" else Hooks(after=[broken_after])
    with service(tmp_path, monkeypatch, hooks) as client:
        one = client.post("/predict", json={"features": ROWS[0]})
        several = client.post("/predict/batch", json=BATCH)

    assert (one.status_code, several.status_code) == (500, 500)
    assert "secret" not in one.text
    assert one.json()["fix"]
    detail, lines = one.json()["detail"], logged(tmp_path)
    if when == "before":
        assert detail == (
            "the hook broken before the prediction failed: KeyError; nothing was scored"
        )
        assert lines == []
        return
    assert len(lines) == 1 + len(ROWS)
    last, first = lines[-1]["prediction_id"], lines[-2]["prediction_id"]
    assert detail == (
        f"the hook broken_after after the prediction failed: KeyError; the prediction was logged "
        f"as {last}"
    )
    assert f"the 20 predictions were logged, the first as {first}" in several.json()["detail"]


def test_a_hook_after_the_prediction_may_keep_the_answer_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsure(request: PredictionRequest, predictions: Sequence[Prediction]) -> None:
        raise RefusedError(409, "a person has to decide")

    with service(tmp_path, monkeypatch, Hooks(after=[unsure])) as client:
        answer = client.post("/predict", json={"features": ROWS[0]})

    assert (answer.status_code, answer.json()["detail"]) == (409, "a person has to decide")
    assert len(logged(tmp_path)) == 1


def test_a_refusal_with_a_status_that_is_none_is_the_services_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def odd(request: PredictionRequest) -> None:
        raise RefusedError(200, "it is fine")

    with service(tmp_path, monkeypatch, Hooks(before=[odd])) as client:
        answer = client.post("/predict", json={"features": ROWS[0]})

    assert answer.status_code == 500
    assert "the hook odd before the prediction failed: ValueError" in answer.json()["detail"]


def test_by_key_hooks_and_metrics_have_the_entity_and_the_columns_that_were_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: Calls = []

    @service_metric
    def paid_lately(row: Row, prediction: Prediction) -> float:
        return float(row.paid_total_30d)

    contract = learned()
    tiles = tiles_of(definition_of(contract), {ago(3): 70.0})
    fill(tmp_path, contract, ago(0) - timedelta(hours=1), ann=tiles)
    body = {"customer": "ann", "features": ROW}
    for hooks in (Hooks(metrics=[paid_lately]), Hooks(*_parts(calls), [paid_lately])):
        monkeypatch.setattr("goldpath.project._running", Project(name="shop", hooks=_giving(hooks)))
        with window_service(tmp_path, monkeypatch, contract) as client:
            answer = client.post("/predict", json=body)
            assert answer.status_code == 200, answer.text
            assert value(client, "paid_lately_sum", model_version="1") == 70.0

    (_, before, _), _, (_, after, _) = calls
    assert (before.entities, after.entities) == (["ann"], ["ann"])
    assert before.rows[0].age == ROW["age"]
    assert after.rows[0].paid_total_30d == 70.0


def _parts(calls: Calls) -> tuple[Any, Any]:
    watched = watching(calls)
    return watched.before, watched.after


def _giving(hooks: Hooks) -> Any:
    return lambda: hooks


def test_a_further_model_has_hooks_and_metrics_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours: Calls = []
    theirs: Calls = []
    project = Project(
        name="shop",
        hooks=lambda: Hooks(*_parts(ours), [probability]),
        models={"revenue": lambda: Model(hooks=Hooks(*_parts(theirs), [probability]))},
    )
    main, further = settings_of(tmp_path, monkeypatch), settings_of(tmp_path, monkeypatch)
    further = further.model_copy(update={"model": "revenue"})
    main._project, further._project = project, project.for_model("revenue", ["revenue"])
    with _both(main, further) as client:
        assert client.post("/predict", json={"features": ROWS[0]}).status_code == 200
        assert (len(ours), len(theirs)) == (3, 0)
        path = "/models/revenue/predict/batch"
        assert client.post(path, json=BATCH).status_code == 200
        assert (len(ours), len(theirs)) == (3, 3)
        assert theirs[-1][1].route == path
        assert value(client, "probability_count", model_version="1") == 1
        counted = value(client, "probability_count", model_version="1", model="revenue")
        assert counted == len(ROWS)


@contextmanager
def _both(main: Settings, further: Settings) -> Iterator[TestClient]:
    contract, shelf = contract_of("binary"), Shelf()
    shelf.put(fitted("binary"))
    core = ServingCore(main, contract, shelf)
    core.further["revenue"] = ServingCore(further, contract, shelf, main=core)
    core.metrics.beside.append(core.further["revenue"].metrics)
    lane = FastLane(app_around(core, core.running), core)
    with TestClient(lane, raise_server_exceptions=False) as client:
        for path in ("/ready", "/models/revenue/ready"):
            until(lambda path=path: client.get(path).status_code == 200)  # type: ignore[misc]
        yield client


# --- refused by check ---


def test_the_main_model_has_its_hooks_in_the_project() -> None:
    project = Project(models={"churn": lambda: Model(hooks=Hooks())})
    with pytest.raises(ProjectDefinitionError, match="is for a model with a folder models/NAME"):
        _ = project.definitions


async def later(request: PredictionRequest) -> None:
    """Nothing."""


def of_nothing() -> None:
    """Nothing."""


def plain(row: Row, prediction: Prediction) -> float:
    return 0.0


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"before": [of_nothing]}, "of_nothing: a hook before an answer takes request, and"),
        ({"before": [later]}, "later: a hook before an answer .* is no plain function"),
        ({"after": [of_nothing]}, "a hook after an answer takes request and predictions, and"),
        ({"metrics": [plain]}, "plain among Hooks"),
        ({"metrics": [picky, picky]}, "there is a metric 'picky' already"),
    ],
)
def test_hooks_that_cannot_be_called_are_refused_with_place_and_fix(
    parts: dict[str, Any], said: str
) -> None:
    with pytest.raises(ProjectDefinitionError, match=rf"test_hooks\.py:\d+: .*{said}|{said}") as (
        caught
    ):
        Hooks(**parts)
    assert "test_hooks.py:" in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("Loss", {}, "cannot be called 'Loss'"),
        ("ml_loss", {}, "cannot be called 'ml_loss'"),
        ("process_loss", {}, "cannot be called 'process_loss'"),
        ("loss", {"kind": "summary"}, "has the kind 'summary'"),
        ("loss", {"kind": "gauge", "buckets": [1]}, "a gauge has none"),
        ("loss", {"buckets": [2, 1]}, "they must rise"),
        ("loss", {"buckets": [1, float("inf")]}, "they must rise"),
    ],
)
def test_a_metric_that_cannot_be_shown_is_refused_with_place_and_fix(
    name: str, options: dict[str, Any], said: str
) -> None:
    def figure(row: Row, prediction: Prediction) -> float:
        return 0.0

    figure.__name__ = name
    with pytest.raises(ProjectDefinitionError, match=said) as caught:
        service_metric(**options)(figure)
    assert "test_hooks.py:" in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize(
    ("kind", "returned"),
    [("counter", -1.0), ("gauge", float("nan")), ("histogram", "3"), ("gauge", None)],
)
def test_what_is_no_figure_of_its_kind_is_a_failure(kind: Any, returned: Any) -> None:
    @service_metric(kind=kind)
    def odd(row: Row, prediction: Prediction) -> Any:
        return returned

    with pytest.raises((TypeError, ValueError), match="it returned"):
        odd.value(row_of({}), Prediction("yes", 0.7, {}))


def test_two_models_of_one_service_show_a_name_as_one_kind() -> None:
    @service_metric(kind="gauge")
    def probability(row: Row, prediction: Prediction) -> float:
        return prediction.score

    with pytest.raises(ProjectDefinitionError, match="is a gauge, and the histogram") as caught:
        require_same_kinds([globals()["probability"], picky, probability])
    assert caught.value.message.count("test_hooks.py:") == 2
    require_same_kinds([picky, picky])


def test_metrics_that_are_shown_alike_are_refused() -> None:
    @service_metric(kind="gauge")
    def picky_total(row: Row, prediction: Prediction) -> float:
        return 0.0

    with pytest.raises(ProjectDefinitionError, match="picky_total is shown like another metric"):
        require_metrics([picky, picky_total], contract_of("binary"), contract_of("binary"))


def test_checks_for_another_dataset_stop_the_service_instead_of_being_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def only_friends(request: PredictionRequest) -> None:
        raise RefusedError(403, "no friend")

    settings = settings_of(tmp_path, monkeypatch)
    checks = Hooks(before=[only_friends])
    for own in (
        Project(dataset="houses", hooks=lambda: checks),
        Project(dataset="houses", models={"revenue": lambda: Model(hooks=checks)}),
    ):
        settings._whole_project = own
        with pytest.raises(ProjectDefinitionError, match="the hooks only_friends around each"):
            create_app(settings, contract_of("binary"))
    settings._whole_project = Project(dataset="houses")
    create_app(settings, contract_of("binary"))
