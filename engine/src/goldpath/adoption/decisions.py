"""What adoption decided about each column, in words."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from goldpath.adoption.column_inference import describe_domain
from goldpath.adoption.column_profile import ColumnProfile
from goldpath.adoption.time_role import TimeRole
from goldpath.contract import Feature


@dataclass(frozen=True)
class Decision:
    """What was decided about one column, in words."""

    column: str
    role: str
    type: str
    domain: str
    missing: str
    reason: str


@dataclass(frozen=True)
class Role:
    """What a column is beside a feature: what a `Decision` says of it."""

    role: str
    type: str
    domain: str
    reason: str


def text_role(role: str, profile: ColumnProfile, reason: str) -> Role:
    """The role of a column that identifies something."""
    return Role(role, "text", f"{profile.distinct:,} different", reason)


def time_role(time: TimeRole) -> dict[str, Role]:
    """The role of the event time's first column, by its name."""
    if time.event_time is None:
        return {}
    span = _span(time.moments)
    return {time.event_time.column: Role("event time", "timestamp", span, time.reason)}


def describe_columns(
    profiles: Mapping[str, ColumnProfile],
    named: Mapping[str, Role],
    features: Mapping[str, tuple[Feature, str]],
    ignored: Mapping[str, str],
    feature: str = "feature",
) -> tuple[Decision, ...]:
    """What was decided about each column, in the file's order.

    Args:
        profiles: Every column.
        named: Columns with a role of their own.
        features: Features with the reason for each.
        ignored: Columns that are left out, with the reason.
        feature: What a feature is called.
    """
    decisions = []
    for name, profile in profiles.items():
        missing = profile.missing_text
        if role := named.get(name):
            decisions.append(
                Decision(name, role.role, role.type, role.domain, missing, role.reason)
            )
        elif name in features:
            found, reason = features[name]
            domain = describe_domain(found)
            decisions.append(Decision(name, feature, found.type, domain, missing, reason))
        else:
            decisions.append(Decision(name, "ignored", "-", "-", missing, ignored[name]))
    return tuple(decisions)


def _span(moments: pd.Series | None) -> str:
    return "-" if moments is None else f"{moments.min():%Y-%m-%d} to {moments.max():%Y-%m-%d}"
