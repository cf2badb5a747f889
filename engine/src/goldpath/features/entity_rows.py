"""The rows that historical features are asked with, in the form that the join needs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from goldpath.contract import EVENT_TIME
from goldpath.features.views import ChosenFeatures, FeatureError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

# A column that no table of the lake has.
QUESTION = "question__"


def as_arrow(rows: "pa.Table | pd.DataFrame") -> "pa.Table":
    """A frame as Arrow, without its index."""
    import pyarrow as pa

    return rows if isinstance(rows, pa.Table) else pa.Table.from_pandas(rows, preserve_index=False)


def questions(rows: "pa.Table", chosen: Sequence[ChosenFeatures]) -> "pa.Table":
    """What the join needs of the entity rows: their number, whom and when."""
    import pyarrow as pa

    entities = list(dict.fromkeys(each.view.entity for each in chosen))
    missing = [name for name in (*entities, EVENT_TIME) if name not in rows.column_names]
    if missing:
        raise FeatureError(
            f"the entity rows lack {', '.join(missing)}",
            f"give columns {', '.join(entities)} and {EVENT_TIME}",
        )
    keys = {name: _key_column(rows[name]) for name in entities}
    time = _utc_column(rows[EVENT_TIME])
    number = pa.array(range(rows.num_rows), pa.int64())
    return pa.table({QUESTION: number, **keys, EVENT_TIME: time})


def _key_column(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        kind = pa.string()
    return column.cast(kind)


def _utc_column(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Times in UTC without a zone, in microseconds as the lake has them."""
    import pyarrow as pa

    kind = column.type
    if not (pa.types.is_temporal(kind) or pa.types.is_null(kind)):
        raise FeatureError(
            f"{EVENT_TIME} is {kind} in the entity rows", "convert it to a timestamp or a date"
        )
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(pa.timestamp(kind.unit, "UTC")).cast(pa.timestamp(kind.unit))
    return column.cast(pa.timestamp("us"), safe=False)


def refuse_taken(columns: Sequence[str], chosen: Sequence[ChosenFeatures]) -> None:
    """Check that no feature would overwrite a column.

    Raises:
        FeatureError: If one would.
    """
    taken = [label for each in chosen for label in each.labels if label in columns]
    if taken:
        raise FeatureError(
            f"these features would stand twice in the result: {', '.join(taken)}",
            "drop the columns from the entity rows, or ask with full_feature_names=True",
        )


def require_once(found: int, asked: int) -> None:
    """Check that each entity row came back once, which holds while gold keeps its promise.

    Raises:
        FeatureError: If it does not.
    """
    if found != asked:
        raise FeatureError(
            f"{asked} entity rows became {found}: gold holds two rows for one entity and time",
            "make the table again: make data; report it where it stays",
        )
