"""AutoML in the background: each job is a process of its own, known by a folder.

The process inherits a lock on `alive.lock`, which the operating system frees when it ends, however
it ends. So a job whose process was killed is never shown as running, whoever asks, also after the
service was started again.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from goldpath.errors import ProjectError
from goldpath.models.folders import VARIABLE
from goldpath.reports import write_report
from goldpath.settings import Settings

JOB_PATTERN = r"^[0-9a-f]{32}$"
STATE_FILE, REQUEST_FILE, ROWS_FILE = "state.json", "request.json", "rows.json"
PROCESS_FILE, ALIVE_FILE, LOG_FILE = "process.json", "alive.lock", "job.log"
FINAL = frozenset({"finished", "failed", "cancelled"})
PATIENCE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
SUFFIXES = (".csv", ".parquet")


class JobError(ProjectError):
    """A job that cannot be started, or is not what the request takes it for."""


class NoJobError(JobError):
    """There is no such job."""


class BusyError(JobError):
    """As many jobs run as may."""


class JobEndedError(JobError):
    """The job came to its end already."""


@dataclass(frozen=True)
class JobRequest:
    """What a job shall do.

    Attributes:
        problem_type: Classification, regression or clustering.
        experiment_id: Where its run is kept; not for the gold table.
        target: The target's column; None for clusters and for the gold table.
        budget_seconds: For the search.
        trials: The most configurations.
        metric: What to optimise.
        time_ordered: Whether the rows are in the order of time; None: to be found out.
        groups: Column whose rows stay together; False for none; None: to be found out.
        latency_ms: Milliseconds that the model may take for one row.
        file: A file below `data/`.
        has_rows: Whether rows came with the request. Without rows and file: the gold table.
    """

    problem_type: str
    experiment_id: str
    target: str | None = None
    budget_seconds: float | None = None
    trials: int | None = None
    metric: str | None = None
    time_ordered: bool | None = None
    groups: str | Literal[False] | None = None
    latency_ms: float | None = None
    file: str | None = None
    has_rows: bool = False

    @property
    def source(self) -> str:
        """Where its rows come from."""
        return "rows" if self.has_rows else "file" if self.file else "gold"


@dataclass(frozen=True)
class Job:
    """What is known of a job.

    Attributes:
        job_id: Its id.
        state: Queued, running, finished, failed or cancelled.
        source: Where its rows come from: gold, rows or file.
        created_at: UTC, ISO 8601.
        finished_at: The same; None until then.
        progress: Configurations tried, seconds and best score so far.
        result: Model id, scores and where they are kept, once finished.
        error: What went wrong.
        fix: What to do about it.
    """

    job_id: str
    state: Literal["queued", "running", "finished", "failed", "cancelled"]
    source: str
    created_at: str
    finished_at: str | None = None
    progress: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    error: str = ""
    fix: str = ""


class JobStore:
    """The jobs of a project.

    Args:
        settings: Say where they are kept and how many may run.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.root / settings.automl.folder / "jobs"

    def submit(self, request: JobRequest, rows: Sequence[Mapping[str, Any]] | None = None) -> Job:
        """Start a job.

        Args:
            request: What it shall do.
            rows: Its rows, where `request.has_rows`; the job deletes its copy of them.

        Raises:
            BusyError: If as many run as may.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._one_at_a_time():
            running = [job for job in self.jobs() if job.state not in FINAL]
            if len(running) >= self.settings.automl.jobs:
                raise BusyError(
                    f"{len(running)} job(s) run, and {self.settings.automl.jobs} may: "
                    f"{', '.join(job.job_id for job in running)}",
                    "wait for it, cancel it, or raise MLOPS_AUTOML__JOBS",
                )
            job = Job(uuid.uuid4().hex, "queued", request.source, _now())
            self._prune()
            folder = self.folder / job.job_id
            folder.mkdir(mode=0o700)
            write_report(folder / REQUEST_FILE, asdict(request))
            if rows is not None:
                write_report(folder / ROWS_FILE, list(rows))
            self._start(folder, job)
            return job

    def get(self, job_id: str) -> Job:
        """A job as it is now.

        Raises:
            NoJobError: If there is none of this id.
        """
        job = self._read(job_id)
        if job.state in FINAL or self._is_alive(job_id):
            return job
        # The process wrote its state before it let the lock go.
        job = self._read(job_id)
        if job.state in FINAL:
            return job
        return self._end(
            job,
            "failed",
            "its process ended without a result: it was killed, or the machine was restarted",
            f"read {self.settings.shown(self.folder / job_id / LOG_FILE)} and start it again",
        )

    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        found = [self.get(file.parent.name) for file in self.folder.glob(f"*/{STATE_FILE}")]
        return sorted(found, key=lambda job: (job.created_at, job.job_id))

    def cancel(self, job_id: str) -> Job:
        """Stop a job and every process that it has started.

        Raises:
            NoJobError: If there is none of this id.
            JobEndedError: If it came to its end before.
        """
        job = self.get(job_id)
        if job.state in FINAL:
            raise JobEndedError(f"the job {job_id} is {job.state} already", "nothing is to be done")
        group = int(json.loads((self.folder / job_id / PROCESS_FILE).read_text())["pid"])
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE
        while self._is_alive(job_id) and time.monotonic() < deadline:
            time.sleep(0.05)
        # Whoever of the group is left, such as helpers that were in the middle of a fit.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        while self._is_alive(job_id):
            time.sleep(0.02)
        job = self._read(job_id)
        return job if job.state == "finished" else self._end(job, "cancelled")

    def request(self, job_id: str) -> JobRequest:
        """What a job was asked for."""
        self._read(job_id)
        text = (self.folder / job_id / REQUEST_FILE).read_text(encoding="utf-8")
        return JobRequest(**json.loads(text))

    def take_rows(self, job_id: str) -> list[dict[str, Any]]:
        """The rows that came with a request; they are deleted, since they may be personal."""
        file = self.folder / job_id / ROWS_FILE
        rows: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()
        return rows

    def note(self, job_id: str, progress: Mapping[str, Any]) -> None:
        """Say how far a job is; called by its own process."""
        self._write(replace(self._read(job_id), state="running", progress=dict(progress)))

    def finish(self, job_id: str, result: Mapping[str, Any]) -> None:
        """Keep a job's result; called by its own process."""
        job = replace(self._read(job_id), state="finished", finished_at=_now(), result=dict(result))
        self._write(job)

    def fail(self, job_id: str, error: str, fix: str) -> None:
        """Keep why a job failed; called by its own process."""
        self._end(self._read(job_id), "failed", error, fix)

    def _prune(self) -> None:
        """Delete what is kept of the oldest jobs; their models lie elsewhere and stay."""
        ended = [job for job in self.jobs() if job.state in FINAL]
        # With the new one there are as many as may be kept.
        for job in ended[: max(0, len(ended) + 1 - self.settings.automl.kept_jobs)]:
            shutil.rmtree(self.folder / job.job_id)

    def _start(self, folder: Path, job: Job) -> None:
        environment = {
            **os.environ,
            "MLOPS_ROOT": str(self.settings.root),
            VARIABLE: self.settings.model,
        }
        environment.pop("PROMETHEUS_MULTIPROC_DIR", None)
        package = self.settings.project.name
        with (folder / ALIVE_FILE).open("w") as alive, (folder / LOG_FILE).open("wb") as log:
            fcntl.flock(alive, fcntl.LOCK_EX)
            # With its state others see the job, so the lock must be there before.
            self._write(job)
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    package,
                    "automl",
                    "--job",
                    folder.name,
                    "--json",
                ],
                cwd=self.settings.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(alive.fileno(),),
            )
            write_report(folder / PROCESS_FILE, {"pid": process.pid})
        # Somebody has to ask for its exit code, or a dead job stays in the process table.
        threading.Thread(target=process.wait, daemon=True, name=f"job-{folder.name[:8]}").start()

    def _is_alive(self, job_id: str) -> bool:
        try:
            with (self.folder / job_id / ALIVE_FILE).open("r") as alive:
                fcntl.flock(alive, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    def _read(self, job_id: str) -> Job:
        if not re.match(JOB_PATTERN, job_id):
            raise NoJobError(f"{job_id[:80]!r} is no job's id", "POST /api/automl/models/train")
        try:
            text = (self.folder / job_id / STATE_FILE).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise NoJobError(
                f"there is no job {job_id}", "POST /api/automl/models/train starts one"
            ) from error
        return Job(**json.loads(text))

    def _end(
        self, job: Job, state: Literal["failed", "cancelled"], error: str = "", fix: str = ""
    ) -> Job:
        ended = replace(job, state=state, finished_at=_now(), error=error, fix=fix)
        (self.folder / job.job_id / ROWS_FILE).unlink(missing_ok=True)
        self._write(ended)
        return ended

    def _write(self, job: Job) -> None:
        write_report(self.folder / job.job_id / STATE_FILE, asdict(job))

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        with (self.folder / "start.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def data_file(root: Path, name: str) -> Path:
    """A file below `data/`, however it is written.

    Raises:
        JobError: If it lies elsewhere, also by a link, is missing or of another kind.
    """
    data = (root / "data").resolve()
    file = (data / name.replace("\0", "?").removeprefix("data/")).resolve()
    if "\0" in name or not file.is_relative_to(data) or file.suffix not in SUFFIXES:
        raise JobError(
            f"{name[:200]!r} is no file that a job may read",
            f"name a file below data/ that ends with {' or '.join(SUFFIXES)}",
        )
    if not file.is_file():
        raise JobError(f"there is no file {name[:200]!r} below data/", "put it there first")
    return file


def _now() -> str:
    return datetime.now(UTC).isoformat()
