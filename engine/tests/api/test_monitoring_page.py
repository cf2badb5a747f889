"""The monitoring page in a real browser: at a desk and on a phone, and where its links lead."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from goldpath.contract import load_contract
from goldpath.monitor.server import MonitorServer
from goldpath.settings import Settings, load_settings

from ..conftest import make_project
from ..page_samples import samples
from ..ports import free_port
from .page_looks import OVERLAPS, PHONE, looks_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, ViewportSize

pytestmark = pytest.mark.slow

DESK: "ViewportSize" = {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MonitorServer]:
    """The page of a project that has reports and a drift verdict, and no registry."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PROMETHEUS", "ALERTMANAGER"):
            patch.setenv(f"MLOPS_MONITORING__{name}_PORT", str(free_port()))
        make_project(root := tmp_path_factory.mktemp("shown"))
        settings: Settings = load_settings(root)
    pages = samples()
    (settings.reports / "drift").mkdir(parents=True)
    for name in ("data", "validation", "automl"):
        text = pages[name].render(pages[name].values)
        (settings.reports / f"{name}.html").write_text(text, encoding="utf-8")
    (settings.reports / "model_card.md").write_text("# A card\n", encoding="utf-8")
    state = pages["monitor"].values.drift[0].value.model_dump(mode="json")
    (settings.reports / "drift" / "service.json").write_text(json.dumps(state))
    with MonitorServer(settings, load_contract(root)) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_too_wide_or_covered(
    browser: "Browser", server: MonitorServer, size: "ViewportSize", scheme: str
) -> None:
    context = browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(server.url)
    for details in page.locator("details").all():
        details.evaluate("each => each.open = true")
    looks, covered = looks_of(page), page.evaluate(OVERLAPS)
    newest = page.locator("td.drift").last.bounding_box()
    name = page.locator(".heat th").first.bounding_box()
    context.close()

    assert looks.too_wide == []
    assert looks.page_width <= looks.screen_width == size["width"]
    assert looks.contrast >= 4.5
    assert covered == []
    assert [url for url in requests if not url.startswith(server.url)] == []
    assert newest is not None
    assert name is not None
    assert 0 <= name["x"] < newest["x"] <= size["width"] - 20, "the newest window is in view"


def test_links_lead_to_the_reports(browser: "Browser", server: MonitorServer) -> None:
    page: Page = browser.new_page()
    page.goto(server.url)
    links = page.locator(".reports a")
    names = [link.get_attribute("href") for link in links.all()]

    statuses = {}
    for name in names:
        page.goto(server.url)
        with page.expect_navigation() as navigation:
            page.locator(f'.reports a[href="{name}"]').click()
        statuses[name] = navigation.value.status if navigation.value else None
    page.close()

    assert statuses == {
        "reports/data.html": 200,
        "reports/validation.html": 200,
        "reports/automl.html": 200,
        "reports/model_card.md": 200,
    }


def test_squares_say_what_they_stand_for(browser: "Browser", server: MonitorServer) -> None:
    page = browser.new_page()
    page.goto(server.url)
    hover = page.locator("td.drift").last.get_attribute("title")
    made = page.locator("header .soft").first.inner_text()
    page.close()

    assert hover is not None
    assert hover.startswith("charges_0, ")
    assert hover.endswith("1.300, counts from 0.100: drift")
    assert made.startswith(f"{datetime.now(UTC):%Y-%m-%d}")
