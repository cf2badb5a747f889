"""The contract for a file that nobody has described: who decides what, in which order.

Target, event time and entity are decided first, then each column that is left; then the rows are
checked and typed by the new contract, as silver will, and features that give the target away are
left out.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import pandas as pd
import pyarrow as pa
from pydantic import ValidationError

from goldpath.adoption.answers import Answers
from goldpath.adoption.column_inference import infer_feature, text_notes
from goldpath.adoption.column_profile import (
    AdoptionError,
    ColumnProfile,
    is_no_input,
    is_reserved,
    require_column,
)
from goldpath.adoption.decisions import (
    Decision,
    Role,
    describe_columns,
    text_role,
    time_role,
)
from goldpath.adoption.entity_role import EntityRole, ask_about_subjects, decide_entity
from goldpath.adoption.header_line import find_repeated_headers
from goldpath.adoption.leakage import Leak, find_leaks
from goldpath.adoption.number_columns import read_numbers
from goldpath.adoption.reading import read_columns, read_source_columns
from goldpath.adoption.row_check import check_file, row_notes
from goldpath.adoption.summary_rows import find_summary_rows, left_out_notes, without_rows
from goldpath.adoption.target_role import (
    TargetRole,
    decide_target,
    event_role,
    segments_role,
)
from goldpath.adoption.time_parts import RANGES, calendar_feature
from goldpath.adoption.time_role import TimeRole, decide_time
from goldpath.contract import ROW_ID, Contract, Feature, Target
from goldpath.forecast import CLUSTERING
from goldpath.raw_source import Source
from goldpath.settings import TrainingSettings


@dataclass(frozen=True)
class AdoptionRequest:
    """What the user said about the file.

    Attributes:
        target: Column to predict; not looked at where there is an `event`, empty of a clustering.
        entity: Column that identifies a row's subject; None to look for one, `none` for none.
        time: Column of the time, or several such as `date+hour` or `year+month+day`; None to look
            for one, `none` for none.
        problem: `classification`, `regression`, `clustering`; None infers one of the first two.
        answers: Answers to what an earlier adoption asked.
        event: The target, where it is made from the rows of a further source.
    """

    target: str
    entity: str | None = None
    time: str | None = None
    problem: str | None = None
    answers: Answers = field(default_factory=Answers)
    event: Target | None = None


@dataclass(frozen=True)
class Inferred:
    """A contract, and how it came about."""

    contract: Contract
    decisions: tuple[Decision, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Adoption:
    """A file that the project now works on.

    Attributes:
        file: The data.
        contract_file: Where the contract was written.
        contract: The contract, as its file has it.
        decisions: One a column, in the file's order.
        notes: What a person should know besides.
    """

    file: str
    contract_file: str
    contract: dict[str, Any]
    decisions: tuple[Decision, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Roles:
    target: TargetRole
    time: TimeRole
    entity: EntityRole


def infer_contract(
    raw: pa.Table, source: Source, dataset: str, request: AdoptionRequest, leak_threshold: float
) -> Inferred:
    """Decide what every column of a file is.

    Args:
        raw: The file's rows, as `sources.read_raw` gives them.
        source: How the file is read.
        dataset: Names the tables and the model.
        request: What the user said.
        leak_threshold: The score of a single feature that counts as a leak.

    Returns:
        The contract, a decision for every column, and notes.

    Raises:
        AdoptionError: If the request does not fit the file, or nothing is left to learn from.
    """
    headers = find_repeated_headers(raw)
    summaries = find_summary_rows(raw, headers)
    left_out = (*headers, *(row.number for row in summaries))
    seen = without_rows(raw, left_out)
    read = (
        read_columns(seen, request.target, request.problem, request.answers)
        if request.event is None and request.problem != CLUSTERING
        else read_source_columns(seen, {}, request.answers)
    )
    profiles = read.profiles
    roles = _with_aliases(_decide_roles(profiles, request), read.aliases)
    others = {*_target_columns(roles), roles.entity.column}
    features, ignored = decide_features(profiles, roles.time, others, request.answers)
    if request.problem == CLUSTERING:
        _leave_texts_out(features, ignored)
    notes = [*read.notes, *roles.time.notes, *roles.target.notes, *roles.entity.notes]
    if request.entity is None:
        said = request.answers.columns
        free = {
            name: profile
            for name, profile in profiles.items()
            if name not in said and not is_reserved(name)
        }
        notes += ask_about_subjects(free, features, ignored, roles.time)
    learned = [feature for feature, _ in features.values()]
    notes += text_notes(learned, profiles, request.answers.columns)
    contract = _contract(source, dataset, roles, features, ignored)
    accepted, refused = check_file(raw, contract)
    limit = TrainingSettings().maximum_quarantine_share
    notes += row_notes(raw.num_rows, accepted, refused, limit)
    if left_out:
        honest, _ = check_file(seen, contract)
        notes += left_out_notes(headers, summaries, refused=len(accepted) == len(honest))
        accepted = honest
    if _target_columns(roles) and (leaks := _leaks(accepted, contract, leak_threshold)):
        for leak in leaks:
            notes.append(f"leak: {leak.reason}; left out: {', '.join(leak.columns)}")
            ignored.update(dict.fromkeys(leak.columns, f"leak: {leak.reason}"))
            for column in leak.columns:
                del features[column]
        contract = _contract(source, dataset, roles, features, ignored)
    return Inferred(contract, _decisions(profiles, roles, features, ignored), tuple(notes))


def _with_aliases(roles: _Roles, aliases: Mapping[str, str]) -> _Roles:
    """The target with the spellings of those labels that are its classes."""
    target = roles.target.target
    kept = {alias: label for alias, label in aliases.items() if label in target.classes}
    changed = replace(roles.target, target=target.model_copy(update={"aliases": kept}))
    return replace(roles, target=changed)


def _target_columns(roles: _Roles) -> list[str]:
    """The column that is predicted; an event and a clustering have none."""
    target = roles.target.target
    return [] if target.event or roles.target.problem == CLUSTERING else [target.column]


def _leave_texts_out(features: dict[str, tuple[Feature, str]], ignored: dict[str, str]) -> None:
    """Move free texts to the columns that are left out."""
    for name in [name for name, (feature, _) in features.items() if feature.is_free_text]:
        del features[name]
        ignored[name] = "free text, by which rows are not grouped"


def _decide_roles(profiles: dict[str, ColumnProfile], request: AdoptionRequest) -> _Roles:
    if request.problem == CLUSTERING and request.event is None:
        role = segments_role(request.target, request.answers)
        named_subject = {request.entity} & {*profiles}
        return _decide_subject(profiles, request, role, {str(each) for each in named_subject})
    if request.event is not None:
        return _roles_beside_events(profiles, request, request.event)
    target = require_column(profiles, request.target, "TARGET")
    if is_reserved(target):
        refuse_name("TARGET", target)
    named = request.entity if request.entity in profiles else None
    if named == target:
        raise AdoptionError(
            f"ID={named} is the TARGET too",
            "name the column that identifies a row's subject, or leave ID out",
        )
    decided = decide_target(profiles[target], request.problem)
    return _decide_subject(profiles, request, decided, {target} | ({named} if named else set()))


def _roles_beside_events(
    profiles: dict[str, ColumnProfile], request: AdoptionRequest, event: Target
) -> _Roles:
    """The roles in a file whose target is no column: subject and time must be there.

    Raises:
        AdoptionError: If one is not.
    """
    named = {request.entity} & {*profiles}
    roles = _decide_subject(
        profiles,
        request,
        event_role(event, request.problem),
        {str(each) for each in named},
    )
    found = {"ID": roles.entity.column, "TIME": roles.time.event_time}
    for option, what in found.items():
        if what is None:
            raise AdoptionError(
                f"TARGET=event:{event.event} looks for a subject's events after a time, and no "
                f"column was found as {option}",
                f"name it: {option}=COLUMN",
            )
    return roles


def _decide_subject(
    profiles: dict[str, ColumnProfile],
    request: AdoptionRequest,
    decided: TargetRole,
    taken: set[str],
) -> _Roles:
    """Time and entity, among the columns that are not taken."""
    named = request.entity if request.entity in profiles else None
    time = decide_time(profiles, request.time, taken, named)
    if time.event_time is not None:
        taken.update(time.event_time.columns)
    own = {name for name in profiles if is_no_input(name)} - {ROW_ID}
    entity = decide_entity(profiles, request.entity, (taken - {named}) | own, time)
    if entity.column in own:
        refuse_name("ID", entity.column)
    return _Roles(decided, time, entity)


def refuse_name(option: str, name: str) -> NoReturn:
    """Refuse a name that this project uses itself.

    Raises:
        AdoptionError: Always.
    """
    raise AdoptionError(f"{option}={name}: this project uses the name itself", "rename the column")


def decide_features(
    profiles: Mapping[str, ColumnProfile],
    time: TimeRole,
    others: Collection[str | None],
    answers: Answers,
) -> tuple[dict[str, tuple[Feature, str]], dict[str, str]]:
    """Features with the reason for each, and the columns left out with the reason.

    Args:
        profiles: Every column.
        time: The event time, whose parts may be features, too.
        others: Columns with another role.
        answers: What the user said about columns.
    """
    event_time = time.event_time
    others = {*others, event_time.column if event_time else None} - set(time.parts)
    features: dict[str, tuple[Feature, str]] = {}
    ignored: dict[str, str] = {}
    for name, profile in profiles.items():
        if name in others:
            continue
        if answers.columns.get(name) == "ignored":
            ignored[name] = "left out, as asked"
            continue
        directive = time.parts.get(name)
        is_part = directive in RANGES or bool(event_time and name == event_time.hour_column)
        # A bad value among the hours is missing; it makes no categories of them.
        part = read_numbers(profile, asked=True) if is_part else profile
        inference = infer_feature(part, answers.columns.get(name))
        feature = inference.feature
        if feature is None:
            is_of_time = event_time is not None and name in event_time.columns
            ignored[name] = "a part of the event time" if is_of_time else inference.reason
        elif directive is not None and feature.type != "boolean":
            in_calendar = calendar_feature(feature, directive)
            features[name] = (in_calendar, "a part of the event time; a feature too")
        elif event_time and name == event_time.hour_column and feature.type != "boolean":
            hours = calendar_feature(feature, "%H")
            features[name] = (hours, "the event time's hour; a feature too")
        else:
            features[name] = (feature, inference.reason)
    return features, ignored


def _contract(
    source: Source,
    dataset: str,
    roles: _Roles,
    features: dict[str, tuple[Feature, str]],
    ignored: dict[str, str],
) -> Contract:
    if not features:
        reasons = [f"{name}: {reason}" for name, reason in ignored.items()]
        raise AdoptionError(
            f"no column is left to learn from: {'; '.join(reasons[:10]) or 'there is no other'}",
            "give a file with columns that vary and repeat",
        )
    try:
        return Contract(
            dataset=dataset,
            problem=roles.target.problem,
            source=source,
            entity=roles.entity.column,
            entity_repeats=roles.entity.repeats,
            event_time=roles.time.event_time,
            target=roles.target.target,
            features=tuple(feature for feature, _ in features.values()),
            ignored=ignored,
        )
    except ValidationError as error:
        found = "; ".join(detail["msg"] for detail in error.errors())
        raise AdoptionError(found, "rename the column, or take it out of the file") from error


def _leaks(accepted: pd.DataFrame, contract: Contract, threshold: float) -> list[Leak]:
    frame = pd.DataFrame(
        {
            feature.name: accepted[feature.name].astype(
                "float64" if feature.is_numeric else "object"
            )
            for feature in contract.features
            if not feature.is_free_text  # hardly two rows have the same one, so it tells nothing
        },
        index=accepted.index,
    )
    return find_leaks(frame, accepted[contract.target.column], contract.problem, threshold)


def _decisions(
    profiles: dict[str, ColumnProfile],
    roles: _Roles,
    features: dict[str, tuple[Feature, str]],
    ignored: dict[str, str],
) -> tuple[Decision, ...]:
    target, kind = roles.target, "number" if roles.target.problem == "regression" else "category"
    named = {}
    if _target_columns(roles):
        named[target.target.column] = Role("target", kind, target.domain, target.reason)
    if roles.entity.column is not None:
        named[roles.entity.column] = text_role(
            "entity", profiles[roles.entity.column], roles.entity.reason
        )
    return describe_columns(profiles, {**time_role(roles.time), **named}, features, ignored)
