"""How long the command line takes to answer `--help`, against importing its library alone.

Both are whole processes, run in turn (A B A B …) by the project's own interpreter, so that a
machine that slows down slows both. The ratio is the median of the pairwise ratios of CPU seconds,
which a busy machine distorts less than wall time.

    python benchmarks/cli_startup.py PROJECT
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from baked import find_project

PAIRS = 15
RESULT = Path(__file__).parent / "results" / "cli.json"


def main() -> int:
    """Measure, write benchmarks/results/cli.json and print the figures; 2 without a project."""
    project = find_project()
    ours = [str(project.python), "-m", project.package, "--help"]
    theirs = [str(project.python), "-c", "import typer"]
    for command in (ours, theirs):
        measure(command, project.root)  # compiled files and the disk's cache
    pairs = [(measure(ours, project.root), measure(theirs, project.root)) for _ in range(PAIRS)]
    result = {
        "name": "cli",
        "ratio": round(statistics.median(a[0] / b[0] for a, b in pairs), 3),
        "unit": "CPU seconds of `--help` / CPU seconds of `import typer`",
        "n": PAIRS,
        "details": {
            "help_cpu_seconds": round(statistics.median(a[0] for a, _ in pairs), 4),
            "typer_cpu_seconds": round(statistics.median(b[0] for _, b in pairs), 4),
            "help_wall_seconds": round(statistics.median(a[1] for a, _ in pairs), 4),
            "typer_wall_seconds": round(statistics.median(b[1] for _, b in pairs), 4),
            "wall_ratio": round(statistics.median(a[1] / b[1] for a, b in pairs), 3),
            "goal": "ratio <= 3",
            "python": sys.version.split()[0],
        },
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    return 0


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """CPU seconds and wall seconds of one run."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=60
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return cpu, wall


if __name__ == "__main__":
    sys.exit(main())
