"""Whether a further source writes the main table's subjects as the main table does.

Rows find their subject by equal text, so `12.0` or `0012` never meet `12`: a feature of them would
be missing in every row, and `data forget` would pass them over.
"""

import re
from collections.abc import Collection, Iterator

import pyarrow.compute as pc

from goldpath.contract import Contract
from goldpath.domain import PADDING
from goldpath.errors import ProjectError
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.tables import silver_table
from goldpath.settings import Settings
from goldpath.sources.read import list_parts, open_part
from goldpath.sources.s3 import SCHEME

SHOWN = 3


def subject_notes(
    ids: Collection[str], known: Collection[str], column: str, main: str
) -> list[str]:
    """What the ids of a source have in common with those of the main table.

    Args:
        ids: The source's, trimmed.
        known: The main table's, trimmed.
        column: The source's column.
        main: What the main table's is called.

    Example:
        >>> subject_notes({"7", "8"}, {"7"}, "client", "id in shop")
        ['1 of 2 values of client are in id in shop']
        >>> (said,) = subject_notes({"07"}, {"7"}, "client", "id in shop")
        >>> said[:66]
        "question: client has '07' where id in shop has '7' (1 of 1 values)"
    """
    strange = {each for each in ids if each not in known}
    meant: dict[str, str] = {}
    if strange:
        by_core = {_core(each): each for each in known}
        meant = {each: by_core[_core(each)] for each in strange if _core(each) in by_core}
    if meant:
        shown = sorted(meant)[:SHOWN]
        here = ", ".join(f"{each!r}" for each in shown)
        there = ", ".join(f"{meant[each]!r}" for each in shown)
        return [
            f"question: {column} has {here} where {main} has {there} ({len(meant):,} of "
            f"{len(ids):,} values): are they the same subjects? Only equal text is, so their rows "
            "are found by no feature, and not by data forget: write them alike in the file"
        ]
    if len(strange) == len(ids):
        return [
            f"question: none of the {len(ids):,} values of {column} (such as {min(ids)!r}) is in "
            f"{main} (such as {min(known)!r}), so no row has its subject: is it the column?"
        ]
    return [f"{len(ids) - len(strange):,} of {len(ids):,} values of {column} are in {main}"]


def known_subjects(settings: Settings, main: Contract) -> set[str]:
    """The main table's subjects: of the lake, or else of its files here; empty where none is known.

    What is wrong with the main table is said by its own commands.
    """
    try:
        lakehouse = open_lakehouse(settings)
        table = silver_table(main)
        if lakehouse.exists(table):
            held = lakehouse.collect(lakehouse.read(table).select(main.entity_column).distinct())
            return set(held.column(0).to_pylist())
        return set(_subjects_in_files(settings, main))
    except ProjectError:
        return set()


def _subjects_in_files(settings: Settings, main: Contract) -> Iterator[str]:
    if main.source.query is not None or main.source.path.startswith(SCHEME):
        return
    for part in list_parts(main.source, settings.root):
        with open_part(part) as reader:
            if main.entity_column in reader.schema.names:
                for batch in reader:
                    ids = pc.utf8_trim(batch[main.entity_column], characters=PADDING)
                    yield from (each for each in pc.unique(ids).to_pylist() if each)


def _core(text: str) -> str:
    """What is left of an id without what programs add to one or take away."""
    core = re.sub(r"\.0+$", "", text.casefold())
    return re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"[\s_.\-]+", "", core))
