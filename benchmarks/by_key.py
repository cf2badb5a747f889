"""Predictions by entity key with six window features, against the same six sent, in one run.

One pipeline is fitted on 17 numbers, 3 categories and six window features of 50,000 customers'
payments: number, sum and largest over 30 and 90 days. It is registered twice: with a contract that
has them looked up, whose callers send the customer and 20 values, and with one where the six are
columns like any other, whose callers send all 26. The windows are in the lake and in the online
store, a SQLite file, as `data` and `materialize` write them. Both services are started in turn, in
rounds of which every second one runs backwards, and are checked before and after each load against
what scikit-learn gives for the windows of a batch. The ratio is the requests a second by key by
those with sent values, one row a request on 32 connections: the median over the rounds.

Beside it, without any service: a loop in one thread that selects a customer's six values, ready
made, from a SQLite table and has scikit-learn predict the row.

    PYTHON benchmarks/by_key.py PROJECT [--rounds 3] [--seconds 4]

PYTHON is the project's interpreter.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from baked import ENGINE
from serving import build_kernel
from serving_measure import (
    Load,
    PeerError,
    Slot,
    build_load,
    measure,
    measured_in_turn,
    paired_cases,
    read_truth,
)
from serving_peers import Peer, Place, Route, peers
from serving_project import build_pipeline, draw_rows, json_rows, register, write_contract
from serving_rows import NUMBERS

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "build" / "by_key"
RESULT = HERE / "results" / "by_key.json"
SENT, BY_KEY = "sent", "by_key"
ENTITY, TIME = "customer", "day"
ROWS, ASKED_ROWS, PAYMENTS, SEED = 50_000, 1000, 500_000, 13
LOOPS = 1000
MAIN_CASE = "single_32"
GOAL = 5000
SOURCE = {
    "source": {"path": "data/payments.csv"},
    "entity": ENTITY,
    "event_time": {"column": "paid_at"},
    "key": "payment",
    "columns": [{"name": "amount", "type": "number", "minimum": 0}],
}


def main() -> int:
    """Measure, print and write the result; 2 where a service fails."""
    options = _options()
    project = options.project.resolve()
    if options.model:
        make_model(project, options.model)
        return 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    load = Load(build_load(FOLDER), options.seconds, min(1.0, options.seconds / 2))
    module = os.environ.get("BENCH_MODULE", ENGINE)
    names = (SENT, BY_KEY)
    places = {name: Place(FOLDER / name, Path(sys.executable), FOLDER, module) for name in names}
    for name, place in places.items():
        command = [sys.executable, __file__, str(project), "--model", name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        build_kernel(place)
    try:
        slots = measured_in_turn(
            options.rounds,
            names,
            lambda name, number: measure(
                places[name], _peer(name), load, read_truth(places[name]), number
            ),
        )
    except PeerError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    by_hand = json.loads((FOLDER / BY_KEY / "by_hand.json").read_text(encoding="utf-8"))
    result = summary(slots, options.seconds, by_hand)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({**result, "details": {**result["details"], "slots": "…"}}, indent=2))
    return 0


def make_model(project: Path, name: str) -> None:
    """Register the pipeline with one of the contracts; write rows to send and what they give.

    In a process of its own: MLflow's client stays with the first registry that it has met.
    """
    from goldpath import Project
    from goldpath.contract import load_contract
    from goldpath.features.learned import with_own_features
    from goldpath.features.online.open_store import open_online_store
    from goldpath.features.window.learned import definitions_in
    from goldpath.features.window.materialized import write_tiles
    from goldpath.jobs.data.refresh import refresh
    from goldpath.lake.connection import open_lakehouse
    from goldpath.settings import load_settings
    from goldpath.source_contract import parse_source

    folder = FOLDER / name
    root, model = folder / "project", folder / "model"
    shutil.rmtree(folder, ignore_errors=True)
    model.mkdir(parents=True)
    shutil.copytree(project / "config", root / "config")
    frame, labels = draw_rows(ROWS, SEED)
    customers = [f"c{number}" for number in range(ROWS)]
    (root / "data").mkdir()
    write_payments(root / "data" / "payments.csv", customers)
    file = root / "config" / "project.yaml"
    _write_contract(file, [])
    now = datetime.now(UTC).replace(tzinfo=None)
    days = [(now - timedelta(days=1)).date().isoformat()] * ROWS
    table = frame.assign(**{ENTITY: customers, TIME: days, "label": labels})
    table.to_csv(root / "data" / "rows.csv", index=False)
    sources = root / "config" / "sources"
    shutil.rmtree(sources, ignore_errors=True)
    sources.mkdir()
    (sources / "payments.yaml").write_text(yaml.safe_dump(SOURCE), encoding="utf-8")
    own = Project(features=window_features)
    settings = load_settings(root, own)
    base = load_contract(root)
    refresh(settings, base)
    source = parse_source((sources / "payments.yaml").read_text(encoding="utf-8"), "payments")
    learned = with_own_features(base, own, [source])
    lakehouse = open_lakehouse(settings)
    write_tiles(lakehouse, open_online_store(settings), definitions_in(learned), now)
    known = windows_of(lakehouse, learned, customers, now)
    added = [name for name in known.columns if name != ENTITY]
    complete = frame.join(known[added])
    pipeline = build_pipeline([*NUMBERS, *added]).fit(complete, labels)
    contract = learned
    if name == SENT:
        shutil.rmtree(sources)
        _write_contract(file, added)
        contract = load_contract(root)
    register(load_settings(root), contract, pipeline, complete)
    asked, _ = draw_rows(ASKED_ROWS, SEED + 1)
    places = np.random.default_rng(SEED).choice(ROWS, ASKED_ROWS, replace=False)
    complete = asked.join(known[added].iloc[places].reset_index(drop=True))
    rows = json_rows(complete if name == SENT else asked)
    if name == BY_KEY:
        rows = [{ENTITY: customers[at]} | row for at, row in zip(places, rows, strict=True)]
        figures = by_hand(folder / "by_hand.db", pipeline, known, rows)
        (folder / "by_hand.json").write_text(json.dumps(figures), encoding="utf-8")
    answers = pipeline.predict_proba(complete)[:, 1].tolist()
    for kind, content in {"rows": rows, "answers": answers}.items():
        (model / f"{kind}.json").write_text(json.dumps(content), encoding="utf-8")


def window_features() -> list[Any]:
    """Six: three aggregates over two windows."""
    from goldpath import window_feature

    @window_feature(source="payments", over=("30d", "90d"))
    def paid(payments: Any) -> Any:
        return {
            "count": payments.count(),
            "total": payments.amount.sum(),
            "most": payments.amount.max(),
        }

    return [paid]


def write_payments(file: Path, customers: list[str]) -> None:
    """Ten payments a customer on average, 3 to 25 and 35 to 85 days ago.

    None is near the edge of a window: the right answer is the same for as long as a run takes.
    """
    import pandas as pd

    dice = np.random.default_rng(SEED)
    recent = dice.random(PAYMENTS) < 0.5
    days = np.where(recent, dice.uniform(3, 25, PAYMENTS), dice.uniform(35, 85, PAYMENTS))
    times = pd.Timestamp.now(tz="UTC").tz_localize(None) - pd.to_timedelta(days, unit="D")
    payments = {
        "payment": np.arange(PAYMENTS),
        ENTITY: np.array(customers)[dice.integers(0, len(customers), PAYMENTS)],
        "paid_at": times.strftime("%Y-%m-%d %H:%M:%S"),
        "amount": dice.integers(1, 4000, PAYMENTS) / 4,
    }
    pd.DataFrame(payments).to_csv(file, index=False)


def windows_of(lakehouse: Any, learned: Any, customers: list[str], at: datetime) -> Any:
    """The window features of each customer at a time, as a batch has them."""
    import pyarrow as pa
    from goldpath.jobs.windows.model_windows import table_with_windows

    times = pa.array([at] * len(customers), pa.timestamp("us"))
    table = pa.table({ENTITY: customers, "event_time": times})
    found = table_with_windows(lakehouse, table, learned).to_pandas()
    found = found.set_index(ENTITY).loc[customers].reset_index()
    return found.drop(columns="event_time")


def by_hand(file: Path, pipeline: Any, known: Any, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Times a second: a SELECT of six ready-made values, and it with scikit-learn's prediction."""
    import pandas as pd

    names = [name for name in known.columns if name != ENTITY]
    with closing(sqlite3.connect(file)) as store:
        store.execute(f"CREATE TABLE known ({ENTITY} TEXT PRIMARY KEY, {', '.join(names)})")
        marks = ", ".join("?" * (len(names) + 1))
        values = known.astype(object).itertuples(index=False, name=None)
        store.executemany(f"INSERT INTO known VALUES ({marks})", values)
        store.commit()
        select = f"SELECT {', '.join(names)} FROM known WHERE {ENTITY} = ?"
        began = time.perf_counter()
        for number in range(LOOPS):
            store.execute(select, (rows[number % len(rows)][ENTITY],)).fetchone()
        middle = time.perf_counter()
        for number in range(LOOPS):
            row = rows[number % len(rows)]
            found = store.execute(select, (row[ENTITY],)).fetchone()
            pipeline.predict_proba(pd.DataFrame([row | dict(zip(names, found, strict=True))]))
        end = time.perf_counter()
    return {
        "select_per_second": round(LOOPS / (middle - began)),
        "select_and_predict_per_second": round(LOOPS / (end - middle)),
    }


def _write_contract(file: Path, added: list[str]) -> None:
    """The contract of the serving benchmark, by customer and day; with further numbers."""
    write_contract(file)
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    columns = [{"name": each, "type": "number", "nullable": True} for each in added]
    content["features"][len(NUMBERS) : len(NUMBERS)] = columns
    if not added:
        content |= {"entity": ENTITY, "event_time": {"column": TIME}}
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _peer(name: str) -> Peer:
    """Our service, asked a row at a time; by key where it looks the windows up."""
    ours = next(peer for peer in peers() if peer.name == "ours")
    if name == SENT:
        return replace(ours, name=name, many=None)

    def body(rows: Any) -> object:
        row = dict(rows[0])
        return {ENTITY: row.pop(ENTITY), "features": row}

    single = Route(ours.single.path, body, ours.single.read)
    return replace(ours, name=name, single=single, many=None)


def summary(slots: list[Slot], seconds: float, by_hand: dict[str, float]) -> dict[str, Any]:
    """The result: for each case the median ratio over the rounds, and the rates behind it."""
    cases = paired_cases(slots, SENT, BY_KEY)
    return {
        "name": "by_key",
        "ratio": cases[MAIN_CASE]["ratio"],
        "unit": "requests a second by key with six window features / with the same six sent",
        "n": max(slot.round for slot in slots) + 1,
        "details": {
            "cases": cases,
            "one_thread_without_a_service": by_hand,
            "goal": f"at least {GOAL} requests a second by key",
            "customers": ROWS,
            "payments": PAYMENTS,
            "seconds": seconds,
            "cores": os.cpu_count(),
            "python": sys.version.split()[0],
            "slots": [asdict(slot) for slot in slots],
        },
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("project", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--model", choices=(SENT, BY_KEY), help="only make this one's model")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
