"""Models that are none of scikit-learn's, and classes that were moved; docs/models.md has recipes.

The code of the recipes is run as it stands there.
"""

import json
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone

from goldpath import Model, Project, family, stored
from goldpath.compiled.compiler import NotCompilableError, compile_pipeline
from goldpath.compiled.encoded import EncodedModel
from goldpath.handed_over import ProjectDefinitionError
from goldpath.learning.family import Family
from goldpath.learning.frames import model_frame
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.search import fit
from goldpath.learning.storable import require_storable_families
from goldpath.learning.stored import stored_classes
from goldpath.model_version import ModelVersion
from goldpath.project import run_as
from goldpath.registry.files.own_classes import STORED_FILE, require_restorable
from goldpath.registry.mlflow_manager import MLflowManager
from goldpath.registry.stores.store import RegistryError
from goldpath.serving.predictor import score_rows
from goldpath.trust.signing import SignatureError

from ..registry_projects import CONTRACT, EXAMPLE, make_registry

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
_CODE = re.compile(r"^```python$\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def recipe(word: str) -> dict[str, Any]:
    """The page's block of code that has a word, run as a module `shop.models`."""
    (code,) = [each for each in _CODE.findall(PAGE.read_text(encoding="utf-8")) if word in each]
    module = ModuleType("shop.models")
    sys.modules[module.__name__] = module
    exec(compile(code, str(PAGE), "exec"), vars(module))  # noqa: S102
    return vars(module)


@pytest.fixture(autouse=True)
def nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = dict(stored_classes())
    yield
    run_as(Project(name="goldpath"))
    sys.modules.pop("shop.models", None)
    known = stored_classes()
    assert isinstance(known, dict)
    known.clear()
    known.update(before)


def forget(name: str) -> None:
    known = stored_classes()
    assert isinstance(known, dict)
    del known[name]


def training_rows(count: int = 200) -> pd.DataFrame:
    rows = pd.DataFrame([EXAMPLE[at % len(EXAMPLE)] for at in range(count)])
    yes = rows["class"].astype(float) > rows["class"].astype(float).median()
    return rows.assign(**{CONTRACT.target.column: np.where(yes, "yes", "no")})


def use(*families: Family) -> Model:
    definitions = Model(families=list(families))
    run_as(Project(name="shop", models={"shop": lambda: definitions}))
    return definitions


def fitted(each: Family) -> LoadedModel:
    return fit(training_rows(), CONTRACT, each.name, each.defaults, 1, use(each))


def registered(root: Path, model: LoadedModel) -> tuple[MLflowManager, ModelVersion]:
    manager = make_registry(root)
    with manager.run("own", {}) as run_id:
        version = manager.register(run_id, model, model_frame(EXAMPLE, CONTRACT), {})
    return manager, version


# --- the recipes ---


def test_the_numpy_recipe_is_registered_signed_read_and_served(tmp_path: Path) -> None:
    network = recipe("small_network")["network"]
    definitions = use(network)
    require_storable_families(training_rows(), CONTRACT, definitions, 1, prove=require_restorable)
    model = fitted(network)
    expected = model.predict(EXAMPLE)
    assert np.std(expected.scores) > 0.01, "it has learned something"

    manager, version = registered(tmp_path, model)

    assert version.tags["own_classes"] == "small_network 1 (shop.models.Network)"
    assert version.tags["project_version"].startswith("shop")
    assert version.tags["engine_version"]
    assert version.tags["compiled"].startswith("no: the project's Network, stored as")
    assert manager.load(version).predict(EXAMPLE).scores == expected.scores
    served = manager.files.load_for_serving(version)
    assert isinstance(served, EncodedModel), "the steps before it are compiled"
    found = [row.score for row in score_rows(served, [dict(row) for row in EXAMPLE])]
    assert found == pytest.approx(expected.scores, abs=1e-12)
    # The gate fits it again on folds; what was loaded can be.
    again = clone(manager.load(version).pipeline)
    frame = model_frame(training_rows(), CONTRACT)
    again.fit(frame, training_rows()[CONTRACT.target.column].to_numpy())
    assert again.predict_proba(frame).shape == (200, 2)


def test_a_file_that_it_saved_is_signed_like_any_other(tmp_path: Path) -> None:
    manager, version = registered(tmp_path, fitted(recipe("small_network")["network"]))
    (file,) = tmp_path.rglob("own/weights.npz")
    weights = dict(np.load(file))
    np.savez(file, **{**weights, "second": weights["second"] + 1})

    with pytest.raises(SignatureError, match=r"own/weights\.npz"):
        manager.load(version)


def test_a_class_that_is_gone_is_named_with_what_to_do(tmp_path: Path) -> None:
    manager, version = registered(tmp_path, fitted(recipe("small_network")["network"]))
    forget("small_network")
    del sys.modules["shop.models"]

    with pytest.raises(RegistryError, match="needs the class that is stored as 'small_net") as it:
        manager.load(version)

    assert "shop.models.Network, version 1, of shop" in it.value.message
    assert '@stored("small_network")' in it.value.fix


def test_a_class_that_was_moved_and_renamed_reads_its_versions(tmp_path: Path) -> None:
    found = recipe("small_network")
    manager, version = registered(tmp_path, fitted(found["network"]))
    expected = manager.load(version).predict(EXAMPLE).scores
    forget("small_network")
    moved = type("Perceptron", (found["Network"],), {"__module__": "shop.elsewhere"})
    stored("small_network")(moved)

    assert manager.load(version).predict(EXAMPLE).scores == expected


@pytest.mark.parametrize("reads", [(), ("1",)], ids=["does not", "does"])
def test_a_newer_form_says_whether_it_reads_the_former_one(
    tmp_path: Path, reads: tuple[str, ...]
) -> None:
    found = recipe("small_network")
    manager, version = registered(tmp_path, fitted(found["network"]))
    stored("small_network", version="2", reads=reads)(found["Network"])

    if reads:
        assert manager.load(version).predict(EXAMPLE).scores
        return
    with pytest.raises(RegistryError, match=r"in version 1; .*is of version 2") as it:
        manager.load(version)
    assert 'reads=["1"]' in it.value.fix


if find_spec("torch") and find_spec("safetensors"):  # in none of the locks: elsewhere not run

    def test_the_torch_recipe_is_registered_and_read(tmp_path: Path) -> None:
        model = fitted(recipe("torch_network")["torch_network"])
        manager, version = registered(tmp_path, model)

        assert manager.load(version).predict(EXAMPLE).scores == pytest.approx(
            model.predict(EXAMPLE).scores, abs=1e-6
        )


# --- other forms of them ---


class Table:
    """A rule that gives labels, of the frame itself."""

    def fit(self, rows: pd.DataFrame, target: Any) -> None:
        self.limit = float(rows["class"].median())

    def predict(self, rows: pd.DataFrame) -> list[str]:
        return ["yes" if value > self.limit else "no" for value in rows["class"]]

    def save(self, folder: Path) -> None:
        (folder / "rule.json").write_text(json.dumps(self.limit))

    @classmethod
    def load(cls, folder: Path) -> "Table":
        rule = cls()
        rule.limit = json.loads((folder / "rule.json").read_text())
        return rule


@family()
def table(trial: Any, columns: Any) -> Any:
    return Table()


def test_a_rule_without_pipeline_or_probabilities_is_stored_and_answers(tmp_path: Path) -> None:
    stored("rule_table")(Table)
    model = fitted(table)
    manager, version = registered(tmp_path, model)

    found = manager.files.load_for_serving(version)

    assert {row.score for row in score_rows(found, [dict(row) for row in EXAMPLE])} == {0.0, 1.0}
    assert found.predict(EXAMPLE).values == model.predict(EXAMPLE).values
    with pytest.raises(NotCompilableError, match="the project's Table, stored as 'rule_table'"):
        compile_pipeline(model.pipeline, CONTRACT)


class Doubler(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer of one's own, which skops stores."""

    def fit(self, rows: Any, target: Any = None) -> "Doubler":
        self.n_ = 2
        return self

    def transform(self, rows: Any) -> Any:
        return np.asarray(rows) * self.n_


@family()
def doubled(trial: Any, columns: Any) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(columns.encoded(), Doubler(), LogisticRegression())


def test_a_transformer_with_a_stored_name_needs_no_trust_and_may_be_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored("doubler")(Doubler)
    require_storable_families(training_rows(), CONTRACT, use(doubled), 1)
    model = fitted(doubled)
    manager, version = registered(tmp_path, model)
    (file,) = tmp_path.rglob(STORED_FILE)
    assert json.loads(file.read_text())["classes"]["doubler"]["path"] == f"{__name__}.Doubler"
    forget("doubler")
    renamed = type("Twice", (Doubler,), {"__module__": __name__})
    monkeypatch.setitem(globals(), "Twice", renamed)
    monkeypatch.delitem(globals(), "Doubler")
    stored("doubler")(renamed)

    again = manager.load(version)

    assert type(again.pipeline[1]) is renamed
    assert again.predict(EXAMPLE).scores == model.predict(EXAMPLE).scores


# --- what is refused, and when ---


def test_save_without_load_is_refused_where_the_class_is_named() -> None:
    class Half:
        def fit(self, rows: Any, target: Any) -> None: ...
        def predict(self, rows: Any) -> None: ...
        def save(self, folder: Any) -> None: ...

    with pytest.raises(ProjectDefinitionError, match="has save and no load") as it:
        stored("half")(Half)

    assert f"{Path(__file__).name}:" in it.value.message
    assert "load(cls, folder)" in it.value.fix


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        ("fit", lambda self, rows: None, r"fit takes \(self, rows\)"),
        ("predict", lambda self: None, r"predict takes \(self\)"),
        ("save", lambda self: None, r"save takes \(self\)"),
        ("load", lambda self, folder: None, "load is no class method"),
        ("load", classmethod(lambda cls: None), r"load takes \(\)"),
    ],
)
def test_a_wrong_signature_is_refused_with_file_line_and_what_to_write(
    name: str, method: Any, expected: str
) -> None:
    wrong = type("Wrong", (Table,), {name: method, "__module__": __name__})

    with pytest.raises(ProjectDefinitionError, match=expected) as it:
        stored("wrong")(wrong)

    assert f"{name}(" in it.value.fix


def test_two_classes_of_one_name_are_refused() -> None:
    stored("rule_table")(Table)

    with pytest.raises(ProjectDefinitionError, match="the name 'rule_table' is that of"):
        stored("rule_table")(type("Other", (Table,), {"__module__": __name__}))


class Pickled(Table):
    def save(self, folder: Path) -> None:
        import pickle

        (folder / "model.bin").write_bytes(pickle.dumps({"limit": self.limit}))


class Silent(Table):
    def save(self, folder: Path) -> None:
        pass


class Forgetful(Table):
    @classmethod
    def load(cls, folder: Path) -> "Forgetful":
        rule = cls()
        rule.limit = -1e9
        return rule


class Broken(Table):
    def save(self, folder: Path) -> None:
        raise OSError("no disk")


class Narrow(Table):
    def predict_proba(self, rows: pd.DataFrame) -> np.ndarray:
        return np.zeros(len(rows))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (Pickled, r"save wrote model\.bin, which carries a pickle"),
        (Silent, "save wrote no file"),
        (Forgetful, "answers otherwise once it was saved and loaded"),
        (Broken, "save failed in line .*no disk"),
        (Narrow, r"gives an array of shape \(40,\) for 40 rows and the classes no, yes"),
    ],
)
def test_a_model_that_could_not_be_stored_is_refused_before_the_search(
    kind: type, expected: str
) -> None:
    stored(f"kind_{kind.__name__.lower()}")(kind)

    @family()
    def own(trial: Any, columns: Any) -> Any:
        return kind()

    with pytest.raises(ProjectDefinitionError, match=expected) as it:
        require_storable_families(
            training_rows(), CONTRACT, Model(families=[own]), 1, prove=require_restorable
        )
    assert f"{Path(__file__).name}:" in it.value.message


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: None, "returns None, which has no method fit"),
        (lambda: Table, "which has no method fit"),
        (lambda: Table(), r"saves itself, and has no name for the versions"),
    ],
    ids=["nothing", "a class", "no stored name"],
)
def test_a_family_that_returns_no_estimator_is_refused(made: Any, expected: str) -> None:
    @family()
    def own(trial: Any, columns: Any) -> Any:
        return made()

    with pytest.raises(ProjectDefinitionError, match=expected) as it:
        own.build(CONTRACT, {}, 0)
    assert f"{Path(__file__).name}:" in it.value.message
