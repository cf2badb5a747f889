"""A project with a champion, and `serve` over it in processes of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from goldpath.contract import dump_contract
from goldpath.learning.frames import model_frame
from goldpath.registry.layout import CONTRACT_FILE
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.settings import load_settings

from ..ports import free_port
from ..ready_made import add_ready_made
from .examples import contract_of, fitted, random_rows, write_project


@dataclass
class RunningService:
    """A `serve` command that answers.

    Attributes:
        process: The command; its workers are in its process group.
        port: Of 127.0.0.1.
        log: What it wrote.
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def processes(self) -> list[int]:
        """The command's process group, where /proc tells it."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.process.pid:
                    found.append(int(entry.name))
        return found

    def workers(self) -> list[int]:
        """The processes that answer, where several do: not their supervisor, nor Python's tracker.

        Where /proc tells it.
        """
        found = []
        for process in self.processes():
            with contextlib.suppress(OSError, ValueError):
                place = Path(f"/proc/{process}")
                state, parent = (place / "stat").read_text().rpartition(")")[2].split()[:2]
                is_tracker = b"resource_tracker" in (place / "cmdline").read_bytes()
                if int(parent) == self.process.pid and state != "Z" and not is_tracker:
                    found.append(process)
        return found

    def resident_bytes(self) -> int:
        """Memory of the whole process group."""
        pages = 0
        for process in self.processes():
            with contextlib.suppress(OSError):
                pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def project_with_champion(root: Path, problem: str = "binary", family: str = "boosting") -> None:
    """A project whose registry holds one version, a model that is really fitted."""
    contract = contract_of(problem)
    write_project(root, problem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_ROOT", str(root))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        settings = load_settings(root)
        add_ready_made(settings)
        manager = MLflowManager(settings, contract)
        example = model_frame(random_rows(contract, 50), contract)
        with manager.run("run-1", {}) as run_id:
            manager.log_text(run_id, dump_contract(contract), CONTRACT_FILE)
            manager.register(run_id, fitted(problem, "1", family), example, {})
        manager.set_champion("1")


@contextlib.contextmanager
def running(
    root: Path, *arguments: str, program: str = "goldpath", **variables: str
) -> Iterator[RunningService]:
    """`serve` until the block ends; nothing of it is left afterwards."""
    port = int(variables.get("MLOPS_SERVING__PORT") or free_port())
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "MLFLOW_"))}
    environment |= {"MLOPS_ROOT": str(root), "MLOPS_SERVING__PORT": str(port)}
    # `--production` means production, which asks for a key, unless somebody says otherwise.
    environment |= {"MLOPS_ENVIRONMENT": "development", **variables}
    log = root / f"serve-{port}.log"
    command = [
        sys.executable,
        "-m",
        program,
        "serve",
        *arguments,
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = RunningService(process, port, log)
    try:
        _wait_until_ready(service)
        yield service
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_until_ready(service: RunningService, seconds: float = 120) -> None:
    """Until each of a few connections in a row, so each worker, says that a model serves."""
    deadline = time.monotonic() + seconds
    ready = 0
    while ready < 8:
        assert service.process.poll() is None, service.output()
        assert time.monotonic() < deadline, service.output()
        try:
            ready = ready + 1 if httpx.get(f"{service.url}/ready").status_code == 200 else 0
        except httpx.TransportError:
            ready = 0
        if not ready:
            time.sleep(0.1)
