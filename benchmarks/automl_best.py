"""The project's AutoML beside AutoGluon's `best_quality`: 300 seconds a set, on all cores.

Each run is a process that has the machine to itself; AutoGluon, with all its model libraries, lives
in an environment of its own (6 GB, made below build/). Every finished run is saved: an interrupted
benchmark goes on where it stopped, and `--minutes` begins no run that would last longer. The score
of a set is (constant prediction's loss - ours) / (constant's - AutoGluon's): 1 is as good, more is
ahead. Which sets are meant, and what is known of them, is said in `automl_data.py`.

    python benchmarks/automl_best.py [SECONDS] [--minutes 60] [--role structured]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from automl import data_sets, environment

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "automl_best.json"
ROLES = ("structured", "reported")
ENGINES = ("own", "autogluon")
SEED, LEAST_MEAN, LEAST = 0, 0.99, 0.95
SPARE_SECONDS = 60
"""What a run takes beside its search: imports, predictions, AutoGluon's last fit."""


def main() -> int:
    """Run what is missing, save after each run and print the table; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float, nargs="?", default=300.0)
    parser.add_argument("--minutes", type=float, help="begin no run that would last longer")
    parser.add_argument("--role", choices=ROLES, help="these sets alone")
    options = parser.parse_args()
    rows = _stored(options.seconds)
    end = time.monotonic() + 60 * (options.minutes or float("inf"))
    interpreters = {"own": Path(sys.executable)}
    found = environment("autogluon_best", interpreters["own"])
    if isinstance(found, str):
        raise SystemExit(f"Error: AutoGluon {found}")
    interpreters["autogluon"] = found
    for role in (options.role,) if options.role else ROLES:
        for name in data_sets(role):
            row = rows.setdefault(name, {"dataset": name, "role": role})
            for engine in ENGINES:
                is_late = time.monotonic() + options.seconds + SPARE_SECONDS > end
                if engine in row or is_late:
                    continue
                row |= _run(interpreters[engine], engine, name, options.seconds)
                _save(rows, options.seconds)
                print(f"{name} {engine}: {row.get(engine, row.get(f'{engine}_error'))}", flush=True)
    result = _save(rows, options.seconds)
    print(json.dumps({key: value for key, value in result.items() if key != "details"}, indent=2))
    return int(bool(result["details"]["broken"]))


def _run(interpreter: Path, engine: str, name: str, seconds: float) -> dict[str, Any]:
    """What one engine reached; a failure is kept as a reason, and tried again the next time."""
    with tempfile.TemporaryDirectory() as folder:
        told = [engine, name, str(SEED), str(seconds), f"{folder}/losses.json"]
        done = subprocess.run(
            [str(interpreter), str(HERE / "automl_run.py"), *told, str(os.cpu_count() or 1)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        return {f"{engine}_error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    found = json.loads(done.stdout.strip().splitlines()[-1])
    kept = ("wall_seconds", "versions", "latency_ms", "interval", "folds_by")
    more = {f"{engine}_{key}": found[key] for key in kept if key in found}
    return {engine: found["score"], "constant": found["baseline"], "metric": found["metric"]} | more


def _stored(seconds: float) -> dict[str, dict[str, Any]]:
    """The rows of an earlier start with the same budget, by data set."""
    if not RESULT.exists():
        return {}
    details = json.loads(RESULT.read_text(encoding="utf-8"))["details"]
    rows = details["rows"] if details["seconds"] == seconds else []
    return {row["dataset"]: row for row in rows}


def _save(rows: dict[str, dict[str, Any]], seconds: float) -> dict[str, Any]:
    """Judge the rows and write the file."""
    scores: dict[str, dict[str, float]] = {role: {} for role in ROLES}
    for name, row in rows.items():
        if all(engine in row for engine in ENGINES):
            share = (row["constant"] - row["own"]) / (row["constant"] - row["autogluon"])
            row["score_vs_autogluon"] = round(share, 4)
            scores[row["role"]][name] = share
    every = {name: score for each in scores.values() for name, score in each.items()}
    behind = [f"{name}: behind" for name, score in scores["structured"].items() if score < 1]
    below = [f"{name}: below {LEAST}" for name, score in every.items() if score < LEAST]
    mean = statistics.mean(every.values()) if every else None
    is_low = mean is not None and mean < LEAST_MEAN
    missing = [name for role in ROLES for name in data_sets(role) if name not in every]
    result = {
        "name": "automl_best",
        "ratio": None if mean is None else round(mean, 4),
        "unit": "mean of (constant's loss - ours) / (constant's loss - AutoGluon's) on test rows",
        "n": len(every),
        "score_vs_autogluon": None if mean is None else round(mean, 4),
        "details": {
            "seconds": seconds,
            "clock": "wall time, all cores; libraries imported before",
            "goal": f"mean >= {LEAST_MEAN}, worst >= {LEAST}, ahead on sets by time and by group",
            "worst": min(every.values(), default=None),
            "broken": [*behind, *below, *([f"mean below {LEAST_MEAN}"] if is_low else [])],
            "not_run": missing,
            "seen_before": "all, with 60 CPU seconds; wandering_level led to a choice made here",
            "cores": os.cpu_count(),
            "rows": list(rows.values()),
        },
    }
    RESULT.parent.mkdir(exist_ok=True)
    fresh = RESULT.with_suffix(".part")
    fresh.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    fresh.replace(RESULT)
    return result


if __name__ == "__main__":
    sys.exit(main())
