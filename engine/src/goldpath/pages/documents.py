"""A template and its values become one HTML document.

A page is a single file: the stylesheet is in it, and its Content-Security-Policy allows that
stylesheet by hash and nothing else. Values are escaped by the template engine, and a value that a
template asks for and does not get is an error.

Jinja2 is imported by the first page that is made: neither the command line's help nor the service's
first answer needs it.
"""

import base64
import hashlib
import math
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment

STYLE = "style.css"


def render(template: str, **values: object) -> str:
    """A document made from a template of `templates/`.

    Args:
        template: The file's name.
        values: What the template shows; text in them is escaped.

    Raises:
        jinja2.UndefinedError: If the template asks for a value that is not there.
    """
    return environment().get_template(template).render(values)


@cache
def environment() -> "Environment":
    """The one set-up of Jinja2 that all pages share."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.filters.update(thousands=thousands, digits=digits, minute=minute)
    made.globals.update(stylesheet=stylesheet, style_hash=style_hash)
    return made


@cache
def stylesheet() -> str:
    """The stylesheet of all pages."""
    return (files(__package__) / STYLE).read_text(encoding="utf-8")


def style_hash() -> str:
    """The stylesheet, as a Content-Security-Policy names it."""
    return source_hash(stylesheet())


@cache
def source_hash(text: str) -> str:
    """An inline style or script, as a Content-Security-Policy names it."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def thousands(value: int) -> str:
    """A count: `12,345`."""
    return f"{value:,}"


def digits(value: float, count: int = 4) -> str:
    """A figure with so many significant digits; a dash where it is not finite."""
    return f"{value:.{count}g}" if math.isfinite(value) else "-"


def minute(time: datetime) -> str:
    """A time to the minute."""
    return f"{time:%Y-%m-%d %H:%M}"
