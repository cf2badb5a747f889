"""What a person does on Airflow's pages, in a real browser."""

import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTH, HEIGHT = 1280, 860
PAGE_SECONDS = 60


class AirflowPages:
    """A person who has signed in.

    Args:
        page: Of a browser.
        url: Airflow's.
    """

    def __init__(self, page: "Page", url: str) -> None:
        self._page, self._url = page, url

    def sign_in(self, user: str, password: str) -> None:
        """Fill in the form that a stranger is sent to."""
        page = self._page
        page.goto(f"{self._url}/dags")
        page.locator("input[name=username]").fill(user)
        page.locator("input[name=password]").fill(password)
        page.locator("button[type=submit]").click()
        page.get_by_test_id("nav-dags-link").wait_for()

    def trigger(self, dag_id: str, values: Mapping[str, str], picture: Path | None = None) -> str:
        """Start a run by the form with these parameters; its id."""
        page = self._page
        page.goto(f"{self._url}/dags/{dag_id}")
        page.get_by_test_id("trigger-dag-button").click()
        dialog = page.get_by_role("dialog")
        for name, value in values.items():
            dialog.locator(f"input[name=element_{name}]").fill(value)
        if picture:
            page.screenshot(path=picture)
        dialog.get_by_role("button", name="Trigger", exact=True).click()
        page.wait_for_url("**/runs/*")
        return unquote(page.url.rpartition("/")[2])

    def watch(self, dag_id: str, run_id: str, seconds: float, picture: Path | None = None) -> str:
        """Look at a run's page, which is not loaded anew, until it says how the run ended."""
        page = self._page
        self._open(f"dags/{dag_id}/runs/{quote(run_id)}")
        badge = page.get_by_test_id("header-card").get_by_test_id("state-badge")
        deadline = time.monotonic() + seconds
        while (said := badge.inner_text().strip()) not in ("Success", "Failed"):
            assert time.monotonic() < deadline, f"the page says {said!r}"
            page.wait_for_timeout(500)
        if picture:
            page.screenshot(path=picture)
        return said

    def log_of(self, dag_id: str, run_id: str, task: str, picture: Path | None = None) -> str:
        """What a task's page says of it."""
        page = self._page
        self._open(f"dags/{dag_id}/runs/{quote(run_id)}/tasks/{task}")
        page.get_by_test_id("virtualized-list").get_by_text("Post Execute").wait_for()
        if picture:
            page.screenshot(path=picture)
        return page.get_by_test_id("virtualized-list").inner_text()

    def _open(self, path: str) -> None:
        if unquote(self._page.url) != unquote(f"{self._url}/{path}"):
            self._page.goto(f"{self._url}/{path}")


@contextmanager
def airflow_pages(url: str, password: str) -> Iterator[AirflowPages | None]:
    """The pages of a running Airflow, for its administrator; None, with a warning, where none is.

    Args:
        url: Airflow's.
        password: The administrator's.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        warnings.warn("No Chromium here: Airflow's pages were not looked at", stacklevel=3)
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.set_default_timeout(PAGE_SECONDS * 1000)
            pages = AirflowPages(page, url)
            pages.sign_in("admin", password)
            yield pages
        finally:
            browser.close()
