"""The compiled form: what a fitted pipeline knows, as arrays that hold no code.

A row comes in as numbers (float64, NaN where missing) and category codes (int32). `Encoder` turns
them into the model's columns; `Trees` or `Weights` turn those into margins; the link turns margins
into probabilities or a value. Everything is float64 in the order in which scikit-learn computes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal

import numpy as np

from goldpath.errors import ProjectError

NUMBER, MISSING, TABLE = 0, 1, 2
"""Kinds of an encoded column: a scaled number, a scaled flag of a missing one, a code's value."""

NAN_RIGHT, CATEGORY = 1, 2
"""Flags of a node: where a missing number goes, and whether the threshold starts a set of codes."""

NODE = np.dtype([("threshold", "<f8"), ("left", "<i4"), ("column", "<i2"), ("flags", "<i2")])

Link = Literal["identity", "logistic", "softmax", "exponential"]
LINKS: tuple[Link, ...] = ("identity", "logistic", "softmax", "exponential")


class CompiledFormError(ProjectError):
    """A compiled form cannot be made, read or run."""


@dataclass(frozen=True)
class Encoder:
    """The columns that the model sees, each an array of shape (columns,).

    Attributes:
        kind: `NUMBER`, `MISSING` or `TABLE`.
        source: Which number, or which category.
        fill: In place of a missing number; NaN leaves it missing.
        centre: Subtracted.
        scale: Divided by.
        offset: Where the category's values begin in `table`.
        table: A value for each code of each category, all columns behind each other. A category
            with n known values has codes 0 to n - 1, n where it is unknown, n + 1 where missing.
    """

    kind: np.ndarray
    source: np.ndarray
    fill: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    offset: np.ndarray
    table: np.ndarray


@dataclass(frozen=True)
class Trees:
    """Trees over the encoded columns.

    Attributes:
        nodes: `NODE`s of all trees. The right child lies behind the left one; a leaf is its own.
        roots: Each tree's first node, shape (trees,).
        targets: Which margin a tree adds to, shape (trees,); unused where leaves hold them all.
        leaves: What a leaf adds, shape (nodes, 1) or (nodes, margins).
        bits: Sets of codes that go left, 64 a word.
        single: Whether the trees compare in float32, as scikit-learn's forests do.
        single_sums: Whether their leaves are added in float32, as XGBoost does.
    """

    nodes: np.ndarray
    roots: np.ndarray
    targets: np.ndarray
    leaves: np.ndarray
    bits: np.ndarray
    single: bool = False
    single_sums: bool = False

    @property
    def arrays(self) -> "dict[str, np.ndarray]":
        """The arrays by name."""
        return {name: value for name, value in vars(self).items() if not name.startswith("single")}


@dataclass(frozen=True)
class Weights:
    """A linear model: weights of shape (margins, columns)."""

    weights: np.ndarray

    @property
    def arrays(self) -> "dict[str, np.ndarray]":
        """The array by name."""
        return {"weights": self.weights}


@dataclass(frozen=True)
class BlendMember:
    """A member of a blend: forms whose mean it is.

    Attributes:
        weight: Its share.
        temperature: Its calibration; 1 for none.
        forms: They take the same rows as the blend, and have the same classes.
    """

    weight: float
    temperature: float
    forms: "tuple[CompiledForm, ...]"


@dataclass(frozen=True)
class Blend:
    """A weighted mean of other forms; the form that holds it encodes nothing itself.

    Attributes:
        members: What is mixed.
        temperature: Calibration of the mean; 1 for none.
        shift: Added to the mean, after it is multiplied by `scale`.
        scale: See there.
        lowest: No answer is below; None without a limit.
    """

    members: tuple[BlendMember, ...]
    temperature: float = 1.0
    shift: float = 0.0
    scale: float = 1.0
    lowest: float | None = None

    @property
    def forms(self) -> "tuple[CompiledForm, ...]":
        """Those of all members, in their order."""
        return tuple(form for member in self.members for form in member.forms)


@dataclass(frozen=True)
class CompiledForm:
    """A fitted pipeline without its library.

    Attributes:
        numbers: Names of the numeric and boolean features, in the order of a row's numbers.
        categories: Each category feature's known values, in the order of a row's codes.
        encoder: From these to the model's columns.
        model: From the columns to margins.
        bias: Where the margins begin, shape (margins,).
        divisor: Margins are divided by it (a forest's mean).
        link: From margins to the answer.
        classes: Labels in the order of the probabilities; empty in regression.
    """

    numbers: tuple[str, ...]
    categories: Mapping[str, tuple[str, ...]]
    encoder: Encoder
    model: Trees | Weights | Blend
    bias: np.ndarray
    divisor: float
    link: Link
    classes: tuple[str, ...]

    @property
    def outputs(self) -> int:
        """Numbers in an answer: a probability for each class, or one value."""
        return len(self.classes) or 1

    @property
    def outputs_without_classes(self) -> int:
        """Numbers in an answer, by the link alone."""
        return {"logistic": 2, "exponential": 1}.get(self.link, len(self.bias))

    @cached_property
    def codes(self) -> Mapping[str, Mapping[str | None, int]]:
        """Each category feature's codes by value; `None` is a missing one."""
        return {
            name: {**{value: code for code, value in enumerate(known)}, None: len(known) + 1}
            for name, known in self.categories.items()
        }


def check_form(form: CompiledForm) -> None:
    """Refuse a form whose arrays point outside: the kernel reads them without looking.

    Raises:
        CompiledFormError: Names the first array that is wrong.
    """
    for problem, wrong in _problems(form):
        if wrong:
            raise CompiledFormError(
                f"the compiled form is damaged: {problem}",
                "register the model again: make train-local",
            )


def _problems(form: CompiledForm) -> list[tuple[str, bool]]:
    encoder, margins = form.encoder, len(form.bias)
    columns = len(encoder.kind)
    types = {"kind": "uint8", "source": "int32", "offset": "int32"}
    problems = [
        (
            f"encoder.{field.name}",
            getattr(encoder, field.name).dtype != types.get(field.name, "float64"),
        )
        for field in fields(Encoder)
    ]
    problems += [
        (f"encoder.{field.name}", getattr(encoder, field.name).shape != (columns,))
        for field in fields(Encoder)
        if field.name != "table"
    ]
    problems += [
        ("encoder.table", encoder.table.ndim != 1),
        ("bias", form.bias.dtype != np.float64 or form.bias.ndim != 1),
        ("link", form.link not in LINKS),
        ("classes", form.outputs != form.outputs_without_classes),
        ("margins", margins < 1 or (form.link in ("logistic", "exponential") and margins != 1)),
    ]
    if any(wrong for _, wrong in problems):
        return problems  # what follows indexes these arrays
    is_table = encoder.kind == TABLE
    sizes = np.array([len(known) + 2 for known in form.categories.values()], dtype=np.int64)
    limit = np.where(is_table, len(sizes), len(form.numbers))
    outside = (encoder.source < 0) | (encoder.source >= limit) | (encoder.kind > TABLE)
    problems.append(("encoder.source", bool(outside.any())))
    if not outside.any() and is_table.any():
        ends = encoder.offset[is_table] + sizes[encoder.source[is_table]]
        beyond = (encoder.offset[is_table] < 0) | (ends > len(encoder.table))
        problems.append(("encoder.offset", bool(beyond.any())))
    if isinstance(form.model, Blend):
        return problems + _blend_problems(form, form.model)
    if isinstance(form.model, Weights):
        weights = form.model.weights
        return [
            *problems,
            ("weights", weights.dtype != np.float64 or weights.shape != (margins, columns)),
        ]
    return problems + _tree_problems(form, form.model, columns, margins)


def _blend_problems(form: CompiledForm, blend: Blend) -> list[tuple[str, bool]]:
    rows = (form.numbers, dict(form.categories), form.classes)
    problems = [
        ("members", not blend.members or any(not member.forms for member in blend.members)),
        (
            "members' rows",
            any((p.numbers, dict(p.categories), p.classes) != rows for p in blend.forms),
        ),
    ]
    for part in blend.forms:
        problems.append(("members", isinstance(part.model, Blend)))
        problems += _problems(part)
    return problems


def _tree_problems(
    form: CompiledForm, trees: Trees, columns: int, margins: int
) -> list[tuple[str, bool]]:
    nodes, size = trees.nodes, len(trees.nodes)
    problems = [
        ("nodes", nodes.dtype != NODE or nodes.ndim != 1),
        ("roots", trees.roots.dtype != np.int32 or trees.roots.ndim != 1),
        ("targets", trees.targets.dtype != np.int32 or trees.targets.shape != trees.roots.shape),
        ("leaves", trees.leaves.dtype != np.float64 or trees.leaves.ndim != 2),
        ("bits", trees.bits.dtype != np.uint64 or trees.bits.ndim != 1),
    ]
    if any(wrong for _, wrong in problems):
        return problems
    width = trees.leaves.shape[1]
    own = np.arange(size)
    is_leaf = nodes["left"] == own
    category = (nodes["flags"] & CATEGORY) != 0
    problems += [
        ("leaves", len(trees.leaves) != size or width not in (1, margins)),
        ("roots", bool(((trees.roots < 0) | (trees.roots >= size)).any())),
        ("targets", bool(((trees.targets < 0) | (trees.targets >= margins)).any())),
        ("nodes.column", bool(((nodes["column"] < 0) | (nodes["column"] >= columns)).any())),
        # Children lie behind their parent, so every walk ends.
        ("nodes.left", bool(((nodes["left"] < own) | (nodes["left"] + ~is_leaf >= size)).any())),
        ("nodes.flags", bool((nodes["flags"] & ~np.int16(NAN_RIGHT | CATEGORY)).any())),
        ("leaf flags", bool((is_leaf & (category | ~np.isposinf(nodes["threshold"]))).any())),
        ("leaf column", bool((is_leaf & ((nodes["flags"] & NAN_RIGHT) != 0)).any())),
    ]
    if any(wrong for _, wrong in problems) or not category.any():
        return problems
    # A set of codes must cover every value that its column can have.
    used = nodes["column"][category].astype(np.int64)
    encoder = form.encoder
    is_code = encoder.kind[used] == TABLE
    problems.append(("nodes of categories", not bool(is_code.all())))
    if is_code.all():
        sizes = np.array([len(known) + 2 for known in form.categories.values()])
        for column in np.unique(used, return_counts=True)[0]:
            begin = encoder.offset[column]
            values = encoder.table[begin : begin + sizes[encoder.source[column]]]
            starts = nodes["threshold"][category & (nodes["column"] == column)]
            largest = values.max() if np.isfinite(values).all() else np.inf
            reach = starts + largest // 64
            whole = bool(np.all(starts == np.floor(starts)) and np.all(starts >= 0))
            fits = whole and values.min() >= 0 and bool(np.all(reach < len(trees.bits)))
            problems.append(("nodes of categories", not fits))
    return problems
