"""The generated README, word by word: every command of its blocks, in order, in a fresh copy."""

import contextlib
import json
import re
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import Bake, BakedProject, Record
from processes import foreground, free_ports, nothing_left_behind, wait_for, with_ports

BLOCK = re.compile(r"^```(?:bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
EXIT_CODE = re.compile(r"#.*\bexits (\d+)")
FOREGROUND = ("make serve", "make serve-prod")
# Run once more at once: what a user does who did not trust the first time.
REPEATED = ("make demo", "make data", "make batch-predict")
# Airflow is asked for a run on its default database; the engine's tests ask it for all of them.
TRIGGER = """
import json, sys, time
from urllib.parse import quote
from goldpath.services.airflow_api import AirflowApi
password = json.load(open(".airflow/passwords.json"))["admin"]
api = AirflowApi(f"http://127.0.0.1:{sys.argv[1]}", "admin", password)
run = f"dags/data_pipeline/dagRuns/{quote(api.trigger('data_pipeline'))}"
while (state := api.get(run)["state"]) not in ("success", "failed"):
    time.sleep(1)
sys.exit(state)
"""


@dataclass(frozen=True)
class Step:
    """A command of the README and the exit code that the README promises."""

    text: str
    code: int = 0

    @property
    def words(self) -> str:
        """The command without its comment."""
        return shlex.join(shlex.split(self.text, comments=True))


def steps(readme: str) -> list[Step]:
    """The commands of all blocks; a command ends with the line that closes its last quote."""
    found = []
    for block in BLOCK.findall(readme):
        pending = ""
        for line in block.splitlines():
            pending = f"{pending}\n{line}" if pending else line
            try:
                words = shlex.split(pending, comments=True)
            except ValueError:
                continue
            if line.endswith("\\"):
                continue
            if words:
                promised = EXIT_CODE.search(pending)
                found.append(Step(pending, int(promised[1]) if promised else 0))
            pending = ""
        assert not pending, f"a command does not end: {pending}"
    return found


def test_readme_shows_the_first_result_on_its_first_screen(default_project: BakedProject) -> None:
    readme = default_project.read("README.md")
    assert [step.text for step in steps(readme)[:2]] == ["make setup", "make demo"]
    assert readme[: readme.index("make demo")].count("\n") < 20


def test_readme_names_every_server_and_step(default_project: BakedProject) -> None:
    """What the golden path covers; a command that leaves the README leaves the test, too."""
    run = " ".join(step.words for step in steps(default_project.read("README.md")))
    for word in ("data", "train-local", "batch-predict", "drift-check", "serve", "adopt"):
        assert f"make {word}" in run or f" {word} " in run
    assert "make lint typecheck test" in run
    for word in ("mlflow-up", "init-mlflow", "monitoring-up", "airflow-up", "airflow-down"):
        assert word in run


@pytest.mark.slow
def test_every_command_of_the_readme_works(
    bake: Bake, installed: BakedProject, tmp_path: Path, record_property: Record
) -> None:
    project = bake()
    ports = free_ports()
    # Airflow's environment takes minutes to install; that bootstrap.py makes it, `installed` shows.
    airflow = {"MLOPS_AIRFLOW_VENV": str(installed.root / ".venv-airflow")}
    environment = {**project.environment, **ports, **airflow}
    outputs: dict[str, str] = {}
    with nothing_left_behind(project.root, ports), contextlib.ExitStack() as servers:
        for step in steps(project.read("README.md")):
            command = ["bash", "-c", with_ports(step.text, ports)]
            if step.words in FOREGROUND:
                log = tmp_path / "server.log"
                server = servers.enter_context(foreground(command, project.root, environment, log))
                wait_for(f"http://127.0.0.1:{ports['MLOPS_SERVING__PORT']}/ready", server, log)
                continue
            for _ in range(2 if step.words in REPEATED else 1):
                started = time.monotonic()
                finished = project.run(*command, timeout=1200, **environment)
                seconds = time.monotonic() - started
                shown = step.words.splitlines()[0][:80]
                record_property("figure", f"{seconds:6.1f} s  exit {finished.code}  {shown}")
                assert finished.code == step.code, f"{step.text}\n{finished.output}"
            if step.words == "make airflow-up":
                trigger = (".venv/bin/python", "-c", TRIGGER, ports["MLOPS_SERVERS__AIRFLOW_PORT"])
                run = project.run(*trigger, timeout=600, **environment)
                assert run.output.splitlines()[-1] == "success", run.output
            outputs[step.words] = finished.output
    check_effects(project, outputs)


def check_effects(project: BakedProject, outputs: dict[str, str]) -> None:
    """That the commands did what the README says, not only that they ended well."""
    training = json.loads(project.read("reports/training.json"))
    wanted = {"problem_type", "metric", "value", "interval", "baseline", "n_train", "n_test"}
    assert wanted | {"model_version"} <= set(training)
    assert training["metric"] == "roc_auc"
    low, high = training["interval"]
    assert training["baseline"] < low < training["value"] < high
    assert json.loads(project.read("reports/drift.json"))["verdict"] == "drift"
    (answer,) = (json.loads(out) for words, out in outputs.items() if "/predict" in words)
    assert answer["prediction"] in ("no", "yes")
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    (offer,) = (json.loads(out) for words, out in outputs.items() if "/retention-offer" in words)
    assert offer["churn_probability"] == pytest.approx(answer["probabilities"]["yes"])
    (tested,) = (out for words, out in outputs.items() if words == "make lint typecheck test")
    summary = next(line for line in reversed(tested.splitlines()) if " passed" in line)
    assert not re.search(r"skipped|failed|error", summary), summary
    (ready,) = (json.loads(out) for words, out in outputs.items() if words.endswith("/ready"))
    assert ready["ready"] is True
    assert (project.root / "config" / "project.yaml").read_text().count("churned") >= 1
