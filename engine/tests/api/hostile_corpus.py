"""Requests that no well-behaved client sends, and what each must get.

Bodies go to every prediction route in both lanes; exchanges are bytes on a connection of their own.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .examples import contract_of, random_rows
from .raw_http import post

CONTRACT = contract_of("binary")
ROW = random_rows(CONTRACT, 1, seed=5)[0] | {"free text": "one", "schema": 0.25}
ANY = (200, 400, 404, 405, 408, 411, 413, 414, 415, 417, 422, 426, 431, 501, 505)
"""Every status that may answer nonsense; 500 and 503 are not among them."""
REFUSED = tuple(status for status in ANY if status != 200)


@dataclass(frozen=True)
class HostileBody:
    """A body that is sent with correct framing.

    Attributes:
        name: For the report.
        content: The bytes; `ROWS` stands for the place of the row, see `bodies_for`.
        statuses: What may answer it.
    """

    name: str
    content: bytes
    statuses: tuple[int, ...]


@dataclass(frozen=True)
class Exchange:
    """Bytes on a connection, piece by piece.

    Attributes:
        name: For the report.
        pieces: Sent one after another.
        statuses: What each answer may be.
        most_answers: More of them would mean that one request was read as two.
        least_answers: Fewer of them would mean that one was swallowed.
    """

    name: str
    pieces: Sequence[bytes]
    statuses: tuple[int, ...] = REFUSED
    most_answers: int = 1
    least_answers: int = 0
    head_only: bool = field(default=False)


def row_text(name: str = "class", value: str | None = None, row: Any = None) -> str:
    """A row as JSON, with one value as it is given."""
    values = {key: json.dumps(each, ensure_ascii=False) for key, each in (row or ROW).items()}
    if value is not None:
        values[name] = value
    inside = ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {v}" for key, v in values.items())
    return "{" + inside + "}"


WRONG_VALUES = {
    "NaN": "NaN",
    "Infinity": "Infinity",
    "minus Infinity": "-Infinity",
    "nan": "nan",
    "1e400": "1e400",
    "-1e400": "-1e400",
    "1e99999": "1e99999",
    "1e999999999999999999": "1e999999999999999999",
    "400 digits": "9" * 400,
    "minus 400 digits": "-" + "9" * 400,
    "4301 digits": "1" * 4301,
    "100 000 digits": "7" * 100_000,
    "hexadecimal": "0x10",
    "octal": "010",
    "plus": "+1",
    "no whole part": ".5",
    "no fraction": "1.",
    "no exponent": "1e",
    "two exponents": "1e1e1",
    "underscore": "1_000",
    "comma": "1,5",
    "minus": "-",
    "text": '"1"',
    "true": "true",
    "null": "null",
    "list": "[1]",
    "object": '{"a": 1}',
    "nothing": "",
    "10 000 lists": "[" * 10_000 + "]" * 10_000,
    "10 000 open lists": "[" * 10_000,
    "10 000 objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "300 lists": "[" * 300 + "]" * 300,
    "1 000 000 open lists": "[" * 1_000_000,
    "above the maximum": "1000.0000001",
    "below the minimum": "-1.5000001",
}
WRONG_TEXTS = {
    "lone high surrogate": '"\\ud800"',
    "lone low surrogate": '"x\\udfff"',
    "surrogates in the wrong order": '"\\udc00\\ud800"',
    "too long": json.dumps("x" * 201),
    "a megabyte": json.dumps("x" * 1_000_000),
    "a number": "1",
    "control character": '"\x01"',
    "newline": '"a\nb"',
    "bad escape": '"\\x41"',
    "short escape": '"\\u12"',
    "open": '"one',
    "single quotes": "'one'",
}
STRANGE_TEXTS = {
    "empty": '""',
    "null byte": '"a\\u0000b"',
    "right to left": json.dumps("\u202eabc"),
    "combining": json.dumps("e" + "\u0301" * 199),
    "astral": json.dumps("\U0001f600" * 200),
    "format": '"%s%n{0.__class__}${jndi:ldap://x}"',
    "sql": json.dumps("'; DROP TABLE rows; --"),
    "markup": '"<script>alert(1)</script>"',
    "not a character": '"\\uffff"',
}


def row_variants() -> Iterator[tuple[str, bytes, tuple[int, ...]]]:
    """Rows with something wrong inside, and a few that are only strange."""
    for name, value in WRONG_VALUES.items():
        yield f"number: {name}", row_text("class", value).encode(), REFUSED
    for name, value in WRONG_VALUES.items():
        if name not in ("400 digits", "minus 400 digits", "text", "null"):
            yield f"whole number: {name}", row_text("2nd call", value).encode(), ANY
    for name, value in WRONG_TEXTS.items():
        yield f"text: {name}", row_text("free text", value).encode("utf-8"), REFUSED
    for name, value in STRANGE_TEXTS.items():
        yield f"text: {name}", row_text("free text", value).encode("utf-8"), (200,)
    for value in ("1e-400", "-0.0", "5e-324", "1E0", "1.0000000000000000000000000000000001"):
        yield f"number: {value}", row_text("class", value).encode(), (200,)
    for value in ("1.7976931348623157e308", "-1.7976931348623157e308", "2.2250738585072014e-308"):
        yield f"unbounded: {value}", row_text("schema", value).encode(), (200, 422)
    row = row_text().encode()
    twice = row[:-1] + b', "class": 1.0}'
    yield "a key twice", twice, REFUSED
    yield "a key twice, escaped", row[:-1] + b', "cl\\u0061ss": 1.0}', REFUSED
    yield "an unknown key", row[:-1] + b', "__class__": 1}', REFUSED
    yield "__proto__", row[:-1] + b', "__proto__": {"x": 1}}', REFUSED
    yield "a lone surrogate in a key", row[:-1] + b', "\\ud800": 1}', REFUSED
    yield "a key of a megabyte", row[:-1] + b', "' + b"k" * 1_000_000 + b'": 1}', REFUSED
    many = ", ".join(f'"k{number}": 1' for number in range(50_000)).encode()
    yield "50 000 unknown keys", row[:-1] + b", " + many + b"}", REFUSED
    yield "no key", b"{}", REFUSED
    for name, whole in (("null", b"null"), ("list", b"[]"), ("number", b"1"), ("text", b'"x"')):
        yield f"{name} for a row", whole, REFUSED
    for name, raw in {
        "UTF-8 of a surrogate": b"\xed\xa0\x80",
        "overlong UTF-8": b"\xc0\xaf",
        "open UTF-8": b"\xe2\x82",
        "Latin-1": b"\xe9",
        "byte 0xFF": b"\xff",
        "beyond Unicode": b"\xf4\x90\x80\x80",
        "null byte": b"\x00",
    }.items():
        yield f"text: {name}", row.replace(b'"one"', b'"o' + raw + b'"'), REFUSED


def bodies_for(path: str) -> list[HostileBody]:
    """The bodies of one prediction route."""
    open_, close = {
        "/predict": (b'{"features": ', b"}"),
        "/predict/batch": (b'{"instances": [', b"]}"),
        "/invocations": (b'{"dataframe_records": [', b"]}"),
    }[path]
    lenient = path == "/invocations"  # unknown columns are left out there, as in MLflow
    bodies = [
        HostileBody(name, open_ + row + close, ANY if lenient and "key" in name else statuses)
        for name, row, statuses in row_variants()
    ]
    good = open_ + row_text().encode() + close
    wrapped = {
        "empty": b"",
        "blank": b" \r\n\t ",
        "null": b"null",
        "true": b"true",
        "number": b"1",
        "text": b'"features"',
        "list": b"[]",
        "object": b"{}",
        "trailing text": good + b"x",
        "two documents": good + good,
        "trailing null byte": good + b"\x00",
        "trailing comma": good[:-1] + b",}",
        "comment": b"/* x */" + good,
        "byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "UTF-32": good.decode().encode("utf-32"),
        "gzip without saying so": gzip.compress(good),
        "random bytes": bytes(range(256)) * 40,
        "a million brackets": b"[" * 1_000_000,
        "a million braces": b'{"a":' * 200_000,
        "form": b"features=1&class=2",
        "multipart": b'--x\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--x--\r\n',
        "XML": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        "pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00.",
    }
    bodies += [HostileBody(name, content, REFUSED) for name, content in wrapped.items()]
    bodies += [
        HostileBody(f"cut after {count} of {len(good)}", good[:count], REFUSED)
        for count in range(1, len(good), 7)
    ]
    if path == "/invocations":
        bodies += [HostileBody(name, content, REFUSED) for name, content in _TABLES.items()]
    if path != "/predict":
        row = row_text().encode()
        bodies += [
            HostileBody("no rows", open_ + close, REFUSED),
            HostileBody("1001 rows", open_ + b",".join([row] * 1001) + close, REFUSED),
            HostileBody("50 000 empty rows", open_ + b",".join([b"{}"] * 50_000) + close, REFUSED),
            HostileBody("a wrong row among 900", _wrong_among(row, open_, close), REFUSED),
            HostileBody("a list among rows", open_ + row + b",[]" + close, REFUSED),
            HostileBody("null among rows", open_ + row + b",null" + close, REFUSED),
        ]
    return bodies


_MANY = 300_000
_TABLES = {
    "300 000 wrong cells": b'{"inputs": {"a": [' + b",".join([b"[]"] * _MANY) + b"]}}",
    "300 000 wrong rows": (
        b'{"dataframe_split": {"columns": ["a"], "data": [' + b",".join([b"[[]]"] * _MANY) + b"]}}"
    ),
    "300 000 short rows": (
        b'{"dataframe_split": {"columns": ["a"], "data": [' + b",".join([b"[1]"] * _MANY) + b"]}}"
    ),
    "300 000 columns": (
        b'{"dataframe_split": {"columns": [' + b",".join([b"1"] * _MANY) + b'], "data": []}}'
    ),
    "a column twice": b'{"dataframe_split": {"columns": ["class", "class"], "data": [[1, 2]]}}',
    "columns of two lengths": b'{"inputs": {"class": [1], "schema": [1, 2]}}',
    "two forms": b'{"inputs": {"class": [1]}, "instances": [{"class": 1}]}',
    "no form": b'{"params": {}}',
}


def _wrong_among(row: bytes, open_: bytes, close: bytes) -> bytes:
    rows = [row] * 900
    rows[457] = row_text("class", "1e400").encode()
    return open_ + b",".join(rows) + close


GOOD = b'{"features": ' + row_text().encode() + b"}"
WRONG = b'{"features": ' + row_text("class", "NaN").encode() + b"}"
SMUGGLED = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + (
    b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
)


def head(*lines: str, path: str = "/predict", method: str = "POST") -> bytes:
    """A request's head with these further lines."""
    first = (f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    return "\r\n".join([*first, *lines]).encode("latin-1") + b"\r\n\r\n"


def chunked(*chunks: bytes) -> bytes:
    """A body in these chunks."""
    return b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in (*chunks, b""))


def exchanges() -> list[Exchange]:
    """Framing, methods, paths and headers that are wrong, or right and seldom seen."""
    size = f"Content-Length: {len(GOOD)}"
    both = "Transfer-Encoding: chunked"
    accepted = {
        "usual": [post("/predict", GOOD)],
        "byte by byte": [bytes([each]) for each in post("/predict", GOOD)],
        "chunks": [head(both), chunked(GOOD[:5], GOOD[5:6], GOOD[6:])],
        "chunks of one byte": [head(both), chunked(*(bytes([each]) for each in GOOD))],
        "chunk extension": [head(both), b"%x;a=b\r\n" % len(GOOD), GOOD, b"\r\n0\r\n\r\n"],
        "trailer": [head(both), b"%x\r\n" % len(GOOD), GOOD, b"\r\n0\r\nX-Trailer: 1\r\n\r\n"],
        "HTTP/1.0": [head(size).replace(b"HTTP/1.1", b"HTTP/1.0") + GOOD],
        "connection: close": [post("/predict", GOOD, "application/json", "Connection: close")],
        "empty lines before": [b"\r\n\r\n" + post("/predict", GOOD)],
        "query": [post("/predict?x=1&features=2", GOOD)],
        "200 headers": [head(size, *(f"X-{n}: {n}" for n in range(200))) + GOOD],
        "header's case": [post("/predict", GOOD).replace(b"Content-Type", b"cONTENT-tYPE")],
        "media type's case": [post("/predict", GOOD, "Application/JSON")],
        "charset": [post("/predict", GOOD, "application/json; charset=utf-8")],
        "padded length": [head(f"Content-Length: 000{len(GOOD)}") + GOOD],
    }
    found = [Exchange(name, pieces, (200,), 1, 1) for name, pieces in accepted.items()]
    found += [
        Exchange(
            "expect: 100-continue",
            [head(size, "Expect: 100-continue"), GOOD],
            (100, 200),
            2,
            1,
        ),
        Exchange("pipelined", [post("/predict", GOOD) * 20], (200,), 20, 20),
        Exchange(
            "pipelined, lanes in turn",
            [
                (post("/predict", GOOD) + post("/predict", GOOD, "application/json; charset=utf-8"))
                * 10
            ],
            (200,),
            20,
            20,
        ),
        Exchange(
            "pipelined, wrong among good",
            [(post("/predict", GOOD) + post("/predict", WRONG)) * 10],
            (200, 422),
            20,
            20,
        ),
        Exchange(
            "pipelined behind close",
            [post("/predict", GOOD, "application/json", "Connection: close") + SMUGGLED],
            (200,),
            1,
            1,
        ),
        Exchange("HEAD", [head(method="HEAD", path="/health")], (200, 405), head_only=True),
    ]
    refused: dict[str, list[bytes]] = {
        "length and chunks": [head(size, both), chunked(GOOD), SMUGGLED],
        "chunks and length": [head(both, "Content-Length: 3"), chunked(GOOD), SMUGGLED],
        "length and a short chunk": [head(size, both) + b"0\r\n\r\n" + SMUGGLED],
        "two lengths": [head(size, "Content-Length: 5") + GOOD + SMUGGLED],
        "list of lengths": [head(f"Content-Length: {len(GOOD)}, 5") + GOOD],
        "negative length": [head("Content-Length: -1") + GOOD],
        "plus length": [head(f"Content-Length: +{len(GOOD)}") + GOOD],
        "hexadecimal length": [head(f"Content-Length: {len(GOOD):#x}") + GOOD],
        "length with an exponent": [head("Content-Length: 1e1") + GOOD],
        "length of 2^64": [head(f"Content-Length: {2**64}") + GOOD],
        "length of 40 digits": [head("Content-Length: " + "9" * 40) + GOOD],
        "empty length": [head("Content-Length:") + GOOD],
        "length with a space before the colon": [head(f"Content-Length : {len(GOOD)}") + GOOD],
        "folded length": [head("Content-Length:", f" {len(GOOD)}") + GOOD],
        "xchunked": [head("Transfer-Encoding: xchunked") + chunked(GOOD)],
        "chunked twice": [head("Transfer-Encoding: chunked, chunked") + chunked(GOOD)],
        "chunked, identity": [head("Transfer-Encoding: chunked, identity") + chunked(GOOD)],
        "gzip, chunked": [head("Transfer-Encoding: gzip, chunked") + chunked(gzip.compress(GOOD))],
        "chunked with a tab": [head("Transfer-Encoding:\tx\tchunked") + chunked(GOOD)],
        "chunked in HTTP/1.0": [
            head(both).replace(b"HTTP/1.1", b"HTTP/1.0") + chunked(GOOD) + SMUGGLED
        ],
        "chunk size that is no number": [head(both) + b"xyz\r\n" + GOOD],
        "chunk size of 2^64": [head(both) + b"10000000000000000\r\n" + GOOD],
        "negative chunk size": [head(both) + b"-5\r\n" + GOOD],
        "chunk longer than it says": [head(both) + b"5\r\n" + GOOD + b"\r\n0\r\n\r\n"],
        "bare LF in chunks": [head(both) + b"%x\n" % len(GOOD) + GOOD + b"\n0\n\n"],
        "bare CR": [head(size).replace(b"\r\n", b"\r") + GOOD],
        "null byte in a header": [head(size, "X-A: a\x00b") + GOOD],
        "null byte in a name": [head(size, "X\x00A: b") + GOOD],
        "header without colon": [head(size, "nonsense") + GOOD],
        "header without name": [head(size, ": x") + GOOD],
        "space in a name": [head(size, "X A: b") + GOOD],
        "no host": [head(size).replace(b"Host: localhost\r\n", b"") + GOOD[:-1]],
        "no length": [head() + GOOD],
        "shorter than its length": [head("Content-Length: 100000") + GOOD],
        "longer than its length": [head("Content-Length: 10") + GOOD],
        "no content type": [post("/predict", GOOD).replace(b"Content-Type: ", b"X-Type: ")],
        "two content types": [head(size, "Content-Type: text/plain") + GOOD],
        "wrong content type": [post("/predict", GOOD, "text/plain")],
        "form content type": [post("/predict", GOOD, "application/x-www-form-urlencoded")],
        "multipart content type": [post("/predict", GOOD, "multipart/form-data; boundary=x")],
        "content type of a megabyte": [post("/predict", GOOD, "a" * 1_000_000)],
        "gzip": [post("/predict", gzip.compress(GOOD), "application/json", _encoded("gzip"))],
        "gzip bomb": [post("/predict", _bomb(31), "application/json", _encoded("gzip"))],
        "deflate bomb": [post("/predict", _bomb(15), "application/json", _encoded("deflate"))],
        "brotli that is none": [post("/predict", GOOD[:-1], "application/json", _encoded("br"))],
        "GET": [head(size, method="GET") + GOOD],
        "DELETE": [head(method="DELETE")],
        "TRACE": [head(method="TRACE")],
        "CONNECT": [head(method="CONNECT", path="localhost:80")],
        "unknown method": [head(method="BREW")],
        "lower-case method": [head(size, method="post") + GOOD],
        "method of a megabyte": [head(method="A" * 1_000_000)],
        "empty method": [head(method="")],
        "no version": [b"POST /predict\r\n\r\n"],
        "HTTP/0.9": [b"GET /\r\n"],
        "HTTP/1.2": [head(size).replace(b"HTTP/1.1", b"HTTP/1.2") + GOOD[:-1]],
        "HTTP/2": [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 40],
        "HTTP/9.9": [head(size).replace(b"HTTP/1.1", b"HTTP/9.9") + GOOD],
        "TLS": [bytes.fromhex("16030100c8010000c40303") + bytes(190)],
        "SSH": [b"SSH-2.0-OpenSSH_9.9\r\n" + bytes(100)],
        "SMTP": [b"EHLO localhost\r\nMAIL FROM:<a@b>\r\n\r\n"],
        "random bytes": [bytes((7 * n * n + 13) % 256 for n in range(5000)) + b"\r\n\r\n"],
        "null bytes": [bytes(5000)],
        "path of a megabyte": [head(path="/" + "a" * 1_000_000)],
        "query of a megabyte": [head(path="/predict?" + "a" * 1_000_000)],
        "path with spaces": [head(path="/pre dict")],
        "path with a null byte": [head(path="/predict%00")],
        "path that is no UTF-8": [head(path="/%ff%fe")],
        "raw bytes in the path": [head(path="/\xff\xfe")],
        "bad percent": [head(path="/%zz")],
        "up and up": [head(path="/../../../../etc/passwd", method="GET")],
        "up, encoded": [head(path="/%2e%2e/%2e%2e/etc/passwd", method="GET")],
        "double slash": [head(size, path="//predict") + GOOD],
        "other case": [head(size, path="/PREDICT") + GOOD],
        "star": [head(path="*", method="OPTIONS")],
        "no path": [head(path="")],
        "header of a megabyte": [head(size, "X-A: " + "a" * 1_000_000) + GOOD[:-1]],
        "10 000 headers": [head(*(f"X-{number}: x" for number in range(10_000)))],
        "100 000 headers": [head(*(f"X-{number}: x" for number in range(100_000)))],
        "100 000 empty lines": [b"\r\n" * 100_000 + head()],
        "websocket": [
            b"GET /predict HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        ],
        "expect something else": [head(size, "Expect: the-unexpected") + GOOD[:-1]],
        "key of other bytes": [head(size, "X-API-Key: \xff\xfe\xe9") + GOOD[:-1]],
    }
    # Java's client and `curl --http2` ask for it with each request over plain HTTP.
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA")
    found.append(Exchange("h2c upgrade", [head(size, *offer) + GOOD], (200,), 1, 1))
    offer = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    found.append(Exchange("websocket upgrade", [head(size, *offer) + GOOD], (200,), 1, 1))
    single = ("longer than its length", "null bytes")  # what is left over is a request of its own
    found += [
        Exchange(
            name,
            pieces,
            (*REFUSED, 403) + ((200,) if name in _MAY_PASS else ()),
            2 if name in single else 1,
        )
        for name, pieces in refused.items()
    ]
    return found


# Servers may read these generously; they must only not read one request as two.
_MAY_PASS = frozenset(
    {
        "length and chunks",
        "chunks and length",
        "bare LF in chunks",
        "folded length",
        "chunked in HTTP/1.0",
        "two content types",
        "gzip, chunked",
        "header without name",
    }
)


def _encoded(name: str) -> str:
    return f"Content-Encoding: {name}"


def _bomb(window: int) -> bytes:
    """A gigabyte of zeros in a megabyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    block = bytes(10_000_000)
    return b"".join(packer.compress(block) for _ in range(100)) + packer.flush()
