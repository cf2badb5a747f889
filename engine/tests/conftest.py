"""Fixtures that every test may use: an empty project, and one that was trained once."""

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Tests run side by side; OpenMP threads that spin on the same cores make each of them slower.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest

from goldpath.contract import Contract, load_contract
from goldpath.jobs.data.refresh import DataResult, refresh
from goldpath.jobs.promotion.promote import PromotionResult, promote
from goldpath.jobs.training.results import TrainingResult
from goldpath.jobs.training.stages import train
from goldpath.sample.customers import write_sample
from goldpath.settings import Settings, load_settings

from .counts import load_profile
from .figures import Figures
from .locations import PROJECT
from .prepared_projects import PreparedProjects
from .ready_made import add_ready_made
from .skipped_in_ci import NoSkips
from .where_time_goes import TimeByFile

load_profile()  # before the first test module is imported
# The tests start the command line a few hundred times: a second each without compiled files.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

SAMPLE_CONTRACT = Path(__file__).parent / "sample_contract.yaml"
ROWS = 3_000


def pytest_configure(config: pytest.Config) -> None:
    """Let each run say what it spent its time on and counted, and CI refuse skips."""
    config.pluginmanager.register(Figures(), "figures")
    config.pluginmanager.register(TimeByFile(), "time-by-file")
    config.pluginmanager.register(NoSkips(), "no-skips")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what needs an AWS account, unless `-m` asks for it by name, and Ray without Ray.

    No lock has Ray (200 MB): its test is done where somebody has installed it.
    """
    left_out = needing_an_account(config.option.markexpr, items)
    if importlib.util.find_spec("ray") is None:
        left_out += [item for item in items if item.get_closest_marker("ray")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def needing_an_account(markers: str, items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests that `markers`, the value of `-m`, does not ask for.

    `addopts` with a `-m` of its own would not do: `-m slow` on the command line takes its place.
    """
    if re.search(r"\baws\b", markers):
        return []
    return [item for item in items if item.get_closest_marker("aws")]


@dataclass(frozen=True)
class Trained:
    """A project with data and a champion."""

    settings: Settings
    contract: Contract
    data: DataResult
    candidate: TrainingResult
    gate: PromotionResult


@pytest.fixture(autouse=True)
def clean_environment() -> Iterator[None]:
    """No variable of the person who runs the tests changes what they see."""
    forget_variables()
    yield
    forget_variables()


def forget_variables() -> None:
    """Delete every setting for good.

    MLflow and `load_settings` set variables for child processes, in fixtures, too: what is put back
    after a test would lead the next module's fixture to another fixture's registry.
    """
    for name in [name for name in os.environ if name.startswith(("MLOPS_", "MLFLOW_"))]:
        if name != "MLOPS_AIRFLOW_VENV":
            del os.environ[name]


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """A project with its configuration and the sample's contract, and nothing else."""
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def prepared_projects(tmp_path_factory: pytest.TempPathFactory) -> PreparedProjects:
    """Projects that are filled once and put back for each test that begins with them."""
    return PreparedProjects(tmp_path_factory.mktemp("prepared"), make_project)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A project whose champion was trained on a small sample; tests must not change it."""
    forget_variables()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_TRAINING__TRIALS", "3")
        settings = make_project(tmp_path_factory.mktemp("trained"))
    add_ready_made(settings)
    contract = load_contract(settings.root)
    write_sample(settings.root / contract.source.path, ROWS, 7, {})
    data = refresh(settings, contract)
    candidate = train(settings, contract, "first")
    gate = promote(settings, contract, candidate.model_version)
    forget_variables()
    return Trained(settings, contract, data, candidate, gate)


def make_project(root: Path) -> Settings:
    """Copy the configuration, with the sample's contract even where `adopt` wrote another."""
    # Without the example's further sources: who tests with some brings them.
    shutil.copytree(PROJECT / "config", root / "config", ignore=shutil.ignore_patterns("sources"))
    shutil.copy(SAMPLE_CONTRACT, root / "config" / "project.yaml")
    # A million rows are for real models; test_compiled.py proves what finds the faults.
    training = root / "config" / "training.yaml"
    text = training.read_text(encoding="utf-8")
    training.write_text(text.replace("parity_rows: 1000000 ", "parity_rows: 5000 "), "utf-8")
    # The sample has enough rows a week; tests of windows log days.
    monitoring = root / "config" / "monitoring.yaml"
    text = monitoring.read_text(encoding="utf-8")
    monitoring.write_text(text.replace("window: 1w ", "window: 1d "), "utf-8")
    return load_settings(root)
