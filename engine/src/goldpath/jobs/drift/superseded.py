"""A new champion: a verdict of drift on the former one is no verdict on what serves.

Without this an alert would go on until somebody checks again, and ask for retrainings meanwhile.
Nothing is said to be well: there is no verdict until the next check.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldpath.presentation import step
from goldpath.reports import write_report
from goldpath.serving.metrics.reports import SOURCES, read_json, write_textfile

GONE: Mapping[str, Any] = {
    "columns": [],
    "moved_and_matters": [],
    "estimate": None,
    "nothing_compared": None,
}
"""What was said of the former champion's rows beside the verdict."""

Champion = tuple[str, str]
"""The registered model, and its version."""


def supersede_verdicts(reports: Path, name: str, version: str, model: str = "") -> None:
    """Take back the alarms of drift and quality that are about another version, or another model.

    The alias has moved by then: a report that cannot be written is said, and breaks nothing off.

    Args:
        reports: The reports' folder.
        name: The registered model.
        version: The version of it that is champion now.
        model: A further model; empty: the main one.
    """
    try:
        _supersede(reports, (name, version), model)
    except OSError as error:
        step(
            f"alarms about the former champion stay until the next check, since their reports "
            f"cannot be written: {error}"
        )


def _supersede(reports: Path, champion: Champion, model: str) -> None:
    changed = False
    for source in SOURCES:
        file = reports / "drift" / f"{source}.json"
        state = read_json(file)
        if _is_superseded(state, champion):
            write_report(file, {**state, **_no_verdict(state, champion[1]), **GONE})
            changed = True
    file = reports / "feedback.json"
    feedback = read_json(file)
    quality = feedback.get("quality")
    if isinstance(quality, dict) and _is_superseded(
        {**quality, "model_name": feedback.get("model_name", champion[0])}, champion
    ):
        quality = {**quality, **_no_verdict(quality, champion[1])}
        write_report(file, {**feedback, "quality": quality})
        changed = True
    if changed:
        write_textfile(reports, model)


def _is_superseded(verdict: Mapping[str, Any], champion: Champion) -> bool:
    """A report of an older goldpath does not name its model: it is taken for this one's."""
    judged = verdict.get("model_name", champion[0]), verdict.get("model_version")
    return verdict.get("verdict") in ("drift", "low") and judged != champion


def _no_verdict(verdict: Mapping[str, Any], champion: str) -> dict[str, Any]:
    return {
        "verdict": "insufficient",
        "exit_code": 3,
        "message": f"no verdict: version {champion} took the place of version "
        f"{verdict.get('model_version')}, and was not checked yet",
    }
