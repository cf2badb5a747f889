"""Whose row it is: the column that identifies a row's subject."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import pandas as pd

from goldpath.adoption.column_profile import AdoptionError, ColumnProfile, require_column
from goldpath.adoption.time_role import TimeRole

REPEATED_SHARE = 0.2
FOUND_REPEATED_SHARE = 0.05
FEWEST_ENTITIES = 20
MOST_SUBJECTS = 0.9
"""With more subjects than this share of the rows, hardly one has several rows."""

Profiles = Mapping[str, ColumnProfile]


@dataclass(frozen=True)
class EntityRole:
    """The entity, or None where the row's number has to do.

    Attributes:
        column: The column.
        reason: Why.
        repeats: Whether an entity has several rows, and no time tells them apart.
        notes: What a person should know besides.
    """

    column: str | None
    reason: str
    repeats: bool = False
    notes: tuple[str, ...] = ()


def decide_entity(
    profiles: Profiles, asked: str | None, taken: Collection[str], time: TimeRole
) -> EntityRole:
    """Decide the column that identifies a row's subject.

    Args:
        profiles: Every column.
        asked: The column, `none` for the row's number, or None to look for one.
        taken: Columns that have another role.
        time: The event time; with it, a subject may have several rows.

    Raises:
        AdoptionError: If the column asked for is empty, or does not fit the time.
    """
    if asked is not None and asked.lower() == "none" and asked not in profiles:
        return EntityRole(None, "the row's number, as asked")
    if asked is not None:
        return _asked_entity(profiles, require_column(profiles, asked, "ID"), time)
    free = [profile for name, profile in profiles.items() if name not in taken]
    named = [profile for profile in free if profile.is_unique and profile.names_rows]
    counted = [profile for profile in free if profile.is_sequence]
    for profile, why in [
        *((profile, "every row has its own, and its name says so") for profile in named),
        *((profile, "numbers the rows one by one") for profile in counted),
    ]:
        return EntityRole(profile.name, f"found: {why}")
    if time.moments is not None:
        for profile in free:
            if (
                profile.names_rows
                and _repeated(profile, time.moments) <= FOUND_REPEATED_SHARE * profile.rows
            ):
                return _asked_entity(profiles, profile.name, time, why="found: its name says so")
    return EntityRole(None, "no column identifies the rows, so the row's number does")


def ask_about_subjects(
    profiles: Profiles, features: Collection[str], left_out: Collection[str], time: TimeRole
) -> tuple[str, ...]:
    """Questions about columns that are called like an identifier and repeat.

    Rows of one patient or shop may be on both sides of the split: the model then knows the
    subjects that it is judged on.

    Args:
        profiles: Every column.
        features: Columns that the model learns from.
        left_out: Columns that it does not.
        time: The event time.
    """
    return tuple(
        _question(profile, time, is_feature=name in features)
        for name, profile in profiles.items()
        if (name in features or name in left_out)
        and profile.is_called_subject
        and 1 < profile.distinct <= MOST_SUBJECTS * profile.present
    )


def _question(profile: ColumnProfile, time: TimeRole, *, is_feature: bool) -> str:
    name, each = profile.name, profile.present / profile.distinct
    found = (
        f"question: {name} is called like an identifier, of {profile.distinct:,} things with "
        f"{each:.1f} rows each: "
    )
    is_key = time.moments is None or (
        _repeated(profile, time.moments) <= REPEATED_SHARE * profile.rows
    )
    options = []
    if profile.distinct >= FEWEST_ENTITIES and is_key:
        options.append(
            f"ID={name} makes it the rows' subject"
            + (", whose rows stay on one side of the split" if time.moments is None else "")
        )
        found += "are the rows about them? "
    else:
        found += "do new ones come? "
    if is_feature:
        options.append(f"--as '{name}=ignored' leaves it out")
    options.append(f"--as '{name}=category' makes it a category")
    default = "It is a feature" if is_feature else "It is left out"
    if time.moments is None:
        default += ", and rows of one are on both sides of the split"
    return f"{found}{default}; {', '.join(options[:-1])}{' or ' * (len(options) > 1)}{options[-1]}"


def _asked_entity(
    profiles: Profiles, name: str, time: TimeRole, why: str = "as asked"
) -> EntityRole:
    profile = profiles[name]
    notes: list[str] = []
    if profile.present == 0:
        raise AdoptionError(
            f"ID={name} has no value in any row", "name another column, or leave ID out"
        )
    if profile.missing:
        notes.append(f"{profile.missing_text} rows have no {name}: silver will quarantine them")
    repeated = profile.present - profile.distinct
    if repeated == 0:
        return EntityRole(name, f"{why}; every row has its own", notes=tuple(notes))
    example = profile.levels[int(np.argmax(profile.counts))]
    if time.event_time is None or time.moments is None:
        if _distinct_rows(profiles, name) > profile.distinct:
            if profile.distinct < FEWEST_ENTITIES:
                _refuse_repeated(
                    name,
                    f"{repeated:,} of {profile.rows:,} rows repeat one, for example {example!r}, "
                    f"and {profile.distinct} subjects are too few to hold some back for the test",
                )
            notes.append(
                f"{repeated:,} of {profile.rows:,} rows repeat a {name}, for example {example!r}, "
                "and no time tells them apart (TIME=… names one): rows are known by their number "
                f"in the file, and all rows of one {name} stay on one side of the split"
            )
            return EntityRole(
                name,
                f"{why}; repeats: its rows stay on one side of the split",
                repeats=True,
                notes=tuple(notes),
            )
        notes.append(
            f"{repeated:,} rows are exact copies of others: silver keeps one for each {name}"
        )
        return EntityRole(name, f"{why}; unique but for exact copies", notes=tuple(notes))
    when = time.event_time.column
    clashes = _repeated(profile, time.moments)
    if clashes > REPEATED_SHARE * profile.rows:
        _refuse_repeated(
            f"{name} with TIME={when}",
            f"{clashes:,} of {profile.rows:,} rows repeat one; silver would drop them",
        )
    if clashes:
        notes.append(
            f"{clashes:,} rows repeat a {name} at the same {when}: silver keeps the last of each"
        )
        return EntityRole(name, f"{why}; with {when} nearly unique", notes=tuple(notes))
    return EntityRole(
        name, f"{why}; repeats, but with {when} every row is unique", notes=tuple(notes)
    )


def _refuse_repeated(key: str, found: str) -> NoReturn:
    raise AdoptionError(
        f"ID={key} is not unique: {found}",
        "name the column of the time (TIME=…) if a subject has several rows, name another ID, "
        "or leave ID out",
    )


def _repeated(profile: ColumnProfile, moments: pd.Series) -> int:
    """Rows whose entity and time an earlier row has too."""
    key = pd.DataFrame({"entity": profile.values.to_pylist(), "time": moments.to_numpy()})
    return int(key.dropna().duplicated().sum())


def _distinct_rows(profiles: Profiles, entity: str) -> int:
    """Different rows among those that have an entity."""
    frame = pd.DataFrame({name: profile.values.to_pylist() for name, profile in profiles.items()})
    return len(frame[frame[entity].notna()].drop_duplicates())
