"""The contract for a further source: many rows for each subject, an event time, and no target.

Each column is read and decided as in `infer`; what differs is which roles there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
from pydantic import ValidationError

from goldpath.adoption.answers import Answers
from goldpath.adoption.column_profile import AdoptionError, ColumnProfile, is_reserved, percentage
from goldpath.adoption.decisions import (
    Decision,
    Role,
    describe_columns,
    text_role,
    time_role,
)
from goldpath.adoption.header_line import find_repeated_headers
from goldpath.adoption.infer import decide_features, refuse_name
from goldpath.adoption.reading import read_source_columns
from goldpath.adoption.row_check import check_file, row_notes
from goldpath.adoption.summary_rows import find_summary_rows, left_out_notes, without_rows
from goldpath.adoption.time_role import TimeRole, decide_time
from goldpath.contract import Feature
from goldpath.raw_source import Source
from goldpath.source_contract import SourceContract

REPEATED_KEYS = 0.2
"""With more rows than this share repeating another's key, it is none."""


@dataclass(frozen=True)
class SourceRequest:
    """What the user said about a further source.

    Attributes:
        entity: Column with the main table's subject.
        time: Column of the time, or several such as `date+hour`.
        key: Column that tells rows apart, if there is one.
        answers: Answers to what an earlier call asked.
    """

    entity: str
    time: str
    key: str | None = None
    answers: Answers = field(default_factory=Answers)


@dataclass(frozen=True)
class InferredSource:
    """A source's contract, and how it came about."""

    contract: SourceContract
    decisions: tuple[Decision, ...]
    notes: tuple[str, ...]


def infer_source(
    raw: pa.Table, source: Source, name: str, request: SourceRequest
) -> InferredSource:
    """Decide what every column of a further source is.

    Args:
        raw: Its rows, as `sources.read_raw` gives them.
        source: How it is read.
        name: Names the source and its tables.
        request: What the user said.

    Raises:
        AdoptionError: If the request does not fit the rows, or none of them could be used.
    """
    headers = find_repeated_headers(raw)
    summaries = find_summary_rows(raw, headers)
    left_out = (*headers, *(row.number for row in summaries))
    seen = without_rows(raw, left_out)
    named = {"ID": request.entity} | ({"KEY": request.key} if request.key else {})
    if not request.entity:
        raise AdoptionError(
            "ID is empty: a source's rows belong to the main table's subjects",
            f"name the column that holds them: ID=… (it has: {', '.join(raw.column_names)[:600]})",
        )
    read = read_source_columns(seen, named, request.answers)
    profiles = read.profiles
    for option, column in named.items():
        if is_reserved(column):
            refuse_name(option, column)
    if request.key == request.entity:
        raise AdoptionError(
            f"KEY={request.key} is the ID too, so silver would keep one row of each subject",
            "name the column that numbers the rows, or leave KEY out",
        )
    entity, entity_notes = _entity(profiles[request.entity])
    time = _time(profiles, request)
    features, ignored = decide_features(profiles, time, named.values(), request.answers)
    key, key_notes = _key(profiles, request, ignored)
    contract = _contract(source, name, request, time, features, ignored)
    accepted, refused = check_file(raw, contract)
    notes = [*read.notes, *entity_notes, *time.notes, *key_notes]
    notes += row_notes(raw.num_rows, accepted, refused)
    if left_out:
        honest, _ = check_file(seen, contract)
        notes += left_out_notes(headers, summaries, refused=len(accepted) == len(honest))
    roles = {**time_role(time), request.entity: entity, **key}
    decisions = describe_columns(profiles, roles, features, ignored, "column")
    return InferredSource(contract, decisions, tuple(notes))


def _entity(profile: ColumnProfile) -> tuple[Role, list[str]]:
    """Whose rows they are; many rows of one subject are normal."""
    name = profile.name
    if profile.present == 0:
        raise AdoptionError(f"ID={name} has no value in any row", "name another column")
    notes = []
    if profile.missing:
        notes.append(f"{profile.missing_text} rows have no {name}: silver will quarantine them")
    each = profile.present / profile.distinct
    reason = f"as asked; {each:.1f} rows each" if each > 1 else "as asked; one row each"
    return text_role("entity", profile, reason), notes


def _time(profiles: Mapping[str, ColumnProfile], request: SourceRequest) -> TimeRole:
    """When each row became true, which no source can do without."""
    taken = {request.entity} | ({request.key} if request.key else set())
    if request.time and (request.time.lower() != "none" or request.time in profiles):
        return decide_time(profiles, request.time, taken, request.entity)
    found = decide_time(profiles, None, taken, request.entity).event_time
    columns = "+".join(found.columns) if found else ""
    raise AdoptionError(
        f"TIME={request.time}: a source's rows need a time, or nobody knows which of them were "
        "there when the main table's row became true",
        f"name its column: TIME={columns}" if columns else "name the column of the time: TIME=…",
    )


def _key(
    profiles: Mapping[str, ColumnProfile], request: SourceRequest, ignored: Mapping[str, str]
) -> tuple[dict[str, Role], list[str]]:
    """What tells the rows apart, or a question about what could."""
    if request.key is None:
        could = [name for name in ignored if profiles[name].is_unique and profiles[name].names_rows]
        asks = [
            f"question: {name} differs in every row: is it the rows' key? With KEY={name} a row "
            "that is delivered again replaces the former one"
            for name in could[:1]
        ]
        stands = (
            "no KEY: each row of the files that the source holds now stands, known by its file and "
            "its number in it; two files of the same content are one"
        )
        return {}, [stands, *asks]
    profile = profiles[request.key]
    if profile.present == 0:
        raise AdoptionError(
            f"KEY={request.key} has no value in any row", "name another column, or leave KEY out"
        )
    repeated = profile.present - profile.distinct
    if repeated > REPEATED_KEYS * profile.rows:
        raise AdoptionError(
            f"KEY={request.key} tells no rows apart: {repeated:,} of {profile.rows:,} rows "
            f"({percentage(repeated, profile.rows)}) repeat one; silver would drop them",
            "name the column that numbers the rows, or leave KEY out",
        )
    notes = []
    if profile.missing:
        notes.append(
            f"{profile.missing_text} rows have no {request.key}: silver will quarantine them"
        )
    if repeated:
        notes.append(f"{repeated:,} rows repeat a {request.key}: silver keeps the last of each")
    reason = "as asked; of several rows with one, the last that was ingested stands"
    return {request.key: text_role("key", profile, reason)}, notes


def _contract(
    source: Source,
    name: str,
    request: SourceRequest,
    time: TimeRole,
    features: Mapping[str, tuple[Feature, str]],
    ignored: dict[str, str],
) -> SourceContract:
    if time.event_time is None:
        raise AssertionError("a source without a time was refused")
    try:
        return SourceContract(
            dataset=name,
            source=source,
            entity=request.entity,
            event_time=time.event_time,
            key=request.key,
            features=tuple(feature for feature, _ in features.values()),
            ignored=ignored,
        )
    except ValidationError as error:
        found = "; ".join(detail["msg"] for detail in error.errors())
        raise AdoptionError(found, "rename the column, or take it out of the source") from error
