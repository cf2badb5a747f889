"""Bronze to gold through the project, against a DuckDB script by hand on plain Parquet.

Both are whole processes on the same source, run in turn (A B A B …). The project also validates its
settings, keeps snapshots, accounts for every row and can do one interval again; the script in
`data_reference.py` cannot. Both must accept, refuse and drop the same number of rows.

Then the same with a second source, as many payments as there are customers' rows, and five row
features, which the script computes as five expressions of its SELECT.

    python benchmarks/data.py PROJECT [ROWS] [ROWS_OF_EACH_OF_TWO] [--two-sources-only]

With `--two-sources-only` the former figures of one source are kept.
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
from typing import Any

from baked import Baked, find_project

PAIRS = 3
ROWS, ROWS_OF_EACH = 10_000_000, 4_000_000
ROWS_AT_ONCE = 2_000_000
HERE = Path(__file__).parent
RESULT = HERE / "results" / "data.json"
PAYMENTS_CONTRACT = """\
source: {{path: {path}}}
entity: customer_id
event_time: {{column: paid_at}}
columns:
- {{name: amount, type: number, minimum: 0, maximum: 10000}}
- {{name: method, type: category, nullable: true, closed: true,
   categories: [bank-transfer, card, invoice, wallet]}}
"""


@dataclass(frozen=True)
class Run:
    """One process: wall and CPU seconds, peak memory, and by table silver and refused rows."""

    wall: float
    cpu: float
    peak_mb: float
    rows: dict[str, tuple[int, int]]


def main() -> int:
    """Measure, write benchmarks/results/data.json and print the figures; 2 without a project."""
    project = find_project()
    given = [int(text) for text in sys.argv[2:4] if text.isdigit()]
    rows, of_each = [*given, *(ROWS, ROWS_OF_EACH)[len(given) :]]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if "--two-sources-only" in sys.argv:
            result = json.loads(RESULT.read_text(encoding="utf-8"))
        else:
            tenth = run_project(project, work, rows // 10)
            result = of_one_source(rows, tenth, measured(project, work, rows, has_two=False))
        both = measured(project, work, of_each, has_two=True)
    result["details"]["two_sources_and_five_row_features"] = of_two_sources(of_each, both)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    return 0


def measured(project: Baked, work: Path, rows: int, *, has_two: bool) -> list[tuple[Run, Run]]:
    """Project and script in turn.

    Raises:
        SystemExit: If they do not agree about the rows.
    """
    run_project(project, work, rows // 100, has_two=has_two)  # what is read the first time
    pairs = []
    for _ in range(PAIRS):
        ours = run_project(project, work, rows, has_two=has_two)
        theirs = run_reference(project.python, work, rows, has_two=has_two)
        if ours.rows != theirs.rows:
            raise SystemExit(f"Error: the rows differ: {ours} against {theirs}")
        pairs.append((ours, theirs))
        print(f"{ours.wall:.1f} s against {theirs.wall:.1f} s", file=sys.stderr, flush=True)
    return pairs


def generate(python: Path, work: Path, rows: int, name: str = "customers") -> Path:
    """A source file, written by the project's interpreter, which has DuckDB."""
    file = work / f"{name}-{rows}.parquet"
    if not file.exists():
        call = f"write_rows(Path({str(file)!r}), {rows})"
        if name == "payments":
            call = f"write_payments(Path({str(file)!r}), {rows}, {rows})"
        code = f"from synthetic_rows import *; {call}"
        subprocess.run([str(python), "-c", code], cwd=HERE, check=True)
    return file


def run_project(project: Baked, work: Path, rows: int, *, has_two: bool = False) -> Run:
    """`data` in a new project folder."""
    source = generate(project.python, work, rows)
    root = work / "project"
    shutil.rmtree(root, ignore_errors=True)
    # Without the example's further sources: their files are not here.
    shutil.copytree(
        project.root / "config", root / "config", ignore=shutil.ignore_patterns("sources")
    )
    contract = root / "config" / "project.yaml"
    text = contract.read_text(encoding="utf-8")
    contract.write_text(
        text.replace("path: data/sample/customers.csv", f"path: {source}"), encoding="utf-8"
    )
    command = [str(project.python), "-m", project.module]
    if has_two:
        payments = generate(project.python, work, rows, "payments")
        (root / "config" / "sources").mkdir()
        content = PAYMENTS_CONTRACT.format(path=payments)
        (root / "config" / "sources" / "payments.yaml").write_text(content, encoding="utf-8")
        command = [str(project.python), str(HERE / "data_features.py")]
    environment = {"MLOPS_ROOT": str(root), "MLOPS_LAKE__ROWS_AT_ONCE": str(ROWS_AT_ONCE)}
    figures, output = measure([*command, "data", "--json"], environment)
    result = json.loads(output)
    shutil.rmtree(root)
    counted = {"customers": result, **result["sources"]}
    return Run(
        *figures,
        {name: (each["silver_rows"], each["quarantined_rows"]) for name, each in counted.items()},
    )


def run_reference(python: Path, work: Path, rows: int, *, has_two: bool = False) -> Run:
    """The script by hand."""
    target = work / "reference"
    command = [str(python), str(HERE / "data_reference.py")]
    command += [str(generate(python, work, rows)), str(target), str(ROWS_AT_ONCE)]
    if has_two:
        command.append(str(generate(python, work, rows, "payments")))
    figures, output = measure(command, {})
    result = json.loads(output)
    shutil.rmtree(target)
    counted = {"customers": result}
    if has_two:
        counted["payments"] = result["payments"]
    return Run(
        *figures,
        {name: (each["silver"], each["quarantined"]) for name, each in counted.items()},
    )


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


def of_one_source(rows: int, tenth: Run, pairs: list[tuple[Run, Run]]) -> dict[str, Any]:
    """The result, without a second source."""
    ours = [a for a, _ in pairs]
    silver, quarantined = ours[0].rows["customers"]
    return {
        "name": "data",
        "ratio": middle([a.cpu / b.cpu for a, b in pairs]),
        "unit": "CPU seconds of `data` / CPU seconds of a DuckDB script on plain Parquet",
        "n": rows,
        "details": {
            **figures_of(pairs),
            "growth_from_a_tenth_of_the_rows": middle([run.wall / tenth.wall for run in ours]),
            "silver_rows": silver,
            "quarantined_rows": quarantined,
            "cores": os.cpu_count(),
            "goal": "ratio <= 1.25, wall_ratio <= 1.25, peak <= 2048 MB, growth <= 11",
        },
    }


def of_two_sources(of_each: int, pairs: list[tuple[Run, Run]]) -> dict[str, Any]:
    """The figures with a second source and row features."""
    return {
        "ratio": middle([a.cpu / b.cpu for a, b in pairs]),
        **figures_of(pairs),
        "rows_of_each_source": of_each,
        "silver_and_quarantined_rows": pairs[0][0].rows,
        "goal": "ratio <= 1.3",
    }


def figures_of(pairs: list[tuple[Run, Run]]) -> dict[str, float]:
    """What both sides took."""
    ours, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    return {
        "pairs": len(pairs),
        "project_wall_seconds": middle([run.wall for run in ours]),
        "script_wall_seconds": middle([run.wall for run in theirs]),
        "project_cpu_seconds": middle([run.cpu for run in ours]),
        "script_cpu_seconds": middle([run.cpu for run in theirs]),
        "wall_ratio": middle([a.wall / b.wall for a, b in pairs]),
        "project_peak_mb": max(round(run.peak_mb) for run in ours),
        "script_peak_mb": max(round(run.peak_mb) for run in theirs),
    }


def middle(values: list[float]) -> float:
    """The median, to a thousandth."""
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    sys.exit(main())
