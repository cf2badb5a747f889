"""What Airflow costs over the same commands in a shell: starts, memory, steps, a backfill.

The project's own Airflow and its own DAGs, in a copy of its folders below build/, with the sample:

- seconds of `airflow-up` until every DAG can be triggered, with a new database and then with it
- memory (proportional set size) of all of Airflow's processes after half a minute, in the project
  as it is baked, that is without a schedule; and half a minute after a first run has ended, since
  the API server and the idle workers keep what it made them import
- seconds that the project's DAG files take once Airflow's SDK and operators are imported
- a training (a dry run of two trials) by its DAG, from the trigger to its end, against the same
  commands one after the other, in rounds of which every second one runs backwards
- a backfill of `data_pipeline` by day, from the request to the end of its last run, against the
  commands of these days in a loop; both leave the same gold table, or the run fails

The ratio is the backfill's, in seconds of wall time.

    PYTHON benchmarks/orchestration.py PROJECT [--days 30] [--rounds 3] [--starts-only]

`--dag-files-only` and `--starts-only` measure that part anew, and keep the other figures.

PYTHON is the project's interpreter; Airflow's environment is the project's `.venv-airflow` (`make
airflow-setup`), or the one that MLOPS_AIRFLOW_VENV names.
"""

import argparse
import hashlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from baked import find_project

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "build" / "orchestration"
RESULT = HERE / "results" / "orchestration.json"
FOLDERS = ("airflow", "config", "requirements", "src")
FIRST_DAY = date(2025, 1, 1)  # the sample has rows of the whole year
DATA, TRAINING = "data_pipeline", "ml_training_pipeline"
TRIALS = 2
IDLE_SECONDS = 30
LONGEST_SECONDS = 3600
GOAL = (
    "airflow-up <= 40 s, again <= 25 s; idle <= 800 MB; <= 2 s a step; DAG files <= 0.3 s; "
    "backfill of 30 days <= 1.5 of the commands in a loop"
)
PARSING = """
import glob, importlib.util, json, sys, time
import airflow.sdk
import airflow.providers.standard.operators.bash
import airflow.providers.standard.operators.trigger_dagrun
for name in ("DAG", "Asset", "BaseOperator", "Context", "Param", "chain", "task"):
    getattr(airflow.sdk, name)  # each is imported when it is first named
sys.path.insert(0, "airflow/dags")
began = time.perf_counter()
for number, file in enumerate(sorted(glob.glob("airflow/dags/*.py"))):
    spec = importlib.util.spec_from_file_location(f"dag_file_{number}", file)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
print(json.dumps(time.perf_counter() - began))
"""
GOLD = """
from {package}.project import project
rows = project.frame("gold")
print(rows.sort_values([*rows.columns]).to_csv(index=False))
"""


class RunFailedError(Exception):
    """A command or a run ended otherwise than with success: there is nothing to compare."""


@dataclass(frozen=True)
class Project:
    """A copy of a project's folders, and what runs it.

    Attributes:
        root: The copy.
        python: The project's interpreter.
        package: Its package.
        variables: The environment of its commands.
    """

    root: Path
    python: Path
    package: str
    variables: Mapping[str, str]

    def run(self, *words: str) -> Any:
        """A command's JSON result, its last line; None where it prints none.

        Raises:
            RunFailedError: If it ends with another code than 0; with what it printed.
        """
        done = subprocess.run(
            [self.python, "-m", self.package, *words],
            cwd=self.root,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = f"{done.stdout}\n{done.stderr}"[-3000:]
            raise RunFailedError(f"{' '.join(words)} ended with {done.returncode}:\n{said}")
        last = done.stdout.strip().rpartition("\n")[2]
        return json.loads(last) if last.startswith("{") else None

    def seconds_of(self, commands: Sequence[Sequence[str]]) -> float:
        """How long commands take, one after the other."""
        began = time.perf_counter()
        for words in commands:
            self.run(*words, "--json")
        return time.perf_counter() - began


def main() -> int:
    """Measure, print and write the result; 2 where something fails."""
    options = _options()
    try:
        project = copied(options)
        if options.dag_files_only:
            result = kept_with({"dag_files_seconds": round(dag_seconds(project), 3)})
        elif options.starts_only:
            try:
                result = kept_with(starts_and_memory(project))
            finally:
                project.run("airflow-down")
        else:
            result = measured(project, options)
    except RunFailedError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))
    return 0


def kept_with(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The former result with some figures anew."""
    result: dict[str, Any] = json.loads(RESULT.read_text(encoding="utf-8"))
    result["details"] = {**result["details"], **figures}
    return result


def copied(options: argparse.Namespace) -> Project:
    """The project's folders with an empty lake and the sample, and Airflow's ports of their own."""
    own = find_project([str(options.project)])
    airflow = os.environ.get("MLOPS_AIRFLOW_VENV") or str(own.root / ".venv-airflow")
    if not (Path(airflow) / "bin" / "python").exists():
        print(f"Error: there is no Airflow in {airflow}. Fix: make airflow-setup", file=sys.stderr)
        sys.exit(2)
    shutil.rmtree(FOLDER, ignore_errors=True)
    for folder in FOLDERS:
        shutil.copytree(own.root / folder, FOLDER / folder)
    variables = {
        "MLOPS_ROOT": str(FOLDER),
        "MLOPS_AIRFLOW_VENV": airflow,
        "MLOPS_SERVERS__AIRFLOW_PORT": str(free_port()),
        "MLOPS_SERVERS__AIRFLOW_METRICS_PORT": str(free_port()),
        "MLOPS_TRAINING__TRIALS": str(TRIALS),
        "PYTHONPATH": str(FOLDER / "src"),
        "PYTHONUNBUFFERED": "1",
    }
    project = Project(FOLDER, own.python, own.package, variables)
    project.run("sample")
    project.run("describe")
    project.run("data")
    return project


def measured(project: Project, options: argparse.Namespace) -> dict[str, Any]:
    """All figures; Airflow is stopped in the end whatever happens."""
    parsing = dag_seconds(project)
    try:
        starts = starts_and_memory(project)
        airflow = signed_in(project)
        steps = trainings(project, airflow, options.rounds)
        backfill = backfilled(project, airflow, options.days)
    finally:
        project.run("airflow-down")
    ratio = backfill["airflow_seconds"] / backfill["loop_seconds"]
    return {
        "name": "orchestration",
        "ratio": round(ratio, 3),
        "unit": "seconds of a backfill by Airflow / seconds of its commands in a loop",
        "n": 1,
        "details": {
            **starts,
            "dag_files_seconds": round(parsing, 3),
            "training": steps,
            "backfill": backfill,
            "goal": GOAL,
            "cores": os.cpu_count(),
            "python": sys.version.split()[0],
        },
    }


def dag_seconds(project: Project) -> float:
    """What the DAG files cost, in a process that has imported Airflow."""
    python = Path(project.variables["MLOPS_AIRFLOW_VENV"]) / "bin" / "python"
    home = {"AIRFLOW_HOME": str(FOLDER / "parsing"), "PROJECT_ROOT": str(project.root)}
    done = subprocess.run(
        [python, "-c", PARSING],
        cwd=project.root,
        env={**os.environ, **project.variables, **home},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RunFailedError(f"the DAG files do not import:\n{done.stderr[-3000:]}")
    return float(done.stdout.strip().rpartition("\n")[2])


def starts_and_memory(project: Project) -> dict[str, float]:
    """Both starts and the memory; Airflow runs in the end, and the data pipeline has a schedule."""
    first = start_seconds(project)
    time.sleep(IDLE_SECONDS)
    idle = memory_mb(project)
    project.run("airflow-down")
    schedules = FOLDER / "config" / "environments" / "development.yaml"
    schedules.parent.mkdir(exist_ok=True)
    # A backfill's intervals are those of its schedule.
    schedules.write_text(yaml.safe_dump({"airflow": {"schedules": {DATA: "@daily"}}}))
    project.run("describe")
    second = start_seconds(project)
    await_scheduled(signed_in(project))
    time.sleep(IDLE_SECONDS)
    return {
        "first_start_seconds": round(first, 1),
        "second_start_seconds": round(second, 1),
        "idle_memory_mb": idle,
        "memory_mb_after_a_run": memory_mb(project),
    }


def start_seconds(project: Project) -> float:
    """From `airflow-up` until it says that every DAG can be triggered."""
    began = time.perf_counter()
    project.run("airflow-up")
    return time.perf_counter() - began


def signed_in(project: Project) -> Any:
    """A client of the project's Airflow."""
    from goldpath.services.airflow_api import AirflowApi

    passwords = json.loads((project.root / ".airflow" / "passwords.json").read_text())
    port = project.variables["MLOPS_SERVERS__AIRFLOW_PORT"]
    return AirflowApi(f"http://127.0.0.1:{port}", "admin", passwords["admin"])


def await_scheduled(airflow: Any) -> None:
    """Wait for the one run that the schedule starts, for yesterday: catching up is off."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        runs = airflow.get(f"dags/{DATA}/dagRuns")["dag_runs"]
        if runs and all(run["state"] in ("success", "failed") for run in runs):
            return
        time.sleep(1)
    raise RunFailedError(f"the scheduled run of {DATA} does not end: {runs}")


def memory_mb(project: Project) -> int:
    """The proportional set size of everything that `airflow-up` has started."""
    from goldpath.services.process_table import Family, PidFile

    found = PidFile.read(project.root / "run" / "airflow.json")
    if found is None:
        raise RunFailedError("airflow-up left no run/airflow.json")
    kilobytes = 0
    for process in Family(found.leaders).living():
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return round(kilobytes / 1024)


def trainings(project: Project, airflow: Any, rounds: int) -> dict[str, Any]:
    """Seconds of a training by its DAG and by hand, and the difference for each step."""
    pipeline = json.loads((project.root / "airflow" / "dags" / "pipeline.json").read_text("utf-8"))
    by_dag, by_hand = [], []

    def ask_airflow() -> None:
        began = datetime.now(UTC)
        run_id = airflow.trigger(TRAINING, {"promote": False})
        run = ended(airflow, f"dags/{TRAINING}/dagRuns/{quote(run_id)}")
        by_dag.append((datetime.fromisoformat(run["end_date"]) - began).total_seconds())

    def run_commands() -> None:
        steps = [
            [*task["command"], "--run-id", f"by-hand-{len(by_hand)}"]
            for task in pipeline["training"]
        ]
        by_hand.append(project.seconds_of([["data"], *steps]))

    for number in range(rounds):
        pair = [run_commands, ask_airflow]
        for each in pair if number % 2 == 0 else reversed(pair):
            each()
    count = len(pipeline["training"]) + 1
    differences = [(one - other) / count for one, other in zip(by_dag, by_hand, strict=True)]
    return {
        "steps": count,
        "by_dag_seconds": [round(each, 1) for each in by_dag],
        "by_hand_seconds": [round(each, 1) for each in by_hand],
        "overhead_seconds_a_step": round(statistics.median(differences), 2),
    }


def ended(airflow: Any, path: str) -> dict[str, Any]:
    """A run, once it has ended well."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        run: dict[str, Any] = airflow.get(path)
        if run["state"] == "success":
            return run
        if run["state"] == "failed":
            raise RunFailedError(f"{path} failed")
        time.sleep(1)
    raise RunFailedError(f"{path} does not end")


def backfilled(project: Project, airflow: Any, days: int) -> dict[str, Any]:
    """Seconds of the days' commands in a loop, and of Airflow's backfill of the same days."""
    pipeline = json.loads((project.root / "airflow" / "dags" / "pipeline.json").read_text("utf-8"))
    loop = [
        command
        for number in range(days)
        for command in day_commands(pipeline, FIRST_DAY + timedelta(days=number))
    ]
    loop_seconds = project.seconds_of(loop)
    before = gold_digest(project)
    began = datetime.now(UTC)
    last = FIRST_DAY + timedelta(days=days - 1)
    asked = airflow.post(
        "backfills",
        {
            "dag_id": DATA,
            "from_date": f"{FIRST_DAY}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
            "run_backwards": False,
            "reprocess_behavior": "completed",
        },
    )
    runs = backfill_runs(airflow, asked["id"], days)
    end = max(datetime.fromisoformat(run["end_date"]) for run in runs)
    if gold_digest(project) != before:
        raise RunFailedError("the backfill left another gold table than its commands in a loop")
    return {
        "days": days,
        "commands": len(loop),
        "airflow_seconds": round((end - began).total_seconds(), 1),
        "loop_seconds": round(loop_seconds, 1),
    }


def day_commands(pipeline: Mapping[str, Any], day: date) -> list[list[str]]:
    """The commands that the tasks of one interval run."""
    period = ["--from", str(day), "--to", str(day + timedelta(days=1))]
    names = [*pipeline["sources"], pipeline["dataset"]]
    commands = [["data", "--only", name, *period] for name in names]
    return [*commands, *([["features", "materialize"]] if pipeline["windows"] else [])]


def backfill_runs(airflow: Any, backfill_id: int, count: int) -> list[dict[str, Any]]:
    """A backfill's runs, once all have succeeded.

    Raises:
        RunFailedError: If one fails.
    """
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        page = airflow.get(f"dags/{DATA}/dagRuns?run_type=backfill&limit=100")["dag_runs"]
        states = [run["state"] for run in page]
        if "failed" in states:
            raise RunFailedError(f"a run of backfill {backfill_id} failed")
        if len(states) == count and set(states) == {"success"}:
            return list(page)
        time.sleep(1)
    raise RunFailedError(f"backfill {backfill_id} does not end: {states}")


def gold_digest(project: Project) -> str:
    """A digest of gold's rows, whatever their order."""
    done = subprocess.run(
        [project.python, "-c", GOLD.format(package=project.package)],
        cwd=project.root,
        env={**os.environ, **project.variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RunFailedError(f"gold cannot be read:\n{done.stderr[-3000:]}")
    return hashlib.sha256(done.stdout.encode()).hexdigest()


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("project", type=Path)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--dag-files-only", action="store_true", help="measure these, and keep the other figures"
    )
    parser.add_argument(
        "--starts-only", action="store_true", help="starts and memory, and keep the other figures"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
