"""A project's frames and its champion, in a line each, from a notebook in or below its folder."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from goldpath import batch
from goldpath.errors import ProjectError
from goldpath.jobs.batch.work import BatchWork
from goldpath.lake.connection import open_lakehouse
from goldpath.lake.lakehouse import LakehouseError
from goldpath.notebook_access import NotebookAccess
from goldpath.notebooks import NotebookError
from goldpath.project import Project
from goldpath.registry.mlflow_manager import MLflowManager, RegistryError
from goldpath.settings import Settings, SettingsError

from ..conftest import Trained
from ..unit.test_public_api import run_examples_of

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trained")]

OWN = Project(name="customer_churn")


@pytest.fixture
def notebook(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder below the project's, which is the current one."""
    folder = trained.settings.root / "notebooks"
    folder.mkdir(exist_ok=True)
    monkeypatch.chdir(folder)
    yield folder
    folder.rmdir()


def test_each_layer_is_a_frame(trained: Trained, notebook: Path) -> None:
    gold = OWN.frame()
    assert isinstance(gold, pd.DataFrame)
    assert len(gold) == trained.data.silver_rows
    assert gold["event_time"].is_monotonic_increasing
    assert len(OWN.frame("bronze")) == trained.data.bronze_rows
    assert len(OWN.frame("quarantine")) == trained.data.quarantined_rows
    arrow = OWN.frame("silver", as_="arrow", limit=5)
    assert isinstance(arrow, pa.Table)
    assert arrow["customer_id"].to_pylist() == gold["customer_id"].head(5).tolist()
    assert len(OWN.frame("gold.customer_churn", limit=7)) == 7


def test_a_table_is_read_as_it_was(trained: Trained, notebook: Path) -> None:
    then = OWN.frame(snapshot=trained.data.gold_snapshot, limit=3)
    by_run = OWN.frame(snapshot=f"run:{trained.candidate.run_id}", limit=3)
    assert then.equals(by_run)


def test_the_champion_predicts_as_the_batch_does(trained: Trained, notebook: Path) -> None:
    champion = OWN.champion()
    gold = OWN.frame(limit=200)
    gold.index = pd.Index(range(500, 500 + len(gold)))

    found = champion.predict(gold)

    assert champion.version.version == trained.candidate.model_version
    assert champion.threshold == 0.5
    assert champion.contract.feature_names == trained.contract.feature_names
    assert found.index.equals(gold.index)
    begun = BatchWork(
        settings=trained.settings,
        contract=trained.contract,
        lakehouse=open_lakehouse(trained.settings),
        manager=MLflowManager(trained.settings, trained.contract),
        champion=champion.version,
    )
    stored = batch.score_rows(batch.load_rows(begun)).scored.to_pandas()
    both = gold.assign(**found).merge(stored, on=["customer_id", "event_time"])
    assert len(both) == len(gold)
    assert (both["prediction_x"] == both["prediction_y"]).all()
    assert (both["score_x"] == both["score_y"]).all()
    assert champion.predict(gold.to_dict("records")).score.tolist() == found.score.tolist()


def test_what_cannot_be_given_is_named(trained: Trained, notebook: Path) -> None:
    with pytest.raises(LakehouseError, match=r"no table golden\.customer_churn; the lake has"):
        OWN.frame("golden")
    with pytest.raises(NotebookError, match="as_='polars' is no form"):
        OWN.frame(as_="polars")  # type: ignore[call-overload]
    with pytest.raises(ProjectError, match="limit=0 is no number of rows"):
        OWN.frame(limit=0)
    with pytest.raises(NotebookError, match="the rows lack age, which version"):
        OWN.champion().predict(OWN.frame(limit=2).drop(columns="age"))


def test_before_the_first_training_there_is_no_champion(
    project: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project.root)
    with pytest.raises(RegistryError, match="no champion yet"):
        OWN.champion()


def test_elsewhere_there_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"no config/project\.yaml"):
        OWN.frame()


def test_the_examples_run(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.settings.root)
    run_examples_of(NotebookAccess, monkeypatch)
