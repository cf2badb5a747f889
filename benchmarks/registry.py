"""The registry through MLflowManager against a raw MlflowClient, on one server, in turn.

What is compared does the same to the registry:

* register: a version of files that a run has stored, with a tag; ours also writes the audit record.
* promote: read the champion, move the alias, note who did it. The raw client notes it in a tag,
  which anybody may change and which two racing promotions overwrite; ours compares and swaps
  through the ledger and writes the audit record.
* get: the version behind an alias.

The ratio of each is the median of the pairwise ratios of wall seconds; the first is alternately
ours and the other's. The result's `ratio` is the largest of the three. `show_cpu_seconds` is what
one `registry show` costs, on SQLite and over HTTP.

    python benchmarks/registry.py PROJECT
"""

import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from baked import find_project

PAIRS, WARM_UP, SHOWS = 60, 5, 5
RESULT = Path(__file__).parent / "results" / "registry.json"
OURS, RAW = "ours", "raw"


def main() -> int:
    """Measure in the project's environment, write results/registry.json; 2 without a project."""
    project = find_project()
    answer = subprocess.run(
        [str(project.python), __file__, "--measure"],
        cwd=project.root,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=1800,
    )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(answer.stdout, encoding="utf-8")
    print(answer.stdout, end="")
    return 0


def measure() -> dict[str, object]:
    """Start a server on files of its own, and measure."""
    from goldpath.services.mlflow_server import start_mlflow
    from goldpath.services.processes import stop_server
    from goldpath.settings import load_settings

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "config").mkdir()
        contract_file = Path.cwd() / "config" / "project.yaml"
        (root / "config" / "project.yaml").write_text(contract_file.read_text())
        port = free_port()
        os.environ["MLOPS_SERVERS__MLFLOW_PORT"] = str(port)
        settings = load_settings(root)
        start_mlflow(settings)
        try:
            uri = f"http://127.0.0.1:{port}"
            settings = settings.model_copy(update={"tracking_uri": uri})
            return compare(settings, uri)
        finally:
            stop_server("mlflow", settings.run_directory)


def compare(settings: Any, uri: str) -> dict[str, object]:
    """Both ways in turn, on two registered models of one server."""
    import mlflow
    from goldpath.contract import load_contract
    from goldpath.registry.alias_moves import move_alias, position
    from goldpath.registry.ledger import ledger_records
    from goldpath.registry.mlflow_manager import MLflowManager
    from mlflow import MlflowClient

    contract = load_contract(settings.root)
    mlflow.set_tracking_uri(uri)
    manager = MLflowManager(settings, contract, OURS)
    client = MlflowClient(uri)
    experiment = manager.experiment_id()
    run = client.create_run(experiment)
    client.log_text(run.info.run_id, "a model", "model/MLmodel")
    client.log_metric(run.info.run_id, "accuracy", 0.9)
    source, run_id = f"{run.info.artifact_uri}/model", run.info.run_id
    manager.ensure_model()
    client.create_registered_model(RAW)
    tags = {"run_key": "benchmark"}

    def promote_ours(number: int) -> None:
        start = position(manager.store, OURS, "champion")
        version = str(1 + number % WARM_UP)
        if start.version == version:
            raise SystemExit("the alias is there already")
        move_alias(settings, manager.store, start, version, "promoted")

    def promote_raw(number: int) -> None:
        client.get_model_version_by_alias(RAW, "champion")
        version = str(1 + number % WARM_UP)
        client.set_registered_model_alias(RAW, "champion", version)
        client.set_model_version_tag(RAW, version, "promoted_by", f"ada, number {number}")

    jobs: dict[str, tuple[Callable[[int], object], Callable[[int], object]]] = {
        "register": (
            lambda _: manager.create_version(source, run_id, None, tags),
            lambda _: client.create_model_version(RAW, source, run_id, tags=tags),
        ),
        "promote": (promote_ours, promote_raw),
        "get": (
            lambda _: manager.champion_version(),
            lambda _: client.get_model_version_by_alias(RAW, "champion"),
        ),
    }
    for _ in range(WARM_UP + 1):
        for side in jobs["register"]:
            side(0)
    for name, set_alias in ((OURS, manager.set_alias), (RAW, None)):
        if set_alias is not None:
            set_alias("champion", str(WARM_UP))
        else:
            client.set_registered_model_alias(name, "champion", str(WARM_UP))
    rows: dict[str, dict[str, float]] = {}
    for job, (ours, raw) in jobs.items():
        pairs = in_turn(ours, raw)
        mine, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
        rows[job] = {
            "ratio": round(statistics.median(a / b for a, b in pairs), 3),
            "ours_per_second": round(1 / mine, 1),
            "raw_per_second": round(1 / theirs, 1),
            "ours_ms": round(mine * 1000, 2),
            "raw_ms": round(theirs * 1000, 2),
        }
    return {
        "name": "registry",
        "ratio": max(row["ratio"] for row in rows.values()),
        "unit": "seconds through MLflowManager / seconds through MlflowClient, the worst of three",
        "n": PAIRS,
        "details": {
            **rows,
            "moves_in_the_ledger": len(ledger_records(manager.store, manager.registered_model())),
            "show_cpu_seconds": {
                "http": show_cpu(settings.root, uri),
                "sqlite": show_cpu(settings.root, None),
            },
            "mlflow": mlflow.__version__,
            "python": sys.version.split()[0],
        },
    }


def in_turn(
    ours: Callable[[int], object], raw: Callable[[int], object]
) -> list[tuple[float, float]]:
    """Seconds of both, pair by pair; who begins alternates."""
    pairs = []
    for number in range(PAIRS):
        spent = {}
        order = ((OURS, ours), (RAW, raw))
        for name, job in order if number % 2 else reversed(order):
            began = time.perf_counter()
            job(number)
            spent[name] = time.perf_counter() - began
        pairs.append((spent[OURS], spent[RAW]))
    return pairs


def show_cpu(root: Path, uri: str | None) -> float:
    """Processor seconds of `registry show` as a command, the median of some."""
    environment = {**os.environ, "MLOPS_ROOT": str(root)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    if uri:
        environment["MLFLOW_TRACKING_URI"] = uri
    code = "from goldpath.cli.registry import app; app()"
    command = [sys.executable, "-c", code, "show", "1", "--model", OURS, "--json"]
    spent = []
    for _ in range(SHOWS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return round(statistics.median(spent), 2)


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(), indent=2))
    else:
        sys.exit(main())
