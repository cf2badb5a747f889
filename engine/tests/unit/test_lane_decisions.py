"""What the fast lane decides before a model is asked: whose request, which model, or the app's."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from goldpath.serving.access.roles import Client
from goldpath.serving.http.problem_error import ProblemError
from goldpath.serving.lane import fast_lane
from goldpath.serving.lane.fast_lane import DECLINED, LONG_BATCH, FastLane
from goldpath.serving.lane.request_heads import Head, RequestHeads
from goldpath.serving.lane.request_structs import DecodedRow
from goldpath.serving.lane.turn import Request
from goldpath.serving.predictor import NoModelError

SHOP = Client("shop", frozenset({"predict"}))
TESTER = Client("tester", frozenset({"predict", "pin"}))
ROW = DecodedRow("struct", (1,))
PREDICT, BATCH = "/predict", "/predict/batch"


class Limits:
    """Admits as many as the test says."""

    def __init__(self) -> None:
        self.left = 99
        self.admitted: list[tuple[str, str]] = []
        self.given_back: list[tuple[str, str]] = []

    def admit(self, client: Client, peer: str = "") -> bool:
        self.left -= 1
        self.admitted.append((client.name, peer))
        return self.left >= 0

    def give_back(self, client: Client, peer: str = "") -> None:
        self.given_back.append((client.name, peer))


def chosen(version: str = "1") -> Any:
    return SimpleNamespace(version=SimpleNamespace(version=version), model=f"model {version}")


class Model:
    """A model of the lane, which answers with its version and what it was asked for."""

    def __init__(
        self, champion: Any, *, is_immediate: bool = True, is_by_key: bool = False
    ) -> None:
        self.champion = champion
        self.is_immediate, self.is_by_key = is_immediate, is_by_key
        self.name: bytes = champion.version.version.encode()

    def row(self, body: bytes) -> Any:
        if body == b"broken":
            raise ZeroDivisionError
        return None if body == b"odd" else ROW

    def rows(self, body: bytes) -> Any:
        return None if body == b"odd" else ["rows", body]

    def answers(self, rows: list[Any]) -> list[bytes | None]:
        answers: list[bytes | None] = [b"at once " + self.name, b"another row's"]
        return answers[: 1 + len(rows)]

    async def answer_later(self, row: Any) -> bytes:
        return b"later " + self.name

    async def answer_rows(self, rows: Any) -> bytes | None:
        return None if rows[1] == b"none" else b"rows " + self.name


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A lane as `__init__` leaves it, over stand-ins; `left` names models that are the app's."""
    made: Any = object.__new__(FastLane)
    made.left, made.made, made.counted, made.trails = set(), [], [], []
    made.champion, made.loaded = chosen(), frozenset({"1", "2"})

    def choose(body: bytes) -> Any:
        if made.champion is None:
            raise NoModelError("there is none")
        return made.champion

    def new_model(champion: Any) -> Any:
        made.made.append(champion.version.version)
        return Model(champion)

    made._settings, made._contract = "settings", "contract"
    made._access = SimpleNamespace(
        anonymous=SHOP, known=lambda name, value: TESTER if value == b"good" else None
    )
    made._limits = Limits()
    made._proxies = SimpleNamespace(
        trusts=lambda peer: peer == "proxy",
        client_behind=lambda peer, forwarded: f"{forwarded.decode()} behind {peer}",
    )
    made._traffic = SimpleNamespace(
        choose=choose, pinned=chosen, loaded_versions=lambda: made.loaded
    )
    made._models, made._prepared = {}, {}
    made._lane_model = new_model
    made._limit = 100
    made._longest = {PREDICT: 50, BATCH: 100}
    made._marks = SimpleNamespace(counter=lambda: "a counter")
    made._count = {
        path: lambda s, path=path: made.counted.append((path, s)) for path in (PREDICT, BATCH)
    }
    made._trail = None
    made._default_headers, made._response_head = None, b""
    made.heads = RequestHeads({PREDICT, BATCH})
    monkeypatch.setattr(fast_lane, "left_to_app", lambda model, *_: model in made.left)
    monkeypatch.setattr(fast_lane, "PIN_ROLE", "pin")
    return made


def test_a_usual_request_is_the_lanes_and_counts_for_its_client(lane: Any) -> None:
    found = lane.decode(Head(PREDICT), b"{}", "10.0.0.1")
    assert (found.rows, found.client, found.peer) == (ROW, SHOP, "10.0.0.1")
    assert lane._limits.admitted == [("shop", "10.0.0.1")]
    assert lane.decode(Head(BATCH), b"{}").rows == ["rows", b"{}"]
    known = Head(PREDICT, credential=(b"x-api-key", b"good"))
    assert lane.decode(known, b"{}").client == TESTER


def test_what_is_not_certain_is_the_apps_and_counts_for_nobody(lane: Any) -> None:
    wrong = Head(PREDICT, credential=(b"x-api-key", b"wrong"))
    assert lane.decode(wrong, b"{}") is None
    assert lane.decode(Head(PREDICT), b"odd") is None
    assert lane.decode(Head(BATCH), b"odd") is None
    assert lane.decode(Head(PREDICT, pin=b"2"), b"{}") is None, "not for this client"
    lane.champion = chosen("9")
    lane.left.add("model 9")
    assert lane.decode(Head(PREDICT), b"{}") is None
    lane.champion = None
    assert lane.decode(Head(PREDICT), b"{}") is None
    lane.champion = chosen()
    lane._access.anonymous = Client("x", frozenset({"label"}))
    assert lane.decode(Head(PREDICT), b"{}") is None
    lane._access.anonymous = None
    assert lane.decode(Head(PREDICT), b"{}") is None
    assert lane._limits.admitted == []


def test_a_client_at_its_limit_is_the_apps(lane: Any) -> None:
    lane._limits.left = 1
    assert lane.decode(Head(PREDICT), b"{}") is not None
    assert lane.decode(Head(PREDICT), b"{}") is None


def test_a_fault_is_logged_and_is_the_apps(lane: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert lane.decode(Head(PREDICT), b"broken") is None
    assert "the fast lane failed" in caplog.text
    caplog.clear()
    lane.champion = None
    assert lane.decode(Head(PREDICT), b"{}") is None
    assert caplog.text == "", "that there is no model is no fault"


def test_a_version_is_pinned_by_who_may(lane: Any) -> None:
    head = Head(PREDICT, credential=(b"x-api-key", b"good"), pin=b"2")
    assert lane.decode(head, b"{}").model.champion.version.version == "2"


def test_a_model_is_made_once_and_kept_while_it_is_loaded(lane: Any) -> None:
    def model() -> Any:
        return lane._model(Head(PREDICT), b"{}", SHOP)

    first = model()
    assert model() is first
    assert lane.made == ["1"]
    lane.champion = chosen("2")
    second = model()
    assert lane.made == ["1", "2"]
    assert lane._models == {"1": first, "2": second}
    lane.loaded = frozenset({"3"})
    lane.champion = chosen("3")
    third = model()
    assert lane._models == {"3": third}
    lane.champion = chosen("3")  # loaded anew
    assert model() is not third
    assert lane.made == ["1", "2", "3", "3"]


def test_a_model_that_was_prepared_is_taken_over_and_others_wait(lane: Any) -> None:
    lane.champion, other = chosen("1"), chosen("2")
    lane.prepare(lane.champion)
    lane.prepare(other)
    assert [*lane._prepared] == ["1", "2"]
    assert lane.made == ["1", "2"]
    prepared = lane._prepared["1"]
    assert lane._model(Head(PREDICT), b"{}", SHOP) is prepared
    assert [*lane._prepared] == ["2"]
    lane.champion = chosen("2")  # the same number, and loaded anew since
    assert lane._model(Head(PREDICT), b"{}", SHOP).champion is lane.champion
    assert lane.made == ["1", "2", "2"]
    lane.prepare(chosen("1"))
    lane.loaded = frozenset({"4"})
    lane.prepare(chosen("4"))
    assert [*lane._prepared] == ["4"], "what is not loaded any more is forgotten"
    lane.left.add("model 5")
    lane.prepare(chosen("5"))
    assert [*lane._prepared] == ["4"]


def test_a_model_that_cannot_be_prepared_shows_it_later(
    lane: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Any) -> Any:
        raise ZeroDivisionError

    lane._lane_model = broken
    with caplog.at_level(logging.ERROR):
        lane.prepare(chosen())
    assert "cannot prepare version 1" in caplog.text
    assert lane._prepared == {}


def test_many_entities_are_the_apps(lane: Any) -> None:
    lane._lane_model = lambda champion: Model(champion, is_by_key=True)
    assert lane._model(Head(PREDICT), b"{}", SHOP).is_by_key
    with pytest.raises(ProblemError):
        lane._model(Head(BATCH), b"{}", SHOP)


def test_a_proxys_client_is_who_is_behind_it(lane: Any) -> None:
    assert lane.decoder_of("10.0.0.1")(Head(PREDICT), b"{}", "10.0.0.1").peer == "10.0.0.1"
    behind = lane.decoder_of("proxy")(Head(PREDICT, forwarded=b"her"), b"{}", "proxy")
    assert behind.peer == "her behind proxy"


def test_bodies_have_a_longest_length_and_long_batches_are_counted(lane: Any) -> None:
    assert [lane.waits_for(Head(PREDICT, length=n)) for n in (0, 50, 51)] == [True, True, False]
    assert [lane.waits_for(Head(BATCH, length=n)) for n in (100, 101)] == [True, False]
    assert lane.counter_of(Head(BATCH, length=LONG_BATCH)) is None
    assert lane.counter_of(Head(BATCH, length=LONG_BATCH + 1)) == "a counter"


def request_of(lane: Any, rows: Any, *, is_immediate: bool = True, path: str = PREDICT) -> Request:
    model: Any = Model(chosen(), is_immediate=is_immediate)
    return Request(Head(path), model, rows, 0.0, SHOP, "10.0.0.1")


def test_answers_are_counted_by_route_and_what_is_not_answered_is_given_back(lane: Any) -> None:
    async def ask(rows: Any, **how: Any) -> bytes | None:
        found: bytes | None = await lane.answer(request_of(lane, rows, **how))
        return found

    assert asyncio.run(ask(ROW)) == b"at once 1"
    assert asyncio.run(ask(ROW, is_immediate=False)) == b"later 1"
    assert asyncio.run(ask(["rows", b"{}"], path=BATCH)) == b"rows 1"
    assert [path for path, _ in lane.counted] == [PREDICT, PREDICT, BATCH]
    assert all(seconds > 0 for _, seconds in lane.counted)
    assert lane._limits.given_back == []
    assert asyncio.run(ask(["rows", b"none"], path=BATCH)) is None
    assert lane._limits.given_back == [("shop", "10.0.0.1")]
    assert len(lane.counted) == 3


def test_an_answer_leaves_a_trail_where_one_is_wanted(lane: Any) -> None:
    lane._trail = lambda *trail: lane.trails.append(trail)
    request = request_of(lane, ROW)
    lane.done(request, is_answered=False)
    assert lane.trails == []
    lane.done(request, is_answered=True)
    ((head, started, ended),) = lane.trails
    assert (head, started) == (request.head, 0.0)
    assert lane.counted == [(PREDICT, ended - started)]


def test_the_head_of_an_answer_has_the_servers_headers_of_now(lane: Any) -> None:
    server = [(b"date", b"today")]
    first = lane.response_head(Head(PREDICT), server, 7)
    assert first.startswith(b"HTTP/1.1 200 OK\r\ndate: today\r\n")
    assert b"content-type: application/json\r\n" in first
    assert first.endswith(b"content-length: 7\r\n\r\n")
    named = lane.response_head(Head(PREDICT, request_id=b"a-7"), server, 12)
    assert named.endswith(b"content-length: 12\r\nx-request-id: a-7\r\n\r\n")
    server[0] = (b"date", b"changed in place")
    assert b"date: today" in lane.response_head(Head(PREDICT), server, 7), "the same list"
    later = lane.response_head(Head(PREDICT), [(b"date", b"tomorrow")], 7)
    assert b"date: tomorrow" in later
    server = [(b"date", b"today")]
    assert b"date: today" in lane.response_head(Head(PREDICT), server, 7)
    server[0] = (b"date", b"changed in place")
    copied = lane.response_head(Head(PREDICT), [*server], 7)
    assert b"date: changed in place" in copied, "another list, though it holds the same"


def message(body: bytes, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def receiver(*messages: dict[str, Any]) -> Any:
    waiting = [*messages]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    return receive, waiting


@pytest.mark.parametrize(
    ("messages", "body", "read"),
    [
        ([message(b"x" * 100)], b"x" * 100, 1),
        ([message(b"x" * 101)], None, 1),
        ([message(b"x" * 60, True), message(b"y" * 40)], b"x" * 60 + b"y" * 40, 2),
        ([message(b"x" * 60, True), message(b"y" * 41)], None, 2),
        ([message(b"x" * 60, True), message(b"y" * 41, True), message(b"z")], None, 2),
        (
            [message(b"x" * 60, True), message(b"y" * 40, True), message(b"")],
            b"x" * 60 + b"y" * 40,
            3,
        ),
        ([{"type": "http.request"}], b"", 1),
        ([message(b"x", True), {"type": "http.disconnect"}], None, 2),
    ],
)
def test_a_body_is_read_to_its_end_or_to_its_limit(
    lane: Any, messages: list[dict[str, Any]], body: bytes | None, read: int
) -> None:
    receive, waiting = receiver(*messages)
    found, content = asyncio.run(lane._read(receive))
    assert (found, content) == (messages[:read], body)
    assert waiting == messages[read:]


USUAL = [(b"content-type", b"application/json"), (b"content-length", b"2")]


def called(lane: Any, *messages: dict[str, Any], **scope: Any) -> tuple[list[Any], list[Any]]:
    """What was sent, and the messages that the app was given."""
    sent: list[Any] = []
    to_app: list[Any] = []

    async def app(given: Any, receive: Any, send: Any) -> None:
        to_app.extend([await receive() for _ in messages])

    async def send(each: Any) -> None:
        sent.append(each)

    lane.app = app
    usual = {"type": "http", "path": PREDICT, "method": "POST", "headers": USUAL}
    receive, _ = receiver(*messages)
    asyncio.run(lane({**usual, "client": ("10.0.0.1", 5), **scope}, receive, send))
    return sent, to_app


def test_under_any_server_the_lane_answers_what_is_its_own(lane: Any) -> None:
    sent, to_app = called(lane, message(b"{", True), message(b"}"))
    assert to_app == []
    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    assert sent[0]["status"] == 200
    assert (b"content-length", b"9") in sent[0]["headers"]
    assert b"x-request-id" not in dict(sent[0]["headers"])
    assert sent[1]["body"] == b"at once 1"
    assert lane._limits.admitted == [("shop", "10.0.0.1")]
    named, _ = called(lane, message(b"{}"), headers=[*USUAL, (b"x-request-id", b"a7")], client=None)
    assert dict(named[0]["headers"])[b"x-request-id"] == b"a7"
    assert lane._limits.admitted[-1] == ("shop", "")
    behind, _ = called(lane, message(b"{}"), client=("proxy", 1))
    assert lane._limits.admitted[-1] == ("shop", " behind proxy")
    assert behind


@pytest.mark.parametrize(
    "scope",
    [
        {"method": "GET"},
        {"path": "/health"},
        {"type": "websocket"},
        {DECLINED: True},
        {"headers": USUAL[1:]},
        {"headers": [USUAL[0], (b"content-length", b"51")]},
    ],
    ids=str,
)
def test_under_any_server_the_app_gets_the_rest_as_it_came(lane: Any, scope: Any) -> None:
    messages = [message(b"{", True), message(b"}")]
    sent, to_app = called(lane, *messages, **scope)
    assert (sent, to_app) == ([], messages)


@pytest.mark.parametrize(
    "messages",
    [
        [message(b"odd")],
        [message(b"o", True), message(b"dd", False)],
        [message(b"x" * 101, True), message(b"more")],
    ],
)
def test_what_was_read_and_declined_reaches_the_app_whole(
    lane: Any, messages: list[dict[str, Any]]
) -> None:
    sent, to_app = called(lane, *messages)
    assert (sent, to_app) == ([], messages)
