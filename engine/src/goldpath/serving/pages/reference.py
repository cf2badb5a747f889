"""The API's reference as a plain page, from its OpenAPI document: no script, no other origin.

`/docs` loads Swagger's files from a CDN; this page also works where there is no way out.
"""

import json
import re
import shlex
from collections.abc import Mapping
from html import escape
from typing import Any

from goldpath.serving.pages.home import document

FIRST = "predictions"
METHODS = ("get", "post", "put", "patch", "delete")
JSON = "application/json"

Schema = Mapping[str, Any]


def render_reference(openapi: Mapping[str, Any], base_url: str) -> str:
    """The page.

    Args:
        openapi: The app's document.
        base_url: Where the examples send their requests; ends with a slash.
    """
    parts = openapi.get("components", {}).get("schemas", {})
    by_tag: dict[str, list[str]] = {}
    for path, item in openapi["paths"].items():
        for method in METHODS:
            if method in item:
                tag = (item[method].get("tags") or ["other"])[0]
                route = _route(method, path, item[method], parts, base_url)
                by_tag.setdefault(tag, []).append(route)
    sections = "".join(
        f"<h2>{escape(tag.capitalize())}</h2>{''.join(by_tag[tag])}"
        for tag in sorted(by_tag, key=lambda tag: tag != FIRST)
    )
    info = openapi["info"]
    body = (
        f"<body><header><h1>{escape(info['title'])}: API reference</h1>"
        f"<p class=soft>{_prose(info.get('description', ''))}</p>"
        "<ul class=links><li><a href='./'>The service's page</a></li>"
        "<li><a href='openapi.json'>OpenAPI document</a></li>"
        "<li><a href='docs'>Swagger, loaded from a CDN</a></li></ul></header>"
        f"<main>{sections}</main></body>"
    )
    return document(f"{info['title']}: API reference", body)


def _route(method: str, path: str, route: Schema, parts: Schema, base_url: str) -> str:
    content = route.get("requestBody", {}).get("content", {}).get(JSON)
    schema = content.get("schema", {}) if content else {}
    rows = [
        (f"{item['name']} ({item['in']})", item.get("schema", {}), item.get("required", False))
        for item in route.get("parameters", ())
    ]
    return (
        f"<section class=card><h3><span class=method>{method.upper()}</span> "
        f"<code>{escape(path)}</code></h3><p>{_prose(route.get('description', ''))}</p>"
        f"{_parameters(rows, parts)}{_body(schema, parts)}"
        f"{_curl(method, path, content, parts, base_url)}{_answers(route, parts)}</section>"
    )


def _prose(text: str) -> str:
    """A description, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _parameters(rows: list[tuple[str, Schema, bool]], parts: Schema) -> str:
    return _table(rows, parts) if rows else ""


def _body(schema: Schema, parts: Schema) -> str:
    forms = _forms(schema, parts)
    return "".join(
        f"<details><summary>Body{f': {escape(name)}' if name else ''}</summary>"
        f"{_fields(form, parts)}</details>"
        for name, form in forms
    )


def _fields(form: Schema, parts: Schema) -> str:
    """A table of an object's fields, and below it one of each object inside."""
    required = form.get("required", ())
    properties = form.get("properties", {})
    text = _table([(name, item, name in required) for name, item in properties.items()], parts)
    for name, item in properties.items():
        inner = _resolved(item, parts)
        inner = _resolved(inner.get("items", inner), parts)
        if inner.get("properties"):
            text += f"<p class=soft>{escape(name)}:</p>{_fields(inner, parts)}"
    return text


def _table(rows: list[tuple[str, Schema, bool]], parts: Schema) -> str:
    lines = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{'yes' if required else 'no'}</td>"
        f"<td>{escape(_words(item, parts))}</td></tr>"
        for name, item, required in rows
    )
    return (
        "<div class=scroll tabindex=0><table class=text><thead><tr><th scope=col>name</th>"
        f"<th scope=col>required</th><th scope=col>what</th></tr></thead><tbody>{lines}</tbody>"
        "</table></div>"
    )


def _curl(method: str, path: str, content: Schema | None, parts: Schema, base_url: str) -> str:
    words = ["curl", "-s"] + ([] if method == "get" else ["-X", method.upper()])
    line = f"{shlex.join(words)} {shlex.quote(base_url.rstrip('/') + path)}"
    if content:
        line += " \\\n  -H 'Content-Type: application/json'"
        example = _example(content.get("schema", {}), parts)
        if example is not None:
            line += f" \\\n  -d {shlex.quote(json.dumps(example, ensure_ascii=False))}"
    return f"<pre tabindex=0><code>{escape(line)}</code></pre>"


def _answers(route: Schema, parts: Schema) -> str:
    lines = []
    for status, answer in route.get("responses", {}).items():
        content = answer.get("content", {})
        names = {_title(kind.get("schema", {}), parts) for kind in content.values()} - {""}
        kinds = ", ".join(content)
        text = " ".join((answer.get("description", ""), f"({kinds})" if kinds else ""))
        lines.append((str(status), text, ", ".join(sorted(names))))
    rows = "".join(
        f"<tr><td>{escape(status)}</td><td>{escape(text)}</td><td>{escape(name)}</td></tr>"
        for status, text, name in lines
    )
    return (
        "<details><summary>Answers</summary><div class=scroll tabindex=0><table class=text>"
        "<thead><tr><th scope=col>status</th><th scope=col>what</th><th scope=col>form</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div></details>"
    )


def _forms(schema: Schema, parts: Schema) -> list[tuple[str, Schema]]:
    """The forms that a body may have: one, or those of a `oneOf`."""
    found = _resolved(schema, parts)
    several = found.get("oneOf") or found.get("anyOf")
    if several:
        return [(str(_resolved(one, parts).get("title", "")), _resolved(one, parts))
                for one in several]  # fmt: skip
    return [("", found)] if found.get("properties") else []


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
    if kind is None and item.get("anyOf"):
        return " or ".join(_words(one, parts) for one in item["anyOf"])
    return f"list of {_words(item.get('items', {}), parts)}" if kind == "array" else str(kind or "")
