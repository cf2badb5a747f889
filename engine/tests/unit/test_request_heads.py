"""Which heads the fast lane takes, and what it reads from them."""

import pytest

from goldpath.serving.lane import request_heads
from goldpath.serving.lane.request_heads import Head, RequestHeads, read_headers

PATHS = frozenset(("/predict", "/predict/batch"))
PLAIN = ("Host: here", "Content-Type: application/json", "Content-Length: 12")


def raw(*headers: str, first: str = "POST /predict HTTP/1.1") -> bytes:
    return "\r\n".join((first, *headers, "", "")).encode("latin-1")


def head_of(*headers: str, first: str = "POST /predict HTTP/1.1") -> Head | None:
    return RequestHeads(PATHS).of(raw(*headers, first=first))


def test_a_plain_request_is_read_whole() -> None:
    headers = ("X-API-Key: a key", "X-Request-Id: 7", "Traceparent: 00-1", "X-Model-Version: 3")
    assert head_of(*PLAIN, *headers, "X-Forwarded-For: 10.0.0.1") == Head(
        path="/predict",
        size=len(raw(*PLAIN, *headers, "X-Forwarded-For: 10.0.0.1")),
        length=12,
        credential=(b"x-api-key", b"a key"),
        request_id=b"7",
        trace=b"00-1",
        pin=b"3",
        forwarded=b"10.0.0.1",
    )


@pytest.mark.parametrize(
    "header",
    [
        "Connection: keep-alive",
        "Connection: Keep-Alive",
        "Authorization: Bearer a",
        f"X-Request-Id: {'a' * 64}",
        "Accept: */*",
    ],
)
def test_usual_headers_change_nothing(header: str) -> None:
    found = head_of(*PLAIN, header)
    assert found is not None
    assert found.length == 12


@pytest.mark.parametrize("path", sorted(PATHS))
def test_both_routes_are_the_lanes(path: str) -> None:
    found = head_of(*PLAIN, first=f"POST {path} HTTP/1.1")
    assert found is not None
    assert found.path == path


@pytest.mark.parametrize(
    "first",
    [
        "GET /predict HTTP/1.1",
        "POST /predict HTTP/1.0",
        "POST /predict/ HTTP/1.1",
        "POST /predict?a=1 HTTP/1.1",
        "POST /predictions HTTP/1.1",
        "POST /feedback HTTP/1.1",
        "POST /predict",
        "POST /predict HTTP/2.0",
    ],
)
def test_other_requests_are_left_to_uvicorn(first: str) -> None:
    assert head_of(*PLAIN, first=first) is None
    assert head_of(*PLAIN, "Connection: keep-alive", first=first) is None


@pytest.mark.parametrize(
    "header",
    [
        "Connection: close",
        "Connection: keep-alive, x-a",
        "Connection: upgrade\r\nUpgrade: websocket",
        "Upgrade: h2c",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Content-Encoding: gzip",
        "Origin: https://elsewhere.example",
        "Content-Length: 12",
        "Content-Type: application/json",
        "X-Model-Version: 3\r\nX-Model-Version: 3",
        "X-Forwarded-For: a\r\nX-Forwarded-For: b",
        "X-API-Key: a\r\nAuthorization: Bearer a",
        f"X-Request-Id: {'a' * 65}",
        "X-Request-Id: two words",
    ],
)
def test_unusual_headers_are_left_to_uvicorn(header: str) -> None:
    assert head_of(*PLAIN, header) is None


@pytest.mark.parametrize(
    ("media_type", "length", "is_taken"),
    [
        ("application/json", "1", True),
        ("application/json", "0", False),
        ("Application/JSON ; charset=utf-8", "999999999999", True),
        ("application/json", "1000000000000", False),
        ("application/json", "-1", False),
        ("application/json", "1e3", False),
        ("text/plain", "12", False),
        ("application/jsonl", "12", False),
    ],
)
def test_only_json_of_a_declared_length_is_taken(
    media_type: str, length: str, is_taken: bool
) -> None:
    found = head_of(f"Content-Type: {media_type}", f"Content-Length: {length}")
    assert (found is not None) == is_taken
    assert head_of(f"Content-Type: {media_type}") is None


def test_a_head_that_has_not_ended_yet_is_no_head() -> None:
    whole = raw(*PLAIN)
    heads = RequestHeads(PATHS)
    assert not any(heads.of(whole[:end]) for end in range(len(whole)))
    assert heads.of(whole + b'{"features":') == heads.of(whole)
    assert heads.of(whole) is not None


def test_a_head_has_a_longest_length() -> None:
    room = request_heads.LONGEST_HEAD - len(raw(*PLAIN, "X-Fill: "))
    assert head_of(*PLAIN, f"X-Fill: {'a' * room}") is not None
    assert head_of(*PLAIN, f"X-Fill: {'a' * (room + 1)}") is None


def test_heads_are_remembered_up_to_a_number_and_those_of_one_request_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_heads, "REMEMBERED_HEADS", 2)
    heads = RequestHeads(PATHS)
    first = heads.of(raw(*PLAIN))
    assert heads.of(raw(*PLAIN)) is first, "read once"
    for name in ("X-Request-Id", "Traceparent"):
        once = heads.of(raw(*PLAIN, f"{name}: 7"))
        assert once is not heads.of(raw(*PLAIN, f"{name}: 7"))
    second = heads.of(raw(*PLAIN, "X-A: 1"))
    assert heads.of(raw(*PLAIN)) is first
    assert heads.of(raw(*PLAIN, "X-A: 1")) is second
    heads.of(raw(*PLAIN, "X-A: 2"))
    assert heads.of(raw(*PLAIN)) is not first, "began anew"


USUAL = [(b"content-type", b"application/json"), (b"content-length", b"12")]


def test_headers_that_a_server_has_read_say_nothing_of_framing() -> None:
    found = read_headers("/predict", [USUAL[0], (b"connection", b"close"), (b"expect", b"x")])
    assert found == Head("/predict")
    assert read_headers("/predict", USUAL, 0) == Head("/predict", length=12)
    assert read_headers("/predict", USUAL, 99) == Head("/predict", 99, 12)
    assert read_headers("/predict", [USUAL[0]], 99) is None
    assert read_headers("/predict", [*USUAL, (b"expect", b"x")], 99) is None
    assert read_headers("/predict", [*USUAL, (b"origin", b"x")]) is None
    assert read_headers("/predict", [*USUAL, (b"content-encoding", b"x")]) is None
    assert read_headers("/predict", [*USUAL, (b"accept", b"a"), (b"accept", b"b")], 9) is not None
    for name in (b"x-api-key", b"authorization"):
        found = read_headers("/predict", [*USUAL, (name, b"v")], 9)
        assert found is not None
        assert found.credential == (name, b"v")
    assert read_headers("/predict", [(b"x-request-id", b""), *USUAL], 9) is not None


def test_what_is_pipelined_behind_a_head_is_no_part_of_it() -> None:
    head = b"POST /predict HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n"
    heads = RequestHeads({"/predict"})
    found = heads.of(head + b"{}" + head + b"{}")
    assert found is not None
    assert (found.size, found.length) == (len(head), 2)
    assert heads.of(b"") is None
    assert heads.of(b"\r\n\r\n") is None
    assert heads.of(b"x" + head) is None
