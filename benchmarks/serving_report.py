"""From the slots of the serving benchmark to its result, its table and its chart."""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from serving_measure import Slot
from serving_peers import COMPILED, LIMIT, OURS, SKLEARN, Peer

GOALS = {
    "vs_mlflow": 250,
    "vs_mlserver_batched": 45,
    "vs_bentoml_batched": 50,
    "vs_best_same_engine": 25,
    "vs_empty_fastapi": 3,
    "vs_empty_asgi": 0.65,
    "p99_vs_empty_asgi": 2,
    "fallback_vs_best_sklearn": 4,
    "batch1000_vs_mlflow": 10,
    "batch1000_vs_best": 5,
    "start_vs_mlflow": 8,
    "memory_vs_mlflow": 0.25,
}
QUIET = 0.1
"""Other programs may use so many cores; the figures of a busy machine are good for little."""
AT_MOST = ("p99_vs_empty_asgi", "memory_vs_mlflow")
COLOURS = {OURS: "#1b7f5c", SKLEARN: "#7a869a", COMPILED: "#4c78a8", LIMIT: "#d9b26f"}

Value = Callable[[Slot], float | None]


def summarise(
    chosen: Sequence[Peer], slots: Sequence[Slot], failed: dict[str, str]
) -> dict[str, Any]:
    """The result as it is written."""
    figures = _Figures([slot for slot in slots if slot.workers == 1])
    two = _Figures([slot for slot in slots if slot.workers == 2])
    kinds = {
        kind: [peer.name for peer in chosen if peer.kind == kind] for kind in (SKLEARN, COMPILED)
    }
    # BentoML without batching on scikit-learn and the like are slower; these are the best of each.
    batching = [name for name in kinds[SKLEARN] if name.endswith("_batched")]
    rate, many = _case("single_32", "per_second"), _case("many_4", "per_second")
    ratios = {
        "vs_mlflow": figures.ratio(rate, "ours", ["mlflow"]),
        "vs_mlserver_batched": figures.ratio(rate, "ours", ["mlserver_batched"]),
        "vs_bentoml_batched": figures.ratio(rate, "ours", ["bentoml_batched"]),
        "vs_best_same_engine": figures.ratio(rate, "ours", kinds[COMPILED]),
        "vs_empty_fastapi": figures.ratio(rate, "ours", ["empty_fastapi"]),
        "vs_empty_asgi": figures.ratio(rate, "ours", ["empty_asgi"]),
        "p99_vs_empty_asgi": figures.ratio(_case("single_32", "p99_ms"), "ours", ["empty_asgi"]),
        "batch1000_vs_mlflow": figures.ratio(many, "ours", ["mlflow"]),
        "batch1000_vs_best": figures.ratio(many, "ours", [*kinds[SKLEARN], *kinds[COMPILED]]),
        "fallback_vs_best_sklearn": figures.ratio(rate, "ours_native", batching),
        "start_vs_mlflow": _inverse(figures.ratio(lambda s: s.start_seconds, "ours", ["mlflow"])),
        "memory_vs_mlflow": two.ratio(lambda slot: slot.memory_mib, "ours", ["mlflow"]),
    }
    rows = {peer.name: _row(peer, figures, two, failed) for peer in chosen}
    for name, row in rows.items():
        row["ours_to_it"] = figures.ratio(rate, "ours", [name])
    return {
        "name": "serving",
        "ratio": ratios.pop("vs_mlflow"),
        "unit": "single-row requests a second, one worker, 32 connections: "
        "this service / mlflow models serve",
        "n": len({slot.round for slot in slots if slot.workers == 1}),
        "details": {
            **ratios,
            "goals": GOALS,
            "cores_used_elsewhere": _elsewhere(slots),
            "rows": rows,
            "failed": dict(failed),
        },
    }


def print_table(chosen: Sequence[Peer], result: dict[str, Any]) -> None:
    """All servers, and how the ratios stand to their goals."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console = Console(width=max(console.width, 130))
    table = Table(title="One worker, the same model: requests a second", title_justify="left")
    table.add_column("server")
    for name in ("8 conn.", "32 conn.", "p50 ms", "p99 ms", "CPU us/req.", "1000 rows"):
        table.add_column(name, justify="right")
    table.add_column("start s", justify="right")
    table.add_column("ours is", justify="right")
    for peer in chosen:
        row = result["details"]["rows"][peer.name]
        table.add_row(
            peer.title,
            *(_number(row[key]) for key in _TABLE),
            "" if row["ours_to_it"] is None else f"{_number(row['ours_to_it'])} x",
            style="bold" if peer.name == "ours" else None,
        )
        if "error" in row:
            table.add_row(f"  failed: {row['error'][:90]}", style="red")
    console.print(table)
    goals = Table(title="Ratios", title_justify="left")
    for name in ("ratio", "measured", "goal", ""):
        goals.add_column(name, justify="left" if name in ("ratio", "") else "right")
    for name, goal in GOALS.items():
        found = result["ratio"] if name == "vs_mlflow" else result["details"][name]
        verdict = "not measured"
        if found is not None:
            is_met = found <= goal if name in AT_MOST else found >= goal
            verdict = "met" if is_met else "not met"
        sign = "<=" if name in AT_MOST else ">="
        goals.add_row(name, _number(found), f"{sign} {goal:g}", verdict)
    console.print(goals)
    elsewhere = result["details"]["cores_used_elsewhere"]
    if elsewhere is not None and elsewhere > QUIET:
        console.print(f"Other programs used {elsewhere} cores meanwhile: not a quiet machine.")


def draw_chart(chosen: Sequence[Peer], result: dict[str, Any], file: Path) -> None:
    """Requests a second of all servers as bars, on a logarithmic scale."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    rows = result["details"]["rows"]
    shown = [peer for peer in chosen if rows[peer.name]["single_32_per_second"]]
    shown.sort(key=lambda peer: rows[peer.name]["single_32_per_second"])
    if not shown:
        return
    rates = [rows[peer.name]["single_32_per_second"] for peer in shown]
    figure, axes = pyplot.subplots(figsize=(10, 0.38 * len(shown) + 1.7), dpi=110)
    axes.barh(
        [peer.title for peer in shown],
        rates,
        color=[COLOURS[peer.kind] for peer in shown],
        log=True,
    )
    for at, rate in enumerate(rates):
        axes.text(rate * 1.08, at, f"{rate:,.0f}", va="center", fontsize=9)
    axes.set_xlim(left=min(rates) / 3, right=max(rates) * 4)
    axes.set_xlabel("single-row requests a second, one worker, 32 connections (logarithmic)")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    named = {
        OURS: "this project, all features on",
        COMPILED: "with this project's compiled model",
        SKLEARN: "with scikit-learn",
        LIMIT: "without a model",
    }
    there = [kind for kind in named if any(peer.kind == kind for peer in shown)]
    axes.legend(
        handles=[Patch(color=COLOURS[kind], label=named[kind]) for kind in there],
        loc="lower right",
        frameon=False,
        fontsize=9,
    )
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    pyplot.close(figure)


_TABLE = (
    "single_8_per_second",
    "single_32_per_second",
    "single_32_p50_ms",
    "single_32_p99_ms",
    "single_32_cpu_us",
    "many_4_per_second",
    "start_seconds",
)


class _Figures:
    """Slots by round and server."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self._slots = {(slot.round, slot.peer): slot for slot in slots}
        self._rounds = sorted({slot.round for slot in slots})

    def ratio(self, value: Value, ours: str, others: Sequence[str]) -> float | None:
        """Ours to the largest of the others, round by round; the median."""
        found = []
        for number in self._rounds:
            mine = self._value(value, number, ours)
            theirs = [self._value(value, number, name) for name in others]
            known = [figure for figure in theirs if figure]
            if mine and known:
                found.append(mine / max(known))
        return _rounded(statistics.median(found)) if found else None

    def median(self, value: Value, name: str) -> float | None:
        """Over the rounds."""
        found = [self._value(value, number, name) for number in self._rounds]
        known = [figure for figure in found if figure is not None]
        return _rounded(statistics.median(known)) if known else None

    def largest(self, value: Value, name: str) -> float | None:
        """Over the rounds."""
        found = [self._value(value, number, name) for number in self._rounds]
        return max((figure for figure in found if figure is not None), default=None)

    def _value(self, value: Value, number: int, name: str) -> float | None:
        slot = self._slots.get((number, name))
        return None if slot is None else value(slot)


def _row(peer: Peer, figures: _Figures, two: _Figures, failed: dict[str, str]) -> dict[str, Any]:
    row: dict[str, Any] = {"title": peer.title, "kind": peer.kind}
    for case in ("single_8", "single_32", "many_4"):
        for name in ("per_second", "p50_ms", "p99_ms", "cpu_us"):
            row[f"{case}_{name}"] = figures.median(_case(case, name), peer.name)
    row["start_seconds"] = figures.median(lambda slot: slot.start_seconds, peer.name)
    row["memory_mib"] = figures.median(lambda slot: slot.memory_mib, peer.name)
    row["memory_mib_two_workers"] = two.median(lambda slot: slot.memory_mib, peer.name)
    row["two_workers_per_second"] = two.median(_case("single_32", "per_second"), peer.name)
    row["largest_difference"] = figures.largest(lambda slot: slot.largest_difference, peer.name)
    if peer.name in failed:
        row["error"] = failed[peer.name]
    return row


def _case(case: str, name: str) -> Value:
    return lambda slot: slot.cases.get(case, {}).get(name)


def _elsewhere(slots: Sequence[Slot]) -> float | None:
    """Cores that other programs used under load; the median."""
    found = [case["cores_used_elsewhere"] for slot in slots for case in slot.cases.values()]
    return round(statistics.median(found), 2) if found else None


def _inverse(value: float | None) -> float | None:
    return _rounded(1 / value) if value else None


def _rounded(value: float) -> float:
    """To three digits or to whole numbers."""
    return float(f"{value:.4g}") if value < 1000 else float(round(value))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
