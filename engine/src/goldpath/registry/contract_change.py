"""What differs between two contracts, seen by whoever asks the model for predictions.

A change breaks where a request that was good is refused, or where the answer means something else.
"""

from dataclasses import dataclass

from goldpath.contract import Contract, Feature
from goldpath.domain import number_text
from goldpath.features.learned import changed_features

WIDER_TYPES = frozenset({("integer", "number")})
"""From, to: a request with the first is good where the second is asked for."""


@dataclass(frozen=True)
class ContractChange:
    """What changed from one contract to the next, as sentences.

    Attributes:
        breaking: What may break whoever uses the model.
        added: What they may use from now on.
        other: What they need not know.
    """

    breaking: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.breaking or self.added or self.other)


def contract_change(old: Contract, new: Contract) -> ContractChange:
    """Derive the change from the two contracts."""
    computed = changed_features(old, new)
    old, new = old.request, new.request
    breaking = _answer_changes(old, new)
    added: list[str] = []
    other: list[str] = []
    for name, feature in new.by_name.items():
        before = old.by_name.get(name)
        if before is not None:
            _compare_feature(before, feature, breaking, added, other)
        elif feature.nullable:
            added.append(f"feature {name} ({feature.type}) was added; it may be left out")
        else:
            breaking.append(f"feature {name} ({feature.type}) was added and is required")
    breaking += [f"feature {name} was removed" for name in old.by_name if name not in new.by_name]
    silent = ("source", "event_time", "ignored", "personal", "fairness_groups")
    other += [f"{part} changed" for part in silent if getattr(old, part) != getattr(new, part)]
    if not breaking and not added and old.feature_names != new.feature_names:
        other.append("the order of the features changed")
    other += [f"computed feature {change}" for change in computed]
    return ContractChange(tuple(breaking), tuple(added), tuple(other))


def _answer_changes(old: Contract, new: Contract) -> list[str]:
    """What makes the answer mean something else."""
    breaking = []
    for part in ("dataset", "problem", "entity"):
        before, after = getattr(old, part), getattr(new, part)
        if before != after:
            breaking.append(f"{part} changed from {before} to {after}")
    if old.target.column != new.target.column:
        breaking.append(f"the target changed from {old.target.column} to {new.target.column}")
    if old.target.classes != new.target.classes:
        breaking.append(
            f"the target's classes changed from {', '.join(old.target.classes) or 'none'} to "
            f"{', '.join(new.target.classes) or 'none'}"
        )
    return breaking


def _compare_feature(
    old: Feature, new: Feature, breaking: list[str], added: list[str], other: list[str]
) -> None:
    name = new.name
    if old.type != new.type:
        if (old.type, new.type) not in WIDER_TYPES:
            breaking.append(f"feature {name} changed its type from {old.type} to {new.type}")
            return
        added.append(f"feature {name} takes any number, not only integers")
    if old.nullable and not new.nullable:
        breaking.append(f"feature {name} may no longer be missing")
    if new.nullable and not old.nullable:
        added.append(f"feature {name} may be missing")
    for narrowed, widened in (_bounds(old, new), _categories(old, new), _lengths(old, new)):
        if narrowed:
            breaking.append(f"feature {name} takes less: {narrowed}")
        if widened:
            added.append(f"feature {name} takes more: {widened}")
    written = ("unit", "missing_words", "unreadable")
    if any(getattr(old, part) != getattr(new, part) for part in written):
        other.append(f"how raw text writes {name} changed")
    if (old.description, old.example) != (new.description, new.example):
        other.append(f"the description of {name} changed")


def _bounds(old: Feature, new: Feature) -> tuple[str, str]:
    """What numbers are no longer taken, and which ones are taken now; empty where none."""
    narrowed: list[str] = []
    widened: list[str] = []
    for word, before, after, sign in (
        ("minimum", old.minimum, new.minimum, 1),
        ("maximum", old.maximum, new.maximum, -1),
    ):
        if before == after:
            continue
        said = f"{word} {_figure(before)} -> {_figure(after)}"
        tighter = after is not None and (before is None or sign * after > sign * before)
        (narrowed if tighter else widened).append(said)
    return ", ".join(narrowed), ", ".join(widened)


def _categories(old: Feature, new: Feature) -> tuple[str, str]:
    before, after = old.categories, new.categories
    if before is None or after is None:
        closed = "" if after is None or before is not None else "a closed list of values"
        opened = "" if before is None or after is not None else "any value"
        return closed, opened
    gone = [value for value in before if value not in after]
    come = [value for value in after if value not in before]
    return (
        f"without {', '.join(gone)}" if gone else "",
        f"also {', '.join(come)}" if come else "",
    )


def _lengths(old: Feature, new: Feature) -> tuple[str, str]:
    before, after = old.domain.longest, new.domain.longest
    said = f"texts of up to {before} -> {after} characters"
    return said if after < before else "", said if after > before else ""


def _figure(value: float | None) -> str:
    return "none" if value is None else number_text(value)
