"""Semantic versions of models: which number comes next, and why.

Major: whoever uses the model must change something. Minor: it can do more, or is clearly better.
Patch: the same model, trained again. `registry.version_rules` adds rules of one's own.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

from goldpath.contract import Contract
from goldpath.errors import ProjectError
from goldpath.learning.metrics import main_metric
from goldpath.registry.contract_change import ContractChange, contract_change
from goldpath.settings import VersionRule, VersionSettings

if TYPE_CHECKING:
    from semver import Version

Bump = Literal["major", "minor", "patch"]
BUMPS: tuple[Bump, ...] = ("major", "minor", "patch")
BREAKING_CHANGE, NEW_FEATURE, GAIN = "breaking_change", "new_feature", "performance_improvement"
RETRAINED = "trained again"


class VersionError(ProjectError):
    """A text is no semantic version."""


@dataclass(frozen=True)
class PreviousVersion:
    """What a candidate's number is counted from."""

    version: str
    contract: Contract
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class VersionSuggestion:
    """The next number, and why.

    Attributes:
        version: The number.
        reason: Why, as a sentence.
        change: What changed in the contract.
        gain: The main metric's gain; None where it is not known on both sides.
    """

    version: str
    reason: str
    change: ContractChange
    gain: float | None


@dataclass(frozen=True)
class ChangelogEntry:
    """One version in the changelog."""

    version: str
    day: date
    reason: str
    change: ContractChange = field(default_factory=ContractChange)
    metrics: Mapping[str, float] | None = None


class VersionManager:
    """Suggests, compares and records semantic versions (https://semver.org) of models.

    Args:
        settings: `registry.version_rules`: the first version, what gain is significant, and rules
            of one's own; the defaults where not given.

    Example:
        >>> from goldpath import VersionManager
        >>> manager = VersionManager()
        >>> manager.suggest_version("1.0.0", {"performance_improvement": 0.1, "new_feature": True})
        ('1.1.0', 'new features; a significant gain (0.1)')
        >>> manager.suggest_version("1.1.0", {"breaking_change": True})
        ('2.0.0', 'the contract breaks')
        >>> manager.compare("1.10.0", "1.9.0"), manager.is_compatible("1.0.0", "2.0.0")
        (1, False)
    """

    def __init__(self, settings: VersionSettings | None = None) -> None:
        self._settings = settings or VersionSettings()
        gain = self._settings.significant_gain
        self._rules = (
            VersionRule(bump="major", when=BREAKING_CHANGE, reason="the contract breaks"),
            VersionRule(bump="minor", when=NEW_FEATURE, reason="new features"),
            VersionRule(bump="minor", when=GAIN, at_least=gain, reason="a significant gain"),
            *self._settings.rules,
        )

    @property
    def rules(self) -> tuple[VersionRule, ...]:
        """The rules, the built-in ones first."""
        return self._rules

    def suggest_version(self, current: str | None, context: Mapping[str, Any]) -> tuple[str, str]:
        """The next version and the reason.

        Args:
            current: Today's version; None or empty where there is none.
            context: What happened, such as `{"performance_improvement": 0.1, "breaking_change":
                False, "new_feature": True}`. Of the rules that apply, the largest step decides; a
                key that no rule names decides nothing.

        Returns:
            For the example, on "1.0.0": ("1.1.0", "new features; a significant gain (0.1)").

        Raises:
            VersionError: If the current version is not a semantic one, or a number is none.
        """
        if not current:
            return self._settings.first, "the first version"
        applying = [rule for rule in self._rules if _applies(rule, context)]
        bumps = {rule.bump for rule in applying}
        bump: Bump = next((step for step in BUMPS if step in bumps), "patch")
        reasons = [_reason(rule, context) for rule in applying if rule.bump == bump]
        return _bumped(parse_version(current), bump), "; ".join(reasons) or RETRAINED

    def suggest_for(
        self,
        candidate: Contract,
        metrics: Mapping[str, float],
        previous: PreviousVersion | None,
        taken: Iterable[str] = (),
        context: Mapping[str, Any] | None = None,
        main: str | None = None,
    ) -> VersionSuggestion:
        """The version of a candidate, from its contract and its metrics.

        Args:
            candidate: Its contract.
            metrics: Its metrics, among them the main one.
            previous: The version that it follows; None for the first one.
            taken: Versions that exist; the suggestion lies above all of them.
            context: Further facts for rules of one's own.
            main: The name of the main metric; the problem's usual one where not given.
        """
        if previous is None:
            version, reason = self.suggest_version(None, {})
            change, gain = ContractChange(), None
        else:
            change = contract_change(previous.contract, candidate)
            gain = _gain(candidate, metrics, previous.metrics, main)
            facts = {
                BREAKING_CHANGE: bool(change.breaking),
                NEW_FEATURE: bool(change.added),
                GAIN: gain or 0.0,
                **(context or {}),
            }
            version, reason = self.suggest_version(previous.version, facts)
            if said := (change.breaking or change.added):
                reason = f"{reason}: {'; '.join(said)}"
        highest = max(map(parse_version, taken), default=None)
        if highest is not None and parse_version(version) <= highest:
            base = previous.version if previous else version
            version = _bumped(highest, _step(parse_version(base), parse_version(version)))
        return VersionSuggestion(version, reason, change, gain)

    def compare(self, first: str, second: str) -> int:
        """-1 where the first version is the lower one, 0 where they are equal in rank, else 1."""
        return parse_version(first).compare(parse_version(second))

    def is_compatible(self, old: str, new: str) -> bool:
        """Whether whoever uses the old version can use the new one unchanged."""
        return parse_version(old).is_compatible(parse_version(new))

    def changelog(self, entries: Sequence[ChangelogEntry]) -> str:
        """The changelog in Markdown, the newest version first."""
        ordered = sorted(entries, key=lambda entry: parse_version(entry.version), reverse=True)
        return "# Changelog\n\n" + "\n".join(map(changelog_entry, ordered))


def changelog_entry(entry: ChangelogEntry) -> str:
    """One version's part of the changelog."""
    lines = [
        f"## {parse_version(entry.version)} ({entry.day.isoformat()})",
        "",
        _plain(entry.reason),
    ]
    parts = {
        "Breaking": entry.change.breaking,
        "Added": entry.change.added,
        "Other": entry.change.other,
    }
    for title, said in parts.items():
        if said:
            lines += ["", f"### {title}", "", *(f"- {_plain(line)}" for line in said)]
    if entry.metrics:
        figures = (
            f"- {_plain(name)}: " + (f"{value:.4f}" if math.isfinite(value) else "undefined")
            for name, value in entry.metrics.items()
        )
        lines += ["", "### Metrics", "", *figures]
    return "\n".join(lines) + "\n"


def parse_version(text: str) -> "Version":
    """A semantic version.

    Raises:
        VersionError: If the text is none.
    """
    from semver import Version

    try:
        return Version.parse(text)
    except (TypeError, ValueError) as error:
        raise VersionError(
            f"{text!r} is not a semantic version", "write it as MAJOR.MINOR.PATCH, such as 1.4.2"
        ) from error


def _applies(rule: VersionRule, context: Mapping[str, Any]) -> bool:
    value = context.get(rule.when)
    if rule.at_least is None or value is None:
        return bool(value)
    try:
        return float(value) >= rule.at_least
    except (TypeError, ValueError) as error:
        raise VersionError(
            f"{rule.when} is {value!r}, which is not a number",
            f"give it as a number: {rule.when}=0.1",
        ) from error


def _reason(rule: VersionRule, context: Mapping[str, Any]) -> str:
    if rule.at_least is None:
        return rule.reason
    return f"{rule.reason} ({float(context[rule.when]):.4g})"


def _bumped(version: "Version", bump: Bump) -> str:
    steps = {
        "major": version.bump_major,
        "minor": version.bump_minor,
        "patch": version.bump_patch,
    }
    return str(steps[bump]())


def _step(old: "Version", new: "Version") -> Bump:
    if new.major != old.major:
        return "major"
    return "minor" if new.minor != old.minor else "patch"


def _gain(
    contract: Contract,
    metrics: Mapping[str, float],
    before: Mapping[str, float],
    main: str | None,
) -> float | None:
    name = main if main is not None else main_metric(contract)
    gain = metrics.get(name, math.nan) - before.get(name, math.nan)
    return gain if math.isfinite(gain) else None


def _plain(text: str) -> str:
    """One line that Markdown shows as it is."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", " ".join(text.split()))
