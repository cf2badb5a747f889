"""Adopt a file, or a folder of them: infer its contract, and make that the project's."""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from goldpath.adoption.answers import Answers
from goldpath.adoption.header_line import find_repeated_headers
from goldpath.adoption.infer import Adoption, AdoptionRequest, infer_contract
from goldpath.adoption.row_check import check_file
from goldpath.adoption.summary_rows import without_rows
from goldpath.adoption.target_role import EVENT
from goldpath.adoption.thousands import find_thousands
from goldpath.contract import Contract, Target, dump_contract, parse_contract
from goldpath.features.event_labels import event_source
from goldpath.jobs.data.forecast_proposal import propose_forecast
from goldpath.models.folders import FOLDER, further_models
from goldpath.project import unused_definitions
from goldpath.raw_source import Source
from goldpath.row_contract import ContractError
from goldpath.settings import Settings
from goldpath.source_contract import load_sources, unused_parts
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.files import GLOB_CHARACTERS, find_files, is_json_lines, is_parquet
from goldpath.sources.number_marks import read_marks
from goldpath.sources.read import changed_names, read_raw

NO_ANSWERS = Answers()
SHOWN_NAMES = 5
HEADER = """\
# The dataset contract: the one place where columns are named. `make adopt` wrote it from
#   {file}
# Change what it got wrong: a type, a range, a category. The version before is project.yaml.bak.
"""


def adopt_file(
    settings: Settings,
    data: Path,
    target: str,
    entity: str | None,
    time: str | None,
    problem: str | None,
    answers: Answers = NO_ANSWERS,
    horizon: str | None = None,
    event: Target | None = None,
) -> Adoption:
    """Infer the contract of a file and write `config/project.yaml`; on an error nothing is written.

    Args:
        settings: Names the project's folder and the leak threshold.
        data: CSV, Parquet or JSON lines: a file, a folder or a glob; a relative path starts here,
            or else at the project's root.
        target: Column to predict; empty of a clustering.
        entity: Column that identifies a row's subject, if known.
        time: Column of the time, `date+hour`, or `none`; looked for where it is not given.
        problem: `classification`, `regression` or `clustering`; one of the first two is inferred
            where it is not given.
        answers: Answers to what an earlier adoption asked.
        horizon: How long before its time a row of a series is asked for; None: at its time.
        event: The target, where it is made from the rows of a further source; `target` then only
            names it in messages.

    Returns:
        What was decided about each column, and why.

    Raises:
        SourceError: If the file cannot be read.
        AdoptionError: If the request does not fit the file, or with a horizon the rows are no
            regular series.
    """
    file = locate(settings.root, data)
    read = read_rows(detect_dialect(file), settings.root, answers, is_csv=_is_csv(file))
    # Relative inside the project, so that the project can move.
    source = read.source.model_copy(update={"path": settings.shown(file)})
    request = AdoptionRequest(
        target.strip(), said(entity), said(time), _lower(said(problem)), answers, event
    )
    inferred = infer_contract(
        read.rows, source, dataset_name(_title(file)), request, settings.training.leak_threshold
    )
    contract, ahead = inferred.contract, said(horizon)
    proposed: tuple[str, ...] = ()
    if ahead is not None:
        accepted, _ = check_file(read.rows, contract)
        proposal = propose_forecast(accepted, contract, ahead)
        contract, proposed = contract.with_parts(forecast=proposal.forecast), proposal.notes
    to_do = (*_event_notes(settings, contract), *_model_notes(settings.root))
    contract_file = settings.root / "config" / "project.yaml"
    text = HEADER.format(file=" ".join(source.path.split())) + dump_contract(contract)
    parse_contract(text)  # what was written must be readable, or the project is broken
    replace_file(contract_file, text)
    return Adoption(
        file=str(data),
        contract_file=settings.shown(contract_file),
        contract=contract.model_dump(mode="json", exclude_defaults=True),
        decisions=inferred.decisions,
        notes=(
            *read.notes,
            *inferred.notes,
            *proposed,
            *to_do,
            *_size_notes(read.rows.num_rows, settings),
            *_own(settings.root, contract),
        ),
    )


def _event_notes(settings: Settings, contract: Contract) -> list[str]:
    """What is still to be done for a target of events.

    Raises:
        ContractError: If the source is described, and does not fit or is of another dataset.
    """
    event = contract.target.event
    if not event:
        return []
    sources = {each.dataset: each for each in load_sources(settings.root)}
    if event not in sources:
        return [f"{event} is not described yet: make add-source NAME={event} DATA=… ID=… TIME=…"]
    if not sources[event].suits(contract.dataset):
        raise ContractError(
            f"target.event: {sources[event].file} is of {sources[event].belongs_to}, and this "
            f"dataset is {contract.dataset}",
            f"change it to suit these rows, with dataset: {contract.dataset}; or delete it",
        )
    event_source(contract, sources.values())
    return []


def _model_notes(root: Path) -> list[str]:
    """What is to be done for the further models, whose rows are those of the main one."""
    return [
        f"{FOLDER}/{name} is now a model of these rows: check or delete it"
        for name in further_models(root)
    ]


def event_texts(root: Path, target: str) -> tuple[str, ...]:
    """The columns that hold text, of the source that `TARGET=event:SOURCE` names, if described.

    Raises:
        ContractError: If a source's file is wrong.
    """
    if not target.startswith(EVENT):
        return ()
    named = target.removeprefix(EVENT).strip()
    return tuple(
        feature.name
        for source in load_sources(root)
        if source.dataset == named
        for feature in source.features
        if feature.domain.is_text
    )


@dataclass(frozen=True)
class ReadRows:
    """A source's rows, and how they are read.

    Attributes:
        rows: As every later reader of the source gets them.
        source: With the marks in its numbers.
        notes: What is unusual about how it is written, so that a wrong guess is seen.
    """

    rows: pa.Table
    source: Source
    notes: tuple[str, ...]


def read_rows(detected: Source, root: Path, answers: Answers, *, is_csv: bool) -> ReadRows:
    """Read a source, and find out which marks group the digits of its numbers.

    Args:
        detected: How it is written, as far as that is known.
        root: Where a relative path starts.
        answers: Answers to what an earlier adoption asked.
        is_csv: Whether people wrote the text.

    Raises:
        SourceError: If the source cannot be read.
    """
    written = read_raw(detected.model_copy(update={"decimal": "."}), root)
    rows = without_rows(written, find_repeated_headers(written))
    thousands = find_thousands(rows, detected.decimal, answers.columns)
    source = detected.model_copy(update={"thousands": dict(thousands.marks)})
    raw = _read_marks(written, source, is_csv)
    renamed = _renamed_notes(changed_names(detected, root))
    return ReadRows(raw, source, (*_file_notes(source), *renamed, *thousands.notes))


def _renamed_notes(changed: Mapping[str, str]) -> list[str]:
    """The columns that are called otherwise than in the file's header."""
    unnamed = [name for name, written in changed.items() if not written.strip()]
    others = [f"{written!r} is {name!r}" for name, written in changed.items() if written.strip()]
    notes = []
    if unnamed:
        notes.append(
            f"the header has {len(unnamed):,} empty name{'s' * (len(unnamed) > 1)}: "
            f"{_shown(unnamed)} stand{'s' * (len(unnamed) == 1)} for {_them(unnamed)} in the "
            "contract"
        )
    if others:
        notes.append(f"names of the header are changed, here and in the contract: {_shown(others)}")
    return notes


def _shown(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - SHOWN_NAMES:,} more" * (len(texts) > SHOWN_NAMES)
    return ", ".join(texts[:SHOWN_NAMES]) + more


def _them(texts: Sequence[str]) -> str:
    return "it" if len(texts) == 1 else "them"


def _is_csv(file: Path) -> bool:
    (_, first), *_ = find_files(str(file), Path())
    return not (is_parquet(first) or is_json_lines(first))


def _read_marks(written: pa.Table, source: Source, is_csv: bool) -> pa.Table:
    """The rows as every later reader of the source gets them."""
    batches = [read_marks(rows, source, is_csv=is_csv) for rows in written.to_batches()]
    return pa.Table.from_batches(batches, written.schema)


def _own(root: Path, contract: Contract) -> tuple[str, ...]:
    """What becomes of the definitions and sources that the project has for another dataset."""
    try:
        unused = unused_parts(root, contract.base)
    except ContractError as error:  # the file is adopted all the same; `make data` asks for a fix
        unused = "; ".join(filter(None, [unused_definitions(contract.base), str(error)]))
    return (unused,) if unused else ()


def locate(root: Path, data: Path) -> Path:
    """The absolute path: from the current folder, as a shell completes it, else the root."""
    place = data.expanduser()
    if place.is_absolute():
        return place
    is_here = place.exists() or any(Path().glob(str(place)))
    return place.absolute() if is_here else root / place


def _title(data: Path) -> str:
    """The last name on the path that says something: of `raw/*.csv` that is `raw`."""
    named = (part for part in reversed(data.parts) if not GLOB_CHARACTERS & set(part))
    return Path(next(named)).stem


def said(text: str | None) -> str | None:
    """An option of make that was left out arrives as an empty text."""
    return text.strip() or None if text is not None else None


def _lower(text: str | None) -> str | None:
    return text.lower() if text is not None else None


def _file_notes(source: Source) -> list[str]:
    """What is unusual about the file's form, so that a wrong guess is seen."""
    notes = []
    if source.skip_lines:
        lines = "line is" if source.skip_lines == 1 else f"{source.skip_lines} lines are"
        notes.append(
            f"the first {lines} no part of the table and skipped (the contract's source.skip_lines)"
        )
    if source.encoding not in ("utf-8", "utf-8-sig"):
        notes.append(f"the file is not UTF-8; read as {source.encoding}")
    if source.delimiter != ",":
        names = {";": "semicolons", "\t": "tabs", "|": "bars"}
        name = names.get(source.delimiter, repr(source.delimiter))
        notes.append(f"fields are separated by {name}")
    if source.decimal == ",":
        notes.append("commas in numbers are decimal commas: 1,5 is read as 1.5")
    return notes


def _size_notes(rows: int, settings: Settings) -> list[str]:
    test_rows = int(rows * settings.training.test_fraction)
    if test_rows >= settings.training.minimum_test_rows:
        return []
    return [
        f"{rows:,} rows leave {test_rows:,} for the test, but training wants "
        f"{settings.training.minimum_test_rows:,} (training.minimum_test_rows)"
    ]


def replace_file(file: Path, text: str) -> None:
    """Replace a contract's file in one step, and keep the one before beside it."""
    if file.exists():
        _replace(file.with_name(file.name + ".bak"), file.read_text(encoding="utf-8"))
    file.parent.mkdir(parents=True, exist_ok=True)
    _replace(file, text)


def _replace(file: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=file.parent, prefix=f".{file.name}.", delete=False
    ) as stream:
        temporary = Path(stream.name)
        try:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
            temporary.chmod(0o644)
            temporary.replace(file)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def dataset_name(text: str) -> str:
    """A dataset name from a file's or a project's name: `Telco Churn.csv` gives `telco_churn`."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return (name if name[:1].isalpha() else f"data_{name}")[:63].strip("_") or "data"
