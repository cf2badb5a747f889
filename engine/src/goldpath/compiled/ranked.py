"""Trees with every number replaced by its rank among the thresholds of its column.

A column has few thresholds, so a rank fits a byte; `value > threshold` holds exactly where the
value's rank is greater than the threshold's place, so nothing is rounded. `kernel.c` then takes the
same step for many rows with one instruction. Ranks beyond a byte go on in further columns (pages).
A category's node asks whether a code is in a set: seven codes are bits of a byte, and a larger set
takes a step for each seven.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from goldpath.compiled.form import CATEGORY, MISSING, NAN_RIGHT, TABLE, CompiledForm, Encoder, Trees

STEP = np.dtype([("column", "<u2"), ("next", "<i2", 2), ("limit", "i1"), ("mask", "i1")])
TREE = np.dtype([("first", "<i8"), ("leaves", "<i4"), ("steps", "<i4")])
WALK = np.dtype([("root", "<i8"), ("tree", "<i4"), ("depth", "<i4")])
SEARCH = np.dtype(
    [
        *((name, "<f8") for name in ("low", "width")),
        *((name, "<i8") for name in ("start", "bucket")),
        *((name, "<i4") for name in ("source", "most", "first_page", "pages")),
    ]
)
PAGE = np.dtype([(name, "<i4") for name in ("byte", "base", "missing")])
LOOKUP = np.dtype([("start", "<i8"), ("byte", "<i4"), ("source", "<i4")])
FLAG = np.dtype([(name, "<i4") for name in ("byte", "source", "present", "missing")])

RANKS = 254
"""Ranks in a byte; `PAGE` of kernel.c."""
LOW, HIGH = -128, 127
"""A missing number's byte: below every limit, or above."""
BUCKETS = 512
"""Of a column's thresholds; `BUCKETS` of kernel.c."""
CODES = 7
"""Codes of a category in a byte: the eighth bit is the sign."""
MOST_LEAVES = 256
"""A leaf's number is a byte, and all steps of a larger tree take longer than a walk through it."""
MOST_STEPS = (1 << 15) - 1
MOST_COLUMNS = 1 << 16
WALKS = 8
"""Side by side; `ROWS` of kernel.c."""


@dataclass(frozen=True)
class Ranked:
    """The trees over bytes; see the structures of the same names in kernel.c.

    Attributes:
        bytes: Columns of bytes that a row has.
        most_steps: Of the largest tree, with its leaves.
        has_sets: Whether a step asks for a category.
        arrays: By the names that kernel.c has for them.
    """

    bytes: int
    most_steps: int
    has_sets: bool
    arrays: Mapping[str, np.ndarray]


def rank_trees(form: CompiledForm) -> Ranked | None:
    """Replace numbers by ranks; None where the trees are too large or too strangely put together.

    Args:
        form: A form that `check_form` has passed.
    """
    trees = form.model
    if not isinstance(trees, Trees) or not len(trees.roots):
        return None
    if not _keeps_order(form.encoder):
        return None
    ends = np.append(trees.roots[1:], len(trees.nodes))
    counts = ends - trees.roots
    is_leaf = trees.nodes["left"] == np.arange(len(trees.nodes))
    last_child = trees.nodes["left"] + ~is_leaf
    # Each tree's nodes behind each other, so that a step can name its children within the tree.
    if trees.roots[0] != 0 or (counts <= 0).any() or (last_child >= np.repeat(ends, counts)).any():
        return None
    if np.add.reduceat(is_leaf, trees.roots).max() > MOST_LEAVES:
        return None
    columns = _ByteColumns(form)
    lengths, tests = _tests(trees, is_leaf, columns)
    if max(columns.count, columns.most_thresholds + 1) > MOST_COLUMNS:
        return None
    return _assemble(trees, counts, is_leaf, lengths, tests, columns)


def _keeps_order(encoder: Encoder) -> bool:
    finite = np.isfinite(encoder.centre) & np.isfinite(encoder.scale)
    return bool(np.all(finite & (encoder.scale > 0)))


class _ByteColumns:
    """Collects the columns of bytes that the nodes ask for."""

    def __init__(self, form: CompiledForm) -> None:
        self._encoder = form.encoder
        self._single = isinstance(form.model, Trees) and form.model.single
        self._sizes = [len(known) + 2 for known in form.categories.values()]
        self.count = 0
        self.searches: list[tuple[float, ...]] = []
        self.pages: list[tuple[int, ...]] = []
        self.lookups: list[tuple[int, ...]] = []
        self.flags: list[tuple[int, ...]] = []
        self.thresholds: list[np.ndarray] = []
        self.buckets: list[np.ndarray] = []
        self.codes: list[np.ndarray] = []
        self.most_thresholds = 0
        self._size = {"thresholds": 0, "codes": 0}

    def ranks(self, column: int, thresholds: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """The columns that hold an encoded column's rank.

        Args:
            column: The encoded column.
            thresholds: Its thresholds, sorted.
            sides: For missing numbers: `LOW` or `HIGH`, those that are needed.

        Returns:
            The first page's number for each side; the next pages follow.
        """
        encoder, pages = self._encoder, max(1, -(-len(thresholds) // RANKS))
        source, kind = int(encoder.source[column]), int(encoder.kind[column])
        if kind == TABLE:
            begin = int(encoder.offset[column])
            values = encoder.table[begin : begin + self._sizes[source]]
        elif kind == MISSING:
            values = np.array([0.0, 1.0])
            values = (values - encoder.centre[column]) / encoder.scale[column]
        else:
            return self._searched(column, thresholds, sides, pages)
        if self._single:
            with np.errstate(over="ignore"):
                values = values.astype(np.float32).astype(np.float64)
        ranks = np.searchsorted(thresholds, values)  # a missing one's does not matter
        first = []
        for side in sides.tolist():
            first.append(self.count)
            for page in range(pages):
                found = np.clip(ranks - page * RANKS, 0, RANKS) - 128
                self._looked_up(kind, source, np.where(np.isnan(values), side, found))
        return np.array(first)

    def sets(self, column: int) -> int:
        """The first of the columns that hold the code's bit; `CODES` codes each."""
        source, begin = int(self._encoder.source[column]), int(self._encoder.offset[column])
        codes = self._encoder.table[begin : begin + self._sizes[source]].astype(np.int64)
        first = self.count
        for base in range(0, int(codes.max()) + 1, CODES):
            inside = (codes >= base) & (codes < base + CODES)
            bits = np.where(inside, 1 << np.where(inside, codes - base, 0), 0)
            self._looked_up(TABLE, source, bits)
        return first

    def _searched(
        self, column: int, thresholds: np.ndarray, sides: np.ndarray, pages: int
    ) -> np.ndarray:
        source, fill = int(self._encoder.source[column]), self._encoder.fill[column]
        raw = self._raw_thresholds(column, thresholds)
        low, width, below, most = _buckets(raw)
        filled = np.searchsorted(thresholds, self._encoded(column, np.array([fill])))[0]
        first_page = len(self.pages)
        first = []
        for side in sides.tolist():
            first.append(self.count)
            for page in range(pages):
                missing = np.clip(filled - page * RANKS, 0, RANKS) - 128
                self.pages.append(
                    (self.count, page * RANKS, side if np.isnan(fill) else int(missing))
                )
                self.count += 1
        start, bucket = self._size["thresholds"], len(self.buckets) * BUCKETS
        found = (low, width, start, bucket, source, most, first_page, len(sides) * pages)
        self.searches.append(found)
        self.buckets.append(below)
        self.most_thresholds = max(self.most_thresholds, len(raw))
        self.thresholds += [raw, np.full(most, np.inf)]  # a search may look beyond the last
        self._size["thresholds"] += len(raw) + most
        return np.array(first)

    def _encoded(self, column: int, values: np.ndarray) -> np.ndarray:
        """As the trees see them."""
        with np.errstate(all="ignore"):
            values = (values - self._encoder.centre[column]) / self._encoder.scale[column]
            return values.astype(np.float32).astype(np.float64) if self._single else values

    def _raw_thresholds(self, column: int, thresholds: np.ndarray) -> np.ndarray:
        """The largest raw numbers that are not above the thresholds once they are encoded.

        Encoding never turns the order of two numbers around, so this compares exactly alike. Found
        by halving the range of all float64, whose bits are in the numbers' own order.
        """
        low = np.full(len(thresholds), _ordered(np.array([-np.inf]))[0])
        high = np.full(len(thresholds), _ordered(np.array([np.inf]))[0])
        # Mostly it is close to the inverse of the encoding, which is wrong by a few roundings.
        with np.errstate(all="ignore"):
            near = thresholds * self._encoder.scale[column] + self._encoder.centre[column]
            around = np.abs(near) + np.abs(self._encoder.centre[column])
            around *= 1e-6 if self._single else 1e-14
            first, last = near - around, near + around
            fits = np.isfinite(first) & np.isfinite(last)
            fits &= ~(self._encoded(column, first) > thresholds)
            fits &= self._encoded(column, last) > thresholds
        low = np.where(fits, _ordered(np.where(fits, first, 0.0)), low)
        high = np.where(fits, _ordered(np.where(fits, last, 0.0)), high)
        while (low < high).any():
            middle = (low >> 1) + (high >> 1) + ((low | high) & 1)  # rounded up, never too large
            is_above = self._encoded(column, _number(middle)) > thresholds
            high = np.where(is_above, middle - 1, high)
            low = np.where(is_above, low, middle)
        return _number(low)

    def _looked_up(self, kind: int, source: int, values: np.ndarray) -> None:
        if kind == MISSING:
            self.flags.append((self.count, source, int(values[0]), int(values[1])))
        else:
            self.lookups.append((self._size["codes"], self.count, source))
            self.codes.append(values.astype(np.int8))
            self._size["codes"] += len(values)
        self.count += 1


def _ordered(numbers: np.ndarray) -> np.ndarray:
    """Integers in the order of the numbers."""
    bits = numbers.view(np.int64)
    return np.where(bits < 0, bits ^ np.int64(2**63 - 1), bits)


def _number(ordered: np.ndarray) -> np.ndarray:
    return np.where(ordered < 0, ordered ^ np.int64(2**63 - 1), ordered).view(np.float64)


def _buckets(thresholds: np.ndarray) -> tuple[float, float, np.ndarray, int]:
    """Equal parts of a column's range, so that a search begins near its end.

    Returns:
        Where they begin, how many there are in a unit, how many thresholds lie below each, and the
        most in one, rounded up to one less than a power of two.
    """
    finite = thresholds[np.isfinite(thresholds)]
    low, span = (finite[0], finite[-1] - finite[0]) if len(finite) else (0.0, 0.0)
    with np.errstate(all="ignore"):
        width = BUCKETS / span
        if not 0 < width < np.inf:
            low, width = 0.0, 0.0
        # The very operations of the kernel: they keep the order of numbers, whatever they round.
        places = (thresholds - low) * width
    places = np.minimum(np.where(places > 0, places, 0), BUCKETS - 1).astype(np.int64)
    counts = np.bincount(places, minlength=BUCKETS)
    most = (1 << int(counts.max()).bit_length()) - 1
    return float(low), float(width), (np.cumsum(counts) - counts).astype(np.uint16), most


def _tests(
    trees: Trees, is_leaf: np.ndarray, columns: _ByteColumns
) -> tuple[np.ndarray, np.ndarray]:
    """What each node asks: how many steps it takes, and the steps of all nodes in their order."""
    nodes = trees.nodes
    is_category = (nodes["flags"] & CATEGORY) != 0
    lengths = np.where(is_leaf, 0, 1)
    firsts = np.zeros(len(nodes), dtype=np.int64)
    limits = np.zeros(len(nodes), dtype=np.int64)
    # Without the counts np.unique imports numpy.ma, which a service needs for nothing else.
    for column in np.unique(nodes["column"][~is_leaf], return_counts=True)[0]:
        here = np.flatnonzero(~is_leaf & ~is_category & (nodes["column"] == column))
        if len(here):
            thresholds, places = np.unique(nodes["threshold"][here], return_inverse=True)
            asked = np.where((nodes["flags"][here] & NAN_RIGHT) != 0, HIGH, LOW)
            sides, side = np.unique(asked, return_inverse=True)
            first = columns.ranks(int(column), thresholds, sides)
            firsts[here] = first[side] + places // RANKS
            limits[here] = places % RANKS - 128
        asking = np.flatnonzero(is_category & (nodes["column"] == column))
        if len(asking):
            before = columns.count
            firsts[asking] = columns.sets(int(column))
            lengths[asking] = columns.count - before
    tests = np.zeros(int(lengths.sum()), dtype=STEP)
    owner = np.repeat(np.arange(len(nodes)), lengths)
    begins = np.cumsum(lengths) - lengths
    nth = np.arange(len(tests)) - begins[owner]
    tests["column"] = np.minimum(firsts[owner] + nth, MOST_COLUMNS - 1)
    tests["limit"] = limits[owner]
    tests["mask"] = -1
    asks = is_category[owner]
    if asks.any():
        # A code that is in none of the sets goes right: the bits are those that are not in it.
        start = nodes["threshold"][owner[asks]].astype(np.int64)
        bit = nth[asks] * CODES
        inside = np.zeros(len(bit), dtype=np.uint64)
        for place in range(CODES):
            at = bit + place
            word = np.minimum(start + (at >> 6), len(trees.bits) - 1)
            one = (trees.bits[word] >> (at & 63).astype(np.uint64)) & np.uint64(1)
            inside |= one << np.uint64(place)
        tests["mask"][asks] = (~inside & np.uint64(127)).astype(np.int8)
        tests["limit"][asks] = 0
    return lengths, tests


def _assemble(
    trees: Trees,
    counts: np.ndarray,
    is_leaf: np.ndarray,
    lengths: np.ndarray,
    tests: np.ndarray,
    columns: _ByteColumns,
) -> Ranked | None:
    """Leaves first, then the steps from the last node to the root."""
    nodes, roots = trees.nodes, trees.roots
    tree = np.repeat(np.arange(len(roots)), counts)
    leaves = np.add.reduceat(is_leaf.astype(np.int64), roots)
    steps = leaves + np.add.reduceat(lengths, roots)
    if steps.max() > MOST_STEPS:
        return None
    leaf_base = np.cumsum(leaves) - leaves
    leaf_number = np.cumsum(is_leaf) - 1 - leaf_base[tree]
    asked_before = np.cumsum(lengths) - lengths
    asked_before -= asked_before[roots][tree]
    # A node's first step has the highest place; further steps of a set lie below it.
    place = np.where(is_leaf, leaf_number, steps[tree] - 1 - asked_before)
    first = np.cumsum(steps) - steps
    own = first[tree] + place
    owner = np.repeat(np.arange(len(nodes)), lengths)
    nth = np.arange(len(tests)) - (np.cumsum(lengths) - lengths)[owner]
    at = place[owner] - nth
    is_last = nth + 1 == lengths[owner]
    tests["next"][:, 0] = np.where(is_last, place[nodes["left"][owner]] - at, -1)
    tests["next"][:, 1] = place[nodes["left"][owner] + 1] - at
    made = np.zeros(int(steps.sum()), dtype=STEP)  # a leaf leads to itself: 0 and 0
    made[first[tree[owner]] + at] = tests
    values = np.zeros((MOST_LEAVES + len(made), trees.leaves.shape[1]))
    values[MOST_LEAVES + own[is_leaf]] = trees.leaves[is_leaf]
    described = np.zeros(len(roots), dtype=TREE)
    described["first"], described["leaves"], described["steps"] = first, leaves, steps
    numbers: dict[str, tuple[Sequence[tuple[float, ...]], np.dtype]] = {
        "search": (columns.searches, SEARCH),
        "page": (columns.pages, PAGE),
        "lookup": (columns.lookups, LOOKUP),
        "flag": (columns.flags, FLAG),
    }
    arrays = {name: np.array(rows, dtype=kind) for name, (rows, kind) in numbers.items()}
    arrays |= {
        "steps": made,
        "ranked": described,
        "walks": _walks(described, _depths(trees, is_leaf, lengths, tree)),
        "leaf_values": values,
        "thresholds": np.concatenate([np.empty(0), *columns.thresholds]),
        "buckets": np.concatenate([np.empty(0, dtype=np.uint16), *columns.buckets]),
        "codes": np.concatenate([np.empty(0, dtype=np.int8), *columns.codes]),
    }
    # Trees of a single leaf have no columns; the kernel takes 0 for no trees over bytes.
    return Ranked(
        max(columns.count, 1), int(steps.max()), bool((tests["mask"] != -1).any()), arrays
    )


def _walks(described: np.ndarray, depths: np.ndarray) -> np.ndarray:
    """The trees by their depth, filled up with the last one, whose leaf is then kept nowhere."""
    order = np.argsort(depths, kind="stable")
    walks = np.zeros(-(-len(order) // WALKS) * WALKS, dtype=WALK)
    filled = np.append(order, np.repeat(order[-1:], len(walks) - len(order)))
    walks["root"] = described["first"][filled] + described["steps"][filled] - 1
    walks["tree"], walks["depth"] = filled, depths[filled]
    walks["tree"][len(order) :] = len(order)
    return walks


def _depths(trees: Trees, is_leaf: np.ndarray, lengths: np.ndarray, tree: np.ndarray) -> np.ndarray:
    """The most steps from the root of each tree to a leaf."""
    depth = np.zeros(len(trees.nodes), dtype=np.int64)
    level = trees.roots.astype(np.int64)
    while len(level := level[~is_leaf[level]]):
        children = trees.nodes["left"][level].astype(np.int64)
        below = depth[level] + lengths[level]
        np.maximum.at(depth, children, below)
        np.maximum.at(depth, children + 1, below)
        level = np.unique(np.concatenate([children, children + 1]), return_counts=True)[0]
    deepest = np.zeros(len(trees.roots), dtype=np.int64)
    np.maximum.at(deepest, tree, depth)
    return deepest
