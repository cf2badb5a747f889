"""Fixtures of the service's tests."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .examples import Shelf, TestClient, client_of, settings_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MakeClient = Callable[..., TestClient]


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One service over a binary model, for the tests that only ask it."""
    with pytest.MonkeyPatch.context() as patch:
        settings = settings_of(tmp_path_factory.mktemp("served"), patch)
    with client_of(settings, "binary") as client:
        until(lambda: client.get("/ready").status_code == 200)
        yield client


@pytest.fixture
def make_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeClient]:
    """Starts a service over a model; waits until it serves, unless the shelf is empty."""
    with ExitStack() as clients:

        def start(
            problem: str = "binary", shelf: Shelf | None = None, **serving: object
        ) -> TestClient:
            settings = settings_of(tmp_path, monkeypatch, **serving)
            client = clients.enter_context(client_of(settings, problem, shelf))
            if shelf is None or shelf.champion:
                until(lambda: client.get("/ready").status_code == 200)
            return client

        yield start


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium on this machine (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as started:
        running_browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running_browser
        running_browser.close()


def until(holds: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
