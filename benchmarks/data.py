"""Bronze to gold through the project, against a DuckDB script by hand on plain Parquet.

Both are whole processes on the same source, run in turn (A B A B …). The project also validates its
settings, keeps snapshots, accounts for every row and can do one interval again; the script in
`data_reference.py` cannot. Both must accept, refuse and drop the same number of rows.

    python benchmarks/data.py PROJECT [ROWS]
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from baked import Baked, find_project

PAIRS = 3
ROWS = 10_000_000
ROWS_AT_ONCE = 2_000_000
HERE = Path(__file__).parent
RESULT = HERE / "results" / "data.json"


@dataclass(frozen=True)
class Run:
    """One process: wall and CPU seconds, peak memory, and the rows in silver and quarantine."""

    wall: float
    cpu: float
    peak_mb: float
    silver: int
    quarantined: int


def main() -> int:
    """Measure, write benchmarks/results/data.json and print the figures; 2 without a project."""
    project = find_project()
    rows = int(sys.argv[2]) if len(sys.argv) > 2 else ROWS
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        tenth = run_project(project, work, rows // 10)
        source = generate(project.python, work, rows)
        pairs = []
        for _ in range(PAIRS):
            ours = run_project(project, work, rows)
            theirs = run_reference(project.python, work, source)
            pairs.append((ours, theirs))
            print(f"{ours.wall:.1f} s against {theirs.wall:.1f} s", file=sys.stderr, flush=True)
    for ours, theirs in pairs:
        if (ours.silver, ours.quarantined) != (theirs.silver, theirs.quarantined):
            print(f"Error: the rows differ: {ours} against {theirs}", file=sys.stderr)
            return 1
    report(rows, tenth, pairs)
    return 0


def generate(python: Path, work: Path, rows: int) -> Path:
    """The source file, written by the project's interpreter, which has DuckDB."""
    file = work / f"source-{rows}.parquet"
    if not file.exists():
        code = f"from synthetic_rows import *; write_rows(Path({str(file)!r}), {rows})"
        subprocess.run([str(python), "-c", code], cwd=HERE, check=True)
    return file


def run_project(project: Baked, work: Path, rows: int) -> Run:
    """`data` in a new project folder."""
    source = generate(project.python, work, rows)
    root = work / "project"
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(project.root / "config", root / "config")
    contract = root / "config" / "project.yaml"
    text = contract.read_text(encoding="utf-8")
    contract.write_text(
        text.replace("path: data/sample/customers.csv", f"path: {source}"), encoding="utf-8"
    )
    environment = {"MLOPS_ROOT": str(root), "MLOPS_LAKE__ROWS_AT_ONCE": str(ROWS_AT_ONCE)}
    figures, output = measure(
        [str(project.python), "-m", project.module, "data", "--json"], environment
    )
    result = json.loads(output)
    shutil.rmtree(root)
    return Run(*figures, result["silver_rows"], result["quarantined_rows"])


def run_reference(python: Path, work: Path, source: Path) -> Run:
    """The script by hand."""
    target = work / "reference"
    command = [str(python), str(HERE / "data_reference.py"), str(source), str(target)]
    figures, output = measure([*command, str(ROWS_AT_ONCE)], {})
    result = json.loads(output)
    shutil.rmtree(target)
    return Run(*figures, result["silver"], result["quarantined"])


def measure(command: list[str], extra: dict[str, str]) -> tuple[tuple[float, float, float], str]:
    """Wall seconds, CPU seconds and peak megabytes of a process, and what it printed."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | extra
    started = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        output, errors = process.stdout.read(), process.stderr.read()  # type: ignore[union-attr]
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(errors.decode())
    wall = time.perf_counter() - started
    return (wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024), output.decode()


def report(rows: int, tenth: Run, pairs: list[tuple[Run, Run]]) -> None:
    """Write and print the result."""

    def middle(values: list[float]) -> float:
        return round(statistics.median(values), 3)

    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    result = {
        "name": "data",
        "ratio": middle([a.cpu / b.cpu for a, b in pairs]),
        "unit": "CPU seconds of `data` / CPU seconds of a DuckDB script on plain Parquet",
        "n": rows,
        "details": {
            "pairs": len(pairs),
            "project_wall_seconds": middle([run.wall for run in ours]),
            "script_wall_seconds": middle([run.wall for run in theirs]),
            "project_cpu_seconds": middle([run.cpu for run in ours]),
            "script_cpu_seconds": middle([run.cpu for run in theirs]),
            "wall_ratio": middle([a.wall / b.wall for a, b in pairs]),
            "project_peak_mb": max(round(run.peak_mb) for run in ours),
            "script_peak_mb": max(round(run.peak_mb) for run in theirs),
            "growth_from_a_tenth_of_the_rows": middle([run.wall / tenth.wall for run in ours]),
            "silver_rows": ours[0].silver,
            "quarantined_rows": ours[0].quarantined,
            "cores": os.cpu_count(),
            "goal": "ratio <= 1.25, peak <= 2048 MB, growth <= 11",
        },
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    sys.exit(main())
