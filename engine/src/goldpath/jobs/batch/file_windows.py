"""Window features of a file's rows: what the lake's sources say of each row's entity at its time.

Whom a row is about, and when, is read by the contract's own rules, as it is between bronze and
silver. Many rows are looked up at once, since a look reads all rows of the sources.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from goldpath.contract import EVENT_TIME, Contract, Feature
from goldpath.features.window.learned import definitions_in, names_in
from goldpath.jobs.windows.model_windows import table_with_windows
from goldpath.lake.engine import connect_duckdb
from goldpath.lake.lakehouse import Lakehouse
from goldpath.lake.tables import REASONS, ROW_NUMBER
from goldpath.quality.checks import mark_rows, value_of
from goldpath.quality.typed_rows import TypedRows
from goldpath.sources.files import SourceError
from goldpath.sources.parquet import as_text

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS_A_LOOK = 1 << 20
"""Of the file; as many are in memory."""


class FileWindows:
    """Completes the chunks of files with the window columns of a model.

    Args:
        lakehouse: Where the sources are.
        contract: What a row is.
        model: The contract of the model.

    Raises:
        SourceError: If the contract does not say whom a row is about, or when.

    Attributes:
        columns: The file's, that say whom a row is about and when.
    """

    def __init__(self, lakehouse: Lakehouse, contract: Contract, model: Contract) -> None:
        # A forecast of one series asks for nobody.
        has_owners = any(each.entity for each in definitions_in(model))
        if contract.event_time is None or (has_owners and contract.entity is None):
            lacking = "event_time" if contract.event_time is None else "entity"
            raise SourceError(
                f"{contract.file} names no {lacking}, and the champion takes what the sources say "
                f"of {'an entity at ' * has_owners}a time: {', '.join(names_in(model))}",
                f"say which column it is ({lacking}: …), or train again: make data train-local",
            )
        self._lakehouse = lakehouse
        self._model = model
        no_features: Sequence[Feature] = ()
        entity = contract.entity if has_owners else None
        self._roles = contract.model_copy(update={"features": no_features, "entity": entity})
        owner = [] if entity is None else [entity]
        self.columns = list(dict.fromkeys([*owner, *contract.event_time.columns]))

    def require_columns(self, schema: pa.Schema, shown: str) -> None:
        """Refuse a file that does not say whom its rows are about, and when.

        Args:
            schema: The file's.
            shown: What messages call the file.

        Raises:
            SourceError: Names the columns that are missing.
        """
        lacking = [name for name in self.columns if name not in schema.names]
        if lacking:
            raise SourceError(
                f"{shown} lacks {' and '.join(lacking)}, and the champion takes what the sources "
                f"say of an entity at a time: {', '.join(names_in(self._model))}",
                "give the rows with whom they are about, and when",
            )

    def complete(self, chunks: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The chunks with the window columns, and with what is wrong with a row's entity or time.

        Args:
            chunks: Rows with `columns`.
        """
        held: list[pa.RecordBatch] = []
        rows = 0
        for chunk in chunks:
            held.append(chunk)
            rows += chunk.num_rows
            if rows >= ROWS_A_LOOK:
                yield from self._completed(held)
                held, rows = [], 0
        if held:
            yield from self._completed(held)

    def _completed(self, chunks: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        marked = self._marked(chunks)
        asked = pa.table(
            {name: marked[value_of(name)] for name in (self._roles.entity_column, EVENT_TIME)}
        )
        found = table_with_windows(self._lakehouse, asked, self._model)
        names = names_in(self._model)
        added = [found[name].combine_chunks() for name in names]
        added.append(marked[REASONS].combine_chunks())
        first = 0
        for chunk in chunks:
            own = [column.slice(first, chunk.num_rows) for column in added]
            first += chunk.num_rows
            kept = [name for name in chunk.schema.names if name not in (*names, REASONS)]
            yield pa.RecordBatch.from_arrays(
                [*(chunk.column(name) for name in kept), *own], [*kept, *names, REASONS]
            )

    def _marked(self, chunks: list[pa.RecordBatch]) -> pa.Table:
        """Entity and time of each row, in their order, and the reasons against it."""
        import ibis

        texts = pa.Table.from_batches(
            [
                pa.RecordBatch.from_arrays(
                    [as_text(chunk.column(name)) for name in self.columns], self.columns
                )
                for chunk in chunks
            ]
        )
        numbers = pa.array(np.arange(texts.num_rows))
        engine = connect_duckdb()
        try:
            rows = ibis.memtable(texts.append_column(ROW_NUMBER, numbers))
            marked = mark_rows(rows, self._roles, require_target=False)
            return engine.to_pyarrow(marked.order_by(ROW_NUMBER))
        finally:
            engine.disconnect()


def with_window_columns(checked: TypedRows, chunk: pa.RecordBatch, model: Contract) -> TypedRows:
    """Checked rows with the window columns that `FileWindows` has added; no domain refuses them.

    Args:
        checked: What the contract says of the rows.
        chunk: The rows.
        model: The contract of the model.
    """
    numbers, categories = dict(checked.numbers), dict(checked.categories)
    values, problems = dict(checked.values), dict(checked.problems)
    for feature in model.window_features:
        column = chunk.column(feature.name)
        if feature.is_numeric:
            plain = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
            numbers[feature.name] = plain.cast(pa.float64(), safe=False).to_numpy(
                zero_copy_only=False
            )
            continue
        encoded = column.dictionary_encode()
        values[feature.name] = encoded.dictionary.to_pylist()
        codes = encoded.indices.fill_null(-1)
        categories[feature.name] = codes.to_numpy(zero_copy_only=False)
    for place, reason in enumerate(chunk.column(REASONS).to_pylist()):
        if reason:  # each of its sentences ends with a semicolon
            problems[place] = (reason + problems.get(place, "")).removesuffix("; ")
    return replace(
        checked, numbers=numbers, categories=categories, values=values, problems=problems
    )
