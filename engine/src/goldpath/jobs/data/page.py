"""The data page: the lake's state as what its template shows."""

from dataclasses import dataclass

from goldpath.jobs.data.lake_state import LakeState
from goldpath.lake.column_summary import ColumnSummary
from goldpath.pages.charts import Bar, Block, Part, bars, stacked_columns
from goldpath.pages.documents import digits, render

SHOWN_DELIVERIES = 20
SHOWN_SOURCE = 17
PLACES = {
    "source": (10, 60),
    "bronze": (190, 60),
    "silver": (370, 20),
    "quarantine": (370, 110),
    "gold": (550, 20),
    "training": (730, 0),
    "predictions": (730, 90),
}
"""Where the lineage draws each layer, in a drawing of 880 by 176."""
FLOWS = (
    ("source", "bronze"), ("bronze", "silver"), ("bronze", "quarantine"), ("silver", "gold"),
    ("gold", "training"), ("gold", "predictions"),
)  # fmt: skip


@dataclass(frozen=True)
class Place:
    """A box of the lineage: what stands in it, and what shows when one points at it."""

    name: str
    x: int
    y: int
    below: str
    hover: str


@dataclass(frozen=True)
class Lineage:
    """Boxes, and the paths between them."""

    places: tuple[Place, ...]
    arrows: tuple[str, ...]


@dataclass(frozen=True)
class ShownColumn:
    """A column of gold: its facts, and a histogram or bars, or neither."""

    name: str
    facts: str
    is_personal: bool
    histogram: tuple[Block, ...]
    values: tuple[Bar, ...]


def render_page(state: LakeState) -> str:
    """One HTML document with nothing to load from elsewhere."""
    quarantine = state.tables.get("quarantine")
    return render(
        "data.html",
        state=state,
        quarantined=quarantine.rows if quarantine is not None else 0,
        lineage=Lineage(
            tuple(_place(state, name) for name in PLACES),
            tuple(_arrow(PLACES[start], PLACES[end]) for start, end in FLOWS),
        ),
        intervals=_intervals(state),
        reasons=bars([(reason, rows, f"{rows:,}") for reason, rows in state.reasons.items()]),
        deliveries=state.deliveries[-SHOWN_DELIVERIES:],
        columns=list(map(_column, state.columns)),
    )


def _place(state: LakeState, name: str) -> Place:
    hover = ""
    if name == "source":
        hover = state.source
        short = len(hover) <= SHOWN_SOURCE
        below = hover if short else "…" + hover[1 - SHOWN_SOURCE :]
    elif name == "training":
        below, hover = f"{len(state.training_runs)} runs", ", ".join(state.training_runs)
    elif name in state.tables:
        snapshot = state.tables[name]
        below = f"{snapshot.rows:,} rows"
        hover = f"snapshot {snapshot.snapshot_id}, {snapshot.committed_at:%Y-%m-%d %H:%M:%S} UTC"
    else:
        below = "not written yet"
    return Place(name, *PLACES[name], below, hover)


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + 140, start[1] + 29, end[0] - 2, end[1] + 29
    bend = (x1 + x2) // 2
    return f"M{x1} {y1}C{bend} {y1} {bend} {y2} {x2} {y2}"


def _intervals(state: LakeState) -> tuple[Block, ...]:
    """A column an interval: the rows that came through, at the bottom, and those that did not."""
    columns = []
    for record in state.intervals:
        counts = {
            "kept": record.rows_out,
            "dropped": record.duplicates,
            "refused": record.quarantined,
        }
        columns.append(
            [Part(rows, look, f"{record.subject}: {rows:,}") for look, rows in counts.items()]
        )
    return stacked_columns(columns)


def _column(column: ColumnSummary) -> ShownColumn:
    share = column.missing / column.rows if column.rows else 0
    facts = [column.type, f"{share:.1%} missing", f"{column.distinct:,} values"]
    if column.minimum is not None and column.mean is not None and column.maximum is not None:
        figures = " … ".join(map(digits, (column.minimum, column.mean, column.maximum)))
        facts.append(f"{figures} characters" if column.type == "text" else figures)
    is_number = column.type in ("number", "integer")
    counts = () if column.is_personal else column.counts
    bins = [[Part(rows, "bin", f"from {label}: {rows:,}")] for label, rows in counts]
    values = [(label, rows, f"{rows:,}") for label, rows in counts]
    return ShownColumn(
        column.name,
        " · ".join(facts),
        column.is_personal,
        stacked_columns(bins, fewest=1) if is_number else (),
        () if is_number else bars(values),
    )
