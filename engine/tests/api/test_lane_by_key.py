"""The fast lane answers single requests of a model with window features, as the app does."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from goldpath.contract import Contract
from goldpath.features.window.tiles import EntityTiles
from goldpath.serving.lane import model as lane_model
from goldpath.serving.lane.fast_lane import FastLane
from goldpath.serving.lane.request_heads import read_headers
from goldpath.serving.lane.request_structs import DecodedRow
from goldpath.serving.prediction_log import read_log
from goldpath.serving.shadow import Shadow
from goldpath.source_contract import dump_source

from . import window_service
from .examples import TestClient
from .window_service import ROW, ago, counted, definition_of, fill, learned, tiles_of


class Service:
    """A service, and who answered its requests."""

    def __init__(self, client: TestClient, root: Path) -> None:
        self.client, self.root = client, root
        self.by_lane = 0

    def ask(self, body: Any, **how: Any) -> Any:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        return self.client.post("/predict", content=content, headers=headers, **how)

    @property
    def log(self) -> list[dict[str, Any]]:
        return read_log(self.root / "logs" / "predictions", 10_000)


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """Over an empty store and a compiled model; of a contract without personal columns."""
    with ExitStack() as stack:
        client = stack.enter_context(
            window_service.window_service(tmp_path, monkeypatch, learned())
        )
        yield watched(Service(client, tmp_path), monkeypatch)


def watched(service: Service, monkeypatch: pytest.MonkeyPatch) -> Service:
    done = FastLane.done

    def counting(lane: FastLane, request: Any, *, is_answered: bool) -> None:
        service.by_lane += is_answered
        done(lane, request, is_answered=is_answered)

    monkeypatch.setattr(FastLane, "done", counting)
    return service


def keyed(who: Any, features: dict[str, Any] = ROW) -> dict[str, Any]:
    return {"customer": who, "features": features}


class Stopped(datetime):
    """A clock that stands still, so that two requests are asked at one moment."""

    @classmethod
    def now(cls, tz: Any = None) -> "Stopped":
        assert tz is UTC
        return cls(2026, 5, 4, 15, 20, 33, 123_456, UTC)


def many_tiles(contract: Contract, before: datetime, count: int) -> dict[str, EntityTiles]:
    dice, of = Random(8), definition_of(contract)
    return {
        f"c{number}": tiles_of(
            of,
            {
                before - timedelta(days=dice.uniform(0, 100)): float(dice.randrange(1, 300))
                for _ in range(dice.randrange(40))
            },
        )
        for number in range(count)
    }


def test_lane_and_app_give_the_same_bits_for_a_thousand_requests(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract, moment = learned(), Stopped.now(UTC).replace(tzinfo=None)
    fill(tmp_path, contract, moment, **many_tiles(contract, moment, 200))
    dice = Random(5)
    bodies = [
        keyed(
            dice.choice([f"c{dice.randrange(210)}", dice.randrange(9)]),
            {"age": dice.randrange(100), "plan": dice.choice(["basic", "other", None])},
        )
        for _ in range(1_000)
    ]
    monkeypatch.setattr(lane_model, "datetime", Stopped)
    monkeypatch.setattr("goldpath.serving.scorer.datetime", Stopped)

    in_lane = [service.ask(body).json() for body in bodies]
    assert service.by_lane == 1_000
    monkeypatch.setattr(FastLane, "waits_for", lambda *_: False)
    in_app = [service.ask(body).json() for body in bodies]
    assert service.by_lane == 1_000

    lines = {line["prediction_id"]: line for line in service.log}
    for lane, app in zip(in_lane, in_app, strict=True):
        logged = [lines[each.pop("prediction_id")] for each in (lane, app)]
        assert lane == app
        for line in logged:
            del line["prediction_id"]
        assert json.dumps(logged[0], sort_keys=True) == json.dumps(logged[1], sort_keys=True)
    assert len({answer["probabilities"]["yes"] for answer in in_lane}) > 200
    lookups = counted(service.client)
    assert lookups["found"] % 2 == lookups["unknown"] % 2 == 0
    assert lookups["found"] + lookups["unknown"] == 2_000


def test_the_rows_of_one_turn_have_each_their_own_windows(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract, moment = learned(), Stopped.now(UTC).replace(tzinfo=None)
    fill(tmp_path, contract, moment, **many_tiles(contract, moment, 5))
    monkeypatch.setattr(lane_model, "datetime", Stopped)
    lane = service.client.app
    assert isinstance(lane, FastLane)
    bodies = [json.dumps(keyed(f"c{number % 6}")).encode() for number in range(20)]
    head = read_headers("/predict", [(b"content-type", b"application/json")])
    assert head is not None
    requests = [lane.decode(head, body) for body in bodies]
    rows = [each.rows for each in requests if each and isinstance(each.rows, DecodedRow)]
    model = next(each.model for each in requests if each)

    together = [json.loads(each or b"") for each in model.answers(rows)]
    alone = [service.ask(body).json() for body in bodies]

    assert len(together) == 20
    for one, other in zip(together, alone, strict=True):
        assert one.pop("prediction_id") != other.pop("prediction_id")
        assert one == other
    assert [line["entity"] for line in service.log][:20] == [f"c{n % 6}" for n in range(19, -1, -1)]


def test_where_a_shadow_scores_the_row_again_the_app_completes_it(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, learned(), ago(0))
    monkeypatch.setattr(Shadow, "wants", lambda *_: True)

    assert service.ask(keyed("ann")).is_success
    assert service.by_lane == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"features": ROW}, 422),  # no key
        (keyed(17.0), 422),
        (keyed(None), 422),
        (keyed(True), 422),
        (keyed(""), 422),
        (keyed("x" * 201), 422),
        (keyed("a", {"age": 40}), 200),  # the feature view is asked for the rest
        (keyed("a", {"age": -1, "plan": None}), 422),
        (keyed("a") | {"more": 1}, 422),
        (b'{"customer":"a","customer":"b","features":{"age":1,"plan":null}}', 422),
        (b'{"customer":"\\ud800","features":{"age":1,"plan":null}}', 422),
        (keyed(2**70), 200),
    ],
)
def test_what_is_not_surely_right_is_the_apps(
    service: Service, tmp_path: Path, body: Any, status: int
) -> None:
    fill(tmp_path, learned(), ago(0))

    assert service.ask(body).status_code == status
    assert service.by_lane == 0


@pytest.mark.parametrize("who", ["a:b", 'quo"te', "ä", 17, -3, "x" * 200])
def test_keys_of_all_kinds_are_the_lanes(service: Service, tmp_path: Path, who: Any) -> None:
    fill(tmp_path, learned(), ago(0))

    assert service.ask(keyed(who)).status_code == 200
    assert service.by_lane == 1
    assert [line["entity"] for line in service.log] == [str(who)]


def test_without_a_store_the_app_answers_and_counts_once(service: Service) -> None:
    assert service.ask(keyed("ann")).status_code == 503
    assert service.by_lane == 0
    assert counted(service.client) == {"unavailable": 1}


def test_the_lane_waits_for_no_lock(service: Service, tmp_path: Path) -> None:
    fill(tmp_path, learned(), ago(0))
    assert service.ask(keyed("ann")).status_code == 200
    with sqlite3.connect(tmp_path / "lake" / "online.db", isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert service.ask(keyed("bob")).status_code == 200
        writer.execute("ROLLBACK")
    writer.close()
    assert service.by_lane == 2


def test_stale_values_are_missing_and_counted(service: Service, tmp_path: Path) -> None:
    contract = learned()
    fill(tmp_path, contract, ago(8), ann=tiles_of(definition_of(contract), {ago(9): 5.0}))

    assert service.ask(keyed("ann")).is_success
    assert service.by_lane == 1
    assert counted(service.client) == {"expired": 1}
    (line,) = service.log
    assert set(line["features"].values()) == {40, "basic", None}


def test_windows_of_personal_columns_are_not_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract = learned(personal=("amount",))
    fill(tmp_path, contract, ago(0))
    with window_service.window_service(tmp_path, monkeypatch, contract) as client:
        service = watched(Service(client, tmp_path), monkeypatch)
        assert service.ask(keyed("ann")).is_success

    assert service.by_lane == 1
    (line,) = service.log
    assert line["features"] == {**ROW, "paid_count_30d": 0, "paid_count_90d": 0}


@pytest.mark.parametrize("source", ["personal: [amount]", "columns: ["], ids=["named", "unread"])
def test_windows_of_columns_that_became_personal_after_the_training_are_not_logged(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lane and the app alike; a file that cannot be read may name any column."""
    described = dump_source(window_service.PAYMENTS) + source + "\n"
    (tmp_path / "config" / "sources").mkdir(parents=True)
    (tmp_path / "config" / "sources" / "payments.yaml").write_text(described, "utf-8")
    contract = learned()
    assert contract.personal == ()
    fill(tmp_path, contract, ago(0))
    with window_service.window_service(tmp_path, monkeypatch, contract) as client:
        service = watched(Service(client, tmp_path), monkeypatch)
        assert service.ask(keyed("ann")).is_success
        assert service.by_lane == 1
        batch = {"instances": [keyed("ann")]}
        assert client.post("/predict/batch", json=batch).is_success
        explained = client.post("/explain", json=keyed("ann")).json()["contributions"]

    counts = {"paid_count_30d": 0, "paid_count_90d": 0} if "personal" in source else {}
    assert [line["features"] for line in service.log] == [{**ROW, **counts}] * 2
    shown = {each["feature"]: each["value"] for each in explained}
    assert shown["paid_total_30d"] is None
    assert shown["age"] == ROW["age"]


@pytest.mark.parametrize(
    ("compiled", "store", "why"),
    [
        (True, "sqlite", None),
        (False, "sqlite", "no compiled form"),
        (True, "redis", "read from redis"),
    ],
)
def test_the_service_says_why_the_lane_leaves_requests_to_the_app(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    compiled: bool,
    store: str,
    why: str | None,
) -> None:
    fill(tmp_path, learned(), ago(0))
    with window_service.window_service(
        tmp_path, monkeypatch, learned(), compiled=compiled, online_store=store
    ) as client:
        said = client.get("/model").json()["left_to_app"]

    assert (said is None) if why is None else (why in said)


def test_batches_by_key_are_the_apps(service: Service, tmp_path: Path) -> None:
    fill(tmp_path, learned(), ago(0))

    answer = service.client.post("/predict/batch", json={"instances": [keyed("ann")]})

    assert answer.is_success
    assert service.by_lane == 0
