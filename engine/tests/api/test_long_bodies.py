"""Whatever one client posts, the others have their answers meanwhile."""

import asyncio
import json
import threading
import time
from typing import Any

import pytest

from goldpath.contract import parse_contract
from goldpath.serving.http import json_bodies
from goldpath.serving.http.json_bodies import JsonBodies, read_json, refuse_many_values
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.http.value_count import SHORT, Bounds
from goldpath.serving.lane.fast_lane import LONGEST_ROW
from goldpath.serving.lane.request_heads import Head
from goldpath.serving.lane.request_structs import RequestDecoder

from .conftest import MakeClient
from .examples import TestClient, contract_of, random_rows

BOUNDS = Bounds(values=100)
LONG_BODIES = {
    "objects": b"[" + b"{}," * 1_500_000 + b"{}]",
    "numbers": b"[" + b"1," * 2_200_000 + b"1]",
    "lists": b'{"instances": [' + b"[]," * 1_500_000 + b"[]]}",
    "open": b'{"instances": [' + b"{}," * 1_500_000,
    "names": b"{" + b'"a":1,' * 700_000 + b'"a":1}',
    "rows": b'{"instances": [' + b'{"a":1,"b":"x"},' * 290_000 + b"{}]}",
}


@pytest.mark.parametrize("kind", LONG_BODIES)
def test_too_many_values_are_refused_before_one_is_made(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_bodies, "parse_json", lambda *_: pytest.fail("it was read"))

    with pytest.raises(ProblemError) as caught:
        read_json(LONG_BODIES[kind], BOUNDS)

    assert caught.value.status_code == 422
    assert "more than 100 values" in caught.value.detail


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b'["' + b"," * 500 + b'"]', 1),
        (b'["a\\"' + b"," * 500 + b'\\\\", 1, 2]', 3),
        (b'{"a,b": ",,", "c": [",", {"d": ",\\",\\""}]}', 4),
        (b'["\xc3\xa9,,,"]', 1),
        (b"[1" + b",1" * 99 + b"]", 100),
    ],
)
def test_commas_in_texts_are_no_values(body: bytes, values: int) -> None:
    refuse_many_values(body, Bounds(values))
    assert read_json(body, Bounds(values=values)) == json.loads(body)


@pytest.mark.parametrize("body", [b'["' + b"," * 500, b'["\\', b'"' + b"\\" * 501, b'["a",' * 120])
def test_texts_that_do_not_end_are_refused_as_before(body: bytes) -> None:
    with pytest.raises(ProblemError):
        read_json(body, BOUNDS)


def test_one_comma_more_is_too_many() -> None:
    refuse_many_values(b"[" + b"1," * 100 + b"1]", Bounds(100))
    with pytest.raises(ProblemError):
        refuse_many_values(b"[" + b"1," * 101 + b"1]", Bounds(100))


def test_a_long_body_is_read_away_from_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[str] = []
    monkeypatch.setattr(
        json_bodies, "read_json", lambda *_: readers.append(threading.current_thread().name)
    )
    bodies = JsonBodies(BOUNDS)

    async def read() -> None:
        await bodies.value_of(b"1" * SHORT, "shop")
        await bodies.value_of(b"1" * (SHORT + 1), "shop")

    asyncio.run(read())
    bodies.close()

    assert readers[0] == threading.main_thread().name
    assert readers[1].startswith("bodies")
    assert not bodies._turns


def test_who_sends_many_long_bodies_waits_for_oneself(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(json_bodies, "read_json", lambda *_: time.sleep(0.01))
    bodies, body = JsonBodies(BOUNDS), b"1" * (SHORT + 1)

    async def read(client: str) -> None:
        await bodies.value_of(body, client)
        done.append(client)

    async def ask() -> None:
        many = [asyncio.create_task(read("many")) for _ in range(8)]
        await asyncio.sleep(0)
        await asyncio.gather(read("one"), *many)

    asyncio.run(ask())
    bodies.close()

    assert done.index("one") <= 2, done


def test_a_failed_body_gives_its_turn_back() -> None:
    bodies = JsonBodies(BOUNDS)

    async def ask() -> Any:
        for _ in range(2):
            with pytest.raises(ProblemError):
                await bodies.value_of(LONG_BODIES["names"], "shop")
        return await bodies.value_of(b" " * SHORT + b"[1]", "shop")

    assert asyncio.run(ask()) == [1]
    bodies.close()


@pytest.mark.parametrize("kind", ["objects", "names", "rows", "numbers"])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/invocations", "/feedback"])
def test_the_service_refuses_a_long_body_and_says_why(
    served: TestClient, path: str, kind: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = served.post(path, content=LONG_BODIES[kind], headers=headers)

    assert answer.status_code == 422
    assert "values" in answer.json()["detail"]
    assert "MAXIMUM_BATCH_ROWS" in answer.json()["fix"]


def test_the_lane_does_not_read_what_it_would_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = ["a", "b"]
    fields = "".join(f"  - {{name: {name}, type: number, nullable: true}}\n" for name in columns)
    contract = parse_contract(
        "dataset: small\nsource:\n  path: rows.csv\nproblem: regression\n"
        f"target: {{column: amount}}\nfeatures:\n{fields}"
    )
    decoder = RequestDecoder(contract, columns, 1000)
    monkeypatch.setattr(decoder, "_batch", lambda _: pytest.fail("it was read"))

    for content in (b"{}," * 1_500_000 + b"{}", b"{" + b'"a":1,' * 700_000 + b'"a":1}'):
        assert decoder.batch(b'{"instances": [' + content + b"]}") is None


def test_repeated_keys_are_not_read_twice_by_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    contract = contract_of("binary")
    row = random_rows(contract, 1, seed=3)[0]
    decoder = RequestDecoder(contract, contract.feature_names, 1000)
    repeated = json.dumps(row)[:-1] + ', "class": 1.0' * 20_000 + "}"
    monkeypatch.setattr(
        "goldpath.serving.lane.request_structs._no_key_appears_twice",
        lambda _: pytest.fail("it was read"),
    )

    assert decoder.single(f'{{"features": {repeated}}}'.encode()) is None


def test_a_batch_of_the_most_rows_is_the_lanes() -> None:
    contract = contract_of("binary")
    rows = random_rows(contract, 1000, seed=3)
    for row in rows:
        row["free text"] = "a:b {c}"
    decoder = RequestDecoder(contract, contract.feature_names, 1000)

    for row in rows:
        row["free text"] = "plain"
    assert decoder.batch(json.dumps({"instances": rows}).encode()) is not None


def test_the_lane_waits_for_no_row_of_megabytes(make_client: MakeClient) -> None:
    lane: Any = make_client().app

    assert lane.waits_for(Head("/predict", length=LONGEST_ROW))
    assert not lane.waits_for(Head("/predict", length=LONGEST_ROW + 1))
    assert lane.waits_for(Head("/predict/batch", length=4_000_000))
