"""Two versions side by side: metrics, data, parameters, tags, and where they differ."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from goldpath.model_version import ModelVersion
from goldpath.registry.stages import STAGE_TAG, stage_of
from goldpath.registry.stores.store import RunRecord

DATA_TAGS = ("gold_snapshot", "gold_table", "predictions_digest", "model_digest")


@dataclass(frozen=True)
class ComparedValue:
    """One fact about two versions.

    Attributes:
        kind: version, metric, parameter, data or tag.
        name: What it is.
        first: Of the first version; empty where it has none.
        second: Of the second.
        difference: Second minus first where both are numbers, `differs` where they are not equal.
    """

    kind: str
    name: str
    first: str
    second: str
    difference: str


@dataclass(frozen=True)
class VersionComparison:
    """Two versions, fact by fact.

    Attributes:
        first: The first version's number.
        second: The second's.
        rows: All facts.
        different: The names of those that differ.
    """

    first: str
    second: str
    rows: tuple[ComparedValue, ...]
    different: tuple[str, ...]


def compare(
    first: ModelVersion,
    first_run: RunRecord | None,
    second: ModelVersion,
    second_run: RunRecord | None,
) -> VersionComparison:
    """Lay two versions side by side."""
    rows: list[ComparedValue] = []
    facts = [_facts(first), _facts(second)]
    rows += _rows("version", *facts)
    rows += _rows(
        "metric",
        {name: f"{value:.6g}" for name, value in _metrics(first_run).items()},
        {name: f"{value:.6g}" for name, value in _metrics(second_run).items()},
    )
    rows += _rows(
        "parameter",
        first_run.parameters if first_run else {},
        second_run.parameters if second_run else {},
    )
    data = [
        {key: item.tags[key] for key in DATA_TAGS if key in item.tags} for item in (first, second)
    ]
    rows += _rows("data", *data)
    others = [
        {
            key: value
            for key, value in item.tags.items()
            if key not in (*DATA_TAGS, STAGE_TAG) and len(value) < 200
        }
        for item in (first, second)
    ]
    rows += _rows("tag", *others)
    different = tuple(row.name for row in rows if row.difference)
    return VersionComparison(first.version, second.version, tuple(rows), different)


def _facts(version: ModelVersion) -> dict[str, str]:
    return {
        "stage": stage_of(version),
        "aliases": ", ".join(version.aliases),
        "description": version.description,
        "run": version.run_id,
    }


def _metrics(run: RunRecord | None) -> Mapping[str, float]:
    return run.metrics if run else {}


def _rows(kind: str, first: Mapping[str, str], second: Mapping[str, str]) -> list[ComparedValue]:
    names = list(dict.fromkeys([*sorted(first), *sorted(second)]))
    return [
        ComparedValue(
            kind,
            name,
            first.get(name, ""),
            second.get(name, ""),
            _difference(first.get(name, ""), second.get(name, "")),
        )
        for name in names
    ]


def _difference(first: str, second: str) -> str:
    if first == second:
        return ""
    try:
        change = float(second) - float(first)
    except ValueError:
        return "differs"
    return f"{change:+.6g}" if math.isfinite(change) else "differs"
