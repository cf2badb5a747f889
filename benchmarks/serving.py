"""The service against other model servers, and against servers without a model, in one run.

One fitted pipeline (17 numbers with missing values, 3 categories, histogram gradient boosting)
behind every server; the service has its key, limits, checks, metrics and prediction log on. Servers
are started one after the other, so that none disturbs another, in two rounds or more, every second
one backwards; each is checked against scikit-learn before and after each load. A ratio is made of
two figures of one round; reported is the median over the rounds. Peers live in environments of
their own below build/serving; one that cannot be installed or does not start is in the result with
the reason.

    PYTHON benchmarks/serving.py PROJECT [--rounds 3] [--seconds 4] [--only NAME,NAME]
        [--keep-model] [--trial]

PYTHON is the project's interpreter. With --trial the result goes to build/serving/trial.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from baked import ENGINE, unpack_engine
from serving_measure import Load, PeerError, Slot, build_load, measure, read_truth
from serving_peers import Peer, Place, install, peers, versions
from serving_report import draw_chart, print_table, summarise

HERE = Path(__file__).resolve().parent
TEMPLATE = HERE.parent
FOLDER = TEMPLATE / "build" / "serving"
RESULT = HERE / "results" / "serving.json"
CHART = TEMPLATE / "docs" / "images" / "serving.png"
TWO_WORKERS = ("ours", "mlflow")
FIRST = {"empty_asgi": 0, "ours": 1, "empty_fastapi": 2, "ours_native": 3}


def main() -> int:
    """Measure, print the table, write result and chart; 2 without a project or a compiler."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers are stopped, too
    project = options.project.resolve()
    if not list((project / "vendor").glob("goldpath-*.whl")):
        return _error(f"{project} is no project", "make demo")
    source = unpack_engine(project, FOLDER / "engine")
    place = Place(FOLDER, Path(sys.executable), source, os.environ.get("BENCH_MODULE", ENGINE))
    try:
        load = Load(build_load(FOLDER), options.seconds, min(1.0, options.seconds / 2))
    except PeerError as error:
        return _error(str(error), "apt-get install gcc")
    if not (options.keep_model and (FOLDER / "model" / "answers.json").exists()):
        _say("fitting and registering the model")
        make_model(project, place)
    build_kernel(place)
    chosen = [peer for peer in peers() if not options.only or peer.name in options.only.split(",")]
    failed, installed = install_all(place, chosen)
    slots = run_rounds(place, chosen, load, options.rounds, failed)
    result = summarise(chosen, slots, failed)
    result["details"] |= {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "cores": os.cpu_count(),
        "python": sys.version.split()[0],
        "versions": installed,
        "slots": [asdict(slot) for slot in slots],
    }
    folder = FOLDER / "trial"
    folder.mkdir(exist_ok=True)
    result_file = folder / RESULT.name if options.trial else RESULT
    result_file.parent.mkdir(exist_ok=True)
    result_file.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    draw_chart(chosen, result, folder / CHART.name if options.trial else CHART)
    print_table(chosen, result)
    return 0


def make_model(project: Path, place: Place) -> None:
    """Fit and register in a process of its own, by the project's classes."""
    subprocess.run(
        [
            *(str(place.python), str(HERE / "serving_project.py")),
            *(str(project), str(place.folder)),
        ],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def build_kernel(place: Place) -> None:
    """Build the scoring kernel, which registration does in a project; no start pays for it."""
    subprocess.run(
        [
            *(str(place.python), "-m", "goldpath.compiled.native"),
            str(place.folder / "project" / "run" / "kernels"),
        ],
        check=True,
    )


def install_all(
    place: Place, chosen: list[Peer]
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Make the environments, one after the other: reasons by peer, and versions by environment."""
    reasons: dict[str, str] = {}
    installed: dict[str, dict[str, str]] = {}
    for name in dict.fromkeys(peer.environment for peer in chosen if peer.environment):
        _say(f"environment {name}")
        reason = install(place, name)
        if reason is None:
            installed[name] = versions(place, name)
        else:
            reasons |= {peer.name: reason for peer in chosen if peer.environment == name}
    return reasons, installed


def run_rounds(
    place: Place, chosen: list[Peer], load: Load, rounds: int, failed: dict[str, str]
) -> list[Slot]:
    """All rounds, then two workers; a peer that fails is in `failed`, and has a second try."""
    truth = read_truth(place)
    # What is compared most closely stands together: a machine's speed changes over minutes.
    ordered = sorted(chosen, key=lambda peer: FIRST.get(peer.name, len(FIRST)))
    turns = [
        (peer, number, 1)
        for number in range(rounds)
        for peer in (ordered[::-1] if number % 2 else ordered)
    ]
    turns += [(peer, rounds, 2) for peer in chosen if peer.name in TWO_WORKERS]
    slots: list[Slot] = []
    not_there = set(failed)
    for peer, number, workers in turns:
        errors = sum(slot.peer == peer.name and slot.error is not None for slot in slots)
        if peer.name in not_there or errors > 1:
            continue
        slot = measure(place, peer, load, truth, number, workers)
        slots.append(slot)
        rates = {case: found["per_second"] for case, found in slot.cases.items()}
        when = f"round {number + 1}" if workers == 1 else f"{workers} workers"
        _say(f"{when} {peer.name}: {slot.error or rates}")
        # The prediction log of hundreds of thousands of requests.
        shutil.rmtree(place.folder / "project" / "logs", ignore_errors=True)
        if slot.error:
            failed[peer.name] = slot.error
    return slots


def _options() -> Any:
    parser = argparse.ArgumentParser(description="The service against other model servers.")
    parser.add_argument("project", type=Path, nargs="?", default=Path("demo/customer-churn"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", default="", help="names of servers, separated by commas")
    parser.add_argument("--keep-model", action="store_true", help="use the one of an earlier start")
    parser.add_argument("--trial", action="store_true", help="do not touch result and chart")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _error(what: str, fix: str) -> int:
    print(f"Error: {what}. Fix: {fix}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
