"""The families that a search chooses from, and the configurations that it begins with.

The portfolio holds configurations that do well on tables of many kinds, the most promising per
second first; it needs no search, so that a small budget already gives several unlike models.
"""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from goldpath.automl.families.boosting import BOOSTING
from goldpath.automl.families.dense import DENSE
from goldpath.automl.families.family import SearchFamily, Shape
from goldpath.automl.families.forests import FORESTS
from goldpath.errors import ProjectError

SEARCH_FAMILIES: Mapping[str, SearchFamily] = {
    family.name: family for family in (*BOOSTING, *FORESTS, *DENSE)
}


def usable_families(
    names: Sequence[str] | None, rows: int
) -> tuple[dict[str, SearchFamily], dict[str, str]]:
    """The families that can be searched, and why the others cannot.

    LightGBM and XGBoost are native libraries: where OpenMP's own (libgomp, libomp) is missing, the
    import fails with an OSError, and the search goes on without them.

    Raises:
        ProjectError: For an unknown name, or where no family is left.
    """
    unknown = [name for name in names or () if name not in SEARCH_FAMILIES]
    if unknown:
        raise ProjectError(
            f"unknown families: {', '.join(unknown)}", f"choose from {', '.join(SEARCH_FAMILIES)}"
        )
    usable, left_out = {}, {}
    for name, family in SEARCH_FAMILIES.items():
        if names is not None and name not in names:
            continue
        try:
            importlib.import_module(family.library)
        except (ImportError, OSError) as error:
            left_out[name] = f"{family.library} cannot be imported: {error}"
            continue
        if rows > family.most_rows:
            left_out[name] = f"too slow for {rows} rows"
            continue
        usable[name] = family
    if names is None and "lightgbm" in usable and "hist_boosting" in usable:
        del usable["hist_boosting"]
        left_out["hist_boosting"] = "LightGBM is there, which does the same in less time"
    if not usable:
        raise ProjectError(f"no family can be used: {left_out}", "name other families")
    return usable, left_out


def portfolio(
    families: Mapping[str, SearchFamily], shapes: Mapping[str, Shape]
) -> list[tuple[str, dict[str, Any]]]:
    """Configurations to try before any search, the most promising per second first."""
    entries = [
        (place, name, parameters)
        for name, family in families.items()
        for place, parameters in family.first(shapes[name])
    ]
    return [(name, parameters) for _, name, parameters in sorted(entries, key=lambda e: e[:2])]
