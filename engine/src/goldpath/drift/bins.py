"""The bins of a model's columns: chosen once from the training rows, used for every later window.

Counts over the same bins add up, so a day is the sum of its hours, and two windows are compared
without reading a row twice. A number has up to 1,024 edges, quantiles of the reference; a category
has the names that the reference knows. What lies outside is counted too: below the first edge,
above the last, and as `unlisted`.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from goldpath.drift.profile import ColumnKind, DriftError, column_kind, read_numbers

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

QUANTILES = 1024
"""Edges of a number: with these, distances agree with the rows' own to a thousandth of an sd."""

MOST_NAMES = 1000
"""Names that a category keeps; rarer ones are counted together as unlisted."""

SAMPLED_ROWS = 100_000
"""Edges come from at most so many rows. Every row is counted; edges only say where to count."""


@dataclass(frozen=True, eq=False)
class ColumnBins:
    """Where one column's values are counted.

    Attributes:
        name: The column.
        kind: number or category.
        edges: Of a number: increasing, shape (edges,). A value belongs to the first edge that is
            not below it, so bin 0 holds what lies below the reference's smallest value and the
            last bin what lies above its largest.
        names: Of a category: its names, the most frequent first. The last bin holds all others.
        is_complete: Whether `names` are all of the reference's, or only the most frequent.
    """

    name: str
    kind: ColumnKind
    edges: Floats
    names: tuple[str, ...] = ()
    is_complete: bool = True

    @property
    def size(self) -> int:
        """How many bins there are."""
        return len(self.edges if self.kind == "number" else self.names) + 1

    @cached_property
    def listed(self) -> pa.Array:
        """The names as Arrow text."""
        return pa.array(self.names, pa.string())


@dataclass(frozen=True, eq=False)
class Bins:
    """The bins of all columns, in the order in which they are compared."""

    columns: tuple[ColumnBins, ...]

    @cached_property
    def starts(self) -> Integers:
        """Where each column's counts begin in a profile's, and where the last ends."""
        return np.cumsum([0, *(column.size for column in self.columns)], dtype=np.int64)

    @cached_property
    def digest(self) -> str:
        """Tells profiles that may be added from those that may not."""
        found = hashlib.sha256()
        for column in self.columns:
            head = [column.name, column.kind, column.names, column.is_complete]
            found.update(json.dumps(head).encode())
            found.update(column.edges.tobytes())
        return found.hexdigest()

    def require_same(self, other: "Bins") -> None:
        """Refuse counts over other bins, such as those of another model version.

        Raises:
            DriftError: If they are others.
        """
        if self is not other and self.digest != other.digest:
            raise DriftError(
                "the two profiles were counted over different bins: "
                f"{self.digest[:12]} and {other.digest[:12]}",
                "count both with the reference profile of one model version",
            )

    def require(self, names: Iterable[str]) -> None:
        """Refuse rows that have other columns than the reference.

        Raises:
            DriftError: If a column is missing, or one is there that the reference lacks.
        """
        known, given = {column.name for column in self.columns}, set(names)
        if known - given:
            raise DriftError(
                f"the rows lack {', '.join(sorted(known - given))}, which the reference has",
                "give rows with every feature of the contract, or train again: make train-local",
            )
        if given - known:
            raise DriftError(
                f"the reference lacks {', '.join(sorted(given - known))}, which the rows have",
                "leave the column out, or train again: make train-local",
            )


def choose_bins(reference: pa.Table, *, seed: int = 0) -> Bins:
    """The bins for the columns of the rows that a model was trained on.

    Args:
        reference: All training rows, with the model's `prediction` and score for each.
        seed: Draws the rows that edges come from, where there are more than enough.

    Raises:
        DriftError: If there are no rows.

    Example:
        >>> bins = choose_bins(pa.table({"age": [31, 40, 40, 52], "plan": ["a", "a", "b", None]}))
        >>> [(column.name, column.kind, column.size) for column in bins.columns]
        [('age', 'number', 5), ('plan', 'category', 3)]
    """
    if reference.num_rows == 0:
        raise DriftError(
            "the reference has no rows, so nothing can be compared with it",
            "train again on data: make train-local",
        )
    drawn = reference
    if reference.num_rows > SAMPLED_ROWS:
        rows = np.random.default_rng(seed).choice(reference.num_rows, SAMPLED_ROWS, replace=False)
        drawn = reference.take(pa.array(np.sort(rows)))
    return Bins(
        tuple(
            _number_bins(name, drawn.column(name))
            if column_kind(reference.column(name)) == "number"
            else _category_bins(name, reference.column(name))
            for name in reference.column_names
        )
    )


def _number_bins(name: str, values: pa.ChunkedArray) -> ColumnBins:
    ordered = np.sort(read_numbers(name, values))
    finite = np.unique(ordered)
    if len(finite) > QUANTILES:
        finite = _chosen_edges(ordered, finite)
    if len(finite):
        # An edge just below the smallest value: what is smaller has a bin of its own.
        finite = np.concatenate([[np.nextafter(finite[0], -np.inf)], finite])
    return ColumnBins(name, "number", finite)


def _chosen_edges(ordered: Floats, distinct: Floats) -> Floats:
    """Even quantiles, and closer edges towards both ends.

    Else a window's record would share its bin with what other windows hold.
    """
    tail = 2 ** np.arange(np.ceil(np.log2(max(len(ordered) / QUANTILES, 1))) + 1, dtype=np.int64)
    ends = np.concatenate([[0], tail, len(distinct) - 1 - tail, [len(distinct) - 1]])
    places = np.linspace(0, len(ordered) - 1, QUANTILES - len(ends)).round().astype(np.int64)
    return np.unique(np.concatenate([ordered[places], distinct[ends]]))


def _category_bins(name: str, values: pa.ChunkedArray) -> ColumnBins:
    counts = pc.value_counts(values.cast(pa.string()).drop_null()).to_pylist()
    counts.sort(key=lambda pair: (-pair["counts"], pair["values"]))
    names = tuple(pair["values"] for pair in counts[:MOST_NAMES])
    return ColumnBins(name, "category", np.empty(0), names, len(counts) <= MOST_NAMES)
