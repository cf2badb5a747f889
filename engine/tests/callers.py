"""Who asks the service for access, at a time that the test sets."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from goldpath.serving.access.clients import Access
from goldpath.serving.access.roles import Client
from goldpath.serving.http.problem_error import ProblemError
from goldpath.settings import Settings, load_settings

KEY, TOKEN = b"x-api-key", b"authorization"
OWNERS = "correct-horse-battery"
SECONDS = 60.0
SHOP = Client("shop", frozenset({"predict"}))


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Request:
    """As much of a request as `authenticate` looks at."""

    def __init__(self, *headers: tuple[bytes, bytes]) -> None:
        # Copies, as a server makes them of what it reads.
        copies = [(bytes(bytearray(name)), bytes(bytearray(value))) for name, value in headers]
        self.scope = {"headers": [(b"host", b"x"), *copies]}


MakeAccess = Callable[..., Access]


def accesses(
    project: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakeAccess]:
    """Makes an `Access` whose thread does not run by itself; `variables` are of the section."""
    made: list[Access] = []

    def make(key: str = "", **variables: str) -> Access:
        monkeypatch.setenv("MLOPS_ACCESS__CACHE_SECONDS", str(SECONDS))
        if key:
            monkeypatch.setenv("MLOPS_SERVING__API_KEY", key)
        for name, value in variables.items():
            monkeypatch.setenv(f"MLOPS_ACCESS__{name.upper()}", value)
        made.append(Access(load_settings(project.root), clock))
        made[-1]._stopped.set()
        return made[-1]

    yield make
    for access in made:
        access.close()


def ask(access: Access, *headers: tuple[bytes, bytes], role: str = "predict") -> Client:
    return asyncio.run(access.authenticate(Request(*headers), role))  # type: ignore[arg-type]


def refusal(access: Access, *headers: tuple[bytes, bytes], role: str = "predict") -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        ask(access, *headers, role=role)
    return caught.value


def looks_up(access: Access, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[bytes]:
    """Let look-ups give these, the last one for ever; returns what was looked up."""
    looked_up: list[bytes] = []

    def look_up(_header: bytes, value: bytes) -> tuple[Client | None, float]:
        looked_up.append(value)
        answer = answers[min(len(looked_up), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        found: tuple[Client | None, float] = answer
        return found

    monkeypatch.setattr(access, "_look_up", look_up)
    return looked_up
