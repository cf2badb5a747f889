"""Scoring a Parquet file into a Parquet file: `batch-predict` against scikit-learn and MLflow.

The same fitted pipeline as in the serving benchmark, each in a process of its own. The peers are
what one writes by hand: chunks of 100,000 rows, `predict_proba` of the pipeline or `predict` of
`mlflow.pyfunc`, on all cores, and the same columns written. They get a part of the rows, since
their time grows evenly with them; what is compared is rows a second from the first row read to the
file at its place, without start and loading. Ours also checks each row against the contract and
appears under its name only when it is whole. The answers must agree.

    python benchmarks/batch_scoring.py PROJECT [ROWS] [ROWS_OF_THE_PEERS]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baked import Baked, find_project

ROWS, PEER_ROWS, ROUNDS = 5_000_000, 1_000_000, 3
TOLERANCE = 1e-6
HERE = Path(__file__).parent
RESULT = HERE / "results" / "batch_scoring.json"


@dataclass(frozen=True)
class Run:
    """One process: rows a second as it says itself, wall and CPU seconds, and its peak memory."""

    rows_a_second: float
    wall: float
    cpu: float
    peak_mb: float


def main() -> int:
    """Measure, write the result and print it; 2 without a project, 1 where answers differ."""
    project = find_project()
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else ROWS
    peer_rows = int(sys.argv[3]) if len(sys.argv) > 3 else min(PEER_ROWS, rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        helper = [str(project.python), str(HERE / "batch_scoring_peers.py")]
        said("making model and rows")
        made = [*helper, "make", str(project.root), str(folder), str(rows), str(peer_rows)]
        run(made, {})
        runs: dict[str, list[Run]] = {"ours": [], "sklearn": [], "pyfunc": []}
        for _ in range(ROUNDS):
            for peer, of_it in runs.items():
                if peer == "ours":
                    of_it.append(run_ours(project, folder))
                else:
                    of_it.append(run([*helper, peer, str(folder)], {}))
                said(f"{peer}: {of_it[-1].rows_a_second:,.0f} rows a second")
        difference = float(subprocess.check_output([*helper, "compare", str(folder)]))
        if not difference <= TOLERANCE:
            print(f"Error: the answers differ by {difference}", file=sys.stderr)
            return 1
    report(rows, peer_rows, runs, difference)
    return 0


def said(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)


def run_ours(project: Baked, folder: Path) -> Run:
    """The project's own command."""
    command = [str(project.python), "-m", project.module, "batch-predict", "--json"]
    command += ["--data", str(folder / "rows.parquet"), "--out", str(folder / "ours.parquet")]
    return run(command, {"MLOPS_ROOT": str(folder / "project")})


def run(command: list[str], extra: dict[str, str]) -> Run:
    """Run a process that prints a JSON object, and measure it."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | extra
    started = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        output = process.stdout.read()  # type: ignore[union-attr]
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {process.returncode}")
    wall = time.perf_counter() - started
    rows_a_second = float(json.loads(output).get("rows_a_second", 0))
    return Run(rows_a_second, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def report(rows: int, peer_rows: int, runs: dict[str, list[Run]], difference: float) -> None:
    """Write and print the result."""

    def ratios(peer: str) -> list[float]:
        return [
            a.rows_a_second / b.rows_a_second for a, b in zip(runs["ours"], runs[peer], strict=True)
        ]

    def described(peer: str) -> dict[str, Any]:
        of_it = runs[peer]
        return {
            "rows": rows if peer == "ours" else peer_rows,
            "rows_a_second": [round(each.rows_a_second) for each in of_it],
            "process_wall_seconds": [round(each.wall, 2) for each in of_it],
            "process_cpu_seconds": [round(each.cpu, 2) for each in of_it],
            "peak_mb": max(round(each.peak_mb) for each in of_it),
        }

    result = {
        "name": "batch_scoring",
        "ratio": round(statistics.median(ratios("sklearn")), 2),
        "unit": "rows a second, Parquet to Parquet: batch-predict / scikit-learn in chunks",
        "n": rows,
        "details": {
            "vs_sklearn_in_chunks": round(statistics.median(ratios("sklearn")), 2),
            "vs_pyfunc_in_chunks": round(statistics.median(ratios("pyfunc")), 2),
            "peak_mb": max(round(each.peak_mb) for each in runs["ours"]),
            "largest_difference": difference,
            "how": f"{ROUNDS} rounds, in turn; the peers score {peer_rows:,} of the rows; rows a "
            "second from the first row read to the file at its place, without start and loading",
            **{peer: described(peer) for peer in runs},
            "cores": os.cpu_count(),
            "goal": "ratio >= 6, vs_pyfunc_in_chunks >= 9, peak_mb <= 1536",
        },
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    sys.exit(main())
