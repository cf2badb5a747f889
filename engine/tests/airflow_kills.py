"""Kills of what runs in a live Airflow: its processes, and the commands of its tasks."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from goldpath.contract import load_contract
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import TableName
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.services.airflow_api import AirflowApi, AirflowApiError
from goldpath.services.process_table import Family, Process
from goldpath.settings import Settings, load_settings

from .live_airflow import RUN_SECONDS, instances_of, logs, pid_file, states

TRAINING, DATA = "ml_training_pipeline", "data_pipeline"
COMPONENTS = ("scheduler", "dag-processor", "api-server")
TASK, COMMAND = "a task", "its command"
"""Of a running task: Airflow's process, and the project's, which that one waits for."""
KINDS = (TASK, *COMPONENTS)
LONGEST_GAP = 4.0
LAST_TASKS = 6
"""Kills begin when up to five tasks of a training are done; it has seven, and a skipped one."""
LAYERS = ("silver", "quarantine", "gold")
Rows = dict[str, list[str]]
Instances = dict[str, dict[str, Any]]


def check_kills(
    settings: Settings, api: AirflowApi, each_kind: int, seed: int
) -> tuple[Counter[str], int]:
    """Two trainings and the data, asked for at once, are killed: as if each had run alone.

    In each training one process of each kind is killed at a random moment: more than its tasks'
    two retries could not make good. A version comes from each training, and the tables are
    those of a project that read the same deliveries undisturbed.

    Args:
        settings: Of the live project.
        api: Its Airflow.
        each_kind: So many kills of each kind; of a running task, they are of its two processes.
        seed: Of the moments and their order.

    Returns:
        The kills by kind, and how many runs ended.
    """
    moments, done, runs = random.Random(seed), Counter[str](), 0
    task_kinds = [TASK, COMMAND] * each_kind
    undisturbed = Undisturbed(settings)
    while min(done[kind] for kind in KINDS) < each_kind:
        # Other rows each time, so that there are tables to write while something is killed.
        undisturbed.deliver(3050 + 50 * runs)
        before = versions(settings)
        asked = [(DATA, {}), *[(TRAINING, {"trials": 1, "promote": False})] * 2]
        with ThreadPoolExecutor(len(asked)) as pool:
            data, *trainings = pool.map(lambda each: api.trigger(*each), asked)
        ended: list[tuple[str, Instances]] = []
        for _ in trainings:
            run_id = next_of(api, [each for each in trainings if each not in dict(ended)])
            kinds = [kind for kind in KINDS if done[kind] < each_kind]
            # A moment is so many of its tasks done, and some seconds.
            left = sorted(((moments.randrange(LAST_TASKS), kind) for kind in kinds), reverse=True)
            while left and is_running(api, run_id):
                tasks_done, kind = left[-1]
                time.sleep(moments.uniform(0.2, LONGEST_GAP))
                # Of a task, once Airflow's process and once the command that it waits for.
                exactly = task_kinds[-1] if kind == TASK else kind
                if done_of(api, run_id) >= tasks_done and kill(settings, exactly):
                    task_kinds = task_kinds[: len(task_kinds) - (kind == TASK)]
                    done[kind] += 1
                    left.pop()
            ended.append((run_id, patiently(instances_of, api, TRAINING, run_id)))
        said = f"seed {seed}, after {dict(done)}"
        for _, training in ended:
            expected = dict.fromkeys(training, "success") | {"deploy": "skipped"}
            assert states(training) == expected, f"{said}\n{logs(training)}"
        first, second = ended
        assert first[1]["deploy"]["end_date"] <= second[1]["data"]["start_date"], said
        registered = [each["register"]["result"]["model_version"] for _, each in ended]
        assert len(set(registered)) == 2, said
        assert versions(settings) - before == set(registered), said
        refreshed = patiently(instances_of, api, DATA, data)
        assert set(states(refreshed).values()) == {"success"}, f"{said}\n{logs(refreshed)}"
        assert tables(settings) == undisturbed.tables(), said
        runs += len(asked)
    return done, runs


def kill(settings: Settings, kind: str) -> bool:
    """Kill one process of a kind; False where there is none at the moment."""
    leaders = pid_file(settings).leaders
    family = {each.pid: each for each in Family(leaders).living()}
    if kind in COMPONENTS:
        found = [each.pid for each in leaders if each.command == kind and each.pid in family]
    else:
        commands = [each for each in family.values() if "customer_churn" in words_of(each)]
        found = [each.pid if kind == COMMAND else each.parent for each in commands]
    for pid in found[:1]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def words_of(process: Process) -> list[str]:
    """A process' command line."""
    try:
        return Path(f"/proc/{process.pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:  # it has ended
        return []


def is_running(api: AirflowApi, run_id: str) -> bool:
    """Whether a training has not ended yet; where Airflow does not answer, it has not."""
    with suppress(AirflowApiError):
        run = api.get(f"dags/{TRAINING}/dagRuns/{quote(run_id)}")
        return run["state"] not in ("success", "failed")
    return True


def done_of(api: AirflowApi, run_id: str) -> int:
    """How many tasks of a training have succeeded; none where Airflow does not answer."""
    with suppress(AirflowApiError):
        tasks = api.get(f"dags/{TRAINING}/dagRuns/{quote(run_id)}/taskInstances")["task_instances"]
        return [each["state"] for each in tasks].count("success")
    return 0


def patiently(ask: Callable[..., Instances], *about: Any) -> Instances:
    """What an API server says that may have been killed a moment ago."""
    deadline = time.monotonic() + RUN_SECONDS
    while True:
        try:
            return ask(*about)
        except AirflowApiError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


class Undisturbed:
    """A second project, which reads the live one's deliveries by hand."""

    def __init__(self, settings: Settings) -> None:
        self._live, self._root = settings.root, settings.root / "undisturbed"
        for folder in ("config", "data", "src"):
            shutil.copytree(settings.root / folder, self._root / folder)
        self._read()

    def deliver(self, rows: int) -> None:
        """A new file in the place of the last one, to both."""
        file = "data/sample/customers.csv"
        (self._live / file).unlink()
        self._run(self._live, "sample", "--rows", str(rows))
        shutil.copy(self._live / file, self._root / file)
        self._read()

    def tables(self) -> Rows:
        """What its tables hold; settings tell MLflow, by a variable, where its project is."""
        before = dict(os.environ)
        try:
            return tables(load_settings(self._root))
        finally:
            os.environ.clear()
            os.environ.update(before)

    def _read(self) -> None:
        self._run(self._root, "data")

    def _run(self, root: Path, *words: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        kept["MLOPS_ROOT"] = str(root)
        kept["PYTHONPATH"] = kept["PYTHONPATH"].replace(str(self._live / "src"), str(root / "src"))
        door = [sys.executable, "-m", "customer_churn", *words]
        done = subprocess.run(door, check=False, cwd=root, env=kept, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def next_of(api: AirflowApi, run_ids: Sequence[str]) -> str:
    """Which of some trainings has begun, as soon as one has."""
    deadline = time.monotonic() + RUN_SECONDS
    while time.monotonic() < deadline:
        for run_id in run_ids:
            with suppress(AirflowApiError):
                run = api.get(f"dags/{TRAINING}/dagRuns/{quote(run_id)}")
                if run["state"] != "queued":
                    return run_id
        time.sleep(0.5)
    raise AssertionError(f"none of {run_ids} has begun")


def versions(settings: Settings) -> set[str]:
    """The model versions of the registry."""
    contract = load_contract(settings.root)
    client = MLflowManager(settings, contract).client
    found = client.search_model_versions(f"name = '{contract.model_name}'")
    return {str(version.version) for version in found}


def tables(settings: Settings) -> Rows:
    """The rows of the main table's layers, without the moments and places of their ingestion."""
    lakehouse, contract = open_lakehouse(settings), load_contract(settings.root)
    found = {}
    for layer in LAYERS:
        rows = lakehouse.collect(lakehouse.read(TableName(layer, contract.dataset)))
        names = sorted(name for name in rows.column_names if name != "_ingested_at")
        found[layer] = sorted(str(row) for row in rows.select(names).to_pylist())
    return found
