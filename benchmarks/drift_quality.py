"""False alarms and power of the drift check, where days differ without any drift.

A reference of 56 days, then 28 days without drift, then 14 days in which 3 of 25 columns (and, in
another run, one) have moved by 0.2 standard deviations for good. Every day each column moves as a
whole: by nothing (`iid`), by a normal variable of 0.03, 0.05 or 0.1 sd, or of 0.05 and 0.15 more on
weekends. Beside our decision, on the same windows: Benjamini-Hochberg over tests of rows, and
Evidently's defaults (its own tests, an alarm where any column drifts); NannyML's univariate drift
if the interpreter of an environment that has it is named.

Each cell is written as soon as it is measured, so that a run that was broken off goes on with
`--missing`.

    python benchmarks/drift_quality.py [--nannyml PYTHON] [--only TEXT] [--missing] [--references N]
        [--peers N] [--peers-only]
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from drift_columns import COLUMNS, draw

REFERENCE_DAYS, QUIET_DAYS, MOVED_DAYS = 56, 28, 14
FIRST = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday
SHIFT = 0.2
MOVED = {"3 columns": (0, 6, 12), "1 column": (0,)}
BH_RATE = 0.01
SIZES = (300, 1000, 5000)
REFERENCES, PEER_REFERENCES = 30, 2
RESULT = Path(__file__).parent / "results" / "drift_quality.json"

Figures = dict[str, dict[str, float]]

FALSE_ALARMS, LASTING_FALSE_ALARMS = 0.02, 0.006


@dataclass(frozen=True)
class World:
    """How days differ."""

    name: str
    day: float = 0.0
    weekend: float = 0.0


WORLDS = (
    World("iid"),
    World("days 0.03", 0.03),
    World("days 0.05", 0.05),
    World("days 0.1", 0.1),
    World("days 0.05, weekends", 0.05, 0.15),
)


def main() -> int:
    """Print a table and write results/drift_quality.json; 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nannyml", metavar="PYTHON")
    parser.add_argument(
        "--only", default="", help='cells whose name has this text, such as "iid"; others are kept'
    )
    parser.add_argument(
        "--missing", action="store_true", help="only cells without a result; others are kept"
    )
    parser.add_argument("--references", type=int, default=REFERENCES, help="of each cell")
    parser.add_argument("--peers", type=int, default=PEER_REFERENCES, help="references for peers")
    parser.add_argument("--peers-only", action="store_true", help="our own figures are kept")
    arguments = parser.parse_args()
    keeps = arguments.only or arguments.missing or arguments.peers_only
    results = read_results() if keeps else {}
    cells = cells_to_measure(
        results, arguments.only, only_missing=arguments.missing, with_nannyml=arguments.nannyml
    )
    tasks = [
        (
            world,
            rows,
            0 if arguments.peers_only else arguments.references,
            arguments.peers,
            arguments.nannyml,
        )
        for world, rows in cells
    ]
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        measured = {pool.submit(_cell, task): name_of(*task[:2]) for task in tasks}
        for each in as_completed(measured):
            name, found = measured[each], each.result()
            results[name] = {**results.get(name, {}), **found}
            write_results(results)
            print(f"{name}: {json.dumps(found)}", flush=True)
    broken = list(_broken(results))
    left = len(WORLDS) * len(SIZES) - len(results)
    if left:
        print(f"{left} cells have no result yet: --missing measures them")
    print("\n".join(broken) or "every promise held")
    return 1 if broken else 0


def name_of(world: World, rows: int) -> str:
    """What a cell is called in the results."""
    return f"{world.name}, {rows} rows"


def cells_to_measure(
    results: dict[str, Figures], only: str, *, only_missing: bool, with_nannyml: str | None
) -> list[tuple[World, int]]:
    """The cells whose name has the text; without those that have a result, if only these miss.

    A cell that was measured without NannyML misses where NannyML is asked for.
    """
    needed = {"goldpath", "NannyML"} if with_nannyml else {"goldpath"}
    return [
        (world, rows)
        for world in WORLDS
        for rows in SIZES
        if only in name_of(world, rows)
        and not (only_missing and needed <= results.get(name_of(world, rows), {}).keys())
    ]


def read_results() -> dict[str, Figures]:
    """What was measured so far."""
    if not RESULT.exists():
        return {}
    found: dict[str, Figures] = json.loads(RESULT.read_text(encoding="utf-8"))["details"]["cells"]
    return found


def write_results(results: dict[str, Figures]) -> None:
    """Replace the results as a whole: whoever breaks the run off loses no cell."""
    names = [name_of(world, rows) for world in WORLDS for rows in SIZES]
    ordered = {name: results[name] for name in names if name in results}
    alarms = {
        method: _alarms_without_drift(ordered, method)
        for method in ("goldpath", "Benjamini-Hochberg", "Evidently", "NannyML")
    }
    ours, theirs = alarms["goldpath"], alarms["Benjamini-Hochberg"]
    document = {
        "name": "drift_quality",
        "ratio": round(ours / theirs, 4) if ours is not None and theirs else None,
        "unit": "windows without drift that are an alarm / those of Benjamini-Hochberg over rows",
        "n": int(sum(found["goldpath"].get("windows", 0) for found in ordered.values())),
        "details": {
            "alarms_without_drift": alarms,
            "cells": ordered,
            "broken": _broken(ordered),
            "cores": os.cpu_count(),
        },
    }
    draft = RESULT.with_suffix(".part")
    draft.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    draft.replace(RESULT)


def _alarms_without_drift(results: dict[str, Figures], method: str) -> float | None:
    rates = [found[method]["null"] for found in results.values() if method in found]
    return round(float(np.mean(rates)), 4) if rates else None


def _broken(results: dict[str, Figures]) -> list[str]:
    broken = []
    for name, found in results.items():
        ours = found["goldpath"]
        for figure, limit in (("null", FALSE_ALARMS), ("null lasting", LASTING_FALSE_ALARMS)):
            if ours[figure] > limit:
                broken.append(f"{name}: {figure} {ours[figure]:.4f} > {limit}")
        wanted = {"iid, 5000 rows": 0.95, "days 0.05, 5000 rows": 0.8}.get(name)
        if wanted and ours["3 columns"] < wanted:
            broken.append(f"{name}: power {ours['3 columns']:.3f} < {wanted}")
    return broken


def _cell(task: tuple[World, int, int, int, str | None]) -> Figures:
    world, rows, references, peers, nannyml = task
    began = time.process_time()
    alarms: dict[str, dict[str, list[list[bool]]]] = {}
    for seed in range(max(references, peers)):
        data = _simulate(world, rows, seed)
        methods = _ours(world, data) if seed < references else {}
        if seed < peers:
            methods["Benjamini-Hochberg"] = _rows_judged(data)
            methods["Evidently"] = _evidently(data)
            if nannyml:
                methods["NannyML"] = _nannyml(data, nannyml)
        for method, phases in methods.items():
            for phase, days in phases.items():
                alarms.setdefault(method, {}).setdefault(phase, []).append(days)
    figures: Figures = {method: _figures(phases) for method, phases in alarms.items()}
    if references:
        figures["cpu"] = {"seconds": round(time.process_time() - began, 1)}
    return figures


def _figures(phases: dict[str, list[list[bool]]]) -> dict[str, float]:
    """Rates over all windows of all references, and the mean time to detection in windows."""
    found = {phase: float(np.mean(days)) for phase, days in phases.items()}
    found["windows"] = float(np.size(phases["null"]))
    for phase in MOVED:
        if f"{phase} lasting" in phases:
            first = [
                next((n + 1 for n, hit in enumerate(days) if hit), math.nan)
                for days in phases[f"{phase} lasting"]
            ]
            found[f"{phase} found"] = float(np.mean(~np.isnan(first)))
            if not np.all(np.isnan(first)):
                found[f"{phase} windows to detection"] = float(np.nanmean(first))
    return {name: round(value, 4) for name, value in found.items()}


@dataclass(frozen=True)
class Data:
    """One reference and what came after it."""

    reference: list[pa.Table]
    phases: dict[str, list[pa.Table]]


def _simulate(world: World, rows: int, seed: int) -> Data:
    random = np.random.default_rng([seed, rows, *world.name.encode()])

    def days(first: int, count: int, moved: tuple[int, ...] = ()) -> list[pa.Table]:
        lasting = np.zeros(COLUMNS)
        lasting[list(moved)] = SHIFT
        return [
            draw(random, rows, lasting + _day(random, world, first + day)) for day in range(count)
        ]

    quiet_until = REFERENCE_DAYS + QUIET_DAYS
    return Data(
        days(0, REFERENCE_DAYS),
        {
            "null": days(REFERENCE_DAYS, QUIET_DAYS),
            **{name: days(quiet_until, MOVED_DAYS, moved) for name, moved in MOVED.items()},
        },
    )


def _day(random: np.random.Generator, world: World, day: int) -> npt.NDArray[np.float64]:
    return random.normal(scale=world.day, size=COLUMNS) + world.weekend * (day % 7 >= 5)


def _ours(world: World, data: Data) -> dict[str, dict[str, list[bool]]]:
    """Our decision with the reference's windows, and what it falls back to without them."""
    from goldpath.drift.counts import count_rows
    from goldpath.drift.persistence import judge_source
    from goldpath.drift.reference import build_reference
    from goldpath.drift.window_verdict import WindowJudge

    whole = pa.concat_tables(data.reference)
    rows = data.reference[0].num_rows
    times = np.repeat(
        np.datetime64(FIRST.replace(tzinfo=None), "s")
        + np.arange(REFERENCE_DAYS) * np.timedelta64(86_400, "s"),
        rows,
    )
    reference = build_reference(whole, times, season="weekend" if world.weekend else "none")
    bins = reference.whole.bins
    counted = {
        phase: [count_rows(bins, rows) for rows in days] for phase, days in data.phases.items()
    }
    found: dict[str, dict[str, list[bool]]] = {}
    for method, known in (
        ("goldpath", reference),
        ("goldpath without history", replace(reference, windows=None)),
    ):
        judge = WindowJudge(known)
        phases: dict[str, list[bool]] = {}
        quiet = []
        for phase, profiles in counted.items():
            first = REFERENCE_DAYS + (0 if phase == "null" else QUIET_DAYS)
            verdicts = [
                judge.judge(profile, FIRST + timedelta(days=first + day))
                for day, profile in enumerate(profiles)
            ]
            before = list(quiet)
            if phase == "null":
                quiet = verdicts
            phases[phase] = [verdict.state == "alarm" for verdict in verdicts]
            phases[f"{phase} lasting"] = [
                judge_source([*before, *verdicts[: day + 1]]).exit_code == 1
                for day in range(len(verdicts))
            ]
        found[method] = phases
    return found


def _rows_judged(data: Data) -> dict[str, list[bool]]:
    """Benjamini-Hochberg over two-sample tests of rows, without a floor."""
    from goldpath.drift.decision import adjust_p_values
    from goldpath.drift.profile import compare_frames

    whole = pa.concat_tables(data.reference)
    drawn = np.random.default_rng(0).choice(whole.num_rows, min(whole.num_rows, 10_000), False)
    reference = whole.take(np.sort(drawn))

    def is_alarm(rows: pa.Table) -> bool:
        tests = [test.p_value for each in compare_frames(reference, rows) for test in each.tests]
        return min(adjust_p_values(tests)) <= BH_RATE

    return {phase: [is_alarm(rows) for rows in days] for phase, days in data.phases.items()}


def _evidently(data: Data) -> dict[str, list[bool]]:
    """Evidently's default tests for a reference of more than 1 000 rows; any column is an alarm."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType

    reference = pa.concat_tables(data.reference)
    drawn = np.random.default_rng(0).choice(reference.num_rows, 10_000, replace=False)
    before = reference.take(np.sort(drawn)).to_pandas()
    kinds = {
        name: ColumnType.Numerical if name.startswith("number") else ColumnType.Categorical
        for name in before.columns
    }

    def is_alarm(rows: pa.Table) -> bool:
        now = rows.to_pandas()
        for name, kind in kinds.items():
            test = get_stattest(before[name], now[name], kind, None)
            if test(before[name], now[name], kind, None).drifted:
                return True
        return False

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {phase: [is_alarm(rows) for rows in days] for phase, days in data.phases.items()}


def _nannyml(data: Data, python: str) -> dict[str, list[bool]]:
    """NannyML in an environment of its own; any column of a day is an alarm."""
    with tempfile.TemporaryDirectory() as folder:
        parts = {"reference": data.reference, **data.phases}
        for phase, days in parts.items():
            table = pa.concat_tables(
                [
                    day.append_column("at", pa.array([FIRST + timedelta(days=n)] * day.num_rows))
                    for n, day in enumerate(days)
                ]
            )
            pq.write_table(table, Path(folder) / f"{phase}.parquet")
        answer = subprocess.run(
            [python, "-W", "ignore", str(Path(__file__).with_name("drift_nannyml.py")), folder],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NML_DISABLE_USAGE_LOGGING": "1"},
        )
    found: dict[str, list[bool]] = json.loads(answer.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    sys.exit(main())
