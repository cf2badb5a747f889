"""`data forget`: take a person out of every place that holds rows, for good.

The order makes a killed run harmless: first the person cannot come back, then the rows go, then the
snapshots and files that held them; running it again goes on with what is left.
"""

from dataclasses import dataclass
from typing import Literal

from goldpath.contract import Contract
from goldpath.errors import NothingToDoError
from goldpath.features.online.open_store import open_online_store
from goldpath.features.views import load_views
from goldpath.features.window.online import written_views
from goldpath.jobs.drift.kept_log import forget_kept
from goldpath.jobs.privacy.person import Held, find_person, person_views
from goldpath.jobs.privacy.person_feedback import erase_feedback
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse
from goldpath.presentation import step
from goldpath.privacy.erasure import PrivacyError, alone, audit_file, hash_key, hash_of, write_audit
from goldpath.privacy.person_rows import Holding, checked_entity, find_rows
from goldpath.privacy.suppression import SuppressionList
from goldpath.serving.log.erasure import erase_lines
from goldpath.settings import Settings


@dataclass(frozen=True)
class ForgetResult:
    """What is held about a person and would go, or what went.

    Attributes:
        state: planned: nothing was changed; forgotten: it was done.
        rows: Rows, by table.
        snapshots: Snapshots that hold such rows, the current ones included, by table.
        training_snapshots: The tags among them: models that were trained on the person's rows.
        online_store: Feature views of the online store with the person's values.
        prediction_log: Lines of the prediction log. Lines of requests that named no entity cannot
            be found.
        feedback: Labels that came back for the person's predictions.
        reports: Pages in which the id stands.
        sources: Files of the source that still hold the person. The project never changes those;
            the person's rows in them are not taken in again.
        not_searched: Tables of other datasets with a column of the same name, and of sources that
            `config/sources` names no more.
        audit: The audit record.
        message: What to do next.
        exit_code: 0 where it was done, 1 where it was only planned.
    """

    state: Literal["planned", "forgotten"]
    rows: dict[str, int]
    snapshots: dict[str, int]
    training_snapshots: dict[str, str]
    online_store: tuple[str, ...]
    prediction_log: int
    feedback: int
    reports: tuple[str, ...]
    sources: dict[str, str]
    not_searched: tuple[str, ...]
    audit: str
    message: str
    exit_code: int


def forget(
    settings: Settings, contract: Contract, entity_id: str, *, yes: bool, reason: str = ""
) -> ForgetResult:
    """Remove a person from every layer, the online store, the prediction log and the snapshots.

    Args:
        settings: Where everything is.
        contract: Names the entity's column.
        entity_id: The person; padding does not count.
        yes: Do it; otherwise it is only said what would go, and nothing changes.
        reason: For the audit record, such as the request's number.

    Raises:
        PrivacyError: If the contract has no entity, the id is none, or a run is under way.
        NothingToDoError: If nothing is held about the person.
    """
    entity = checked_entity(contract, entity_id)
    lakehouse = open_lakehouse(settings)
    suppressed = SuppressionList(lakehouse, settings, contract)
    if not yes:
        held = _find(settings, contract, lakehouse, suppressed, entity)
        return _result(settings, held, "planned")
    with alone(settings):
        held = _find(settings, contract, lakehouse, suppressed, entity)
        person = hash_of(hash_key(settings, create=True), entity)
        facts = _facts(held)
        write_audit(settings, "erasure begun", person, reason=reason, **facts)
        suppressed.add(entity)
        for each in held.models:
            erase_feedback(each.settings, each.contract, lakehouse, each.feedback)
        for holding in held.holdings:
            _erase_rows(lakehouse, holding, entity)
        _erase_elsewhere(held, entity)
        step("verifying: looking for the person once more")
        _verify(find_person(settings, contract, lakehouse, entity))
        write_audit(settings, "erasure done", person, reason=reason, **facts)
    return _result(settings, held, "forgotten")


def _find(
    settings: Settings,
    contract: Contract,
    lakehouse: Lakehouse,
    suppressed: SuppressionList,
    entity: str,
) -> Held:
    step("looking for the person in the lake, the online store, the log and the source")
    held = find_person(settings, contract, lakehouse, entity)
    # An erasure that was killed left the person on the list, and perhaps files of no snapshot.
    if held.is_empty and not held.sources and entity not in suppressed.load():
        raise NothingToDoError("nothing is held about this person", "check the id")
    return held


def _erase_rows(lakehouse: Lakehouse, holding: Holding, entity: str) -> None:
    table, column = holding.table, holding.column
    if holding.rows:
        step(f"{table}: removing {holding.rows} rows")
        lakehouse.delete(table, column, holding.written_as)
        holding = find_rows(lakehouse, table, column, entity)
    if holding.rows:
        raise PrivacyError(
            f"{table} holds rows of the person after they were removed; something writes to it",
            "stop what writes to the lake and run the command again",
        )
    step(f"{table}: dropping {len(holding.snapshots)} snapshots and their files")
    lakehouse.purge(table, [snapshot.snapshot_id for snapshot in holding.snapshots])


def _erase_elsewhere(held: Held, entity: str) -> None:
    step("online store, prediction log and reports")
    for each in held.models:
        settings, contract = each.settings, each.contract
        store = open_online_store(settings)
        views = person_views(settings, contract)
        if views and len(views) == len(load_views(settings, contract)):
            store.delete(entity)  # from views that are no longer in the configuration, too
        else:
            for name in (*(view.name for view in views), *written_views(store)):
                store.delete(entity, name)
        erase_lines(settings.root / settings.serving.prediction_log, entity)
        forget_kept(settings.reports)
    for page in held.pages:
        page.unlink(missing_ok=True)


def _verify(left: Held) -> None:
    if not left.is_empty:
        places = [
            *(str(found.table) for found in left.holdings if found.rows or found.snapshots),
            *(f"online store: {view}" for view in left.online),
            *(["the prediction log"] if left.log_lines else []),
            *(["the labels"] if left.labels else []),
            *(page.name for page in left.pages),
        ]
        raise PrivacyError(
            f"the person is still, or again, in: {', '.join(places)}",
            "stop what writes there and run the command again",
        )


def _facts(held: Held) -> dict[str, object]:
    """For the audit record: counts and snapshots, and no value of a row."""
    return {
        "rows": {str(found.table): found.rows for found in held.holdings},
        "snapshots": {
            str(found.table): [snapshot.snapshot_id for snapshot in found.snapshots]
            for found in held.holdings
        },
        "training_snapshots": _trainings(held),
        "online_store": list(held.online),
        "prediction_log_lines": held.log_lines,
        "labels": held.labels,
        "reports": [page.name for page in held.pages],
        "files_of_the_source": len(held.sources),
    }


def _trainings(held: Held) -> dict[str, str]:
    return {
        tag: f"{found.table} snapshot {snapshot_id}"
        for found in held.holdings
        for tag, snapshot_id in found.tags.items()
    }


def _result(settings: Settings, held: Held, state: Literal["planned", "forgotten"]) -> ForgetResult:
    planned = state == "planned"
    advice = (
        "Nothing was changed. To remove all of this for good, run the command again with --yes."
        if planned
        else "Done."
    )
    if _trainings(held):
        advice += (
            " Models were trained on these rows; they stay as they are. Train again"
            " (make train-local) for one that never saw them."
        )
    if held.sources:
        advice += " Take the person out of the source, too; until then the rows are passed over."
    if held.tables.others:
        advice += " Look at the tables that were not searched: nothing was looked for in them."
    return ForgetResult(
        state=state,
        rows={str(found.table): found.rows for found in held.holdings if found.rows},
        snapshots={
            str(found.table): len(found.snapshots) for found in held.holdings if found.snapshots
        },
        training_snapshots=_trainings(held),
        online_store=tuple(held.online),
        prediction_log=held.log_lines,
        feedback=held.labels,
        reports=tuple(settings.shown(page) for page in held.pages),
        sources=held.sources,
        not_searched=tuple(map(str, held.tables.others)),
        audit="" if planned else settings.shown(audit_file(settings)),
        message=advice,
        exit_code=1 if planned else 0,
    )
