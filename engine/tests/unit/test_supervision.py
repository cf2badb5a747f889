"""A supervised server's commands are kept alive, and what was started again is shown."""

import json
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from goldpath.services.process_table import SUPERVISOR, Family, PidFile, process_table
from goldpath.services.processes import (
    ServerError,
    ServerSpec,
    answers,
    server_status,
    shown_servers,
    start_server,
    stop_server,
)
from goldpath.services.supervision import Heartbeats

from ..ports import free_port

WEB = """
import http.server, sys
http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler
).serve_forever()
"""
SLEEP = "import time; time.sleep(600)"
# A worker of the same process group, which outlives its parent.
WITH_WORKER = (
    "import pathlib, subprocess, sys\n"
    f"worker = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
    "pathlib.Path(sys.argv[2]).write_text(str(worker.pid))\n"
) + SLEEP


@pytest.fixture
def run_directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    stop_server("mlflow", tmp_path / "run", grace=2)


def start(run_directory: Path, port: int, worker: str = SLEEP, missing: str = "") -> PidFile:
    url = f"http://127.0.0.1:{port}/"
    worker_file = str(run_directory / "worker.pid")
    commands = {
        "web": [sys.executable, "-c", WEB, str(port)],
        "worker": [sys.executable, "-c", worker, str(port), worker_file],
    }
    spec = ServerSpec(
        name="mlflow",
        commands=commands,
        port=port,
        ready_url=url,
        url=url,
        port_setting="servers.mlflow_port",
        ready_timeout=60,
        missing=lambda: missing,
        supervised=True,
    )
    start_server(spec, run_directory)
    return wait_for(run_directory, lambda found: len(found.leaders) == 3)


def wait_for(
    run_directory: Path, fulfils: Callable[[PidFile], bool], seconds: float = 15
) -> PidFile:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = PidFile.read(run_directory / "mlflow.json")
        if found and fulfils(found):
            return found
        time.sleep(0.05)
    raise AssertionError((run_directory / "mlflow.json").read_text())


def pid_of(found: PidFile, command: str) -> int:
    return next(leader.pid for leader in found.leaders if leader.command == command)


def test_a_killed_command_is_back_counted_and_shown(run_directory: Path) -> None:
    found = start(run_directory, free_port(), WITH_WORKER)
    assert [leader.command for leader in found.leaders] == [SUPERVISOR, "web", "worker"]
    assert server_status("mlflow", run_directory).supervision == ""
    leftover = int((run_directory / "worker.pid").read_text())

    os.kill(pid_of(found, "worker"), signal.SIGKILL)
    again = wait_for(
        run_directory,
        lambda now: pid_of(now, "worker") != pid_of(found, "worker"),
    )

    assert again.restarts == {"worker": 1}
    assert pid_of(again, "web") == pid_of(found, "web")
    assert leftover not in process_table()
    assert "worker ended once" in shown_servers(run_directory)["mlflow"]
    log = (run_directory / "mlflow-supervisor.log").read_text()
    assert "worker ended with exit code -9" in log

    everything = Family(again.leaders)
    assert stop_server("mlflow", run_directory).state == "stopped"
    assert everything.living() == []
    assert shown_servers(run_directory) == {}


def test_a_server_whose_command_is_being_restarted_is_running(run_directory: Path) -> None:
    port = free_port()
    found = start(run_directory, port)
    os.kill(pid_of(found, "web"), signal.SIGKILL)
    wait_for(run_directory, lambda now: now.restarts == {"web": 1})

    assert start(run_directory, port).supervisor == found.supervisor

    back = wait_for(run_directory, lambda now: pid_of(now, "web") != pid_of(found, "web"))
    assert back.supervisor == found.supervisor
    deadline = time.monotonic() + 10
    while not answers(found.url) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert answers(found.url)


def test_a_command_that_ends_while_the_server_starts_stops_all_of_it(run_directory: Path) -> None:
    port = free_port()
    with pytest.raises(ServerError, match=r"(?s)worker ended while.*no such database") as failed:
        start(run_directory, port, "raise SystemExit('no such database')", missing="the database")

    assert "mlflow-worker.log" in failed.value.fix
    assert not (run_directory / "mlflow.json").exists()
    assert not answers(f"http://127.0.0.1:{port}/")


def test_a_killed_supervisor_is_shown_and_the_next_start_stops_the_rest(
    run_directory: Path,
) -> None:
    port = free_port()
    found = start(run_directory, port)
    os.kill(pid_of(found, SUPERVISOR), signal.SIGKILL)
    deadline = time.monotonic() + 10
    while pid_of(found, SUPERVISOR) in process_table() and time.monotonic() < deadline:
        time.sleep(0.05)

    assert "its supervisor has ended: make mlflow-up" in shown_servers(run_directory)["mlflow"]
    again = start(run_directory, port)
    assert Family(found.leaders).living() == []
    assert again.supervisor != found.supervisor


def test_a_pid_file_without_counts_is_read(tmp_path: Path) -> None:
    # As the last version of the engine wrote it.
    content = {"url": "u", "log": "l", "leaders": [{"command": "web", "pid": 1, "started": "x"}]}
    (tmp_path / "mlflow.json").write_text(json.dumps(content))
    found = PidFile.read(tmp_path / "mlflow.json")
    assert found is not None
    assert (found.restarts, found.supervisor) == ({}, None)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits a process that runs")
def test_a_full_disk_ends_no_supervisor(run_directory: Path) -> None:
    """Neither its pid file nor its log can be written; both go on when there is room again."""
    found = start(run_directory, free_port())
    room = resource.prlimit(pid_of(found, SUPERVISOR), resource.RLIMIT_FSIZE)
    resource.prlimit(pid_of(found, SUPERVISOR), resource.RLIMIT_FSIZE, (0, room[1]))
    os.kill(pid_of(found, "worker"), signal.SIGKILL)
    deadline = time.monotonic() + 15
    while workers_of(found) in ([], [pid_of(found, "worker")]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert PidFile.read(run_directory / "mlflow.json") == found, "there is no room for another"

    resource.prlimit(pid_of(found, SUPERVISOR), resource.RLIMIT_FSIZE, room)

    again = wait_for(run_directory, lambda now: now.restarts == {"worker": 1})
    assert [pid_of(again, "worker")] == workers_of(found)


def workers_of(found: PidFile) -> list[int]:
    """The supervisor's children but for the web server."""
    own = pid_of(found, SUPERVISOR)
    children = (each for each in process_table().values() if each.parent == own)
    return [each.pid for each in children if each.pid != pid_of(found, "web")]


def start_watched(run_directory: Path, is_healthy: str) -> PidFile:
    """Start a worker whose health a web server says.

    Args:
        run_directory: Where the pid file is.
        is_healthy: An expression over `starts`, a file with an x for each start of the worker.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    starts = str(run_directory / "starts")
    web = (
        "import http.server, json, pathlib, sys, time\n"
        "class Handler(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        f"        starts = pathlib.Path({starts!r})\n"
        f"        status = 'healthy' if {is_healthy} else 'unhealthy'\n"
        "        health = {'of_worker': {'status': status}}\n"
        "        self.send_response(200)\n"
        "        self.end_headers()\n"
        "        self.wfile.write(json.dumps(health).encode())\n"
        "http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Handler).serve_forever()"
    )
    worker = f"open({starts!r}, 'a').write('x')\n{SLEEP}"
    spec = ServerSpec(
        name="mlflow",
        commands={
            "worker": [sys.executable, "-c", worker],
            "web": [sys.executable, "-c", web, str(port)],
        },
        port=port,
        ready_url=url,
        url=url,
        port_setting="servers.mlflow_port",
        supervised=True,
        heartbeats=Heartbeats(url, {"worker": "of_worker"}, longest_silence=1, asked_every=0.2),
    )
    start_server(spec, run_directory)
    return wait_for(run_directory, lambda found: len(found.leaders) == 3)


def test_a_command_that_lives_without_a_heartbeat_is_started_again(run_directory: Path) -> None:
    # Only the first worker is silent, as a scheduler that waits for ever for its own workers.
    found = start_watched(run_directory, "len(starts.read_text()) > 1")

    again = wait_for(run_directory, lambda now: now.restarts == {"worker": 1}, seconds=60)
    again = wait_for(run_directory, lambda now: pid_of(now, "worker") != pid_of(found, "worker"))

    assert pid_of(again, "web") == pid_of(found, "web")
    time.sleep(4)  # it is asked again, and has nothing to say of the second one
    assert PidFile.read(run_directory / "mlflow.json") == again
    log = (run_directory / "mlflow-supervisor.log").read_text()
    assert "worker lives, and has had no heartbeat for too long" in log
    assert "worker was silent; starting it again" in log
    assert "exit code" not in log  # it was ended from here, and did not end by itself
    os.kill(pid_of(again, "worker"), signal.SIGKILL)
    wait_for(run_directory, lambda now: now.restarts == {"worker": 2})
    log = (run_directory / "mlflow-supervisor.log").read_text()
    assert "worker ended with exit code -9" in log


def test_a_command_that_starts_slowly_is_not_ended_for_ever(run_directory: Path) -> None:
    """Each start takes longer than a silence may; a later one is given the time that it needs."""
    start_watched(run_directory, "time.time() > starts.stat().st_mtime + 1.5")

    wait_for(run_directory, lambda now: bool(now.restarts), seconds=60)
    time.sleep(14)

    found = PidFile.read(run_directory / "mlflow.json")
    assert found is not None
    assert found.restarts["worker"] <= 2
    assert [pid_of(found, "worker")] == workers_of(found)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",  # its server was killed meanwhile
        b"HTTP/1.1 200 OK\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\n\r\n[]",
    ],
)
def test_half_an_answer_accuses_nobody_and_ends_no_supervisor(said: bytes) -> None:
    assert silent_by(said) == set()


def test_a_database_that_cannot_be_read_accuses_nobody() -> None:
    """Airflow shows everything as unhealthy then: ending the scheduler would end its tasks."""
    for database, silent in (("unhealthy", set()), ("healthy", {"worker"})):
        health = {"of_worker": {"status": "unhealthy"}, "database": {"status": database}}
        said = b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(health).encode()
        assert silent_by(said, read_from="database") == silent
        assert silent_by(said) == {"worker"}


def silent_by(said: bytes, **options: str) -> set[str]:
    """Who is silent by an answer, byte for byte."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(said)

        thread = Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        found = Heartbeats(url, {"worker": "of_worker"}, **options).silent()  # type: ignore[arg-type]
        thread.join()
    return found
