"""`quality.checks` for tables of many columns: one column after the other, on Arrow.

An engine plans a query of checked columns in time that grows with their square: 200 columns take it
several seconds and 2 000 a quarter of an hour, however few the rows are. Here each column is read
by itself: plain numbers all at once, and each different text of the others by `domain`, which is
what the expressions are derived from. Tests hold the two together, row by row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.contract import Contract, Feature
from goldpath.domain import (
    LARGEST_INTEGER,
    MISSING,
    NO_CATEGORY,
    PADDING,
    STORED,
    Domain,
    Refusal,
    Value,
)
from goldpath.lake.engine import connect_duckdb
from goldpath.lake.tables import REASONS, ROW_NUMBER
from goldpath.quality.checks import NO_CLASS, mark_rows, require_columns, value_of
from goldpath.quality.number_text import plain_text
from goldpath.quality.plain_numbers import plain_numbers
from goldpath.row_contract import RowContract

if TYPE_CHECKING:
    import ibis

# Fewer columns are planned in a second or two. An engine computes many rows faster, so for each
# column there is a number of rows from which planning it is worth while; and memory holds them all.
ENGINE_FEATURES = 60
ROWS_PER_FEATURE = 500
MOST_CELLS = 50_000_000
PLACE = "_place"
TYPES = {kind: pa.type_for_alias(stored) for kind, stored in STORED.items()}


@dataclass(frozen=True)
class ColumnRules:
    """How the text of one column is read.

    Attributes:
        name: The column.
        domain: What its values may be.
        no_category: What is said of a text that is none of the domain's.
        unit: What may stand around a number.
        missing_words: Further words for a missing number.
        is_unreadable_missing: Whether text of another type is a missing value, and no fault.
        aliases: Other spellings, each with the category.
        is_personal: Whether reasons leave the value out.
    """

    name: str
    domain: Domain
    no_category: str = NO_CATEGORY
    unit: str = ""
    missing_words: tuple[str, ...] = ()
    is_unreadable_missing: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    is_personal: bool = False

    def read(self, text: str | None) -> tuple[Value, str]:
        """The value, as far as it is of the type, and the reason against it; empty for none."""
        trimmed = None if text is None else text.strip(PADDING)
        plain = trimmed
        if trimmed is not None and not self.domain.is_text:
            plain = plain_text(trimmed, self.unit, self.missing_words)
        if plain is not None:
            plain = self.aliases.get(plain, plain)
        read = self.domain.accept_text(plain)
        if not isinstance(read, Refusal):
            return read, ""
        if read.reason == MISSING:
            return None, f"{self.name}: {MISSING}; "
        if read.reason == self.domain.unreadable and self.is_unreadable_missing:
            return None, ""
        reason = self.no_category if read.reason == NO_CATEGORY else read.reason
        shown = "" if self.is_personal else f"'{(trimmed or '')[:40]}' "
        return self._outside(plain or ""), f"{self.name}: {shown}{reason}; "

    def _outside(self, plain: str) -> Value:
        """A value of the type that the domain does not hold; a label that nobody needs is kept."""
        if self.domain.is_text:
            return self.domain.read_category(plain)
        anything = replace(self.domain, nullable=True, minimum=None, maximum=None)
        read = anything.accept_text(plain)
        return None if isinstance(read, Refusal) else read


def is_quicker_by_column(contract: RowContract, rows: int) -> bool:
    """Whether there are so many columns, and so few rows, that `mark_table` is the quicker one."""
    features = len(contract.features)
    few = rows <= ROWS_PER_FEATURE * features and rows * features <= MOST_CELLS
    return features > ENGINE_FEATURES and few


def mark_rows_of(
    engine: "ibis.BaseBackend", rows: "ibis.Table", contract: RowContract, *, require_target: bool
) -> "ibis.Table":
    """`mark_rows` of rows in memory, whichever way is the quicker one.

    Raises:
        ContractError: If a column of the contract is not in the source.
    """
    import ibis

    if len(contract.features) > ENGINE_FEATURES:
        held = engine.to_pyarrow(rows)
        if can_be_marked(held.schema, contract, held.num_rows):
            return ibis.memtable(mark_table(held, contract, require_target=require_target))
    return mark_rows(rows, contract, require_target=require_target)


def can_be_marked(schema: pa.Schema, contract: RowContract, rows: int) -> bool:
    """Whether `mark_table` may take the rows, and is the quicker one: a recipe may change types."""
    known = [schema.field(name).type for name in contract.raw_columns if name in schema.names]
    return is_quicker_by_column(contract, rows) and all(kind == pa.string() for kind in known)


def mark_table(raw: pa.Table, contract: RowContract, *, require_target: bool) -> pa.Table:
    """Every row with its typed values and the reasons against it, as `mark_rows` gives them.

    Args:
        raw: Text columns as in the source, and `_row_number`.
        contract: What a row must be.
        require_target: Whether a row without a label is bad.

    Raises:
        ContractError: If a column of the contract is not in the source.
    """
    require_columns(raw.column_names, contract, require_target=require_target)
    marked = _mark_roles(raw, contract)
    reasons = marked[REASONS].to_pylist()
    values = {name: marked[name] for name in marked.column_names if name.startswith(value_of(""))}
    for rules in _rules(contract):
        if rules.name not in raw.column_names:
            continue
        values[value_of(rules.name)], refused = read_column(raw[rules.name], rules)
        if require_target or not _is_target(contract, rules.name):
            for row, reason in refused.items():
                reasons[row] += reason
    is_bad = pa.array([bool(reason) for reason in reasons], pa.bool_())
    nothing = not any(reasons)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {}
    for column in (name for name in raw.column_names if not name.startswith("_")):
        kind = raw.schema.field(column).type
        columns[column] = (
            pa.nulls(raw.num_rows, kind)
            if nothing
            else pc.if_else(is_bad, raw[column], pa.scalar(None, kind))
        )
    private = {name: raw[name] for name in raw.column_names if name.startswith("_")}
    return pa.table({**columns, **private, **values, REASONS: pa.array(reasons, pa.string())})


def read_column(column: pa.ChunkedArray, rules: ColumnRules) -> tuple[pa.Array, dict[int, str]]:
    """A column's values, and the reason against each row that is refused, by its place.

    Args:
        column: Text.
        rules: How it is read.
    """
    texts = pc.ascii_trim(column, characters=PADDING)
    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    kind = TYPES[rules.domain.kind]
    if rules.domain.kind not in ("number", "integer"):
        return _read_texts(texts, rules, kind)
    numbers, is_read = _plain_numbers(texts, rules)
    places = np.flatnonzero(~is_read)
    if not len(places):
        return pa.array(numbers).cast(kind), {}
    values, refused = _read_texts(texts.take(pa.array(places)), rules, kind)
    typed = pa.array(numbers, mask=~is_read).cast(kind)
    if values.null_count < len(values):
        typed = pc.replace_with_mask(typed, pa.array(~is_read), values)
    return typed, {int(places[row]): reason for row, reason in refused.items()}


def _plain_numbers(texts: pa.Array, rules: ColumnRules) -> tuple[np.ndarray, np.ndarray]:
    """Values of the domain, and where they were read; all others are for `ColumnRules.read`."""
    numbers, is_read = plain_numbers(texts)
    if rules.missing_words:
        words = pa.array([word.lower() for word in rules.missing_words])
        is_word = pc.is_in(pc.ascii_lower(texts), value_set=words)
        is_read = is_read & ~is_word.to_numpy(zero_copy_only=False)
    if rules.domain.kind == "integer":
        is_read = is_read & (numbers % 1 == 0) & (np.abs(numbers) <= LARGEST_INTEGER)
        numbers = np.where(is_read, numbers, 0.0)
    if rules.domain.minimum is not None:
        is_read = is_read & (numbers >= rules.domain.minimum)
    if rules.domain.maximum is not None:
        is_read = is_read & (numbers <= rules.domain.maximum)
    return numbers, is_read


def _read_texts(
    texts: pa.Array, rules: ColumnRules, kind: pa.DataType
) -> tuple[pa.Array, dict[int, str]]:
    """Each different text is looked at once."""
    encoded = texts.dictionary_encode()
    different: list[str | None] = [*encoded.dictionary.to_pylist(), None]
    read = [rules.read(text) for text in different]
    indices = pc.fill_null(encoded.indices, len(different) - 1)
    values = pc.take(pa.array([value for value, _ in read], kind), indices)
    if not any(reason for _, reason in read):
        return values, {}
    places = enumerate(indices.to_pylist())
    return values, {row: read[place][1] for row, place in places if read[place][1]}


def _rules(contract: RowContract) -> list[ColumnRules]:
    """The features, and then the target, as the reasons name them."""
    found = [
        ColumnRules(
            name=feature.name,
            domain=feature.domain,
            unit=feature.unit,
            missing_words=feature.missing_words,
            is_unreadable_missing=feature.unreadable == "missing",
            is_personal=feature.name in contract.personal,
        )
        for feature in contract.features
    ]
    if isinstance(contract, Contract) and contract.has_target and not contract.target.event:
        target = contract.target
        found.append(
            ColumnRules(
                name=target.column,
                domain=contract.target_domain,
                no_category=NO_CLASS,
                unit=target.unit,
                missing_words=target.missing_words,
                aliases=target.aliases,
                is_personal=target.column in contract.personal,
            )
        )
    return found


def _is_target(contract: RowContract, name: str) -> bool:
    return isinstance(contract, Contract) and name in contract.label_columns


def _mark_roles(raw: pa.Table, contract: RowContract) -> pa.Table:
    """Entity and event time, in the order of the rows: an engine reads times."""
    import ibis

    no_features: Sequence[Feature] = ()
    roles = contract.model_copy(update={"features": no_features})
    names = [name for name in roles.raw_columns if not _is_target(contract, name)]
    rows = raw.select([*names, ROW_NUMBER])
    rows = rows.append_column(PLACE, pa.array(range(raw.num_rows), pa.int64()))
    engine = connect_duckdb()
    try:
        marked = mark_rows(ibis.memtable(rows), roles, require_target=False)
        return engine.to_pyarrow(marked.order_by(PLACE))
    finally:
        engine.disconnect()
