"""The page at `/`: try a prediction, see what serves and how it fares.

The form is made from the contract. The document holds its style and its script, and names both by
hash in its Content-Security-Policy: nothing else runs, and nothing is loaded from elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from goldpath.contract import Contract, Feature
from goldpath.domain import number_text
from goldpath.pages.documents import render, source_hash, style_hash
from goldpath.serving.schemas import example_row

SCRIPT = "page.js"


@dataclass(frozen=True)
class Option:
    """A choice of a list: what is sent, and what is shown."""

    value: str
    shown: str


@dataclass(frozen=True)
class FormField:
    """One feature of the form.

    Attributes:
        id: The element's id.
        name: The feature.
        type: Its type in the contract.
        allowed: What it may be, in words; the script says it where the browser cannot.
        hint: What stands below the field.
        nullable: Whether it may be left empty.
        value: What the field holds at first.
        options: The choices, where it is a list.
        longest: Most characters of a text.
        step: `1` for whole numbers, else `any`.
        minimum: Smallest number, or empty.
        maximum: Largest number, or empty.
        keyboard: What a phone's keyboard should offer.
    """

    id: str
    name: str
    type: str
    allowed: str
    hint: str
    nullable: bool
    value: str
    options: tuple[Option, ...]
    longest: int
    step: str
    minimum: str
    maximum: str
    keyboard: str


def page_headers(*, script: bool = True) -> dict[str, str]:
    """The headers of a page: what it holds may run, what it does not hold may not be loaded."""
    rules = [
        "default-src 'none'",
        f"style-src {style_hash()}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    if script:
        rules[1:1] = [f"script-src {source_hash(_script())}", "connect-src 'self'"]
    return {"Content-Security-Policy": "; ".join(rules)}


def render_page(
    contract: Contract,
    *,
    needs_key: bool,
    looked_up: Sequence[str] = (),
    has_swagger: bool = True,
) -> str:
    """The page as one document.

    Args:
        contract: The form's fields.
        needs_key: Whether the figures are shown only to those with a key.
        looked_up: What the model takes of an entity, which the form then asks for.
        has_swagger: Whether `/docs` is Swagger's.
    """
    target = contract.target
    example = example_row(contract)
    return render(
        "service.html",
        title=contract.dataset.replace("_", " ").capitalize(),
        target=target.column if contract.has_target else "the segment of similar rows",
        what=" or ".join(target.classes) if len(target.classes) == 2 else contract.problem,
        needs_key=needs_key,
        entity=contract.entity if looked_up else None,
        looked_up=looked_up,
        has_swagger=has_swagger,
        fields=[
            _field(f"f{number}", feature, example[feature.name])
            for number, feature in enumerate(contract.features)
        ],
        script=_script(),
    )


@cache
def _script() -> str:
    return (files(__package__) / "files" / SCRIPT).read_text(encoding="utf-8")


def _field(element: str, feature: Feature, example: object) -> FormField:
    domain = feature.domain
    allowed = domain.describe()
    low, high = domain.limits
    limits = "" if feature.categories or feature.type == "boolean" else allowed
    shown = limits.replace(", or null", ", or empty")
    is_whole = feature.type == "integer"
    is_positive = feature.minimum is not None and feature.minimum >= 0
    return FormField(
        id=element,
        name=feature.name,
        type=feature.type,
        allowed=allowed,
        hint=": ".join(part for part in (feature.description, shown) if part),
        nullable=feature.nullable,
        value=str(example).lower() if feature.type == "boolean" else str(example),
        options=_options(feature),
        longest=domain.longest,
        step="1" if is_whole else "any",
        minimum="" if domain.minimum is None else number_text(low),
        maximum="" if domain.maximum is None else number_text(high),
        keyboard="numeric" if is_whole and is_positive else "text",
    )


def _options(feature: Feature) -> tuple[Option, ...]:
    listed = feature.categories or (("true", "false") if feature.type == "boolean" else ())
    options = [Option(value, value) for value in listed]
    if options and feature.nullable:
        options.append(Option("", "missing"))
    return tuple(options)
