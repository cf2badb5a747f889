"""The reports in a real browser: readable on a phone, by day and by night, and silent."""

from typing import TYPE_CHECKING

import pytest

from ..page_samples import samples
from .page_looks import PHONE, looks_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPORTS = {name: each for name, each in samples().items() if "service" not in name}


@pytest.mark.slow
@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report_is_readable_on_a_phone(browser: "Browser", name: str, scheme: str) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.set_content(REPORTS[name].render(REPORTS[name].values))
    looks = looks_of(page)
    context.close()

    assert looks.too_wide == []
    assert looks.page_width <= looks.screen_width == 390
    assert looks.contrast >= 4.5, "text must stand out from what is behind it (WCAG AA)"
    assert complaints == []
    assert [url for url in requests if not url.startswith(("data:", "about:"))] == []
