"""Servers in the background: they start once, say why when they do not, and leave nothing."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from goldpath.services import process_table as process_table_module
from goldpath.services.process_table import Family, Leader, process_table
from goldpath.services.processes import (
    ServerError,
    ServerSpec,
    answers,
    require_free_port,
    server_status,
    start_server,
    stop_server,
)

from ..ports import free_port

WEB = """
import http.server, sys
http.server.ThreadingHTTPServer(
    ("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler
).serve_forever()
"""
DEAF = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
DEAF_TO_BOTH = DEAF + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
SLEEP = "import time; time.sleep(600)"
# Like an Airflow task: in a session of its own, where its parent's signals do not reach it.
WITH_CHILD = (
    "import subprocess, sys\n"
    f"child = subprocess.Popen([sys.executable, '-c', {DEAF + SLEEP!r}], start_new_session=True)\n"
    "print('child', child.pid, flush=True)\n"
) + WEB

MakeSpec = Callable[..., ServerSpec]


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def run_directory(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    for pid_file in (tmp_path / "run").glob("*.json"):
        stop_server(pid_file.stem, tmp_path / "run", grace=2)


@pytest.fixture
def spec(port: int, tmp_path: Path) -> MakeSpec:
    url = f"http://127.0.0.1:{port}/"

    def make(programs: dict[str, str] | None = None, **changes: object) -> ServerSpec:
        commands = {
            name: [sys.executable, "-c", program, str(port)]
            for name, program in (programs or {"web": WEB}).items()
        }
        fields = {"working_directory": tmp_path, "ready_timeout": 60.0, **changes}
        return ServerSpec("little", commands, port, url, url, "servers.mlflow_port", **fields)  # type: ignore[arg-type]

    return make


def leaders(run_directory: Path) -> list[int]:
    content = json.loads((run_directory / "little.json").read_text())
    return [leader["pid"] for leader in content["leaders"]]


def alive(pids: list[int]) -> list[int]:
    return sorted(set(pids) & set(process_table()))


def test_a_started_server_answers_and_a_stopped_one_is_gone(
    spec: MakeSpec, run_directory: Path, port: int
) -> None:
    status = start_server(spec({"web": WEB, "worker": SLEEP}), run_directory)
    pids = leaders(run_directory)
    assert status.state == "started"
    assert answers(status.url)
    assert alive(pids) == sorted(pids)
    assert server_status("little", run_directory).state == "running"

    assert stop_server("little", run_directory).state == "stopped"
    assert alive(pids) == []
    assert not (run_directory / "little.json").exists()
    assert server_status("little", run_directory).state == "not running"
    require_free_port(port, "servers.mlflow_port")


def test_starting_twice_says_already_running(spec: MakeSpec, run_directory: Path) -> None:
    start_server(spec(), run_directory)
    pids = leaders(run_directory)
    again = start_server(spec(), run_directory)
    assert again.state == "already running"
    assert again.url == spec().url
    assert leaders(run_directory) == pids


def test_stopping_what_is_not_running_is_no_error(run_directory: Path) -> None:
    assert stop_server("little", run_directory).state == "not running"


def test_a_busy_port_is_refused_with_the_setting_to_change(
    spec: MakeSpec, run_directory: Path, port: int
) -> None:
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ServerError) as refused:
        start_server(spec(), run_directory)
    assert f"port {port} is in use" in refused.value.message
    assert f"MLOPS_SERVERS__MLFLOW_PORT={port + 1}" in refused.value.fix
    assert not (run_directory / "little.json").exists()


def test_a_dying_command_stops_the_others_and_shows_its_log(
    spec: MakeSpec, run_directory: Path
) -> None:
    dying = "import sys\nfor n in range(30): print('line', n)\nsys.exit('no such database')"
    other = f"import os; open('other.pid', 'w').write(str(os.getpid())); {SLEEP}"
    with pytest.raises(ServerError) as failed:
        start_server(spec({"worker": other, "web": dying}), run_directory)
    assert "web ended with exit code 1" in failed.value.message
    assert "no such database" in failed.value.message
    assert "line 29" in failed.value.message
    assert "line 9\n" not in failed.value.message  # the last 20 lines only
    assert not (run_directory / "little.json").exists()
    pid_file = run_directory.parent / "other.pid"
    if pid_file.exists():
        assert alive([int(pid_file.read_text())]) == []


def test_a_command_that_does_not_exist_is_a_clear_error(
    spec: MakeSpec, run_directory: Path
) -> None:
    broken = replace(spec(), commands={"web": ["/no/such/program"]})
    with pytest.raises(ServerError, match="cannot run /no/such/program"):
        start_server(broken, run_directory)
    assert not (run_directory / "little.json").exists()


def test_a_start_that_takes_too_long_says_what_it_waited_for(
    spec: MakeSpec, run_directory: Path
) -> None:
    slow = spec(ready_timeout=3.0, missing=lambda: "its first table")
    with pytest.raises(ServerError, match="still waiting for its first table after 3 s"):
        start_server(slow, run_directory)
    assert not (run_directory / "little.json").exists()
    assert not answers(slow.url)


def test_a_stale_pid_file_is_no_obstacle_and_its_new_owner_is_left_alone(
    spec: MakeSpec, run_directory: Path
) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    try:
        run_directory.mkdir()
        recycled = {"command": "web", "pid": stranger.pid, "started": "of another process"}
        pid_file = {"url": "", "log": "", "leaders": [recycled]}
        (run_directory / "little.json").write_text(json.dumps(pid_file))

        assert stop_server("little", run_directory).state == "not running"
        (run_directory / "little.json").write_text(json.dumps(pid_file))
        assert start_server(spec(), run_directory).state == "started"
        stop_server("little", run_directory)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_broken_pid_file_is_no_obstacle(spec: MakeSpec, run_directory: Path) -> None:
    run_directory.mkdir()
    (run_directory / "little.json").write_text("{")
    assert start_server(spec(), run_directory).state == "started"


@pytest.mark.parametrize(
    "deafness", [DEAF, DEAF_TO_BOTH], ids=["to SIGINT", "to SIGINT and SIGTERM"]
)
def test_a_server_deaf_to_polite_signals_is_killed(
    spec: MakeSpec, run_directory: Path, deafness: str
) -> None:
    start_server(spec({"web": deafness + WEB}), run_directory)
    pids = leaders(run_directory)
    assert stop_server("little", run_directory, grace=0.5).state == "stopped"
    assert alive(pids) == []


def test_a_deaf_child_in_a_session_of_its_own_is_stopped_too(
    spec: MakeSpec, run_directory: Path
) -> None:
    start_server(spec({"web": WITH_CHILD}), run_directory)
    log = (run_directory / "little-web.log").read_text()
    child = int(log.split("child ")[1].split()[0])
    assert alive([child]) == [child]
    stop_server("little", run_directory, grace=0.5)
    assert alive([child]) == []


def test_what_a_dead_leader_left_behind_is_stopped(spec: MakeSpec, run_directory: Path) -> None:
    start_server(spec({"web": WEB, "worker": SLEEP}), run_directory)
    pids = leaders(run_directory)
    os.kill(pids[0], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while alive(pids) != [pids[1]] and time.monotonic() < deadline:
        time.sleep(0.05)

    again = start_server(spec({"web": WEB, "worker": SLEEP}), run_directory)
    assert again.state == "started"
    assert alive([pids[1]]) == []


def test_servers_write_compiled_modules(
    spec: MakeSpec, run_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    program = "import os; print(os.environ.get('PYTHONDONTWRITEBYTECODE'), flush=True)\n"
    start_server(spec({"web": program + WEB}, environment={"EXTRA": "1"}), run_directory)
    assert (run_directory / "little-web.log").read_text().startswith("None")


@pytest.mark.parametrize("source", ["the system's default", "ps"])
def test_the_process_table_knows_families_and_start_times(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source == "ps":
        if shutil.which("ps") is None:
            pytest.skip("there is no ps on this machine")
        monkeypatch.setattr(process_table_module, "PROC", tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        found = process_table()[child.pid]
        assert (found.parent, found.group) == (os.getpid(), child.pid)
        assert process_table()[child.pid].started == found.started
        family = Family([Leader("child", child.pid, found.started)])
        assert [process.pid for process in family.living()] == [child.pid]
        assert Family([Leader("child", child.pid, "another start")]).living() == []
    finally:
        child.communicate(b"\n")


@pytest.mark.parametrize("content", ["[]", '"mlflow"', "7", "null", '{"leaders": 1}', "{"])
def test_pid_file_that_is_none_of_ours_is_no_server(tmp_path: Path, content: str) -> None:
    (tmp_path / "mlflow.json").write_text(content)

    assert server_status("mlflow", tmp_path).state == "not running"
