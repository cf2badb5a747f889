"""The page at `/` and the reference: in a real browser over a real server, and as documents."""

import html
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from goldpath.contract import Contract, parse_contract
from goldpath.serving.pages.home import page_headers, render_page
from goldpath.serving.schemas import example_features

from .conftest import MakeClient, until
from .examples import contract_of
from .page_looks import PHONE, looks_of
from .running_service import RunningService, project_with_champion, running
from .test_metrics import DRIFT, write_reports

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CONTRACT = contract_of("binary")
ROW = example_features(CONTRACT)
KEY = "a-key-of-a-test-run"
HOSTILE = "</script><img src=x onerror=alert(1)>\"'"


# --- as a document ---


class Elements(HTMLParser):
    """Every element of a document, with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def of(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.found if tag in tags]


def hostile_contract() -> Contract:
    text = """
dataset: small
source: {path: rows.csv}
problem: classification
target: {column: left, classes: ['<b>', 'yes']}
features:
  - {name: NAME, type: number, description: NAME}
  - {name: kind, type: category, categories: [NAME, b]}
"""
    return parse_contract(text.replace("NAME", json.dumps(HOSTILE)))


def test_every_value_of_the_contract_is_escaped() -> None:
    harmless = Elements(render_page(CONTRACT, needs_key=False))
    elements = Elements(render_page(hostile_contract(), needs_key=False))

    assert {tag for tag, _ in elements.found} == {tag for tag, _ in harmless.found}
    assert elements.of("img") == []
    first = elements.of("input")[1]  # the first one is the key's
    assert first["data-name"] == HOSTILE
    assert HOSTILE in [option["value"] for option in elements.of("option")]


def test_the_form_says_what_the_contract_says() -> None:
    elements = Elements(render_page(CONTRACT, needs_key=False))
    inputs = elements.of("input", "select")
    fields = {item["data-name"]: item for item in inputs if "data-name" in item}

    assert list(fields) == list(CONTRACT.feature_names)
    assert (fields["class"]["min"], fields["class"]["max"]) == ("-1.5", "1000")
    assert (fields["2nd call"]["step"], fields["2nd call"]["type"]) == ("1", "number")
    assert "min" not in fields["schema"]
    assert "data-nullable" in fields["schema"]
    assert "data-nullable" not in fields["class"]
    assert fields["free text"]["maxlength"] == "200"
    options = [option["value"] for option in elements.of("option")]
    assert {"month-to-month", "two years", "1", "true", "false", "north", ""} <= set(options)
    labels = {label["for"] for label in elements.of("label")}
    assert {item["id"] for item in fields.values()} <= labels
    for item in fields.values():
        assert item["aria-describedby"] == f"{item['id']}-hint {item['id']}-error"


def test_the_form_asks_whom_window_features_are_looked_up_of() -> None:
    contract = CONTRACT.model_copy(update={"entity": "client"})
    elements = Elements(render_page(contract, needs_key=False, looked_up=["paid_total_30d"]))
    (asked,) = [item for item in elements.of("input") if "data-key" in item]
    assert (asked["id"], asked["data-key"]) == ("entity", "client")
    assert "entity" in [label["for"] for label in elements.of("label")]
    without = Elements(render_page(contract, needs_key=False))
    assert not [item for item in without.of("input") if "data-key" in item]


@pytest.mark.parametrize("path", ["/", "/reference"])
def test_pages_load_nothing_and_run_only_what_they_hold(make_client: MakeClient, path: str) -> None:
    answer = make_client().get(path)

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    elements = Elements(answer.text)
    assert not [item for item in elements.of("script", "img", "iframe") if "src" in item]
    icons = [item["href"] for item in elements.of("link")]
    assert all(icon.startswith("data:") for icon in icons)
    assert not [item for _, item in elements.found if "style" in item or "onclick" in item]
    assert "@import" not in answer.text
    assert not re.search(r"[\s:]url\(", answer.text)
    links = [item["href"] for item in elements.of("a")]
    assert not [link for link in links if ":" in link or link.startswith("//")]


def test_policy_names_script_and_style_by_their_hashes(make_client: MakeClient) -> None:
    import base64
    import hashlib

    text = make_client().get("/").text
    policy = page_headers()["Content-Security-Policy"]

    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "script-src" not in page_headers(script=False)["Content-Security-Policy"]


def test_reference_lists_every_route_with_a_call_that_the_service_takes(
    make_client: MakeClient,
) -> None:
    client = make_client()
    openapi = client.get("/openapi.json").json()

    text = client.get("/reference").text

    for path in openapi["paths"]:
        assert f"<code>{html.escape(path)}</code>" in text
    calls = map(html.unescape, re.findall(r'<pre tabindex="0"><code>(.*?)</code>', text, re.DOTALL))
    call = next(line for line in calls if line.split(" \\\n")[0].endswith("/predict"))
    body = json.loads(re.search(r"-d '(.*)'", call, re.DOTALL).group(1))  # type: ignore[union-attr]
    assert client.post("/predict", json=body).status_code == 200
    for feature in CONTRACT.feature_names:
        assert f"<code>{html.escape(feature)}</code>" in text


# --- in a browser ---


@dataclass
class Visit:
    """A page that is open, and what the browser had to say.

    Attributes:
        page: Playwright's.
        requests: Every URL that was asked for.
        complaints: Errors and warnings of the console, but for answers that are no 200.
    """

    page: "Page"
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("page")
    project_with_champion(root, family="linear")
    write_reports(root, drift=DRIFT)
    return root


@pytest.fixture(scope="module")
def service(project: Path) -> Iterator[RunningService]:
    with running(project) as service:
        yield service


@contextmanager
def visit(
    browser: "Browser", service: RunningService, path: str = "/", **options: Any
) -> Iterator[Visit]:
    context = browser.new_context(**options)
    visited = Visit(context.new_page())

    def note(message: Any) -> None:
        if message.type in ("error", "warning") and "status of 4" not in message.text:
            visited.complaints.append(message.text)

    visited.page.on("console", note)
    visited.page.on("pageerror", lambda error: visited.complaints.append(str(error)))
    visited.page.on("request", lambda request: visited.requests.append(request.url))
    visited.page.goto(service.url + path)
    try:
        yield visited
    finally:
        context.close()


def shown_number(page: "Page", name: str) -> int:
    text = page.inner_text(f"#{name}").replace(",", "")
    return int(text) if text.isdigit() else -1


def field_of(page: "Page", name: str) -> Any:
    return page.locator(f'[data-name="{name}"]')


@pytest.mark.slow
def test_the_form_predicts_what_the_api_answers(
    browser: "Browser", service: RunningService
) -> None:
    with visit(browser, service) as visited:
        page = visited.page
        field_of(page, "class").fill("12.5")
        field_of(page, "2nd call").fill("7")
        field_of(page, "schema").fill("")
        field_of(page, "field_0").select_option("two years")
        field_of(page, "free text").fill('it\'s <b>"quoted"</b>')
        field_of(page, "copy").select_option("missing")
        page.click("#predict")
        page.wait_for_selector("#answer", state="visible")
        shown = json.loads(page.inner_text("#raw", timeout=5000) or page.text_content("#raw") or "")
        percentages = page.locator("#probabilities li span").all_inner_texts()
        curl = page.text_content("#curl") or ""

    row = ROW | {"class": 12.5, "2nd call": 7, "schema": None, "field_0": "two years",
                 "free text": "it's <b>\"quoted\"</b>", "copy": None}  # fmt: skip
    expected = httpx.post(f"{service.url}/predict", json={"features": row}).json()
    assert shown["prediction"] == expected["prediction"]
    assert shown["probabilities"] == expected["probabilities"]
    assert shown["prediction_id"] != expected["prediction_id"]
    assert percentages == [f"{100 * share:.1f} %" for share in expected["probabilities"].values()]
    assert json.loads(curl.partition("-d '")[2][:-1].replace("'\\''", "'")) == {"features": row}
    assert visited.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "large", "facts"),
    [
        (
            {"prediction": "yes", "decision": "unsure", "threshold": 0.5},
            "unsure",
            {"without the band": "yes", "threshold": "0.5"},
        ),
        (
            {"prediction": "yes", "decision": "yes", "threshold": 0.3},
            "yes",
            {"threshold": "0.3"},
        ),
        (
            {"prediction": 12.5, "lower": 9.25, "upper": 15.75, "interval": 0.9},
            "12.5",
            {"interval": "9.25 to 15.75 (level 0.9)"},
        ),
        ({"prediction": "no"}, "no", {}),
    ],
)
def test_the_form_shows_the_decision_and_the_interval(
    browser: "Browser",
    service: RunningService,
    answer: dict[str, Any],
    large: str,
    facts: dict[str, str],
) -> None:
    with visit(browser, service) as visited:
        page = visited.page
        page.route("**/predict", lambda route: route.fulfill(json={"model_name": "m", **answer}))
        page.click("#predict")
        page.wait_for_selector("#answer", state="visible")
        names = page.locator("#answer-facts dt").all_inner_texts()
        values = page.locator("#answer-facts dd").all_inner_texts()

        assert page.inner_text("#prediction") == large
        assert dict(zip(names, values, strict=True)) == {**facts, "model": "m"}
    assert visited.complaints == []


@pytest.mark.slow
def test_a_refusal_stands_next_to_its_field(browser: "Browser", service: RunningService) -> None:
    with visit(browser, service) as visited:
        page = visited.page
        page.locator('[data-name="class"]').fill("5000")
        page.locator('[data-name="2nd call"]').fill("")
        page.click("#predict")
        page.wait_for_selector("#alert", state="visible")
        wrong = field_of(page, "class")
        name = wrong.get_attribute("id")
        error = page.inner_text(f"#{name}-error")
        focused = page.evaluate("document.activeElement.dataset.name")
        missing = page.inner_text(f"#{field_of(page, '2nd call').get_attribute('id')}-error")
        marked = page.locator("[aria-invalid=true]").count()
        wrong.fill("5")
        field_of(page, "2nd call").fill("3")
        page.keyboard.press("Enter")
        page.wait_for_selector("#answer", state="visible")
        left = page.locator("[aria-invalid=true]").count()

    assert "less than or equal to 1000" in error
    assert "from -1.5 to 1000" in error
    assert focused == "class"
    assert "is missing" in missing
    assert (marked, left) == (2, 0)
    assert visited.complaints == []


@pytest.mark.slow
def test_traffic_and_drift_are_drawn_and_move(browser: "Browser", service: RunningService) -> None:
    with visit(browser, service) as visited:
        page = visited.page
        until(lambda: shown_number(page, "requests") >= 0)
        before = shown_number(page, "requests")
        for _ in range(25):
            httpx.post(f"{service.url}/predict", json={"features": ROW})
        until(lambda: shown_number(page, "requests") >= before + 25)
        latencies = page.inner_text("#p50"), page.inner_text("#p99")
        versions = page.inner_text("#versions")
        verdict, columns = page.inner_text("#verdict"), page.inner_text("#columns")
        points = page.get_attribute("#rate-chart polyline", "points")
        described = page.get_attribute("#latency-chart", "aria-label")

    assert all(re.fullmatch(r"[\d.]+ (µs|ms)", each) for each in latencies)
    assert "version 1 (champion)" in versions
    assert "100.0 %" in versions
    assert verdict == "drift"
    assert "class (drifted)" in columns
    assert points
    assert described is not None
    assert "99 % below" in described
    assert visited.complaints == []


@pytest.mark.slow
def test_the_model_is_described(browser: "Browser", service: RunningService) -> None:
    with visit(browser, service) as visited:
        page = visited.page
        page.wait_for_selector("#model", state="visible")
        state, model = page.inner_text("#state"), page.inner_text("#model")
        page.click("#card-box summary")
        until(lambda: bool(page.inner_text("#card")))
        card = page.inner_text("#card")

    assert state == "version 1 serves"
    assert "compiled" in model
    assert "has no model card" in card  # this registry's run logged none
    assert visited.complaints == []


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/reference"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_readable_on_a_phone(
    browser: "Browser", service: RunningService, path: str, scheme: str
) -> None:
    with visit(browser, service, path, viewport=PHONE, color_scheme=scheme) as visited:
        page = visited.page
        if path == "/":
            page.click("#predict")
            page.wait_for_selector("#answer", state="visible")
        for summary in page.locator("summary").all():
            summary.click()
        looks = looks_of(page)
        small = page.evaluate(
            "[...document.querySelectorAll('input, select, button')].filter(each =>"
            " each.offsetParent && each.getBoundingClientRect().height < 40).length"
        )

    assert looks.too_wide == []
    assert looks.page_width <= looks.screen_width == 390
    assert small == 0
    assert looks.contrast >= 4.5, "text must stand out from what is behind it (WCAG AA)"
    assert visited.complaints == []


@pytest.mark.slow
def test_no_request_leaves_the_origin(browser: "Browser", service: RunningService) -> None:
    with visit(browser, service) as visited:
        visited.page.click("#predict")
        visited.page.wait_for_selector("#answer", state="visible")
        visited.page.goto(f"{service.url}/reference")

    assert len(visited.requests) > 3
    foreign = [url for url in visited.requests if not url.startswith((service.url, "data:"))]
    assert foreign == []


@pytest.mark.slow
def test_the_page_is_used_with_the_keyboard_alone(
    browser: "Browser", service: RunningService
) -> None:
    with visit(browser, service) as visited:
        page = visited.page
        reached = []
        for _ in range(40):
            page.keyboard.press("Tab")
            reached.append(
                page.evaluate("document.activeElement.dataset.name || document.activeElement.id")
            )
            if reached[-1] == "predict":
                break
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        page.keyboard.press("Enter")
        page.wait_for_selector("#answer", state="visible")
        unnamed = page.evaluate(
            "[...document.querySelectorAll('input, select')]"
            ".filter(each => !each.labels.length).length"
        )

    assert [name for name in reached if name in CONTRACT.feature_names] == list(
        CONTRACT.feature_names
    )
    assert outline == "solid"
    assert unnamed == 0


@pytest.mark.slow
def test_where_a_key_is_needed_a_person_enters_it(browser: "Browser", project: Path) -> None:
    with (
        running(project, MLOPS_SERVING__API_KEY=KEY) as service,
        visit(browser, service) as visited,
    ):
        page = visited.page
        page.wait_for_selector("#key", state="visible")
        asked = [url for url in visited.requests if "metrics" in url]
        page.click("#predict")
        page.wait_for_selector("#alert", state="visible")
        refused = page.inner_text("#alert")
        page.fill("#key-value", KEY)
        page.keyboard.press("Enter")
        page.wait_for_selector("#live", state="visible")
        page.click("#predict")
        page.wait_for_selector("#answer", state="visible")
        curl = page.text_content("#curl") or ""
        kept = page.evaluate(
            "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location])"
        )
        page.reload()
        page.wait_for_selector("#key", state="visible")
        after = page.input_value("#key-value")

    assert asked == []
    assert "X-API-Key is missing" in refused
    assert "$API_KEY" in curl
    assert KEY not in curl + kept
    assert after == ""
    assert visited.complaints == []
