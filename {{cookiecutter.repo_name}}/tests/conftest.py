"""A small project to test with: this one's configuration, and a sample of its data."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from goldpath import Contract, Model, Settings, load_contract, load_settings

from {{ cookiecutter.package_name }}.project import project

ROOT = Path(__file__).resolve().parents[1]
OWN_DATA = ROOT / "tests" / "data"
"""A few rows of each source that `make add-source` has added, as in `data/`, which git leaves out."""
SAMPLE_ROWS = 2_000
FURTHER = sorted(file.parent.name for file in ROOT.glob("models/*/project.yaml"))
MODELS = ["", *FURTHER]
"""The main model, which goes by no name here, and those that `make add-model` has added."""
# A small run: few trials, and a proof of the compiled form on few rows.
SMALL = {"MLOPS_TRAINING__TRIALS": "3", "MLOPS_TRAINING__PARITY_ROWS": "5000"}


def definitions_of(model: str) -> Model:
    """What `project.py` hands over for one of `MODELS`."""
    return project.for_model(model, FURTHER).definitions


@dataclass(frozen=True)
class Workplace:
    """A folder with this project's configuration, where commands run as they do in earnest."""

    root: Path

    def run(self, *command: str, expect: int = 0) -> dict[str, Any]:
        """Run a command of this project with `--json` and return its result."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLOPS_", "MLFLOW_"))}
        done = subprocess.run(
            [sys.executable, "-m", project.name, *command, "--json"],
            cwd=self.root,
            env={**kept, **SMALL, "MLOPS_ROOT": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == expect, done.stdout[-2000:] + done.stderr[-2000:]
        result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        return result

    @property
    def settings(self) -> Settings:
        """The settings of the workplace."""
        return load_settings(self.root, project=project)


@pytest.fixture(scope="session")
def contract() -> Contract:
    """What a row of this project's data is, as the main model reads it."""
    return load_contract(ROOT, model="")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A workplace with the sample, and what `tests/data` has for further sources."""
    root = tmp_path_factory.mktemp("workplace")
    for folder in ("config", "models"):
        if (ROOT / folder).is_dir():
            shutil.copytree(ROOT / folder, root / folder)
    if OWN_DATA.is_dir():
        shutil.copytree(OWN_DATA, root / "data")
    for file in (root / "config" / "sources").glob("*.yaml"):
        read_query_from_file(file)
    place = Workplace(root)
    place.run("sample", "--rows", str(SAMPLE_ROWS))
    return place


@pytest.fixture(scope="session")
def checked(workplace: Workplace) -> dict[str, Any]:
    """What `check` says of each of `MODELS`."""
    found = workplace.run("check")
    return {"": found, **found["models"]}


def read_query_from_file(file: Path) -> None:
    """Let a source that is a query of a database read `tests/data/NAME.csv` instead."""
    contract = yaml.safe_load(file.read_text(encoding="utf-8"))
    if "query" in contract["source"]:
        contract["source"] = {"path": f"data/{file.stem}.csv"}
        file.write_text(yaml.safe_dump(contract), encoding="utf-8")


@dataclass(frozen=True)
class Trained:
    """A workplace after the whole path, and what each command said."""

    place: Workplace
    data: dict[str, Any]
    training: dict[str, Any]
    batch: dict[str, Any]


@pytest.fixture(scope="session")
def trained(workplace: Workplace) -> Trained:
    """Data, a trained and promoted champion, and a scored gold table."""
    data = workplace.run("data")
    training = workplace.run("train", "--promote")
    return Trained(workplace, data, training, workplace.run("batch-predict"))
