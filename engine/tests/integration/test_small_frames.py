"""Any small file that can be adopted ends in a registered version, or in an error with its fix."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from goldpath.contract import load_contract
from goldpath.errors import ProjectError
from goldpath.jobs.data.adoption import adopt_file
from goldpath.jobs.data.refresh import refresh
from goldpath.jobs.training.results import TrainingResult
from goldpath.jobs.training.stages import train
from goldpath.settings import Settings, load_settings

from ..conftest import make_project
from ..counts import examples
from ..ready_made import add_ready_made

pytestmark = pytest.mark.slow

Columns = dict[str, Any]
Draw = Callable[[np.random.Generator, int], Any]


def trained_on(root: Path, columns: Columns, **asked: str) -> tuple[Settings, TrainingResult]:
    """Adopt a file with the target `y`, and train on it."""
    settings = make_project(root)
    add_ready_made(settings)
    file = settings.root / "small.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([[*columns], *zip(*columns.values(), strict=True)])
    adopt_file(settings, file, "y", asked.get("id"), asked.get("time"), asked.get("problem"))
    settings = load_settings(settings.root)
    contract = load_contract(settings.root)
    refresh(settings, contract)
    return settings, train(settings, contract)


def report(settings: Settings, name: str) -> Any:
    """A report as a reader that is strict about JSON sees it."""

    def refuse(word: str) -> NoReturn:
        raise AssertionError(f"{word} in {name}")

    return json.loads((settings.reports / name).read_text(), parse_constant=refuse)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TRIALS": 1, "CV_FOLDS": 2, "BOOTSTRAP_SAMPLES": 100}.items():
        monkeypatch.setenv(f"MLOPS_TRAINING__{name}", str(value))
    monkeypatch.setenv("MLOPS_VALIDATION__STABILITY_FOLDS", "0")


def test_three_positive_rows_and_a_slice_of_one_class_give_a_version(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    job = random.choice(["a", "b", "c"], 1000)
    positive = np.isin(np.arange(1000), np.flatnonzero(job != "c")[[7, 99, 300]])
    columns: Columns = {
        "x": (random.normal(size=1000) + 2 * positive).round(3),
        "job": job,
        "y": np.where(positive, "yes", "no"),
    }
    settings, result = trained_on(tmp_path, columns)
    assert result.model_version == "1"
    slices = report(settings, "evaluation.json")["slices"]
    assert [item["metric"] for item in slices if item["name"] == "job = c"] == [None]
    assert report(settings, "training.json")["model_version"] == "1"


def test_visits_of_patients_are_split_by_patient(tmp_path: Path) -> None:
    random = np.random.default_rng(6)
    patient = np.repeat(np.arange(150), 3)
    lab = random.normal(size=150)[patient] + random.normal(size=450) * 0.3
    columns: Columns = {
        "patient_id": patient + 100_000,
        "visit": np.tile([1, 2, 3], 150),
        "lab": lab.round(3),
        "y": np.where(lab + random.normal(size=450) > 0, "YES", "NO"),
    }
    settings, result = trained_on(tmp_path, columns, id="patient_id")
    assert result.n_train + result.n_test == 450
    assert "all rows of one patient_id on one side" in result.split
    again = train(settings, load_contract(settings.root), "again")
    assert again.predictions_digest == result.predictions_digest


# Hundreds of cells drawn one by one would take Hypothesis longer than the training: it draws what
# the columns are and a seed.
COLUMNS: dict[str, Draw] = {
    "number": lambda draw, rows: draw.normal(0, 10.0 ** draw.integers(-3, 6), rows).round(4),
    "few numbers": lambda draw, rows: draw.choice([0, 1, 1, 1, 7], rows),
    "words": lambda draw, rows: draw.choice(["a", "b", "b", "b", "NA", ""], rows),
    "nearly constant": lambda draw, rows: np.where(draw.random(rows) < 0.02, "odd", "same"),
    "nearly nothing": lambda draw, rows: np.where(draw.random(rows) < 0.05, "3", ""),
    "copies": lambda draw, rows: np.resize(draw.normal(size=rows // 3).round(3), rows),
}
TARGETS: dict[str, Draw] = {
    "values": lambda draw, rows: draw.normal(0, 100, rows).round(3),
    "rare": lambda draw, rows: np.where(draw.random(rows) < 0.03, "yes", "no"),
    "three": lambda draw, rows: draw.choice(["a", "a", "a", "a", "b", "c"], rows),
    "mostly zero": lambda draw, rows: np.where(
        draw.random(rows) < 0.3, draw.gamma(2, 9, rows).round(2), 0.0
    ),
}


def test_any_small_frame_is_trained_on_or_refused_with_a_fix(tmp_path: Path) -> None:
    registered: list[TrainingResult] = []

    @hypothesis_settings(
        max_examples=examples(2, 60),
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def is_trained_on_or_refused(data: st.DataObject) -> None:
        rows = data.draw(st.integers(90, 160), "rows")
        kinds = data.draw(st.lists(st.sampled_from([*COLUMNS]), min_size=1, max_size=3), "kinds")
        target = data.draw(st.sampled_from([*TARGETS]), "target")
        draw = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "seed"))
        columns = {f"{kind} {at}": COLUMNS[kind](draw, rows) for at, kind in enumerate(kinds)}
        columns["y"] = TARGETS[target](draw, rows)
        shutil.rmtree(tmp_path / "project", ignore_errors=True)
        try:
            settings, result = trained_on(tmp_path / "project", columns, time="none")
        except ProjectError as error:
            assert error.fix  # noqa: PT017
            return
        assert result.model_version == "1"
        report(settings, "evaluation.json")
        report(settings, "training.json")
        registered.append(result)

    is_trained_on_or_refused()
    assert registered  # refusing every frame is no answer
