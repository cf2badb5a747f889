"""How a page that is open in a browser looks, as far as figures can say it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

PHONE: "ViewportSize" = {"width": 390, "height": 844}


@dataclass(frozen=True)
class Looks:
    """What was measured.

    Attributes:
        too_wide: The beginning of each element that reaches over the screen's edge.
        page_width: How wide the page is.
        screen_width: How wide the screen is.
        contrast: The least contrast of a text, as WCAG 2 computes it.
    """

    too_wide: list[str]
    page_width: int
    screen_width: int
    contrast: float


def looks_of(page: "Page") -> Looks:
    """Measure an open page."""
    page_width, screen_width = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    return Looks(page.evaluate(TOO_WIDE), page_width, screen_width, page.evaluate(CONTRAST))


# What scrolls by itself may be wider than the screen.
TOO_WIDE = """
[...document.querySelectorAll('body *')]
  .filter(each => each.getBoundingClientRect().right > innerWidth + 1
    && !each.closest('.scroll, pre'))
  .map(each => each.outerHTML.slice(0, 80))
"""

CONTRAST = """
() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((each) => each / 255)
      .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  let least = 21;
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.offsetParent) continue;
    const pair = [light(parse(getComputedStyle(element).color)), light(behind(element))];
    least = Math.min(least, (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05));
  }
  return least;
}
"""

# Of the texts that stand in the page's flow, pairs that cover each other.
OVERLAPS = """
() => {
  const shown = [...document.querySelectorAll("h1, h2, h3, p, li, summary, .scroll, svg.chart, b")]
    .filter((each) => each.offsetParent !== null || each instanceof SVGElement)
    .filter((each) => !each.closest(".scroll") || each.classList.contains("scroll"));
  const boxes = shown.map((each) => [each, each.getBoundingClientRect()])
    .filter(([, box]) => box.width && box.height);
  const found = [];
  boxes.forEach(([one, a], at) => boxes.slice(at + 1).forEach(([other, b]) => {
    if (one.contains(other) || other.contains(one)) return;
    const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (across > 1 && down > 1) found.push([one, other].map((each) => each.outerHTML.slice(0, 60)));
  }));
  return found;
}
"""
