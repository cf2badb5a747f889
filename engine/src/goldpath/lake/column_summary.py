"""What a table's columns hold, as aggregates that run where the data is."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from goldpath.contract import Contract, Feature
from goldpath.domain import common_words
from goldpath.lake.lakehouse import Lakehouse

if TYPE_CHECKING:
    import ibis

BINS = 20
SHOWN_VALUES = 8
COUNTED_TEXTS = 20_000
"""Texts whose words are counted; the lake's engines have no words."""


@dataclass(frozen=True)
class ColumnSummary:
    """One column of the gold table.

    Attributes:
        name: The column.
        type: Its type in the contract.
        rows: Rows of the table.
        missing: Rows without a value.
        distinct: Different values, roughly.
        minimum: Smallest number, or the fewest characters of a free text, or None.
        mean: Mean of the same, or None.
        maximum: Largest number, or the most characters, or None.
        counts: Rows by bin of a number (labelled with its lower bound), or by the commonest values,
            of a free text by the commonest words.
        is_personal: Whether the contract marks it; its values are not shown then.
    """

    name: str
    type: str
    rows: int
    missing: int
    distinct: int
    minimum: float | None
    mean: float | None
    maximum: float | None
    counts: tuple[tuple[str, int], ...]
    is_personal: bool


def summarise_columns(
    lakehouse: Lakehouse, rows: "ibis.Table", contract: Contract
) -> list[ColumnSummary]:
    """A summary of each feature and of a target; memory does not grow with the rows.

    A computed feature that was added since the table was made is passed over.
    """
    known = [
        each for each in contract.features if not each.is_computed or each.name in rows.columns
    ]
    features = [*known, *([_target_as_feature(contract)] if contract.has_target else [])]
    return [_summarise(lakehouse, rows, feature, contract) for feature in features]


def _target_as_feature(contract: Contract) -> Feature:
    kind = "category" if contract.problem == "classification" else "number"
    return Feature(name=contract.target.column, type=kind)


def _summarise(
    lakehouse: Lakehouse, rows: "ibis.Table", feature: Feature, contract: Contract
) -> ColumnSummary:
    import ibis

    column = rows[feature.name]
    is_number = feature.type in ("number", "integer")
    figures = {"total": ibis._.count(), "present": column.count(), "distinct": column.nunique()}
    if is_number or feature.is_free_text:
        number = column.cast("float64") if is_number else column.length().cast("float64")
        figures |= {"low": number.min(), "middle": number.mean(), "high": number.max()}
    (found,) = lakehouse.collect(rows.aggregate(**figures)).to_pylist()
    is_personal = feature.name in contract.personal
    counts: tuple[tuple[str, int], ...] = ()
    if not is_personal and found["present"]:
        counts = (
            _histogram(lakehouse, rows, feature, found)
            if is_number
            else _common_words(lakehouse, rows, feature.name)
            if feature.is_free_text
            else _commonest(lakehouse, rows, feature.name)
        )
    return ColumnSummary(
        name=feature.name,
        type=feature.type,
        rows=found["total"],
        missing=found["total"] - found["present"],
        distinct=found["distinct"],
        minimum=None if is_personal else found.get("low"),
        mean=None if is_personal else found.get("middle"),
        maximum=None if is_personal else found.get("high"),
        counts=counts,
        is_personal=is_personal,
    )


def _histogram(
    lakehouse: Lakehouse, rows: "ibis.Table", feature: Feature, found: dict[str, Any]
) -> tuple[tuple[str, int], ...]:
    import ibis

    low, high = found["low"], found["high"]
    whole = feature.type == "integer" and high - low < BINS
    bins = int(high - low) + 1 if whole else BINS
    width = 1.0 if whole else (high - low) / bins
    if width <= 0:
        return ((f"{low:g}", found["present"]),)
    present = rows.filter(rows[feature.name].notnull())
    position = (present[feature.name].cast("float64") - low) / width
    # The largest value belongs to the last bin; the cast cuts, since positions are not negative.
    number = (position - position % 1).cast("int64")
    bin_number = (number >= bins).ifelse(bins - 1, number)
    counted = lakehouse.collect(
        present.select(bin=bin_number).group_by("bin").aggregate(n=ibis._.count())
    ).to_pylist()
    held = {row["bin"]: row["n"] for row in counted}
    return tuple((f"{low + width * number:.4g}", held.get(number, 0)) for number in range(bins))


def _commonest(lakehouse: Lakehouse, rows: "ibis.Table", name: str) -> tuple[tuple[str, int], ...]:
    import ibis

    values = rows.filter(rows[name].notnull()).select(value=rows[name].cast("string"))
    counted = lakehouse.collect(
        values.group_by("value")
        .aggregate(n=ibis._.count())
        .order_by([ibis.desc("n"), "value"])
        .limit(SHOWN_VALUES)
    )
    return tuple((row["value"], row["n"]) for row in counted.to_pylist())


def _common_words(
    lakehouse: Lakehouse, rows: "ibis.Table", name: str
) -> tuple[tuple[str, int], ...]:
    """The words that most texts have, with the number of texts."""
    texts = rows.filter(rows[name].notnull()).select(value=rows[name]).limit(COUNTED_TEXTS)
    held = [row["value"] for row in lakehouse.collect(texts).to_pylist()]
    return common_words(held, SHOWN_VALUES)
