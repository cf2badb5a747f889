"""What the template's alert rules say, so that a panel's line is where its alert fires."""

import math
import re
from functools import cache
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parents[1] / "{{cookiecutter.repo_name}}"
RULES = PROJECT / "infra" / "prometheus" / "rules"
SECOND_SIDE = re.compile(r"[<>]=? *(\d+(?:\.\d+)?(?: *\* *\d+)*) *$", re.MULTILINE)


@cache
def alerts() -> dict[str, str]:
    """The expression of each alert rule, by the alert's name."""
    return {
        rule["alert"]: rule["expr"]
        for file in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    }


def limit_of(alert: str) -> float:
    """The number that an alert's expression is compared with; of several, the first.

    Raises:
        ValueError: If the rule compares with no number.
    """
    found = SECOND_SIDE.search(alerts()[alert])
    if found is None:
        raise ValueError(f"the rule of {alert} compares with no number: {alerts()[alert]}")
    return math.prod(map(float, found[1].split("*")))
