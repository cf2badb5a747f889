"""The API's reference as a plain page, from its OpenAPI document: no script, no other origin.

In development `/docs` loads Swagger's files from a CDN; this page also works where there is no way
out, and is what `/docs` shows in production.
"""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from goldpath.pages.documents import render

FIRST = "predictions"
METHODS = ("get", "post", "put", "patch", "delete")
JSON = "application/json"

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class FieldRow:
    """A parameter, or a field of an object: its name, whether it must be sent, what it may be."""

    name: str
    required: bool
    what: str


@dataclass(frozen=True)
class FieldTable:
    """The fields of an object; `name` is empty for the outermost one."""

    name: str
    rows: tuple[FieldRow, ...]


@dataclass(frozen=True)
class Body:
    """A form that a request's body may have; `name` is empty where there is only one."""

    name: str
    parts: tuple[FieldTable, ...]


@dataclass(frozen=True)
class Answer:
    """An answer of a route: its status, what it means, and the forms that it may have."""

    status: str
    what: str
    form: str


@dataclass(frozen=True)
class Route:
    """A path and a method, with a call that the service takes."""

    method: str
    path: str
    description: str
    parameters: tuple[FieldRow, ...]
    bodies: tuple[Body, ...]
    curl: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Section:
    """The routes of a tag."""

    name: str
    routes: tuple[Route, ...]


def render_reference(openapi: Schema, base_url: str, *, has_swagger: bool = True) -> str:
    """The page.

    Args:
        openapi: The app's document.
        base_url: Where the examples send their requests; ends with a slash.
        has_swagger: Whether `/docs` is Swagger's.
    """
    parts = openapi.get("components", {}).get("schemas", {})
    by_tag: dict[str, list[Route]] = {}
    for path, item in openapi["paths"].items():
        for method in METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["other"])[0]
                route = _route(method, path, item[method], parts, base_url)
                by_tag.setdefault(tag, []).append(route)
    info = openapi["info"]
    return render(
        "reference.html",
        title=info["title"],
        has_swagger=has_swagger,
        description=info.get("description", ""),
        sections=[
            Section(tag.capitalize(), tuple(by_tag[tag]))
            for tag in sorted(by_tag, key=lambda tag: tag != FIRST)
        ],
    )


def _route(method: str, path: str, route: Schema, parts: Schema, base_url: str) -> Route:
    content = route.get("requestBody", {}).get("content", {}).get(JSON)
    schema = content.get("schema", {}) if content else {}
    return Route(
        method=method.upper(),
        path=path,
        description=route.get("description", ""),
        parameters=tuple(
            FieldRow(
                f"{item['name']} ({item['in']})",
                item.get("required", False),
                _words(item.get("schema", {}), parts),
            )
            for item in route.get("parameters", ())
        ),
        bodies=tuple(
            Body(name, tuple(_tables("", form, parts))) for name, form in _forms(schema, parts)
        ),
        curl=_curl(method, path, content, parts, base_url),
        answers=tuple(
            _answer(str(status), answer, parts)
            for status, answer in route.get("responses", {}).items()
        ),
    )


def _tables(name: str, form: Schema, parts: Schema) -> Iterable[FieldTable]:
    """A table of an object's fields, and after it those of each object inside."""
    required = form.get("required", ())
    properties = form.get("properties", {})
    yield FieldTable(
        name,
        tuple(
            FieldRow(field, field in required, _words(item, parts))
            for field, item in properties.items()
        ),
    )
    for field, item in properties.items():
        for one in _one_of(_resolved(item, parts)) or [item]:
            inner = _resolved(one, parts)
            inner = _resolved(inner.get("items", inner), parts)
            if inner.get("properties"):
                yield from _tables(field, inner, parts)


def _curl(method: str, path: str, content: Schema | None, parts: Schema, base_url: str) -> str:
    words = ["curl", "-s"] + ([] if method == "get" else ["-X", method.upper()])
    line = f"{shlex.join(words)} {shlex.quote(base_url.rstrip('/') + path)}"
    if content:
        line += " \\\n  -H 'Content-Type: application/json'"
        example = _example(content.get("schema", {}), parts)
        if example is not None:
            line += f" \\\n  -d {shlex.quote(json.dumps(example, ensure_ascii=False))}"
    return line


def _answer(status: str, answer: Schema, parts: Schema) -> Answer:
    content = answer.get("content", {})
    names = {_title(kind.get("schema", {}), parts) for kind in content.values()} - {""}
    kinds = f"({', '.join(content)})" if content else ""
    return Answer(
        status, f"{answer.get('description', '')} {kinds}".strip(), ", ".join(sorted(names))
    )


def _forms(schema: Schema, parts: Schema) -> list[tuple[str, Schema]]:
    """The forms that a body may have: one, or those of a `oneOf`."""
    found = _resolved(schema, parts)
    if several := _one_of(found):
        return [(str(_resolved(one, parts).get("title", "")), _resolved(one, parts))
                for one in several]  # fmt: skip
    return [("", found)] if found.get("properties") else []


def _one_of(schema: Schema) -> list[Schema]:
    several: list[Schema] = schema.get("oneOf") or schema.get("anyOf") or []
    return several


def _example(schema: Schema, parts: Schema) -> Any:
    for _, form in _forms(schema, parts):
        for example in form.get("examples", ()):
            return example
    return None


def _resolved(schema: Schema, parts: Schema) -> Schema:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    found: Schema = parts.get(name, {}) if name else schema
    return found


def _title(schema: Schema, parts: Schema) -> str:
    if schema.get("type") == "array":
        return f"list of {_title(schema.get('items', {}), parts)}"
    return str(_resolved(schema, parts).get("title", ""))


def _words(schema: Schema, parts: Schema) -> str:
    """What a value may be: its description, else its type and limits."""
    item = _resolved(schema, parts)
    if item.get("description"):
        return str(item["description"])
    if item.get("enum"):
        return "one of " + ", ".join(map(str, item["enum"]))
    kind = item.get("type")
    if kind is None and (several := _one_of(item)):
        return " or ".join(_words(one, parts) for one in several)
    return f"list of {_words(item.get('items', {}), parts)}" if kind == "array" else str(kind or "")
