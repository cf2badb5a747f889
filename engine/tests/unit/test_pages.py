"""All pages: made from templates alone, whole by themselves, and safe whatever the data says."""

import ast
import dataclasses
import html
import json
import re
from collections.abc import Mapping
from enum import Enum
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jinja2
import pytest
from pydantic import BaseModel

import goldpath
from goldpath.jobs.data import page as data_page
from goldpath.jobs.privacy.person import pages_with
from goldpath.pages.documents import environment, render, style_hash, stylesheet
from goldpath.reports import write_text
from goldpath.settings import Settings

from ..page_samples import OPENAPI, Sample, frame_of, samples

SAMPLES = samples()
SERVED = ("service.html", "reference.html")
PARTS = {"base.html", "site.html", "parts.html", "charts.html"}
HOSTILE = (
    "</style></title></script></textarea><script>alert(1)</script><img src=x onerror=alert(1)>"
    "\"' onload='alert(1)' {{ 7 * 7 }} {% raw %} {# } <!-- --> ]]> &lt; & <b>"
)
VOID = {"meta", "link", "input", "br"}
# What decides how a page is drawn, and is no text from the data.
DECIDING = {
    "type",
    "kind",
    "verdict",
    "tables",
    "calibration",
    "state",
    "aliases",
    "by_source",
    "gate",
}
OPENAPI_TEXTS = {"title", "description", "name", "enum", "required", "tags"}


class Document(HTMLParser):
    """The elements of a page, each with its attributes, and whether all are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag} repeats an attribute"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def structure(self) -> list[tuple[str, list[str]]]:
        return [(tag, list(attributes)) for tag, attributes in self.elements]

    @property
    def values(self) -> list[str]:
        return [value for _, attributes in self.elements for value in attributes.values()]


def hostile(value: Any) -> Any:
    """The value with hostile text behind every text in it that comes from data."""
    if isinstance(value, str) and not isinstance(value, Enum):
        if not value:  # such as a store that has no problem
            return value
        # Behind a backtick, too: what stands between two of them is drawn as code.
        return value.replace("`", "`" + HOSTILE, 1) + HOSTILE
    if isinstance(value, BaseModel):
        fields = {name: getattr(value, name) for name in type(value).model_fields}
        return value.model_copy(update=_hostile_fields(fields))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
        return dataclasses.replace(value, **_hostile_fields(fields))
    if isinstance(value, Mapping):
        return {hostile(key): hostile(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(hostile, value))
    return value


def _hostile_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: hostile(item) for name, item in fields.items() if name not in DECIDING}


def hostile_openapi(node: Any, key: str = "") -> Any:
    """An OpenAPI document with hostile names and texts, and the structure that it had."""
    if isinstance(node, str):
        return hostile(node) if key in OPENAPI_TEXTS and node != "predictions" else node
    if isinstance(node, list):
        return [hostile_openapi(item, key) for item in node]
    if not isinstance(node, dict):
        return node
    if key == "examples":
        return hostile(node)
    rename = key in ("paths", "properties", "responses")
    return {
        hostile(name) if rename else name: hostile_openapi(item, name)
        for name, item in node.items()
    }


def attacked(sample: Sample) -> Any:
    return hostile_openapi(OPENAPI) if sample.values is OPENAPI else hostile(sample.values)


def test_every_template_is_rendered_by_these_tests() -> None:
    assert {sample.template for sample in SAMPLES.values()} | PARTS == set(
        environment().list_templates()
    )


@pytest.mark.parametrize("name", SAMPLES)
def test_template_finds_every_value_that_it_asks_for(name: str) -> None:
    page = Document(SAMPLES[name].render(SAMPLES[name].values))
    assert page.open == []
    assert [tag for tag, _ in page.elements[:3]] == ["html", "head", "meta"]
    assert {"header", "main", "footer", "h1"} <= {tag for tag, _ in page.elements}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_value_that_is_missing_is_an_error() -> None:
    for template in {sample.template for sample in SAMPLES.values()}:
        with pytest.raises(jinja2.UndefinedError):
            render(template)


@pytest.mark.parametrize("name", SAMPLES)
def test_hostile_text_stays_text(name: str) -> None:
    sample = SAMPLES[name]
    plain, changed = (Document(sample.render(each)) for each in (sample.values, attacked(sample)))

    assert changed.structure == plain.structure
    assert changed.open == []
    texts = "".join(changed.text) + "".join(changed.values)
    assert texts.count(HOSTILE) >= 1


@pytest.mark.parametrize("name", SAMPLES)
def test_every_text_of_the_data_is_escaped(name: str) -> None:
    sample = SAMPLES[name]
    plain, changed = (sample.render(each) for each in (sample.values, attacked(sample)))
    for piece in ("<script", "</style", "</title", "</script", "<img", "<!--"):
        assert changed.count(piece) == plain.count(piece), piece
    assert changed.count("<style>") == 1
    assert stylesheet() in changed
    # Hostile text that was cut short, in a table or a tooltip, is escaped, too.
    assert html.escape("</style></title>") in changed


@pytest.mark.parametrize("name", SAMPLES)
def test_page_is_one_file_that_loads_nothing(name: str) -> None:
    text = SAMPLES[name].render(SAMPLES[name].values)
    page = Document(text)
    served = SAMPLES[name].template in SERVED

    assert not [attributes for _, attributes in page.elements if "src" in attributes]
    assert not [attributes for _, attributes in page.elements if "style" in attributes]
    assert not [name for _, attributes in page.elements for name in attributes if name[:2] == "on"]
    assert "@import" not in text
    assert not re.search(r"[\s:]url\(", text)
    links = [attributes["href"] for _, attributes in page.elements if "href" in attributes]
    beside_it = {"monitor": ["data.html"]}  # the monitoring page leads to the other reports
    assert served or links == beside_it.get(name, [])
    assert not [link for link in links if "//" in link.removeprefix("data:image/svg+xml")[:9]]
    scripts = [tag for tag, _ in page.elements if tag == "script"]
    assert len(scripts) == (SAMPLES[name].template == "service.html")


@pytest.mark.parametrize("name", SAMPLES)
def test_report_carries_a_policy_that_allows_its_own_style_only(name: str) -> None:
    page = Document(SAMPLES[name].render(SAMPLES[name].values))
    policies = [item["content"] for tag, item in page.elements if "http-equiv" in item]
    if SAMPLES[name].template in SERVED:
        assert policies == []  # theirs is in the answer's headers
        return
    (policy,) = policies
    assert policy.startswith("default-src 'none'; ")
    assert not re.search(r"https?:|\*|'self'", policy)
    if SAMPLES[name].template == "drift.html":
        (frame,) = [attributes for tag, attributes in page.elements if tag == "iframe"]
        assert frame["sandbox"] == "allow-scripts"
        assert frame["srcdoc"] == frame_of(SAMPLES[name].values)
    else:
        assert "unsafe" not in policy
        assert style_hash() in policy


def test_templates_trust_only_what_goldpath_ships() -> None:
    folder = Path(goldpath.__file__).parent / "pages" / "templates"
    trusted = {
        found
        for file in folder.glob("*.html")
        for found in re.findall(r"{{ ([^}]*?) \| safe", file.read_text(encoding="utf-8"))
    }
    assert trusted == {"stylesheet()", "script"}
    assert "autoescape" not in "".join(file.read_text() for file in folder.glob("*.html"))


def test_no_python_code_holds_markup() -> None:
    markup = re.compile(r"</?(html|head|body|div|span|p|table|tr|td|th|ul|li|svg|h[1-6])\b[^>]*>")
    source = Path(goldpath.__file__).parent
    found = [
        f"{file.relative_to(source)}:{node.lineno}"
        for file in source.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        and markup.search(node.value)
    ]  # fmt: skip
    assert found == []


def test_reference_shows_code_between_paired_backticks_only() -> None:
    text = SAMPLES["reference"].render(OPENAPI)
    assert "<p>Answers with a <code>prediction</code>; an unpaired ` stays.</p>" in text


def test_call_in_the_reference_survives_a_shell() -> None:
    import shlex

    page = SAMPLES["reference"].render(hostile_openapi(OPENAPI))
    calls = map(html.unescape, re.findall(r'<pre tabindex="0"><code>(.*?)</code>', page, re.DOTALL))
    words = shlex.split(next(call for call in calls if " -d " in call))
    assert json.loads(words[words.index("-d") + 1]) == {
        "features" + HOSTILE: {"note" + HOSTILE: "it's fine" + HOSTILE}
    }


def test_person_is_found_on_a_page_that_escapes_the_id(project: Settings) -> None:
    person = "O'Neil & <sons>"
    lake = SAMPLES["data"].values
    page = data_page.render_page(dataclasses.replace(lake, reasons={f"id {person}: is twice": 1}))
    write_text(project.reports / "data.html", page)
    write_text(project.reports / "drift.html", SAMPLES["drift"].render(SAMPLES["drift"].values))
    assert person not in page
    assert [file.name for file in pages_with(project, person)] == ["data.html"]
