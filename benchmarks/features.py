"""Row features in the service, against the same model that is sent them ready-made, in one run.

One pipeline is fitted on 17 numbers, 3 categories and five row features of them. It is registered
twice: with a contract that computes the five, whose callers send 20 values, and with one where the
five are columns like any other, whose callers send all 25. Both services are started in turn, in
rounds of which every second one runs backwards, and are checked against scikit-learn before and
after each load. The ratio is the requests a second with computed features by those with sent ones,
one row a request on 32 connections: the median over the rounds.

    PYTHON benchmarks/features.py PROJECT [--rounds 3] [--seconds 4]

PYTHON is the project's interpreter.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

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
from serving_peers import Place, peers
from serving_project import build_pipeline, draw_rows, json_rows, register, write_contract
from serving_rows import CATEGORIES, NUMBERS

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "build" / "features"
RESULT = HERE / "results" / "features.json"
SENT, COMPUTED = "sent", "computed"
ROWS, ASKED_ROWS, SEED = 50_000, 1000, 11
MAIN_CASE = "single_32"


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
    names = (SENT, COMPUTED)
    places = {name: Place(FOLDER / name, Path(sys.executable), FOLDER, module) for name in names}
    for name, place in places.items():
        command = [sys.executable, __file__, str(project), "--model", name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        build_kernel(place)
    truths = {name: read_truth(place) for name, place in places.items()}
    ours = next(peer for peer in peers() if peer.name == "ours")
    try:
        slots = measured_in_turn(
            options.rounds,
            (SENT, COMPUTED),
            lambda name, number: measure(
                places[name], replace(ours, name=name), load, truths[name], number
            ),
        )
    except PeerError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    result = summary(slots, options.seconds)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for case, figures in result["details"]["cases"].items():
        print(f"{case:10} {figures}")
    return 0


def make_model(project: Path, name: str) -> None:
    """Register the pipeline with one of the contracts; write rows to send and what they give.

    In a process of its own: MLflow's client stays with the first registry that it has met.
    """
    from goldpath import Project
    from goldpath.contract import load_contract
    from goldpath.features.learned import with_own_features
    from goldpath.features.row.complete import complete_rows
    from goldpath.settings import load_settings

    folder = FOLDER / name
    root, model = folder / "project", folder / "model"
    shutil.rmtree(folder, ignore_errors=True)
    model.mkdir(parents=True)
    shutil.copytree(project / "config", root / "config")
    file = root / "config" / "project.yaml"
    write_contract(file)
    learned = with_own_features(load_contract(root), Project(features=row_features))
    added = [feature.name for feature in learned.row_features]
    contract = learned
    if name == SENT:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        columns = [{"name": each, "type": "number", "nullable": True} for each in added]
        content["features"][len(NUMBERS) : len(NUMBERS)] = columns
        file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        contract = load_contract(root)
    frame, labels = draw_rows(ROWS, SEED)
    complete = complete_rows(frame, learned)
    pipeline = build_pipeline([*NUMBERS, *added]).fit(complete, labels)
    register(load_settings(root), contract, pipeline, complete)
    asked, _ = draw_rows(ASKED_ROWS, SEED + 1)
    complete = complete_rows(asked, learned)
    rows = json_rows(complete if name == SENT else asked)
    answers = pipeline.predict_proba(complete)[:, 1].tolist()
    for kind, content in {"rows": rows, "answers": answers}.items():
        (model / f"{kind}.json").write_text(json.dumps(content), encoding="utf-8")


def row_features() -> list[Any]:
    """Five of the usual kinds: a ratio, a difference, a choice, a table and a bounded product."""
    from goldpath import case, row_feature

    rates = dict(zip(CATEGORIES["plan"], (5.0, 9.0, 15.0, 25.0, 60.0), strict=True))

    def difference(row: Any) -> Any:
        return row.number_2 - row.number_3

    return [
        row_feature(name=name)(function)
        for name, function in {
            "ratio": lambda row: row.number_0 / (abs(row.number_1) + 1),
            "difference": difference,
            "larger": lambda row: case(
                (row.number_4 > row.number_5, row.number_4), otherwise=row.number_5
            ),
            "rate": lambda row: row.plan.map(rates),
            "product": lambda row: (row.number_6.coalesce(0) * difference(row)).clip(-1000, 1000),
        }.items()
    ]


def summary(slots: list[Slot], seconds: float) -> dict[str, Any]:
    """The result: for each case the median ratio over the rounds, and the rates behind it."""
    cases = paired_cases(slots, SENT, COMPUTED)
    return {
        "name": "features",
        "ratio": cases[MAIN_CASE]["ratio"],
        "unit": "requests a second with five computed row features / with the same five sent",
        "n": max(slot.round for slot in slots) + 1,
        "details": {
            "cases": cases,
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
    parser.add_argument("--model", choices=(SENT, COMPUTED), help="only make this one's model")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
