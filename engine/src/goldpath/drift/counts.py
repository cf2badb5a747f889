"""How many rows of a window fall into each bin; profiles of the same bins merge by addition."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.drift.bins import Bins, ColumnBins, Floats, Integers
from goldpath.drift.profile import DriftError

BATCH_ROWS = 65_536
"""Rows counted at a time: a sorted column of them stays in the processor's cache."""

MOST_EXAMPLES, LONGEST_EXAMPLE = 20, 80
"""Unlisted names that are kept for people, and their letters. All are counted."""


@dataclass(frozen=True, eq=False)
class Profile:
    """The counts of a window's rows.

    Attributes:
        bins: Where values are counted.
        rows: Rows that were counted.
        refused: Rows beside them that broke the contract.
        counts: Rows of each bin, the columns one after another, shape (bins.starts[-1],).
        missing: Rows without a value, by column, shape (columns,). An infinite number counts as
            missing.
        sums: Sums of the numbers, by column, shape (columns,); 0 for a category.
        examples: Some names that the bins do not list, by column, with their counts.
    """

    bins: Bins
    rows: int
    refused: int
    counts: Integers
    missing: Integers
    sums: Floats
    examples: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def of(self, place: int) -> Integers:
        """The counts of one column."""
        return self.counts[self.bins.starts[place] : self.bins.starts[place + 1]]

    def __sub__(self, part: "Profile") -> "Profile":
        """The profile without a part of its rows; examples stay those of all rows."""
        with np.errstate(over="ignore", invalid="ignore"):
            sums = self.sums - part.sums
        return Profile(
            bins=self.bins,
            rows=self.rows - part.rows,
            refused=self.refused - part.refused,
            counts=self.counts - part.counts,
            missing=self.missing - part.missing,
            sums=sums,
            examples=self.examples,
        )

    def __add__(self, other: "Profile") -> "Profile":
        """The profile of both profiles' rows together.

        Raises:
            DriftError: If they were not counted over the same bins.
        """
        self.bins.require_same(other.bins)
        with np.errstate(over="ignore", invalid="ignore"):
            sums = self.sums + other.sums
        return Profile(
            bins=self.bins,
            rows=self.rows + other.rows,
            refused=self.refused + other.refused,
            counts=self.counts + other.counts,
            missing=self.missing + other.missing,
            sums=sums,
            examples=_merged(self.examples, other.examples),
        )


def empty_profile(bins: Bins, refused: int = 0) -> Profile:
    """A profile of no rows."""
    columns = len(bins.columns)
    return Profile(
        bins=bins,
        rows=0,
        refused=refused,
        counts=np.zeros(int(bins.starts[-1]), dtype=np.int64),
        missing=np.zeros(columns, dtype=np.int64),
        sums=np.zeros(columns),
    )


def count_rows(
    bins: Bins, rows: pa.Table | Iterable[pa.Table | pa.RecordBatch], refused: int = 0
) -> Profile:
    """Count every row; memory holds one batch at a time.

    Args:
        bins: The model's bins.
        rows: A table, or batches as a reader gives them.
        refused: Rows beside them that broke the contract.

    Raises:
        DriftError: If a column is missing or unknown, or holds text where numbers were.

    Example:
        >>> from goldpath.drift.bins import choose_bins
        >>> bins = choose_bins(pa.table({"plan": ["a", "a", "b"]}))
        >>> morning, evening = (count_rows(bins, pa.table({"plan": p})) for p in (["a"], ["c"]))
        >>> (morning + evening).counts.tolist()
        [1, 0, 1]
    """
    found = empty_profile(bins, refused)
    total = 0
    examples: Mapping[str, Mapping[str, int]] = {}
    for batch in _batches(rows):
        bins.require(batch.column_names)
        total += batch.num_rows
        for place, column in enumerate(bins.columns):
            values = batch.column(column.name)
            if column.kind == "number":
                found.sums[place] += _count_numbers(column, values, found, place)
            else:
                new = _count_names(column, values, found, place)
                if new:
                    examples = _merged(examples, {column.name: new})
    return Profile(bins, total, refused, found.counts, found.missing, found.sums, examples)


def _batches(rows: pa.Table | Iterable[pa.Table | pa.RecordBatch]) -> Iterator[pa.Table]:
    for part in (rows,) if isinstance(rows, pa.Table) else rows:
        table = pa.Table.from_batches([part]) if isinstance(part, pa.RecordBatch) else part
        for start in range(0, max(table.num_rows, 1), BATCH_ROWS):
            yield table.slice(start, BATCH_ROWS)


def _count_numbers(column: ColumnBins, values: pa.ChunkedArray, into: Profile, place: int) -> float:
    """Count a batch's numbers; gives their sum.

    Few edges are looked up among many sorted values, not each value among the edges: NumPy sorts
    several times faster than it looks up.
    """
    try:
        ordered = np.sort(values.cast(pa.float64(), safe=False).to_numpy())
    except pa.ArrowException as error:
        raise DriftError(
            f"{column.name} was a number when the champion was trained and is {values.type} now",
            "give the column as numbers, or train again: make train-local",
        ) from error
    low = int(np.searchsorted(ordered, -np.inf, side="right"))
    high = int(np.searchsorted(ordered, np.inf, side="left"))  # NaN is sorted behind it
    finite = ordered[low:high]
    below = np.searchsorted(finite, column.edges, side="right")
    counts = into.of(place)
    counts += np.diff(below, prepend=0, append=len(finite))
    into.missing[place] += len(ordered) - len(finite)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(finite.sum())


def _count_names(
    column: ColumnBins, values: pa.ChunkedArray, into: Profile, place: int
) -> dict[str, int]:
    """Count a batch's categories; gives some of the names that are not listed."""
    text = values.cast(pa.string())
    found = pc.index_in(text, value_set=column.listed).combine_chunks()
    places = np.asarray(pc.fill_null(found, len(column.names)))
    counts = into.of(place)
    counts += np.bincount(places, minlength=column.size)
    missing = text.null_count
    counts[-1] -= missing  # they have no place either, and are no names
    into.missing[place] += missing
    if found.null_count == missing:
        return {}
    unlisted = text.filter(pc.and_(pc.is_null(found), pc.is_valid(text)))
    pairs = pc.value_counts(unlisted).to_pylist()
    return {str(pair["values"])[:LONGEST_EXAMPLE]: int(pair["counts"]) for pair in pairs}


def _merged(
    first: Mapping[str, Mapping[str, int]], second: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, int]]:
    merged = {column: dict(names) for column, names in first.items()}
    for column, names in second.items():
        held = merged.setdefault(column, {})
        for name, count in names.items():
            held[name] = held.get(name, 0) + count
    return {
        column: dict(sorted(names.items(), key=lambda item: (-item[1], item[0]))[:MOST_EXAMPLES])
        for column, names in merged.items()
    }
