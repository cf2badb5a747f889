"""The page at `/`: try a prediction, see what serves and how it fares.

The form is made from the contract. The document holds its style and its script, and names both by
hash in its Content-Security-Policy: nothing else runs, and nothing is loaded from elsewhere.
"""

import base64
import hashlib
from functools import cache
from html import escape
from importlib.resources import files

from goldpath.contract import Contract, Feature
from goldpath.domain import LONGEST_TEXT, number_text
from goldpath.serving.schemas import example_features

SCRIPT, STYLE = "page.js", "page.css"
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Cpath d='M2 13V8h3v5zm4.500 0V3h3v10zM11 13V6h3v7z' fill='%232c6fb3'/%3E%3C/svg%3E"
)


def page_headers(*, script: bool = True) -> dict[str, str]:
    """The headers of a page: what it holds may run, what it does not hold may not be loaded."""
    rules = [
        "default-src 'none'",
        f"style-src '{_hash(STYLE)}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    if script:
        rules[1:1] = [f"script-src '{_hash(SCRIPT)}'", "connect-src 'self'"]
    return {"Content-Security-Policy": "; ".join(rules)}


def render_page(contract: Contract, *, needs_key: bool) -> str:
    """The page as one document.

    Args:
        contract: The form's fields.
        needs_key: Whether the figures are shown only to those with a key.
    """
    title = contract.dataset.replace("_", " ").capitalize()
    target = contract.target
    what = " or ".join(target.classes) if len(target.classes) == 2 else contract.problem
    body = "".join(
        (
            "<a class=skip href='#main'>To the form</a>",
            f"<header><div class=top><h1>{escape(title)}</h1>"
            "<span class='pill waiting' id=state role=status>looking …</span></div>"
            f"<p class=soft>Predicts <strong>{escape(target.column)}</strong> ({escape(what)}).</p>"
            "<ul class=links><li><a href='reference'>API reference</a></li>"
            "<li><a href='docs'>Try the API (Swagger)</a></li>"
            "<li><a href='metrics'>Prometheus metrics</a></li>"
            "<li><a href='ready'>Readiness</a></li></ul>",
            _KEY,
            "</header><main id=main>",
            _form(contract),
            _LIVE,
            _MODEL,
            "</main>",
            "<footer class=soft><p>Figures are over all workers, since the service started."
            "</p></footer>",
        )
    )
    key = " data-key=required" if needs_key else ""
    script = f"<script>{asset(SCRIPT)}</script>"
    return document(title, f"<body{key}>{body}{script}</body>")


def document(title: str, body: str) -> str:
    """An HTML document with the pages' style."""
    return (
        "<!doctype html><html lang=en><head><meta charset=utf-8>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f'<title>{escape(title)}</title><link rel=icon href="{ICON}">'
        f"<style>{asset(STYLE)}</style></head>{body}</html>\n"
    )


@cache
def asset(name: str) -> str:
    """A style or script that lies in `files/`."""
    return (files(__package__) / "files" / name).read_text(encoding="utf-8")


def _hash(name: str) -> str:
    digest = hashlib.sha256(asset(name).encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _form(contract: Contract) -> str:
    example = example_features(contract)
    fields = "".join(
        _field(f"f{number}", feature, example[feature.name])
        for number, feature in enumerate(contract.features)
    )
    return (
        "<section aria-labelledby=try><h2 id=try>Try a prediction</h2>"
        "<div class='card alert' id=alert role=alert hidden></div>"
        "<div class=try><form class=card id=form novalidate aria-labelledby=try>"
        f"<div class=fields>{fields}</div>"
        "<div class=actions><button id=predict>Predict</button>"
        "<button type=reset class=plain>Fill in the example</button></div>"
        "<details><summary>The same with curl</summary><pre tabindex=0><code id=curl></code></pre>"
        "</details></form>"
        f"{_ANSWER}</div></section>"
    )


def _field(name: str, feature: Feature, example: object) -> str:
    domain = feature.domain
    allowed = domain.describe()
    limits = "" if feature.categories or feature.type == "boolean" else allowed
    shown = limits.replace(", or null", ", or empty")
    hint = ": ".join(part for part in (feature.description, shown) if part)
    nullable = " data-nullable=1" if feature.nullable else " aria-required=true"
    common = (
        f'id={name} data-name="{escape(feature.name)}" data-type={feature.type} '
        f'data-allowed="{escape(allowed)}"{nullable} '
        f"aria-describedby='{name}-hint {name}-error'"
    )
    if feature.type == "boolean" or feature.categories is not None:
        control = _select(common, feature, example)
    elif feature.type == "category":
        control = (
            f'<input {common} maxlength={LONGEST_TEXT} value="{escape(str(example))}" '
            "autocomplete=off spellcheck=false>"
        )
    else:
        whole = feature.type == "integer"
        bounds = "".join(
            f" {side}={number_text(limit)}"
            for side, limit, bound in zip(
                ("min", "max"), domain.limits, (domain.minimum, domain.maximum), strict=True
            )
            if bound is not None
        )
        control = (
            f"<input {common} type=number step={'1' if whole else 'any'}{bounds} "
            f"inputmode={'numeric' if whole and _is_positive(feature) else 'text'} "
            f'value="{escape(str(example))}" autocomplete=off>'
        )
    return (
        f"<div class=field><label for={name}>{escape(feature.name)}</label>{control}"
        f"<p class=hint id={name}-hint>{escape(hint)}</p>"
        f"<p class=error id={name}-error hidden></p></div>"
    )


def _select(common: str, feature: Feature, example: object) -> str:
    options = feature.categories or ("true", "false")
    chosen = str(example).lower() if feature.type == "boolean" else example
    listed = [(value, value) for value in options]
    if feature.nullable:
        listed.append(("", "missing"))
    choices = "".join(
        f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>'
        f"{escape(shown)}</option>"
        for value, shown in listed
    )
    return f"<select {common}>{choices}</select>"


def _is_positive(feature: Feature) -> bool:
    return feature.minimum is not None and feature.minimum >= 0


_KEY = """
<section class=card id=key hidden aria-labelledby=key-title>
<form id=key-form><label for=key-value id=key-title>API key or token</label>
<input id=key-value type=password autocomplete=off spellcheck=false aria-describedby=key-hint>
<p class=hint id=key-hint>This service asks who calls. What you enter stays in this page's memory
and is gone when it is closed.</p>
<div class=actions><button>Use it</button></div></form></section>
"""
_ANSWER = """
<div class='card answer' aria-live=polite><h3>Prediction</h3>
<p class=soft id=no-answer>Press Predict: the answer comes from the model that serves now.</p>
<div id=answer hidden><b id=prediction></b><ul class=bars id=probabilities></ul>
<dl id=answer-facts></dl><details><summary>The answer as JSON</summary>
<pre tabindex=0><code id=raw></code></pre></details></div></div>
"""
_LIVE = """
<section aria-labelledby=live-title><h2 id=live-title>Traffic</h2>
<p class=soft id=no-live>The figures are shown to those who may read them.</p>
<div id=live hidden>
<div class=tiles>
<div class=card><span class=soft>prediction requests</span><b id=requests>&ndash;</b></div>
<div class=card><span class=soft>a second</span><b id=rate>&ndash;</b></div>
<div class=card><span class=soft>half are faster than</span><b id=p50>&ndash;</b></div>
<div class=card><span class=soft>99 % are faster than</span><b id=p99>&ndash;</b></div>
<div class=card><span class=soft>failed (5xx)</span><b id=failed>&ndash;</b></div></div>
<p class=soft id=over></p>
<div class=grid>
<div class=card><h3>Prediction requests a second</h3>
<svg class=chart id=rate-chart viewBox='0 0 300 92' role=img></svg></div>
<div class=card><h3>Latency of /predict</h3>
<svg class=chart id=latency-chart viewBox='0 0 300 92' role=img></svg>
<p><span class=key><svg class=chart viewBox='0 0 22 8' aria-hidden=true><polyline class=first
points='0,4 22,4'/></svg>half are faster</span><span class=key><svg class=chart viewBox='0 0 22 8'
aria-hidden=true><polyline class=second points='0,4 22,4'/></svg>99 % are faster</span></p></div>
<div class=card><h3>Rows by model version</h3><ul class=bars id=versions></ul>
<p class=soft id=no-versions>No row was scored yet.</p></div>
<div class=card><h3>By route</h3><div class=scroll tabindex=0><table><thead><tr><th scope=col>route
</th><th scope=col>requests</th><th scope=col>half</th><th scope=col>99 %</th></tr></thead>
<tbody id=routes></tbody></table></div><p class='soft hint' id=troubles></p></div></div>
<h2>Drift</h2><p class=soft id=no-drift>Drift was not checked on this machine yet: make drift-check
</p><div class='card grid' id=drift hidden><div><p><strong id=verdict></strong></p>
<dl id=drift-facts></dl></div><div><h3>Largest shifts</h3><ul class=bars id=columns></ul></div>
</div></div></section>
"""
_MODEL = """
<section aria-labelledby=model-title><h2 id=model-title>Model</h2>
<p class=soft id=no-model>The model is shown to those with a key.</p>
<div class=card><dl id=model hidden></dl>
<details id=card-box><summary>Model card</summary><div class=document id=card></div></details></div>
</section>
"""
