"""What a stored model may hold: asked before a search, and said in full when it is read."""

import json
import re
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import mlflow
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import make_pipeline

from goldpath import Model, Project, family
from goldpath.handed_over import ProjectDefinitionError
from goldpath.jobs.training import segment_search, steps
from goldpath.jobs.training.work import TrainingWork
from goldpath.learning.frames import model_frame
from goldpath.learning.storable import require_storable, require_storable_families
from goldpath.project import run_as
from goldpath.registry.files.pipeline import read_pipeline
from goldpath.registry.stores.store import RegistryError
from goldpath.settings import load_settings

from ..api.examples import fitted
from ..conftest import make_project
from ..registry_projects import CONTRACT, EXAMPLE, add_version, make_registry

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PREFIX = "a_rather_long_module_name_that_a_message_would_have_to_cut_off_somewhere_" * 4


class Majority(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Somebody's own model."""

    def fit(self, rows: pd.DataFrame, target: Any) -> "Majority":
        self.classes_ = sorted(set(target))
        return self

    def predict(self, rows: pd.DataFrame) -> list[Any]:
        return [self.classes_[0]] * len(rows)


OWN = f"{__name__}.Majority"


@family()
def own(trial: Any, columns: Any) -> Any:
    return make_pipeline(columns.encoded(), Majority())


@family(trusted=[OWN])
def declared(trial: Any, columns: Any) -> Any:
    return make_pipeline(columns.encoded(), Majority())


@family()
def unstorable(trial: Any, columns: Any) -> Any:
    model = Majority()
    model.rule = lambda rows: rows
    return make_pipeline(columns.encoded(), model)


def training_rows() -> pd.DataFrame:
    frame = pd.DataFrame(EXAMPLE)
    return frame.assign(**{CONTRACT.target.column: ["no", "yes"] * (len(frame) // 2)})


def test_undeclared_type_is_found_before_the_search_and_named_in_full() -> None:
    with pytest.raises(ProjectDefinitionError) as refused:
        require_storable_families(training_rows(), CONTRACT, Model(families=[own]), 1)

    assert OWN in refused.value.message
    assert "test_stored_types.py" in refused.value.message
    assert f'@family(trusted=["{OWN}"])' in refused.value.fix
    require_storable_families(training_rows(), CONTRACT, Model(families=[declared]), 1)


def test_model_that_cannot_be_stored_at_all_is_found_before_the_search() -> None:
    with pytest.raises(ProjectDefinitionError, match=r"unstorable.*cannot be stored"):
        require_storable_families(training_rows(), CONTRACT, Model(families=[unstorable]), 1)


def test_training_asks_before_it_searches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    definitions = Model(families=[own])
    project = Project(name="shop", models={"shop": lambda: definitions})
    settings = load_settings(make_project(tmp_path).root, project)
    searches: list[Any] = []
    monkeypatch.setattr(segment_search, "find_best", lambda *given, **more: searches.append(given))
    work = SimpleNamespace(
        run=SimpleNamespace(stage=lambda *_: None),
        settings=settings,
        contract=CONTRACT,
        definitions=definitions,
        divided=None,
        train_rows=training_rows(),
    )
    with pytest.raises(ProjectDefinitionError, match=re.escape(OWN)):
        steps.search_and_fit(cast(TrainingWork, work))
    assert not searches


def test_long_name_is_not_cut_off() -> None:
    kind = type("Own", (Majority,), {"__module__": PREFIX})
    module = types.ModuleType(PREFIX)
    module.Own = kind  # type: ignore[attr-defined]
    sys.modules[PREFIX] = module
    try:
        with pytest.raises(ProjectDefinitionError) as refused:
            require_storable(make_pipeline(kind()), Model())
    finally:
        del sys.modules[PREFIX]
    assert f"{PREFIX}.Own" in refused.value.message
    assert f"{PREFIX}.Own" in refused.value.fix


@pytest.mark.parametrize("trusted", [True, False], ids=["declared", "not declared any more"])
def test_moved_class_is_said_to_be_missing_code(tmp_path: Path, trusted: bool) -> None:
    from skops.io import dump

    module = types.ModuleType("moved_models")
    kind = type("Own", (Majority,), {"__module__": "moved_models"})
    module.Own = kind  # type: ignore[attr-defined]
    sys.modules["moved_models"] = module
    file = tmp_path / "model.skops"
    dump(kind().fit(pd.DataFrame({"a": [1]}), ["no"]), file)
    del module.Own
    families = [family(trusted=["moved_models.Own"])(own.function)] if trusted else [own]
    run_as(Project(name="shop", models={"shop": lambda: Model(families=families)}))
    try:
        with pytest.raises(RegistryError, match="needs code that this project does not have") as it:
            read_pipeline(file, "models:/small/1")
        del sys.modules["moved_models"]
        with pytest.raises(RegistryError, match="needs code that this project does not have"):
            read_pipeline(file, "models:/small/1")
    finally:
        sys.modules.pop("moved_models", None)
        run_as(Project(name="goldpath"))
    assert "Own" in it.value.message
    assert "moved, renamed or removed" in it.value.fix


@pytest.mark.slow
def test_pyfunc_takes_what_pandas_reads_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROOT", str(tmp_path))
    manager = make_registry(tmp_path)
    add_version(manager)
    manager.set_champion("1")
    file = tmp_path / "rows.csv"
    pd.DataFrame(EXAMPLE).to_csv(file, index=False)
    read = pd.read_csv(file)
    whole = read.dropna().copy()
    for name in ("2nd call", "self"):
        whole[name] = whole[name].astype("int64")
    mlflow.set_tracking_uri(manager.settings.tracking_uri)
    model = mlflow.pyfunc.load_model("models:/small@champion")
    expected = fitted("binary", "1", "linear").pipeline

    for rows in (read, whole, read.head(1), pd.DataFrame(EXAMPLE)):
        found = list(model.predict(rows))
        assert found == list(expected.predict(model_frame(rows, CONTRACT)))
    assert json.loads(json.dumps(found))
