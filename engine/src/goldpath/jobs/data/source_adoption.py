"""Add a further source: infer its contract, and write `config/sources/NAME.yaml`."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from goldpath.adoption.answers import Answers
from goldpath.adoption.column_profile import AdoptionError
from goldpath.adoption.infer import Adoption
from goldpath.adoption.source_inference import SourceRequest, infer_source
from goldpath.contract import Contract, ContractError, load_contract
from goldpath.domain import NULL_WORDS, PADDING
from goldpath.jobs.data.adoption import (
    NO_ANSWERS,
    ReadRows,
    locate,
    read_rows,
    replace_file,
    said,
)
from goldpath.jobs.data.subjects import known_subjects, subject_notes
from goldpath.models.folders import further_models
from goldpath.raw_source import Source
from goldpath.settings import Settings
from goldpath.source_contract import (
    SourceContract,
    dump_source,
    load_sources,
    parse_source,
    require_source_name,
)
from goldpath.sources.dialect import detect_dialect
from goldpath.sources.files import find_files, is_json_lines, is_parquet
from goldpath.sources.read import list_parts
from goldpath.sources.s3 import SCHEME

QUERY = re.compile(r"\s*(select|with)\s", re.IGNORECASE)
HEADER = """\
# A further source: any number of rows for each {entity}. `make add-source` wrote it from
#   {origin}
# {duplicates}
# Change what it got wrong: a type, a range, a category. The version before is {name}.yaml.bak.
"""
WITH_KEY = "Of several rows with one {key}, silver keeps the one that was ingested last."
WITHOUT_KEY = (
    "No key: each row of the files that the source holds now stands, known by its file and number."
)


def add_source(
    settings: Settings,
    contract: Contract,
    name: str,
    data: str,
    entity: str,
    time: str,
    key: str | None = None,
    url_variable: str | None = None,
    answers: Answers = NO_ANSWERS,
) -> Adoption:
    """Infer a source's contract and write `config/sources/NAME.yaml`; on an error nothing is.

    Args:
        settings: Names the project's folder.
        contract: The main table's, whose name no source may have; or a further model's of it.
        name: Names the source, its file and its tables.
        data: CSV, Parquet or JSON lines: a file, a folder, a glob or an S3 prefix; or a SQL query.
            A relative path starts here, or else at the project's root.
        entity: Column with the main table's subject, whatever it is called here.
        time: Column of the time; `date+hour` joins two.
        key: Column that tells rows apart, if there is one.
        url_variable: The environment variable with the query's database; `MLOPS_SOURCE_URL` if it
            is not given.
        answers: Answers to what an earlier call asked.

    Returns:
        What was decided about each column, and why.

    Raises:
        ContractError: If the name cannot be a source's, or a file of another source is wrong.
        SourceError: If the data cannot be read.
        AdoptionError: If the request does not fit the data, or the name is another source's.
    """
    name = name.strip()
    require_source_name(name, contract.base, f"NAME={name}")
    _require_no_model(settings, name)
    # Those of another dataset, too, whose files a name would replace.
    held = {each.dataset: each for each in load_sources(settings.root)}
    read = _read(settings, data, said(url_variable), answers)
    if name in held and _origin(held[name].source) != _origin(read.source):
        raise AdoptionError(
            f"NAME={name}: {held[name].file} is a source already, of {held[name].source.name}",
            "give this one another name, or delete that file first",
        )
    request = SourceRequest(entity.strip(), time.strip(), said(key), answers)
    inferred = infer_source(read.rows, read.source, name, request)
    written = inferred.contract.model_copy(update={"belongs_to": contract.base})
    text = _header(written) + dump_source(written)
    parse_source(text, name)  # what was written must be readable, or the project is broken
    file = settings.root / written.file
    replace_file(file, text)
    return Adoption(
        file=data,
        contract_file=settings.shown(file),
        contract=written.model_dump(mode="json", exclude_defaults=True, by_alias=True),
        decisions=inferred.decisions,
        notes=(
            *read.notes,
            *_subject_notes(settings, contract, inferred.contract, read.rows),
            *inferred.notes,
        ),
    )


def _require_no_model(settings: Settings, name: str) -> None:
    """Refuse a source whose tables would be those of a further model."""
    for model in further_models(settings.root):
        contract = load_contract(settings.root, model)
        if contract.dataset == name:
            raise ContractError(
                f"NAME={name} names the tables of the model {model} ({contract.file})",
                "give the source another name",
            )


def _read(settings: Settings, data: str, url_variable: str | None, answers: Answers) -> ReadRows:
    """The rows, wherever they are, and the source as its file names it."""
    if not data.strip():
        raise AdoptionError("DATA is empty", "give a file, a folder, an S3 prefix or a SQL query")
    if QUERY.match(data):
        variable = {"url_variable": url_variable} if url_variable else {}
        query = Source(query=data.strip(), **variable)
        return read_rows(query, settings.root, answers, is_csv=False)
    if data.startswith(SCHEME):
        first, *_ = list_parts(Source(path=data), settings.root)
        with first.local() as file:
            detected = detect_dialect(file).model_copy(update={"path": data})
            is_csv = not (is_parquet(file) or is_json_lines(file))
        return read_rows(detected, settings.root, answers, is_csv=is_csv)
    place = locate(settings.root, Path(data))
    (_, local), *_ = find_files(str(place), Path())
    is_csv = not (is_parquet(local) or is_json_lines(local))
    read = read_rows(detect_dialect(place), settings.root, answers, is_csv=is_csv)
    # Relative inside the project, so that the project can move.
    shown = read.source.model_copy(update={"path": settings.shown(place)})
    return ReadRows(read.rows, shown, read.notes)


def _origin(source: Source) -> tuple[str, str]:
    return source.path, source.query or ""


def _header(contract: SourceContract) -> str:
    rule = WITH_KEY.format(key=contract.key) if contract.key else WITHOUT_KEY
    return HEADER.format(
        entity=" ".join(contract.entity.split()),
        origin=" ".join(contract.source.name.split()),
        duplicates=" ".join(rule.split()),
        name=contract.dataset,
    )


def _subject_notes(
    settings: Settings, main: Contract, source: SourceContract, rows: pa.Table
) -> list[str]:
    """Whether the main table's rows have a subject that the source's can belong to."""
    if main.entity is None:
        return [
            "the main table has no entity (config/project.yaml), so its rows cannot be found by "
            f"{source.entity}, and data forget finds nobody: name its column there"
        ]
    taken = (
        f"{source.entity} here and {main.entity} in {main.dataset} are taken for the same "
        "subjects: data forget and data export find a person in both"
    )
    known = known_subjects(settings, main)
    if not known:
        return [taken, f"whether their values are the same is not known: no row of {main.dataset}"]
    column = pc.utf8_trim(rows[source.entity], characters=PADDING)
    ids = {each for each in pc.unique(column).to_pylist() if each is not None}
    own = {each for each in ids if each.lower() not in NULL_WORDS}
    return [taken, *subject_notes(own, known, source.entity, f"{main.entity} in {main.dataset}")]
