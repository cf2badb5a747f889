"""`data export`: everything held about a person, as one file.

LGPD Art. 18 (access, portability); GDPR Art. 15 (access) and 20 (portability).
"""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goldpath.contract import Contract
from goldpath.errors import NothingToDoError
from goldpath.jobs.privacy.person import Held, find_person
from goldpath.jobs.privacy.person_feedback import labels_of
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import Lakehouse
from goldpath.presentation import step
from goldpath.privacy.person_rows import Holding, checked_entity, rows_of
from goldpath.serving.log.erasure import lines_of
from goldpath.settings import Settings
from goldpath.source_contract import load_sources


@dataclass(frozen=True)
class ExportResult:
    """What was written, and where.

    Attributes:
        file: JSON that only its owner may read.
        rows: Rows, by table.
        online_store: Feature views with the person's values.
        prediction_log: Lines of the prediction log.
        feedback: Labels that came back for the person's predictions.
        not_searched: Tables of other datasets with a column of the same name.
    """

    file: str
    rows: dict[str, int]
    online_store: tuple[str, ...]
    prediction_log: int
    feedback: int
    not_searched: tuple[str, ...]


def export_person(
    settings: Settings, contract: Contract, entity_id: str, output: Path
) -> ExportResult:
    """Write everything held about a person to one JSON file.

    Args:
        settings: Where everything is.
        contract: Names the entity's column, and the columns that are personal.
        entity_id: The person; padding does not count.
        output: The file; one that exists is replaced.

    Raises:
        PrivacyError: If the contract has no entity, or the id is none.
        NothingToDoError: If nothing is held about the person; no file is written then.
    """
    entity = checked_entity(contract, entity_id)
    lakehouse = open_lakehouse(settings)
    step("looking for the person in the lake, the online store, the log and the source")
    held = find_person(settings, contract, lakehouse, entity)
    if held.is_empty:
        raise NothingToDoError("nothing is held about this person", "check the id")
    contracts = (
        *(each.contract for each in held.models),
        *load_sources(settings.root, contract.base),
    )
    personal = {
        "": set(contract.personal),
        **{each.dataset: set(each.personal) for each in contracts},
    }
    log = [
        line
        for each in held.models
        for line in lines_of(each.settings.root / each.settings.serving.prediction_log, entity)
    ]
    labels = [
        label
        for each in held.models
        for label in labels_of(each.settings, each.contract, lakehouse, entity)
    ]
    document = {
        "dataset": contract.dataset,
        "entity_column": contract.entity_column,
        "entity": entity,
        "made_at": datetime.now(UTC).isoformat(),
        "personal_columns": list(contract.personal),
        "tables": {
            str(found.table): _table(lakehouse, found, personal, entity)
            for found in held.holdings
            if found.rows or found.snapshots
        },
        "online_store": {name: asdict(row) for name, row in held.online.items()},
        "prediction_log": log,
        "feedback": labels,
        "files_of_the_source": held.sources,
        "not_searched": [str(name) for name in held.tables.others],
    }
    _write_private(output, json.dumps(_plain(document), indent=2, ensure_ascii=False))
    return _result(settings, held, output)


def _table(
    lakehouse: Lakehouse, holding: Holding, personal: Mapping[str, set[str]], entity: str
) -> dict[str, Any]:
    rows = lakehouse.collect(rows_of(lakehouse, holding.table, holding.column, entity))
    marked = {holding.column} | personal.get(holding.table.name, personal[""])
    return {
        "entity_column": holding.column,
        "columns": {name: {"personal": name in marked} for name in rows.column_names},
        "rows": rows.to_pylist(),
        "snapshots_that_hold_rows": [
            {"id": found.snapshot_id, "committed_at": found.committed_at, "tags": found.tags}
            for found in holding.snapshots
        ],
    }


def _result(settings: Settings, held: Held, output: Path) -> ExportResult:
    return ExportResult(
        file=settings.shown(output),
        rows={str(found.table): found.rows for found in held.holdings if found.rows},
        online_store=tuple(held.online),
        prediction_log=held.log_lines,
        feedback=held.labels,
        not_searched=tuple(map(str, held.tables.others)),
    )


def _plain(value: Any) -> Any:
    """Values that JSON has: times as ISO 8601, a number that is none as null."""
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, int | float | str | None) else _text(value)


def _text(value: Any) -> str:
    return str(value.isoformat() if isinstance(value, datetime) else value)


def _write_private(file: Path, text: str) -> None:
    """Write a file that nobody else may read, not even while it is being written."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text + "\n")
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
