"""Settings that had another name: `migrate` rewrites them, an error names the new one."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class RenamedSetting:
    """A key of a section that has another name now.

    Attributes:
        section: The section in the settings, such as `validation`.
        file: The section's file in `config/`.
        old: The former key.
        new: The key that took its place.
        values: Values that are written differently now, the former one first.
    """

    section: str
    file: str
    old: str
    new: str
    values: Mapping[str, str]


RENAMED = (
    # YAML reads `off` as false, so the documented way to switch the check off was refused.
    RenamedSetting("validation", "validation.yaml", "drift", "on_drift", {"off": "ignore"}),
)


def renamed(path: tuple[str, ...]) -> RenamedSetting | None:
    """The setting that was meant by a former name; None if the name was never used."""
    return next((each for each in RENAMED if (each.section, each.old) == path), None)
