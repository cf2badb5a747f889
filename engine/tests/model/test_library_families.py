"""The engine's further families: chosen by name, stored without pickle, compiled exactly."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skops.io import dumps, loads

from goldpath.compiled.compiler import compile_pipeline
from goldpath.compiled.form import Trees
from goldpath.compiled.form_files import read_form, write_form
from goldpath.compiled.native import find_compiler
from goldpath.compiled.parity import draw_rows, prove_parity
from goldpath.compiled.scorer import CompiledModel
from goldpath.handed_over import ProjectDefinitionError
from goldpath.learning.families import BUILT_IN, families_of, require_installed, trusted_types
from goldpath.learning.family import Family, family
from goldpath.learning.libraries import LIBRARIES
from goldpath.learning.scoring import LoadedModel
from goldpath.learning.search import fit, search
from goldpath.learning.storable import require_storable_families
from goldpath.project import Model
from goldpath.registry.files.pipeline import model_requirements
from goldpath.settings import TrainingSettings

from .. import ready_made
from ..counts import times
from .test_estimators import CLASSES, COLUMNS, contract, rows

INSTALLED = [
    name for name, each in LIBRARIES.items() if all(find_spec(module) for module in each.requires)
]
"""CatBoost is in none of the locks: where it is not installed, its rows of the tables are not
there."""

SMALL: dict[str, dict[str, Any]] = {
    "lightgbm": {"rounds": 25},
    "xgboost": {"rounds": 25},
    "catboost": {"iterations": 25},
}
PARITY_ROWS = times(5_000, 200_000)


def fitted(name: str, target: str) -> LoadedModel:
    parameters = {**BUILT_IN[name].defaults, **SMALL.get(name, {})}
    return fit(rows(target), contract(target, COLUMNS), name, parameters, seed=0)


@pytest.mark.parametrize("target", list(CLASSES))
@pytest.mark.parametrize("name", INSTALLED)
def test_a_family_is_stored_without_pickle_and_compiled_exactly(
    name: str, target: str, tmp_path: Path
) -> None:
    model, described = fitted(name, target), contract(target, COLUMNS)

    again = loads(dumps(model.pipeline), trusted=list(trusted_types(Model())))
    write_form(compile_pipeline(again, described), tmp_path / "form")
    form = read_form(tmp_path / "form")

    assert LoadedModel(again, described).predict(rows(target)).scores == (
        model.predict(rows(target)).scores
    )
    kernels = ready_made.kernels() if find_compiler() else None
    native, plain = CompiledModel(form, described, kernels=kernels), CompiledModel(form, described)
    proof = prove_parity(model.pipeline, form, described, native.answers, PARITY_ROWS, 1)
    assert proof.passed, proof
    exact = 2e-7 if name == "xgboost" and CLASSES[target] else 1e-12
    assert proof.largest_difference <= exact
    numbers, codes = draw_rows(form, described, 300, np.random.default_rng(2))
    whole = native.answers(numbers, codes)
    assert np.allclose(whole, plain.answers(numbers, codes), rtol=0, atol=1e-15)
    alone = [native.answers(numbers[at : at + 1], codes[at : at + 1])[0] for at in range(40)]
    assert np.array_equal(np.array(alone), whole[:40], equal_nan=True)


@pytest.mark.parametrize("name", [each for each in INSTALLED if each not in ("forest",)])
def test_a_familys_function_is_short_and_its_defaults_can_be_drawn(name: str) -> None:
    each = LIBRARIES[name]

    space = each.space(contract("binary", COLUMNS))

    assert set(each.defaults) == set(space)
    code = each.function.__code__
    assert max(line or 0 for *_, line in code.co_lines()) - code.co_firstlineno <= 28


def test_sums_in_float32_are_told_apart_when_a_form_is_read(tmp_path: Path) -> None:
    for name, single in (("xgboost", True), ("lightgbm", False)):
        model = fitted(name, "binary")
        write_form(compile_pipeline(model.pipeline, model.contract), tmp_path / name)
        trees = read_form(tmp_path / name).model
        assert isinstance(trees, Trees)
        assert trees.single_sums is single


def test_xgboosts_margins_are_the_same_to_the_last_bit() -> None:
    import xgboost

    model = fitted("xgboost", "binary")
    columns, trees = model.pipeline[:-1], model.pipeline[-1]
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(bytearray(trees.text_, "utf-8"))
    frame = rows("binary")[model.contract.feature_names]

    margins = booster.inplace_predict(columns.transform(frame), predict_type="margin")

    compiled = CompiledModel(
        compile_pipeline(model.pipeline, model.contract), model.contract
    ).predict(rows("binary"))
    expected = 1 / (1 + np.exp(-np.asarray(margins, dtype=np.float64)))
    assert np.array_equal(np.array(compiled.scores), expected)


def test_the_settings_choose_families_by_name() -> None:
    seen: list[str] = []
    names = ("linear", "lightgbm", "xgboost")
    described = contract("binary", COLUMNS)

    search(
        rows("binary"),
        described,
        TrainingSettings(trials=3, cv_folds=2, families=names),
        lambda trial, _: seen.append(trial.family),
    )

    assert seen == list(names)


@family()
def forest(trial: Any, columns: Any) -> Any:
    """Looked up by its name and never built."""


def test_a_projects_family_takes_the_place_of_the_engines_of_the_same_name() -> None:
    chosen = families_of(Model(families=[forest]), ("forest", "linear"))

    assert chosen["forest"] is forest
    assert list(chosen) == ["forest", "linear"]


def test_an_unknown_name_is_refused_with_all_that_there_are() -> None:
    with pytest.raises(
        ProjectDefinitionError, match="names 'forrest'; there are boosting, linea"
    ) as it:
        families_of(Model(), ("boosting", "forrest"))

    assert "training.yaml of config/" in it.value.fix


def test_a_name_is_given_once() -> None:
    with pytest.raises(ValueError, match="linear is named twice"):
        TrainingSettings(families=("linear", "boosting", "linear"))


def test_a_missing_library_is_named_with_its_extra_before_anything_is_fitted() -> None:
    lacking = Family("catboost", LIBRARIES["catboost"].function, requires=("no_such_library",))

    with pytest.raises(ProjectDefinitionError, match="needs no_such_library, which cannot") as it:
        require_installed({"catboost": lacking})

    assert "libraries.py" in it.value.message
    assert "make lock setup" in it.value.fix


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ({"dept": 3}, "name dept, which it does not draw; it draws depth"),
        ({"depth": 30}, r"has 30 as the default of depth, and draws 2 to 8"),
        ({"depth": 2.5}, r"has 2\.5 as the default of depth"),
    ],
    ids=["misspelled", "out of range", "no whole number"],
)
def test_defaults_that_cannot_be_drawn_are_refused_before_the_search(
    defaults: dict[str, Any], expected: str
) -> None:
    @family(defaults=defaults)
    def tree(trial: Any, columns: Any) -> Any:
        from sklearn.tree import DecisionTreeClassifier

        return DecisionTreeClassifier(max_depth=trial.suggest_int("depth", 2, 8))

    with pytest.raises(ProjectDefinitionError, match=expected) as it:
        require_storable_families(
            rows("binary"), contract("binary", COLUMNS), Model(families=[tree]), 0
        )

    assert Path(__file__).name in it.value.message


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0.0, 10.0, True, r"draws C from 0 to 10 \(log\): log=True needs a low end above 0"),
        (2.0, 1.0, False, "draws C from 2 to 1: the low end must not be above"),
        (0.0, float("inf"), False, "draws C from 0 to inf: .* both must be finite"),
    ],
    ids=["log from zero", "turned round", "without an end"],
)
def test_a_range_that_nothing_can_be_drawn_from_is_refused_before_the_search(
    low: float, high: float, log: bool, expected: str
) -> None:
    @family
    def logistic(trial: Any, columns: Any) -> Any:
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=trial.suggest_float("C", low, high, log=log) or 1.0)

    with pytest.raises(ProjectDefinitionError, match=expected) as it:
        require_storable_families(
            rows("binary"), contract("binary", COLUMNS), Model(families=[logistic]), 0
        )

    assert Path(__file__).name in it.value.message


def test_requirements_name_the_packages_that_are_installed() -> None:
    assert any(
        each.startswith(("xgboost-cpu==", "xgboost=="))
        for each in model_requirements(fitted("xgboost", "number").pipeline)
    )
    assert any(
        each.startswith("lightgbm==")
        for each in model_requirements(fitted("lightgbm", "number").pipeline)
    )


def test_a_projects_own_lightgbm_needs_no_trusted_types_and_is_compiled() -> None:
    from lightgbm import LGBMClassifier
    from sklearn.pipeline import make_pipeline

    @family()
    def own(trial: Any, columns: Any) -> Any:
        return make_pipeline(columns.coded(), LGBMClassifier(n_estimators=10, verbosity=-1))

    described, frame = contract("many", COLUMNS), rows("many")
    definitions = Model(families=[own])
    require_storable_families(frame, described, definitions, 0)
    model = fit(frame, described, "own", {}, 0, definitions)

    form = compile_pipeline(model.pipeline, described)

    compiled = CompiledModel(form, described)
    assert prove_parity(model.pipeline, form, described, compiled.answers, 2000, 1).passed
