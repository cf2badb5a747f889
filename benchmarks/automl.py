"""The project's AutoML engine against FLAML: the same CPU seconds, split, metric and one thread.

Each run is a process; FLAML (and AutoGluon) live in environments of their own, made below build/.
Every finished run is saved, so that an interrupted benchmark goes on where it stopped; a second
start with all runs there prints the result only. The data sets are in `automl_data.py`, which says
which ones the engine was tuned on; the ratio counts the others.

    python benchmarks/automl.py PROJECT [SECONDS] [--only own,flaml,autogluon] [--role ROLE]

Roles: `reported`, `structured` (split by time or by group, and no engine is told) and
`development`. Beside each comparison stands the 95 % interval of the difference over the test rows:
a win whose interval holds 0 is within the noise of the test rows.
"""

import json
import os
import statistics
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from baked import find_project

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "automl.json"
ENVIRONMENTS = HERE.parent / "build" / "automl"
SECONDS = 60.0
LOSSES = ENVIRONMENTS / "losses"
SEEDS = {"reported": (0, 1, 2), "structured": (0,), "development": (100,)}
AUTOGLUON_SEEDS = (0,)
BLOCKS, STUDENT = 20, 2.093
"""Test rows are compared by blocks of neighbours, which may be alike; t for 19 degrees."""
TIED = 1e-3
"""Two losses are a tie if they differ by less than this share of the smaller one."""
PACKAGES = {
    # Without FLAML's own extra: its XGBoost brings half a gigabyte of CUDA.
    "flaml": ("flaml==2.7.0", "lightgbm", "xgboost-cpu", "scikit-learn", "pandas", "scipy"),
    "autogluon": ("autogluon.tabular[lightgbm]==1.6.3", "xgboost-cpu"),
    # With all of its model libraries, torch among them.
    "autogluon_best": ("autogluon.tabular[all]==1.6.3",),
}


def main() -> int:
    """Run what is missing, save after each run, and print the result; 2 without a project."""
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    engines = sys.argv[sys.argv.index("--only") + 1] if "--only" in sys.argv else None
    only = ("own", "flaml", "autogluon") if engines is None else engines.split(",")
    role_wanted = sys.argv[sys.argv.index("--role") + 1] if "--role" in sys.argv else None
    arguments = [argument for argument in arguments if argument not in (engines, role_wanted)]
    seconds = float(arguments[1]) if len(arguments) > 1 else SECONDS
    python = find_project(arguments).python
    sys.path.insert(0, str(HERE))
    result = _stored(seconds)
    commands = {"own": [str(python)]}
    for engine in ("flaml", "autogluon"):
        if engine in only:
            interpreter = environment(engine, python)
            if isinstance(interpreter, Path):
                commands[engine] = [str(interpreter)]
            else:
                result["details"]["failed"][engine] = interpreter
    for name, role, seed in cells():
        if role_wanted not in (None, role):
            continue
        for engine in ("own", "flaml", "autogluon"):
            wanted = engine in commands and engine in only
            if engine == "autogluon":
                wanted = wanted and seed in AUTOGLUON_SEEDS
            if not wanted:
                continue
            row = _row(result, name, role, seed)
            if row.get(engine) is None:
                run(row, engine, commands[engine], seconds)
                save(result)
                print(f"{name} {seed} {engine}: {row.get(engine)}", file=sys.stderr, flush=True)
    save(result)
    print(json.dumps({k: v for k, v in result.items() if k != "details"}, indent=2))
    return 0


def cells() -> list[tuple[str, str, int]]:
    """Data set, role and seed of every comparison; a seed of all sets before the next seed."""
    return [
        (name, role, seed) for role in SEEDS for seed in SEEDS[role] for name in data_sets(role)
    ]


def data_sets(role: str) -> list[str]:
    """Names from `automl_data.py`, read as text: this process may have no scikit-learn."""
    text = (HERE / "automl_data.py").read_text(encoding="utf-8")
    body = text.split(f"\n{role.upper()} = (", 1)[1].split(")", 1)[0]
    return [part.strip().strip('"') for part in body.split(",") if part.strip()]


def environment(engine: str, python: Path) -> Path | str:
    """An engine's interpreter, installed if it is not there; or why it cannot be."""
    folder = ENVIRONMENTS / engine
    interpreter = folder / "bin" / "python"
    if (folder / "installed").exists():
        return interpreter
    uv = [str(python), "-m", "uv"]
    for command in (
        [*uv, "venv", "--quiet", "--clear", "--python", str(python), str(folder)],
        [*uv, "pip", "install", "--quiet", "--python", str(interpreter), *PACKAGES[engine]],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return f"cannot be installed: {done.stderr.strip()[-300:]}"
    (folder / "installed").touch()
    return interpreter


def run(row: dict[str, Any], engine: str, command: list[str], seconds: float) -> None:
    """One engine's run, into its row; a failure is kept as a reason."""
    full = [*command, str(HERE / "automl_run.py"), engine, str(row["dataset"])]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    LOSSES.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [*full, str(row["seed"]), str(seconds), str(_losses_file(row, engine))],
        env=os.environ | one_thread,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        row[f"{engine}_error"] = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return
    found = json.loads(done.stdout.strip().splitlines()[-1])
    row.pop(f"{engine}_error", None)
    row[engine] = found["score"]
    row[f"{engine}_cpu_seconds"] = found["cpu_seconds"]
    for extra in ("estimate", "interval", "folds_by", "latency_ms"):
        if extra in found:
            row[f"{engine}_{extra}"] = found[extra]
    row["baseline"] = found["baseline"]
    row["metric"] = found["metric"]
    row.setdefault("versions", {})[engine] = found["versions"]


def save(result: dict[str, Any]) -> None:
    """Judge the rows and write the file."""
    rows = result["details"]["rows"]
    if RESULT.exists():
        # Another start, for another engine, may have written since.
        for known in _stored(result["details"]["seconds"])["details"]["rows"]:
            row = _row(result, known["dataset"], known["role"], known["seed"])
            row |= {key: value for key, value in known.items() if row.get(key) is None}
    for row in rows:
        row["winner"] = winner(row)
        for other in ("flaml", "autogluon"):
            if (found := difference(row, other)) is not None:
                row[f"difference_to_{other}"] = found
    pairs = [row for row in rows if row["winner"] is not None]
    reported = [row for row in pairs if row["role"] == "reported"]
    summary = {role: _summary([r for r in pairs if r["role"] == role]) for role in SEEDS}
    result["n"] = len(reported)
    result["ratio"] = summary["reported"].get("share")
    details = result["details"]
    details |= summary
    details["data_sets"] = {
        "development (the engine was tuned on them)": data_sets("development"),
        "reported (the engine was not tuned on them; the ratio counts these)": data_sets(
            "reported"
        ),
        "structured (newer rows or new groups are judged; no engine is told)": data_sets(
            "structured"
        ),
    }
    details["versions"] = {
        engine: versions for row in rows for engine, versions in row.get("versions", {}).items()
    }
    text = json.loads(json.dumps(result))
    for row in text["details"]["rows"]:
        row.pop("versions", None)
    RESULT.parent.mkdir(exist_ok=True)
    fresh = RESULT.with_suffix(".part")
    fresh.write_text(json.dumps(text, indent=2) + "\n", encoding="utf-8")
    fresh.replace(RESULT)


def difference(row: dict[str, Any], other: str) -> list[float] | None:
    """The 95 % interval of own less other mean loss of a test row (squared error, or log loss).

    None while the losses of the rows are not there.
    """
    files = [_losses_file(row, engine) for engine in ("own", other)]
    if not all(file.exists() for file in files):
        return None
    own, others = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    gaps = [a - b for a, b in zip(own, others, strict=True)]
    edges = [len(gaps) * number // BLOCKS for number in range(BLOCKS + 1)]
    means = [statistics.mean(gaps[a:b]) for a, b in pairwise(edges)]
    half = STUDENT * statistics.stdev(means) / BLOCKS**0.5
    middle = statistics.mean(means)
    return [middle - half, middle + half]


def _losses_file(row: dict[str, Any], engine: str) -> Path:
    return LOSSES / f"{row['dataset']}-{row['seed']}-{engine}.json"


def winner(row: dict[str, Any]) -> str | None:
    """`own`, `flaml` or `tie`; None while a score is missing."""
    own, other = row.get("own"), row.get("flaml")
    if not isinstance(own, float) or not isinstance(other, float):
        return None
    if abs(own - other) < TIED * min(own, other):
        return "tie"
    return "own" if own < other else "flaml"


def normalised(row: dict[str, Any], engine: str) -> float:
    """1 for the best engine of the row, 0 for a constant prediction."""
    losses = [row[name] for name in ("own", "flaml", "autogluon") if row.get(name) is not None]
    best = min(losses)
    return (row["baseline"] - row[engine]) / (row["baseline"] - best)


def _summary(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    if not pairs:
        return {"pairs": 0}
    wins, ties = (sum(row["winner"] == name for row in pairs) for name in ("own", "tie"))
    beside = [row for row in pairs if row.get("autogluon") is not None]
    return {
        "pairs": len(pairs),
        "wins": wins,
        "ties": ties,
        "losses": len(pairs) - wins - ties,
        "share": round((wins + ties / 2) / len(pairs), 4),
        "mean_normalised_score": {
            engine: round(statistics.mean(normalised(row, engine) for row in pairs), 4)
            for engine in ("own", "flaml")
        },
        "mean_normalised_score_beside_autogluon": {
            engine: round(statistics.mean(normalised(row, engine) for row in beside), 4)
            for engine in ("own", "flaml", "autogluon")
            if beside
        },
        "most_own_cpu_seconds": max(row["own_cpu_seconds"] for row in pairs),
        "most_flaml_cpu_seconds": max(row["flaml_cpu_seconds"] for row in pairs),
    }


def _stored(seconds: float) -> dict[str, Any]:
    """The file of an earlier start with the same budget, or an empty result."""
    empty: dict[str, Any] = {
        "name": "automl",
        "ratio": None,
        "unit": "share of the reported pairs won against FLAML on test rows; a tie counts half",
        "n": 0,
        "details": {
            "seconds": seconds,
            "clock": "CPU time of the process, one thread; libraries imported before",
            "goal": "ratio >= 0.75",
            "tie": f"losses within {TIED:.1%} of each other",
            "cores": os.cpu_count(),
            "failed": {},
            "rows": [],
        },
    }
    if not RESULT.exists():
        return empty
    stored: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    if stored["details"]["seconds"] != seconds:
        return empty
    versions = stored["details"].get("versions", {})
    if stored["details"]["rows"]:
        stored["details"]["rows"][0]["versions"] = versions
    return stored


def _row(result: dict[str, Any], name: str, role: str, seed: int) -> dict[str, Any]:
    rows: list[dict[str, Any]] = result["details"]["rows"]
    for row in rows:
        if (row["dataset"], row["seed"]) == (name, seed):
            return row
    rows.append({"dataset": name, "role": role, "seed": seed, "own": None, "flaml": None})
    return rows[-1]


if __name__ == "__main__":
    sys.exit(main())
