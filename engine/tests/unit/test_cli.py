"""The door: help is instant, errors are text, and exit codes mean what the design says."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from goldpath.cli import app as door
from goldpath.settings import Settings

PACKAGE = "goldpath"


def run(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", PACKAGE, *arguments],
        cwd=root,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        encoding=environment.get("PYTHONIOENCODING"),
        check=False,
        timeout=120,
    )


def test_help_imports_nothing_heavy() -> None:
    program = f"""
import sys
sys.argv = ["x", "--help"]
from {PACKAGE} import run
try:
    run()
except SystemExit:
    pass
heavy = set("mlflow sklearn ibis evidently jinja2 pandas numpy optuna pydantic".split())
print("HEAVY", sorted(heavy & set(sys.modules)))
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "HEAVY []" in done.stdout
    assert "batch-predict" in done.stdout


def test_error_is_one_sentence_and_a_fix(project: Settings) -> None:
    done = run(project.root, "sample", "--drift", "colour=1")
    assert done.returncode == 2
    assert "'colour' is not a numeric feature" in done.stderr
    assert "Fix:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_fault_of_our_own_is_no_checks_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(arguments: list[str]) -> None:
        raise FileExistsError("reports/drift")

    monkeypatch.setattr(door, "app", broken)
    with pytest.raises(SystemExit) as ended:
        door.run(arguments=["drift-check"])
    assert ended.value.code == 2, "1 would be a drift"
    assert "FileExistsError: reports/drift" in capsys.readouterr().err


ENDED = """
import sys
from goldpath.cli import app as door

def add(name, work):
    door.app.command(name)(lambda: work())

def fail(error):
    raise error

def say_much():
    while True:
        print("a line", flush=True)

add("pipe", lambda: fail(BrokenPipeError(32, "Broken pipe")))
add("much", say_much)
add("stop", lambda: fail(KeyboardInterrupt()))
add("end", lambda: fail(EOFError()))
door.run(arguments=sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("pipe", 2, "RuntimeError: [Errno 32] Broken pipe"),
        ("stop", 130, ""),
        ("end", 1, "Aborted"),
        ("unknown", 2, "No such command"),
    ],
)
def test_a_broken_pipe_is_no_checks_answer_and_typers_own_codes_stay(
    word: str, code: int, said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDED, word], capture_output=True, text=True, check=False
    )
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert ("Traceback" in done.stderr) == (word == "pipe")


def test_a_reader_that_goes_away_ends_a_command_without_a_traceback(tmp_path: Path) -> None:
    messages = tmp_path / "messages"
    with (
        messages.open("w") as told,
        subprocess.Popen(
            [sys.executable, "-c", ENDED, "much"], stdout=subprocess.PIPE, stderr=told
        ) as command,
    ):
        assert command.stdout
        assert command.stdout.readline() == b"a line\n"
        command.stdout.close()
        assert command.wait(60) == 2
    assert messages.read_text() == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_letter_that_the_terminal_lacks_is_no_traceback(project: Settings, encoding: str) -> None:
    lines = [f"{number % 7},{number % 3}" for number in range(300)]
    (project.root / "cities.csv").write_text("\n".join(["łódź,y", *lines]), "utf-8")

    made = run(
        *(project.root, "adopt", "--data", "cities.csv", "--target", "y"),
        PYTHONIOENCODING=encoding,
    )

    assert made.returncode == 0, made.stderr
    assert "łódź".encode(encoding, errors="replace").decode(encoding) in made.stdout


def test_error_as_json_is_one_object(project: Settings) -> None:
    done = run(project.root, "sample", "--drift", "colour=1", "--json")
    assert json.loads(done.stdout)["exit_code"] == 2
    assert done.returncode == 2


def test_outside_a_project_the_error_says_so(tmp_path: Path) -> None:
    done = run(tmp_path, "status")
    assert done.returncode == 2
    assert "no config/project.yaml" in done.stderr


def test_training_before_data_names_the_command(project: Settings) -> None:
    done = run(project.root, "train")
    assert done.returncode == 2
    assert "make data" in done.stderr


def test_every_command_takes_json() -> None:
    from typer.main import get_command

    from goldpath.cli.app import app

    def leaves(command: Any, name: str) -> list[tuple[str, Any]]:
        below = getattr(command, "commands", {})
        inner = [leaf for key, found in below.items() for leaf in leaves(found, f"{name} {key}")]
        # A group that runs by itself, such as `data`, is a command, too.
        itself = getattr(command, "invoke_without_command", False) or not below
        return [*([(name, command)] if itself else []), *inner]

    commands = leaves(get_command(app), "")
    without = [
        name
        for name, command in commands
        if not any("--json" in option.opts for option in command.params)
    ]
    assert len(commands) >= 30
    assert without == []
