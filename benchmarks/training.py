"""Training on many rows: `train` with its default settings against a fit by hand.

A made-up table of 10 features, of which a tenth of some is missing, is adopted and brought to gold.
Then the project searches (12 trials), fits, evaluates, checks, explains, writes the drift
reference, registers, tries the version over HTTP and promotes it. By hand: a script that reads the
Parquet file, fits one HistGradientBoostingClassifier with its defaults on the older rows and
scores the newer ones. Each is a process of its own; the ratio is that of their CPU seconds.

    python benchmarks/training.py [--rows 1500000] [--pairs 1] [--keep FOLDER]
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[1]
RESULT = Path(__file__).parent / "results" / "training.json"
ROWS, SEED, TEST_SHARE = 1_500_000, 7, 0.2
TARGET, NUMBERS = "left", 6
BY_HAND = """
import sys, json
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
rows = pd.read_parquet(sys.argv[1]).sort_values("seen_at")
names = [name for name in rows if name not in ("customer_id", "seen_at", "left")]
for name in ("plan", "region"):
    rows[name] = rows[name].astype("category")
cut = int(len(rows) * 0.8)
train, test = rows[:cut], rows[cut:]
model = HistGradientBoostingClassifier(random_state=0, categorical_features="from_dtype")
model.fit(train[names], train["left"])
print(json.dumps({"value": roc_auc_score(test["left"], model.predict_proba(test[names])[:, 1])}))
"""


@dataclass(frozen=True)
class Run:
    """One process: wall and CPU seconds, peak memory, and the test rows' ROC AUC."""

    wall: float
    cpu: float
    peak_mb: float
    auc: float


def main() -> int:
    """Measure, and write results/training.json."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="Leave the project in this folder.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="training-") as name:
        folder = options.keep or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / "rows.parquet"
        make_rows(options.rows, SEED).to_parquet(source, index=False)
        root = make_project(folder / "project", source)
        pairs = []
        for _ in range(options.pairs):
            theirs = measure([sys.executable, "-c", BY_HAND, str(source)], root)
            ours = measure([sys.executable, "-m", "goldpath", "train", "--promote", "--json"], root)
            pairs.append((ours, theirs))
            print(f"{ours} against {theirs}", file=sys.stderr, flush=True)
    report(options.rows, pairs)
    return 0


def make_rows(rows: int, seed: int) -> pd.DataFrame:
    """Customers of two years, whose risk is a smooth function of eight of ten features."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(rows, NUMBERS))
    plan, region = random.integers(0, 4, rows), random.integers(0, 12, rows)
    visits, months = random.poisson(4, rows), random.integers(0, 72, rows)
    risk = (
        -2.2
        + 0.9 * numbers[:, 0]
        - 0.6 * numbers[:, 1] * (plan == 2)
        + 0.5 * np.sin(2 * numbers[:, 2])
        + 0.4 * np.abs(numbers[:, 3])
        - 0.15 * visits
        - 0.02 * months
        + 0.3 * (plan == 1)
        + 0.2 * (region % 3 == 0)
    )
    frame = pd.DataFrame({"customer_id": np.char.add("c", np.arange(rows).astype(str))})
    frame["seen_at"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        np.sort(random.integers(0, 730 * 86_400, rows)), unit="s"
    )
    for place in range(NUMBERS):
        values = numbers[:, place].round(4)
        if place < 2:
            values[random.random(rows) < 0.1] = np.nan
        frame[f"number_{place}"] = values
    frame["visits"], frame["months"] = visits, months
    frame["plan"] = np.array(["basic", "plus", "family", "team"])[plan]
    frame["region"] = np.char.add("r", region.astype(str))
    frame[TARGET] = (random.random(rows) < 1 / (1 + np.exp(-risk))).astype(int)
    return frame


def make_project(root: Path, source: Path) -> Path:
    """A project with these rows in gold."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(ROOT / "engine" / "tests" / "project", root)
    adopt = ["adopt", "--data", str(source), "--target", TARGET]
    for arguments in (adopt, ["data"]):
        measure([sys.executable, "-m", "goldpath", *arguments, "--json"], root)
    return root


def measure(command: list[str], root: Path) -> Run:
    """Run a process that prints a JSON object, in the project."""
    environment = {**os.environ, "MLOPS_ROOT": str(root)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall, cpu, after.ru_maxrss / 1024, json.loads(done.stdout).get("value", 0.0))


def report(rows: int, pairs: list[tuple[Run, Run]]) -> None:
    """Write and print the result."""

    def middle(values: list[float]) -> float:
        return round(statistics.median(values), 3)

    ours, theirs = zip(*pairs, strict=True)
    result = {
        "name": "training",
        "ratio": middle([one.cpu / other.cpu for one, other in pairs]),
        "unit": "CPU seconds of `train --promote` / CPU seconds of one fit by hand",
        "n": rows,
        "details": {
            "pairs": len(pairs),
            "project_wall_seconds": middle([run.wall for run in ours]),
            "project_cpu_seconds": middle([run.cpu for run in ours]),
            "project_peak_mb": max(round(run.peak_mb) for run in ours),
            "project_roc_auc": middle([run.auc for run in ours]),
            "script_wall_seconds": middle([run.wall for run in theirs]),
            "script_cpu_seconds": middle([run.cpu for run in theirs]),
            "script_roc_auc": middle([run.auc for run in theirs]),
            "cores": os.cpu_count(),
            "goal": "project_wall_seconds <= 120 on two cores",
        },
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    raise SystemExit(main())
